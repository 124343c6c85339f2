"""An evaluation's CPU time, ours against others': python scripts/evaluation_speed.py [PYTHON] [--rounds N]

The same questions about the same videos, with the same random weights, are answered by

    ours: `stgrpo evaluate`, which decodes, encodes and reads a video once for all its questions;
    plain: transformers' own batched `generate`, a row a question, each with its own video;
    lmms-eval: its Hugging Face backend for Qwen2.5-VL, if PYTHON is given, that of an environment apart, made by
        pip install lmms-eval==0.7.3 torch==2.13.0 torchvision==0.28.0 transformers==5.17.0 decord==0.6.0

Each in a fresh process on one thread, in turn. CPU seconds and memory are counted from the moment that the weights are
loaded; "models" is without decoding. Status 1 if two of them answer a question differently, unless the two tokens where
they part are as good in float64: random weights sometimes leave it to the rounding.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from evaluation_ways import undecided
from random_policy import make_weights
from transformers import AutoTokenizer

from stgrpo.demo import mp4, world
from stgrpo.demo.policy import make_policy
from stgrpo.prompts import lettered
from stgrpo.video import resize

Result = dict[str, Any]  # what a way prints, see `evaluation_ways.py`

ROWS = 36  # in a pass
TIE = 1e-4  # of logits whose rounding in float32 is below that
HERE = Path(__file__).parent.resolve()


@dataclass(frozen=True)
class Setting:
    """What is asked of which model."""

    model: str
    side: int  # pixels of a frame
    questions: int
    max_tokens: int


SETTINGS = (Setting("demo", 56, 540, 16), Setting("13m", 140, 72, 48))
A_VIDEO = (3, 18)  # questions


def prepare(folder: Path, setting: Setting) -> None:
    """Weights, in bf16 as the Hub has and lmms-eval reads them, and enough videos for the fewest questions each."""
    policy = folder / "policy"
    if setting.model == "demo":
        made = make_policy(0)
        made.model.to(torch.bfloat16).save_pretrained(policy)
        made.tokenizer.save_pretrained(policy)
    else:
        make_weights(setting.model, policy, spread=0.08)
    tokenizer = AutoTokenizer.from_pretrained(policy)
    # lmms-eval adds a turn of the system, and lets a model answer with placeholders of videos, which ours does not
    tokenizer.chat_template = tokenizer.chat_template.replace("in messages", "in messages if m['role'] == 'user'")
    tokenizer.save_pretrained(policy)
    file = policy / "generation_config.json"
    vision = ["<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>"]
    banned = {"suppress_tokens": tokenizer.convert_tokens_to_ids(vision)}
    file.write_text(json.dumps(json.loads(file.read_text(encoding="utf-8")) | banned), encoding="utf-8")
    for number in range(setting.questions // min(A_VIDEO)):
        frames = world.scene(number, seed=7).frames
        mp4.write(folder / f"{number}.mp4", resize(frames, setting.side, setting.side), world.FPS)


def ask(folder: Path, setting: Setting, a_video: int) -> None:
    """Write the job: questions that follow each other by video."""
    questions = []
    for number in range(setting.questions):
        video, family = number // a_video, world.FAMILIES[number % 2]
        text = world.question_text(family, world.scene(video, seed=7).shape)
        options = lettered(world.options(family, np.random.default_rng(number)))
        questions.append({"video": str(folder / f"{video}.mp4"), "text": "\n".join([text, "Options:", *options])})
    job = {"rows": ROWS, "max_tokens": setting.max_tokens, "pixels": setting.side**2, "questions": questions}
    (folder / "job.json").write_text(json.dumps(job), encoding="utf-8")


def measure(command: Sequence[str], folder: Path) -> Result:
    """Answer the folder's questions."""
    one_thread = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run([*command, folder], cwd=HERE, env=one_thread, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{' '.join(command)}: {done.stderr.strip()[-2000:]}")
    return json.loads(done.stdout)


def report(setting: Setting, a_video: int, folder: Path, rounds: Sequence[dict[str, Result]]) -> bool:
    """Print a line a way; whether all answered alike."""
    cpu, models = (
        {way: median(one[way]["cpu"] - without * (one[way]["decoding"] or 0) for one in rounds) for way in rounds[0]}
        for without in (0, 1)
    )
    wrong = 0
    for way, result in rounds[0].items():
        line = f"{setting.model:6}{a_video:>9}  {way:10}{cpu[way]:>8.2f}{cpu[way] / cpu['ours']:>8.2f}x"
        known = result["decoding"] is not None
        line += f"{models[way]:>9.2f}{models[way] / models['ours']:>8.2f}x" if known else f"{'':18}"
        wall = median(one[way]["wall"] for one in rounds)
        before, peak = (median(one[way][key] for one in rounds) / 2**20 for key in ("before", "peak"))
        other = differences(folder, [one[way]["answers"] for one in rounds], rounds[0]["ours"]["answers"])
        wrong += sum(gap > TIE for gap in other)
        gaps = ", ".join(f"{gap:.0e}" for gap in other)
        alike = f"{setting.questions - len(other)} of {setting.questions}" + (f" (the other by {gaps})" if gaps else "")
        print(f"{line}{wall:>8.1f}{before:>8.0f}{peak:>8.0f}  {alike}", flush=True)
    return not wrong


def differences(folder: Path, rounds: Sequence[Sequence[str]], ours: Sequence[str]) -> list[float]:
    """A number for every answer that is not ours in some round, see `undecided`."""
    questions = json.loads((folder / "job.json").read_text(encoding="utf-8"))["questions"]
    found = []
    for number, (one, wanted) in enumerate(zip(questions, ours, strict=True)):
        if others := {answers[number] for answers in rounds} - {wanted}:
            found.append(max(undecided(folder, one, (wanted, other)) for other in others))
    return found


def main() -> None:
    """Print one table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("python", nargs="?", type=Path, help="of the environment with lmms-eval")
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    ways = {
        way: [sys.executable, "-c", "import evaluation_ways; evaluation_ways.main()", way] for way in ("ours", "plain")
    }
    if args.python:
        ways["lmms-eval"] = [str(args.python), str(HERE / "lmms_eval_answers.py")]
    print(
        f"{'model':6}{'a video':>9}  {'':10}{'CPU s':>8}{'':9}{'models':>9}{'':9}{'wall s':>8}{'MiB':>8}{'peak':>8}"
        "  answers as ours"
    )
    alike = True
    for setting in SETTINGS:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            prepare(folder, setting)
            for a_video in A_VIDEO:
                ask(folder, setting, a_video)
                rounds = [{way: measure(command, folder) for way, command in ways.items()} for _ in range(args.rounds)]
                alike &= report(setting, a_video, folder, rounds)
    sys.exit(not alike)


if __name__ == "__main__":
    main()
