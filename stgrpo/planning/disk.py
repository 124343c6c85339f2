"""The disk that a scale's trainings need at their peak, when all of them run side by side."""

import json
import math
import os
import shutil
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from stgrpo.config import Experiment, Scale
from stgrpo.errors import UserError
from stgrpo.planning.dimensions import Dimensions, dimensions_of
from stgrpo.planning.standing import Run
from stgrpo.rl.stem import left_behind

_FP32 = 4  # bytes
# What a checkpoint holds, in copies of the weights in fp32. The weights and AdamW's two moments; ZeRO adds its own
# masters, stage 2 the engine's copy of the module too. The rest (random state, tokenizer) is some kilobytes.
_COPIES = {"ddp": 3, "zero2": 5, "zero3": 4}
_LONGEST_HEADER = 100_000_000  # bytes, as safetensors itself has it
_KEPT = 2  # save_total_limit in stgrpo.rl.trainer; an old one goes when the next is written


@dataclass(frozen=True)
class Disk:
    """What the trainings need of a disk, in bytes.

    Attributes:
        origin: where the number of parameters is from: weights that are there, or the policy's dimensions.
        parameters: of the policy.
        checkpoint: size of one checkpoint.
        held: checkpoints of the longest training at most at one time.
        peak: of all trainings side by side.
        in_turn: the peak if they run one after another, with every checkpoint that one leaves to a longer one.
        present: the part of the peak that stands already.
        largest: bytes that are still to come of the training that lacks most.
        free: on the disk of results/.
    """

    origin: str
    parameters: int
    checkpoint: int
    held: int
    peak: int
    in_turn: int
    present: int
    largest: int
    free: int

    @property
    def needed(self) -> int:
        """Bytes that are still to come."""
        return self.peak - self.present


def disk(experiment: Experiment, runs: Sequence[Run]) -> Disk | None:
    """None until the size of the policy to start from is known.

    Raises:
        UserError: weights or their configuration are damaged.
    """
    base = Path("results") / experiment.scale / "policy"
    counted = _parameters([base, *(run.folder / "model" for run in runs)], dimensions_of(experiment))
    if counted is None:
        return None
    count, origin = counted
    weights, checkpoint = _FP32 * count, _COPIES[experiment.active.sharding] * _FP32 * count
    trained = [run for run in runs if run.training]
    peaks = [_peak(run, experiment.active, weights, checkpoint) for run in trained]
    waiting = (checkpoint - weights) * sum(run.leaves for run in trained)
    present = [min(peak, _present(run)) for run, peak in zip(trained, peaks, strict=True)]
    return Disk(
        origin=origin,
        parameters=count,
        checkpoint=checkpoint,
        held=max((_held(run, experiment.active) for run in trained), default=0),
        peak=sum(peaks),
        in_turn=max(peaks, default=0) + weights * max(len(peaks) - 1, 0) + waiting,
        present=sum(present),
        largest=max((peak - stands for peak, stands in zip(peaks, present, strict=True)), default=0),
        free=free_space(base),
    )


def _parameters(folders: Sequence[Path], dimensions: Dimensions | None) -> tuple[int, str] | None:
    """How many the policy has, and what says so: the first folder with weights, else its dimensions."""
    if origin := next((folder for folder in folders if any(folder.glob("*.safetensors"))), None):
        return sum(parameters(path) for path in origin.glob("*.safetensors")), str(origin)
    return (dimensions.parameters, "its configuration") if dimensions else None


def free_space(path: Path) -> int:
    """Bytes that a user may still write where `path` is, or would be made."""
    return shutil.disk_usage(existing(path)).free


def existing(path: Path) -> Path:
    """The path itself, or the nearest folder above it that is there."""
    return next(folder for folder in (path, *path.absolute().parents) if folder.exists())


def parameters(weights: Path) -> int:
    """How many numbers a safetensors file holds, by its header: eight bytes of length, then JSON.

    Raises:
        UserError: there is no such header.
    """
    try:
        with weights.open("rb") as stream:
            length = int.from_bytes(stream.read(8), "little")
            header = json.loads(stream.read(min(length, _LONGEST_HEADER)))
        return sum(math.prod(entry["shape"]) for name, entry in header.items() if name != "__metadata__")
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        raise UserError(f"{weights}: no safetensors header; remove its folder and make it again") from None


def _held(run: Run, scale: Scale) -> int:
    """Checkpoints at one time at most: those that are kept, and one that is being written."""
    assert run.spec is not None
    return min(math.ceil(run.spec.steps / scale.save_steps), _KEPT + 1)


def _peak(run: Run, scale: Scale, weights: int, checkpoint: int) -> int:
    """Either the last checkpoint is being written, or the weights are taken from it, on some file systems as a copy.

    After that the weights alone stand, or the last checkpoint, with which they are one where there are hard links.
    """
    if run.training and run.training.status == "done":
        return checkpoint if run.leaves else weights
    held = _held(run, scale)
    return max(held * checkpoint, min(held, _KEPT) * checkpoint + weights)


def _present(run: Run) -> int:
    """Bytes of the model and of what is left to a longer training, or of the checkpoints so far.

    An old model goes before its training starts.
    """
    if run.training and run.training.status == "done":
        assert run.spec is not None
        return _size(run.folder / "model", left_behind(run.folder, run.spec.steps))
    return _size(*(run.folder / "state" / "train").glob("checkpoint-*"))


def _size(*folders: Path) -> int:
    """Bytes of all files, hard links once; a training at work may remove some meanwhile."""
    sizes: dict[tuple[int, int], int] = {}
    for path, _, names in (found for folder in folders for found in os.walk(folder)):
        for name in names:
            with suppress(FileNotFoundError):
                file = (Path(path) / name).stat()
                sizes[file.st_dev, file.st_ino] = file.st_size
    return sum(sizes.values())
