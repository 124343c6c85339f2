"""The disk is pulled: full or read-only in the middle of each verb, on a small file system of its own.

The verbs are those of a finished run, word for word, but for where they write.
"""

import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from job_commands import commands, content, fill, written_to

from stgrpo.__main__ import main

pytestmark = pytest.mark.workflow

VERBS = ("demo", "fetch", "prepare", "score", "evaluate", "grade", "tabulate", "figure", "report", "publish")
PLENTY = "64m"


@pytest.fixture(scope="module")
def jobs(clone: Path) -> Mapping[str, list[str]]:
    return commands(clone)


@pytest.fixture
def in_clone(clone: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(clone)


def into(folder: Path, words: list[str]) -> list[str]:
    """A job that writes there; the demo's hub too, and the training's results are read where they are."""
    folder.mkdir(exist_ok=True)
    hub = {"hub": str(folder / "hub")} if words[0] == "demo" else {}
    return written_to(folder, words, **hub)


@pytest.mark.parametrize("verb", VERBS)
def test_a_disk_that_is_full_in_the_middle_of(verb: str, jobs, in_clone, small_disk: Callable[[str], Path], capfd):
    disk = small_disk(PLENTY)
    words = into(disk / "out", jobs[verb])
    assert main(words) == 0
    whole = content(disk / "out")
    size = sum(map(len, whole.values()))
    for free in (0, size // 2):
        subprocess.run(["rm", "-r", str(disk / "out")], check=True)
        into(disk / "out", jobs[verb])
        ballast = fill(disk, free)
        capfd.readouterr()
        assert main(words) == 2
        said = capfd.readouterr().err.splitlines()
        assert said[-1].startswith(f"{verb}: {disk}")
        assert said[-1].endswith("no space left on the disk; free some and run again")
        assert not [text for text in said if "Traceback" in text]
        left = content(disk / "out")
        assert {name: left[name] for name in left} == {name: whole[name] for name in left}, "whole, or not there"
        ballast.unlink()
        assert main(words) == 0
        assert content(disk / "out") == whole


@pytest.mark.parametrize("verb", VERBS)
def test_a_disk_that_may_only_be_read_under(verb: str, jobs, in_clone, small_disk: Callable[[str], Path], capfd):
    disk = small_disk(PLENTY)
    words = into(disk / "out", jobs[verb])
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
    try:
        assert main(words) == 2
    finally:
        subprocess.run(["mount", "-o", "remount,rw", str(disk)], check=True)
    said = capfd.readouterr().err.splitlines()
    assert said[-1].startswith(f"{verb}: {disk}")
    assert said[-1].endswith("Read-only file system; see that it can be read and written, and run again")
    assert not [text for text in said if "Traceback" in text]
    assert content(disk / "out") == {}
