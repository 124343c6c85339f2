"""What lies in a folder of results, whatever that is, and what is found wrong with it."""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from stgrpo.errors import UserError
from stgrpo.files import sha256

_UNSAID = {"state", "logs", "timing"}  # folders of a scale, and of a run, that hold no results
# What a damaged or forged file makes of code that trusts it: a list for an object, a folder for a file, no first line.
_ODD = (ArithmeticError, AttributeError, LookupError, OSError, RuntimeError, TypeError, ValueError)


@dataclass(frozen=True)
class Mismatch:
    """What does not hold, and in which file."""

    where: Path
    what: str

    def __str__(self) -> str:
        """One line, whatever a file is called."""
        return "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in f"{self.where}: {self.what}")


class Hashes(dict[Path, str]):
    """SHA-256 of files, each read once."""

    def __missing__(self, path: Path) -> str:
        self[path] = sha256(path)
        return self[path]


def guarded(where: Path, checks: Iterator[Mismatch]) -> Iterator[Mismatch]:
    """What cannot even be checked is a mismatch too: a file that is gone or damaged, a field that is missing."""
    try:
        yield from checks
    except UserError as error:
        text = str(error)
        yield Mismatch(where, text.removeprefix(f"{where}: ") if text.startswith(str(where)) else text)
    except OSError as error:
        yield Mismatch(Path(error.filename or where), f"cannot be read: {error.strerror or error}")
    except _ODD as error:
        first = (str(error).splitlines() or [""])[0]
        yield Mismatch(where, f"cannot be checked: {type(error).__name__}: {first}")


def files_below(scale: Path) -> tuple[list[Path], list[Mismatch]]:
    """Every file below the results of a scale, but for what is no result, and the folders that may not be read."""
    refused: list[OSError] = []
    found = sorted(path for path in walk(scale, refused.append) if not _unsaid(path.relative_to(scale).parts))
    return found, [Mismatch(Path(error.filename), f"cannot be read: {error.strerror}") for error in refused]


def walk(folder: Path, refused: Callable[[OSError], object] | None = None) -> Iterator[Path]:
    """Every file, and every link that leads nowhere, below a folder; a link to one of its own parents is not followed.

    Args:
        folder: may be, and hold, symbolic links.
        refused: told of a folder that may not be read.
    """
    for here, folders, names in os.walk(folder, followlinks=True, onerror=refused):
        above = {parent.resolve() for parent in (Path(here), *Path(here).parents)}
        folders[:] = [name for name in folders if Path(here, name).resolve() not in above]
        yield from (Path(here, name) for name in names)


def _unsaid(parts: tuple[str, ...]) -> bool:
    return parts[0] in _UNSAID or (parts[0] == "cells" and len(parts) > 4 and parts[3] in _UNSAID)
