"""The texts of a table, from the files that cells leave."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from stgrpo.errors import UserError
from stgrpo.files import read_json
from stgrpo.records import Graded
from stgrpo.report.comparisons import Answers
from stgrpo.report.contents import TableSpec
from stgrpo.report.csv_twin import UNKNOWN, Origin, to_csv
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
        UserError: the runs are not those of the table, or one was made by another spec; a score is missing.
    """
    graded, origins = {}, {}
    for metrics, answers in runs:
        found = read_json(metrics, "cell", "seed", "weights.spec", "evaluations", "provenance.spec")
        run = (found["cell"], found["seed"])
        if run in graded:
            raise UserError(f"{metrics}: {table.name} has cell '{run[0]}' seed {run[1]} already; give each once")
        graded[run], origins[run] = answers, _origin(found)
    _check(table, graded, origins)
    theirs = read_reported(reported, table) if reported else {}
    return to_latex(table, graded, theirs), to_csv(table, graded, origins, theirs)


def _check(table: TableSpec, graded: Answers, origins: Mapping[tuple[str, int], Origin]) -> None:
    found = {f"{cell}/seed{seed}": origin.spec for (cell, seed), origin in origins.items()}
    if odd := sorted(found.keys() ^ table.specs.keys()):
        name, what = odd[0], "is no part of it" if odd[0] in found else "is missing"
        raise UserError(
            f"{table.name}: {name} {what}; give the metrics of {', '.join(table.specs) or 'no cell'}, and of no other"
        )
    for name, spec in found.items():
        if spec != table.specs[name]:
            raise UserError(
                f"{table.name}: {name} was evaluated by spec {spec}, "
                f"the configuration asks for {table.specs[name]}; evaluate it again (snakemake TARGET -R evaluate)"
            )
    for row in (row for row in table.rows if row.cell):
        examined = [{g.benchmark for g in found} for (cell, _), found in graded.items() if cell == row.cell]
        for benchmark in {name for column in table.columns for name in column.over}:
            if not examined or any(benchmark not in names for names in examined):
                raise UserError(f"{table.name}: no score of cell '{row.cell}' on {benchmark} among the given metrics")


def _origin(metrics: dict[str, Any]) -> Origin:
    """What a cell's scores say of where its weights, its answers and its credits come from."""
    graded = metrics["provenance"]
    blocks = [metrics["weights"], *metrics["evaluations"].values(), graded]
    images = [block["image"]["sha256"] or UNKNOWN for block in blocks if block["image"]]
    return Origin(
        spec=graded["spec"],
        trained=metrics["weights"]["spec"],
        commit=_distinct(block["commit"] for block in blocks),
        dirty=_dirty([block["dirty"] for block in blocks]),
        image=_distinct(images),
        packages=_distinct(f"{name}={number}" for block in blocks for name, number in block["packages"].items()),
        device=_distinct(block.get("device") for block in blocks),
        data=_distinct(f"{name}={digest}" for block in blocks for name, digest in block.get("data", {}).items()),
    )


def _dirty(said: Sequence[bool | None]) -> str:
    """One that differed is enough, and one that nobody knows of is not clean."""
    return "true" if True in said else UNKNOWN if None in said else "false"


def _distinct(words: Iterable[str | None]) -> tuple[str, ...]:
    return tuple(sorted({word for word in words if word}))
