"""Make one table from the cells' scores.

Writes: TEX (LaTeX, to \\input) and CSV (one line a number, with where it comes from).
"""

from argparse import ArgumentParser, Namespace
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from stgrpo.commands import add_spec
from stgrpo.errors import UserError
from stgrpo.files import read_json, read_records, write_text
from stgrpo.records import Graded
from stgrpo.report.comparisons import Answers
from stgrpo.report.contents import TableSpec
from stgrpo.report.csv_twin import Origin, to_csv
from stgrpo.report.reported import read_reported
from stgrpo.report.tables import to_latex


def register(parser: ArgumentParser) -> None:
    """Arguments of the verb."""
    add_spec(parser)
    parser.add_argument("--metrics", type=Path, nargs="+", required=True, help="one file a cell and seed")
    parser.add_argument("--graded", type=Path, nargs="+", required=True, help="the credits of each, in the same order")
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
    graded, origins = {}, {}
    for metrics, credits in zip(map(read_json, args.metrics), args.graded, strict=True):
        run = (metrics["cell"], metrics["seed"])
        graded[run], origins[run] = read_records(credits, Graded), _origin(metrics)
    _check(table, graded, origins)
    reported = read_reported(args.reported, table) if args.reported else {}
    write_text(args.csv, to_csv(table, graded, origins, reported))
    write_text(args.tex, to_latex(table, graded, reported))
    print(f"{args.tex}: {len(table.rows)} rows at scale {table.scale}")


def _check(table: TableSpec, graded: Answers, origins: dict[tuple[str, int], Origin]) -> None:
    for (cell, seed), origin in origins.items():
        if origin.spec != (wanted := table.specs[f"{cell}/seed{seed}"]):
            raise UserError(
                f"{table.name}: cell '{cell}' seed {seed} was evaluated by spec {origin.spec}, "
                f"the configuration asks for {wanted}; evaluate it again (snakemake TARGET -R evaluate)"
            )
    for row in (row for row in table.rows if row.cell):
        examined = [{g.benchmark for g in found} for (cell, _), found in graded.items() if cell == row.cell]
        for benchmark in {name for column in table.columns for name in column.over}:
            if not examined or any(benchmark not in names for names in examined):
                raise UserError(f"{table.name}: no score of cell '{row.cell}' on {benchmark} among the given metrics")


def _origin(metrics: dict[str, Any]) -> Origin:
    """What a cell's scores say of where its weights and its answers come from."""
    blocks = [metrics["weights"], *metrics["evaluations"].values()]
    dirty = [block["dirty"] for block in blocks if block["dirty"] is not None]
    return Origin(
        spec=metrics["provenance"]["spec"],
        trained=metrics["weights"]["spec"],
        commit=_distinct(block["commit"] for block in blocks),
        dirty=str(any(dirty)).lower() if dirty else "",
        image=_distinct(block["image"]["sha256"] for block in blocks if block["image"]),
        packages=_distinct(f"{name}={number}" for block in blocks for name, number in block["packages"].items()),
        device=_distinct(block.get("device") for block in blocks),
        data=_distinct(f"{name}={digest}" for block in blocks for name, digest in block.get("data", {}).items()),
    )


def _distinct(words: Iterable[str | None]) -> str:
    return " ".join(sorted({word for word in words if word}))
