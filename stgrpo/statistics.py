"""How sure a number is: means of credits with their 95 % intervals, by statsmodels and scipy.

The questions of one video are no independent ones, nor are the answers of one trained policy: errors are clustered by
video, and by seed too where there are several.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from stgrpo.records import Graded

_LEVEL = 0.95


@dataclass(frozen=True)
class Estimate:
    """A mean, or a difference of two, in the unit of the values that it was made from.

    Attributes:
        value: the mean, always known.
        error: standard error; None where nothing can be said: of one video or one seed, with a stratum of one video,
            and where all values are alike, which is no certainty that others would be.
        low: lower end of the 95 % interval; None as `error`.
        high: upper end; None as `error`.
        p: two-sided, against 0; None as `error`.
        n: values (questions) of one seed that count.
        clusters: videos among them.
        seeds: trainings that they come from.
    """

    value: float
    error: float | None
    low: float | None
    high: float | None
    p: float | None
    n: int
    clusters: int
    seeds: int

    @property
    def testable(self) -> bool:
        """Whether anything can be said of others, and so whether chance alone could resolve it."""
        return self.p is not None

    @property
    def resolved(self) -> bool:
        """Whether the interval leaves out 0."""
        return self.p is not None and self.p < 1 - _LEVEL


@dataclass(frozen=True)
class Value:
    """What one question gave: its credit, or a difference of two."""

    question: Graded
    value: float
    seed: int = 0


def score(values: Iterable[Value], benchmarks: int = 1) -> Estimate:
    """Share of right answers, as `of_questions`; its interval ends at 0 and 1."""
    found = of_questions(values, benchmarks)
    if found.low is None or found.high is None:
        return found
    return replace(found, low=max(found.low, 0.0), high=min(found.high, 1.0))


def percent(estimate: Estimate) -> Estimate:
    """A share as percent, a difference of shares as points."""
    hundred = {
        name: None if value is None else 100 * value
        for name in ("value", "error", "low", "high")
        for value in [getattr(estimate, name)]
    }
    return replace(estimate, **hundred)


def of_questions(values: Iterable[Value], benchmarks: int = 1) -> Estimate:
    """Mean over all questions of one benchmark, or the unweighted mean of several; over seeds where there are some."""
    found = list(values)
    return clustered(
        [v.value for v in found],
        [v.question.weight / benchmarks for v in found],
        [f"{v.question.benchmark}/{v.question.stratum}" for v in found],
        [f"{v.question.benchmark}/{v.question.video}" for v in found],
        [v.seed for v in found],
    )


def clustered(
    values: Sequence[float],
    weights: Sequence[float],
    strata: Sequence[str],
    clusters: Sequence[str],
    seeds: Sequence[int] | None = None,
) -> Estimate:
    """Weighted sum of values with an error that is clustered by video, and by seed where there are several.

    It is the linear combination L'b of a regression on one dummy a stratum, where L is what each stratum weighs; its
    covariance is statsmodels' sandwich, with the small-sample factor n / (n - 1) of each stratum's own n videos. Its
    quantiles are Student's; the degrees are Satterthwaite's from those of the strata, at most the videos less the
    strata.

    Two ways add as Cameron, Gelbach and Miller (2011) have it, by video plus by seed minus by both, all three with the
    factor of the fewer clusters: with a factor each, the variance is up to 15 % too small where videos and seeds matter
    alike. It is never below either way alone. Its degrees are Satterthwaite's, from those of the two ways.
    Simulated with 5 seeds, 94 to 97 % of the intervals hold the truth, whichever way matters more, and 98 % where
    neither does; where seeds matter most, 93 % do with 3 seeds and 90 % with 2. Near 0 or 100 % with few videos the
    intervals are too narrow, as all are that add an error to a mean: of 6.5 % over 48 videos, 86 % hold the truth. Of
    2 %, 38 % of the samples are all wrong and have no interval.

    Args:
        values: (N,), of all seeds one after another.
        weights: (N,), each question's share of its seed's sum; those of a seed sum to 1 for a mean. A value that weighs
            nothing does not count.
        strata: (N,), the sample that a value belongs to; those of one stratum are compared with its mean.
        clusters: (N,), the video.
        seeds: (N,), None for one.

    Returns:
        The sum over a seed's values, averaged over the seeds.
    """
    import numpy as np

    counted = np.asarray(weights, dtype=float) > 0
    y, w = np.asarray(values, dtype=float)[counted], np.asarray(weights, dtype=float)[counted]
    _, stratum = np.unique(np.asarray(strata)[counted], return_inverse=True)
    videos, video = np.unique(np.asarray(clusters)[counted], return_inverse=True)
    trainings, seed = np.unique(np.zeros(len(y)) if seeds is None else np.asarray(seeds)[counted], return_inverse=True)
    value = math.fsum(y * w) / len(trainings)
    sizes = (len(y) // len(trainings), len(videos), len(trainings))
    in_stratum = np.bincount(np.unique(np.stack([stratum, video]), axis=1)[0])  # videos
    if in_stratum.min() < 2:
        return _unsure(value, sizes)
    variance, degrees = _variance(y, w / len(trainings), stratum, video, seed, in_stratum)
    if variance <= (1e-10 * np.abs(y).max()) ** 2:  # what rounding leaves of values that are all alike
        return _unsure(value, sizes)
    return _estimate(value, math.sqrt(variance), degrees, sizes)


def over_seeds(values: Sequence[float]) -> Estimate:
    """Mean of one number a seed (or one difference a seed), with Student's interval over the seeds."""
    import numpy as np
    from scipy.stats import ttest_1samp

    value, count = math.fsum(values) / len(values), len(values)
    if max(values) == min(values):  # one seed, or seeds that are all alike
        return _unsure(value, (count, count, count))
    test: Any = ttest_1samp(values, 0)
    low, high = test.confidence_interval(_LEVEL)
    error = float(np.std(values, ddof=1)) / math.sqrt(count)
    return Estimate(value, error, float(low), float(high), float(test.pvalue), count, count, count)


