"""Real steps at the dimensions of Qwen2.5-VL, random weights, one GPU: seconds by phase, and memory beside its plan.

Usage: python scripts/paper_step.py 3b [CELL ...] [--flows ours stock] [--steps 2] [--micro-rows 4] [--max-tokens 768]
       [--work FOLDER]

Every cell (default: grpo st-grpo) is trained at scale paper's own values: 4 questions x 8 answers a step on real mp4
files, 16 frames of 420 x 224, float32 weights, products in bf16, gradient checkpointing, and a reference model. Random
weights never end an answer, so all of them have `--max-tokens` tokens: the most that a step can cost. They earn nothing
either, so the format's reward is drawn by lot: without it every gradient would be zero. No checkpoint is written.
`--flows stock` trains by TRL's flow with the video made to work (scripts/stock_flow.py) instead; with both, one after
the other. Utilisation is of the training pass: multiplications and additions of the tokens that the flow goes over, one
forward and one backward pass, whatever checkpointing repeats, by the device's peak.
The plan is that of `stgrpo plan` (stgrpo/planning/memory.py) for these prompts, without its allowance for what is not
a tensor, and for our flow. Without a GPU the size `tiny` shows that the script works.
"""

import argparse
import json
import shutil
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from products import Shown, once, row_by_row
from random_policy import SIZES, make_weights
from stock_flow import StockTrainer, flow_of_train

from stgrpo.demo import world
from stgrpo.loading import read_experiment
from stgrpo.planning.dimensions import Dimensions
from stgrpo.planning.memory import Engine, Load, Memory, plan_training
from stgrpo.prompts import LETTERS, lettered
from stgrpo.records import Question
from stgrpo.rl.rewards import COMPONENTS
from stgrpo.rl.rollouts import Rollouts
from stgrpo.rl.train import Runtime, train
from stgrpo.rl.trainer import STGRPOTrainer
from stgrpo.specs import TrainSpec, train_spec

WIDE, HIGH = 640, 360  # pixels of a video
_PEAK = {"H100": 989e12, "H200": 989e12, "A100": 312e12}  # dense bf16 operations a second, by a part of the name


