"""A training goes on from the end of a shorter one that is the same but for its number of steps: its stem.

Both take the same first steps, bit for bit, so the longer one does not take them again. The stem's last whole
checkpoint stays behind, beside the folder of its state, and becomes the first one of the longer training's state. It is
renamed and not copied, which takes neither time nor space; so one training only goes on from it. Where none is left, or
none that fits, a training starts at its first step and ends with the same weights.
"""

import shutil
from collections.abc import Collection
from pathlib import Path
from typing import Any

from stgrpo.files import put_in_place, read_json, read_records, replacing, sha256, write_json, write_records
from stgrpo.records import Rollout
from stgrpo.rl.checkpoints import (
    HISTORY,
    ROLLOUTS,
    checkpoint_of,
    cut_history,
    is_whole,
    keeps_rollouts,
    layout_of,
    step_of,
)
from stgrpo.specs import TrainSpec
from stgrpo.state import job_key

_KEY = "key.json"
_NOTE = "stem.json"  # in the state of the longer training


def left_behind(out: Path, steps: int) -> Path:
    """Where the last checkpoint of a training is put that others go on from.

    Args:
        out: folder of its results.
        steps: all of its steps.
    """
    return checkpoint_of(_last(out), steps)


def leave(checkpoint: Path, out: Path, key: str) -> None:
    """Put a last checkpoint out of the state, in place of what an earlier training left; it is here or there, whole.

    Args:
        checkpoint: of the last step; if it is gone, an earlier start of the same job has put it away.
        out: folder of the training's results.
        key: of what was computed (`job_key`).
    """
    if not checkpoint.exists():
        return
    leave_nothing(out)
    write_json(_last(out) / _KEY, {"key": key})
    put_in_place(checkpoint, left_behind(out, step_of(checkpoint)))


def leave_nothing(out: Path) -> None:
    """Remove what an earlier training left, which no cell goes on from any more."""
    shutil.rmtree(_last(out), ignore_errors=True)


def go_on(stem: Path | None, spec: TrainSpec, inputs: Collection[str], state: Path, how: str) -> Path | None:
    """Let a state without a checkpoint go on from the stem's last step, with its history; whatever ends it, again.

    Args:
        stem: its train.json, None where the training has no stem.
        spec: of the longer training.
        inputs: hashes of what that is made from.
        state: its folder, locked, with an empty history.
        how: the layout that its checkpoints need.

    Returns:
        The checkpoint, None if the training has to start at its first step; why is printed.
    """
    (state / _NOTE).unlink(missing_ok=True)
    if stem is None:
        return None
    made = read_json(stem, "spec.steps", "provenance.outputs")
    why = _why_not(made, stem.parent, spec, inputs, how)
    if why is None:
        left = left_behind(stem.parent, made["spec"]["steps"])
        _take_history(stem, spec, step_of(left), state)
        try:
            put_in_place(left, state / left.name)
        except OSError as error:  # another training was faster, or its state is on another file system
            cut_history(state, 0)
            (state / _NOTE).unlink()
            why = f"its last checkpoint cannot be moved ({error.strerror})"
        else:
            print(f"the first {step_of(left)} steps are those of {stem.parent}")
            return state / left.name
    print(f"{stem.parent}: {why}; its steps are done again, with the same result")
    return None


def origin(state: Path) -> dict[str, Any] | None:
    """Which train.json (`from`, with its `sha256`) the steps up to `step` were taken over from, if any were."""
    note = state / _NOTE
    return read_json(note, "from", "sha256", "step") if note.exists() else None


def _last(out: Path) -> Path:
    return out / "state" / "last"


def _why_not(made: dict[str, Any], out: Path, spec: TrainSpec, inputs: Collection[str], how: str) -> str | None:
    """What keeps a training from going on from the stem that stands in `out`; None if nothing does."""
    theirs, steps = made["spec"], made["spec"]["steps"]
    if steps >= spec.steps or theirs | {"steps": spec.steps} != spec.model_dump(mode="json"):
        return "trained by a spec that differs in more than fewer steps"
    key, left = job_key(TrainSpec.model_validate(theirs).canonical(), inputs), left_behind(out, steps)
    if made["provenance"].get("key") != key:
        return "trained from other inputs or by other code"
    if not is_whole(left) or read_json(left.parent / _KEY, "key")["key"] != key:
        return "left no last checkpoint, or another training has gone on from it"
    if (found := layout_of(left)) != how:
        return f"its last checkpoint holds the optimizer's state as '{found}', this run needs '{how}'"
    changed = [name for name in HISTORY if sha256(out / name) != made["provenance"]["outputs"][name]]
    return f"{changed[0]} was changed after the training" if changed else None


def _take_history(stem: Path, spec: TrainSpec, step: int, state: Path) -> None:
    """Copy what the stem wrote down of its steps, but for answers that only its own last step kept."""
    for name in HISTORY:
        with replacing(state / name) as temporary:
            shutil.copyfile(stem.parent / name, temporary)
    rollouts = read_records(state / ROLLOUTS, Rollout)
    write_records(state / ROLLOUTS, [one for one in rollouts if keeps_rollouts(one.step, spec.steps)])
    write_json(state / _NOTE, {"from": str(stem), "sha256": sha256(stem), "step": step})
