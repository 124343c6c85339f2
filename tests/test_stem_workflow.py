"""Two cells of which one goes on from the other, through Snakemake: the order, what is used, and what reruns what."""

import json
import shutil
from pathlib import Path

import pytest
import yaml
from support import copy_of_the_tree, snakemake
from test_workflow import planned
from verifying import altered, copy_results, rehash, verified

from stgrpo.files import read_json, sha256

pytestmark = pytest.mark.workflow
SHORT, LONG = (f"results/smoke/cells/{cell}/seed0" for cell in ("grpo", "grpo-1000"))
TRAINED = f"{LONG}/train.json"


def configure(folder: Path, cells: list[str], **changes) -> None:
    """Scale smoke with these cells; grpo takes two steps, grpo-1000 four."""
    raw = yaml.safe_load((folder / "config.yaml").read_text())
    raw["scale"] = "smoke"
    raw["cells"]["grpo-1000"] = {"from": "grpo", "steps": 1000}
    raw["scales"]["smoke"] |= {"cells": cells, "tables": [], "figures": [], "on_request": {}, "step_ratio": 0.004}
    raw["scales"]["smoke"] |= changes
    (folder / "config.yaml").write_text(yaml.safe_dump(raw, sort_keys=False))


def trained(folder: Path, cells: list[str], *words: str) -> str:
    configure(folder, cells)
    done = snakemake(folder, *words, "--cores", "2")
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.fixture(scope="module")
def two_cells(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clone in which grpo-1000 was asked for, and nothing else."""
    folder = copy_of_the_tree(tmp_path_factory.mktemp("stems"))
    trained(folder, ["grpo", "grpo-1000"], TRAINED)
    return folder


def test_the_longer_training_waits_for_the_shorter_one_and_goes_on_from_it(two_cells: Path):
    log = (two_cells / LONG / "logs" / "train.log").read_text()
    assert f"the first 2 steps are those of {SHORT}" in log
    assert "resuming from step 2 of 4" in log
    made = read_json(two_cells / TRAINED)["provenance"]
    assert made["continued"] == {"from": f"{SHORT}/train.json", "step": 2}
    steps = [json.loads(text) for text in (two_cells / LONG / "train.jsonl").read_text().splitlines()]
    assert [row["step"] for row in steps] == [1, 2, 3, 4]
    assert not list((two_cells / SHORT / "state").rglob("checkpoint-*")), "it is used"
    assert planned(two_cells, TRAINED) == {}


def test_trained_by_itself_the_longer_one_has_the_same_weights_and_is_not_trained_again(
    two_cells: Path, tmp_path: Path
):
    """Not even when the shorter cell is added later."""
    alone = copy_of_the_tree(tmp_path / "alone")
    for name in ("resources", "results/smoke/questions", "results/smoke/policy", ".snakemake"):
        shutil.copytree(two_cells / name, alone / name, dirs_exist_ok=True)
    trained(alone, ["grpo-1000"], TRAINED)
    assert read_json(alone / TRAINED)["provenance"]["continued"] is None
    weights = "model/model.safetensors"
    assert sha256(alone / LONG / weights) == sha256(two_cells / LONG / weights)

    configure(alone, ["grpo", "grpo-1000"])
    assert planned(alone, TRAINED) == {}


def test_whether_a_longer_cell_is_known_retrains_no_shorter_one(two_cells: Path):
    configure(two_cells, ["grpo"])  # it would leave nothing behind
    assert planned(two_cells, f"{SHORT}/train.json") == {}
    configure(two_cells, ["grpo", "grpo-1000"])
    assert planned(two_cells, f"{SHORT}/train.json", TRAINED) == {}


def test_one_of_them_is_made_again_by_its_file_and_both_by_the_rule(two_cells: Path):
    assert planned(two_cells, TRAINED, "-R", TRAINED) == {"train": 1}
    assert planned(two_cells, TRAINED, "-R", "train") == {"train": 2}


def test_a_job_of_its_own_trains_the_longer_one_only(two_cells: Path):
    """What Snakemake runs in a job of Slurm's."""
    words = ["--target-jobs", "train:cell=grpo-1000,seed=0", "--allowed-rules", "train", "--force"]
    assert planned(two_cells, *words) == {"train": 1}


def test_verify_follows_what_goes_on(two_cells: Path, tmp_path: Path, capsys):
    trained(two_cells, ["grpo", "grpo-1000"])
    results = copy_results(two_cells, tmp_path)
    assert verified(results, capsys)[0] == []

    rows = (results.parent / LONG / "train.jsonl").read_text().splitlines(keepends=True)
    row = json.loads(rows[0])
    (results.parent / LONG / "train.jsonl").write_text(
        json.dumps(row | {"seconds": row["seconds"] + 1}) + "\n" + "".join(rows[1:])
    )
    rehash(results)
    assert [line for line in verified(results, capsys)[0] if "its first 2 steps are not those" in line]
    altered(results.parent / TRAINED, lambda made: made["provenance"]["continued"].update(step=1))
    rehash(results)
    assert [line for line in verified(results, capsys)[0] if "which is of another spec or length" in line]
