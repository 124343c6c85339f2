"""The rendered world: one shape crosses the picture for part of the clip and is asked about.

Every clip shows three things, each of another form and colour. The *target* crosses the picture while it is there; the
*stand-in*, smaller, lies still and is there whenever the target is not; the *bystander*, a small cross, lies still in
every frame. So a frame always shows something, and which frames matter depends on the question:
that is what the frame scorer must learn.
"""

import math
from dataclasses import dataclass

import numpy as np

SIZE = 56  # pixels a side: two Qwen2.5-VL tokens (28 px each) a side
FRAMES = 16
FPS = 2  # Video-R1's sampling rate, so its rule (duration * 2 frames) takes every frame of an 8 s clip

SHAPES = ("square", "circle", "triangle")
COLOURS = {"red": (220, 40, 40), "green": (40, 180, 60), "blue": (50, 80, 230), "yellow": (235, 215, 40)}
DIRECTIONS = {"left": (-1, 0), "right": (1, 0), "up": (0, -1), "down": (0, 1)}
FAMILIES = ("colour", "direction")

_BACKGROUND = 24
TARGET, STAND_IN, BYSTANDER = 20, 10, 10  # pixels a side
_SHORTEST, _LONGEST = 12, 14  # frames in which the target is there


@dataclass(frozen=True)
class Scene:
    """What happens in one clip.

    Attributes:
        apart: pixels between the centres of stand-in and bystander, rounded, at least 1.
        visible: whether frame f shows the target.
    """

    shape: str
    colour: str
    direction: str
    stand_in: str
    apart: int
    visible: tuple[bool, ...]
    frames: np.ndarray  # (FRAMES, SIZE, SIZE, 3) uint8

    def truth(self, family: str) -> str:
        """The word that answers the question of this family."""
        return {"colour": self.colour, "direction": self.direction}[family]


def scene(index: int, seed: int) -> Scene:
    """The clip number `index` of the corpus `seed`; colours and directions are balanced over 16 consecutive indices."""
    rng = np.random.default_rng([seed, index])
    colour = list(COLOURS)[index % 4]
    direction = list(DIRECTIONS)[index // 4 % 4]
    shape, stand_in = rng.permutation(SHAPES).tolist()[:2]
    other_colours = rng.permutation([name for name in COLOURS if name != colour])
    length = int(rng.integers(_SHORTEST, _LONGEST + 1))
    start = int(rng.integers(0, FRAMES - length + 1))
    visible = tuple(start <= f < start + length for f in range(FRAMES))

    frames = np.full((FRAMES, SIZE, SIZE, 3), _BACKGROUND, np.uint8)
    still = _spot(rng, BYSTANDER), _spot(rng, STAND_IN)
    track = _track(direction, length, rng)
    for f in range(FRAMES):
        _put(frames[f], "cross", other_colours[0], BYSTANDER, still[0])
        if visible[f]:
            _put(frames[f], shape, colour, TARGET, track[f - start])
        else:
            _put(frames[f], stand_in, other_colours[1], STAND_IN, still[1])
    apart = max(1, round(math.dist(*still)))  # both are as large, so corners are as far apart as centres
    return Scene(shape, colour, direction, stand_in, apart, visible, frames)


def quiz(shape: str, colour: str) -> np.ndarray:
    """One picture (SIZE, SIZE, 3) uint8 of one large shape that lies still."""
    picture = np.full((SIZE, SIZE, 3), _BACKGROUND, np.uint8)
    _put(picture, shape, colour, TARGET, ((SIZE - TARGET) // 2, (SIZE - TARGET) // 2))
    return picture


def question_text(family: str, shape: str) -> str:
    """The question as people read it, without options."""
    return f"What is the {family} of the {shape}?"


def options(family: str, rng: np.random.Generator) -> list[str]:
    """The four words of a family in random order."""
    return rng.permutation(list(COLOURS if family == "colour" else DIRECTIONS)).tolist()


def _spot(rng: np.random.Generator, side: int) -> tuple[int, int]:
    x, y = rng.integers(0, SIZE - side, 2)
    return int(x), int(y)


def _track(direction: str, length: int, rng: np.random.Generator) -> list[tuple[int, int]]:
    """Upper left corners of the target over `length` frames, from one edge of the picture to the other."""
    span = SIZE - TARGET
    across = int(rng.integers(span // 3, 2 * span // 3))  # near the middle, so that one early or late frame tells much
    dx, dy = DIRECTIONS[direction]
    forth = np.linspace(0, span, length).astype(int)
    along = forth if dx + dy > 0 else forth[::-1]
    return [(int(a), across) if dx else (across, int(a)) for a in along]


def _put(picture: np.ndarray, shape: str, colour: str, side: int, corner: tuple[int, int]) -> None:
    x, y = corner
    picture[y : y + side, x : x + side][_mask(shape, side)] = COLOURS[colour]


def _mask(shape: str, side: int) -> np.ndarray:
    y, x = np.mgrid[:side, :side] + 0.5
    if shape == "circle":
        return (x - side / 2) ** 2 + (y - side / 2) ** 2 <= side * side / 4
    if shape == "triangle":
        return np.abs(x - side / 2) <= y / 2
    if shape == "cross":
        return np.minimum(np.abs(x - side / 2), np.abs(y - side / 2)) <= side / 8
    return np.ones((side, side), bool)
