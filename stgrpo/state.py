"""The folder of a job that resumes: everything that grows, kept out of what Snakemake deletes before an attempt.

The folder is keyed by what the job computes (spec, inputs, code). Another key's leftovers are never resumed: they are
moved aside, and the job starts anew. A lock keeps a second writer out; the kernel lets go of it when its holder dies.
Slurm starts a job again whose node it has lost, though the first start may still run there: for that one is waited.
"""

import errno
import fcntl
import hashlib
import json
import os
import shutil
import socket
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TextIO

from stgrpo.errors import UserError
from stgrpo.files import LONGEST_LINE, read_json, sha256, write_json

_CODE = Path(__file__).parent
_KEY = "key.json"
_PATIENCE = 300.0  # seconds, with an earlier start of the same job
_NO_LOCKS = (errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP)
_GLANCE = 1.0  # seconds, in which somebody may merely look who works there
_ELSEWHERE = {"commands", "data", "demo", "importance", "planning", "report"}  # what they made is an input, or nothing


def job_key(spec: str, inputs: Iterable[str]) -> str:
    """Hash of the spec, of the input files' hashes and of the code that may decide a training or an evaluation."""
    digest = hashlib.sha256(spec.encode())
    code = [path for path in sorted(_CODE.rglob("*.py")) if path.relative_to(_CODE).parts[0] not in _ELSEWHERE]
    for found in [*inputs, *map(sha256, code)]:
        digest.update(found.encode())
    return digest.hexdigest()[:16]


class StillRunning(UserError):
    """Who works in the folder is an earlier start of the same Slurm job, on a node that Slurm has lost."""


@contextmanager
def state_folder(path: str | Path, key: str) -> Iterator[Path]:
    """The folder, locked, holding this key's state or nothing.

    Raises:
        StillRunning: an earlier start of this Slurm job works in it, and did not end within minutes.
        UserError: another process works in it, or its file system knows no locks.
    """
    folder = Path(path)
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("a+") as lock:
        _acquire(lock, folder)
        _claim(folder, key)
        yield folder


@contextmanager
def only_writer(path: str | Path) -> Iterator[None]:
    """Nobody else writes what stands at `path`: a lock beside it, which goes when its holder is done.

    Two starts of one job (Snakemake was killed and typed again, the first job lives on) would each put something in
    place, and one would vouch for what the other wrote.

    Raises:
        UserError: as `state_folder`.
    """
    mark = Path(path).with_name(f".{Path(path).name}.lock")
    mark.parent.mkdir(parents=True, exist_ok=True)
    with ExitStack() as held:
        while True:
            lock = held.enter_context(mark.open("a+"))
            try:
                _acquire(lock, Path(path))
            except OSError:  # it is ours, but there is no room to say so
                mark.unlink(missing_ok=True)
                raise
            if _is_still(mark, lock):  # who held it before has removed it
                break
        held.callback(mark.unlink, missing_ok=True)
        yield


def _is_still(mark: Path, lock: TextIO) -> bool:
    try:
        return os.path.samestat(mark.stat(), os.fstat(lock.fileno()))
    except FileNotFoundError:
        return False


def _acquire(lock: TextIO, folder: Path) -> None:
    job = os.environ.get("SLURM_JOB_ID")
    began, told = time.monotonic(), False
    while not _locked(lock):
        lock.seek(0)
        who = lock.read().strip() or "another process"
        ours = job is not None and who.endswith(_of_job(job))
        if time.monotonic() - began > (_PATIENCE if ours else _GLANCE):
            error = StillRunning if ours else UserError
            raise error(f"{folder}: in use by {who}; wait for it, or end it, and run again")
        if ours and not told:
            told = True
            print(
                f"{folder}: in use by {who}, which Slurm started before; waiting for its end, {_PATIENCE:.0f} s at most"
            )
        time.sleep(_GLANCE / 4)
    lock.seek(0)
    lock.truncate()
    lock.write(f"process {os.getpid()} on {socket.gethostname()}" + (_of_job(job) if job else "") + "\n")
    lock.flush()


def _locked(lock: TextIO, kind: int = fcntl.LOCK_EX) -> bool:
    try:
        fcntl.flock(lock, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise
        raise UserError(
            f"{Path(lock.name).parent}: this file system takes no locks ({error.strerror}); have it mounted with them "
            "(Lustre: the option flock), or make a folder above it a link to one that has"
        ) from None
    return True


def _of_job(job: str) -> str:
    return f", Slurm job {job}"


def _claim(folder: Path, key: str) -> None:
    mark = folder / _KEY
    if not mark.exists():
        prune(folder)
    elif (found := read_json(mark, "key")["key"]) != key:
        aside = folder / f"other-{found}"
        shutil.rmtree(aside, ignore_errors=True)
        aside.mkdir()
        for entry in folder.iterdir():
            if entry.name != "lock" and not entry.name.startswith("other-"):
                entry.rename(aside / entry.name)
        print(f"{folder}: holds the state of another spec, input or code; moved to {aside.name}, starting anew")
    if not mark.exists():
        write_json(mark, {"key": key})


def unfinished(folder: Path) -> bool:
    """Whether the folder holds the state of a job that runs or was interrupted."""
    return (folder / _KEY).exists()


def holder(folder: Path) -> str | None:
    """Who works in the folder, in their own words; None if nobody does.

    The lock is asked for, shared and for an instant, only where there is state: a job that wants it in that instant
    asks again.
    """
    path = folder / "lock"
    if not unfinished(folder) or not path.exists():
        return None
    with path.open() as lock:
        return None if _locked(lock, fcntl.LOCK_SH) else lock.read().strip() or "another process"


def prune(folder: Path) -> None:
    """Leave nothing but the lock: the job is done, and its results stand elsewhere.

    The key goes first: what is found without a key is what a killed pruning left, and is not resumed.
    """
    (folder / _KEY).unlink(missing_ok=True)
    for entry in folder.iterdir():
        if entry.is_dir():
            shutil.rmtree(entry)
        elif entry.name != "lock":
            entry.unlink()


def whole_lines(path: Path, keep: int | None = None) -> int:
    """Cut a history back to its first `keep` lines, or to its whole ones, and return how many are left.

    A process that is killed while it appends leaves half a line behind.
    """
    if not path.exists():
        return 0
    with path.open("r+b") as stream:
        count = 0
        while keep is None or count < keep:
            start = stream.tell()
            text = stream.readline(LONGEST_LINE)
            if not text.endswith(b"\n") or not _is_json(text):
                stream.seek(start)
                break
            count += 1
        stream.truncate(stream.tell())
    return count


def _is_json(text: bytes) -> bool:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True
