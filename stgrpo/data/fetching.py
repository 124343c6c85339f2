"""Fetch a source from the Hub, under its lock."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from stgrpo.data.downloads import download
from stgrpo.data.hub import GoneError, HubFile, Snapshot, open_snapshot
from stgrpo.data.locks import Lock, LockedFile, LockedMember, read_lock, write_lock
from stgrpo.data.members import bring_members
from stgrpo.data.sources import Source, choose, unpack
from stgrpo.errors import UserError

Pick = Callable[[Path], list[str]]  # folder of a source -> paths in it, as they lie when its zips are unpacked


def fetch_locked(source: Source, path: Path, folder: Path, pick: Pick | None = None) -> Lock:
    """Bring the source's files into `folder` and unpack its archives there; returns them, as locked at `path`.

    With `pick`, archives stay on the Hub: only the files that it chooses, when all others have come, are read out. The
    lock keeps what other fetches chose beside them; what is returned does not name that.

    The first fetch writes the commit before it brings a file, so that an interrupted one goes on with the same commit,
    and the hashes when all files have come. Later ones ask the Hub for nothing that is there.

    Raises:
        UserError: the Hub does not give what the lock or the Hub's own list says.
    """
    before = read_lock(path, source)
    todo = f"run again; if it stays so, delete {path} to accept what the Hub has now"
    try:
        if before and before.whole and before.patterns == source.patterns:
            lock, snapshot = before, before.snapshot()
        else:
            snapshot = _look(source, path, before)
            lock = _locked(source, snapshot, {}, before.members if before else ())
            write_lock(path, lock)
        whole = [file for file in snapshot.files if not (pick and file.path.endswith(".zip"))]
        hashes = download(snapshot, whole, folder, todo)
        members = bring_members(snapshot, pick(folder), folder, lock.members) if pick else ()
    except GoneError:
        raise UserError(
            f"{path}: {source.repository} no longer has commit {before.commit[:12] if before else 'main'}; delete the "
            "lock to accept the repository as it is now"
        ) from None
    kept = _united(read_lock(path, source), snapshot, members)
    if not lock.whole or kept != lock.members:
        lock = _locked(source, snapshot, hashes, kept)
        write_lock(path, lock)
    for file in whole:
        if file.path.endswith(".zip"):
            unpack(folder / file.path, (folder / file.path).parent)
    return lock.model_copy(update={"members": members})


def _united(now: Lock | None, snapshot: Snapshot, members: tuple[LockedMember, ...]) -> tuple[LockedMember, ...]:
    """The members, after those that fetches for other draws have locked at this commit, some of them meanwhile."""
    others = now.members if now and now.commit == snapshot.commit else ()
    return tuple(({member.path: member for member in others} | {member.path: member for member in members}).values())


def _look(source: Source, path: Path, before: Lock | None) -> Snapshot:
    """What the Hub has of the source, at the commit of an earlier fetch if there was one, and as that one found it."""
    snapshot = open_snapshot(source.repository, source.type, before.commit if before else None)
    known = {file.path: file for file in before.files} if before else {}
    listed = {file.path: file for file in snapshot.files}
    chosen = choose(list(listed), source, f"{source.repository} at {snapshot.commit[:12]}")
    return replace(snapshot, files=tuple(_agreed(listed[name], known.get(name), path, snapshot) for name in chosen))


def _agreed(listed: HubFile, known: LockedFile | None, path: Path, snapshot: Snapshot) -> HubFile:
    """A file with all that is known of it.

    Raises:
        UserError: the Hub lists another one than the lock.
    """
    if known is None:
        return listed
    if listed.size != known.size or (listed.sha256 and known.sha256 and listed.sha256 != known.sha256):
        raise UserError(
            f"{snapshot.repository}/{listed.path}: {_told(listed)} at commit {snapshot.commit[:12]}, "
            f"but {_told(known)} in {path}; delete the lock to accept what the Hub has now"
        )
    return replace(listed, sha256=listed.sha256 or known.sha256)


def _told(file: HubFile | LockedFile) -> str:
    return f"{file.size} bytes" + (f" (sha256 {file.sha256[:12]}...)" if file.sha256 else "")


def _locked(source: Source, snapshot: Snapshot, hashes: dict[str, str], members: tuple[LockedMember, ...]) -> Lock:
    """The lock of what was found, and of what was fetched of it."""
    files = [
        LockedFile(path=file.path, size=file.size, sha256=file.sha256 or hashes.get(file.path))
        for file in snapshot.files
    ]
    return Lock(
        source=source.name,
        repository=source.repository,
        type=source.type,
        commit=snapshot.commit,
        patterns=source.patterns,
        files=tuple(files),
        members=members,
    )
