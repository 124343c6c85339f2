"""Trainings that Slurm interrupts: each ends with the weights of one that nobody disturbed."""

import json
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from slurm_cluster import ENVIRONMENT, PROFILE, Slurm, run, wait_for, weights

pytestmark = pytest.mark.cluster
CELL = "results/smoke/cells/grpo/seed0"
STEPS = 240  # at a third of a second each: twice as long as a slice of one minute holds
LONG = {"step_ratio": STEPS / 500, "save_steps": 5}


class Training:
    """One cell's training in a clone of its own, by Snakemake, on Slurm."""

    def __init__(self, smoke: Path, folder: Path, *words: str, needs: dict | None = None, **scale) -> None:
        shutil.copytree(smoke, folder, ignore=shutil.ignore_patterns("cells", "*.sif", "locks", "logs"))
        os.link(smoke / "containers/stgrpo.sif", folder / "containers/stgrpo.sif")
        self.folder, self.cell = folder, folder / CELL
        changed = json.dumps({"smoke": {**LONG, **scale} | ({"needs": {"train": needs}} if needs else {})})
        config = ["--config", "scale=smoke", f"scales={changed}"]
        self.log = (folder / "said.txt").open("w+")
        self.process = subprocess.Popen(
            ["snakemake", f"{CELL}/train.json", *PROFILE, *words, *config],
            cwd=folder,
            env=ENVIRONMENT,
            stdout=self.log,
            stderr=subprocess.STDOUT,
        )

    def job(self) -> str:
        """The number of the Slurm job that trains."""
        listed = wait_for(lambda: list(self.folder.glob("logs/slurm/rule_train/*/*.log")), 120, "no training's job")
        return max((path.stem for path in listed), key=int)

    def step(self) -> int:
        """Steps done, by the metrics in the state."""
        path = self.cell / "state/train/train.jsonl"
        return path.read_text().count("\n") if path.exists() else 0

    def reach(self, step: int) -> None:
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


@pytest.fixture(scope="module")
def undisturbed(smoke: Path, tmp_path_factory: pytest.TempPathFactory) -> Training:
    """The reference; it runs on the first node while the others are disturbed on the second."""
    pinned = ["--default-resources", "slurm_extra='--nodelist=n1'"]
    return Training(smoke, tmp_path_factory.mktemp("undisturbed") / "clone", *pinned)


def equal_to(undisturbed: Training, training: Training) -> None:
    undisturbed.end()
    assert len(undisturbed.attempts()) == 1
    assert weights(training.cell) == weights(undisturbed.cell)
    rows = [json.loads(line) for line in (training.cell / "train.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows] == list(range(1, STEPS + 1))


def test_preempted_by_a_job_of_higher_priority(smoke: Path, undisturbed: Training, slurm: Slurm, tmp_path: Path):
    pinned = ["--default-resources", "slurm_extra='--nodelist=n2'"]
    training = Training(smoke, tmp_path / "clone", *pinned)
    training.reach(20)
    job = training.job()
    urgent = ["--partition=urgent", "--nodelist=n2", "--exclusive", "--wrap=sleep 2"]
    assert run(tmp_path, "sbatch", *urgent).returncode == 0
    wait_for(lambda: slurm.job(job)["JobState"] == "PENDING", 60, "not preempted")
    training.end()
    assert training.job() == job  # Snakemake submitted it once
    first, second = training.attempts()
    assert (first["end"], second["end"]) == ("died", "finished")
    assert 20 <= first["reached"] < STEPS and second["start"] == first["reached"] // 5 * 5
    assert f"Slurm job {job} on n2, from step 0, died in step {first['reached'] + 1}" in training.history()
    assert "Slurm started it again (preempted, or its node was lost)" in training.history()
    equal_to(undisturbed, training)


@pytest.fixture(scope="module")
def sliced(smoke: Path, undisturbed: Training, tmp_path_factory: pytest.TempPathFactory) -> Training:
    """Jobs of one minute each; it goes on while another training loses its node."""
    undisturbed.end()
    pinned = ["--default-resources", "slurm_extra='--nodelist=n1'"]
    return Training(smoke, tmp_path_factory.mktemp("sliced") / "clone", *pinned, needs={"runtime": 1})


def test_its_nodes_slurmd_killed(
    smoke: Path, undisturbed: Training, sliced: Training, slurm: Slurm, tmp_path: Path, node_comes_back: None
):
    pinned = ["--default-resources", "slurm_extra='--exclude=n1'"]
    training = Training(smoke, tmp_path / "clone", *pinned)
    training.reach(20)
    job = training.job()
    run(tmp_path, "scontrol", "update", f"jobid={job}", "ExcNodeList=")  # now it may move
    os.kill(int((slurm.state / "slurmd-n2.pid").read_text()), signal.SIGKILL)
    wait_for(lambda: slurm.job(job)["JobState"] == "PENDING", 120, "the node is not given up")
    training.end()
    assert slurm.job(job)["NodeList"] == "n1"
    assert f"Slurm job {job} on n2, from step 0, died in step" in training.history()
    assert "Slurm started it again (preempted, or its node was lost)" in training.history()
    equal_to(undisturbed, training)


@pytest.fixture
def node_comes_back(slurm: Slurm) -> Iterator[None]:
    """The second node is up again afterwards."""
    yield
    run(slurm.state, "slurmd", "-N", "n2")
    wait_for(
        lambda: "n2" in run(slurm.state, "sinfo", "-h", "-t", "idle,mix", "-o", "%N", "-N").stdout, 60, "n2 is down"
    )


def test_cut_by_its_time_limit_twice(undisturbed: Training, sliced: Training):
    sliced.end()
    attempts = sliced.attempts()
    assert len(attempts) >= 3
    assert [attempt["end"] for attempt in attempts] == ["out of time"] * (len(attempts) - 1) + ["finished"]
    assert [attempt["start"] for attempt in attempts[1:]] == [attempt["reached"] for attempt in attempts[:-1]]
    assert f"used its time up after step {attempts[0]['reached']}" in sliced.history()
    assert sliced.said().count("submitted with SLURM jobid") == 1  # the same job each time
    equal_to(undisturbed, sliced)
