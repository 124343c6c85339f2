"""Killed trainings and several ranks end where one undisturbed process ends."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import spec_of
from probe import probe
from safetensors.torch import load_file

from stgrpo.__main__ import main
from stgrpo.files import sha256, write_json, write_records
from stgrpo.policy.model import load_policy
from stgrpo.records import Question
from stgrpo.rl.checkpoints import resume_point
from stgrpo.rl.rewards import COMPONENTS
from stgrpo.rl.rollouts import Rollouts
from stgrpo.rl.trainer import STGRPOTrainer, trainer_config
from stgrpo.specs import TrainSpec
from stgrpo.video import FrameReader

pytestmark = pytest.mark.slow

PROBE = str(Path(__file__).parent / "probe.py")
STEPS = 8


def as_files(folder: Path, questions: list[Question], scores: Mapping[str, Any], policy: Path) -> dict[str, Path]:
    """What a training reads, by the names of the verb's arguments."""
    import pandas as pd

    write_records(folder / "train.jsonl", questions)
    rows = [{"question": name, "scores": list(values)} for name, values in scores.items()]
    pd.DataFrame(rows).to_parquet(folder / "scores.parquet")
    return {"questions": folder / "train.jsonl", "scores": folder / "scores.parquet", "policy": policy}


@pytest.fixture
def inputs(tmp_path: Path, questions, scores, policy_path) -> dict[str, Path]:
    return as_files(tmp_path, questions, scores, policy_path)


def verb(spec: TrainSpec, out: Path, inputs: Mapping[str, Path], *more: str) -> list[str]:
    words = ["train", "--spec", spec.canonical(), "--out", str(out), "--state", str(out / "state")]
    return [*words, *(f"--{name}={path}" for name, path in inputs.items()), *more]


def start_verb(spec: TrainSpec, out: Path, inputs: Mapping[str, Path], *more: str, **environment: str):
    """The verb in a session of its own, so that a test can end all of its processes and see whether any is left."""
    words = [sys.executable, PROBE, *verb(spec, out, inputs, *more)]
    pipe, given = subprocess.PIPE, {**os.environ, **environment}
    return subprocess.Popen(words, stdout=pipe, stderr=subprocess.STDOUT, text=True, env=given, start_new_session=True)


def start(out: Path, inputs: Mapping[str, Path]) -> subprocess.Popen:
    return start_verb(spec_of(steps=STEPS), out, inputs, "--micro-rows=8", "--save-steps=3")


def finish(process: subprocess.Popen) -> str:
    text, _ = process.communicate(timeout=300)
    assert process.returncode == 0, text
    return text


def wait_for(condition, process: subprocess.Popen) -> None:
    deadline = time.monotonic() + 120
    while not condition():
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < deadline
        time.sleep(0.002)


def history(out: Path) -> list[dict[str, Any]]:
    rows = [json.loads(text) for text in (out / "train.jsonl").read_text().splitlines()]
    return [{name: value for name, value in row.items() if name != "seconds"} for row in rows]


def lines(path: Path) -> int:
    return path.read_bytes().count(b"\n") if path.exists() else 0


def test_killed_training_ends_bit_for_bit_like_an_undisturbed_one(tmp_path, inputs):
    calm, killed = tmp_path / "calm", tmp_path / "killed"
    finish(start(calm, inputs))
    metrics = killed / "state" / "train.jsonl"

    # once between two checkpoints, once as soon as a checkpoint's folder appears, so that it is not whole
    process = start(killed, inputs)
    wait_for(lambda: lines(metrics) >= 4, process)
    process.send_signal(signal.SIGKILL)
    process.wait()
    process = start(killed, inputs)
    wait_for(lambda: (killed / "state" / "checkpoint-6").exists(), process)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (killed / "model").exists(), "nothing stands in place before the end"

    said = finish(start(killed, inputs))
    assert "resuming from step" in said
    assert sha256(killed / "model" / "model.safetensors") == sha256(calm / "model" / "model.safetensors")
    assert history(killed) == history(calm)
    assert [row["step"] for row in history(killed)] == list(range(1, STEPS + 1))
    for name in ("rollouts.jsonl", "groups.jsonl"):
        assert (killed / name).read_text() == (calm / name).read_text()
    assert lines(killed / "groups.jsonl") == 2 * STEPS


def test_killed_lora_ends_bit_for_bit_like_an_undisturbed_one_with_whole_weights(tmp_path, inputs, policy_path):
    spec, more = spec_of(steps=6, lora=4), ("--micro-rows=8", "--save-steps=2")
    calm, killed = tmp_path / "calm", tmp_path / "killed"
    finish(start_verb(spec, calm, inputs, *more))
    process = start_verb(spec, killed, inputs, *more)
    wait_for((killed / "state" / "checkpoint-4" / "complete.json").exists, process)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert "resuming from step 4" in finish(start_verb(spec, killed, inputs, *more))
    assert history(killed) == history(calm)
    assert sha256(killed / "model" / "model.safetensors") == sha256(calm / "model" / "model.safetensors")
    assert load_file(calm / "model" / "model.safetensors").keys() == load_file(policy_path / "model.safetensors").keys()


