"""What the trainings of a report's figures show: curves, the mechanism of Figure 3, and the bias of the advantages."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain

from stgrpo.report.bias import Bias, bias, flat_difference, pull_svg, shares_svg
from stgrpo.report.contents import FigureSpec
from stgrpo.report.curves import Training, swatches, training_curves
from stgrpo.report.figures import Contrast, Curve, mechanism, panels_svg
from stgrpo.report.results import Results
from stgrpo.specs import TrainSpec
from stgrpo.statistics import Estimate


@dataclass(frozen=True)
class FigureView:
    """A figure, a drawing a panel, and what its panels compare."""

    spec: FigureSpec
    drawings: list[str]
    contrasts: list[Contrast]


@dataclass(frozen=True)
class Curves:
    """Drawings of the metrics by their names, of the cells of the figures and, if there are more, of all trained ones.

    Attributes:
        swatches: a piece of its line by cell.
    """

    swatches: dict[str, str]
    drawings: dict[str, str]
    all_swatches: dict[str, str]
    all_drawings: dict[str, str]


@dataclass(frozen=True)
class BiasView:
    """The advantages by number of right answers, of the cells of the figures.

    Attributes:
        pull: drawing of |A| of right answers.
        shares: drawing of how frequent the groups are.
        flat: share of groups that teach nothing, a cell minus the first of its panel.
    """

    cells: list[Bias]
    pull: str
    shares: str
    flat: list[tuple[str, str, Estimate]]


def shown_cells(figures: Sequence[FigureSpec]) -> list[str]:
    """The cells of all figures, each once."""
    return list(dict.fromkeys(cell for figure in figures for panel in figure.panels for cell in panel.cells))


def figure_views(results: Results) -> list[FigureView]:
    """Every figure of the scale."""
    found = []
    for figure in results.spec.figures:
        curves = [
            Curve(run.cell, run.seed, tuple(row[figure.metric] for row in run.steps))
            for run in results.runs
            if run.name in figure.specs
        ]
        found.append(FigureView(figure, panels_svg(figure, curves), mechanism(figure, curves)))
    return found


def curves(results: Results) -> Curves | None:
    """None where nothing is trained."""
    trainings = [Training(run.cell, run.seed, run.steps) for run in results.runs if run.train]
    if not trainings:
        return None
    cells = shown_cells(results.spec.figures)
    every = list(dict.fromkeys(training.cell for training in trainings))
    few = [training for training in trainings if training.cell in cells]
    of_all = (swatches(every), training_curves(trainings)) if len(every) > len(cells) else ({}, {})
    return Curves(swatches(list(dict.fromkeys(training.cell for training in few))), training_curves(few), *of_all)


def bias_view(results: Results) -> BiasView | None:
    """None where the scale has no figure."""
    cells = shown_cells(results.spec.figures)
    if not cells:
        return None
    groups = {cell: {run.seed: run.groups for run in results.of_cell(cell)} for cell in cells}
    found = [bias(cell, _spec(results, cell), groups[cell]) for cell in cells]
    panels = chain.from_iterable(figure.panels for figure in results.spec.figures)
    pairs = dict.fromkeys((later, panel.cells[0]) for panel in panels for later in panel.cells[1:])
    flat = [(later, first, flat_difference(groups[first], groups[later])) for later, first in pairs]
    return BiasView(found, pull_svg(found), shares_svg(found), flat)


def _spec(results: Results, cell: str) -> TrainSpec:
    train = results.of_cell(cell)[0].train
    assert train is not None, "figures show trained cells"
    return TrainSpec.model_validate(train["spec"])
