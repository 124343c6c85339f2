"""Which frames of the sampled clip a variant shows."""

from collections.abc import Sequence

import numpy as np

from stgrpo.rules import TemporalRule


def every(frames: int, number: int, variants: int) -> tuple[int, ...]:
    """Deterministic: from frame `number` on every `variants`-th one; together the variants show each frame once."""
    return tuple(range(number, frames, variants))


def cropped(frames: int, rule: TemporalRule, rng: np.random.Generator) -> tuple[int, ...]:
    """Stochastic: a stretch of the clip, then every first to every third frame of it; two frames at least.

    Length: round(U(0.6, 0.9) * frames), its start uniform, the stride uniform in 1..3, by the defaults of the rule.
    """
    length = max(2, round(rng.uniform(rule.shortest, rule.longest) * frames))
    start = int(rng.integers(0, frames - length + 1))
    stride = min(int(rng.integers(1, rule.max_stride + 1)), length - 1)
    return tuple(range(start, start + length, stride))


def segments(frames: int, count: int) -> list[range]:
    """Cut 0..frames into `count` consecutive parts as equal as integers allow."""
    return [range(k * frames // count, (k + 1) * frames // count) for k in range(count)]


def importance_weights(scores: Sequence[float], temperature: float = 1.0) -> np.ndarray:
    """Probabilities of the frames of one segment: softmax of the cosine, raw at temperature 1 (paper Eq. 5)."""
    raised = np.exp((np.asarray(scores, np.float64) - np.max(scores)) / temperature)
    return raised / raised.sum()


def weighted_frames(
    scores: Sequence[float], count: int, rng: np.random.Generator, temperature: float = 1.0
) -> tuple[int, ...]:
    """One frame of every segment, drawn by Eq. 5; ascending. Equal scores draw uniformly."""
    parts = segments(len(scores), min(count, len(scores)))
    return tuple(int(rng.choice(part, p=importance_weights([scores[f] for f in part], temperature))) for part in parts)


def top_frames(scores: Sequence[float], count: int) -> tuple[int, ...]:
    """The best frame of every segment, the first of equals; variants then differ by `count` (paper Table 5)."""
    parts = segments(len(scores), min(count, len(scores)))
    return tuple(max(part, key=lambda frame: scores[frame]) for part in parts)


def mean_entropy(scores: Sequence[float], count: int, temperature: float = 1.0) -> float:
    """Entropy of Eq. 5's weights over the largest it could be, mean over the segments: 1 is uniform sampling."""
    shares = []
    for part in segments(len(scores), min(count, len(scores))):
        if len(part) > 1:
            weights = importance_weights([scores[f] for f in part], temperature)
            weights = weights[weights > 0]  # a sharp one may be too small for a float
            shares.append(-(weights * np.log(weights)).sum() / np.log(len(part)))
    return float(np.mean(shares)) if shares else 1.0
