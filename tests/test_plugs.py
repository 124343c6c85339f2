"""Plugs that are pulled from a run, beside those of tests/test_plugs_disk.py: what another job or a clock does to it.

The verbs are those of a finished run, word for word, but for where they write.
"""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
from job_commands import commands, content, fill, written_to
from support import snakemake

from stgrpo.__main__ import main
from stgrpo.files import link_or_copy, sha256
from stgrpo.rules import FrameRule
from stgrpo.video import FrameReader

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
        locks = [*(tmp_path / "out").rglob(".*.lock"), *(tmp_path / "out").rglob("key.json")]
        return any(lock.stat().st_size for lock in locks)  # its holder's name stands in it

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


class Hanging(FrameReader):
    """Its child is stopped before the third video."""

    reads = 0

    def read(self, path: str | Path, rule: FrameRule) -> np.ndarray:
        Hanging.reads += 1
        if Hanging.reads == 3:
            if self._child is None:
                self._start()
            assert self._child is not None
            assert self._child.pid is not None
            os.kill(self._child.pid, signal.SIGSTOP)
            self.timeout = 0.5
        return super().read(path, rule)


@pytest.mark.parametrize(("verb", "place"), [("evaluate", "stgrpo.video"), ("train", "stgrpo.rl.train")])
def test_a_decoder_that_hangs_in(verb: str, place: str, jobs, in_clone, tmp_path: Path, monkeypatch, capfd):
    """What decoded in prepare hangs later on: one line, nothing in place, and it goes on when that is mended."""
    words = written_to(tmp_path / "out", jobs[verb])
    with monkeypatch.context() as hung:
        hung.setattr(f"{place}.FrameReader", Hanging)
        hung.setattr(Hanging, "reads", 0)
        assert main(words) == 2
    said = capfd.readouterr().err.splitlines()
    assert re.fullmatch(rf"{verb}: resources/smoke/\S+\.mp4: still decoding after 0\.5 s, given up", said[-1])
    assert content(tmp_path / "out") == {}
    assert main(words) == 0


@pytest.mark.parametrize("verb", ["score", "train", "evaluate"])
def test_gpus_that_slurm_gave_and_torch_does_not_see(verb: str, jobs, in_clone, tmp_path: Path, monkeypatch, capfd):
    """A driver that broke, or an image without --nv: the job would take months on the CPUs and say nothing."""
    if torch.cuda.is_available():
        pytest.skip("this machine has GPUs")
    monkeypatch.setenv("SLURM_GPUS_ON_NODE", "4")
    assert main(written_to(tmp_path / "out", jobs[verb])) == 2
    assert capfd.readouterr().err.splitlines()[-1] == (
        f"{verb}: Slurm gave this job 4 GPUs on {socket.gethostname()}, but torch sees none; see that nvidia-smi works "
        "there, and in the image (apptainer-args: --nv), and run again"
    )
    assert content(tmp_path / "out") == {}


TABLE = "results/smoke/table2.tex"


@pytest.fixture
def own_clone(clone: Path, tmp_path: Path) -> Path:
    """A copy to spoil; what Snakemake remembers comes along."""
    return shutil.copytree(clone, tmp_path / "clone", symlinks=True)


def test_a_second_snakemake_in_the_same_folder_is_refused_and_the_first_goes_on(own_clone: Path):
    whole = (own_clone / TABLE).read_bytes()
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    pipe, locks = subprocess.PIPE, own_clone / ".snakemake/locks"
    command = ["snakemake", TABLE, "-R", "tabulate"]
    first = subprocess.Popen(command, cwd=own_clone, stdout=pipe, stderr=subprocess.STDOUT, text=True, env=environment)
    wait_for(lambda: any(locks.glob("*output*")), first)
    first.send_signal(signal.SIGSTOP)
    second = snakemake(own_clone, TABLE, "-R", "tabulate")
    assert second.returncode == 1
    assert "Error: Directory cannot be locked." in second.stderr
    assert "It can be removed with the --unlock argument." in second.stderr
    first.send_signal(signal.SIGCONT)
    text, _ = first.communicate(timeout=120)
    assert first.returncode == 0, text
    assert (own_clone / TABLE).read_bytes() == whole