class Meter:
    """Seconds and peak memory of phases that do not overlap, and the largest batch that was laid out."""

    def __init__(self) -> None:
        self.seconds: dict[str, list[float]] = defaultdict(list)
        self.peak: dict[str, int] = defaultdict(int)
        self.prompt = self.patches = self.clips = self.trained = 0
        self.shown: list[list[Shown]] = []  # the rows of every step

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Measure what happens in it."""
        _wait()
        if torch.cuda.is_available():
            torch.cuda.reset_peak_memory_stats()
        start = time.perf_counter()
        yield
        _wait()
        self.seconds[name].append(time.perf_counter() - start)
        if torch.cuda.is_available():
            self.peak[name] = max(self.peak[name], torch.cuda.max_memory_allocated())

    def measured(self, owner: Any, method: str, name: Callable[[], str]) -> None:
        """Have every call of a method measured."""
        original = getattr(owner, method)

        @wraps(original)
        def timed(*args: Any, **kwargs: Any) -> Any:
            with self.phase(name()):
                result = original(*args, **kwargs)
            if owner is Rollouts:
                self._look(result)
            if owner is torch.optim.AdamW:
                self.trained = sum(p.numel() for group in args[0].param_groups for p in group["params"])
            return result

        setattr(owner, method, timed)

    def _look(self, rows: list[Any]) -> None:
        self.prompt = max(self.prompt, *(len(row.prompt) for row in rows))
        self.patches = max(self.patches, *(len(row.clip.pixels) for row in rows))
        self.clips = max(self.clips, len({id(row.clip) for row in rows}))
        self.shown.append([Shown(row.clip, len(row.prompt), len(row.clip.pixels)) for row in rows])

    def plan(self, model: Dimensions, spec: TrainSpec, micro_rows: int) -> Memory:
        """What the arithmetic says of these batches."""
        training = spec.training
        load = Load(training.answers_per_step, self.prompt, training.max_tokens, self.clips, self.patches)
        adapters = self.trained if spec.lora else None
        return plan_training(model, load, Engine(1, "ddp", micro_rows, reference=not spec.lora, trained=adapters))


def main() -> None:
    """Make weights and videos, train a few steps of each cell, print a table a cell."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("size", choices=SIZES)
    parser.add_argument("cells", nargs="*", default=["grpo", "st-grpo"])
    parser.add_argument("--flows", nargs="+", choices=("ours", "stock"), default=["ours"])
    parser.add_argument("--steps", type=int, default=2)
    parser.add_argument("--micro-rows", type=int, default=4)
    parser.add_argument("--max-tokens", type=int, default=768)
    parser.add_argument("--videos", type=Path, help="folder of mp4 files; without one they are rendered")
    parser.add_argument("--work", type=Path, help="folder for the weights; without one a temporary one")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=args.work) as folder:
        work = Path(folder)
        videos = sorted(args.videos.glob("*.mp4")) if args.videos else list(_render(work))
        print(f"{args.size}: {make_weights(args.size, work / 'policy') / 1e9:.3f} billion parameters", flush=True)
        for cell in args.cells:
            spec = train_spec(read_experiment("paper"), cell, 0)
            training = spec.training.model_copy(update={"max_tokens": args.max_tokens})
            spec = spec.model_copy(update={"steps": args.steps, "training": training})
            model = Dimensions.read(work / "policy" / "config.json")
            for flow in args.flows:
                meter, rows = _train(flow, spec, args.micro_rows, work, videos)
                _report(f"{cell}, {flow}", spec, args.micro_rows, meter, meter.plan(model, spec, args.micro_rows), rows)
                _speed(flow, spec, args.micro_rows, model, meter)


def _train(
    flow: str, spec: TrainSpec, micro_rows: int, work: Path, videos: list[Path]
) -> tuple[Meter, list[dict[str, Any]]]:
    """The measurements and the lines of metrics."""
    meter = Meter()
    kind: Any = STGRPOTrainer if flow == "ours" else StockTrainer
    phases = {
        (Rollouts, "rows"): lambda: "frames, variants, prompts",
        (kind, "answer"): lambda: "answers",
        (kind, "_get_per_token_logps_and_entropies"): lambda: "forward" if torch.is_grad_enabled() else "reference",
        (Accelerator, "backward"): lambda: "backward",
        (torch.optim.AdamW, "step"): lambda: "optimizer",
    }
    unmeasured = {(owner, method): getattr(owner, method) for owner, method in phases}
    unmeasured[STGRPOTrainer, "_save_checkpoint"] = STGRPOTrainer._save_checkpoint
    for (owner, method), name in phases.items():
        meter.measured(owner, method, name)
    setattr(STGRPOTrainer, "_save_checkpoint", lambda *_: None)  # noqa: B010
    lot = np.random.default_rng(0)
    COMPONENTS["format"] = lambda question, text: float(lot.integers(2))
    questions = list(_questions(videos, spec.steps * spec.questions_per_step))
    scores = {q.id: np.random.default_rng(i).random(16).tolist() for i, q in enumerate(questions)}
    state = work / "state"
    state.mkdir()
    try:
        with flow_of_train(flow):
            train(spec, Runtime(micro_rows, spec.steps), work / "policy", questions, scores, state)
    finally:
        for (owner, method), original in unmeasured.items():
            setattr(owner, method, original)
    rows = [json.loads(line) for line in (state / "train.jsonl").read_text(encoding="utf-8").splitlines()]
    shutil.rmtree(state)
    return meter, rows


