"""Trainings that Slurm interrupts: each ends with the weights of one that nobody disturbed."""

import json
import os
import re
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from slurm_cluster import Slurm, Training, run, wait_for, weights

pytestmark = pytest.mark.cluster
STEPS = 480  # at a sixth of a second each, or more: longer than two slices of one minute hold
LONG: dict[str, Any] = {"step_ratio": STEPS / 500, "save_steps": 5}


@pytest.fixture(scope="module")
def undisturbed(smoke: Path, tmp_path_factory: pytest.TempPathFactory) -> Training:
    """The reference; it runs on the first node while the others are disturbed on the second."""
    pinned = ["--default-resources", "slurm_extra='--nodelist=n1'"]
    return Training(smoke, tmp_path_factory.mktemp("undisturbed") / "clone", *pinned, **LONG)


def equal_to(undisturbed: Training, training: Training) -> None:
    undisturbed.end()
    assert len(undisturbed.attempts()) == 1
    assert weights(training.cell) == weights(undisturbed.cell)
    rows = [json.loads(line) for line in (training.cell / "train.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows] == list(range(1, STEPS + 1))


def test_preempted_by_a_job_of_higher_priority(smoke: Path, undisturbed: Training, slurm: Slurm, tmp_path: Path):
    pinned = ["--default-resources", "slurm_extra='--nodelist=n2'"]
    training = Training(smoke, tmp_path / "clone", *pinned, **LONG)
    training.reach(20)
    job = training.job()
    urgent = ["--partition=urgent", "--nodelist=n2", "--exclusive", "--wrap=sleep 2"]
    assert run(tmp_path, "sbatch", *urgent).returncode == 0
    wait_for(lambda: slurm.job(job)["JobState"] == "PENDING", 60, "not preempted")
    training.end()
    assert training.job() == job  # Snakemake submitted it once
    first, second = training.attempts()
    assert (first["end"], second["end"]) == ("interrupted", "finished")  # SIGTERM comes first
    assert 20 <= first["reached"] < STEPS
    assert second["start"] in (first["reached"] // 5 * 5, first["reached"] // 5 * 5 - 5)  # that one may be half-written
    assert f"Slurm job {job} on n2, from step 0, interrupted in step {first['reached'] + 1}" in training.history()
    assert "Slurm started it again (preempted, or its node was lost)" in training.history()
    equal_to(undisturbed, training)


@pytest.fixture(scope="module")
def sliced(smoke: Path, undisturbed: Training, tmp_path_factory: pytest.TempPathFactory) -> Training:
    """Jobs of one minute each; it goes on while another training loses its node."""
    undisturbed.end()
    pinned = ["--default-resources", "slurm_extra='--nodelist=n1'"]
    return Training(
        smoke, tmp_path_factory.mktemp("sliced") / "clone", *pinned, **LONG, needs={"train": {"runtime": 1}}
    )


def test_its_nodes_slurmd_killed(
    smoke: Path, undisturbed: Training, sliced: Training, slurm: Slurm, tmp_path: Path, node_comes_back: None
):
    sliced.reach(1)  # on the first node, so that this one gets the other
    training = Training(smoke, tmp_path / "clone", **LONG)
    training.reach(20)
    job = training.job()
    assert slurm.job(job)["NodeList"] == "n2"  # the less loaded one
    orphan = int(re.findall(r"process (\d+)", (training.cell / "state/train/lock").read_text())[0])
    os.kill(orphan, signal.SIGSTOP)  # or it would finish: without its slurmd a job goes on
    os.kill(int((slurm.state / "slurmd-n2.pid").read_text()), signal.SIGKILL)
    wait_for(lambda: "which Slurm started before; waiting" in training.history(), 240, "it is not started again")
    os.kill(orphan, signal.SIGKILL)
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


def test_dying_twice_in_the_same_step_stops_with_the_reason(smoke: Path, tmp_path: Path):
    """A video that breaks after it was checked: no new start helps, and the third attempt says so at once."""
    rollouts = [json.loads(line) for line in (smoke / "results/smoke/cells/grpo/seed0/rollouts.jsonl").open()]
    early, late = ({row["question"] for row in rollouts if row["step"] == step} for step in (1, 6))
    question = sorted(late - early)[0]
    rows = [json.loads(line) for line in (smoke / "results/smoke/questions/train.jsonl").open()]
    video = next(row["video"] for row in rows if row["id"] == question)
    training = Training(smoke, tmp_path / "clone", change=lambda folder: (folder / video).write_bytes(b"no video"))
    assert training.process.wait(timeout=600) == 1
    said = training.said()
    assert said.count("submitted with SLURM jobid") == 3  # retries: 2
    last = next(line for line in said.splitlines() if "ended twice in step" in line)
    step = re.search(r"ended twice in step (\d) ", last)
    assert step and 1 < int(step[1]) <= 6
    jobs = re.findall(r"submitted with SLURM jobid (\d+)", said)
    assert f"Slurm job {jobs[0]} on" in last and f"Slurm job {jobs[1]} on" in last
    assert str(Path(video).name) in last  # why
    assert "logs/attempts.log" in last and "state/train/attempts.json and run again" in last  # where, and the way out
    assert "Traceback" not in training.history()
