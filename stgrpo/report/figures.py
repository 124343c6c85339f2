"""A training metric of some cells over the steps (the paper's Figure 3: spread of the rewards inside a group)."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from stgrpo.report.contents import FigureSpec

_COLOURS = ("#5b6573", "#d1495b", "#2e7d6b", "#8b6bb1")  # told apart by people with any colour vision, and in grey
_WINDOWS = 10  # the curve is smoothed over a tenth of its steps


@dataclass(frozen=True)
class Curve:
    """One training's metric, one value a step."""

    cell: str
    seed: int
    values: tuple[float, ...]


def draw(figure: FigureSpec, curves: Sequence[Curve], pdf: Path, png: Path) -> None:
    """Draw one panel beside the other: every step as a point, the running mean as a line, over the seeds if several."""
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot

    shown, axes = pyplot.subplots(
        1, len(figure.panels), figsize=(4.2 * len(figure.panels), 3.2), sharey=True, squeeze=False, layout="constrained"
    )
    for panel, axis in zip(figure.panels, axes[0], strict=True):
        for cell, colour in zip(panel.cells, _COLOURS, strict=False):
            _curve(axis, cell, [c.values for c in curves if c.cell == cell], colour)
        axis.set(title=panel.title, xlabel="step")
        axis.spines[["top", "right"]].set_visible(False)
        axis.legend(frameon=False, fontsize=8)
    axes[0][0].set_ylabel(figure.label)
    if not figure.comparable:
        shown.suptitle(f"scale '{figure.scale}': not the paper's data", fontsize=8, color="#777777")
    shown.savefig(pdf, format="pdf", metadata={"CreationDate": None})  # equal data give equal bytes
    shown.savefig(png, format="png", dpi=160)
    pyplot.close(shown)


def running_mean(values: np.ndarray, window: int) -> np.ndarray:
    """Mean over `window` neighbours, over fewer at the ends; (N,) -> (N,)."""
    ones = np.ones(window)
    return np.convolve(values, ones, "same") / np.convolve(np.ones(len(values)), ones, "same")


def _curve(axis: Any, cell: str, runs: Sequence[Sequence[float]], colour: str) -> None:
    mean = np.mean(runs, 0)  # (steps,), over the seeds
    steps = np.arange(1, len(mean) + 1)
    axis.plot(steps, mean, ".", color=colour, alpha=0.25, markersize=4)
    smooth = running_mean(mean, max(1, len(mean) // _WINDOWS))
    seeds = f", {len(runs)} seeds" if len(runs) > 1 else ""
    axis.plot(steps, smooth, color=colour, linewidth=1.8, label=f"{cell} (mean {mean.mean():.3f}{seeds})")
