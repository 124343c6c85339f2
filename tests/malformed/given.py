"""What is right, to be made wrong: a policy, questions, predictions, scores, videos, and the words of the verbs."""

import atexit
import json
import shutil
import tempfile
from functools import cache
from io import BytesIO
from pathlib import Path

import numpy as np

from stgrpo.demo import mp4, world
from stgrpo.files import write_json, write_records
from stgrpo.records import Prediction, Question
from stgrpo.rules import FrameRule, Training
from stgrpo.specs import EvalSpec, PrepareSpec, TrainSpec

FRAMES = FrameRule(min_pixels=56 * 56, max_pixels=56 * 56)
TAGS = {"subject": "Art", "discipline": "Humanities_and_Social_Science"}
POLICY_SPEC = "policy"


def video(index: int = 0, frames: int | None = None, fps: int = world.FPS) -> bytes:
    """A rendered clip of 56 x 56."""
    buffer = BytesIO()
    mp4.write(buffer, world.scene(index, 0).frames[:frames], fps)
    return buffer.getvalue()


def drawn(height: int, width: int, frames: int = 20, fps: int = 10) -> bytes:
    """A clip of another size."""
    buffer = BytesIO()
    mp4.write(buffer, np.random.default_rng(0).integers(0, 255, (frames, height, width, 3), np.uint8), fps)
    return buffer.getvalue()


def questions(count: int = 4) -> list[Question]:
    """Multiple-choice questions of MMVU about `0.mp4`, `1.mp4`, ..."""
    options = ("A. red", "B. green")
    return [
        Question(f"mmvu-{i}", f"{i}.mp4", "What is the colour?", options, "multiple choice", "A", "mmvu", TAGS)
        for i in range(count)
    ]


def grading(folder: Path, answers: list[str] | None = None) -> list[str]:
    """Files for `grade` in a folder, and its words; by default every answer is right."""
    asked = questions(4)
    texts = answers or ["<answer>A</answer>"] * len(asked)
    write_records(folder / "mmvu.jsonl", asked)
    predictions = [Prediction("mmvu", q.id, text, "s") for q, text in zip(asked, texts, strict=True)]
    write_records(folder / "all.jsonl", predictions)
    write_json(folder / "all.provenance.json", {"inputs": {}, "data": {}})
    (folder / "policy").mkdir()
    write_json(folder / "policy" / "made_by.json", {"provenance": {"spec": POLICY_SPEC}})
    words = ["grade", "--cell", "grpo", "--seed", "0", "--policy", "policy", "--specs", "s"]
    words += ["--predictions", f"{folder}/all.jsonl", "--questions", f"{folder}/mmvu.jsonl"]
    return [*words, "--out", f"{folder}/out.json", "--graded", f"{folder}/graded.jsonl"]


def preparing(folder: Path, benchmark: str | None = None) -> list[str]:
    """The words of `prepare` for the training corpus in a folder, or for a benchmark there."""
    if benchmark:
        spec = PrepareSpec(name=benchmark, frames=FRAMES).canonical()
    else:
        draw = {"source": "video-r1", "count": 9, "seed": 0}
        spec = PrepareSpec.model_validate({"name": "train", "frames": FRAMES, "draw": draw}).canonical()
    out = ["--out", f"{folder}/out.jsonl", "--aside", f"{folder}/aside.csv"]
    return ["prepare", "--spec", spec, "--source", str(folder), *out]


RECORD = {
    "problem_id": 1,
    "problem": "What is the colour of the square?",
    "data_type": "video",
    "problem_type": "multiple choice",
    "options": ["A. red", "B. green"],
    "solution": "<answer>A</answer>",
    "path": "./1.mp4",
    "data_source": "CLEVRER",
}


@cache
def policy() -> Path:
    """A random tiny Qwen2.5-VL with its tokenizer, as save_pretrained writes them."""
    from stgrpo.demo.policy import make_policy

    folder = Path(tempfile.mkdtemp(prefix="policy-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    made = make_policy(seed=0)
    made.model.save_pretrained(folder)
    made.tokenizer.save_pretrained(folder)
    write_json(folder / "made_by.json", {"provenance": {"spec": POLICY_SPEC}})
    return folder


def training(folder: Path, **knobs) -> list[str]:
    """A policy, questions, their videos and scores in a folder, and the words of `train` for two steps."""
    shutil.copytree(policy(), folder / "policy")
    (folder / "out").mkdir()
    asked = questions(4)
    asked = [Question(q.id, f"{folder}/{q.video}", q.text, q.options, q.kind, q.answer, q.source, {}) for q in asked]
    write_records(folder / "train.jsonl", asked)
    write_json(folder / "train.provenance.json", {"inputs": {}, "data": {}})
    for number in range(4):
        (folder / f"{number}.mp4").write_bytes(video(number))
    scores(folder / "scores.parquet", {q.id: [0.5] * world.FRAMES for q in asked})
    write_json(folder / "scores.provenance.json", {"inputs": {}, "data": {}})
    rule = Training(answers_per_step=4, max_tokens=4, frames=FRAMES, learning_rate=5e-5)
    values = {
        "policy": f"warm@{POLICY_SPEC}",
        "questions": "train@q",
        "scores": "score@s",
        "prompt": "{question}",
        "seed": 0,
        "algorithm": "grpo",
        "grouping": "importance+spatial",
        "selection": "weighted",
        "variants": 2,
        "generations": 2,
        "steps": 2,
        "training": rule.model_dump(),
    }
    spec = TrainSpec.model_validate(values | knobs).canonical()
    words = ["train", "--spec", spec, "--threads", "1", "--questions", "train.jsonl", "--scores", "scores.parquet"]
    words += ["--policy", "policy", "--nodes", "1", "--processes", "1", "--micro-rows", "4", "--save-steps", "1"]
    return [*words, "--sharing", "prefix", "--state", "state", "--out", "out"]


def evaluating(folder: Path) -> list[str]:
    """A policy, questions and their videos in a folder, and the words of `evaluate`."""
    shutil.copytree(policy(), folder / "policy")
    write_records(folder / "mmvu.jsonl", questions(2))
    write_json(folder / "mmvu.provenance.json", {"inputs": {}, "data": {}})
    for number in range(2):
        (folder / f"{number}.mp4").write_bytes(video(number))
    values = {"policy": f"warm@{POLICY_SPEC}", "benchmarks": {"mmvu": "q"}, "prompt": "{question}", "max_tokens": 4}
    spec = EvalSpec.model_validate({**values, "frames": FRAMES.model_dump(), "precision": "fp32"}).canonical()
    words = ["evaluate", "--spec", spec, "--threads", "1", "--policy", "policy", "--questions", "mmvu.jsonl"]
    return [*words, "--rows", "4", "--state", "state", "--out", "eval/all.jsonl"]


def scores(path: Path, values: object) -> None:
    """A parquet file of frame scores, by question."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    assert isinstance(values, dict)
    pq.write_table(pa.table({"question": list(values), "scores": list(values.values())}), path)


def dumped(*rows: object) -> str:
    """JSON lines."""
    return "".join(json.dumps(row) + "\n" for row in rows)
