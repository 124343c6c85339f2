"""Files of the Hub on the disk: each whole, checked and under its name, or not there.

What has come of a file lies in a folder of its own until then, named by path and content, and a later run goes on with
it. A lock in that folder keeps a second writer out.
"""

import hashlib
import shutil
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path, PurePosixPath
from threading import Event, Lock

from stgrpo.data.hub import HubFile, Snapshot
from stgrpo.errors import UserError
from stgrpo.files import leaves_folder, put_in_place
from stgrpo.progress import Transfer, amount
from stgrpo.state import prune, state_folder

STATE = ".fetching"  # in the folder of a source
_AT_ONCE = 4  # files; one alone seldom fills the line
_BLOCK = 1 << 20


def download(snapshot: Snapshot, files: Sequence[HubFile], folder: Path, todo: str) -> dict[str, str]:
    """Bring what is missing into `folder`; returns the SHA-256 of every file by its path.

    Args:
        snapshot: the repository.
        files: of it.
        folder: where they go, under their own paths.
        todo: what a person can do if a file is not what it should be.

    Raises:
        UserError: a file cannot be had, or is another one; those that had come stay.
    """
    for file in files:
        if leaves_folder(file.path):
            raise UserError(f"{snapshot.repository}: '{file.path}' points outside its folder; report it to its owner")
    with state_folder(folder / STATE, "fetch") as state, ThreadPoolExecutor(_AT_ONCE) as pool:
        present = [file.size for file in files if (folder / file.path).exists()]
        if present:
            print(f"{folder}: checks {len(present)} files, {amount(sum(present))}, that are there", flush=True)
        found = pool.map(lambda file: _hash_if_there(folder / file.path, file), files)
        hashes = {file.path: sha256 for file, sha256 in zip(files, found, strict=True) if sha256}
        missing = [file for file in files if file.path not in hashes]
        begun = sum(min(file.size, _length(_part(state, file))) for file in missing)
        _announce(snapshot, files, missing, begun, folder)
        stop = Event()
        with Transfer(sum(file.size for file in missing), done=begun) as progress:
            job = _Job(snapshot, folder, state, todo, progress, stop)
            running = {pool.submit(job.bring, file): file for file in missing}
            try:
                for future in as_completed(running):
                    hashes[running[future].path] = future.result()
            finally:  # one cannot be had, or the user had enough: the others leave what has come
                stop.set()
                pool.shutdown(cancel_futures=True)
        prune(state)
    return hashes


class _Job:
    """What is the same for all files of a download."""

    def __init__(
        self, snapshot: Snapshot, folder: Path, state: Path, todo: str, progress: Transfer, stop: Event
    ) -> None:
        self.snapshot, self.folder, self.state, self.todo = snapshot, folder, state, todo
        self.progress, self.stop, self.lock = progress, stop, Lock()

    def bring(self, file: HubFile) -> str:
        """Fetch the rest of a file, check all of it on the disk, put it in its place; returns its SHA-256."""
        part, path = _part(self.state, file), self.folder / file.path
        while True:
            begun = _length(part)
            if begun <= file.size:
                self._receive(file, part, begun)
            sha256, right = _check(part, file)
            if right:
                put_in_place(part, path)
                return sha256
            part.unlink()
            if begun == 0:
                break
            self._count(-file.size)  # what an earlier run left may be what is wrong: once more, from the beginning
        wanted = f"sha256 {file.sha256}" if file.sha256 else f"git blob {file.blob}"
        raise UserError(
            f"{self.snapshot.repository}/{file.path}: not what it should be (sha256 {sha256[:12]}..., expected "
            f"{file.size} bytes of {wanted[:19]}...); {self.todo}"
        )

    def _receive(self, file: HubFile, part: Path, begun: int) -> None:
        try:
            with part.open("ab") as out:
                for block in self.snapshot.stream(file, begun, file.size):
                    if self.stop.is_set():
                        raise UserError(f"{self.snapshot.repository}/{file.path}: stopped")  # another's error is shown
                    out.write(block)
                    self._count(len(block))
        except OSError as error:
            error.filename = error.filename or str(self.folder / file.path)
            raise

    def _count(self, size: int) -> None:
        with self.lock:
            self.progress.update(size)


def _announce(
    snapshot: Snapshot, files: Sequence[HubFile], missing: Sequence[HubFile], begun: int, folder: Path
) -> None:
    """Say how much it will be, before the first byte.

    Raises:
        UserError: it will not fit.
    """
    wanted = sum(file.size for file in missing)
    there = sum(file.size for file in files) - wanted
    have = f"{len(files) - len(missing)} files, {amount(there)} are there"
    part = f", of which {amount(begun)} have come already" if begun else ""
    todo = f"to fetch: {len(missing)} files, {amount(wanted)}{part}"
    print(f"{snapshot.repository} at {snapshot.commit[:12]}: {have}; {todo}", flush=True)
    free = shutil.disk_usage(folder).free
    if wanted - begun > free:
        todo = "free some, or make resources/ a link to a larger disk"
        raise UserError(f"{folder}: {amount(wanted - begun)} are to come, {amount(free)} are free; {todo}")


def _part(state: Path, file: HubFile) -> Path:
    """Where a file grows; another content under the same path grows elsewhere."""
    key = hashlib.sha256(f"{file.path} {file.size} {file.sha256 or file.blob}".encode()).hexdigest()[:16]
    return state / f"{key}-{PurePosixPath(file.path).name[-100:]}"


def _length(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _hash_if_there(path: Path, file: HubFile) -> str | None:
    """The SHA-256 of a file that is there and right."""
    if not path.is_file() or path.stat().st_size != file.size:
        return None
    sha256, right = _check(path, file)
    return sha256 if right else None


def _check(path: Path, file: HubFile) -> tuple[str, bool]:
    """The SHA-256 of what lies on the disk, and whether that is the file: by SHA-256, by git's own hash, or by both."""
    size = path.stat().st_size
    sha256, blob = hashlib.sha256(), hashlib.sha1(b"blob %d\0" % size, usedforsecurity=False)
    with path.open("rb") as stream:
        while block := stream.read(_BLOCK):
            sha256.update(block)
            if file.blob:
                blob.update(block)
    right = size == file.size and file.sha256 in (None, sha256.hexdigest()) and file.blob in (None, blob.hexdigest())
    return sha256.hexdigest(), right
