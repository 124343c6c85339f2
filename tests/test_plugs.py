"""Plugs that are pulled from a run, beside those of tests/test_plugs_disk.py: what another job or a clock does to it.

The verbs are those of a finished run, word for word, but for where they write.
"""

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from job_commands import commands, content, written_to

from stgrpo.__main__ import main

pytestmark = pytest.mark.workflow


@pytest.fixture(scope="module")
def jobs(clone: Path) -> Mapping[str, list[str]]:
    return commands(clone)


@pytest.fixture
def in_clone(clone: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(clone)


def start(words: list[str]) -> subprocess.Popen:
    """A verb in a process of its own."""
    command = [sys.executable, "-m", "stgrpo", *words]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def wait_for(condition: Callable[[], bool], process: subprocess.Popen) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < deadline
        time.sleep(0.002)


@pytest.mark.parametrize("verb", ["demo", "warm", "fetch", "prepare", "score", "evaluate"])
def test_while_an_orphan_works_a_second_start_is_refused_of(verb: str, jobs, in_clone, tmp_path: Path, capsys):
    """The orphan is held in the middle, so that it surely works on, and ends as if nobody had come."""
    words = written_to(tmp_path / "out", jobs[verb], **({"hub": str(tmp_path / "out/hub")} if verb == "demo" else {}))
    words = [word.replace('"max_steps":20', '"max_steps":2') for word in words]  # of the warm-up, which would take long
    orphan = start(words)

    def at_work() -> bool:
        return any((tmp_path / "out").rglob(".*.lock")) or any((tmp_path / "out").rglob("key.json"))

    wait_for(at_work, orphan)
    orphan.send_signal(signal.SIGSTOP)
    before = content(tmp_path / "out")
    assert main(words) == 2
    said = capsys.readouterr().err
    assert f"in use by process {orphan.pid} on " in said
    assert said.endswith("; wait for it, or end it, and run again\n")
    assert said.count("\n") == 1
    assert content(tmp_path / "out") == before
    orphan.send_signal(signal.SIGCONT)
    text, _ = orphan.communicate(timeout=120)
    assert orphan.returncode == 0, text
    ended = content(tmp_path / "out")
    assert not [name for name in ended if name.endswith(".lock")]
    assert main(words) == 0
    assert content(tmp_path / "out") == ended
