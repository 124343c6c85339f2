"""Errors and intervals against hand computation, statsmodels by another route, a bootstrap and simulated truth."""

import math
from collections.abc import Callable

import numpy as np
import pytest

from stgrpo.records import Graded
from stgrpo.statistics import Estimate, Value, clustered, of_questions, over_seeds, score

SLOW = pytest.mark.slow
ABC = ["a", "a", "b", "c"]


def simple(values: list[float], videos: list[str]) -> Estimate:
    """One sample whose questions weigh the same."""
    return clustered(values, [1 / len(values)] * len(values), [""] * len(values), videos)


def test_the_sandwich_by_hand():
    """Credits 1, 0 of video a, 1 of b, 1 of c: mean 3/4, residuals by video -1/2, 1/4, 1/4, squares 3/8.

    Over 4 squared and times 3 / 2: variance 9 / 256. Student's quantile at 2 degrees is 4.302653, and its two-sided p
    there is 1 - t / sqrt(2 + t²) with t = 4.
    """
    found = simple([1, 0, 1, 1], ABC)
    assert (found.value, found.n, found.clusters, found.seeds) == (0.75, 4, 3, 1)
    assert found.error == pytest.approx(3 / 16)
    assert found.low == pytest.approx(0.75 - 4.302653 * 3 / 16, abs=1e-6)
    assert found.high == pytest.approx(0.75 + 4.302653 * 3 / 16, abs=1e-6)
    assert found.p == pytest.approx(1 - 4 / math.sqrt(18))
    assert not found.resolved


def test_one_question_a_video_is_the_textbook_s_error():
    """Without clusters: sqrt(p (1 - p) / (n - 1))."""
    found = simple([1.0] * 30 + [0.0] * 70, [str(i) for i in range(100)])
    assert found.error == pytest.approx(math.sqrt(0.3 * 0.7 / 99))
    assert found.resolved


def test_strata_by_hand():
    """Two parts that weigh 3/4 and 1/4, of two videos each: 1, 0 and 1, 1, 0, 0 (two questions of a video).

    Residuals times a question's weight (3/8 and 1/16), by video: 3/16, -3/16; 1/16, -1/16. Squares 18 / 256 and
    2 / 256, each times 2 / 1 videos: 36 and 4. Degrees: 40² / (36² / 1 + 4² / 1).
    """
    weights, strata = [3 / 8] * 2 + [1 / 16] * 4, ["x", "x", "y", "y", "y", "y"]
    found = clustered([1, 0, 1, 1, 0, 0], weights, strata, list("abccdd"))
    assert found.value == 0.5
    assert found.error == pytest.approx(math.sqrt(40 / 256))
    from scipy.stats import t

    assert found.high == pytest.approx(0.5 + t.ppf(0.975, 1600 / 1312) * math.sqrt(40 / 256))


def test_degrees_are_at_most_the_videos_less_the_strata():
    """Both parts ask of the same three videos: 3 - 2, where Satterthwaite's of two parts apart would be 4."""
    from scipy.stats import t

    found = clustered([1, 0, 0, 1, 0, 0], [1 / 6] * 6, list("xxxyyy"), list("abcabc"))
    assert found.error is not None and found.high is not None
    assert found.high - found.value == pytest.approx(t.ppf(0.975, 1) * found.error)


def test_two_ways_by_hand():
    """Videos add -1, 0, 1, seeds -1/2, 1/2: squares 8 by video, 9/2 by seed, 11/2 by both.

    Over 6 squared, with the factor of two seeds, 2: 14 / 36; of the videos alone, with 3 / 2: 12 / 36; of the seeds
    alone 9 / 36. Degrees: 14² / (12² / 2 + 9² / 1).
    """
    values = [v + s for s in (-0.5, 0.5) for v in (-1, 0, 1)]
    found = clustered(values, [1 / 3] * 6, [""] * 6, list("abc") * 2, [0] * 3 + [1] * 3)
    assert (found.value, found.n, found.clusters, found.seeds) == (0, 3, 3, 2)
    assert found.error == pytest.approx(math.sqrt(14 / 36))
    from scipy.stats import t

    assert found.high == pytest.approx(t.ppf(0.975, 196 / 153) * math.sqrt(14 / 36))


def test_seeds_that_do_not_differ_add_nothing():
    """Twice the same answers are no more videos."""
    once = simple([1, 0, 1, 1], ABC)
    twice = clustered([1, 0, 1, 1] * 2, [1 / 4] * 8, [""] * 8, ABC * 2, [0] * 4 + [1] * 4)
    assert (twice.value, twice.n, twice.clusters, twice.seeds) == (once.value, 4, 3, 2)
    assert (twice.error, twice.low, twice.p) == pytest.approx((once.error, once.low, once.p))


