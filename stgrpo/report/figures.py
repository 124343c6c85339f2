"""A training metric of some cells over the steps (the paper's Figure 3: spread of the rewards inside a group)."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np

from stgrpo.config import Panel
from stgrpo.report.contents import FigureSpec
from stgrpo.report.svg import drawing, line_style, to_svg
from stgrpo.statistics import Estimate, over_seeds

_WINDOWS = 10  # the curve is smoothed over a tenth of its steps


@dataclass(frozen=True)
class Curve:
    """One training's metric, one value a step."""

    cell: str
    seed: int
    values: tuple[float, ...]

    @property
    def mean(self) -> float:
        """Over the steps."""
        return float(np.mean(self.values))


@dataclass(frozen=True)
class Contrast:
    """What a panel compares: the mean over the steps of a later cell minus that of its first, seed by seed."""

    panel: str
    cell: str
    baseline: str
    estimate: Estimate


def draw(figure: FigureSpec, curves: Sequence[Curve], pdf: Path, png: Path) -> None:
    """Draw one panel beside the other; with several seeds, their mean and a band."""
    with _drawn(figure, figure.panels, curves) as (shown, several):
        notes = [] if figure.comparable else [f"scale '{figure.scale}': not the paper's data"]
        notes += ["bands and brackets: 95 % intervals over the seeds"] if several else []
        if notes:
            shown.suptitle("; ".join(notes), fontsize=8, color="#777777")
        made = BytesIO(), BytesIO()  # matplotlib hides what the system says of a disk that is full
        shown.savefig(made[0], format="pdf", metadata={"CreationDate": None})  # equal data give equal bytes
        shown.savefig(made[1], format="png", dpi=160)
    pdf.write_bytes(made[0].getvalue())
    png.write_bytes(made[1].getvalue())


def panels_svg(figure: FigureSpec, curves: Sequence[Curve]) -> list[str]:
    """The same for a page, an <svg> a panel, so that a narrow page has them one below the other."""
    found = []
    for number, panel in enumerate(figure.panels):
        with _drawn(figure, [panel], curves) as (shown, _):
            title = f"{figure.label} over the training steps: {panel.title}"
            found.append(to_svg(shown, f"{figure.name}-{number}", title))
    return found


def mechanism(figure: FigureSpec, curves: Sequence[Curve]) -> list[Contrast]:
    """Every later cell of a panel against its first one."""
    means = {(curve.cell, curve.seed): curve.mean for curve in curves}
    found = []
    for panel in figure.panels:
        first, *later = panel.cells
        for cell in later:
            seeds = sorted(seed for name, seed in means if name == cell and (first, seed) in means)
            estimate = over_seeds([means[cell, seed] - means[first, seed] for seed in seeds])
            found.append(Contrast(panel.title, cell, first, estimate))
    return found


def running_mean(values: np.ndarray, window: int) -> np.ndarray:
    """Mean over `window` neighbours, over fewer at the ends; (N,) -> (N,)."""
    ones = np.ones(window)
    return np.convolve(values, ones, "same") / np.convolve(np.ones(len(values)), ones, "same")


def smoothed(runs: Sequence[Sequence[float]]) -> np.ndarray:
    """Every run's running mean over a tenth of its steps; (seeds, steps)."""
    window = max(1, len(runs[0]) // _WINDOWS)
    return np.array([running_mean(np.asarray(run), window) for run in runs])


def band(runs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """95 % t interval of the mean over two or more seeds, at every step by itself; (seeds, steps) -> two (steps,)."""
    from scipy.special import stdtrit

    half = stdtrit(len(runs) - 1, 0.975) * runs.std(0, ddof=1) / np.sqrt(len(runs))
    return runs.mean(0) - half, runs.mean(0) + half


def add_bands(axis: Any, bands: Sequence[tuple[np.ndarray, np.ndarray, str]]) -> None:
    """Bands of the lines that are drawn already. They may leave the axes: those of two seeds are six times as wide.

    Args:
        axis: matplotlib's.
        bands: steps (N,), smoothed runs (seeds, N) and a colour each; one seed has none.
    """
    axis.set(xlim=axis.get_xlim(), ylim=axis.get_ylim())
    for steps, runs, colour in bands:
        if len(runs) > 1:
            axis.fill_between(steps, *band(runs), color=colour, alpha=0.14, linewidth=0)


@contextmanager
def _drawn(figure: FigureSpec, panels: Sequence[Panel], curves: Sequence[Curve]) -> Iterator[tuple[Any, bool]]:
    """Every step as a point, the running mean as a line, its interval over the seeds as a band; whether there are any.

    The values' axis is that of all panels, whichever are drawn.
    """
    runs = {cell: [c for c in curves if c.cell == cell] for panel in figure.panels for cell in panel.cells}
    values = np.concatenate([np.mean([curve.values for curve in found], 0) for found in runs.values()])
    with drawing(4.2 * len(panels), 3.2, len(panels)) as (shown, axes):
        axes[0].set(ylabel=figure.label, ylim=_with_margin(values))
        for panel, axis in zip(panels, axes, strict=True):
            styles = [(cell, line_style(position)) for position, cell in enumerate(panel.cells)]
            add_bands(axis, [(*_curve(axis, cell, runs[cell], style), style["color"]) for cell, style in styles])
            axis.set(title=panel.title, xlabel="step")
            axis.legend(frameon=False, fontsize=8)
        yield shown, any(len(found) > 1 for found in runs.values())


def _with_margin(values: np.ndarray) -> tuple[float, float]:
    margin = 0.05 * (values.max() - values.min()) or 0.05
    return values.min() - margin, values.max() + margin


def _curve(axis: Any, cell: str, curves: Sequence[Curve], style: dict[str, str]) -> tuple[np.ndarray, np.ndarray]:
    """Draw one cell; its steps (N,) and smoothed runs (seeds, N)."""
    runs = [curve.values for curve in curves]
    smooth, steps = smoothed(runs), np.arange(1, len(runs[0]) + 1)
    axis.plot(steps, np.mean(runs, 0), ".", color=style["color"], alpha=0.25, markersize=4)
    mean = over_seeds([curve.mean for curve in curves])
    interval = "" if mean.low is None else f" [{mean.low:.3f}, {mean.high:.3f}]"
    seeds = f", {len(runs)} seeds" if len(runs) > 1 else ""
    label = f"{cell} (mean {mean.value:.3f}{interval}{seeds})"
    axis.plot(steps, smooth.mean(0), linewidth=1.8, **style, label=label)
    return steps, smooth
