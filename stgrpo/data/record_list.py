"""A JSON file that is one list of records, read as a stream: one record at a time is in memory, and none is endless."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import ijson

from stgrpo.errors import UserError

_LONGEST = 64 << 20  # bytes of a record; those of Video-R1 have some hundred
_DEEPEST = 16  # levels of a record; one of Video-R1 has two, and ijson's own `items` takes memory by their square
_OPENS, _CLOSES = ("start_map", "start_array"), ("end_map", "end_array")
_AGAIN = "remove it and fetch the source again (snakemake TARGET -R fetch)"


def read_list(file: Path) -> Iterator[Any]:
    """Every record of the file; what one nests deeper than any field of ours lies is left out.

    Raises:
        UserError: the file is missing, damaged, or no list, or a record is endless.
    """
    count = 0
    try:
        with file.open("rb") as stream:
            bounded = _Bounded(stream)
            for row in _rows(file, bounded):
                yield row
                count += 1
                bounded.since = 0
    except FileNotFoundError:
        raise UserError(f"{file}: no such file") from None
    except _EndlessError:
        raise UserError(f"{file}: record {count} is longer than {_LONGEST >> 20} MB, no record is; {_AGAIN}") from None
    except (ijson.JSONError, ValueError) as error:  # ValueError: no UTF-8, or a number of thousands of digits
        said = error.args[0] if error.args and isinstance(error.args[0], bytes) else str(error)  # bytes: no UTF-8
        reason = (said.decode(errors="replace") if isinstance(said, bytes) else said).partition("\n")[0]
        raise UserError(f"{file}: damaged after {count} records ({reason}); {_AGAIN}") from None


class _EndlessError(Exception):
    """A record goes on and on."""


class _Bounded:
    """A stream of bytes that ends with an error when it is read on and on without a record."""

    def __init__(self, stream: BinaryIO) -> None:
        self.stream, self.since = stream, 0

    def read(self, size: int) -> bytes:
        """Bytes, as of every file."""
        self.since += size
        if self.since > _LONGEST:
            raise _EndlessError
        return self.stream.read(size)


def _rows(file: Path, stream: _Bounded) -> Iterator[Any]:
    """The members of the list."""
    events = ijson.basic_parse(stream, use_float=True)
    kind, _ = next(events)
    if kind != "start_array":
        found = "dict" if kind == "start_map" else f"a single {kind}"
        raise UserError(f"{file}: expected a list of records, found {found}")
    builder, depth = ijson.ObjectBuilder(), 0
    for event, value in events:
        if depth == 0 and event in _CLOSES:
            continue  # the end of the list; there may be more, which is an error
        if event in _OPENS:
            depth += 1
        if depth <= _DEEPEST:
            builder.event(event, value)
        if event in _CLOSES:
            depth -= 1
        if depth == 0:
            yield builder.value
            builder = ijson.ObjectBuilder()
