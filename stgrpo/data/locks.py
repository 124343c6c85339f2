"""Locks: what the first fetch of a source found, which every later one must find again.

A lock stands beside the table of sources, not among what a fetch writes: Snakemake deletes a rule's outputs before each
attempt, and a lock may be kept in git. To accept another state of a source a person deletes it.
"""

import re
from pathlib import Path

from pydantic import ValidationError

from stgrpo.data.hub import HubFile, Snapshot
from stgrpo.data.sources import Kind, Source
from stgrpo.errors import UserError
from stgrpo.files import leaves_folder, read_json, write_json
from stgrpo.rules import Frozen, first_flaw

_SHA256 = re.compile("[0-9a-f]{64}")


class LockedFile(Frozen):
    """A file of the repository; the hash of one that is not in LFS is known when it was fetched."""

    path: str
    size: int
    sha256: str | None = None


class LockedMember(Frozen):
    """A member of a zip that stays on the Hub."""

    archive: str
    path: str
    size: int
    crc32: int
    sha256: str | None = None


class Lock(Frozen):
    """A repository at one commit, and what of it is used; `members` are those of every draw so far."""

    source: str
    repository: str
    type: Kind
    commit: str
    patterns: tuple[str, ...]
    files: tuple[LockedFile, ...]
    members: tuple[LockedMember, ...] = ()

    @property
    def whole(self) -> bool:
        """Whether every hash is known, so that nothing has to be asked of the Hub."""
        return all(file.sha256 for file in self.files)

    def snapshot(self) -> Snapshot:
        """The repository as the lock has it."""
        files = tuple(HubFile(file.path, file.size, file.sha256) for file in self.files)
        return Snapshot(self.repository, self.type, self.commit, files)


def read_lock(path: Path, source: Source) -> Lock | None:
    """The lock of a source; None before its first fetch.

    Raises:
        UserError: it is no lock, or one of another repository.
    """
    if not path.exists():
        return None
    try:
        lock = Lock.model_validate(read_json(path))
    except ValidationError as error:
        raise UserError(
            f"{path}: no lock of a source ({first_flaw(error)}); restore it, or delete it to fetch anew"
        ) from None
    if odd := next((entry for entry in (*lock.files, *lock.members) if _is_odd(entry)), None):
        raise UserError(
            f"{path}: no lock of a source ('{odd.path}' leads out of its folder, or its size or hash is none); restore "
            "it, or delete it to fetch anew"
        )
    if (lock.repository, lock.type) != (source.repository, source.type):
        raise UserError(
            f"{path}: locks the {lock.type} {lock.repository}, the table of sources names the {source.type} "
            f"{source.repository}; delete the lock to fetch that"
        )
    return lock


def _is_odd(entry: LockedFile | LockedMember) -> bool:
    """Whether no fetch has written this. What the Hub lists is checked where it comes in (`stgrpo.data.hub`)."""
    has_hash = entry.sha256 is None or _SHA256.fullmatch(entry.sha256)
    return leaves_folder(entry.path) or entry.size < 0 or not has_hash


def write_lock(path: Path, lock: Lock) -> None:
    """Write it whole, or not at all."""
    write_json(path, lock.model_dump(mode="json", exclude_defaults=True))
