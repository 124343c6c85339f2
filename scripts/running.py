"""What of a run is alive, by /proc: Snakemake, verbs with their children, and what each is in the middle of."""

import os
import signal
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

_STARTING = 3.0  # seconds


@dataclass(frozen=True)
class Process:
    """One process of a run.

    Attributes:
        number: its id.
        parent: of its parent.
        words: its command line.
    """

    number: int
    parent: int
    words: tuple[str, ...]

    @property
    def verb(self) -> str | None:
        """The verb that it is the process of, if it is one."""
        at = next((i for i, word in enumerate(self.words[:-2]) if word == "-m"), None)
        named = at is not None and self.words[at + 1] == "stgrpo" and "python" in Path(self.words[0]).name
        return self.words[at + 2] if at is not None and named else None

    def option(self, name: str) -> str:
        """What stands behind an option."""
        return self.words[self.words.index(name) + 1]

    def kill(self) -> None:
        """SIGKILL, if it is still there."""
        with suppress(ProcessLookupError):
            os.kill(self.number, signal.SIGKILL)


def processes(folder: Path) -> list[Process]:
    """Those that work in a folder."""
    return [process for process in _all() if _works_in(process, folder)]


def _all() -> Iterator[Process]:
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(OSError):
                words = (entry / "cmdline").read_text(errors="replace").split("\0")
                status = (entry / "stat").read_text(errors="replace").rpartition(")")[2].split()
                if status[0] != "Z":
                    yield Process(int(entry.name), int(status[1]), tuple(words))


def _works_in(process: Process, folder: Path) -> bool:
    with suppress(OSError):
        return Path(f"/proc/{process.number}/cwd").readlink().is_relative_to(folder)
    return False


def below(process: Process, among: list[Process]) -> list[Process]:
    """A process and all that it started."""
    found = [process]
    for one in found:
        found += [child for child in among if child.parent == one.number]
    return found


def place(verb: Process, folder: Path) -> str:
    """Where a verb is: its name, or what of a training or an evaluation it is inside of.

    A training is inside when this process has made a step, an evaluation when its model answers. A checkpoint is being
    written while its folder lacks the mark of a whole one.
    """
    if verb.verb not in ("train", "evaluate"):
        return str(verb.verb)
    state = folder / verb.option("--state")
    if verb.verb == "evaluate":
        return "evaluation" if _has_open(verb, state / "predictions.jsonl") else "evaluation's start"
    if not _is_newer(state / "train.jsonl", verb):
        return "training's start"
    return "checkpoint's write" if is_writing(state) else "training"


def is_writing(state: Path) -> bool:
    """Whether a training's checkpoint is being written, or was when an earlier attempt ended."""
    return any(not (checkpoint / "complete.json").exists() for checkpoint in state.glob("checkpoint-*"))


def _has_open(process: Process, path: Path) -> bool:
    with suppress(OSError):
        return any(link.readlink() == path for link in Path(f"/proc/{process.number}/fd").iterdir())
    return False


def _is_newer(path: Path, process: Process) -> bool:
    """Whether a file was written after a process had time to read its packages."""
    with suppress(OSError):
        return path.stat().st_mtime > Path(f"/proc/{process.number}").stat().st_mtime + _STARTING
    return False
