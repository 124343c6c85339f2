"""The paper checked by its own numbers: averages, differences, and how far Eq. 5 is from uniform sampling.

Everything is recomputed from what its tables print (`workflow/resources/reported.csv`); nothing found is written down.
"""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import ROUND_DOWN, ROUND_HALF_UP, Decimal
from itertools import combinations
from pathlib import Path
from typing import Literal

import numpy as np

from stgrpo.config import QUESTIONS
from stgrpo.errors import UserError
from stgrpo.report.reported import numbers
from stgrpo.variants.temporal import mean_entropy, segments

Verdict = Literal["rounded", "truncated", "does not follow"]
_TENTH = Decimal("0.1")
_FEWEST = 2  # columns of a mean
_NORMAL = 1.96  # standard errors of a 95 % interval
SPREADS = (0.02, 0.05, 0.1, 0.2, 0.5)  # of the cosines inside a segment, for which Eq. 5 is looked at
COUNTS = (2, 6)  # frames of an importance variant, at least and at most
BASELINES = {  # of a table's other rows the first row
    "table1": {"+ GRPO": "Qwen2.5-VL-7B", "+ ST-GRPO": "+ GRPO"},
    "table3": {"ST-GRPO": "GRPO", "Dr.GRPO": "GRPO", "ST-Dr.GRPO": "Dr.GRPO"},
}


@dataclass(frozen=True)
class PaperRow:
    """A row of the paper: its numbers by benchmark, and its average as printed."""

    table: str
    name: str
    values: Mapping[str, Decimal]
    average: Decimal | None


@dataclass(frozen=True)
class Average:
    """What a printed average is the mean of.

    Attributes:
        columns: those that explain the most averages of its table.
        mean: of these columns.
        verdict: how the printed one comes from it.
    """

    row: PaperRow
    columns: tuple[str, ...]
    mean: Decimal
    verdict: Verdict


@dataclass(frozen=True)
class Claim:
    """What the text says of a row against its baseline: that it is higher, or lower, on these benchmarks."""

    words: str
    table: str
    row: str
    higher: bool
    columns: tuple[str, ...]


# The words are the paper's: of the caption of Table 1 and of its text. Which benchmarks the second means is our
# reading: all but TempCompass, on which that row gains most. Of the third we know no more than these words; which rows
# it means is our reading, too: both ST forms against their own.
CLAIMS = (
    Claim("consistently outperforms GRPO", "table1", "+ ST-GRPO", True, tuple(QUESTIONS)),
    Claim(
        "slight decreases on other benchmarks",
        "table2",
        "ST-GRPO (Deterministic Temporal)",
        False,
        tuple(name for name in QUESTIONS if name != "tempcompass"),
    ),
    Claim("across all benchmarks", "table3", "ST-GRPO", True, tuple(QUESTIONS)),
    Claim("across all benchmarks", "table3", "ST-Dr.GRPO", True, tuple(QUESTIONS)),
)


@dataclass(frozen=True)
class Difference:
    """A row minus its baseline on one benchmark, or on their mean; in points.

    Attributes:
        error: its standard error, as if the two had answered different questions.
    """

    row: PaperRow
    baseline: PaperRow
    column: str
    value: float
    error: float

    @property
    def resolved(self) -> bool:
        """Whether a 95 % interval leaves out zero."""
        return abs(self.value) > _NORMAL * self.error


def read_paper(path: Path) -> list[PaperRow]:
    """The rows of all tables, in their order.

    Raises:
        UserError: the file is no table of the paper's numbers, or a column is no benchmark.
    """
    found: dict[tuple[str, str], dict[str, Decimal]] = {}
    for (table, name, column), value in numbers(path).items():
        if column not in (*QUESTIONS, "average"):
            raise UserError(f"{path}: no benchmark '{column}'; known: {', '.join(QUESTIONS)}, average")
        found.setdefault((table, name), {})[column] = Decimal(value)
    return [PaperRow(table, name, values, values.pop("average", None)) for (table, name), values in found.items()]


