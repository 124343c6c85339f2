"""Checkpoints that are resumed only when they are whole, and the history that goes with them.

A checkpoint holds the whole weights, as save_pretrained writes them, with the tokenizer, whatever engine trained; what
else is in it depends on the engine. The one of the last step is what is published. With LoRA it holds the adapters
only, and to be published they are added to the weights.
"""

import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from stgrpo.errors import UserError
from stgrpo.files import flush_tree, link_or_copy, read_json, read_records, write_json, write_records
from stgrpo.records import Group, Rollout
from stgrpo.state import whole_lines

METRICS, ROLLOUTS, GROUPS = "train.jsonl", "rollouts.jsonl", "groups.jsonl"
HISTORY = (METRICS, ROLLOUTS, GROUPS)  # what grows with the steps and is published
_RECORDS = {ROLLOUTS: Rollout, GROUPS: Group}  # what is kept of a step, beside its line of metrics
_ROLLOUTS_EVERY = 10  # steps
_COMPLETE = "complete.json"
_OF_A_MODEL = {".safetensors", ".json", ".jinja", ".txt"}  # weights, configuration, tokenizer
_OF_A_TRAINER = {_COMPLETE, "trainer_state.json"}


def layout(processes: int, deepspeed: Mapping[str, Any] | None) -> str:
    """How the optimizer's state is cut up in a checkpoint; it can be read back into the same layout only."""
    return f"ZeRO-{deepspeed['zero_optimization']['stage']} over {processes} processes" if deepspeed else "whole"


def read_deepspeed(path: Path | None, ranks: int) -> dict[str, Any] | None:
    """DeepSpeed's configuration.

    Raises:
        UserError: it says nothing about ZeRO, or there is one rank only.
    """
    if path is None:
        return None
    if ranks < 2:
        raise UserError(f"--deepspeed {path}: nothing to spread over {ranks} process; give --processes 2 or more")
    found = read_json(path)
    if not isinstance(found, dict) or "stage" not in found.get("zero_optimization", {}):
        raise UserError(f"{path}: no zero_optimization.stage; give envs/zero2.json or envs/zero3.json")
    return found


def mark_complete(checkpoint: Path, step: int, how: str, began: float) -> None:
    """Say that everything of a checkpoint is on the disk, in which layout, and how long that took.

    `began` is when its writing did, in seconds of time.monotonic().
    """
    flush_tree(checkpoint)
    write_json(checkpoint / _COMPLETE, {"step": step, "layout": how, "seconds": time.monotonic() - began})


def write_time(checkpoint: Path) -> float:
    """Seconds that it took to write a whole checkpoint."""
    return _mark(checkpoint)["seconds"]


def checkpoint_of(folder: Path, step: int) -> Path:
    """Where the trainer puts the checkpoint of a step."""
    return folder / f"checkpoint-{step}"


def step_of(checkpoint: Path | None) -> int:
    """The step of a checkpoint, 0 without one."""
    return int(checkpoint.name.removeprefix("checkpoint-")) if checkpoint else 0


def is_whole(checkpoint: Path) -> bool:
    """Whether everything of a checkpoint is on the disk."""
    return (checkpoint / _COMPLETE).exists()


@contextmanager
def resuming(checkpoint: Path | str) -> Iterator[None]:
    """Reading what of a whole checkpoint is not the weights.

    Raises:
        UserError: it cannot be read, so that the disk has spoilt it, or somebody.
    """
    try:
        yield
    except Exception as error:  # torch's and pickle's are of many types
        if _is_short_of_memory(error):
            raise
        first = next(iter(str(error).splitlines()), "")[:80]
        raise UserError(
            f"{checkpoint}: cannot be gone on with ({type(error).__name__}: {first}); remove it and run again: the "
            "training goes on from an earlier one, or starts anew"
        ) from None


def _is_short_of_memory(error: Exception) -> bool:
    """Then nothing is wrong with the checkpoint. By name, for the lead has not read torch."""
    return isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError"


def layout_of(checkpoint: Path) -> str:
    """How the optimizer's state is cut up in a whole checkpoint."""
    return _mark(checkpoint)["layout"]


def _mark(checkpoint: Path) -> dict[str, Any]:
    """What is said of a whole checkpoint.

    Raises:
        UserError: it is not what `mark_complete` says.
    """
    path = checkpoint / _COMPLETE
    found = read_json(path, "layout", "seconds")
    if not isinstance(found["layout"], str) or not isinstance(found["seconds"], int | float):
        raise UserError(f"{path}: does not say how the checkpoint was written; remove it and run again")
    return found


def newest(folder: Path) -> Path | None:
    """The newest whole checkpoint."""
    return max(filter(is_whole, _checkpoints(folder)), key=step_of, default=None)


def _checkpoints(folder: Path) -> Iterator[Path]:
    """Those of the trainer; what somebody else put there, such as a copy, is none."""
    return (path for path in folder.glob("checkpoint-*") if path.name.removeprefix("checkpoint-").isdecimal())


def resume_point(folder: Path) -> Path | None:
    """The newest whole checkpoint; half-written ones are removed."""
    for checkpoint in _checkpoints(folder):
        if not is_whole(checkpoint):
            shutil.rmtree(checkpoint)
    return newest(folder)


def check_layout(checkpoint: Path, wanted: str) -> None:
    """Refuse to go on from a checkpoint of another layout.

    Raises:
        UserError: the layout is not the wanted one.
    """
    found = layout_of(checkpoint)
    if found != wanted:
        raise UserError(
            f"{checkpoint}: holds the optimizer's state as '{found}', this run needs '{wanted}'; "
            "set the scale's processes and sharding (--processes, --deepspeed) as before, or remove "
            f"{checkpoint.parent} to start anew"
        )


def take_model(checkpoint: Path, folder: Path) -> None:
    """Weights, configuration and tokenizer of a checkpoint, as hard links where there are any: no time, no space."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    for path in checkpoint.iterdir():
        if path.suffix in _OF_A_MODEL and path.name not in _OF_A_TRAINER:
            link_or_copy(path, folder / path.name)


def keeps_rollouts(step: int, steps: int) -> bool:
    """Whether the answers of a step are kept: every so often, and in the last of all steps."""
    return step % _ROLLOUTS_EVERY == 1 or step == steps


def cut_history(folder: Path, step: int) -> None:
    """Cut metrics, rollouts and groups back to what was written up to `step`, so that resumed steps do not stand twice.

    Raises:
        UserError: the metrics end before the checkpoint; a flush before every checkpoint rules out that a kill did it.
    """
    kept = whole_lines(folder / METRICS, keep=step)
    if kept != step:
        raise UserError(
            f"{folder / METRICS}: {kept} lines, but the checkpoint is of step {step}; remove {folder} to start anew"
        )
    for name, kind in _RECORDS.items():
        if whole_lines(folder / name):
            write_records(folder / name, [r for r in read_records(folder / name, kind) if r.step <= step])
