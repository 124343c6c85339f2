"""CPU seconds of a training step by phase."""

import time
from collections import defaultdict
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import TrainerCallback

from stgrpo.policy.sampling import KeyedSampler

PHASES = ("layout", "prefill", "decode", "sampling", "reference", "training", "optimizer", "rest")

_sampled: list[tuple[float, float]] = []  # when the sampler was called, and returned


def _noted(call: Callable[..., Tensor]) -> Callable[..., Tensor]:
    @wraps(call)
    def noted(*args: Any, **kwargs: Any) -> Tensor:
        start = time.process_time()
        chosen = call(*args, **kwargs)
        _sampled.append((start, time.process_time()))
        return chosen

    return noted


KeyedSampler.__call__ = _noted(KeyedSampler.__call__)


class Meter(TrainerCallback):
    """Measures the steps of one trainer.

    Attributes:
        steps: a step's CPU seconds by phase (`PHASES`), and "whole".
        tower: seconds that the vision tower takes of a phase, by step.
        answers: token ids of a step's answers.
        log_probs: of the reference, (R, T), rows in order, by step.
        losses: by step.
        gradients: of the first step, after clipping; empty unless they are kept.
    """

    def __init__(self, trainer: Any, keep_gradients: bool = False) -> None:
        self.steps: list[dict[str, float]] = []
        self.tower: list[dict[str, float]] = []
        self.answers: list[list[list[int]]] = []
        self.log_probs: list[Tensor] = []
        self.losses: list[float] = []
        self.gradients: dict[str, Tensor] = {}
        self._keep, self._now = keep_gradients, ""
        self._began = self._optimizer = self._reached = 0.0  # of a step, of its optimizer, of the tower's backward pass
        for owner, method, around in (
            (trainer.rollouts, "rows", self._layout),
            (trainer, "answer", self._answer),
            (trainer, "_get_per_token_logps_and_entropies", self._reference),
            (trainer, "compute_loss", self._training),
            (trainer.accelerator, "backward", self._training),
            (trainer.model.model.visual, "forward", self._encode),
            (trainer.ref_model.model.visual, "forward", self._encode),
        ):
            setattr(owner, method, around(getattr(owner, method)))
        trainer.add_callback(self)

    def on_step_begin(self, *_: Any, **__: Any) -> None:
        """Called before the answers of a step are generated."""
        self.steps.append(defaultdict(float))
        self.tower.append(defaultdict(float))
        self._began = time.process_time()

    def on_pre_optimizer_step(self, *_: Any, model: Any = None, **__: Any) -> None:
        """Called when the gradients are complete and clipped."""
        if self._keep and not self.gradients:
            self.gradients = {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
        self._optimizer = time.process_time()

    def on_optimizer_step(self, *_: Any, **__: Any) -> None:
        """Called after the weights have changed."""
        self.steps[-1]["optimizer"] += time.process_time() - self._optimizer

    def on_step_end(self, *_: Any, **__: Any) -> None:
        """Called when nothing of the step is left but its log."""
        step = self.steps[-1]
        whole = time.process_time() - self._began
        step["rest"] = whole - sum(step.values())
        step["whole"] = whole

    def on_log(self, *_: Any, logs: dict[str, float] | None = None, **__: Any) -> None:
        """Called after every step and, with other contents, at the end."""
        if logs and "loss" in logs:
            self.losses.append(logs["loss"])

    def _layout(self, call: Callable[..., Any]) -> Callable[..., Any]:
        return self._timed(call, "layout")

    def _training(self, call: Callable[..., Any]) -> Callable[..., Any]:
        def backward_of_tower(*args: Any, **kwargs: Any) -> Any:
            self._reached = 0.0
            result = call(*args, **kwargs)
            if self._reached:  # the tower's is the last part of the backward pass
                self.tower[-1]["training"] += time.process_time() - self._reached
            return result

        return self._timed(backward_of_tower, "training")

    def _reference(self, call: Callable[..., Any]) -> Callable[..., Any]:
        def kept(*args: Any, **kwargs: Any) -> Any:
            result = call(*args, **kwargs)
            self.log_probs.append(result[0].detach())
            return result

        timed = self._timed(kept, "reference")
        return lambda *args, **kwargs: (call if torch.is_grad_enabled() else timed)(*args, **kwargs)

    def _answer(self, call: Callable[..., Any]) -> Callable[..., Any]:
        def answer(*args: Any, **kwargs: Any) -> Any:
            _sampled.clear()
            self._now = "prefill"
            start = time.process_time()
            answers = call(*args, **kwargs)
            whole, step = time.process_time() - start, self.steps[-1]
            step["prefill"] = _sampled[0][0] - start
            step["sampling"] = sum(end - begin for begin, end in _sampled)
            step["decode"] = whole - step["prefill"] - step["sampling"]
            self.answers.append(answers)
            return answers

        return answer

    def _encode(self, call: Callable[..., Any]) -> Callable[..., Any]:
        def encode(*args: Any, **kwargs: Any) -> Any:
            start = time.process_time()
            found = call(*args, **kwargs)
            self.tower[-1][self._now] += time.process_time() - start
            if found.pooler_output.requires_grad:
                found.pooler_output.register_hook(self._reach)
            return found

        return encode

    def _reach(self, _: Tensor) -> None:
        self._reached = time.process_time()

    def _timed(self, call: Callable[..., Any], phase: str) -> Callable[..., Any]:
        def timed(*args: Any, **kwargs: Any) -> Any:
            self._now = phase
            start = time.process_time()
            result = call(*args, **kwargs)
            self.steps[-1][phase] += time.process_time() - start
            return result

        return timed


def peak_memory() -> int:
    """The most bytes that this process has had in memory.

    Not `ru_maxrss`, which a child process begins with its parent's.
    """
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(1024 * int(line.split()[1]) for line in lines if line.startswith("VmHWM"))