def test_killed_in_a_later_pass_over_the_questions(tmp_path, inputs):
    """Twelve questions, two a step: the second pass begins after step 6."""
    spec, more = spec_of(steps=10), ("--micro-rows=8", "--save-steps=2")
    calm, killed = tmp_path / "calm", tmp_path / "killed"
    finish(start_verb(spec, calm, inputs, *more))
    process = start_verb(spec, killed, inputs, *more)
    wait_for(lambda: (killed / "state" / "checkpoint-8" / "complete.json").exists(), process)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert "resuming from step 8" in finish(start_verb(spec, killed, inputs, *more))
    assert history(killed) == history(calm)
    assert sha256(killed / "model" / "model.safetensors") == sha256(calm / "model" / "model.safetensors")


def test_killed_after_the_last_checkpoint_takes_no_step_more(tmp_path, inputs):
    """The trainer would: it looks for the end only after a step."""
    process = start(tmp_path, inputs)
    last = tmp_path / "state" / f"checkpoint-{STEPS}"
    wait_for(lambda: (last / "complete.json").exists(), process)
    process.send_signal(signal.SIGKILL)
    process.wait()
    weights = sha256(last / "model.safetensors")
    said = finish(start(tmp_path, inputs))
    assert f"resuming from step {STEPS} of {STEPS}" in said
    assert sha256(tmp_path / "model" / "model.safetensors") == weights
    assert lines(tmp_path / "train.jsonl") == STEPS


def test_model_holds_changed_weights_and_nothing_of_the_trainer(tmp_path, inputs, policy_path):
    """Changed, or the comparison above compares nothing."""
    finish(start(tmp_path, inputs))
    assert sha256(tmp_path / "model" / "model.safetensors") != sha256(policy_path / "model.safetensors")
    found = {path.name for path in (tmp_path / "model").iterdir()}
    assert {"model.safetensors", "config.json", "tokenizer.json", "made_by.json"} <= found
    assert not found & {"optimizer.pt", "training_args.bin", "trainer_state.json", "complete.json", "scheduler.pt"}
    saved = load_file(tmp_path / "model" / "model.safetensors")
    assert {value.dtype for value in saved.values()} == {torch.float32}
    loaded = load_policy(tmp_path / "model").model.state_dict()
    assert sorted(v.double().sum().item() for v in loaded.values()) == sorted(
        v.double().sum().item() for v in saved.values()
    ), "every tensor, under whatever name"


def test_full_disk_ends_in_one_line_and_is_resumed_when_mended(tmp_path, inputs, small_disk):
    """A checkpoint takes 8 MB: the second one's weights, then its optimizer state, find no room."""
    finish(start(tmp_path / "calm", inputs))
    for size in ("9m", "13m"):
        out = small_disk(size) / "out"
        process = start(out, inputs)
        said, _ = process.communicate(timeout=300)
        assert process.returncode == 2, said
        wanted = f"train: {out}/state: no space left on the disk; free some and run again: it goes on from step 3"
        assert said.splitlines()[-1] == wanted
        assert "Traceback" not in said
        assert not (out / "model").exists()
    said = finish(start(small_disk("100m") / "out", inputs))
    assert "resuming from step 3" in said
    assert sha256(out / "model" / "model.safetensors") == sha256(tmp_path / "calm" / "model" / "model.safetensors")
    assert history(out) == history(tmp_path / "calm")


@pytest.mark.parametrize("unwritten", ["config.json", "optimizer.pt"])
def test_no_space_at_a_checkpoint_without_a_small_disk(tmp_path, inputs, monkeypatch, capfd, unwritten: str):
    """The same where nothing can be mounted: one of the second checkpoint's files is Linux' device that is always full.

    So the writers fail with what the system really says. torch.save, which writes the optimizer's state, does not hand
    that on, and the disk itself is asked: only that question has to be led to the device too.
    """
    monkeypatch.setitem(COMPONENTS, "accuracy", probe)
    stock = STGRPOTrainer._save_checkpoint

    def save(trainer: STGRPOTrainer, *args: Any) -> None:
        folder = Path(str(trainer.args.output_dir)) / f"checkpoint-{trainer.state.global_step}"
        if folder.name == "checkpoint-6":
            folder.mkdir()
            (folder / unwritten).symlink_to("/dev/full")
        stock(trainer, *args)

    def start_here() -> int:
        return main(verb(spec_of(steps=STEPS), tmp_path, inputs, "--micro-rows=8", "--save-steps=3"))

    def full_file(dir: Path) -> Any:
        return Path("/dev/full").open("wb", buffering=0)

    with monkeypatch.context() as full:
        full.setattr(STGRPOTrainer, "_save_checkpoint", save)
        if unwritten == "optimizer.pt":
            full.setattr("tempfile.TemporaryFile", full_file)
        assert start_here() == 2
    said = capfd.readouterr().err.splitlines()
    wanted = f"train: {tmp_path}/state: no space left on the disk; free some and run again: it goes on from step 3"
    assert said[-1] == wanted
    assert not any("Traceback" in text for text in said)
    assert not (tmp_path / "model").exists()
    assert start_here() == 0
    assert "resuming from step 3 of 8" in capfd.readouterr().out
    assert [row["step"] for row in history(tmp_path)] == list(range(1, STEPS + 1))


