"""Steps of the demo's own training: TRL's flow with the video made to work against ours.

Usage: python scripts/demo_step_speed.py FOLDER [CELL ...] [--steps 12] [--rounds 3]

FOLDER is a clone in which the demo has run: its policy, questions, scores and videos are read, and nothing is written
there. Every flow (scripts/stock_flow.py) trains the first steps of a cell (default: grpo st-grpo), in turn, in one
thread. Printed are medians of CPU milliseconds over all steps but a training's first. Frames are decoded by a process
of their own, whose time is not in them; a thread makes the next step's variants, and its time is in whatever phase it
falls. The flows sample alike, so answers should be the same, and losses to float order.
"""

import argparse
import os
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from statistics import median
from typing import Any

import pandas as pd
import torch
from step_meter import PHASES, Meter
from stock_flow import FLOWS, load, make_trainer
from transformers.utils import logging

from stgrpo.files import read_json, read_records
from stgrpo.loading import read_experiment
from stgrpo.records import Question
from stgrpo.rl.rollouts import Rollouts
from stgrpo.specs import TrainSpec
from stgrpo.video import FrameReader

_TOLERANCE = 1e-5  # of a loss


def main() -> None:
    """Print one table a cell."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="a clone with results/demo")
    parser.add_argument("cells", nargs="*", default=["grpo", "st-grpo"])
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    torch.set_num_threads(1)
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    os.chdir(args.folder)  # questions name their videos from there
    rows = read_experiment("demo").active.micro_rows
    for cell in args.cells:
        made = read_json(Path(f"results/demo/cells/{cell}/seed0/train.json"))
        spec = TrainSpec.model_validate(made["spec"]).model_copy(update={"steps": args.steps})
        rounds = [{flow: train(flow, spec, rows) for flow in FLOWS} for _ in range(args.rounds)]
        print(f"\n{cell}: {spec.training.answers_per_step} answers a step, {rows} in one pass")
        _report(rounds)


def train(flow: str, spec: TrainSpec, rows: int) -> Meter:
    """The first steps of a cell."""
    demo = Path("results/demo")
    questions = {q.id: q for q in read_records(demo / "questions" / "train.jsonl", Question)}
    table = pd.read_parquet(demo / "scores" / "train.parquet")
    scores: dict[str, Any] = dict(zip(table["question"], table["scores"], strict=True)) if spec.scores else {}
    with FrameReader() as reader, tempfile.TemporaryDirectory() as output:
        policy = load(flow, demo / "policy")
        with closing(Rollouts(spec, policy, questions, scores, reader)) as rollouts:
            trainer = make_trainer(flow, spec, policy, rollouts, Path(output), rows)
            meter = Meter(trainer)
            trainer.train()
    return meter


def _report(rounds: Sequence[Mapping[str, Meter]]) -> None:
    def middle(flow: str, phase: str) -> float:
        return 1000 * median(step[phase] for meters in rounds for step in meters[flow].steps[1:])

    print(f"{'ms of CPU':14}" + "".join(f"{flow:>8}" for flow in FLOWS) + "  stock/ours  plain/ours")
    for phase in (*PHASES, "whole"):
        stock, plain, ours = times = [middle(flow, phase) for flow in FLOWS]
        print(f"{phase:14}" + "".join(f"{t:8.1f}" for t in times) + f"{stock / ours:11.2f}x{plain / ours:11.2f}x")
    stock = rounds[0]["stock"]
    for flow in FLOWS[1:]:
        ours = rounds[0][flow]
        same = sum(a == b for a, b in zip(stock.answers, ours.answers, strict=True))
        largest = max(abs(a - b) for a, b in zip(stock.losses, ours.losses, strict=True))
        print(
            f"{flow} against stock: answers the same in {same} of {len(stock.answers)} steps, "
            f"losses of {min(stock.losses):.2g} to {max(stock.losses):.2g} within {largest:.1e}"
        )
        if largest > _TOLERANCE:
            raise SystemExit(f"{flow}: losses differ by {largest:.1e}, more than {_TOLERANCE:.0e}")


if __name__ == "__main__":
    main()
