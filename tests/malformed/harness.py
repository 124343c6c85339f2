"""Run one malformed input in a child of its own, and look how it ends."""

import json
import os
import re
import signal
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from stgrpo.commands import VERBS

FOLDER = "FOLDER"  # stands for a case's folder in what is said


@dataclass(frozen=True)
class Case:
    """One malformed input.

    Attributes:
        surface: where it comes in.
        what: what is wrong with it, a few words.
        run: makes it in an empty folder, the working directory, and calls a verb; returns the verb's exit status.
        says: a pattern of the one line on standard error, or of each reason in aside.csv, in full; `FOLDER` stands for
            the folder.
        set_aside: rows that are set aside; the verb then ends well, and keeps all others.
        accepted: whether it is to be handled, and `right` says how.
        right: asserts on the folder afterwards.
        came_out: what was made of an accepted one, for people.
        seconds: that it may take.
    """

    surface: str
    what: str
    run: Callable[[Path], int]
    says: str = ""
    set_aside: int = 0
    accepted: bool = False
    right: Callable[[Path], None] | None = None
    came_out: Callable[[Path], str] | None = None
    seconds: float = 60.0

    @property
    def name(self) -> str:
        """For people."""
        return f"{self.surface}: {self.what}"


@dataclass(frozen=True)
class Outcome:
    """How a case ended.

    Attributes:
        status: of the verb; None where it was killed for its time, -1 where it let an exception through.
        line: what it said on standard error.
        aside: the reasons for which rows were set aside.
        handled: what came of an accepted one.
        seconds: it took.
    """

    status: int | None
    line: str
    aside: tuple[str, ...]
    handled: str
    seconds: float


def pinned(name: str) -> str:
    """The pattern of a line that was read, found right, and put into lines.json; "..." stands for what may differ."""
    lines = json.loads(Path(__file__).with_name("lines.json").read_text(encoding="utf-8"))
    return ".*".join(map(re.escape, lines[name].split("...")))


def outcome(case: Case, folder: Path) -> Outcome:
    """Run a case in a child; it and all that it starts are killed when its time is over."""
    began = time.monotonic()
    child = os.fork()
    if child == 0:
        _be_the_child(case, folder)
    status: int | None = None
    while time.monotonic() - began < case.seconds:
        ended, code = os.waitpid(child, os.WNOHANG)
        if ended:
            status = os.waitstatus_to_exitcode(code)
            break
        time.sleep(0.005)
    else:
        os.killpg(child, signal.SIGKILL)
        os.waitpid(child, 0)
    said = (folder / "stderr").read_text(encoding="utf-8", errors="replace").strip()
    # Warnings and bars of libraries stand before the line of a verb that loads a model.
    found = re.search(rf"(?:{'|'.join([*VERBS, 'snakemake'])}): [^\n]*\Z", said)
    line = found[0] if found and "Traceback" not in said else said
    seconds = time.monotonic() - began
    line = line.replace(str(folder), FOLDER)
    handled = case.came_out(folder) if case.came_out and status == 0 else "with the right number"
    return Outcome(status, line, _aside(folder), handled, seconds)


def check(case: Case, folder: Path, found: Outcome) -> None:
    """Assert that a case ended as it must."""
    assert found.status is not None, f"still running after {case.seconds} s"
    assert "Traceback" not in found.line, found.line
    if case.set_aside or case.accepted:
        assert found.status == 0, found.line
        assert len(found.aside) == case.set_aside, found.aside
        for reason in found.aside:
            assert re.fullmatch(case.says, reason), reason
    else:
        assert found.status == 2, (found.status, found.line)
        first, *others = found.line.split("\n")  # config.yaml has a line an error
        assert first.isprintable() and (not others or case.surface == "config"), found.line
        assert re.fullmatch(case.says, first), found.line
    left = [path for path in folder.rglob("*") if path.name.endswith((".tmp", ".part", ".incomplete"))]
    assert not left, f"half-written: {left}"
    if case.right is not None:
        case.right(folder)


def _aside(folder: Path) -> tuple[str, ...]:
    import csv

    path = folder / "aside.csv"
    if not path.exists():
        return ()
    with path.open(newline="", encoding="utf-8") as lines:
        return tuple(row["reason"].replace(str(folder), FOLDER) for row in csv.DictReader(lines))


def _be_the_child(case: Case, folder: Path) -> None:
    """Never returns."""
    status = -1
    try:
        os.setsid()
        os.chdir(folder)
        for stream, name in ((1, "stdout"), (2, "stderr")):
            file = os.open(folder / name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            os.dup2(file, stream)
        sys.stdout, sys.stderr = (os.fdopen(os.dup(number), "w") for number in (1, 2))
        status = case.run(folder)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status & 0xFF)
