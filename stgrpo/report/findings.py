"""What a report found, in sentences that are made from its numbers: what is resolved, and what is not."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from stgrpo.report.bias import Bias
from stgrpo.report.failures import Failures
from stgrpo.report.rounding import half_up
from stgrpo.report.table_views import TableView
from stgrpo.report.trainings import BiasView, FigureView
from stgrpo.statistics import Estimate

Tone = Literal["up", "down", "mid", ""]
_CHANCE = 0.05  # of a difference that is none being resolved


@dataclass(frozen=True)
class Finding:
    """A sentence or two, what it amounts to in a word, and whether that is up, down, undecided or neither."""

    badge: str
    tone: Tone
    text: str


@dataclass(frozen=True)
class Difference:
    """A cell minus another one over some benchmarks, in points."""

    cell: str
    baseline: str
    over: tuple[str, ...]
    estimate: Estimate

    @property
    def told(self) -> str:
        """In words."""
        amount = _amount(self.estimate.value, 1, "above", "below", "as high as")
        return f"{self.cell} is {amount} {self.baseline}{_interval(self.estimate, 1)}"


def differences(tables: Iterable[TableView]) -> list[Difference]:
    """All that are compared, each once: tables share rows and columns."""
    found: dict[tuple[str, str, tuple[str, ...]], Difference] = {}
    for table in tables:
        for row in table.compared:
            for column in table.spec.columns:
                if column.name in row.differences:
                    key = (*row.cells, tuple(sorted(column.over)))
                    found.setdefault(key, Difference(*key, row.differences[column.name]))
    return list(found.values())


def on_average(compared: Sequence[Difference]) -> list[Difference]:
    """Those in the mean over the most benchmarks."""
    most = max((len(one.over) for one in compared), default=0)
    return [one for one in compared if len(one.over) == most > 1]


def findings(
    compared: Sequence[Difference], figures: Sequence[FigureView], bias: BiasView | None, failures: Failures
) -> list[Finding]:
    """The mechanism, the scores, the bias, and what was left out."""
    return [
        *_mechanism(figures),
        *_means(on_average(compared)),
        *_single([one for one in compared if len(one.over) == 1]),
        *(_bias(bias) if bias else []),
        _left_out(failures),
    ]


def _mechanism(figures: Sequence[FigureView]) -> Iterator[Finding]:
    for figure in figures:
        for one in figure.contrasts:
            amount = _amount(one.estimate.value, 3, "more than", "less than", "as much as")
            label = figure.spec.label[:1].upper() + figure.spec.label[1:]
            interval = _interval(one.estimate, 3)
            text = f"{label}, mean over the steps: {one.cell} has {amount} {one.baseline}{interval}."
            yield Finding(*_verdict(one.estimate), text)


def _means(found: Sequence[Difference]) -> Iterator[Finding]:
    """What is resolved, upwards and downwards, and what is not."""
    verdicts = [_verdict(one.estimate) for one in found]
    for verdict in sorted(set(verdicts), reverse=True):
        told = "; ".join(one.told for one, its in zip(found, verdicts, strict=True) if its == verdict)
        yield Finding(*verdict, f"Mean over {len(found[0].over)} benchmarks, in points: {told}.")


def _single(found: Sequence[Difference]) -> Iterator[Finding]:
    testable = [one.estimate for one in found if one.estimate.testable]
    if testable:
        resolved = sum(estimate.resolved for estimate in testable)
        text = (
            f"On single benchmarks {resolved} of {len(testable)} differences between a row and its baseline are "
            f"resolved; if no row differed from its baseline, chance alone would give about "
            f"{half_up(_CHANCE * len(testable), 0)}."
        )
        yield Finding("counted", "", text)


def _bias(bias: BiasView) -> Iterator[Finding]:
    told = [f"{one.cell} {_ratio(one)}" for one in bias.cells if one.rarity]
    if told:
        text = (
            "How hard the only right answer of a group pulls (its |A|), over one of a group half right, and what the "
            f"formula for rewards of 1 and 0, the closed form, says: {'; '.join(told)}."
        )
        yield Finding("measured", "", text)
    for later, first, estimate in bias.flat:
        words = ("points more of them than", "points fewer of them than", "as many of them as")
        amount = _amount(100 * estimate.value, 1, *words)
        text = f"Flat groups, which teach nothing: {later} has {amount} {first}{_interval(estimate, 1, 100)}."
        yield Finding(*_verdict(estimate, better=-1), text)


def _ratio(one: Bias) -> str:
    """Of a rare right answer, as measured and by the closed form."""
    assert one.rarity is not None, "cells that have such groups"
    seeds = _interval(one.rarity, 2) if one.rarity.low is not None else ""
    expected = f" (closed form {half_up(one.expected_rarity, 2)})" if one.expected_rarity else ""
    return f"{half_up(one.rarity.value, 2)}{seeds}{expected}"


def _amount(value: float, digits: int, more: str, less: str, equal: str) -> str:
    """By how much, and in which direction, as it is printed: what is rounded to 0 is equal."""
    amount = half_up(abs(value), digits)
    return f"{amount} {more if value > 0 else less}" if float(amount) else equal


def _left_out(failures: Failures) -> Finding:
    trained = f"; {len(failures.restarts)} of {failures.trainings} trainings took several attempts"
    text = (
        f"{failures.rows_aside:,} rows of the corpora were set aside; {failures.unparsed:,} of {failures.asked:,} "
        f"counted answers have no answer tag{trained if failures.trainings else ''}."
    )
    return Finding("counted", "", text)


def _interval(estimate: Estimate, digits: int, factor: float = 1) -> str:
    """In brackets, or that there is none."""
    if estimate.low is None or estimate.high is None:
        return " (1 seed, no interval)" if estimate.n == 1 else " (no interval)"
    low, high = (half_up(factor * end, digits).replace("-", "−") for end in (estimate.low, estimate.high))
    return f" [{low}, {high}]"


def _verdict(estimate: Estimate, better: int = 1) -> tuple[str, Tone]:
    """In a word, and whether it is for the better; `better` is the sign that is."""
    if estimate.low is None:
        return ("one seed" if estimate.n == 1 else "no interval"), "mid"  # of seeds, n is their number
    if not estimate.resolved:
        return "not resolved", "mid"
    return "resolved", "up" if better * estimate.value > 0 else "down"
