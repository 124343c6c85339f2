"""Bring single files out of the zips of a repository on the Hub, and leave the rest there."""

import shutil
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path, PurePosixPath

from stgrpo.data.hub import HubFile, Snapshot
from stgrpo.data.locks import LockedMember
from stgrpo.data.remote_zip import RemoteZip
from stgrpo.errors import UserError
from stgrpo.files import sha256
from stgrpo.progress import Transfer, amount

_AT_ONCE = 8  # directories, or files that are hashed


def bring_members(
    snapshot: Snapshot, wanted: Sequence[str], folder: Path, known: Sequence[LockedMember]
) -> tuple[LockedMember, ...]:
    """Bring what is missing into `folder`; returns all that is there now, in the order in which it was wanted.

    What no archive holds is told, and left to whoever needs it. Says how much it will be before the first member.

    Args:
        snapshot: the repository, with the zips that may be looked into.
        wanted: paths of files as they lie when every zip is unpacked in its own folder.
        folder: stands for the root of the repository.
        known: members that were locked.

    Raises:
        UserError: an archive or a member is damaged, is not the one that was locked, or will not fit.
    """
    locked = {member.path: member for member in known}
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        right = pool.map(lambda path: path in locked and _is_there(folder / path, locked[path]), wanted)
        found = {path: locked[path] for path, there in zip(wanted, right, strict=True) if there}
        missing = [path for path in wanted if path not in found]
        homes = _find(snapshot, missing, pool)
        # What an interrupted fetch left is in no lock yet; what is locked has only one right content.
        stand = pool.map(lambda path: homes[path].present(path, folder), homes)
        unknown = (member for member in stand if member and member.path not in locked)
        found |= {member.path: member for member in unknown}
    todo = {path: home for path, home in homes.items() if path not in found}
    _announce(snapshot, wanted, found, homes, todo, folder)
    with Transfer(sum(home.length(path) for path, home in todo.items())) as progress:
        for home in dict.fromkeys(todo.values()):
            paths = [path for path in todo if todo[path] is home]
            for member in home.extract(paths, folder, locked):
                found[member.path] = member
                progress.update(home.length(member.path))
    return tuple(found[path] for path in wanted if path in found)


def _is_there(path: Path, member: LockedMember) -> bool:
    return path.is_file() and path.stat().st_size == member.size and sha256(path) == member.sha256


def _find(snapshot: Snapshot, paths: Sequence[str], pool: ThreadPoolExecutor) -> dict[str, RemoteZip]:
    """The archive of each path; of several the first. Only those are opened whose folder a path lies in."""
    folders = {str(folder) for path in paths for folder in PurePosixPath(path).parents}
    zips = [file for file in snapshot.files if file.path.endswith(".zip")]
    near = [file for file in zips if str(PurePosixPath(file.path).parent) in folders]
    homes: dict[str, RemoteZip] = {}
    for archive in pool.map(partial(_open, snapshot), near):
        homes |= {path: archive for path in paths if path in archive.members and path not in homes}
    return homes


def _open(snapshot: Snapshot, file: HubFile) -> RemoteZip:
    return RemoteZip(snapshot.repository, file.path, file.size, partial(snapshot.read, file))


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
