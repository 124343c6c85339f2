"""The texts of a table, from the files that cells leave."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from stgrpo.errors import UserError
from stgrpo.files import read_json
from stgrpo.records import Graded
from stgrpo.report.comparisons import Answers
from stgrpo.report.contents import TableSpec
from stgrpo.report.csv_twin import Origin, to_csv
from stgrpo.report.reported import read_reported
from stgrpo.report.tables import to_latex


def table_texts(
    table: TableSpec, runs: Iterable[tuple[Path, Sequence[Graded]]], reported: Path | None
) -> tuple[str, str]:
    """LaTeX and CSV of a table.

    Args:
        table: what it holds.
        runs: metrics.json, and graded answers, of every cell and seed in it.
        reported: the paper's numbers, where they may stand beside ours.

    Raises:
        UserError: a run was made by another spec than the table asks for; a score is missing.
    """
    graded, origins = {}, {}
    for metrics, answers in runs:
        found = read_json(metrics)
        run = (found["cell"], found["seed"])
        graded[run], origins[run] = answers, _origin(found)
    _check(table, graded, origins)
    theirs = read_reported(reported, table) if reported else {}
    return to_latex(table, graded, theirs), to_csv(table, graded, origins, theirs)


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
