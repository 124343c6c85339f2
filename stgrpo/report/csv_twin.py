"""One table as CSV for programs: one line a number, with its interval, its difference and where it comes from."""

import csv
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from io import StringIO
from typing import Any

from stgrpo.config import Row
from stgrpo.files import inert_cell
from stgrpo.report.comparisons import Answers, comparisons, of_seed, scores
from stgrpo.report.contents import Column, TableSpec
from stgrpo.report.reported import Reported, compared_with, printed
from stgrpo.statistics import Estimate

CSV_COLUMNS = (
    *("table", "scale", "row", "column", "cell", "seed", "value", "standard_error", "low", "high", "n", "videos"),
    *("reported", "delta", "baseline", "difference", "difference_low", "difference_high", "p"),
    *("spec", "trained", "commit", "dirty", "image", "packages", "device", "data"),
)
MEAN = "mean"  # stands for all seeds
UNKNOWN = "unknown"
_NOTHING: Reported = {}


@dataclass(frozen=True)
class Origin:
    """Where the numbers of one cell and seed come from, of several values each but once.

    Attributes:
        spec: hash of the EvalSpec.
        trained: hash of the spec of the weights.
        commit: of the code that trained, answered and graded.
        dirty: whether a working tree differed from its commit: "true" if any did, "unknown" if none but nobody knows of
            one, else "false".
        image: SHA-256 of the images, "unknown" of one that nobody has told; none without an image.
        packages: and their versions.
        device: that computed it.
        data: hashes of the locks of the sources.
    """

    spec: str
    trained: str
    commit: tuple[str, ...] = ()
    dirty: str = UNKNOWN
    image: tuple[str, ...] = ()
    packages: tuple[str, ...] = ()
    device: tuple[str, ...] = ()
    data: tuple[str, ...] = ()


Origins = Mapping[tuple[str, int], Origin]  # by cell and seed


def to_csv(table: TableSpec, graded: Answers, origins: Origins, reported: Reported = _NOTHING) -> str:
    """One line a number, in percent; where a cell has several seeds, one for each and one for their mean.

    `delta` is ours minus the paper's (`compared_with`), `difference` ours minus the baseline's. A row of the paper
    alone has no `value`. Where numbers are not comparable with the paper's, none of them are given, and `reported` and
    `delta` stay empty. No cell is a formula for a spreadsheet (`inert_cell`).
    """
    parts = {str(seed): of_seed(graded, seed) for seed in sorted({seed for _, seed in graded})}
    found = {name: _found(table, answers) for name, answers in parts.items()}
    if len(parts) > 1:
        found[MEAN] = _found(table, graded)
    out = StringIO()
    writer = csv.DictWriter(out, CSV_COLUMNS, lineterminator="\n")
    writer.writeheader()
    for row in table.rows:
        seeds = [seed for cell, seed in sorted(origins) if cell == row.cell]
        for column in table.columns:
            for line in _lines(row, column, seeds, found, origins, reported):
                where = {"table": table.name, "scale": table.scale, "row": row.label, "column": column.name}
                writer.writerow({name: inert_cell(value) for name, value in {**where, **line}.items()})
    return out.getvalue()


_Found = Mapping[tuple[str | None, str], tuple[Estimate, dict[str, str]]]  # by cell and column


def _found(table: TableSpec, graded: Answers) -> _Found:
    differences = {(c.row.cell, c.column.name): _difference(c.baseline, c.estimate) for c in comparisons(table, graded)}
    return {key: (estimate, differences.get(key, {})) for key, estimate in scores(table, graded).items()}


def _lines(
    row: Row, column: Column, seeds: Sequence[int], found: Mapping[str, _Found], origins: Origins, reported: Reported
) -> list[dict[str, Any]]:
    theirs, held = printed(reported, row, column), compared_with(reported, row, column)
    if row.cell is None:
        return [{"reported": theirs}] if theirs else []
    lines = []
    for name in [*map(str, seeds), *([MEAN] if len(seeds) > 1 else [])]:
        estimate, difference = found[name][row.cell, column.name]
        of = [origins[row.cell, seed] for seed in seeds if name in (str(seed), MEAN)]
        line = {
            "cell": row.cell,
            "seed": name,
            "value": _percent(estimate.value),
            "standard_error": _percent(estimate.error),
            "low": _percent(estimate.low),
            "high": _percent(estimate.high),
            "n": estimate.n,
            "videos": estimate.clusters,
            "reported": theirs or "",
            "delta": "" if held is None else _percent(estimate.value - held / 100),
        }
        lines.append({**line, **difference, **_joined(of)})
    return lines


def _difference(baseline: Row, estimate: Estimate) -> dict[str, str]:
    return {
        "baseline": baseline.cell or "",
        "difference": _percent(estimate.value),
        "difference_low": _percent(estimate.low),
        "difference_high": _percent(estimate.high),
        "p": "" if estimate.p is None else f"{estimate.p:.4g}",
    }


def _joined(origins: Sequence[Origin]) -> dict[str, str]:
    """What is true of all of them together; a device's name has blanks of its own, so "; " stands between two."""
    found: dict[str, dict[str, None]] = defaultdict(dict)  # values by field, each once, in their order
    for origin in origins:
        for name, value in asdict(origin).items():
            found[name] |= dict.fromkeys(value if isinstance(value, tuple) else (value,))
    return {name: "; ".join(values) for name, values in found.items()}


def _percent(share: float | None) -> str:
    return "" if share is None else f"{100 * share:.4f}"
