"""Rows of a fetched benchmark, and what keeps a row from being a question."""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from stgrpo.errors import UserError
from stgrpo.prompts import LETTERS

_ENDINGS = (".mp4", ".MP4", ".mkv")  # those that lmms-eval 0.7.3 looks for


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
            with pq.ParquetFile(file) as parquet:  # `read_table` is for data sets of several files, and imports pandas
                rows = parquet.read().to_pylist()
        except (pa.ArrowException, OSError) as error:
            raise UserError(f"{file}: not parquet ({error}); remove it and fetch the source again") from None
        for row in rows:
            yield index, row
            index += 1


def incomplete(row: Mapping[str, Any], texts: tuple[str, ...], others: tuple[str, ...] = ()) -> str | None:
    """The reason to set a row aside whose fields are missing, empty or no texts; None for a whole row.

    Args:
        row: of a parquet file.
        texts: the fields that must be texts.
        others: those that must be there, in any type.
    """
    if absent := [name for name in (*texts, *others) if row.get(name) in (None, "", [])]:
        return f"no {', '.join(absent)}"
    odd = next((name for name in texts if not isinstance(row[name], str)), None)
    return f"{odd} is a {type(row[odd]).__name__}, not a text" if odd else None


def find_video(folder: Path, name: str) -> str:
    """Path of a video, whose ending no row tells; that of an mp4 where there is none.

    Args:
        folder: of the videos.
        name: without ending.
    """
    paths = [folder / f"{name}{ending}" for ending in _ENDINGS]
    # Not Path.is_file, which raises for a name that is too long.
    return str(next((path for path in paths if os.path.isfile(path)), paths[0]))  # noqa: PTH113


def odd_options(options: Any) -> str | None:
    """The reason to set a row aside whose options are no list of non-empty texts, or too many to have letters."""
    if not isinstance(options, list) or not all(isinstance(option, str) and option.strip() for option in options):
        return "options are no list of non-empty texts"
    return f"{len(options)} options, more than there are letters" if len(options) > len(LETTERS) else None
