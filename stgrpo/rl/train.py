"""One training run from its spec: assemble, resume, train, and leave metrics and rollouts that grow in the state."""

import json
import math
import os
import time
import warnings
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from accelerate.utils import broadcast
from transformers import TrainerCallback

from stgrpo.errors import UserError
from stgrpo.files import line
from stgrpo.policy.model import load_policy
from stgrpo.progress import Progress
from stgrpo.records import Question
from stgrpo.rl.budget import Budget
from stgrpo.rl.checkpoints import GROUPS, METRICS, ROLLOUTS, checkpoint_of, keeps_rollouts, step_of, write_time
from stgrpo.rl.rollouts import Rollouts
from stgrpo.rl.trainer import STGRPOTrainer, trainer_config
from stgrpo.rules import Sharing
from stgrpo.specs import TrainSpec
from stgrpo.video import FrameReader

_COLUMNS = {  # TRL's names -> ours
    "loss": "loss",
    "grad_norm": "grad_norm",
    "reward": "reward",
    "rewards/accuracy/mean": "accuracy",
    "rewards/format/mean": "format",
    "group/reward_std": "reward_std",
    "group/between_variants": "between_variants",
    "group/within_variants": "within_variants",
    "group/flat_groups": "flat_groups",
    "variants/frames": "variant_frames",
    "variants/entropy": "weight_entropy",
    "kl": "kl",
    "entropy": "token_entropy",
    "completions/mean_length": "answer_tokens",
    "completions/clipped_ratio": "cut_answers",
    "step_time": "seconds",
}


@dataclass(frozen=True)
class Runtime:
    """What does not decide the weights."""

    micro_rows: int  # answers in one pass
    save_steps: int  # steps between two checkpoints
    sharing: Sharing = "prefix"
    deepspeed: Mapping[str, Any] | None = None
    budget: Budget | None = None  # None: there is no end to the time


def train(
    spec: TrainSpec,
    runtime: Runtime,
    policy_path: Path,
    questions: Sequence[Question],
    scores: Mapping[str, Sequence[float]],
    state: Path,
    checkpoint: Path | None = None,
) -> STGRPOTrainer:
    """Train from `checkpoint` to the last step, or as far as the budget goes; that leaves a checkpoint in `state`.

    This is what every rank does; how many there are is read from the environment, as torch's launchers set it.
    """
    world = int(os.environ.get("WORLD_SIZE", "1"))
    if runtime.deepspeed:
        _meet()
    # Before the weights are read: ZeRO-3 spreads them while they are read, and asks the configuration how.
    config = trainer_config(spec, state, runtime.micro_rows, runtime.save_steps, world, runtime.deepspeed)
    with FrameReader() as reader:
        policy = load_policy(policy_path)
        with closing(Rollouts(spec, policy, {q.id: q for q in questions}, scores, reader)) as rollouts:
            trainer = STGRPOTrainer(spec, policy, rollouts, config, runtime.sharing)
            if trainer.is_world_process_zero():
                trainer.add_callback(History(trainer, state, spec.steps, step_of(checkpoint)))
            if runtime.budget:
                trainer.add_callback(InTime(runtime.budget, state))
            trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    return trainer


def _meet() -> None:
    """Let DeepSpeed know of the ranks; on GPUs the trainer's configuration does it.

    On CPUs DeepSpeed would compile an operator for shared memory if this table held it: that takes a minute, needs a
    compiler, and, interrupted, leaves a lock that all later starts wait for.
    """
    import deepspeed

    warnings.filterwarnings("ignore", r"`torch\.distributed\.", FutureWarning)  # many a step, for DeepSpeed's own calls
    if not torch.cuda.is_available():
        deepspeed.ops.__compatible_ops__ = {}  # pyright: ignore[reportAttributeAccessIssue]
        deepspeed.init_distributed(dist_backend="gloo")


class History(TrainerCallback):
    """One line of metrics a step, its groups, some rollouts, and progress: a bar on a terminal, plain lines elsewhere.

    Only rank 0 keeps it. Rewards, their spread and the groups are those of all ranks' answers; the sizes of the
    variants and the rollouts are those of rank 0's share.
    """

    def __init__(self, trainer: STGRPOTrainer, folder: Path, steps: int, done: int) -> None:
        self.trainer, self.folder, self.steps = trainer, folder, steps
        self.progress = Progress(steps, "step", done)

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, Any] | None = None, **_: Any) -> None:
        """Called by the trainer after every step and, with other contents, once at its end."""
        if logs is None or "loss" not in logs:
            return
        row = {"step": state.global_step} | {ours: logs[theirs] for theirs, ours in _COLUMNS.items() if theirs in logs}
        _check_numbers(row)
        _append(self.folder / METRICS, json.dumps(row) + "\n")
        answered, size = self.trainer.answered, self.trainer.spec.group
        _append(self.folder / GROUPS, "".join(map(line, answered.groups(state.global_step, size))))
        if keeps_rollouts(state.global_step, self.steps):
            _append(self.folder / ROLLOUTS, "".join(map(line, answered.rollouts(state.global_step))))
        names = [name for name in ("reward", "accuracy", "reward_std", "kl") if name in row]  # no KL if beta is 0
        self.progress.update(note=", ".join(f"{name} {row[name]:.3f}" for name in names))

    def on_train_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Leave the terminal tidy."""
        self.progress.close()


def _check_numbers(row: Mapping[str, float | None]) -> None:
    """Stop before a checkpoint holds what no further step mends.

    Raises:
        UserError: the loss, the norm of its gradient or another metric of a step is no number.
    """
    odd = [f"{name} = {value}" for name, value in row.items() if value is None or not math.isfinite(value)]
    if odd:
        raise UserError(
            f"step {row['step']}: {', '.join(odd)}; nothing of this step is kept; look at the steps before it in "
            f"{METRICS}, and lower training.learning_rate or compute in fp32 (training.precision)"
        )


class InTime(TrainerCallback):
    """Ends the training, with a checkpoint, before its job's time does; rank 0's clock decides for all ranks.

    A start always does a step, however little time it has: so many short jobs still come to an end.
    """

    def __init__(self, budget: Budget, folder: Path) -> None:
        self.budget, self.folder = budget, folder
        self.began = 0.0

    def on_step_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Called before the answers of a step are generated."""
        self.began = time.monotonic()

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Ask whether there is time for one more."""
        self.budget.stepped(time.monotonic() - self.began)
        over = torch.tensor(int(self.budget.is_over()), device=args.device)
        if broadcast(over) and state.global_step < state.max_steps:
            control.should_save = control.should_training_stop = True

    def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Learn how long a checkpoint takes."""
        if state.is_world_process_zero:
            self.budget.wrote(write_time(checkpoint_of(self.folder, state.global_step)))


def _append(path: Path, text: str) -> None:
    """Append and flush to disk: a checkpoint may rely on the lines before it."""
    with path.open("a", encoding="utf-8") as out:
        out.write(text)
        out.flush()
        os.fsync(out.fileno())
