"""What a table or a figure of the active scale holds: which cells and seeds, made by which specs."""

from collections.abc import Iterable
from functools import cache
from itertools import compress

from stgrpo import specs
from stgrpo.config import Experiment, Panel, Row, Table
from stgrpo.rules import Frozen
from stgrpo.specs import Spec


class Column(Frozen):
    """A column of numbers: one benchmark, or the unweighted mean of several, recomputed and never copied.

    Attributes:
        reported: the paper's column of it in reported.csv, None where the paper prints none.
    """

    name: str
    title: str
    over: list[str]
    reported: str | None = None


class TableSpec(Spec):
    """A table of the active scale.

    Attributes:
        comparable: whether its numbers may stand beside the paper's.
        rendered: whether they come from rendered videos and tiny models.
        rows: of cells, and at a comparable scale also those that are known from the paper only.
        omitted: labels of the rows that are not here.
        specs: EvalSpec hashes by "cell/seedK".
    """

    name: str
    scale: str
    comparable: bool
    rendered: bool
    caption: str
    rows: list[Row]
    columns: list[Column]
    omitted: list[str]
    specs: dict[str, str]


class FigureSpec(Spec):
    """A figure of the active scale: panels of cells, and the TrainSpec hashes by "cell/seedK"."""

    name: str
    scale: str
    comparable: bool
    metric: str
    label: str
    panels: list[Panel]
    specs: dict[str, str]


def runs_of(experiment: Experiment, cells: Iterable[str]) -> list[tuple[str, int]]:
    """Every (cell, seed) of these cells; an untrained cell is the same for every seed."""
    seeds = experiment.active.seeds
    return [
        (cell, seed) for cell in dict.fromkeys(cells) for seed in (seeds if cell in experiment.trainable else seeds[:1])
    ]


@cache
def eval_hashes(experiment: Experiment, cell: str, seed: int) -> tuple[str, ...]:
    """Hashes of the specs whose predictions count for a cell."""
    return tuple(specs.eval_spec(experiment, cell, seed, part).hash() for part in experiment.active.evaluation.parts)


def table_spec(experiment: Experiment, name: str) -> TableSpec:
    """A table with the rows that have numbers at the active scale; the labels of the others are the omitted."""
    table, scale = experiment.tables[name], experiment.active
    cells = set(scale.shown_in(name))
    kept = [row.cell in cells if row.cell else scale.comparable for row in table.rows]
    rows = list(compress(table.rows, kept))
    return TableSpec(
        name=name,
        scale=experiment.scale,
        comparable=scale.comparable,
        rendered=scale.world is not None,
        caption=table.caption,
        rows=rows,
        columns=_columns(experiment, table),
        omitted=[row.label for row, shown in zip(table.rows, kept, strict=True) if not shown],
        specs={
            f"{cell}/seed{seed}": ",".join(eval_hashes(experiment, cell, seed))
            for cell, seed in runs_of(experiment, (row.cell for row in rows if row.cell))
        },
    )


def figure_spec(experiment: Experiment, name: str) -> FigureSpec:
    """A figure with the cells that are trained at the active scale, not on request; a panel without any is left out."""
    figure = experiment.figures[name]
    trained = [cell for cell in experiment.trainable if cell in experiment.active.cells]
    kept = [p.model_copy(update={"cells": [cell for cell in p.cells if cell in trained]}) for p in figure.panels]
    panels = [panel for panel in kept if panel.cells]
    return FigureSpec(
        name=name,
        scale=experiment.scale,
        comparable=experiment.active.comparable,
        metric=figure.metric,
        label=figure.label,
        panels=panels,
        specs={
            f"{cell}/seed{seed}": specs.train_spec(experiment, cell, seed).hash()
            for cell, seed in runs_of(experiment, (cell for panel in panels for cell in panel.cells))
        },
    )


def _columns(experiment: Experiment, table: Table) -> list[Column]:
    """The benchmarks, then the means of them."""
    titles = experiment.benchmarks
    singles = [Column(name=name, title=titles[name].title, over=[name], reported=name) for name in table.columns]
    means = [Column(name=m.title, title=m.title, over=m.over, reported=m.reported) for m in table.averages]
    return singles + means
