"""One way to answer the questions of a work folder, in a process of its own; `evaluation_speed.py` starts it.

Usage: python -c "import evaluation_ways; evaluation_ways.main()" ours|plain FOLDER; not as a script, for our decoder's
process begins with the imports of the script that started it. FOLDER holds the weights and tokenizer in `policy`, and

    job.json: {"rows": COUNT, "max_tokens": COUNT, "pixels": A FRAME'S, "questions": [ONE, ...]}
    ONE: {"text": TEXT, "video": PATH}

Printed is {"answers": [TEXT, ...], "cpu": SECONDS, "decoding": SECONDS OF THEM, "wall": SECONDS, "before": BYTES,
"peak": BYTES}, from the moment that the policy is loaded; bytes are the most that were in memory until then and at all.
"""

import contextlib
import json
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from multiprocessing import active_children
from pathlib import Path
from typing import Any

import decord
import numpy as np
import torch
from transformers import AutoTokenizer, Qwen2_5_VLForConditionalGeneration

from stgrpo.benchmarks.answering import answer_all
from stgrpo.policy.clips import Clip, make_clip
from stgrpo.policy.model import SECONDS_PER_GRID, Policy, load_policy, pad_left
from stgrpo.records import Question
from stgrpo.rules import FrameRule
from stgrpo.specs import EvalSpec
from stgrpo.video import FrameReader

Answer = Callable[[], tuple[list[str], float]]  # gives the answers, and CPU seconds of decoding


def ours(folder: Path, job: dict[str, Any]) -> Answer:
    """As `python -m stgrpo evaluate` does it."""
    policy, rule = load_policy(folder / "policy"), _rule(job)
    policy.model.eval()
    spec = EvalSpec(policy="random", prompt="{question}", max_tokens=job["max_tokens"], frames=rule, benchmarks={})
    asked = [
        ("some", Question(str(number), one["video"], one["text"], (), "free-form", "", "generated"))
        for number, one in enumerate(job["questions"])
    ]

    def answer() -> tuple[list[str], float]:
        with tempfile.TemporaryDirectory() as state:
            found = answer_all(spec, policy, asked, Path(state) / "history.jsonl", job["rows"], 1)
        return [prediction.text for prediction in found], _cpu(resource.RUSAGE_CHILDREN)

    return answer


def plain(folder: Path, job: dict[str, Any]) -> Answer:
    """transformers as it is: a row a question, each with its own video."""
    policy = _stock(folder, torch.float32)

    def answer() -> tuple[list[str], float]:
        texts, decoding = [], 0.0
        for first in range(0, len(job["questions"]), job["rows"]):
            batch = job["questions"][first : first + job["rows"]]
            start = time.process_time()
            videos = [_read(one["video"]) for one in batch]
            decoding += time.process_time() - start
            texts += _generate(policy, batch, [make_clip(frames) for frames in videos], job["max_tokens"])
        return texts, decoding

    return answer


def _stock(folder: Path, dtype: torch.dtype) -> Policy:
    kind: Any = Qwen2_5_VLForConditionalGeneration
    model = kind.from_pretrained(folder / "policy", dtype=dtype, attn_implementation="sdpa").eval()
    return Policy(model, AutoTokenizer.from_pretrained(folder / "policy"))


def _rule(job: dict[str, Any]) -> FrameRule:
    return FrameRule(min_pixels=job["pixels"], max_pixels=job["pixels"])


def _read(video: str) -> np.ndarray:
    reader = decord.VideoReader(video, num_threads=1)
    return reader.get_batch(list(range(len(reader)))).asnumpy()


def _generate(policy: Policy, batch: list[dict[str, str]], clips: list[Clip], max_tokens: int) -> list[str]:
    prompts = [policy.prompt_ids(one["text"], clip) for one, clip in zip(batch, clips, strict=True)]
    inputs = _inputs(policy, prompts, clips)
    pad = policy.tokenizer.pad_token_id
    tokens = policy.model.generate(**inputs, do_sample=False, max_new_tokens=max_tokens, pad_token_id=pad)
    return [policy.text(row) for row in tokens[:, inputs["input_ids"].shape[1] :].tolist()]


def _inputs(policy: Policy, prompts: list[list[int]], clips: list[Clip]) -> dict[str, torch.Tensor]:
    ids, mask = pad_left(prompts, policy.tokenizer.pad_token_id)
    return {
        "input_ids": ids,
        "attention_mask": mask,
        "mm_token_type_ids": 2 * (ids == policy.video_token).long(),
        "pixel_values_videos": torch.cat([clip.pixels for clip in clips]),
        "video_grid_thw": torch.stack([clip.grid for clip in clips]),
        "second_per_grid_ts": torch.full((len(clips),), SECONDS_PER_GRID),
    }


@torch.no_grad()
def undecided(folder: Path, one: dict[str, str], answers: Sequence[str]) -> float:
    """By how little transformers in float64 prefers one of two answers where they part, in units of the logits."""
    policy = _stock(folder, torch.float64)
    clip = make_clip(_read(one["video"]))
    end = policy.tokenizer.eos_token
    first, second = (policy.tokenizer(f"{answer} {end}")["input_ids"] for answer in answers)
    same = next(i for i, (a, b) in enumerate(zip(first, second, strict=False)) if a != b)
    inputs = _inputs(policy, [[*policy.prompt_ids(one["text"], clip), *first[:same]]], [clip])
    logits = policy.model(**inputs).logits[0, -1]
    return float(abs(logits[first[same]] - logits[second[same]]))


def peak(process: int | str | None = "self") -> int:
    """The most bytes that a process has had in memory; not `ru_maxrss`, which a child begins with its parent's."""
    lines = Path(f"/proc/{process}/status").read_text(encoding="ascii").splitlines()
    return next(1024 * int(line.split()[1]) for line in lines if line.startswith("VmHWM"))


def _decoder_peak(job: dict[str, Any]) -> int:
    """Of the process that decodes beside ours."""
    with FrameReader() as reader:
        reader.read(job["questions"][0]["video"], _rule(job))
        (child,) = active_children()
        return peak(child.pid)


def _cpu(whose: int) -> float:
    """CPU seconds, of children those that have ended."""
    used = resource.getrusage(whose)
    return used.ru_utime + used.ru_stime


def main() -> None:
    """Answer, and print what it took."""
    torch.set_num_threads(1)
    way, folder = sys.argv[1], Path(sys.argv[2])
    job = json.loads((folder / "job.json").read_text(encoding="utf-8"))
    answer = {"ours": ours, "plain": plain}[way](folder, job)
    before, start, began = peak(), _cpu(resource.RUSAGE_SELF), time.perf_counter()
    with contextlib.redirect_stdout(sys.stderr):  # progress
        answers, decoding = answer()
    cpu = _cpu(resource.RUSAGE_SELF) - start + _cpu(resource.RUSAGE_CHILDREN)
    took = {"cpu": cpu, "decoding": decoding, "wall": time.perf_counter() - began, "before": before, "peak": peak()}
    if way == "ours":
        took["peak"] += _decoder_peak(job)
    print(json.dumps({"answers": answers} | took))
