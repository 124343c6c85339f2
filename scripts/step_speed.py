"""A training step by phase: TRL's flow with the video made to work against ours, on a model of 13 M parameters.

Usage: python scripts/step_speed.py [--groups 2x4 1x8 4x2] [--prompt 221] [--answer 48] [--rounds 5]

One question, M x G rows in one pass, every answer of full length, the same tokens in all flows; one process and one
thread, the flows in turn, medians of CPU seconds. `stock` is scripts/stock_flow.py; `plain` and `prefix` are ours, by
what its passes share. Of two steps the second is measured; answers, log-probabilities and gradients of the first are
compared. Peak memory is that of both steps in a process of their own.

The bound is the stock flow's time for what must be computed once. Its passes are cut into the vision tower and the
rest. Of the tower's time the share M / (M G) is needed, since M clips are distinct; of the rest, the share of products
that are left when everything shared is computed once (scripts/products.py). Tokens one by one, sampling, the optimizer
and what is none of these are needed as they are. Where our tower is quicker than stock's, its time stands in the bound.
"""

import argparse
import tempfile
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from math import isqrt
from multiprocessing import get_context
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from products import Shown, once, row_by_row
from random_policy import make_weights
from step_meter import PHASES, Meter, peak_memory
from stock_flow import FLOWS, load, make_trainer
from transformers.utils import logging

from stgrpo.planning.dimensions import Dimensions
from stgrpo.policy.clips import make_clip
from stgrpo.policy.model import Policy
from stgrpo.policy.sampling import key
from stgrpo.records import Question
from stgrpo.rl.rewards import COMPONENTS
from stgrpo.rl.rollouts import Row
from stgrpo.rules import Training
from stgrpo.specs import TrainSpec
from stgrpo.variants.draw import Variant

FRAMES = 16
_LIMITS = {"log-probabilities": 1e-4, "gradients": 1e-5}


@dataclass(frozen=True)
class Setting:
    """Sizes of a step: M variants, G answers each, tokens of a prompt and of an answer."""

    variants: int
    generations: int
    prompt: int
    answer: int

    @property
    def rows(self) -> int:
        """M * G."""
        return self.variants * self.generations

    def spec(self) -> TrainSpec:
        """Two steps of GRPO: one in which memory is asked of the system first, and one to be measured."""
        training = Training(answers_per_step=self.rows, max_tokens=self.answer, precision="fp32", learning_rate=1e-4)
        return TrainSpec(
            policy="random",
            questions="one",
            prompt="",
            seed=0,
            algorithm="grpo",
            grouping="none",
            variants=self.variants,
            generations=self.generations,
            steps=2,
            training=training,
        )

    def needed(self, model: Dimensions, phase: str) -> float:
        """Share of the language model's products in a pass of the stock flow that must be computed."""
        clips = [object() for _ in range(self.variants)]
        rows = [Shown(clip, self.prompt, 0) for clip in clips for _ in range(self.generations)]
        answer = 0 if phase == "prefill" else self.answer
        return once(rows, answer).language(model) / row_by_row(rows, answer).language(model)


