"""Scoring of 1, 3 and 8 questions a video: once per question, ours, and the bare vision tower.

Usage: python scripts/scoring_speed.py [ROUNDS]

Once per question: every question decodes its video, embeds its frames and is embedded itself, through the model's own
classes. Bare tower: the tower and the projector on ready pixels of the same frames, in the best of several batch sizes.
Two scorers: the demo's, and a SigLIP of 6 layers x 384 on 196 cells with random weights, whose tower costs more than
all else, as a released one's does. Every run is a process of its own with one thread, which loads the model before it
is measured; the runs take turns, and the table shows medians of CPU seconds, and of peak memory in MB, of the process
and of its decoder. A decoder's start, once a job, is a row of its own and left out of the factors.
"""

import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from peak_memory import Peak

from stgrpo.demo import mp4, world
from stgrpo.demo.scorer import make_scorer
from stgrpo.importance.scorer import Scorer, load_scorer, score_videos
from stgrpo.importance.scoring import batches, score_batches
from stgrpo.records import Question
from stgrpo.rules import FrameRule
from stgrpo.video import _decode, read_ahead

SCORERS = {  # videos, their height and width, the frames that are taken, what is larger than the demo's
    "demo": (64, (56, 56), FrameRule(min_pixels=56 * 56, max_pixels=56 * 56), {}),
    "6 x 384": (
        4,
        (240, 320),
        FrameRule(),
        {"hidden_size": 384, "intermediate_size": 1536, "num_hidden_layers": 6, "num_attention_heads": 6},
    ),
}
ASKED = (1, 3, 8)
TEXTS = [
    f"{world.question_text(family, shape)} {k}" for k in range(2) for family in world.FAMILIES for shape in world.SHAPES
]


def per_question(scorer: Scorer, questions: list[Question], rule: FrameRule) -> None:
    """As a reader of the paper would write it."""
    core = scorer.model.model
    for question in questions:
        frames = _decode(question.video, rule)
        hidden = core.vision_tower(scorer.pictures(frames), output_hidden_states=True).hidden_states
        seen = core.multi_modal_projector(hidden[scorer.model.config.vision_feature_layer]).mean(1)  # (T, D)
        ids = scorer.tokenizer(question.text, return_tensors="pt")["input_ids"]
        torch.cosine_similarity(seen, core.get_input_embeddings()(ids)[0].mean(0)[None]).tolist()


def ours(scorer: Scorer, questions: list[Question], rule: FrameRule) -> None:
    """As the verb does it."""
    for _ in score_batches(scorer, batches(questions, rule), rule, 1):
        pass


def start(scorer: Scorer, questions: list[Question], rule: FrameRule) -> None:
    """One video by a fresh decoder."""
    list(read_ahead([questions[0].video], rule, 1))


def tower(scorer: Scorer, questions: list[Question], rule: FrameRule) -> float:
    """CPU seconds for the frames of all videos in the best batch size."""
    core = scorer.model.model
    pictures = torch.cat([scorer.pictures(_decode(q.video, rule)) for q in questions])
    found = []
    for size in (4, 8, 16, 32, 64):
        begun = time.process_time()
        for part in pictures.split(size):
            core.multi_modal_projector(core.vision_tower(part).last_hidden_state)
        found.append(time.process_time() - begun)
    return min(found)


RUNS: dict[str, Callable[[Scorer, list[Question], FrameRule], float | None]] = {
    "once per question": per_question,
    "ours": ours,
    "bare tower": tower,
    "decoder's start": start,
}


