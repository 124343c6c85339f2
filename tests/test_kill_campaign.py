"""The parts of scripts/kill_campaign.py: what it compares, where it thinks that a kill falls, and its loop."""

import argparse
import importlib
import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from support import ROOT

sys.path.append(str(ROOT / "scripts"))
compare_runs, running, disturbed, kill_campaign = map(
    importlib.import_module, ["compare_runs", "running", "disturbed", "kill_campaign"]
)
CELL = "results/smoke/cells/grpo/seed0"


def clone(folder: Path) -> Path:
    """Results of a run, in the forms that all results have."""
    block = {"spec": "a1", "finished": "12:00", "slurm": {"SLURM_JOB_ID": "7"}, "attempts": [{"end": "finished"}]}
    inputs = {"policy/model.safetensors": "b2", "policy/made_by.json": "c3"}
    image = {"path": f"{folder}/containers/stgrpo.sif", "sha256": "d4"}
    files = {
        "results/table2.csv": "cell,score\ngrpo,41.7\n",
        "results/smoke/report.html": "made at 12:00",
        "results/smoke/questions/train.jsonl": '{"id": "q", "seconds": 4}\n',
        f"{CELL}/model/model.safetensors": "weights",
        f"{CELL}/train.jsonl": '{"step": 1, "reward": 0.5, "seconds": 1.25}\n',
        f"{CELL}/train.json": json.dumps({"provenance": {**block, "inputs": inputs, "image": image}}),
        f"{CELL}/logs/train.log": "step 1",
        f"{CELL}/timing/train.tsv": "1.25",
    }
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


def differences(one: Path, other: Path) -> list[str]:
    return list(compare_runs.differences(one, other))


def test_times_jobs_attempts_and_the_images_place_are_no_difference(tmp_path: Path):
    provenance = {
        "spec": "a1",
        "finished": "13:00",
        "slurm": {},
        "attempts": [{"end": "died"}, {"end": "finished"}],
        "inputs": {"policy/model.safetensors": "b2", "policy/made_by.json": "of other times"},
        "image": {"path": "/elsewhere/stgrpo.sif", "sha256": "d4"},
    }
    one, other = clone(tmp_path / "one"), clone(tmp_path / "other")
    (other / "results/smoke/report.html").write_text("made at 13:00")
    (other / CELL / "train.json").write_text(json.dumps({"provenance": provenance}))
    (other / CELL / "train.jsonl").write_text('{"step": 1, "reward": 0.5, "seconds": 9.75}\n')
    (other / CELL / "logs/train.log").write_text("step 1, again")
    assert differences(one, other) == []


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("results/table2.csv", "cell,score\ngrpo,41.8\n"),
        ("results/smoke/questions/train.jsonl", '{"id": "q", "seconds": 5}\n'),
        (f"{CELL}/model/model.safetensors", "weightz"),
        (f"{CELL}/train.jsonl", '{"step": 1, "reward": 0.6, "seconds": 1.25}\n'),
        (f"{CELL}/train.json", '{"provenance": {"spec": "a2"}}'),
    ],
)
def test_every_other_change_of_a_file_is_a_difference(tmp_path: Path, name: str, text: str):
    one, other = clone(tmp_path / "one"), clone(tmp_path / "other")
    (other / name).write_text(text)
    assert differences(one, other) == [f"{name}: differs"]


@pytest.mark.parametrize(
    ("key", "value"), [("policy/model.safetensors", "b9"), ("policy/other.safetensors", "b2")], ids=["hash", "name"]
)
def test_another_input_or_image_is_a_difference(tmp_path: Path, key: str, value: str):
    one, other = clone(tmp_path / "one"), clone(tmp_path / "other")
    found = json.loads((other / CELL / "train.json").read_text())
    found["provenance"]["inputs"][key] = value
    (other / CELL / "train.json").write_text(json.dumps(found))
    assert differences(one, other) == [f"{CELL}/train.json: differs"]
    found = json.loads((one / CELL / "train.json").read_text())
    found["provenance"]["image"]["sha256"] = "d5"
    (other / CELL / "train.json").write_text(json.dumps(found))
    assert differences(one, other) == [f"{CELL}/train.json: differs"]


def test_a_file_too_many_or_too_few_is_a_difference(tmp_path: Path):
    one, other = clone(tmp_path / "one"), clone(tmp_path / "other")
    (other / "results/smoke/.figure3.pdf.tmp").write_text("left by a killed verb")
    (other / "results/table2.csv").unlink()
    assert differences(one, other) == [
        f"results/smoke/.figure3.pdf.tmp: only in {other}",
        f"results/table2.csv: only in {one}",
    ]


def verb(*words: str):
    """This process, as if it were one of a verb."""
    return running.Process(os.getpid(), os.getppid(), ("/usr/bin/python", "-m", "stgrpo", *words))