def test_what_weighs_nothing_does_not_count():
    found = clustered([1, 0, 1, 1, 0, 0], [1 / 4] * 4 + [0] * 2, [""] * 4 + ["x"] * 2, [*ABC, "d", "e"])
    assert found == simple([1, 0, 1, 1], ABC)


def test_one_video_says_nothing_of_others():
    assert simple([1, 0, 1, 1], ["a"] * 4) == Estimate(0.75, None, None, None, None, 4, 1, 1)
    two = clustered([1, 0, 1, 0], [1 / 2] * 4, [""] * 4, ["a"] * 4, [0, 0, 1, 1])
    assert two == Estimate(0.5, None, None, None, None, 2, 1, 2)
    assert not two.resolved


STRATA = [  # strata and videos of four questions
    (["x", "x", "y", "y"], ["a", "b", "c", "c"], "one of two has one video"),
    (["x", "y", "z", "u"], ["a", "b", "c", "d"], "all have one question"),
]


@pytest.mark.parametrize(("strata", "videos", "reason"), STRATA, ids=[case[2] for case in STRATA])
def test_a_stratum_of_one_video_says_nothing_of_others(strata: list[str], videos: list[str], reason: str):
    """Nor do several seeds: by video it would count as one that is always so."""
    once = clustered([1, 0, 1, 0], [1 / 4] * 4, strata, videos)
    assert once == Estimate(0.5, None, None, None, None, 4, len(set(videos)), 1)
    twice = clustered([1, 0, 1, 0, 0, 0, 1, 1], [1 / 4] * 8, strata * 2, videos * 2, [0] * 4 + [1] * 4)
    assert twice == Estimate(0.5, None, None, None, None, 4, len(set(videos)), 2)


@pytest.mark.parametrize("seeds", [1, 2])
@pytest.mark.parametrize("value", [0.0, 1.0, 0.1])
def test_values_that_are_all_alike_say_nothing_of_others(value: float, seeds: int):
    """All right, all wrong, or all alike in both: the next video may be otherwise."""
    trainings = [k for k in range(seeds) for _ in range(4)]
    found = clustered([value] * 4 * seeds, [1 / 4] * 4 * seeds, [""] * 4 * seeds, ABC * seeds, trainings)
    assert found.value == pytest.approx(value)
    assert (found.error, found.low, found.high, found.p) == (None, None, None, None)
    assert not found.resolved


def test_the_interval_of_a_score_ends_at_0_and_1():
    """Credits 1, 0, 1, 1: 3/4 and 3/16 by 4.302653 either way; a difference may be negative."""
    graded = [Graded("b", f"q{i}", video, "", 1 / 4, 1.0, "A") for i, video in enumerate(ABC)]
    values = [Value(question, credit) for question, credit in zip(graded, [1, 0, 1, 1], strict=True)]
    cut, whole = score(values), of_questions(values)
    assert (cut.low, cut.high) == (0, 1)
    assert (whole.low, whole.high) == pytest.approx((-0.0567, 1.5567), abs=1e-4)
    assert (cut.value, cut.error, cut.p) == (whole.value, whole.error, whole.p)


def test_over_seeds_by_hand():
    """1, 2, 6: mean 3, deviation sqrt(7), error sqrt(7 / 3), 4.302653 of them either way."""
    found = over_seeds([1, 2, 6])
    assert (found.value, found.n, found.clusters, found.seeds) == (3, 3, 3, 3)
    assert found.error == pytest.approx(math.sqrt(7 / 3))
    assert found.low == pytest.approx(3 - 4.302653 * math.sqrt(7 / 3), abs=1e-5)
    t = 3 / math.sqrt(7 / 3)
    assert found.p == pytest.approx(1 - t / math.sqrt(2 + t**2))


def test_over_one_seed_or_equal_ones():
    assert over_seeds([2.5]) == Estimate(2.5, None, None, None, None, 1, 1, 1)
    assert over_seeds([2.5, 2.5]) == Estimate(2.5, None, None, None, None, 2, 2, 2)


def made_up(rng: np.random.Generator, videos: int, most: int = 18) -> np.ndarray:
    """The video of each question: 1 to `most` a video."""
    return np.repeat(np.arange(videos), rng.integers(1, most + 1, videos))


