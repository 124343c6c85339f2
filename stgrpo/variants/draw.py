"""Draw the M variants of a question's video."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from stgrpo.rules import Grouping, Selection, VariantRule
from stgrpo.variants.spatial import Spatial, apply_spatial, draw_spatial
from stgrpo.variants.temporal import cropped, every, top_frames, weighted_frames

SPATIAL = ("stochastic", "importance+spatial")  # the groupings that change the picture


@dataclass(frozen=True)
class Variant:
    """One element of a group's video side: frames of the sampled clip, and what is done to the picture."""

    frames: tuple[int, ...]
    spatial: Spatial | None

    def apply(self, clip: np.ndarray) -> np.ndarray:
        """(F, H, W, 3) uint8, the sampled frames -> (K, H, W, 3) uint8, the variant's."""
        chosen = clip[list(self.frames)]
        return apply_spatial(chosen, self.spatial) if self.spatial else chosen


@dataclass(frozen=True)
class Strategy:
    """How a cell makes variants: `grouping` names the strategy, `selection` how importance chooses in a segment.

    The fields with defaults are controls (`rules.Controls`).
    """

    grouping: Grouping
    selection: Selection
    variants: int
    rule: VariantRule
    score_temperature: float = 1.0
    identity: bool = False


def draw_variant(
    strategy: Strategy, number: int, frames: int, scores: Sequence[float] | None, rng: np.random.Generator
) -> Variant:
    """Variant `number` of M of a clip of `frames` frames; but for `deterministic` every one is an independent draw.

    Frames and picture are drawn from streams of their own, so that cells that differ in one share the other. Uniform
    selection draws as from equal scores, with the same noise.

    Args:
        strategy: of the cell.
        number: 0..M-1.
        frames: F, the number of frames sampled from the video.
        scores: F importance scores; needed by the importance groupings, but for uniform selection.
        rng: seeded from what identifies the draw, never from the state of a rank.

    Raises:
        ValueError: scores are needed and are missing or not one a frame.
    """
    if strategy.identity and number == 0:
        return Variant(tuple(range(frames)), None)
    in_time, in_space = rng.spawn(2)
    chosen = _frames(strategy, number, frames, scores, in_time)
    spatial = strategy.rule.spatial
    changed = strategy.grouping in SPATIAL and in_space.random() < spatial.probability
    return Variant(chosen, draw_spatial(spatial, in_space) if changed else None)


def _frames(
    strategy: Strategy, number: int, frames: int, scores: Sequence[float] | None, rng: np.random.Generator
) -> tuple[int, ...]:
    rule = strategy.rule
    if strategy.grouping == "deterministic":
        return every(frames, number, strategy.variants)
    if strategy.grouping == "stochastic" and rng.random() < rule.temporal.probability:
        return cropped(frames, rule.temporal, rng)
    if strategy.grouping in ("none", "stochastic"):
        return tuple(range(frames))
    if strategy.selection == "uniform":
        scores = [0.0] * frames
    if scores is None or len(scores) != frames:
        found = "none" if scores is None else str(len(scores))
        raise ValueError(f"grouping '{strategy.grouping}' needs {frames} frame scores, found {found}")
    count = int(rng.integers(rule.min_frames, rule.max_frames + 1))
    if strategy.selection == "top":
        return top_frames(scores, count)
    return weighted_frames(scores, count, rng, strategy.score_temperature)
