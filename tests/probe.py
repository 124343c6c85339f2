"""Run as a program: a verb, or one training step over several ranks, with a reward in which random answers differ."""

import json
import os
import signal
import sys
import time
from pathlib import Path

from stgrpo.errors import UserError
from stgrpo.records import Question
from stgrpo.rl.rewards import COMPONENTS


def probe(question: Question, text: str) -> float:
    """A random policy's answers differ in it, so that advantages are not all zero."""
    return len(text) % 7 / 7


def disturbed(question: Question, text: str) -> float:
    """`probe`, unless the environment wants something to happen.

    PROBE_HOLD names a file: once it is there, nobody goes on. PROBE_FAIL is what happens to rank 1, or to the only one.
    (PROBE_AUTOCAST is for `show_autocast_to_deepspeed`.)
    """
    if Path(os.environ.get("PROBE_HOLD", "/none")).exists():
        time.sleep(600)
    if os.environ.get("RANK", "1") == "1" and (fate := os.environ.get("PROBE_FAIL")):
        if fate == "killed":
            os.kill(os.getpid(), signal.SIGKILL)
        raise {"mendable": UserError, "bug": ValueError}[fate](f"this is {fate}")
    return probe(question, text)


def one_step(job: Path) -> None:
    """Replay recorded completions; rank 0 writes loss and gradient of one optimizer step."""
    import torch
    from transformers import TrainerCallback

    from stgrpo.files import read_records
    from stgrpo.policy.model import load_policy
    from stgrpo.rl.rollouts import Rollouts
    from stgrpo.rl.trainer import STGRPOTrainer, trainer_config
    from stgrpo.specs import TrainSpec
    from stgrpo.video import FrameReader

    given = json.loads(job.read_text())
    torch.set_num_threads(1)
    spec = TrainSpec.parse(given["spec"])
    questions = {q.id: q for q in read_records(given["questions"], Question)}
    kept = {}

    class Keep(TrainerCallback):
        def on_pre_optimizer_step(self, args, state, control, model=None, **_):
            kept.update({name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None})

    class Replayed(STGRPOTrainer):
        def answer(self, rows):
            return [given["completions"][str(row.key)] for row in rows]

    with FrameReader() as reader:
        policy = load_policy(given["policy"])
        rollouts = Rollouts(spec, policy, questions, given["scores"], reader)
        config = trainer_config(spec, Path(given["out"]), given["micro_rows"], 100, given["ranks"])
        trainer = Replayed(spec, policy, rollouts, config)
        trainer.add_callback(Keep())
        generator = torch.Generator().manual_seed(0)
        with torch.no_grad():  # off the reference, or the KL and the loss would be zero
            for weight in trainer.model.parameters():
                weight += 0.02 * torch.randn(weight.shape, generator=generator)
        trainer.train()
    if trainer.accelerator.is_main_process:
        gradient = {name.removeprefix("module."): value for name, value in kept.items()}
        torch.save({"loss": trainer.state.log_history[0]["loss"], "gradient": gradient}, given["result"])


def show_autocast_to_deepspeed() -> None:
    """On a CPU let DeepSpeed see what it sees on a GPU.

    It asks torch about autocast without naming the device, and torch then answers for CUDA.
    """
    import torch

    asked = torch.is_autocast_enabled
    torch.is_autocast_enabled = lambda device="cpu": asked(device)


if __name__ in ("__main__", "__mp_main__"):  # or a rank that the program started
    COMPONENTS["accuracy"] = disturbed
    if os.environ.get("PROBE_AUTOCAST"):
        show_autocast_to_deepspeed()

if __name__ == "__main__":
    if sys.argv[1] == "one-step":
        one_step(Path(sys.argv[2]))
    else:
        from stgrpo.__main__ import main

        sys.exit(main(sys.argv[1:]))