def _variance(y, w, stratum, video, seed, in_stratum) -> tuple[float, float]:
    """Variance of sum(w * y) and its degrees of freedom.

    Args:
        y: (N,) as w, stratum, video and seed; those three are codes from 0.
        in_stratum: (strata,), videos in each.
    """
    import numpy as np
    from statsmodels.stats.sandwich_covariance import cov_cluster, cov_cluster_2groups

    dummies = np.eye(len(in_stratum))[stratum]  # (N, strata)
    share = w @ dummies  # L
    # The regression's scores and the bread of its sandwich: its coefficients are the strata's means, its cross products
    # their weights. statsmodels' own regression would be twice as much to import.
    left = w * (y - (w * y @ dummies / share)[stratum])  # (N,)
    fit = left[:, None] * dummies, np.diag(1 / share)
    of_videos = cov_cluster(fit, video, use_correction=False)

    def of_sum(covariance, clusters) -> float:
        """With n / (n - 1) of each stratum's clusters; what two strata share takes the root of both factors."""
        scaled = share * np.sqrt(clusters / (clusters - 1))
        return float(scaled @ covariance @ scaled)

    by_video = of_sum(of_videos, in_stratum)
    each = share**2 * np.diag(of_videos) * in_stratum / (in_stratum - 1)  # (strata,)
    videos = float(video.max() + 1 - len(in_stratum))
    if each.any():
        videos = min(videos, each.sum() ** 2 / (each**2 / (in_stratum - 1)).sum())
    videos, trainings = max(videos, 1.0), seed.max() + 1
    if trainings == 1:
        return by_video, videos
    added, _, of_seeds = cov_cluster_2groups(fit, video, seed, use_correction=False)
    by_seed = of_sum(of_seeds, trainings)
    variance = max(of_sum(added, np.minimum(in_stratum, trainings)), by_video, by_seed)
    if not variance:
        return 0.0, videos
    return variance, min(videos, variance**2 / (by_video**2 / videos + by_seed**2 / (trainings - 1)))


def _estimate(value: float, error: float, degrees: float, sizes: tuple[int, int, int]) -> Estimate:
    from scipy.special import stdtr, stdtrit  # Student's distribution and its quantiles; scipy.stats takes a second

    half = float(stdtrit(degrees, (1 + _LEVEL) / 2)) * error
    return Estimate(value, error, value - half, value + half, float(2 * stdtr(degrees, -abs(value) / error)), *sizes)


def _unsure(value: float, sizes: tuple[int, int, int]) -> Estimate:
    """A mean of which no more can be said."""
    return Estimate(value, None, None, None, None, *sizes)
