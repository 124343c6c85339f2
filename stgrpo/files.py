"""Files that are either there and whole or not there: written under a temporary name, flushed to disk, renamed."""

import csv
import errno
import fcntl
import hashlib
import json
import math
import os
import re
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import dropwhile
from pathlib import Path, PurePosixPath
from typing import Any, TypeVar
from unicodedata import category

from stgrpo.errors import UserError
from stgrpo.records import Record

R = TypeVar("R", bound=Record)
T = TypeVar("T")

NO_SPACE = (errno.ENOSPC, errno.EDQUOT)
LONGEST_LINE = 64 << 20  # characters; an answer of ten million is a record, what has no end is none

_FORMULA = ("=", "+", "-", "@", "＝", "＋", "－", "＠")
_LARGEST_JSON = 128 << 20  # bytes; the largest of ours, a lock of a hundred thousand videos, has some 25 MB
_NUMBER = re.compile(r"[+-]?[0-9]+(\.[0-9]*)?([eE][+-]?[0-9]+)?")


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """A temporary path beside `path` that becomes `path` when the block ends well, and is removed when it does not.

    What a killed writer left there is written over. Nobody else writes there: a second writer gets a path of its own.
    """
    final = Path(path)
    final.parent.mkdir(parents=True, exist_ok=True)
    temporary, mark = _place_to_write(final)
    try:
        yield temporary
        put_in_place(temporary, final)
    except BaseException as error:
        temporary.unlink(missing_ok=True)
        if isinstance(error, OSError) and error.errno in NO_SPACE:  # a write says not where, a copy names its origin
            error.filename, error.filename2 = str(final), None
        raise
    finally:
        if mark is not None:
            os.close(mark)


def _place_to_write(final: Path) -> tuple[Path, int | None]:
    """A temporary path and what holds its lock; where another process has it, or no lock is to be had, one without."""
    usual, own = final.with_name(f".{final.name}.tmp"), final.with_name(f".{final.name}.{os.getpid()}.tmp")
    try:
        mark = os.open(usual, os.O_RDWR | os.O_CREAT, 0o666)
    except OSError:  # writing to the other path fails too, and says why
        return own, None
    try:
        fcntl.flock(mark, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.path.samestat(os.fstat(mark), usual.stat()):
            return usual, mark
    except (BlockingIOError, FileNotFoundError):  # at work, or done since it was opened
        pass
    except OSError:  # a file system without locks
        usual.unlink(missing_ok=True)
    os.close(mark)
    return own, None


def put_in_place(temporary: Path, final: Path) -> None:
    """What is whole gets its name, and is on the disk when it has it."""
    final.parent.mkdir(parents=True, exist_ok=True)
    _flush(temporary)
    temporary.replace(final)
    _flush(final.parent)


def link_or_copy(origin: Path, path: Path) -> None:
    """`path` becomes a hard link to `origin`, or a copy where the file system has no hard links."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    try:
        os.link(origin, path)
    except OSError:
        with replacing(path) as temporary:
            shutil.copyfile(origin, temporary)


def write_text(path: str | Path, text: str) -> None:
    """Write UTF-8 text."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8", errors="backslashreplace")  # half a character, as JSON has it


