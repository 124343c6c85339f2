"""Draw one figure from the trainings' metrics.

Writes: PDF, PNG and their provenance.
"""

from argparse import ArgumentParser, Namespace
from pathlib import Path

from stgrpo.commands import add_spec, vouch
from stgrpo.errors import UserError
from stgrpo.files import read_json, read_rows, replacing
from stgrpo.report.contents import FigureSpec
from stgrpo.report.figures import Contrast, Curve, draw, mechanism
from stgrpo.rl.checkpoints import METRICS


def register(parser: ArgumentParser) -> None:
    """Arguments of the verb."""
    add_spec(parser)
    parser.add_argument("--runs", type=Path, nargs="+", required=True, help="folders of a cell and seed each")
    parser.add_argument("--pdf", type=Path, required=True)
    parser.add_argument("--png", type=Path, required=True)


def run(args: Namespace) -> None:
    """Read the metrics, draw both forms."""
    figure = FigureSpec.model_validate_json(args.spec)
    curves = [_curve(figure, folder) for folder in args.runs]
    with replacing(args.pdf) as pdf, replacing(args.png) as png:
        draw(figure, curves, pdf, png)
    vouch(figure, [folder / name for folder in args.runs for name in ("train.json", METRICS)], args.pdf, args.png)
    print(f"{args.pdf} and {args.png.name}: {len(curves)} trainings at scale {figure.scale}")
    for contrast in mechanism(figure, curves):
        print(_told(contrast))


def _told(contrast: Contrast) -> str:
    """A line of it: the difference of the means over the steps."""
    found = contrast.estimate
    seeds = "one seed" if found.seeds == 1 else f"{found.seeds} seeds"
    interval = seeds if found.low is None else f"{found.low:+.4f} to {found.high:+.4f} over {seeds}"
    return f"{contrast.panel}: {contrast.cell} - {contrast.baseline} {found.value:+.4f} ({interval})"


def _curve(figure: FigureSpec, folder: Path) -> Curve:
    """The metric of one training, which must be of the spec that the configuration asks for."""
    made = read_json(folder / "train.json", "provenance.spec")["provenance"]["spec"]
    name = f"{folder.parent.name}/{folder.name}"
    if made != figure.specs[name]:
        raise UserError(
            f"{folder / 'train.json'}: made by spec {made}, the configuration asks for {figure.specs[name]}; "
            "train it again (snakemake TARGET -R train)"
        )
    rows = read_rows(folder / METRICS)
    if not rows:
        raise UserError(f"{folder / METRICS}: holds no steps; train again (snakemake TARGET -R train)")
    if missing := [row.get("step") for row in rows if figure.metric not in row]:
        known = ", ".join(sorted(rows[0]))
        raise UserError(f"{folder / METRICS}: step {missing[0]} has no '{figure.metric}'; known: {known}")
    if odd := [row for row in rows if not isinstance(row[figure.metric], int | float)]:
        what = f"{figure.metric} is a {type(odd[0][figure.metric]).__name__}, not a number"
        raise UserError(
            f"{folder / METRICS}: step {odd[0].get('step')}: {what}; train again (snakemake TARGET -R train)"
        )
    return Curve(folder.parent.name, int(folder.name.removeprefix("seed")), tuple(row[figure.metric] for row in rows))
