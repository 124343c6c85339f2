"""`launch` submits what the workflow would run, and its job goes on until the training is done."""

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import Any

import pytest
import yaml
from submitit import LocalExecutor
from support import ROOT, experiment
from test_resume import as_files

from stgrpo.__main__ import main
from stgrpo.commands import train
from stgrpo.commands.launch import Training
from stgrpo.files import read_json, write_json
from stgrpo.loading import load_experiment
from stgrpo.specs import policy_spec, train_spec

CELL = "results/smoke/cells/st-grpo/seed0"


@pytest.fixture
def clone(tmp_path: Path, monkeypatch, questions, scores, policy_path) -> Path:
    """A working directory with the configuration and with what the smoke scale's trainings read."""
    shutil.copy(ROOT / "config.yaml", tmp_path)
    made = tmp_path / "results" / "smoke"
    for name in ("questions", "scores"):
        (made / name).mkdir(parents=True)
    files = as_files(tmp_path, questions, scores, policy_path)
    files["questions"].rename(made / "questions" / "train.jsonl")
    files["scores"].rename(made / "scores" / "train.parquet")
    shutil.copytree(policy_path, made / "policy")
    wanted = policy_spec(experiment("smoke")).hash()
    write_json(made / "policy" / "made_by.json", {"provenance": {"spec": wanted}})
    monkeypatch.chdir(tmp_path)
    return tmp_path


def parsed(words: list[str]) -> Namespace:
    """The arguments of the verb in a command."""
    parser = ArgumentParser()
    train.register(parser)
    return parser.parse_args(words[words.index("train") + 1 :])


@pytest.mark.parametrize(("scale", "cells"), [("smoke", ["st-grpo"]), ("demo", ["st-grpo", "st-grpo-1000"])])
def test_the_job_runs_what_the_workflow_runs(clone, capsys, scale: str, cells: list[str]):
    """At scale demo the second cell goes on from the end of the first."""
    if scale == "demo":
        (clone / "results" / "smoke").rename(clone / "results" / "demo")
        write_json(clone / "results/demo/cells/st-grpo/seed0/train.json", {})
    folder = f"results/{scale}/cells/{cells[-1]}/seed0"
    words = ["snakemake", f"{folder}/train.json", "-n", "-p", "--config", f"scale={scale}"]
    said = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    commands = re.findall(r"^ *(.*-m stgrpo train .*)$", said, re.MULTILINE)
    planned = {str(theirs.out): theirs for theirs in (parsed(shlex.split(command)) for command in commands)}
    assert set(planned) == {f"results/{scale}/cells/{cell}/seed0" for cell in cells}
    for cell, theirs in zip(cells, planned.values(), strict=True):
        capsys.readouterr()
        assert main(["launch", cell, f"--scale={scale}", "--dry-run"]) == 0
        ours = parsed(shlex.split(capsys.readouterr().out))
        assert ours.minutes > 0, "the workflow tells it to jobs alone"
        assert vars(ours) | {"minutes": None} == vars(theirs)
    keep = [theirs.keep for theirs in planned.values()]
    stems = [theirs.stem and str(theirs.stem) for theirs in planned.values()]
    if scale == "demo":
        assert (keep, stems) == ([True, False], [None, "results/demo/cells/st-grpo/seed0/train.json"])
    else:
        assert (keep, stems) == ([False], [None])


def test_what_a_training_goes_on_from_is_made_first(clone, capsys):
    (clone / "results" / "smoke").rename(clone / "results" / "demo")
    missing = "results/demo/cells/st-grpo/seed0/train.json"
    assert main(["launch", "st-grpo-1000", "--dry-run"]) == 2
    assert capsys.readouterr().err == f"launch: {missing}: not there; make it first: snakemake {missing}\n"


REFUSED = [
    (["st-grp", "--scale=smoke"], "scale 'smoke' trains no cell 'st-grp'; did you mean 'st-grpo'?"),
    (["base", "--scale=smoke"], "scale 'smoke' trains no cell 'base'"),
    (["grpo", "--scale=smoke", "--seed=7"], "scale 'smoke' has seed 0, not 7; add it to its seeds in config.yaml"),
    (["grpo", "--scale=smoke", "--slurm=gpu"], "--slurm gpu: no value; give KEY=VALUE"),
]


