"""Draw the M variants of a question's video."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from stgrpo.config import Grouping, Selection, VariantRule
from stgrpo.variants.spatial import Spatial, apply_spatial, draw_spatial
from stgrpo.variants.temporal import weighted_frames


@dataclass(frozen=True)
class Variant:
    """One element of a group's video side: frames of the sampled clip, and what is done to the picture."""

    frames: tuple[int, ...]
    spatial: Spatial | None

    def apply(self, clip: np.ndarray) -> np.ndarray:
        """(F, H, W, 3) uint8, the sampled frames -> (K, H, W, 3) uint8, the variant's."""
        chosen = clip[list(self.frames)]
        return apply_spatial(chosen, self.spatial) if self.spatial else chosen


_SELECT = {"weighted": weighted_frames}


def draw_variant(
    grouping: Grouping,
    selection: Selection,
    rule: VariantRule,
    frames: int,
    scores: Sequence[float] | None,
    rng: np.random.Generator,
) -> Variant:
    """One variant of a clip of `frames` frames; every variant of a group is an independent draw.

    Args:
        grouping: `none` is the clip itself.
        selection: how the importance groupings choose the frame of a segment.
        rule: sizes and magnitudes.
        frames: F, the number of frames sampled from the video.
        scores: F importance scores; needed by the importance groupings.
        rng: seeded from what identifies the draw, never from the state of a rank.
    """
    if grouping == "none":
        return Variant(tuple(range(frames)), None)
    if scores is None or len(scores) != frames:
        found = "none" if scores is None else str(len(scores))
        raise ValueError(f"grouping '{grouping}' needs {frames} frame scores, found {found}")
    count = int(rng.integers(rule.min_frames, rule.max_frames + 1))
    chosen = _SELECT[selection](scores, count, rng)
    changed = rng.random() < rule.spatial.probability
    return Variant(chosen, draw_spatial(rule.spatial, rng) if changed else None)
