"""A real Slurm of two nodes, a real image, and a clone in which scale smoke ran through both."""

import json
import os
import re
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import ClassVar

import pytest
from support import ROOT, copy_of_the_tree, need, skip

CLUSTER = ROOT / "tests" / "cluster"
IMAGE = ROOT / "containers" / "stgrpo.sif"
SMOKE = ["--config", "scale=smoke"]
# The nodes' names resolve nowhere, jobs here take seconds, and inside the image nothing but the loopback is to be seen.
PROFILE = ["--profile", "slurm", "--slurm-init-seconds-before-status-checks", "5"]
OFFLINE = ["--apptainer-args=--nv --net --network none"]
ENVIRONMENT = {**os.environ, "MASTER_ADDR": "127.0.0.1", "OMP_NUM_THREADS": "1"}


def run(folder: Path, *words: str, timeout: float = 900) -> subprocess.CompletedProcess:
    """A command's end, whatever it is."""
    return subprocess.run(
        words, cwd=folder, capture_output=True, text=True, timeout=timeout, check=False, env=ENVIRONMENT
    )


def snakemake(folder: Path, *words: str) -> str:
    """Run to a good end; returns what was said."""
    done = run(folder, "snakemake", *words)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def wait_for(what: Callable[[], object], seconds: float, why: str) -> object:
    """The first true value of `what()`."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if value := what():
            return value
        time.sleep(0.2)
    raise AssertionError(f"{why}: not within {seconds} s")


class Slurm:
    """The running Slurm, asked by its own commands and its own log of jobs."""

    def __init__(self, state: Path) -> None:
        self.state = state

    def finished(self) -> list[dict[str, str]]:
        """Every ended job, as Slurm logged it: JobId, JobState, NodeList, WorkDir and more."""
        log = self.state / "jobcomp.txt"
        lines = log.read_text().splitlines() if log.exists() else []
        return [dict(re.findall(r"(\w+)=(\S*)", line)) for line in lines]

    def job(self, number: str) -> dict[str, str]:
        """What the controller knows of a job."""
        return dict(re.findall(r"(\w+)=(\S*)", run(ROOT, "scontrol", "show", "job", number).stdout))

    def hurry(self, stop: threading.Event) -> None:
        """Slurm holds a requeued job for two minutes; not here. Its first start must be over, though, or it fails."""
        seen: dict[str, float] = {}
        while not stop.wait(0.5):
            held = run(ROOT, "squeue", "-h", "-t", "PD", "-o", "%i %r").stdout.splitlines()
            waiting = [line.split()[0] for line in held if line.endswith("BeginTime")]
            seen = {job: seen.get(job, time.monotonic()) for job in waiting}
            for job in [job for job, since in seen.items() if time.monotonic() - since > 4]:
                run(ROOT, "scontrol", "update", f"jobid={job}", "StartTime=now")


def copy_of_a_clone(smoke: Path, folder: Path) -> Path:
    """Everything but the cells."""
    shutil.copytree(smoke, folder, ignore=shutil.ignore_patterns("cells", "*.sif", "locks", "logs"))
    os.link(smoke / "containers/stgrpo.sif", folder / "containers/stgrpo.sif")
    return folder


class Training:
    """One cell's training in a clone of its own, by Snakemake, on Slurm.

    Args:
        smoke: the clone that is copied, without its cells.
        folder: of the copy.
        words: further ones for Snakemake.
        cell: which one.
        change: done to the copy first.
        keys: of scale smoke, other than they stand in config.yaml.
    """

    started: ClassVar[list[subprocess.Popen]] = []

    def __init__(
        self,
        smoke: Path,
        folder: Path,
        *words: str,
        cell: str = "grpo",
        change: Callable[[Path], object] = lambda folder: None,
        **keys,
    ) -> None:
        change(copy_of_a_clone(smoke, folder))
        self.folder, self.cell = folder, folder / f"results/smoke/cells/{cell}/seed0"
        config = [*SMOKE, f"scales={json.dumps({'smoke': keys})}"]
        self.process = subprocess.Popen(
            ["snakemake", str((self.cell / "train.json").relative_to(folder)), *PROFILE, *words, *config],
            cwd=folder,
            env=ENVIRONMENT,
            stdout=(folder / "said.txt").open("w"),
            stderr=subprocess.STDOUT,
        )
        self.started.append(self.process)

    def job(self) -> str:
        """The number of the Slurm job that trains."""
        listed = wait_for(lambda: list(self.folder.glob("logs/slurm/rule_train/*/*.log")), 120, "no training's job")
        return max((path.stem for path in listed), key=int)

    def step(self) -> int:
        """Steps done, by the metrics in the state."""
        path = self.cell / "state/train/train.jsonl"
        return path.read_text().count("\n") if path.exists() else 0

    def reach(self, step: int) -> None:
        """Wait for that step."""
        wait_for(lambda: self.step() >= step or self.process.poll() is not None, 300, f"step {step} is not reached")
        assert self.process.poll() is None, self.said()

    def said(self) -> str:
        return (self.folder / "said.txt").read_text()

    def end(self) -> None:
        assert self.process.wait(timeout=600) == 0, self.said()

    def attempts(self) -> list[dict]:
        return json.loads((self.cell / "train.json").read_text())["provenance"]["attempts"]

    def history(self) -> str:
        return (self.cell / "logs/attempts.log").read_text()


@pytest.fixture(scope="session")
def slurm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Slurm]:
    """Up for the session; skipped, or failed in CI, where it cannot be."""
    for program in ("slurmctld", "slurmd", "munged", "apptainer"):
        need(program)
    state = tmp_path_factory.mktemp("slurm")
    started = run(ROOT, str(CLUSTER / "start_slurm.sh"), str(state))
    if "belongs to another Slurm" in started.stderr:
        skip(started.stderr)
    assert started.returncode == 0, started.stderr
    cluster, stop = Slurm(state), threading.Event()
    impatient = threading.Thread(target=cluster.hurry, args=(stop,))
    impatient.start()
    yield cluster
    stop.set()
    impatient.join()
    for process in Training.started:
        process.kill()
    run(ROOT, str(CLUSTER / "stop_slurm.sh"), str(state))


@pytest.fixture(scope="session")
def image() -> Path:
    """The project's image, built before (make system)."""
    if not IMAGE.exists():
        reason = f"{IMAGE} is missing (make image makes it; make system does so without a registry, as root on Debian)"
        skip(reason)
    return IMAGE


@pytest.fixture(scope="session")
def smoke(slurm: Slurm, image: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clone in which scale smoke ran to its end on Slurm."""
    folder = copy_of_the_tree(tmp_path_factory.mktemp("cluster"))
    shutil.copy2(image, folder / "containers" / image.name)
    for words in (
        ["init", "-q"],
        ["add", "-A"],
        ["-c", "user.name=t", "-c", "user.email=t@t", "commit", "-qm", "test"],
    ):
        assert run(folder, "git", *words).returncode == 0
    (folder / "said.txt").write_text(snakemake(folder, *PROFILE, *OFFLINE, *SMOKE))
    return folder


def weights(cell: Path) -> dict[str, str]:
    """Hashes of a trained cell's weights."""
    return json.loads((cell / "train.json").read_text())["weights"]