class FixedRows:
    """Lays out the same rows at every step: one question, a clip of noise a variant; stands for `Rollouts`."""

    def __init__(self, setting: Setting, policy: Policy) -> None:
        self.setting, self.scores = setting, {}
        self.questions = {"q": Question("q", "", "", (), "free-form", "", "step_speed")}
        self.order = ["q"] * setting.spec().steps
        cells = (setting.prompt - 12) // (FRAMES // 2)  # of a pair of frames; each is a token, and some text is left
        high = isqrt(cells)
        shape = (FRAMES, 28 * high, 28 * (cells // high), 3)
        rng = np.random.default_rng(0)
        clips = [make_clip(rng.integers(0, 256, shape, np.uint8)) for _ in range(setting.variants)]
        words = setting.prompt - len(policy.prompt_ids("", clips[0]))
        self.shown = [(clip, policy.prompt_ids("count " * words, clip)) for clip in clips]

    def rows(self, ids: Sequence[str], step: int, first: int) -> list[Row]:
        """See `Rollouts.rows`."""
        variant = Variant(tuple(range(FRAMES)), None)
        rows = []
        for position in range(len(ids)):
            number, answer = divmod(position, self.setting.generations)
            clip, prompt = self.shown[number]
            row_key = key("answer", number, answer)
            rows.append(Row(self.questions["q"], number, answer, variant, clip, prompt, clip, prompt, row_key))
        return rows


def steps(flow: str, setting: Setting, weights: Path, keep_gradients: bool = False) -> Meter:
    """Train from the same weights."""
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    # Random weights earn nothing, and without rewards every gradient would be zero: the same words earn the same.
    COMPONENTS["format"] = lambda question, text: float(key(text) % 2)
    policy = load(flow, weights)
    policy.tokenizer.eos_token = "<|image_pad|>"  # no answer may hold it, so all are of full length
    rollouts: Any = FixedRows(setting, policy)
    with tempfile.TemporaryDirectory() as output:
        trainer = make_trainer(flow, setting.spec(), policy, rollouts, Path(output), setting.rows)
        meter = Meter(trainer, keep_gradients)
        trainer.train()
    return meter


def peaks(flow: str, setting: Setting, weights: Path) -> tuple[int, int]:
    """Bytes of a process: as it begins, and at most while it loads the policy and trains."""
    torch.set_num_threads(1)
    before = peak_memory()
    steps(flow, setting, weights)
    return before, peak_memory()


def main() -> None:
    """Print one table a group."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--groups", nargs="+", default=["2x4", "1x8", "4x2"], metavar="MxG")
    parser.add_argument("--prompt", type=int, default=221, help="tokens")
    parser.add_argument("--answer", type=int, default=48, help="tokens")
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        weights = Path(folder) / "policy"
        count = make_weights("13m", weights, torch.float32, spread=0.08)
        print(f"{count / 1e6:.1f} million parameters, prompts of {args.prompt} tokens, answers of {args.answer}")
        for group in args.groups:
            variants, generations = map(int, group.split("x"))
            setting = Setting(variants, generations, args.prompt, args.answer)
            rounds = [
                {flow: steps(flow, setting, weights, number == 0) for flow in FLOWS} for number in range(args.rounds)
            ]
            print(f"\nM = {variants}, G = {generations}")
            _report(setting, Dimensions.read(weights / "config.json"), rounds)
            _memory(setting, weights)
            _compare(rounds[0])


def _report(setting: Setting, model: Dimensions, rounds: Sequence[dict[str, Meter]]) -> None:
    """Milliseconds by phase."""

    def middle(flow: str, phase: str) -> float:
        return 1000 * median(meters[flow].steps[-1][phase] for meters in rounds)

    def tower(flow: str, phase: str) -> float:
        return 1000 * median(meters[flow].tower[-1][phase] for meters in rounds)

    def bound(phase: str) -> float:
        if phase not in ("prefill", "reference", "training"):
            return middle("stock", phase)
        encoded = min(tower("stock", phase) * setting.variants / setting.rows, tower("prefix", phase))
        return encoded + (middle("stock", phase) - tower("stock", phase)) * setting.needed(model, phase)

    print(f"{'ms of CPU':14}{'bound':>8}" + "".join(f"{flow:>8}" for flow in FLOWS) + "  stock/ours  bound/ours")
    bounds = {phase: bound(phase) for phase in PHASES}
    bounds["whole"] = sum(bounds.values())
    for phase, least in bounds.items():
        stock, *_, ours = times = [middle(flow, phase) for flow in FLOWS]
        ratios = f"{stock / ours:11.2f}x{least / ours:12.0%}" if ours > 1 else ""
        print(f"{phase:14}{least:8.0f}" + "".join(f"{t:8.0f}" for t in times) + ratios)
        if any(tower(flow, phase) for flow in FLOWS):
            print(f"{'  its tower':14}{'':8}" + "".join(f"{tower(flow, phase):8.0f}" for flow in FLOWS))


def _memory(setting: Setting, weights: Path) -> None:
    found = []
    for flow in FLOWS:
        with ProcessPoolExecutor(1, get_context("spawn")) as pool:
            found.append(pool.submit(peaks, flow, setting, weights).result())
    mib = [f"{(peak - before) / 2**20:8.0f}" for before, peak in found]
    print(
        f"{'peak MiB':22}" + "".join(mib) + f"  beside {median(before for before, _ in found) / 2**20:.0f} of programs"
    )


def _compare(meters: dict[str, Meter]) -> None:
    """Print how far each flow is from the stock one, and insist on the limits.

    Raises:
        SystemExit: other answers, or a difference above its limit.
    """
    stock = meters["stock"]
    largest = max(float(g.abs().max()) for g in stock.gradients.values())
    for flow in FLOWS[1:]:
        ours = meters[flow]
        if ours.answers[0] != stock.answers[0]:
            raise SystemExit(f"{flow}: other answers than the stock flow's")
        found = {
            "log-probabilities": float((ours.log_probs[0] - stock.log_probs[0]).abs().max()),
            "gradients": max(float((ours.gradients[n] - g).abs().max()) for n, g in stock.gradients.items()) / largest,
        }
        print(f"{flow} against stock, largest difference: " + ", ".join(f"{n} {d:.1e}" for n, d in found.items()))
        for name, difference in found.items():
            if difference > _LIMITS[name]:
                raise SystemExit(f"{flow}: {name} differ by {difference:.1e}, more than {_LIMITS[name]:.0e}")


if __name__ == "__main__":
    main()
