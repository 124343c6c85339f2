"""The workflow on a real Slurm of two nodes and in the real image: what ran where, what runs again, what is refused."""

import base64
import hashlib
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from slurm_cluster import OFFLINE, PROFILE, SMOKE, Slurm, copy_of_a_clone, run, snakemake, wait_for, weights
from support import ROOT

from stgrpo.image import image_hash

pytestmark = pytest.mark.cluster
CELLS = "results/smoke/cells"
COMPUTE = {"world": 7, "warm_policy": 1, "warm_scorer": 1, "prepare": 7, "score": 1, "train": 3, "evaluate": 4}
LOCAL = {"fetch": 7, "grade": 4, "tabulate": 2, "figure": 1, "report": 1, "publish": 7}


def submitted(said: str) -> list[tuple[str, str]]:
    """Rule and Slurm job of everything that Snakemake submitted, by what it said."""
    return re.findall(r"submitted with SLURM jobid (\d+) \(log: \S*/rule_(\w+)/", said)


def test_every_compute_rule_ran_as_a_slurm_job_of_its_own(smoke: Path, slurm: Slurm):
    said = (smoke / "said.txt").read_text()
    jobs = submitted(said)
    counts = {rule: sum(name == rule for _, name in jobs) for rule in COMPUTE}
    assert counts == COMPUTE
    assert len({number for number, _ in jobs}) == sum(COMPUTE.values())  # none twice, none of another rule
    here = re.findall(r"^localrule (\w+):", said, re.MULTILINE)
    assert {rule: here.count(rule) for rule in LOCAL} == LOCAL
    assert not set(here) & set(COMPUTE)
    logged = {job["JobId"]: job for job in slurm.finished() if job["WorkDir"] == str(smoke)}
    assert set(logged) == {number for number, _ in jobs}  # Slurm's own log of jobs
    assert {job["JobState"] for job in logged.values()} == {"COMPLETED"}
    assert {job["NodeList"] for job in logged.values()} == {"n1", "n2"}


def blocks(folder: Path) -> dict[str, dict]:
    """The provenance of every result of a compute rule, by where it stands."""
    found = {}
    for path in set(folder.glob("results/smoke/**/*.json")) - set(folder.glob("results/smoke/*.json")):
        value = json.loads(path.read_text())
        if path.name.endswith(".provenance.json"):
            found[str(path.relative_to(folder))] = value
        elif path.name in ("made_by.json", "train.json"):
            found[str(path.relative_to(folder))] = value["provenance"]
    return found


def test_every_result_names_its_job_node_image_and_commit(smoke: Path, slurm: Slurm):
    sha256 = run(smoke, "sha256sum", "containers/stgrpo.sif").stdout.split()[0]
    head = run(smoke, "git", "rev-parse", "HEAD").stdout.strip()
    logged = {job["JobId"]: job for job in slurm.finished()}
    found = blocks(smoke)
    trained = COMPUTE["train"] * 2  # train.json, and made_by.json of the model
    assert len(found) == sum(COMPUTE.values()) - COMPUTE["train"] + trained
    for name, block in found.items():
        assert block["image"]["sha256"] == sha256, name
        assert block["commit"] == head and block["dirty"] is False, name
        job = logged[block["slurm"]["SLURM_JOB_ID"]]
        assert block["slurm"]["SLURMD_NODENAME"] == job["NodeList"], name
    for path in smoke.glob(f"{CELLS}/*/seed0/metrics.json"):  # graded where Snakemake runs, in the image all the same
        metrics = json.loads(path.read_text())
        assert metrics["provenance"]["image"]["sha256"] == sha256, path
        assert metrics["evaluations"]["all"] == found[f"{path.parent.relative_to(smoke)}/eval/all.provenance.json"]
    for name in ("table2", "table3", "figure3", "report"):
        made = json.loads((smoke / f"results/smoke/{name}.provenance.json").read_text())["provenance"]
        assert (made["image"]["sha256"], made["commit"], made["dirty"]) == (sha256, head, False), name
    assert sha256 in (smoke / "results/table2.csv").read_text()


def test_jobs_saw_no_network_but_the_loopback(smoke: Path):
    """Every job was told to have none; what that means is seen from inside."""
    told = base64.b64encode(OFFLINE[0].removeprefix("--apptainer-args=").encode()).decode()
    logs = list((smoke / "logs/slurm").rglob("*.log"))
    assert len(logs) >= sum(COMPUTE.values())
    for log in logs:
        assert f"--apptainer-args base64//{told}" in log.read_text(), log
    inside = ["apptainer", "exec", "--net", "--network", "none", "containers/stgrpo.sif"]
    seen = run(smoke, *inside, "python", "-c", "import socket; print([name for _, name in socket.if_nameindex()])")
    assert seen.stdout.strip() == "['lo']"