def test_a_result_from_the_future_is_one_line_until_it_is_touched(own_clone: Path):
    """The clock was wrong for a while, then set right; Snakemake would find the same out of date for ever."""
    graded, ahead = own_clone / "results/smoke/cells/grpo/seed0/graded.jsonl", time.time() + 400 * 24 * 3600
    os.utime(graded, (ahead, ahead))
    refused = snakemake(own_clone, TABLE, "-R", "tabulate")
    assert refused.returncode == 1
    assert f"than input {graded.relative_to(own_clone)}" in refused.stderr
    assert "This could indicate a clock skew problem" in refused.stderr
    graded.touch()
    done = snakemake(own_clone, TABLE)
    assert done.returncode == 0, done.stderr
    assert "of 1 steps (100%) done" in done.stderr
    assert "Nothing to be done" in snakemake(own_clone, TABLE, "-n").stdout


def test_a_disk_that_fills_up_under_snakemake_s_own_notes(own_clone: Path, small_disk: Callable[[str], Path]):
    """It cannot note that a job is done, says so, and makes that result again when there is room."""
    notes, disk = own_clone / ".snakemake", small_disk("4m")
    shutil.rmtree(notes)
    notes.symlink_to(disk)
    assert snakemake(own_clone, TABLE, "-n").returncode == 0
    ballast = fill(disk, 9 * 4096)  # room for its lock and its log
    full = snakemake(own_clone, TABLE, "-R", "grade")
    assert full.returncode == 1
    assert "Error recording metadata for finished job ([Errno 28] No space left on device)" in full.stderr
    assert "Traceback" not in full.stderr
    ballast.unlink()
    again = snakemake(own_clone, TABLE)
    assert again.returncode == 0, again.stderr
    assert "Nothing to be done" in snakemake(own_clone, TABLE, "-n").stdout


@pytest.mark.cluster
@pytest.mark.parametrize("put", ["nothing", "another image"])
def test_an_image_that_is_replaced_between_two_jobs(own_clone: Path, image: Path, put: str):
    """Snakemake is held after the first of two gradings; no result names an image that did not make it."""
    place, first = own_clone / "containers/stgrpo.sif", own_clone / "results/smoke/cells/st-grpo/seed0/metrics.json"
    second = own_clone / "results/smoke/cells/grpo/seed0/metrics.json"
    link_or_copy(image, place)
    for path in (first, second, own_clone / TABLE):
        path.unlink()
    words = ["snakemake", "--sdm", "apptainer", "--cores", "1", str(first.relative_to(own_clone)), TABLE]
    pipe = subprocess.PIPE
    run = subprocess.Popen(words, cwd=own_clone, stdout=pipe, stderr=subprocess.STDOUT, text=True)
    wait_for(lambda: first.exists() or second.exists(), run)
    run.send_signal(signal.SIGSTOP)
    made = next(path for path in (first, second) if path.exists())
    if put == "nothing":
        place.unlink()
        wanted = "could not open image"
    else:
        other = place.with_name("other.sif")
        shutil.copyfile(image, other)
        with other.open("ab") as out:
            out.write(b"\n")
        other.replace(place)
        wanted = f"grade: {place}: another image than when this run began; type the same again"
    run.send_signal(signal.SIGCONT)
    text, _ = run.communicate(timeout=120)
    assert run.returncode == 1
    assert wanted in text
    assert not (own_clone / TABLE).exists()
    assert json.loads(made.read_text())["provenance"]["image"]["sha256"] == sha256(image)
    if put == "another image":
        again = snakemake(own_clone, "--sdm", "apptainer", "--cores", "1", TABLE)
        assert again.returncode == 0, again.stderr
        told = json.loads((own_clone / TABLE).with_suffix(".provenance.json").read_text())["provenance"]["image"]
        assert told == {"path": str(place), "sha256": sha256(place)}
        assert told["sha256"] != sha256(image)
