"""The audit of the paper's own numbers (`stgrpo.report.audit`) as tables of a page."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from math import exp

from stgrpo.config import QUESTIONS
from stgrpo.report import audit
from stgrpo.report.audit import Average, Claim, Difference, PaperRow


@dataclass(frozen=True)
class AveragesOf:
    """The printed averages of one of the paper's tables; `left_out` are the columns that most of them are not over."""

    table: str
    left_out: list[str]
    averages: list[Average]


@dataclass(frozen=True)
class DifferencesOf:
    """A row against its baseline: on every benchmark, then on their mean."""

    table: str
    row: str
    baseline: str
    differences: list[Difference]


@dataclass(frozen=True)
class Weighed:
    """A claim of the text, and the benchmarks on which the tables say otherwise."""

    claim: Claim
    contrary: dict[str, Decimal]


@dataclass(frozen=True)
class Entropy:
    """How far Eq. 5 is from uniform, 1, for cosines that span `spread` inside a segment; by number of frames."""

    spread: float
    ratio: float
    entropy: dict[int, float]


@dataclass(frozen=True)
class Paper:
    """All of the audit."""

    averages: list[AveragesOf]
    differences: list[DifferencesOf]
    claims: list[Weighed]
    entropies: list[Entropy]

    @property
    def wrong(self) -> list[Average]:
        """Averages that are not the mean of their columns."""
        return [one for of in self.averages for one in of.averages if one.verdict == "does not follow"]

    @property
    def truncated(self) -> int:
        """Averages that are cut off instead of rounded."""
        return sum(one.verdict == "truncated" for of in self.averages for one in of.averages)

    @property
    def single(self) -> list[Difference]:
        """Differences on one benchmark, with those that another table repeats."""
        return [one for of in self.differences for one in of.differences if one.column != "mean"]

    @property
    def once(self) -> list[Difference]:
        """Differences on one benchmark, each once."""
        return audit.distinct(self.single)


def paper(rows: Sequence[PaperRow]) -> Paper:
    """Recomputed from what its tables print."""
    found = list(audit.averages(rows))
    compared = list(audit.differences(rows))
    return Paper(
        averages=[_averages([one for one in found if one.row.table == table]) for table in _tables(found)],
        differences=[
            _differences([one for one in compared if (one.row.table, one.row.name) == row])
            for row in dict.fromkeys((one.row.table, one.row.name) for one in compared)
        ],
        claims=[Weighed(claim, audit.against(claim, rows)) for claim in audit.CLAIMS],
        entropies=[
            Entropy(spread, exp(spread), {count: audit.entropy(spread, count) for count in audit.COUNTS})
            for spread in audit.SPREADS
        ],
    )


def _tables(found: Sequence[Average]) -> list[str]:
    return list(dict.fromkeys(one.row.table for one in found))


def _averages(own: list[Average]) -> AveragesOf:
    return AveragesOf(own[0].row.table, [name for name in QUESTIONS if name not in own[0].columns], own)


def _differences(own: list[Difference]) -> DifferencesOf:
    return DifferencesOf(own[0].row.table, own[0].row.name, own[0].baseline.name, own)