@pytest.mark.parametrize(("words", "reason"), REFUSED, ids=[row[1][:40] for row in REFUSED])
def test_what_cannot_be_submitted_is_one_line(clone, capsys, words: list[str], reason: str):
    assert main(["launch", *words]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert said.startswith(f"launch: {reason}")


def test_missing_inputs_are_named_with_what_makes_them(clone, capsys):
    (clone / "results/smoke/scores/train.parquet").unlink()
    shutil.rmtree(clone / "results/smoke/policy")
    assert main(["launch", "st-grpo", "--scale=smoke"]) == 2
    missing = "results/smoke/policy results/smoke/scores/train.parquet"
    assert capsys.readouterr().err == (
        f"launch: {missing.replace(' ', ', ')}: not there; make it first: snakemake {missing} --config scale=smoke\n"
    )
    assert main(["launch", "grpo", "--scale=smoke", "--dry-run"]) == 2
    assert "snakemake results/smoke/policy --config scale=smoke" in capsys.readouterr().err, "no importance, no scores"


@pytest.mark.slow
def test_a_job_trains_and_what_is_trained_is_not_submitted_again(clone, capsys):
    raw: dict[str, Any] = yaml.safe_load((clone / "config.yaml").read_text())
    raw["cells"]["grpo"]["steps"] = 1
    (clone / "config.yaml").write_text(yaml.safe_dump(raw))
    words = ["launch", "st-grpo", "--scale=smoke", "--executor=local"]
    assert main(words) == 0
    said = capsys.readouterr().out
    assert re.match(r"st-grpo, seed 0: submitted as job \d+; log: ", said)
    log = Path(said.strip().rpartition("log: ")[2])
    end = time.monotonic() + 240
    while not (clone / CELL / "train.json").exists() and time.monotonic() < end:
        time.sleep(0.2)
    made = read_json(clone / CELL / "train.json")["provenance"]
    assert made["spec"] == train_spec(load_experiment({**raw, "scale": "smoke"}), "st-grpo", 0).hash()
    assert [row["log"] for row in made["attempts"]] == [str(log)]
    assert "step 1/1" in log.read_text()
    assert main(words) == 2
    assert f"{CELL}/train.json: trained already" in capsys.readouterr().err


@pytest.mark.cluster
def test_a_job_of_two_nodes_trains_on_slurm(clone, slurm, capsys, monkeypatch):
    """Submitit's srun starts the ranks; the nodes' names resolve nowhere."""
    raw: dict[str, Any] = yaml.safe_load((clone / "config.yaml").read_text())
    scale = raw["scales"]["smoke"]
    scale |= {"nodes": 2, "processes": 2, "micro_rows": 8, "needs": {**scale["needs"], "train": {"cpus": 2}}}
    (clone / "config.yaml").write_text(yaml.safe_dump(raw))
    monkeypatch.setenv("MASTER_ADDR", "127.0.0.1")
    assert main(["launch", "grpo", "--scale=smoke", "--slurm=partition=gpu"]) == 0
    said = capsys.readouterr().out
    job = re.search(r"submitted as job (\d+)", said)
    out = clone / "results/smoke/cells/grpo/seed0"
    end = time.monotonic() + 240
    while not (out / "train.json").exists() and time.monotonic() < end:
        time.sleep(0.2)
    made = read_json(out / "train.json")["provenance"]
    assert job and made["slurm"]["SLURM_JOB_ID"] == job[1]
    assert made["slurm"]["SLURM_JOB_NODELIST"] == "n[1-2]"
    assert (made["runtime"]["nodes"], made["runtime"]["processes"]) == (2, 2)
    while not (ended := [row for row in slurm.finished() if row["JobId"] == job[1]]) and time.monotonic() < end:
        time.sleep(0.2)
    assert [row["JobState"] for row in ended] == ["COMPLETED"]


ONCE_MORE = """
import json, os, pathlib, sys
path = pathlib.Path(sys.argv[1])
starts = json.loads(path.read_text()) if path.exists() else []
path.write_text(json.dumps([*starts, os.environ["PROBE_WORD"]]))
sys.exit([75, 75, 0][len(starts)])
"""


def submit(folder: Path, program: str, *words: str, **environment: str) -> Any:
    """A job in which a Python program stands for the verb."""
    executor = LocalExecutor(folder / "logs", max_num_timeout=5)
    executor.update_parameters(timeout_min=5)
    return executor.submit(Training([sys.executable, "-c", program, *words], environment))


def test_a_job_whose_time_is_used_up_is_put_back_until_it_is_done(tmp_path: Path):
    starts = tmp_path / "starts.json"
    assert submit(tmp_path, ONCE_MORE, str(starts), PROBE_WORD="handed over").result() is None
    assert json.loads(starts.read_text()) == ["handed over"] * 3


def test_a_job_whose_training_fails_fails(tmp_path: Path):
    job = submit(tmp_path, "print('why'); raise SystemExit(2)")
    assert "train ended with status 2" in str(job.exception())
    assert "why" in (job.stdout() or "")


HELD = """
import pathlib, os, sys, time
starts = pathlib.Path(sys.argv[1])
(starts / str(os.getpid())).touch()
time.sleep(600 if len(list(starts.iterdir())) == 1 else 0)
"""


def test_slurm_s_warning_is_for_submitit_which_ends_the_training_and_starts_it_again(tmp_path: Path):
    """A training that the signal reached would die of it, and its job with it."""
    starts = tmp_path / "starts"
    starts.mkdir()
    job = submit(tmp_path, HELD, str(starts))
    while not (running := [int(path.name) for path in starts.iterdir()]):
        time.sleep(0.05)
    stat = Path(f"/proc/{running[0]}/stat").read_text()
    for process in (running[0], int(stat.rpartition(")")[2].split()[1])):  # the training, then its parent
        os.kill(process, signal.SIGUSR2)
    assert job.result() is None
    assert len(list(starts.iterdir())) == 2
    assert not Path(f"/proc/{running[0]}").exists()
