"""A table's scores and its rows' differences from their baselines, question by question, with 95 % intervals."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from stgrpo.config import Row
from stgrpo.errors import UserError
from stgrpo.records import Graded
from stgrpo.report.contents import Column, TableSpec
from stgrpo.statistics import Estimate, Value, of_questions, score

Answers = Mapping[tuple[str, int], Sequence[Graded]]  # by cell and seed


@dataclass(frozen=True)
class Comparison:
    """A row minus its baseline in one column; the estimate is a share, not percent."""

    row: Row
    baseline: Row
    column: Column
    estimate: Estimate


def scores(table: TableSpec, graded: Answers) -> dict[tuple[str, str], Estimate]:
    """The score of every row's cell in every column, a share, over all seeds; by cell and the column's name.

    A seed's effect is common to all benchmarks, so a mean of columns is one estimate over all of their questions.
    """
    runs = {row.cell: _runs(row.cell, graded) for row in table.rows if row.cell}
    return {
        (cell, column.name): score(_credits(found, column), len(column.over))
        for cell, found in runs.items()
        for column in table.columns
    }


def comparisons(table: TableSpec, graded: Answers) -> list[Comparison]:
    """Every row that has a baseline in the table, in every column; seed by seed where there are several.

    Raises:
        UserError: the two did not answer the same questions, or have other seeds.
    """
    rows = {row.cell: row for row in table.rows if row.cell}
    return [
        Comparison(row, rows[row.baseline], column, of_questions(differences, len(column.over)))
        for row in table.rows
        if row.cell and row.baseline in rows
        for column in table.columns
        for differences in [list(_differences(table.name, row.cell, row.baseline, column, graded))]
    ]


def of_seed(graded: Answers, seed: int) -> Answers:
    """One seed's answers; a cell that has another one only, for it is not trained, keeps that."""
    cells = {cell for cell, _ in graded}
    alone = {cell: min(runs) for cell in cells if len(runs := _runs(cell, graded)) == 1}
    return {(cell, k): found for (cell, k), found in graded.items() if alone.get(cell, seed) == k}


def _runs(cell: str, graded: Answers) -> dict[int, Sequence[Graded]]:
    return {seed: found for (name, seed), found in sorted(graded.items(), key=lambda run: run[0]) if name == cell}


def _credits(runs: Mapping[int, Sequence[Graded]], column: Column) -> Iterator[Value]:
    for seed, found in runs.items():
        yield from (Value(g, g.credit, seed) for g in found if g.benchmark in column.over)


def _differences(table: str, cell: str, baseline: str, column: Column, graded: Answers) -> Iterator[Value]:
    ours, theirs = _runs(cell, graded), _runs(baseline, graded)
    for seed in max((ours, theirs), key=len):
        pair = [_at(table, name, runs, seed) for name, runs in ((cell, ours), (baseline, theirs))]
        mine, other = ({(g.benchmark, g.question): g for g in run if g.benchmark in column.over} for run in pair)
        if {key: g.weight for key, g in mine.items()} != {key: g.weight for key, g in other.items()}:
            raise UserError(
                f"{table}: cells '{cell}' and '{baseline}' did not answer the same questions of "
                f"{', '.join(column.over)}; evaluate both again (snakemake TARGET -R evaluate)"
            )
        yield from (Value(g, g.credit - other[key].credit, seed) for key, g in mine.items())


def _at(table: str, cell: str, runs: Mapping[int, Sequence[Graded]], seed: int) -> Sequence[Graded]:
    """A seed's answers, or the only ones that there are."""
    if len(runs) == 1:
        return next(iter(runs.values()))
    if seed not in runs:
        raise UserError(
            f"{table}: cell '{cell}' has seeds {', '.join(map(str, runs))}, but not {seed}, which it is compared at; "
            "give the scores of the same seeds"
        )
    return runs[seed]
