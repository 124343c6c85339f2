"""Make one table from the cells' scores.

Writes: TEX (LaTeX, to \\input), CSV (one line a number, with where it comes from), and their provenance.
"""

from argparse import ArgumentParser, Namespace
from pathlib import Path

from stgrpo.commands import add_spec, vouch
from stgrpo.errors import UserError
from stgrpo.files import read_json, read_records, sha256, write_text
from stgrpo.records import Graded
from stgrpo.report.contents import TableSpec
from stgrpo.report.made import table_texts


def register(parser: ArgumentParser) -> None:
    """Arguments of the verb."""
    add_spec(parser)
    parser.add_argument("--metrics", type=Path, nargs="*", required=True, help="one file a cell and seed")
    parser.add_argument("--graded", type=Path, nargs="*", required=True, help="the credits of each, in the same order")
    parser.add_argument("--reported", type=Path, help="the paper's numbers, where they may stand beside ours")
    parser.add_argument("--tex", type=Path, required=True)
    parser.add_argument("--csv", type=Path, required=True)


def run(args: Namespace) -> None:
    """Read the scores, write both forms."""
    table = TableSpec.model_validate_json(args.spec)
    if len(args.graded) != len(args.metrics):
        raise UserError(
            f"{table.name}: {len(args.metrics)} files of metrics and {len(args.graded)} of credits; give one of each "
            "for a cell and seed, in the same order"
        )
    for metrics, graded in zip(args.metrics, args.graded, strict=True):
        _check_pair(metrics, graded)
    answers = [read_records(path, Graded) for path in args.graded]
    tex, csv = table_texts(table, zip(args.metrics, answers, strict=True), args.reported)
    write_text(args.tex, tex)
    write_text(args.csv, csv)
    inputs = [*args.metrics, *args.graded, *([args.reported] if args.reported else [])]
    vouch(table, inputs, args.tex, args.csv)
    print(f"{args.tex}: {len(table.rows)} rows at scale {table.scale}")


def _check_pair(metrics: Path, graded: Path) -> None:
    """Credits are those that the metrics vouch for, and not another cell's; older results do not say."""
    made = read_json(metrics, "provenance")["provenance"].get("outputs", {})
    if made and sha256(graded) not in made.values():
        raise UserError(
            f"{graded}: not the credits that {metrics} was made with; give both of the same cell and seed, in the same "
            "order, or grade again (snakemake TARGET -R grade)"
        )