def measured(folder: Path, name: str, run: str, asked: int) -> dict[str, float]:
    """One run in this process: seconds of its own, of its children, on the clock, and peak memory in MB of both."""
    torch.set_num_threads(1)
    scorer = load_scorer(folder / "scorer")
    videos = sorted(folder.glob("*.mp4"))
    questions = [
        Question(f"{video.stem}-{k}", str(video), TEXTS[k], (), "free-form", "", "")
        for video in videos
        for k in range(asked)
    ]
    with torch.no_grad():
        score_videos(scorer, [np.zeros((2, 28, 28, 3), np.uint8)], [TEXTS])  # what happens once, happens before
        peak = Peak()
        clock, begun = time.perf_counter(), time.process_time()
        best = RUNS[run](scorer, questions, SCORERS[name][2])
        own, clock = time.process_time() - begun, time.perf_counter() - clock
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return {
        "own": best or own,
        "children": children.ru_utime + children.ru_stime,
        "clock": clock,
        "peak": peak.own(),
        "child peak": peak.largest_child,
    }


def apart(folder: Path, name: str, run: str, asked: int) -> dict[str, float]:
    """The same in a process of its own; by -c, for a decoder would read a script's file, and all that it imports."""
    code = f"import json; from scoring_speed import *; print(json.dumps(measured(Path({str(folder)!r}), {name!r}, "
    words = [sys.executable, "-c", f"{code}{run!r}, {asked})))"]
    said = subprocess.run(words, check=True, capture_output=True, text=True, cwd=Path(__file__).parent).stdout
    return json.loads(said.splitlines()[-1])


def make(folder: Path, name: str) -> None:
    """Videos of 8 s at 30 a second, and the scorer."""
    count, (height, width), _, larger = SCORERS[name]
    torch.manual_seed(0)
    scorer = make_scorer(0) if not larger else _larger(larger)
    scorer.model.save_pretrained(folder / "scorer")
    scorer.tokenizer.save_pretrained(folder / "scorer")
    y, x = np.mgrid[:height, :width]
    for k in range(count):
        frames = np.stack([np.stack([x + 3 * t, y + k * t, x + y], -1).astype(np.uint8) for t in range(240)])
        mp4.write(folder / f"{k:02}.mp4", frames, 30)


def _larger(vision: dict[str, int]) -> Scorer:
    """The demo's classes and tokenizer with a larger tower, on pictures of 196 x 196 pixels."""
    small = make_scorer(0, side=196)
    config = small.model.config
    for key, value in vision.items():
        setattr(config.vision_config, key, value)
    return Scorer(type(small.model)(config), small.tokenizer)


def main() -> None:
    """Print the table."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 3
    columns = f"{'CPU s':>7} {'child':>6} {'clock':>6} {'MB':>5} {'child':>5}"
    print(f"{'scorer':8} {'asked':>5} {'run':17} {columns}")
    for name in SCORERS:
        with tempfile.TemporaryDirectory() as folder:
            make(Path(folder), name)
            rows = [(run, asked) for asked in ASKED for run in ("once per question", "ours")]
            rows += [("bare tower", 1), ("decoder's start", 1)]
            found: dict[tuple[str, int], list[dict[str, float]]] = {row: [] for row in rows}
            for _ in range(rounds):
                for row in rows:
                    found[row].append(apart(Path(folder), name, *row))
        show(name, {row: {k: statistics.median(r[k] for r in runs) for k in runs[0]} for row, runs in found.items()})


def show(name: str, found: dict[tuple[str, int], dict[str, float]]) -> None:
    """One scorer's rows; the factors leave a decoder's start out."""
    once, bare = found["decoder's start", 1]["children"], found["bare tower", 1]["own"]
    for (run, asked), row in found.items():
        says = ""
        if run == "ours":
            total = row["own"] + row["children"] - once
            factor = found["once per question", asked]["own"] / total
            says = f"{factor:.2f}x, {factor / asked:.2f} of {asked}x; {bare / row['own']:.0%} of the tower's frames/s"
        numbers = f"{row['own']:7.2f} {row['children']:6.2f} {row['clock']:6.1f} {row['peak']:5.0f}"
        print(f"{name:8} {asked:5} {run:17} {numbers} {row['child peak']:5.0f}  {says}")


if __name__ == "__main__":
    main()
