"""Questions about a rendered clip, in the forms that the corpora and benchmarks have.

Two families, colour and direction, carry what is learned; the numbers, orders and captions are there so that every
format and every scoring rule has something real to work on.
"""

from dataclasses import dataclass

import numpy as np

from stgrpo.demo import world
from stgrpo.prompts import LETTERS, lettered

NUMBERS = {  # what is asked for -> the question; the answer is a whole number
    "count": "How many frames show the {shape}?",
    "size": "What is the size of the {shape}?",
    "distance": "What is the distance between the {other} and the cross?",
    "room": "What is the size of the room?",
}


@dataclass(frozen=True)
class Asked:
    """One question: its text, its options as the source writes them, and what is right.

    Attributes:
        topic: what it asks for, the word that a taught answer thinks with ("the colour is red A").
        word: the fact that decides.
        answer: what stands between the answer tags.
    """

    topic: str
    text: str
    options: tuple[str, ...]
    word: str
    answer: str


def choice(scene: world.Scene, family: str, rng: np.random.Generator, count: int = 4) -> Asked:
    """A multiple choice among `count` of a family's four words, the fifth from the other family."""
    truth = scene.truth(family)
    other = next(name for name in world.FAMILIES if name != family)
    wrong = [word for word in world.options(family, rng) if word != truth] + world.options(other, rng)[:1]
    words = rng.permutation([truth, *wrong[: count - 1]]).tolist()
    return _lettered(family, world.question_text(family, scene.shape), words, truth)


def open_question(scene: world.Scene, family: str) -> Asked:
    """The same without options; the answer is the word."""
    truth = scene.truth(family)
    return Asked(family, world.question_text(family, scene.shape), (), truth, truth)


def yes_or_no(scene: world.Scene, family: str, rng: np.random.Generator) -> Asked:
    """Whether a family's word is a given one; yes half of the time."""
    truth = scene.truth(family)
    wrong = [word for word in world.options(family, rng) if word != truth]
    claimed, answer = (truth, "yes") if rng.random() < 0.5 else (wrong[0], "no")
    return Asked(family, f"Is the {family} of the {scene.shape} {claimed}?", (), truth, answer)


def caption(scene: world.Scene, family: str, rng: np.random.Generator) -> Asked:
    """Which of two captions is right; options as TempCompass labels them, the answer is the label's number."""
    truth = scene.truth(family)
    wrong = [word for word in world.options(family, rng) if word != truth]
    words = rng.permutation([truth, wrong[0]]).tolist()
    lines = tuple(f"Option {n}: the {family} of the {scene.shape} is {word}" for n, word in enumerate(words, 1))
    return Asked(family, "Which caption is right?", lines, truth, str(words.index(truth) + 1))


def number(scene: world.Scene, topic: str, rng: np.random.Generator) -> Asked:
    """A question of `NUMBERS`; the size is that of the target or of the stand-in."""
    shape = scene.shape
    if topic == "size" and rng.random() < 0.5:
        shape, value = scene.stand_in, world.STAND_IN
    else:
        value = {
            "count": sum(scene.visible),
            "size": world.TARGET,
            "distance": scene.apart,
            "room": world.SIZE,
        }[topic]
    text = NUMBERS[topic].format(shape=shape, other=scene.stand_in)
    return Asked(topic, text, (), str(value), str(value))


def which_moves(scene: world.Scene, rng: np.random.Generator) -> Asked:
    """Which of the four shapes moves."""
    words = rng.permutation([*world.SHAPES, "cross"]).tolist()
    return _lettered("shape", "Which shape moves?", words, scene.shape)


def which_is_first(scene: world.Scene, rng: np.random.Generator) -> Asked:
    """Which of target and stand-in is seen first."""
    words = rng.permutation([scene.shape, scene.stand_in]).tolist()
    return _lettered("order", "Which shape is first?", words, scene.shape if scene.visible[0] else scene.stand_in)


def _lettered(topic: str, text: str, words: list[str], truth: str) -> Asked:
    return Asked(topic, text, tuple(lettered(words)), truth, LETTERS[words.index(truth)])
