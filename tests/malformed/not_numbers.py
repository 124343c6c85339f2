"""NaN and infinity, wherever numbers come from: refused before they reach a table."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from malformed import given
from malformed.harness import Case
from stgrpo.__main__ import main

NAN, INF = float("nan"), float("inf")


def _weights(words_of: Callable[[Path], list[str]], value: float) -> Callable[[Path], int]:
    """A policy with one weight that is no number."""

    def run(folder: Path) -> int:
        from safetensors.torch import load_file, save_file

        words, path = words_of(folder), folder / "policy/model.safetensors"
        tensors = load_file(path)
        name = sorted(name for name in tensors if "norm" in name)[0]
        tensors[name][0] = value
        save_file(tensors, path, {"format": "pt"})
        return main(words)

    return run


def _scored(*values: float | None) -> Callable[[Path], int]:
    """A training whose first question has these scores among others."""

    def run(folder: Path) -> int:
        words = given.training(folder)
        rows = {question.id: [0.5] * 16 for question in given.questions(4)}
        rows["mmvu-0"][: len(values)] = values  # pyright: ignore[reportArgumentType, reportCallIssue]
        given.scores(folder / "scores.parquet", rows)
        return main(words)

    return run


def _in_training(where: str, value: float) -> Callable[[Path], int]:
    """A training in whose second step something becomes no number."""

    def run(folder: Path) -> int:
        from stgrpo.rl.trainer import STGRPOTrainer

        words = given.training(folder)
        whole = getattr(STGRPOTrainer, where)

        def spoilt(self: Any, *args: Any, **more: Any) -> Any:
            found = whole(self, *args, **more)
            return found * value if self.state.global_step == 1 else found

        setattr(STGRPOTrainer, where, spoilt)
        return main(words)

    return run


def _learning_rate(value: float) -> Callable[[Path], int]:
    """A training whose step is too large for any number."""

    def run(folder: Path) -> int:
        words = given.training(folder)
        at = words.index("--spec") + 1
        spec = json.loads(words[at])
        spec["training"]["learning_rate"] = value
        return main([*words[:at], json.dumps(spec), *words[at + 1 :]])

    return run


def _first_step_stays(folder: Path) -> None:
    """What was right before is kept; nothing is published."""
    assert (folder / "state/checkpoint-1/complete.json").exists()
    assert not (folder / "state/checkpoint-2").exists() and not (folder / "out/train.json").exists()


def _nothing(folder: Path) -> None:
    assert not (folder / "out/train.json").exists() and not (folder / "eval/all.jsonl").exists()


_WEIGHT = r"%s: policy: weight model\.\S+layernorm\.weight holds NaN or infinity; fetch or make it again"
_SCORES = r"train: scores\.parquet: row 0: the scores of question 'mmvu-0' are no cosines; score again \(.*\)"
_STEP = r"train: step 2: %s; nothing of this step is kept; look at the steps before it in train\.jsonl, and lower .*"
_RATE = r"train: --spec: no TrainSpec \(training\.learning_rate: Input should be a finite number\); let the workflow .*"
_CASES = [
    ("NaN in a weight, evaluated", _weights(given.evaluating, NAN), _WEIGHT % "evaluate", _nothing),
    ("infinity in a weight, evaluated", _weights(given.evaluating, INF), _WEIGHT % "evaluate", _nothing),
    ("NaN in a weight, trained", _weights(given.training, NAN), _WEIGHT % "train", _nothing),
    ("NaN among scores", _scored(NAN), _SCORES, _nothing),
    ("infinity among scores", _scored(-INF), _SCORES, _nothing),
    ("null among scores", _scored(None), _SCORES, _nothing),
    ("a score beyond a cosine", _scored(7.0), _SCORES, _nothing),
    ("NaN in the loss", _in_training("_compute_loss", NAN), _STEP % "loss = nan, grad_norm = nan", _first_step_stays),
    ("infinity in the loss", _in_training("_compute_loss", INF), _STEP % "loss = inf.*", _first_step_stays),
    ("NaN in the rewards", _in_training("_calculate_rewards", NAN), _STEP % "reward = None.*", _first_step_stays),
    ("NaN as learning rate", _learning_rate(NAN), _RATE, _nothing),
    ("infinity as learning rate", _learning_rate(INF), _RATE, _nothing),
]
CASES = [Case("not a number", what, run, says, right=right) for what, run, says, right in _CASES]