def _report(
    cell: str, spec: TrainSpec, micro_rows: int, meter: Meter, plan: Memory, rows: list[dict[str, Any]]
) -> None:
    where = torch.cuda.get_device_name() if torch.cuda.is_available() else "CPU"
    size = f"{spec.training.answers_per_step} answers a step, {micro_rows} in one pass"
    print(f"\n{cell}: {size}; torch {torch.__version__}, {where}")
    sizes = f"prompts of up to {meter.prompt} tokens, {meter.clips} clips of up to {meter.patches} patches"
    print(f"{sizes}, answers of up to {spec.training.max_tokens}")
    print(f"{'phase':26} {'s a step, by step':24} {'peak GiB':>9} {'planned':>8}")
    for name, seconds in meter.seconds.items():
        calls = len(seconds) // spec.steps
        by_step = [sum(seconds[i * calls : (i + 1) * calls]) for i in range(spec.steps)]
        parts = plan.phases.get(name)
        planned = f"{(sum(parts.values()) - parts['allowance']) / 2**30:8.1f}" if parts else ""
        print(f"{name:26} {'  '.join(f'{s:.2f}' for s in by_step):24} {meter.peak[name] / 2**30:9.1f} {planned}")
    for row in rows:
        kept = ("loss", "grad_norm", "kl", "answer_tokens", "variant_frames", "seconds")
        print(f"step {row['step']}: " + ", ".join(f"{name} {row[name]:.4g}" for name in kept))
    if torch.cuda.is_available():
        reserved, whole = torch.cuda.max_memory_reserved() / 2**30, plan.peak / 2**30
        print(f"reserved at most {reserved:.1f} GiB, planned with the allowance {whole:.1f} GiB", flush=True)
        torch.cuda.empty_cache()


def _speed(flow: str, spec: TrainSpec, micro_rows: int, model: Dimensions, meter: Meter) -> None:
    """Tokens a second and utilisation, of the last step."""
    answer, rows = spec.training.max_tokens, meter.shown[-1]
    spent = {name: sum(seconds[-(len(seconds) // spec.steps) :]) for name, seconds in meter.seconds.items()}
    goes_over = once if flow == "ours" else row_by_row
    passes = [goes_over(rows[i : i + micro_rows], answer) for i in range(0, len(rows), micro_rows)]
    training = spent["forward"] + spent["backward"]
    operations = 6 * sum(work.language(model) + work.tower(model) for work in passes)
    print(
        f"last step: {len(rows) * answer / sum(spent.values()):.0f} tokens of answers a second, "
        f"{len(rows) * answer / spent['answers']:.0f} while they are sampled; the training pass goes over "
        f"{sum(work.tokens for work in passes)} tokens, {operations / training / 1e12:.3g} T operations a second",
        end="",
    )
    name = torch.cuda.get_device_name() if torch.cuda.is_available() else ""
    peak = next((peak for part, peak in _PEAK.items() if part in name), None)
    print(f", {operations / training / peak:.0%} of its peak" if peak else "", flush=True)


def _render(folder: Path) -> Iterator[Path]:
    """Eight videos of the rendered world, enlarged."""
    from stgrpo.demo import mp4

    for i in range(8):
        frames = world.scene(i, 7).frames
        enlarged = frames.repeat(-(-HIGH // world.SIZE), 1).repeat(-(-WIDE // world.SIZE), 2)[:, :HIGH, :WIDE]
        path = folder / f"{i}.mp4"
        mp4.write(path, np.concatenate([enlarged, enlarged[:2]]), world.FPS)
        yield path


def _questions(videos: list[Path], count: int) -> Iterator[Question]:
    for i in range(count):
        words = world.options("colour", np.random.default_rng(i))
        text = world.question_text("colour", world.SHAPES[i % len(world.SHAPES)])
        video = str(videos[i % len(videos)])
        yield Question(f"q{i}", video, text, tuple(lettered(words)), "multiple choice", LETTERS[i % 4], "paper_step")


def _wait() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()


if __name__ == "__main__":
    main()
