"""What the paper prints: one number a line of `workflow/resources/reported.csv`, by table, row and column."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from statistics import mean

from stgrpo.answers import read_number
from stgrpo.config import Row
from stgrpo.errors import UserError, suggest
from stgrpo.files import read_table
from stgrpo.report.contents import Column, TableSpec

Reported = Mapping[tuple[str, str], str]  # numbers of one table as printed, by row and column as the file names them


def read_reported(path: Path, table: TableSpec) -> Reported:
    """The paper's numbers of a table.

    Raises:
        UserError: a row that names one of the paper's, or has nothing else to show, is not in the file, nor a column
            that is named so; or a value in it is no number, or stands twice.
    """
    found = {(row, column): value for (name, row, column), value in numbers(path).items() if name == table.name}
    rows = [row.reported or row.label for row in table.rows if row.reported or row.cell is None]
    _check(path, table, "row", rows, {row for row, _ in found})
    if found:  # a table that the paper lacks may share its columns with one that it has
        columns = [column.reported for column in table.columns if column.reported not in (None, column.name)]
        _check(path, table, "column", columns, {column for _, column in found})
    return found


def numbers(path: Path) -> dict[tuple[str, str, str], str]:
    """All of the file, in its order: numbers as printed, by table, row and column.

    Raises:
        UserError: it is no such CSV; or a value in it is no number, or stands twice.
    """
    found: dict[tuple[str, str, str], str] = {}
    for at, line in read_table(path, ("table", "row", "column", "value")):
        place = line["table"], line["row"], line["column"]
        if place in found:
            raise UserError(f"{path}:{at}: {place[0]} has row '{place[1]}', column '{place[2]}' already; drop one")
        found[place] = _number(path, at, line["value"])
    return found


def printed(reported: Reported, row: Row, column: Column) -> str | None:
    """The paper's number in a row and column, None where it prints none."""
    return reported.get((row.reported or row.label, column.reported)) if column.reported else None


def compared_with(reported: Reported, row: Row, column: Column) -> float | None:
    """What ours is held against: the paper's number, for a mean that of its own columns.

    A printed mean is not: one of them does not follow from its columns by 0.6 points, and some are truncated.
    """
    parts = [reported.get((row.reported or row.label, name)) for name in column.over] if column.reported else [None]
    return mean(float(part) for part in parts if part) if all(parts) else None


def _check(path: Path, table: TableSpec, what: str, names: Iterable[str | None], known: Iterable[str]) -> None:
    for name in names:
        if name is not None and name not in known:
            raise UserError(f"{path}: {table.name} has no {what} '{name}'; {suggest(name, sorted(known))}")


def _number(path: Path, line: int, text: str) -> str:
    number = read_number(text)
    if number is None or "," in text or not 0 <= number <= 100:  # "7,1" may be 7.1, and is 71 to read_number
        raise UserError(
            f"{path}:{line}: '{text}' is no number from 0 to 100; where the paper prints none, drop the line"
        )
    return text