def write_json(path: str | Path, value: Mapping[str, Any]) -> None:
    """Write indented JSON, keys in the order given."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def write_records(path: str | Path, records: Iterable[Record]) -> None:
    """Write one line of JSON a record."""
    with replacing(path) as temporary, temporary.open("w", encoding="utf-8", errors="backslashreplace") as out:
        out.writelines(line(record) for record in records)


def line(record: Record) -> str:
    """One record as one line."""
    return json.dumps(record.to_row(), ensure_ascii=False) + "\n"


def inert_cell(value: object) -> str:
    """A cell of a CSV as no spreadsheet takes for a formula: OWASP's leading apostrophe, unless it is a number.

    Blanks and what has no width do not count, for a spreadsheet may drop them.
    """
    text = str(value)
    bare = "".join(dropwhile(lambda c: c.isspace() or category(c) in ("Cc", "Cf"), text))
    is_formula = bare.startswith(_FORMULA) and not _NUMBER.fullmatch(text)
    return f"'{text}" if is_formula or text.startswith(("\t", "\r", "\n")) else text


def read_json(path: str | Path, *needed: str) -> Any:
    """Parse a JSON file.

    Args:
        path: of it.
        needed: keys that must be in it, those of an object in it behind a dot ("provenance.spec").

    Raises:
        UserError: the file is missing or no JSON, or lacks a key.
    """
    try:
        if (size := Path(path).stat().st_size) > _LARGEST_JSON:
            most = _LARGEST_JSON >> 20
            raise UserError(
                f"{path}: {size >> 20} MB long, no JSON here has more than {most} MB; remove it and run again"
            )
        found = _parse(Path(path).read_text(encoding="utf-8"))
    except RecursionError:
        raise UserError(f"{path}: not JSON of ours (nested without end); remove it and run again") from None
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None
    except IsADirectoryError:
        raise UserError(f"{path}: a folder, not a file; remove it and run again") from None
    except ValueError as error:
        raise UserError(f"{path}: not JSON ({error}); remove it and run again") from None
    for name in needed:
        inside = found
        for key in name.split("."):
            if not isinstance(inside, dict) or key not in inside:
                raise UserError(f"{path}: does not say its {name}; remove it and run again")
            inside = inside[key]
    return found


def read_records(path: str | Path, kind: type[R]) -> list[R]:
    """Read a file of one record a line.

    Raises:
        UserError: the file is missing, or a line is no such record (its number is named).
    """
    return _read_lines(path, lambda text: kind.from_row(_parse(text)))


def read_rows(path: str | Path) -> list[dict[str, Any]]:
    """Read a file of one JSON object a line.

    Raises:
        UserError: the file is missing, or a line is no JSON object (its number is named).
    """
    return _read_lines(path, _object)


def read_table(path: str | Path, columns: Sequence[str]) -> list[tuple[int, dict[str, str]]]:
    """Rows of a CSV that people edit, with the numbers of their lines.

    Raises:
        UserError: the file is missing or no such CSV, or a row has more or fewer cells than there are columns.
    """
    try:
        with Path(path).open(newline="", encoding="utf-8") as lines:
            reader = csv.DictReader(lines, strict=True)
            if missing := set(columns) - set(reader.fieldnames or ()):
                raise UserError(f"{path}: no column {', '.join(sorted(missing))}; its first line names the columns")
            rows = []
            for row in reader:
                if None in row or None in row.values():
                    raise UserError(f"{path}:{reader.line_num}: not one cell a column; each line has the same columns")
                rows.append((reader.line_num, row))
            return rows
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None
    except (csv.Error, UnicodeDecodeError) as error:
        raise UserError(f"{path}: no CSV ({error}); mend it, or restore it (git checkout {path})") from None


def _parse(text: str) -> Any:
    """JSON, without Python's own NaN and infinity: none of our files has them, and a mean would hide them."""
    return json.loads(text, parse_float=_finite, parse_constant=_finite)


def _object(text: str) -> dict[str, Any]:
    if not isinstance(found := _parse(text), dict):
        raise ValueError(f"a {type(found).__name__}, not an object")
    return found


def _finite(text: str) -> float:
    if not math.isfinite(number := float(text)):
        raise ValueError(f"{text} is no number")
    return number


def _read_lines(path: str | Path, parse: Callable[[str], T]) -> list[T]:
    found = []
    try:
        with Path(path).open(encoding="utf-8") as lines:
            for number, text in enumerate(iter(lambda: lines.readline(LONGEST_LINE), ""), 1):
                if len(text) == LONGEST_LINE:
                    most = LONGEST_LINE >> 20
                    raise UserError(
                        f"{path}:{number}: longer than {most} MB, no line is; remove the file and run again"
                    )
                try:
                    found.append(parse(text))
                except (ValueError, TypeError, RecursionError) as error:
                    raise UserError(f"{path}:{number}: {error}; remove the file and run again") from None
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None
    except IsADirectoryError:
        raise UserError(f"{path}: a folder, not a file; remove it and run again") from None
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: after line {len(found)}: {error}; remove the file and run again") from None
    return found


def leaves_folder(name: str) -> bool:
    """Whether a name that came from elsewhere points out of the folder that it belongs in."""
    path = PurePosixPath(name.replace("\\", "/"))
    return path.is_absolute() or ".." in path.parts


def sha256(path: str | Path) -> str:
    """Hash of a file's content, in hexadecimal."""
    with Path(path).open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def hashes(paths: Iterable[Path]) -> dict[str, str]:
    """Hashes of files' content by their paths as given.

    Raises:
        UserError: one is missing, or a folder.
    """
    found = {}
    for path in paths:
        try:
            found[str(path)] = sha256(path)
        except (FileNotFoundError, IsADirectoryError):
            what = "a folder, not a file" if path.is_dir() else "no such file"
            raise UserError(f"{path}: {what}; make it again (snakemake {path})") from None
    return found


def flush_tree(folder: Path) -> None:
    """Everything below a folder is on the disk when this returns; then the folder may be renamed into place."""
    for path in [*folder.rglob("*"), folder]:
        _flush(path)


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
