"""Make one table from the cells' scores.

Writes: TEX (LaTeX, to \\input) and CSV (one line a number, with where it comes from).
"""

from argparse import ArgumentParser, Namespace
from collections.abc import Iterator
from pathlib import Path

from stgrpo.commands import add_spec
from stgrpo.errors import UserError
from stgrpo.files import read_json, write_text
from stgrpo.report.contents import TableSpec
from stgrpo.report.reported import read_reported
from stgrpo.report.tables import Measured, to_csv, to_latex


def register(parser: ArgumentParser) -> None:
    """Arguments of the verb."""
    add_spec(parser)
    parser.add_argument("--metrics", type=Path, nargs="+", required=True, help="one file a cell and seed")
    parser.add_argument("--reported", type=Path, help="the paper's numbers, where they may stand beside ours")
    parser.add_argument("--tex", type=Path, required=True)
    parser.add_argument("--csv", type=Path, required=True)


def run(args: Namespace) -> None:
    """Read the scores, write both forms."""
    table = TableSpec.model_validate_json(args.spec)
    measured = [m for path in args.metrics for m in _read(path)]
    for m in measured:
        if m.spec != (wanted := table.specs[f"{m.cell}/seed{m.seed}"]):
            raise UserError(
                f"{table.name}: cell '{m.cell}' seed {m.seed} was evaluated by spec {m.spec}, "
                f"the configuration asks for {wanted}; evaluate it again (snakemake TARGET -R evaluate)"
            )
    for row in (row for row in table.rows if row.cell):
        for benchmark in {name for column in table.columns for name in column.over}:
            if not any(m.cell == row.cell and m.benchmark == benchmark for m in measured):
                raise UserError(f"{table.name}: no score of cell '{row.cell}' on {benchmark} among the given metrics")
    reported = read_reported(args.reported, table) if args.reported else {}
    write_text(args.csv, to_csv(table, measured, reported))
    write_text(args.tex, to_latex(table, measured, reported))
    print(f"{args.tex}: {len(table.rows)} rows at scale {table.scale}")


def _read(path: Path) -> Iterator[Measured]:
    metrics = read_json(path)
    images = {block["image"]["sha256"] or "" for block in metrics["evaluations"].values() if block["image"]}
    for score in metrics["scores"]:
        yield Measured(
            cell=metrics["cell"],
            seed=metrics["seed"],
            benchmark=score["benchmark"],
            value=score["value"],
            standard_error=score["standard_error"],
            n=score["n"],
            spec=metrics["provenance"]["spec"],
            trained=metrics["weights"]["spec"],
            commit=(metrics["weights"]["commit"] or "") + ("-dirty" if metrics["weights"]["dirty"] else ""),
            image=" ".join(sorted(images)),
        )
