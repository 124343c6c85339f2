"""The tables of a report: every score with its interval, and every row against its baseline; in percent, in points."""

from collections.abc import Sequence
from dataclasses import dataclass

from stgrpo.report.comparisons import Answers, Comparison, comparisons, scores
from stgrpo.report.contents import TableSpec
from stgrpo.report.reported import Reported, printed
from stgrpo.statistics import Estimate, percent


@dataclass(frozen=True)
class Number:
    """One place of a table: ours, None in a row of the paper alone; and the paper's as printed, where it may stand."""

    ours: Estimate | None
    paper: str | None


@dataclass(frozen=True)
class Compared:
    """A row minus its baseline, by column; both by their labels and their cells."""

    label: str
    baseline: str
    cells: tuple[str, str]
    differences: dict[str, Estimate]


@dataclass(frozen=True)
class TableView:
    """A table as the page shows it: numbers by row and column, and what is compared."""

    spec: TableSpec
    rows: list[tuple[str, list[Number]]]
    compared: list[Compared]

    @property
    def sizes(self) -> list[tuple[str, Estimate]]:
        """By the titles of the benchmarks, a score that tells how many questions and videos there are."""
        measured = next(([n.ours for n in numbers] for _, numbers in self.rows if any(n.ours for n in numbers)), [])
        pairs = zip(self.spec.columns, measured, strict=False)
        return [(column.title, one) for column, one in pairs if one and len(column.over) == 1]

    @property
    def missing_baselines(self) -> list[str]:
        """Labels of rows that have a baseline, which is no row here."""
        cells = {row.cell for row in self.spec.rows}
        return [row.label for row in self.spec.rows if row.cell and row.baseline and row.baseline not in cells]


def table_view(spec: TableSpec, graded: Answers, reported: Reported) -> TableView:
    """Of the graded answers and of what the paper prints, which is nothing where that may not stand beside them."""
    found = scores(spec, graded)
    rows = []
    for row in spec.rows:
        ours = [found.get((row.cell or "", column.name)) for column in spec.columns]
        paper = [printed(reported, row, column) for column in spec.columns]
        rows.append(
            (row.label, [Number(one and percent(one), theirs) for one, theirs in zip(ours, paper, strict=True)])
        )
    return TableView(spec, rows, _compared(comparisons(spec, graded)))


def _compared(found: Sequence[Comparison]) -> list[Compared]:
    by_row: dict[tuple[str, str], Compared] = {}
    for one in found:
        labels = (one.row.label, one.baseline.label)
        cells = (one.row.cell or "", one.baseline.cell or "")
        row = by_row.setdefault(labels, Compared(*labels, cells, {}))
        row.differences[one.column.name] = percent(one.estimate)
    return list(by_row.values())
