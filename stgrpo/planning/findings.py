"""What a check of the machine says, and how checks ask the machine."""

import os
import subprocess
from dataclasses import dataclass
from typing import Literal

from stgrpo.config import Experiment
from stgrpo.planning.work import Work

Executor = Literal["local", "slurm"]


@dataclass(frozen=True)
class Setting:
    """What is to be run where.

    Attributes:
        experiment: its active scale.
        executor: what runs the jobs: this machine or Slurm.
        container: whether they run in the image.
        work: what of it is to be done.
    """

    experiment: Experiment
    executor: Executor
    container: bool
    work: Work


@dataclass(frozen=True)
class Finding:
    """One line: `ok`; `missing`, without which a run cannot work; `note`, which a person should know.

    Attributes:
        subject: what was looked at.
        found: what there is.
        todo: what would mend it, empty where nothing is to be mended.
    """

    level: Literal["ok", "missing", "note"]
    subject: str
    found: str
    todo: str = ""

    def __str__(self) -> str:
        return f"{self.found}; {self.todo}" if self.todo else self.found


@dataclass(frozen=True)
class Answer:
    """What a program printed, and whether it succeeded."""

    good: bool
    text: str
    error: str


def ask(*words: str) -> Answer | None:
    """Run a program that answers at once; None where the machine does not have it."""
    try:
        done = subprocess.run(words, capture_output=True, text=True, timeout=30, check=False)
    except (FileNotFoundError, PermissionError):
        return None
    except subprocess.TimeoutExpired:
        return Answer(False, "", "no answer in 30 s")
    complaints = [line.strip() for line in done.stderr.splitlines() if line.strip()]
    return Answer(done.returncode == 0, done.stdout.strip(), complaints[-1] if complaints else "")


def visible(count: int) -> list[int]:
    """Those of this machine's GPUs, by index, that CUDA_VISIBLE_DEVICES leaves to jobs, as CUDA reads it.

    The first index that there is not ends it. A GPU may be named as well (by its UUID): then all are taken.
    """
    told = os.environ.get("CUDA_VISIBLE_DEVICES")
    if told is None or told.startswith(("GPU-", "MIG-")):
        return list(range(count))
    left = []
    for index in map(str.strip, told.split(",")):
        if not index.isdecimal() or int(index) >= count:
            break
        left.append(int(index))
    return left