def test_one_cell_again_submits_the_jobs_of_that_cell_only(smoke: Path, slurm: Slurm):
    before = weights(smoke / CELLS / "grpo/seed0")
    known = {job["JobId"] for job in slurm.finished()}
    said = snakemake(smoke, f"{CELLS}/grpo/seed0/metrics.json", "-R", "train", *PROFILE, *OFFLINE, *SMOKE)
    assert [rule for _, rule in submitted(said)] == ["train", "evaluate"]
    assert [Path(log).parent.name for log in re.findall(r"log: (\S*logs/slurm\S*)\)", said)] == ["grpo_0", "grpo_0_all"]
    new = {job["JobId"] for job in slurm.finished()} - known
    assert new == {number for number, _ in submitted(said)}
    assert weights(smoke / CELLS / "grpo/seed0") == before


def test_missing_image_is_one_line_before_any_job(smoke: Path):
    away = smoke / "containers/stgrpo.sif"
    aside = away.rename(away.with_suffix(".away"))
    try:
        done = run(smoke, "snakemake", f"{CELLS}/grpo/seed0/metrics.json", "-R", "train", *PROFILE, *SMOKE)
    finally:
        aside.rename(away)
    said = done.stdout + done.stderr
    assert done.returncode != 0
    assert "containers/stgrpo.sif" in said and "make image" in said
    assert not submitted(said)
    assert "Traceback" not in said


def test_paper_scale_asks_for_four_gpus_a_training():
    done = subprocess.run(
        ["snakemake", "--profile", "slurm", "--config", "scale=paper", "-n"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    said = done.stdout + done.stderr
    trainings = re.findall(r"^rule train:\n(?:    .*\n)+", said, re.MULTILINE)
    assert len(trainings) == 11
    for training in trainings:
        assert re.search(r"threads: 32\n", training)
        assert re.search(r"gpu=4, runtime=1440, .*mem_mb=240000", training)


def test_a_scale_that_asks_for_more_than_the_cluster_has_is_refused_at_once(smoke: Path):
    """Eight GPUs a node, where Slurm has four."""
    more = [
        "--config",
        "scale=smoke",
        'scales={"smoke":{"processes":8,"micro_rows":4,"needs":{"train":{"gpus":8,"cpus":8}}}}',
    ]
    done = run(smoke, "snakemake", f"{CELLS}/grpo/seed0/metrics.json", "-R", "train", *PROFILE, *more)
    said = done.stdout + done.stderr
    assert done.returncode != 0
    assert "partitions: none takes train, a job of 8 GPUs" in said
    assert not submitted(said)


def test_launch_trains_a_cell_outside_snakemake_which_takes_it_over(smoke: Path, slurm: Slurm, tmp_path: Path):
    clone = copy_of_a_clone(smoke, tmp_path / "clone")
    cell = clone / CELLS / "grpo/seed0"
    said = run(clone, sys.executable, "-m", "stgrpo", "launch", "grpo", "--scale", "smoke")
    assert said.returncode == 0, said.stdout + said.stderr
    number = re.search(r"submitted as job (\d+)", said.stdout)
    assert number
    wait_for((cell / "train.json").exists, 180, "the training has not ended")
    assert weights(cell) == weights(smoke / CELLS / "grpo/seed0")
    block = json.loads((cell / "train.json").read_text())["provenance"]
    assert block["slurm"]["SLURM_JOB_ID"] == number[1]
    assert block["image"]["sha256"] == run(clone, "sha256sum", "containers/stgrpo.sif").stdout.split()[0]
    plan = snakemake(clone, f"{CELLS}/grpo/seed0/train.json", "-n", *SMOKE)
    assert "Nothing to be done" in plan


def test_results_may_be_a_link_to_another_disk(smoke: Path, tmp_path: Path):
    """The image shows the clone; what it links to is bound."""
    clone = copy_of_a_clone(smoke, tmp_path / "clone")
    (clone / "results").rename(tmp_path / "scratch")
    (clone / "results").symlink_to(tmp_path / "scratch")
    made = clone / "results/smoke/questions/train.provenance.json"
    made.unlink()
    snakemake(
        clone, "results/smoke/questions/train.jsonl", "-R", "prepare", "--sdm", "apptainer", "--cores", "1", *SMOKE
    )
    assert json.loads(made.read_text())["image"]["path"] == str(clone / "containers/stgrpo.sif")


def test_the_hash_of_an_image_follows_the_image(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Also to one that is older, and where nobody may write beside it."""
    monkeypatch.chdir(tmp_path)
    image = tmp_path / "image.sif"
    image.write_bytes(b"first")
    assert image_hash(image) == hashlib.sha256(b"first").hexdigest()
    mark = tmp_path / "containers/.image.json"
    before = mark.read_text()
    assert image_hash(image) == hashlib.sha256(b"first").hexdigest()
    assert mark.read_text() == before
    image.write_bytes(b"other")
    os.utime(image, (1.0, 1.0))
    assert image_hash(image) == hashlib.sha256(b"other").hexdigest()
