"""Bring single files out of the zips of a repository on the Hub, and leave the rest there."""

import shutil
from collections.abc import Container, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path, PurePosixPath

from stgrpo.data.hub import HubFile, Snapshot
from stgrpo.data.locks import LockedMember
from stgrpo.data.remote_zip import DamagedError, RemoteZip
from stgrpo.errors import UserError
from stgrpo.files import sha256
from stgrpo.progress import Transfer, amount

_AT_ONCE = 8  # directories, or files that are hashed


def bring_members(
    snapshot: Snapshot, wanted: Sequence[str], folder: Path, known: Sequence[LockedMember]
) -> tuple[LockedMember, ...]:
    """Bring what is missing into `folder`; returns all that is there now, in the order in which it was wanted.

    What no archive holds, and what is damaged whenever it is read, is told, and left to whoever needs it. Says how much
    it will be before the first member.

    Args:
        snapshot: the repository, with the zips that may be looked into.
        wanted: paths of files as they lie when every zip is unpacked in its own folder.
        folder: stands for the root of the repository.
        known: members that were locked.

    Raises:
        DamagedError: nothing is there but what is damaged, or a member is that was locked when it was not.
        UserError: a member is not the one that was locked, or it will not fit.
    """
    locked = {member.path: member for member in known}
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        right = pool.map(lambda path: path in locked and _is_there(folder / path, locked[path]), wanted)
        found = {path: locked[path] for path, there in zip(wanted, right, strict=True) if there}
        missing = [path for path in wanted if path not in found]
        homes, broken = _find(snapshot, missing, pool)
        _check_locked(broken, {locked[path].archive for path in missing if path in locked})
        # What an interrupted fetch left is in no lock yet; what is locked has only one right content.
        stand = pool.map(lambda path: homes[path].present(path, folder), homes)
        unknown = (member for member in stand if member and member.path not in locked)
        found |= {member.path: member for member in unknown}
    todo = {path: home for path, home in homes.items() if path not in found}
    if broken and not found and not homes:
        raise broken[0]
    _announce(snapshot, wanted, found, homes, todo, folder)
    _tell(broken, "archives")
    damaged: list[DamagedError] = []
    with Transfer(sum(home.length(path) for path, home in todo.items())) as progress:
        for home in dict.fromkeys(todo.values()):
            paths = [path for path in todo if todo[path] is home]
            for came in _extract(home, paths, folder, locked):
                progress.update(home.length(came.path))
                if isinstance(came, DamagedError):
                    damaged.append(came)
                else:
                    found[came.path] = came
    _check_locked(damaged, locked)
    if damaged and not found:
        raise damaged[0]
    _tell(damaged, "videos")
    return tuple(found[path] for path in wanted if path in found)


def _is_there(path: Path, member: LockedMember) -> bool:
    return path.is_file() and path.stat().st_size == member.size and sha256(path) == member.sha256


def _find(
    snapshot: Snapshot, paths: Sequence[str], pool: ThreadPoolExecutor
) -> tuple[dict[str, RemoteZip], list[DamagedError]]:
    """The archive of each path, of several the first; and those that cannot be read.

    Only those are opened whose folder a path lies in.
    """
    folders = {str(folder) for path in paths for folder in PurePosixPath(path).parents}
    zips = [file for file in snapshot.files if file.path.endswith(".zip")]
    near = [file for file in zips if str(PurePosixPath(file.path).parent) in folders]
    homes: dict[str, RemoteZip] = {}
    broken = []
    for archive in pool.map(partial(_open, snapshot), near):
        if isinstance(archive, DamagedError):
            broken.append(archive)
        else:
            homes |= {path: archive for path in paths if path in archive.members and path not in homes}
    return homes, broken


def _open(snapshot: Snapshot, file: HubFile) -> RemoteZip | DamagedError:
    """An archive; its damage, if it is damaged when it is read again."""
    read = partial(RemoteZip, snapshot.repository, file.path, file.size, partial(snapshot.read, file))
    try:
        return read()
    except DamagedError:
        try:
            return read()
        except DamagedError as error:
            return error


def _extract(
    home: RemoteZip, paths: Sequence[str], folder: Path, locked: Mapping[str, LockedMember]
) -> Iterator[LockedMember | DamagedError]:
    """Members of one archive, or their damage, if they are damaged when they are read again."""
    left, doubted = set(paths), set()
    while left:
        try:
            for member in home.extract(left, folder, locked):
                left.remove(member.path)
                yield member
        except DamagedError as error:
            if error.path in doubted:
                left.remove(error.path)
                yield error
            doubted.add(error.path)


def _check_locked(damaged: Sequence[DamagedError], locked: Container[str]) -> None:
    """Refuse damage of what was right when it was locked: leaving it out would make other questions of one lock.

    Raises:
        DamagedError: the first such.
    """
    for error in damaged:
        if error.path in locked:
            raise error


def _tell(damaged: Sequence[DamagedError], what: str) -> None:
    if damaged:
        print(
            f"{len(damaged)} {what} are damaged at their origin, the first: {damaged[0].what}; what they hold will be "
            "set aside",
            flush=True,
        )


def _announce(
    snapshot: Snapshot,
    wanted: Sequence[str],
    found: Mapping[str, LockedMember],
    homes: Mapping[str, RemoteZip],
    todo: Mapping[str, RemoteZip],
    folder: Path,
) -> None:
    """Say what will come, and what cannot.

    Raises:
        UserError: nothing can, or it will not fit.
    """
    where = f"{snapshot.repository} at {snapshot.commit[:12]}"
    if wanted and not found and not homes:
        raise UserError(
            f"{where}: none of {len(wanted)} videos is in an archive, the first: {wanted[0]}; has its layout changed?"
        )
    size = sum(home.length(path) for path, home in todo.items())
    archives = sum(file.size for file in snapshot.files if file.path.endswith(".zip"))
    print(
        f"{where}: {len(found)} of {len(wanted)} videos are there; to fetch: "
        f"{len(todo)} out of {len(set(todo.values()))} archives, {amount(size)} of {amount(archives)}",
        flush=True,
    )
    if absent := [path for path in wanted if path not in found and path not in homes]:
        print(f"{len(absent)} videos are in no archive, the first {absent[0]}; they will be set aside", flush=True)
    needed, free = sum(home.members[path].file_size for path, home in todo.items()), _free(folder)
    if needed > free:
        raise UserError(
            f"{folder}: {amount(needed)} are to come, {amount(free)} are free; free some, or make resources/ a link to "
            "a larger disk"
        )


def _free(folder: Path) -> int:
    folder.mkdir(parents=True, exist_ok=True)
    return shutil.disk_usage(folder).free