def test_only_a_python_process_of_the_package_is_a_verb():
    shell = running.Process(1, 0, ("bash", "-c", "python -m stgrpo train --state s", ""))
    contained = running.Process(1, 0, ("apptainer", "exec", "x.sif", "python", "-m", "stgrpo", "train", "--state"))
    assert (verb("train", "--state", "s").verb, shell.verb, contained.verb) == ("train", None, None)


def test_a_training_is_inside_once_this_process_has_made_a_step(tmp_path: Path):
    training, state = verb("train", "--state", "s"), tmp_path / "s"
    assert running.place(training, tmp_path) == "training's start"
    state.mkdir()
    (state / "train.jsonl").write_text("{}\n")
    os.utime(state / "train.jsonl", (0, 0))  # by an earlier attempt
    assert running.place(training, tmp_path) == "training's start"
    later = time.time() + 60
    os.utime(state / "train.jsonl", (later, later))
    assert running.place(training, tmp_path) == "training"
    (state / "checkpoint-2").mkdir()
    assert running.place(training, tmp_path) == "checkpoint's write"
    (state / "checkpoint-2/complete.json").write_text("{}")
    assert running.place(training, tmp_path) == "training"


def test_an_evaluation_is_inside_while_it_writes_answers(tmp_path: Path):
    evaluation = verb("evaluate", "--state", "s")
    (tmp_path / "s").mkdir()
    assert running.place(evaluation, tmp_path) == "evaluation's start"
    with (tmp_path / "s/predictions.jsonl").open("a"):
        assert running.place(evaluation, tmp_path) == "evaluation"
    assert running.place(verb("grade"), tmp_path) == "grade"


@pytest.fixture
def parent_and_child(tmp_path: Path) -> Iterator[subprocess.Popen]:
    """A process that works in a folder, with a child."""
    process = subprocess.Popen(["bash", "-c", "sleep 60 & wait"], cwd=tmp_path)
    yield process
    process.kill()
    process.wait()


def test_what_works_in_a_folder_is_found_with_its_children(tmp_path: Path, parent_and_child: subprocess.Popen):
    end = time.monotonic() + 10
    while len(found := running.processes(tmp_path)) < 2 and time.monotonic() < end:
        time.sleep(0.05)
    parent = next(process for process in found if process.number == parent_and_child.pid)
    child = next(process for process in found if process.parent == parent.number)
    assert running.below(parent, found) == [parent, child]
    assert running.below(child, found) == [child]
    child.kill()
    parent_and_child.wait(10)
    child.kill()  # no longer there: no error
    assert running.processes(tmp_path) == []


def test_kills_inside_are_those_that_end_a_process_there():
    tally = kill_campaign.Tally()
    tally.kills.update({("a verb", "training"): 4, ("everything", "training"): 2, ("Snakemake alone", "training"): 8})
    tally.kills.update({("a verb's child", "training"): 1, ("slurmctld", "training"): 16, ("a verb", "warm"): 32})
    tally.aimed["a verb", "training"] = 3
    assert tally.inside("training") == 7
    assert tally.random == 60


FAKE = """#!/usr/bin/env bash
# Twenty units of work, a tenth of a second each, done once however often it is started; and Snakemake's lock.
if [[ " $* " == *" --unlock "* ]]; then rm .snakemake/locks/*; exit; fi
if compgen -G ".snakemake/locks/*"; then exit 1; fi
mkdir -p .snakemake/locks && touch .snakemake/locks/0 done
while [ "$(wc -l < done)" -lt 20 ]; do sleep 0.1; echo >> done; done
rm .snakemake/locks/0
"""


def test_a_run_is_killed_unlocked_and_started_again_until_it_is_done(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    program, folder = tmp_path / "bin/snakemake", tmp_path / "clone"
    program.parent.mkdir()
    folder.mkdir()
    program.write_text(FAKE)
    program.chmod(0o755)
    monkeypatch.setattr(disturbed, "_ENVIRONMENT", {**os.environ, "PATH": f"{program.parent}:{os.environ['PATH']}"})
    args, tally = argparse.Namespace(steps=6, videos=6, inside=0), kill_campaign.Tally()
    disturbed.Run(folder, args, None).disturbed(tally, random.Random(0), gap=0.4)
    assert (folder / "done").read_text().count("\n") == 20
    assert not any((folder / ".snakemake/locks").iterdir())
    assert {place for _, place in tally.kills} == {"nothing"}
    assert {victim for victim, _ in tally.kills} <= {"Snakemake alone", "everything"}
    assert tally.random >= 3
    assert tally.random - tally.starts in (0, 1)  # the last may have come when the work was done
    assert 1 <= tally.unlocks <= tally.starts  # none where the kill came before the lock
    assert tally.seconds[0] > 2.0