def stratified(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Credits, weights, strata and videos of three parts that weigh a third each, of unequal sizes."""
    video = made_up(rng, 80)
    stratum = rng.choice(3, len(video), p=[0.6, 0.3, 0.1])
    right = 0.35 + 0.15 * stratum + rng.uniform(-0.3, 0.3, 80)[video]
    credits = (rng.random(len(video)) < right).astype(float)
    return credits, 1 / 3 / np.bincount(stratum)[stratum], stratum, video


def test_statsmodels_clustered_errors_by_another_route():
    """Formulas and its own interval and p, of one sample."""
    import pandas
    import statsmodels.formula.api as smf

    credits, _, _, video = stratified(np.random.default_rng(1))
    fit = smf.ols("y ~ 1", pandas.DataFrame({"y": credits})).fit(
        cov_type="cluster", cov_kwds={"groups": video}, use_t=True
    )
    theirs = fit.t_test([1])
    ours = simple(list(credits), [str(v) for v in video])
    assert ours.value == pytest.approx(float(theirs.effect.squeeze()))
    assert ours.error == pytest.approx(float(theirs.sd.squeeze()))
    assert [ours.low, ours.high] == pytest.approx(theirs.conf_int().squeeze().tolist())
    assert ours.p == pytest.approx(float(theirs.pvalue))


def test_statsmodels_strata_by_another_route():
    """Formulas and its own contrast, which takes the root of each stratum's factor."""
    import pandas
    import statsmodels.formula.api as smf

    credits, weights, stratum, video = stratified(np.random.default_rng(1))
    table = pandas.DataFrame({"y": credits, "s": stratum, "v": video})
    groups = {"groups": table["v"], "use_correction": False}
    fit = smf.ols("y ~ 0 + C(s)", table).fit(cov_type="cluster", cov_kwds=groups)
    videos = table.groupby("s")["v"].nunique().to_numpy()
    theirs = fit.t_test(np.sqrt(videos / (videos - 1)) / 3)
    ours = clustered(list(credits), list(weights), [str(s) for s in stratum], [str(v) for v in video])
    assert ours.value == pytest.approx(float(fit.params.mean()))
    assert ours.error == pytest.approx(float(theirs.sd.squeeze()))


def test_statsmodels_two_ways_by_another_route():
    import pandas
    import statsmodels.formula.api as smf

    rng = np.random.default_rng(2)
    video = np.tile(made_up(rng, 60), 5)
    seed = np.repeat(np.arange(5), len(video) // 5)
    credits = rng.uniform(-0.2, 0.2, 60)[video] + rng.uniform(-0.1, 0.1, 5)[seed] + rng.random(len(video))
    groups = {"groups": np.stack([video, seed], 1), "use_correction": False}
    fit = smf.ols("y ~ 1", pandas.DataFrame({"y": credits})).fit(cov_type="cluster", cov_kwds=groups)
    ours = clustered(
        list(credits), [5 / len(video)] * len(video), [""] * len(video), [str(v) for v in video], list(seed)
    )
    assert ours.error == pytest.approx(math.sqrt(5 / 4) * float(fit.bse.iloc[0]))


def test_a_bootstrap_over_videos_has_the_same_error():
    """Videos drawn with replacement; the parts keep their weights, so each draw weighs its own questions."""
    rng = np.random.default_rng(3)
    credits, weights, stratum, video = stratified(rng)
    sums = np.zeros((80, 3, 2))  # of credits and of questions, by video and part
    np.add.at(sums, (video, stratum), np.stack([credits, np.ones_like(credits)], 1))
    drawn = sums[rng.integers(0, 80, (4000, 80))].sum(1)
    scores = (drawn[..., 0] / drawn[..., 1]).mean(1)
    ours = clustered(list(credits), list(weights), [str(s) for s in stratum], [str(v) for v in video])
    assert ours.error == pytest.approx(scores.std(), rel=0.05)


# Coverage: of 2,000 intervals between 93 and 97 % hold the truth, which is known.

Drawn = tuple[
    np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray | None
]  # values, weights, strata, videos, seeds


def one_score(rng: np.random.Generator) -> Drawn:
    """Half of the answers right on average; a video makes them up to 0.4 easier or harder."""
    video = made_up(rng, 48)
    right = 0.5 + rng.uniform(-0.4, 0.4, 48)[video]
    values = (rng.random(len(video)) < right).astype(float)
    return values, np.full(len(video), 1 / len(video)), np.zeros(len(video)), video, None


def paired(rng: np.random.Generator) -> Drawn:
    """Two policies on the same questions, 0.5 on average both; videos shift them together and apart."""
    video = made_up(rng, 80)
    common, apart = rng.uniform(-0.3, 0.3, 80)[video], rng.uniform(-0.15, 0.15, 80)[video]
    draws = rng.random(len(video))
    values = (draws < 0.5 + common + apart).astype(float) - (draws < 0.5 + common - apart)
    return values, np.full(len(video), 1 / len(video)), np.zeros(len(video)), video, None


def parts(rng: np.random.Generator) -> Drawn:
    """Parts of 0.35, 0.5 and 0.65: on average 0.5."""
    return *stratified(rng), None


def seeds(rng: np.random.Generator, videos: float, trainings: float) -> Drawn:
    """Five seeds that answer the same questions; how far videos and trainings move the share of right ones."""
    video = made_up(rng, 40, 6)
    right = 0.5 + rng.uniform(-videos, videos, 40)[video] + rng.normal(0, trainings, (5, 1))
    values = (rng.random(right.shape) < right).astype(float)
    weights = np.full(values.size, 1 / len(video))
    return values.ravel(), weights, np.zeros(values.size), np.tile(video, 5), np.repeat(np.arange(5), len(video))


def average(rng: np.random.Generator) -> Drawn:
    """The mean of three benchmarks of other sizes; a training moves them all alike."""
    shift = rng.normal(0, 0.03, (5, 1))
    columns = []
    for benchmark, (count, most) in enumerate([(40, 3), (30, 8), (100, 1)]):
        video = made_up(rng, count, most)
        right = 0.4 + 0.1 * benchmark + rng.uniform(-0.25, 0.25, count)[video] + shift
        values = (rng.random(right.shape) < right).astype(float)
        trainings = np.repeat(np.arange(5), len(video))
        strata, weights = np.full(values.size, benchmark), np.full(values.size, 1 / 3 / len(video))
        columns.append((values.ravel(), weights, strata, 1000 * benchmark + np.tile(video, 5), trainings))
    return tuple(np.concatenate(column) for column in zip(*columns, strict=True))  # pyright: ignore


def few_a_stratum(rng: np.random.Generator) -> Drawn:
    """Eight parts that weigh the same, of 0.3 to 0.65: four of 5 videos and four of 40."""
    columns = []
    for part, count in enumerate([5] * 4 + [40] * 4):
        video = made_up(rng, count, 6)
        values = (rng.random(len(video)) < 0.3 + 0.05 * part + rng.uniform(-0.25, 0.25, count)[video]).astype(float)
        columns.append((values, np.full(len(video), 1 / 8 / len(video)), np.full(len(video), part), 100 * part + video))
    return *(np.concatenate(column) for column in zip(*columns, strict=True)), None  # pyright: ignore


COVERED: dict[str, tuple[Callable[[np.random.Generator], Drawn], float]] = {
    "a score": (one_score, 0.5),
    "a paired difference": (paired, 0.0),
    "a score of unequal parts": (parts, 0.5),
    "a score of parts with few videos": (few_a_stratum, 0.475),
    "5 seeds, videos matter": (lambda rng: seeds(rng, 0.4, 0.01), 0.5),
    "5 seeds, trainings matter": (lambda rng: seeds(rng, 0.1, 0.1), 0.5),
    "5 seeds, both matter": (lambda rng: seeds(rng, 0.35, 0.05), 0.5),
    "5 seeds, chance and trainings matter": (lambda rng: seeds(rng, 0.0, 0.05), 0.5),
    "an average over benchmarks, 5 seeds": (average, 0.5),
}


def held(draw: Callable[[np.random.Generator], Drawn], truth: float) -> float:
    """The share of 2,000 intervals that hold the truth."""
    rng = np.random.default_rng(0)
    count = 0
    for _ in range(2000):
        values, weights, strata, videos, trainings = draw(rng)
        found = clustered(values, weights, strata, videos, trainings)  # pyright: ignore
        assert found.low is not None and found.high is not None
        count += found.low <= truth <= found.high
    return count / 2000


@pytest.mark.parametrize("name", [name if name == "a score" else pytest.param(name, marks=SLOW) for name in COVERED])
def test_the_intervals_hold_the_truth_as_often_as_they_say(name: str):
    assert 0.93 <= held(*COVERED[name]) <= 0.97


@SLOW
def test_over_seeds_that_only_chance_moves_the_intervals_are_rather_too_wide():
    """No error is below that of the videos or the seeds alone: on the safe side where both are nothing but chance."""
    assert 0.95 <= held(lambda rng: seeds(rng, 0.0, 0.0), 0.5) <= 0.99
