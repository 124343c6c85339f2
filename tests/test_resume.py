"""Killed trainings and several ranks end where one undisturbed process ends."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import spec_of
from probe import probe

from stgrpo.files import sha256, write_json, write_records
from stgrpo.policy.model import load_policy
from stgrpo.records import Question
from stgrpo.rl.checkpoints import resume_point
from stgrpo.rl.rewards import COMPONENTS
from stgrpo.rl.rollouts import Rollouts
from stgrpo.rl.trainer import STGRPOTrainer, trainer_config
from stgrpo.video import FrameReader

PROBE = str(Path(__file__).parent / "probe.py")
STEPS = 8


@pytest.fixture
def inputs(tmp_path: Path, questions: list[Question], scores: Mapping[str, Any]) -> dict[str, Path]:
    """Questions and scores as files."""
    import pandas as pd

    write_records(tmp_path / "train.jsonl", questions)
    rows = [{"question": name, "scores": list(values)} for name, values in scores.items()]
    pd.DataFrame(rows).to_parquet(tmp_path / "scores.parquet")
    return {"questions": tmp_path / "train.jsonl", "scores": tmp_path / "scores.parquet"}


def start(out: Path, inputs: Mapping[str, Path], policy: Path) -> subprocess.Popen:
    spec = spec_of(steps=STEPS).canonical()
    words = [sys.executable, PROBE, "train", "--spec", spec, "--policy", str(policy), "--out", str(out)]
    words += ["--micro-rows", "8", "--save-steps", "3", "--state", str(out / "state")]
    words += [f"--{name}={path}" for name, path in inputs.items()]
    return subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


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


def test_killed_training_ends_bit_for_bit_like_an_undisturbed_one(tmp_path, inputs, policy_path):
    calm, killed = tmp_path / "calm", tmp_path / "killed"
    finish(start(calm, inputs, policy_path))
    metrics = killed / "state" / "train.jsonl"

    # once between two checkpoints, once as soon as a checkpoint's folder appears, so that it is not whole
    process = start(killed, inputs, policy_path)
    wait_for(lambda: lines(metrics) >= 4, process)
    process.send_signal(signal.SIGKILL)
    process.wait()
    process = start(killed, inputs, policy_path)
    wait_for(lambda: (killed / "state" / "checkpoint-6").exists(), process)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (killed / "model").exists(), "nothing stands in place before the end"

    said = finish(start(killed, inputs, policy_path))
    assert "resuming from step" in said
    assert sha256(killed / "model" / "model.safetensors") == sha256(calm / "model" / "model.safetensors")
    assert history(killed) == history(calm)
    assert [row["step"] for row in history(killed)] == list(range(1, STEPS + 1))
    assert (killed / "rollouts.jsonl").read_text() == (calm / "rollouts.jsonl").read_text()


def test_weights_changed_at_all(tmp_path, inputs, policy_path):
    """Or the comparison above compares nothing."""
    finish(start(tmp_path / "out", inputs, policy_path))
    assert sha256(tmp_path / "out" / "model" / "model.safetensors") != sha256(policy_path / "model.safetensors")


def test_half_written_checkpoint_is_not_resumed(tmp_path: Path):
    for step, whole in ((3, True), (6, False)):
        (tmp_path / f"checkpoint-{step}").mkdir()
        (tmp_path / f"checkpoint-{step}" / "model.safetensors").touch()
        if whole:
            write_json(tmp_path / f"checkpoint-{step}" / "complete.json", {"step": step})
    assert resume_point(tmp_path) == (tmp_path / "checkpoint-3", 3)
    assert not (tmp_path / "checkpoint-6").exists()


def test_second_training_in_the_same_state_is_refused(tmp_path, inputs, policy_path):
    first = start(tmp_path / "out", inputs, policy_path)
    wait_for(lambda: (tmp_path / "out" / "state" / "key.json").exists(), first)
    second = start(tmp_path / "out", inputs, policy_path)
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

    with FrameReader() as reader:
        rollouts = Rollouts(spec, load_policy(policy_path), {q.id: q for q in questions}, scores, reader)
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
