"""What the advantages did to rare right answers: does the bias that the paper is about show in our trainings?

A group of n answers, k of them right, with rewards 1 and 0 (the format reward, where all answers have it, cancels), has
mean k / n and standard deviation sqrt(k (n - k) / (n (n - 1))). So a right answer's advantage is

    GRPO      (1 - k / n) / std = sqrt((n - k) / k * (n - 1) / n)
    Dr.GRPO    1 - k / n

and a rare right answer (k = 1) pulls sqrt(n - 1) times as much as one of an even group (k = n / 2) under GRPO, and
2 (n - 1) / n times under Dr.GRPO: 2.65 and 1.75 for n = 8. How often there are such groups the formula does not say,
and it does not hold where answers differ in format or are partly right; hence the groups of our own logs.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from stgrpo.records import Group
from stgrpo.report.svg import drawing, line_style, marker, to_svg
from stgrpo.specs import TrainSpec
from stgrpo.statistics import Estimate, over_seeds

Runs = Mapping[int, Sequence[Group]]  # one cell's groups by seed

# An answer of which at least half is right counts as right: an estimate or a transcript is hardly ever right to the
# last digit, and one of ROUGE's parts is 0 for a truth of a single word, which scores 2/3 when it is matched.
_RIGHT = 0.5
_NOTHING = 0.01  # a group pulls nowhere in which no |A| reaches it: rounding alone leaves less
_EPS = 1e-4  # the training adds it to the standard deviation
_RARE = 4  # right answers are rare in a group if at most a quarter of its answers are right


@dataclass(frozen=True)
class Level:
    """The groups with so many right answers; numbers are means over those seeds that have such groups.

    Attributes:
        correct: right answers in a group, 0 to n.
        groups: how many, of all seeds.
        share: of all groups.
        signal: of the sum of |A| over all answers of the training.
        right: mean |A| of a right answer, None where there is none.
        wrong: mean |A| of a wrong answer, None where there is none.
        expected_right: |A| by the closed form, None where it says nothing.
        expected_wrong: likewise.
    """

    correct: int
    groups: int
    share: Estimate
    signal: Estimate | None
    right: Estimate | None
    wrong: Estimate | None
    expected_right: float | None
    expected_wrong: float | None


@dataclass(frozen=True)
class Bias:
    """One cell.

    Attributes:
        size: answers in a group, n.
        seeds: trainings.
        groups: of all of them.
        levels: by number of right answers, 0 to n.
        rarity: |A| of the right answer of a group with k = 1, over that of one with k = n / 2; None without both.
        expected_rarity: by the closed form.
        rare_answers: of the right answers in groups that teach, the share in groups with k up to n / 4.
        rare_pull: of the sum of |A| of right answers, the share of those; above `rare_answers` they weigh more than
            others.
        flat: share of groups that teach nothing.
        flat_right: of them, those with all answers right, as a share of all groups.
        flat_wrong: likewise, all wrong.
    """

    cell: str
    size: int
    seeds: int
    groups: int
    levels: tuple[Level, ...]
    rarity: Estimate | None
    expected_rarity: float | None
    rare_answers: Estimate | None
    rare_pull: Estimate | None
    flat: Estimate
    flat_right: Estimate
    flat_wrong: Estimate


@dataclass(frozen=True)
class _Counted:
    """One training; arrays are (n + 1,), by number of right answers in a group."""

    size: int
    groups: np.ndarray
    pull: np.ndarray  # sum of |A|
    pull_of_right: np.ndarray
    flat: np.ndarray  # groups

    def share(self, level: int) -> float:
        return self.groups[level] / self.groups.sum()

    def signal(self, level: int) -> float:
        return _ratio(self.pull[level], self.pull.sum())

    def right(self, level: int) -> float:
        return _ratio(self.pull_of_right[level], self.groups[level] * level)

    def wrong(self, level: int) -> float:
        return _ratio((self.pull - self.pull_of_right)[level], self.groups[level] * (self.size - level))

    def rarity(self) -> float:
        return _ratio(self.right(1), self.right(self.size // 2))

    def rare_answers(self) -> float:
        answers = (self.groups - self.flat) * np.arange(self.size + 1)
        return _ratio(answers[: self.size // _RARE + 1].sum(), answers.sum())

    def rare_pull(self) -> float:
        return _ratio(self.pull_of_right[: self.size // _RARE + 1].sum(), self.pull_of_right.sum())

    def flat_share(self) -> float:
        return self.flat.sum() / self.groups.sum()


def bias(cell: str, spec: TrainSpec, runs: Runs) -> Bias:
    """What the groups of a cell's trainings show.

    Args:
        cell: its name.
        spec: of one of the trainings; all but the seed is the same for all.
        runs: groups.jsonl by seed.
    """
    size, half = spec.group, spec.group // 2
    counted = [_count(groups, size) for groups in runs.values()]

    def mean(of: Callable[[_Counted], float]) -> Estimate | None:
        values = [float(value) for one in counted if not math.isnan(value := of(one))]
        return over_seeds(values) if values else None

    def known(of: Callable[[_Counted], float]) -> Estimate:
        return over_seeds([float(of(one)) for one in counted])

    rare, even = closed_form(spec, 1), closed_form(spec, half)
    return Bias(
        cell=cell,
        size=size,
        seeds=len(counted),
        groups=int(sum(one.groups.sum() for one in counted)),
        levels=tuple(_level(spec, level, counted, mean, known) for level in range(size + 1)),
        rarity=mean(_Counted.rarity),
        expected_rarity=rare[0] / even[0] if rare and even else None,
        rare_answers=mean(_Counted.rare_answers),
        rare_pull=mean(_Counted.rare_pull),
        flat=known(_Counted.flat_share),
        flat_right=known(lambda one: one.flat[size] / one.groups.sum()),
        flat_wrong=known(lambda one: one.flat[0] / one.groups.sum()),
    )


def closed_form(spec: TrainSpec, correct: int) -> tuple[float, float] | None:
    """|A| of a right and of a wrong answer of a group, by the formulas above.

    None where all or no answers are right, and where the answers to one variant are a pool of their own.
    """
    size = spec.group
    if not 0 < correct < size or spec.pool == "variant":
        return None
    std = math.sqrt(correct * (size - correct) / (size * (size - 1)))
    scale = std + _EPS if spec.algorithm == "grpo" else 1
    return (1 - correct / size) / scale, correct / size / scale


def flat_difference(first: Runs, later: Runs) -> Estimate:
    """Share of groups that teach nothing of a later cell minus that of the first, seed by seed."""

    def share(groups: Sequence[Group]) -> float:
        return _count(groups, len(groups[0].correct)).flat_share()

    return over_seeds([float(share(later[seed]) - share(first[seed])) for seed in sorted(first.keys() & later.keys())])


def pull_svg(found: Sequence[Bias]) -> str:
    """|A| of right answers by their number in the group: cells as points with their intervals, closed forms as lines.

    Points of one level stand side by side, in the order of the cells.
    """
    return _by_level(found, "bias-pull", "|A| of a right answer", _pull, expected=True)


def shares_svg(found: Sequence[Bias]) -> str:
    """Share of groups by number of right answers, a line a cell."""
    return _by_level(found, "bias-shares", "share of groups", _share, expected=False)


def _pull(level: Level) -> Estimate | None:
    """None where all are right: then none pulls."""
    return level.right if level.wrong else None


def _share(level: Level) -> Estimate:
    return level.share


def _level(spec: TrainSpec, level: int, counted: Sequence[_Counted], mean, known) -> Level:
    expected = closed_form(spec, level)
    return Level(
        correct=level,
        groups=int(sum(one.groups[level] for one in counted)),
        share=known(lambda one: one.share(level)),
        signal=mean(lambda one: one.signal(level)),
        right=mean(lambda one: one.right(level)),
        wrong=mean(lambda one: one.wrong(level)),
        expected_right=expected[0] if expected else None,
        expected_wrong=expected[1] if expected else None,
    )


def _count(groups: Sequence[Group], size: int) -> _Counted:
    right = np.array([group.correct for group in groups]) >= _RIGHT  # (groups, n)
    pull = np.abs([group.advantages for group in groups])  # (groups, n)
    level = right.sum(1)  # (groups,)

    def by_level(weights: np.ndarray) -> np.ndarray:
        return np.bincount(level, weights, minlength=size + 1)

    return _Counted(
        size=size,
        groups=by_level(np.ones(len(groups))),
        pull=by_level(pull.sum(1)),
        pull_of_right=by_level((pull * right).sum(1)),
        flat=by_level((pull.max(1) < _NOTHING).astype(float)),
    )


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole else math.nan


def _by_level(
    found: Sequence[Bias], name: str, label: str, of: Callable[[Level], Estimate | None], expected: bool
) -> str:
    with drawing(4.6, 3.0) as (figure, (axis,)):
        for position, one in enumerate(found):
            if expected:
                curve = [(level.correct, level.expected_right) for level in one.levels if level.expected_right]
                axis.plot(*zip(*curve, strict=True), color="#c9ced6", linewidth=5, solid_capstyle="round", zorder=1)
            shift = 0.12 * (position - (len(found) - 1) / 2)
            measured = [(level.correct + shift, value) for level in one.levels if (value := of(level))]
            style = line_style(position)
            for x, value in measured:
                if value.low is not None:
                    axis.plot([x, x], [value.low, value.high], color=style["color"], linewidth=1)
            points = [x for x, _ in measured], [value.value for _, value in measured]  # empty where all are flat
            line = {"color": style["color"], "linestyle": "none"} if expected else style
            axis.plot(*points, marker=marker(position), markersize=4, linewidth=1, label=one.cell, **line)
        if expected:
            axis.plot([], [], color="#c9ced6", linewidth=5, label="closed form")
        size = max(one.size for one in found)
        axis.set(xlabel="right answers in the group", ylabel=label, xticks=range(size + 1))
        # Intervals may leave the axes: those of two seeds are six times as long.
        levels = [level for one in found for level in one.levels]
        heights = [value.value for level in levels if (value := of(level))]
        heights += [level.expected_right for level in levels if expected and level.expected_right]
        axis.set_ylim(0, 1.15 * max(heights, default=0) or 1)
        axis.legend(frameon=False, fontsize=8)
        return to_svg(figure, name, f"{label} by number of right answers in the group")
