"""The time that a job has. A training that ends in time, with a checkpoint, loses no step to its job's limit."""

import os
import time
from pathlib import Path

_SAFETY = 1.5
_LATE = 20.0, 120.0  # seconds, at least and at most


class Budget:
    """Whether a job's time holds one more step and the checkpoint after it.

    Neither takes equally long every time, so that 1.5 times the longest of each is kept in reserve. So is a tenth of
    the job's time, but 20 seconds at least and 120 at most, because the job began before this process, with its
    launchers and its image. Until a checkpoint has been timed, one is taken to need a tenth of the job's time. All
    times are seconds, instants are seconds of CLOCK_BOOTTIME, which all processes of a machine share.
    """

    def __init__(self, began: float, minutes: float, written: float | None = None) -> None:
        """The time of one job.

        Args:
            began: when it did, as `process_start` says it.
            minutes: the time that it has.
            written: what the newest checkpoint took to write, if there is one.
        """
        least, most = _LATE
        self.end = began + 60 * minutes - min(most, max(least, 6 * minutes))
        self.step, self.write = 0.0, 6 * minutes if written is None else written
        self._guessed = written is None

    def stepped(self, seconds: float) -> None:
        """A step took this long."""
        self.step = max(self.step, seconds)

    def wrote(self, seconds: float) -> None:
        """A checkpoint took this long."""
        self.write = seconds if self._guessed else max(self.write, seconds)
        self._guessed = False

    def is_over(self) -> bool:
        """Whether a further step might not fit."""
        return time.clock_gettime(time.CLOCK_BOOTTIME) + _SAFETY * (self.step + self.write) > self.end


def process_start() -> float:
    """When this process began, in seconds of CLOCK_BOOTTIME: reading the packages takes seconds that count."""
    fields = Path("/proc/self/stat").read_text(encoding="utf-8").rpartition(")")[2].split()  # behind the program's name
    return int(fields[19]) / os.sysconf("SC_CLK_TCK")
