"""A training of two nodes with two processes each, through Snakemake, Slurm's srun and submitit, in the image."""

import json
from pathlib import Path

import pytest
from slurm_cluster import Slurm, Training

pytestmark = pytest.mark.cluster
CELLS = ("grpo", "st-grpo")
NEEDS = {"train": {"cpus": 2}}  # one a process


def metrics(cell: Path) -> list[dict]:
    return [json.loads(line) for line in (cell / "train.jsonl").read_text().splitlines()]


@pytest.mark.parametrize("cell", CELLS)
def test_two_nodes_give_one_process_loss_and_gradient(smoke: Path, slurm: Slurm, tmp_path: Path, cell: str):
    """The completions are the same by their keys, so that nothing but the order of sums may differ."""
    training = Training(smoke, tmp_path / "clone", cell=cell, nodes=2, processes=2, micro_rows=8, needs=NEEDS)
    training.end()
    ours, alone = metrics(training.cell), metrics(smoke / f"results/smoke/cells/{cell}/seed0")
    assert len(ours) == len(alone) == 6
    for row, expected in zip(ours, alone, strict=True):
        for name in ("reward", "accuracy", "reward_std"):
            assert row[name] == pytest.approx(expected[name], abs=1e-6), (row["step"], name)
        assert row["loss"] == pytest.approx(expected["loss"], abs=1e-6), row["step"]
        assert row["grad_norm"] == pytest.approx(expected["grad_norm"], rel=1e-6), row["step"]
    block = json.loads((training.cell / "train.json").read_text())["provenance"]
    assert block["runtime"] | {"nodes": 2, "processes": 2} == block["runtime"]
    assert block["slurm"]["SLURM_JOB_NODELIST"] == "n[1-2]"
    assert block["image"]["sha256"]
    job = next(row for row in slurm.finished() if row["JobId"] == training.job())
    assert (job["NodeList"], job["NodeCnt"], job["JobState"]) == ("n[1-2]", "2", "COMPLETED")
