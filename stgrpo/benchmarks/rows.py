"""Rows of a fetched benchmark, and what keeps a row from being a question."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from stgrpo.errors import UserError
from stgrpo.prompts import LETTERS


def read_rows(folder: Path, files: str) -> Iterator[tuple[int, dict[str, Any]]]:
    """Every row with its number, counted through all files in the order of their names.

    Args:
        folder: the fetched source.
        files: glob pattern of its parquet files.

    Raises:
        UserError: no such file, or one that is no parquet.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    found = sorted(folder.glob(files))
    if not found:
        raise UserError(f"{folder}: no file {files}; fetch the source again (snakemake TARGET -R fetch)")
    index = 0
    for file in found:
        try:
            rows = pq.read_table(file).to_pylist()
        except (pa.ArrowException, OSError) as error:
            raise UserError(f"{file}: not parquet ({error}); remove it and fetch the source again") from None
        for row in rows:
            yield index, row
            index += 1


def lacking(row: Mapping[str, Any], *names: str) -> str | None:
    """The reason to set a row aside that lacks some of these fields or has them empty; None for a whole row."""
    absent = [name for name in names if row.get(name) in (None, "", [])]
    return f"no {', '.join(absent)}" if absent else None


def no_option(answer: str, options: Sequence[str]) -> str | None:
    """The reason to set a row aside whose answer is the letter of none of its options ("B. red"); None where it is."""
    letters = {option[0] for option in options if option[:1] in LETTERS and option[1:2] == "."}
    return None if answer in letters else f"answer '{answer}' is none of its options"