def test_full_disk_is_one_line_in_any_verb(small_disk, capsys):
    out = small_disk("4k") / "schema.json"
    assert main(["schema", "--out", str(out)]) == 2
    assert capsys.readouterr().err == f"schema: {out}: no space left on the disk; free some and run again\n"


def test_no_space_is_one_line_in_any_verb(tmp_path, capsys):
    """The same without a mount: the file that is written before it is renamed into place is the full device."""
    out = tmp_path / "schema.json"
    (tmp_path / ".schema.json.tmp").symlink_to("/dev/full")
    assert main(["schema", "--out", str(out)]) == 2
    assert capsys.readouterr().err == f"schema: {out}: no space left on the disk; free some and run again\n"
    assert list(tmp_path.iterdir()) == []


def test_half_written_checkpoint_is_not_resumed(tmp_path: Path):
    for step, whole in ((3, True), (6, False)):
        (tmp_path / f"checkpoint-{step}").mkdir()
        (tmp_path / f"checkpoint-{step}" / "model.safetensors").touch()
        if whole:
            write_json(tmp_path / f"checkpoint-{step}" / "complete.json", {"step": step})
    assert resume_point(tmp_path) == tmp_path / "checkpoint-3"
    assert not (tmp_path / "checkpoint-6").exists()


def test_second_training_in_the_same_state_is_refused(tmp_path, inputs):
    first = start(tmp_path / "out", inputs)
    wait_for(lambda: (tmp_path / "out" / "state" / "key.json").exists(), first)
    second = start(tmp_path / "out", inputs)
    text, _ = second.communicate(timeout=60)
    finish(first)
    assert second.returncode == 2
    assert "in use by process" in text
    assert "Traceback" not in text


def free_port() -> int:
    with socket.socket() as opened:
        opened.bind(("127.0.0.1", 0))
        return opened.getsockname()[1]


def test_two_ranks_equal_one(tmp_path, inputs, policy_path, questions, scores, monkeypatch):
    """Replayed completions, each question spread over both ranks: loss and gradient of one process to 1e-6."""
    monkeypatch.setitem(COMPONENTS, "accuracy", probe)
    spec = spec_of(steps=1, answers_per_step=16, max_grad_norm=1e9, beta=0.2)
    recorded: dict[str, list[int]] = {}

    class Record(STGRPOTrainer):
        def answer(self, rows):
            found = super().answer(rows)
            recorded.update({str(row.key): tokens for row, tokens in zip(rows, found, strict=True)})
            return found

    by_id = {q.id: q for q in questions}
    with FrameReader() as reader, closing(Rollouts(spec, load_policy(policy_path), by_id, scores, reader)) as rollouts:
        Record(spec, rollouts.policy, rollouts, trainer_config(spec, tmp_path / "r", 16, 100)).train()
    job = {
        "spec": spec.canonical(),
        "questions": str(inputs["questions"]),
        "scores": scores,
        "policy": str(policy_path),
        "completions": recorded,
    }
    found = {}
    for ranks, micro_rows in ((1, 16), (2, 4)):
        result = tmp_path / f"{ranks}.pt"
        write_json(
            tmp_path / f"{ranks}.json",
            {
                **job,
                "ranks": ranks,
                "micro_rows": micro_rows,
                "result": str(result),
                "out": str(tmp_path / f"o{ranks}"),
            },
        )
        launch = ["-m", "torch.distributed.run", f"--nproc-per-node={ranks}", f"--master-port={free_port()}"]
        words = [sys.executable, *(launch if ranks > 1 else []), PROBE, "one-step", str(tmp_path / f"{ranks}.json")]
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        done = subprocess.run(words, capture_output=True, text=True, timeout=300, check=False, env=environment)
        assert done.returncode == 0, done.stdout + done.stderr
        found[ranks] = torch.load(result)
    assert found[1]["loss"] > 1e-3
    assert found[1]["loss"] == pytest.approx(found[2]["loss"], abs=1e-6)
    largest = max(float(g.abs().max()) for g in found[1]["gradient"].values())
    assert largest > 1e-3
    for name, gradient in found[1]["gradient"].items():
        difference = float((gradient - found[2]["gradient"][name]).abs().max())
        assert difference < 1e-6 * max(1.0, largest), (name, difference, largest)
