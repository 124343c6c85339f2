"""The table of sources, as planning reads it."""

import csv
from functools import cache
from pathlib import Path

from stgrpo.errors import UserError, suggest

SOURCES = Path(__file__).parent.parent.parent / "workflow" / "resources" / "sources.csv"


def row(name: str) -> dict[str, str]:
    """One row.

    Raises:
        UserError: there is none of that name.
    """
    rows = _rows()
    if name not in rows:
        raise UserError(f"{SOURCES}: no source '{name}'; {suggest(name, list(rows))}")
    return rows[name]


@cache
def _rows() -> dict[str, dict[str, str]]:
    with SOURCES.open(newline="", encoding="utf-8") as lines:
        return {row["name"]: row for row in csv.DictReader(lines)}
