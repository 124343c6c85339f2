"""How the trainings went: their metrics over the steps, a small drawing each."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from stgrpo.report.figures import add_bands, smoothed
from stgrpo.report.svg import NAMESPACE, drawing, line_style, to_svg

METRICS = {  # column of train.jsonl -> what it is
    "reward": "reward of an answer",
    "accuracy": "accuracy of an answer",
    "reward_std": "reward std in a group",
    "flat_groups": "share of groups that teach nothing",
    "kl": "KL to the reference, nats a token",
    "token_entropy": "entropy of a token, nats",
    "answer_tokens": "tokens of an answer",
    "grad_norm": "norm of the gradient",
}
_POINTS = 150  # of a line, at most: more are neither seen nor needed, smooth as it is
_DASHED = {"-": "", "--": "6 3", "-.": "7 2 2 2", ":": "2 2"}
_MOST_BANDS = 2  # more of them hide one another


@dataclass(frozen=True)
class Training:
    """One training and its train.jsonl."""

    cell: str
    seed: int
    rows: Sequence[Mapping[str, float]]


def training_curves(trainings: Sequence[Training]) -> dict[str, str]:
    """A drawing a metric, an <svg> each: every cell's running mean over a tenth of its steps.

    With several seeds it is that of their mean, of one or two cells in a band of its 95 % t interval. A cell without a
    metric (kl, where beta is 0) is left out of its drawing, a metric that no cell has altogether. Lines are those of
    `swatches`.
    """
    cells = list(dict.fromkeys(training.cell for training in trainings))
    found = {}
    for metric, title in METRICS.items():
        runs = {cell: _values(metric, [t for t in trainings if t.cell == cell]) for cell in cells}
        if any(runs.values()):
            found[metric] = _drawing(metric, title, runs)
    return found


def swatches(cells: Sequence[str]) -> dict[str, str]:
    """By cell a piece of its line, an <svg> of one text line's height."""
    found = {}
    for position, cell in enumerate(cells):
        style = line_style(position)
        stroke = f'stroke="{style["color"]}" stroke-width="2" stroke-dasharray="{_DASHED[style["linestyle"]]}"'
        line = f'<path d="M0 4h28" {stroke} />'
        found[cell] = f'<svg xmlns="{NAMESPACE}" viewBox="0 0 28 8" width="28" height="8">{line}</svg>'
    return found


def _values(metric: str, trainings: Sequence[Training]) -> list[list[float]]:
    return [[row[metric] for row in t.rows] for t in trainings if all(metric in row for row in t.rows)]


def _drawing(metric: str, title: str, runs: Mapping[str, Sequence[Sequence[float]]]) -> str:
    with drawing(3.4, 2.3) as (figure, (axis,)):
        bands = []
        for position, values in enumerate(runs.values()):
            if values:
                every, style = len(values[0]) // _POINTS + 1, line_style(position)
                steps, smooth = np.arange(1, len(values[0]) + 1)[::every], smoothed(values)[:, ::every]
                axis.plot(steps, smooth.mean(0), linewidth=1.2, **style)
                bands.append((steps, smooth, style["color"]))
        if len(bands) <= _MOST_BANDS:
            add_bands(axis, bands)
        axis.set_title(title, fontsize=9)
        axis.tick_params(labelsize=8)
        axis.set_xlabel("step", fontsize=8)
        return to_svg(figure, f"curve-{metric}", f"{title} over the training steps")
