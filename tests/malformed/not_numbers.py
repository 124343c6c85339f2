"""NaN and infinity, wherever numbers come from: refused before they reach a table."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from test_figures import FIGURE, draw, runs

from malformed import given
from malformed.harness import Case
from malformed.tables import tabulated
from stgrpo.__main__ import main
from stgrpo.files import write_json, write_records
from stgrpo.records import Graded
from stgrpo.specs import ScoreSpec

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


def _gradient(value: float) -> Callable[[Path], int]:
    """A training in whose second step the loss is right, and a gradient is no number."""

    def run(folder: Path) -> int:
        from stgrpo.rl.trainer import STGRPOTrainer

        words, whole = given.training(folder), STGRPOTrainer.training_step

        def spoilt(self: Any, model: Any, *args: Any, **more: Any) -> Any:
            loss = whole(self, model, *args, **more)
            if self.state.global_step == 1:
                next(weight for weight in model.parameters() if weight.grad is not None).grad.fill_(value)
            return loss

        STGRPOTrainer.training_step = spoilt  # pyright: ignore[reportAttributeAccessIssue]
        return main(words)

    return run


def _overflowing(words_of: Callable[[Path], list[str]]) -> Callable[[Path], int]:
    """A policy whose weights are numbers, and its logits none: they are multiplied with 3e38."""

    def run(folder: Path) -> int:
        from safetensors.torch import load_file, save_file

        words, path = words_of(folder), folder / "policy/model.safetensors"
        tensors = load_file(path)
        tensors["model.norm.weight"].fill_(3e38)
        save_file(tensors, path, {"format": "pt"})
        return main(words)

    return run


def _scorer(folder: Path) -> int:
    """`score` with a scorer one of whose weights is NaN."""
    from stgrpo.demo.scorer import make_scorer

    scorer = make_scorer(seed=0)
    next(w for name, w in scorer.model.named_parameters() if "vision_tower" in name).data.view(-1)[0] = NAN
    scorer.model.save_pretrained(folder / "scorer")
    scorer.tokenizer.save_pretrained(folder / "scorer")
    write_json(folder / "scorer/made_by.json", {"provenance": {"spec": "scorer"}})
    write_records(folder / "train.jsonl", given.questions(1))
    (folder / "0.mp4").write_bytes(given.video())
    spec = ScoreSpec(scorer="scorer@scorer", questions="train@q", frames=given.FRAMES).canonical()
    words = ["score", "--spec", spec, "--questions", "train.jsonl", "--scorer", "scorer"]
    return main([*words, "--out", "out.parquet"])


def _drawn(text: str) -> Callable[[Path], int]:
    """A figure of trainings, one of whose metrics says this in its first step."""

    def run(folder: Path) -> int:
        trainings = runs(folder)
        path = folder / "cells/grpo/seed1/train.jsonl"
        path.write_text(path.read_text().replace('"reward_std": 0.11', f'"reward_std": {text}', 1))
        return draw(folder, FIGURE, trainings)

    return run


def _graded(text: str) -> Callable[[Path], int]:
    """A table of a cell whose first credit is this."""

    def run(folder: Path) -> int:
        write_records(folder / "graded.jsonl", [Graded("mmvu", "q0", "v0", "", 1.0, 1.0, "A")])
        path = folder / "graded.jsonl"
        path.write_text(path.read_text().replace('"credit": 1.0', f'"credit": {text}'))
        write_json(folder / "metrics.json", {"cell": "grpo", "seed": 0, "provenance": {"spec": "s"}})
        return tabulated(folder, ["--metrics", "metrics.json", "--graded", "graded.jsonl"])

    return run


def _metrics(folder: Path) -> int:
    (folder / "metrics.json").write_text('{"cell": "grpo", "seed": 0, "score": NaN, "provenance": {"spec": "s"}}')
    (folder / "graded.jsonl").write_text("")
    return tabulated(folder, ["--metrics", "metrics.json", "--graded", "graded.jsonl"])


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
    made = ["out/train.json", "eval/all.jsonl", "out.parquet", "f.pdf", "f.png", "t.tex", "t.csv"]
    assert [name for name in made if (folder / name).exists()] == []


_WEIGHT = r"%s: policy: weight model\.\S+layernorm\.weight holds NaN or infinity; fetch or make it again"
_SCORES = r"train: scores\.parquet: row 0: the scores of question 'mmvu-0' are no cosines; score again \(.*\)"
_STEP = r"train: step 2: %s; nothing of this step is kept; look at the steps before it in train\.jsonl, and lower .*"
_RATE = r"train: --spec: no TrainSpec \(training\.learning_rate: Input should be a finite number\); let the workflow .*"
_LOGITS = r"%s: the model's logits hold NaN or infinity, so its answers would be noise; compute in fp32 .*"
_TOWER = r"score: scorer: weight \S*vision_tower\S+ holds NaN or infinity; fetch or make it again"
_LINE = r"%s: .*%s is no number; remove the file and run again"
_METRIC = r"figure: .*seed1/train\.jsonl: step 1: reward_std is a %s, not a number; train again \(.*\)"
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
    ("NaN in a gradient", _gradient(NAN), _STEP % "grad_norm = nan", _first_step_stays),
    ("infinity in a gradient", _gradient(INF), _STEP % "grad_norm = (?:inf|nan)", _first_step_stays),
    ("logits that overflow, evaluated", _overflowing(given.evaluating), _LOGITS % "evaluate", _nothing),
    ("logits that overflow, trained", _overflowing(given.training), _LOGITS % "train", _nothing),
    ("NaN in a weight of the scorer", _scorer, _TOWER, _nothing),
    ("NaN in a metric", _drawn("NaN"), _LINE % ("figure", r"seed1/train\.jsonl:1: NaN"), _nothing),
    ("infinity in a metric", _drawn("-Infinity"), _LINE % ("figure", r"seed1/train\.jsonl:1: -Infinity"), _nothing),
    ("a metric beyond any number", _drawn("1e999"), _LINE % ("figure", r"seed1/train\.jsonl:1: 1e999"), _nothing),
    ("null in a metric", _drawn("null"), _METRIC % "NoneType", _nothing),
    ("a text in a metric", _drawn('"0.11"'), _METRIC % "str", _nothing),
    ("NaN among credits", _graded("NaN"), _LINE % ("tabulate", r"graded\.jsonl:1: NaN"), _nothing),
    ("NaN among scores of a cell", _metrics, r"tabulate: metrics\.json: not JSON \(NaN is no number\); .*", _nothing),
    ("NaN as learning rate", _learning_rate(NAN), _RATE, _nothing),
    ("infinity as learning rate", _learning_rate(INF), _RATE, _nothing),
]
CASES = [Case("not a number", what, run, says, right=right) for what, run, says, right in _CASES]
