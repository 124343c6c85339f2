"""The table of sources, as planning reads it."""

from functools import cache
from pathlib import Path

from stgrpo.answers import read_number
from stgrpo.errors import UserError, suggest
from stgrpo.files import read_table

SOURCES = Path(__file__).parent.parent.parent / "workflow" / "resources" / "sources.csv"


def row(name: str) -> dict[str, str]:
    """One row.

    Raises:
        UserError: there is none of that name, or the table is no CSV of sources.
    """
    rows = _rows()
    if name not in rows:
        raise UserError(f"{SOURCES}: no source '{name}'; {suggest(name, list(rows))}")
    return rows[name]


@cache
def _rows() -> dict[str, dict[str, str]]:
    found = {}
    for at, line in read_table(SOURCES, ("name", "repository", "type", "files", "licence", "gated", "gigabytes")):
        if (size := line["gigabytes"]) and not _is_size(size):
            raise UserError(f"{SOURCES}:{at}: gigabytes '{size}' is no number from 0; leave it empty if none is known")
        found[line["name"]] = line
    return found


def _is_size(text: str) -> bool:
    number = read_number(text)
    return number is not None and number >= 0
