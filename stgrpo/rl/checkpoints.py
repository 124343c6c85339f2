"""Checkpoints that are resumed only when they are whole, and the history that goes with them."""

import shutil
from pathlib import Path

from stgrpo.files import flush_tree, read_records, write_json, write_records
from stgrpo.records import Rollout
from stgrpo.state import whole_lines

METRICS, ROLLOUTS = "train.jsonl", "rollouts.jsonl"
_COMPLETE = "complete.json"


def mark_complete(folder: Path, step: int) -> None:
    """Say that everything of checkpoint `step` is on the disk."""
    checkpoint = folder / f"checkpoint-{step}"
    flush_tree(checkpoint)
    write_json(checkpoint / _COMPLETE, {"step": step})


def resume_point(folder: Path) -> tuple[Path | None, int]:
    """The newest whole checkpoint and its step, (None, 0) without one; half-written ones are removed."""
    best: tuple[Path | None, int] = (None, 0)
    for checkpoint in folder.glob("checkpoint-*"):
        step = int(checkpoint.name.removeprefix("checkpoint-"))
        if not (checkpoint / _COMPLETE).exists():
            shutil.rmtree(checkpoint)
        elif step > best[1]:
            best = checkpoint, step
    return best


def cut_history(folder: Path, step: int) -> None:
    """Cut metrics and rollouts back to what was written up to `step`, so that resumed steps do not stand twice.

    Raises:
        RuntimeError: the metrics end before the checkpoint, which a flush before every checkpoint rules out.
    """
    kept = whole_lines(folder / METRICS, keep=step)
    if kept != step:
        raise RuntimeError(f"{folder / METRICS}: {kept} lines, but the checkpoint is of step {step}")
    rollouts = folder / ROLLOUTS
    if whole_lines(rollouts):
        write_records(rollouts, [r for r in read_records(rollouts, Rollout) if r.step <= step])