def averages(rows: Sequence[PaperRow]) -> Iterator[Average]:
    """Every printed average, by the columns over which most averages of its table hold; of equals, the most columns."""
    for table in dict.fromkeys(row.table for row in rows):
        printed = [row for row in rows if row.table == table and row.average is not None]
        columns = max(_subsets(), key=lambda subset: (sum(_follows(row, subset) for row in printed), len(subset)))
        for row in printed:
            yield Average(row, columns, _mean(row, columns), _verdict(row, columns))


def explanations(rows: Sequence[PaperRow]) -> list[tuple[str, ...]]:
    """The sets of columns over which all printed averages of these rows hold, rounded or truncated."""
    return [subset for subset in _subsets() if all(_follows(row, subset) for row in rows if row.average is not None)]


def differences(rows: Sequence[PaperRow]) -> Iterator[Difference]:
    """Every row against its baseline, by benchmark and on the mean of all."""
    for row in rows:
        baseline = baseline_of(row, rows)
        if baseline is None:
            continue
        each = [
            Difference(
                row, baseline, name, float(row.values[name] - baseline.values[name]), _error(row, baseline, name)
            )
            for name in QUESTIONS
        ]
        yield from each
        mean = math.fsum(one.value for one in each) / len(each)
        yield Difference(row, baseline, "mean", mean, math.hypot(*(one.error for one in each)) / len(each))


def distinct(found: Iterable[Difference]) -> list[Difference]:
    """Differences without those that another table repeats, of two rows with the same numbers on one benchmark."""

    def numbers(row: PaperRow) -> tuple[Decimal, ...]:
        return tuple(row.values.values())

    return list({(numbers(one.row), numbers(one.baseline), one.column): one for one in found}.values())


def against(claim: Claim, rows: Sequence[PaperRow]) -> dict[str, Decimal]:
    """The benchmarks on which the tables say otherwise than the text, with the difference."""
    row = next(row for row in rows if (row.table, row.name) == (claim.table, claim.row))
    baseline = baseline_of(row, rows)
    assert baseline is not None, "every claim compares"
    found = {name: row.values[name] - baseline.values[name] for name in claim.columns}
    return {name: value for name, value in found.items() if (value <= 0 if claim.higher else value >= 0)}


def baseline_of(row: PaperRow, rows: Sequence[PaperRow]) -> PaperRow | None:
    """What a row is to be compared with; None for a baseline, and for models of others."""
    same = [other for other in rows if other.table == row.table]
    if row.table in BASELINES:
        name = BASELINES[row.table].get(row.name)
    else:
        name = same[0].name if row is not same[0] else None
    return next((other for other in same if other.name == name), None)


def standard_error(percent: float, questions: int) -> float:
    """Of a share of right answers, in points: sqrt(p (100 - p) / n)."""
    return math.sqrt(percent * (100 - percent) / questions)


def entropy(spread: float, count: int, frames: int = 16) -> float:
    """Entropy of Eq. 5's weights over the largest possible, where a segment's cosines lie evenly over `spread`."""
    scores = np.concatenate([np.linspace(0, spread, len(part)) for part in segments(frames, count)])
    return mean_entropy(scores.tolist(), count)


def _subsets() -> list[tuple[str, ...]]:
    sizes = range(_FEWEST, len(QUESTIONS) + 1)
    return [subset for size in sizes for subset in combinations(QUESTIONS, size)]


def _mean(row: PaperRow, columns: Sequence[str]) -> Decimal:
    return sum((row.values[name] for name in columns), Decimal(0)) / len(columns)


def _verdict(row: PaperRow, columns: Sequence[str]) -> Verdict:
    mean = _mean(row, columns)
    if mean.quantize(_TENTH, ROUND_HALF_UP) == row.average:
        return "rounded"
    return "truncated" if mean.quantize(_TENTH, ROUND_DOWN) == row.average else "does not follow"


def _follows(row: PaperRow, columns: Sequence[str]) -> bool:
    return _verdict(row, columns) != "does not follow"


def _error(row: PaperRow, baseline: PaperRow, name: str) -> float:
    both = (standard_error(float(one.values[name]), QUESTIONS[name]) for one in (row, baseline))
    return math.hypot(*both)
