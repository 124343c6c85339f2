"""The attempts at one training, written down beside its checkpoints: what became of each, and whether to try again.

An attempt that is killed can say nothing any more. Its metrics can: a line a step is on the disk, so it died in the
step after the last line. Slurm starts a job that it has taken back (preemption, a lost node) again under the same
number, so an attempt that died and is followed by one of the same job did not die of the training.
"""

import os
import socket
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from stgrpo.errors import UserError
from stgrpo.files import read_json, write_json
from stgrpo.rl.checkpoints import METRICS, resume_point
from stgrpo.state import whole_lines

_MARK, _WORD = "attempts.json", "failure.txt"
_COUNTED = ("died", "failed")  # the other ends say nothing about the training
_ENDS = {  # as they are told
    "died": "died {where}",
    "failed": "failed {where}: {reason}",
    "full disk": "stopped {where}: the disk was full",
    "interrupted": "interrupted {where}",
    "out of time": "used its time up after step {reached}",
    "finished": "was ended while it put the results in place",
}


class FullDisk(UserError):
    """No space is left for what grows."""


class KilledError(UserError):
    """A rank was ended from outside."""


@dataclass(frozen=True)
class Attempt:
    """One start of a training; `end`, one of `_ENDS`, and `reached`, its last whole step, are null while it runs."""

    job: str | None  # Slurm's
    host: str
    process: int
    log: str | None  # where what it said stands, if that is known
    began: str  # UTC
    start: int  # the step that it went on from
    end: str | None = None
    reached: int | None = None
    reason: str | None = None

    @property
    def name(self) -> str:
        """Who that was."""
        return f"Slurm job {self.job} on {self.host}" if self.job else f"process {self.process} on {self.host}"


def _read(mark: Path) -> list[Attempt]:
    try:
        return [Attempt(**row) for row in read_json(mark, "attempts")["attempts"]]
    except TypeError as error:
        raise UserError(f"{mark}: no attempts ({error}); remove it and run again") from None


class Attempts:
    """The attempts at the training of one state, whose lock the caller holds.

    Made before the history is cut back to a checkpoint; closes the last attempt, if it could not do that itself.
    """

    def __init__(self, state: Path, steps: int) -> None:
        self.state, self.steps = state, steps
        self.job = os.environ.get("SLURM_JOB_ID")
        self.mark = state / _MARK
        self.all = _read(self.mark) if self.mark.exists() else []
        if self.all and self.all[-1].end is None:
            self._end("died")

    def told(self) -> list[str]:
        """One line an attempt."""
        return [f"attempt {i + 1}: {self._fate(i)}" for i in range(len(self.all))]

    def refuse_a_third(self, resume: int) -> None:
        """Refuse to try again what ended twice in the same step, and gave a reason at least once.

        What was only killed is tried again, for whoever pulls plugs may pull two; it is told what that may mean.

        Args:
            resume: the step of the newest checkpoint.

        Raises:
            UserError: it did; with the step, the jobs, the log and the way out.
        """
        counted = [i for i, attempt in enumerate(self.all) if attempt.end in _COUNTED and not self._requeued(i)]
        if len(counted) < 2:
            return
        first, last = (self.all[i] for i in counted[-2:])
        since = max(attempt.reached or 0 for attempt in self.all[counted[-2] :])
        if not first.reached == last.reached == since:
            return
        ended = f"{self.state}: ended twice {self._where(last)} ({first.name}; {last.name})"
        if "failed" not in (first.end, last.end):
            print(f"{ended}: killed; if nobody did that, it is short of memory or of time")
            return
        raise UserError(
            f"{ended}: {last.reason or first.reason}{f'; read {last.log}' if last.log else ''}; "
            f"mend the cause, remove {self.mark} and run again: it goes on from step {resume}"
        )

    @contextmanager
    def one_more(self, start: int, log: str | None) -> Iterator[None]:
        """Write down that an attempt goes on from step `start` and speaks into `log`; if it fails, also why."""
        host = os.environ.get("SLURMD_NODENAME") or socket.gethostname()
        now = datetime.now(UTC).isoformat(timespec="seconds")
        (self.state / _WORD).unlink(missing_ok=True)
        self.all.append(Attempt(self.job, host, os.getpid(), log, now, start))
        try:
            self._write()
            yield
        except KeyboardInterrupt:
            self._end("interrupted")
            raise
        except Exception as error:
            with suppress(OSError):  # if the disk stays full, this attempt will be taken for a killed one
                if isinstance(error, FullDisk):
                    resume_point(self.state)  # removes what is half-written
                self._end(*_why(error))
            raise

    def out_of_time(self) -> None:
        """The running attempt has used its time up."""
        self._end("out of time")

    def finished(self) -> list[dict[str, Any]]:
        """All attempts as rows; the running one, the last, has done what there was to do."""
        self._end("finished")
        return [asdict(attempt) for attempt in self.all]

    def _end(self, end: str, reason: str | None = None) -> None:
        word = self.state / _WORD
        is_told = end == "died" and reason is not None  # then the word is that of a neighbour, for want of the killed
        if end in _COUNTED and word.exists() and not is_told:
            said, _, reason = word.read_text(encoding="utf-8").partition("\n")
            end = said or end
        reached = whole_lines(self.state / METRICS)
        self.all[-1] = replace(self.all[-1], end=end, reached=reached, reason=reason)
        self._write()

    def _write(self) -> None:
        write_json(self.mark, {"attempts": [asdict(attempt) for attempt in self.all]})

    def _requeued(self, i: int) -> bool:
        """Whether Slurm started the job of an attempt again after it."""
        job = self.all[i].job
        following = self.all[i + 1].job if i + 1 < len(self.all) else self.job
        return self.all[i].end in ("died", "interrupted") and job is not None and job == following

    def _fate(self, i: int) -> str:
        attempt = self.all[i]
        end = _ENDS[str(attempt.end)].format(where=self._where(attempt), reached=attempt.reached, reason=attempt.reason)
        again = "; Slurm started it again (preempted, or its node was lost)" if self._requeued(i) else ""
        return f"{attempt.name}, from step {attempt.start}, {end}{again}"

    def _where(self, attempt: Attempt) -> str:
        reached = attempt.reached or 0
        return f"in step {reached + 1}" if reached < self.steps else "after the last step"


def done_by_this_job(result: Path, key: str) -> bool:
    """Whether the results stand there already, made from the same spec, inputs and code.

    Slurm starts a job again whose node it has lost; the first start may have gone on there, and been waited for.
    """
    job = os.environ.get("SLURM_JOB_ID")
    if job is None or not result.exists():
        return False
    block = read_json(result, "provenance.slurm")["provenance"]
    return block.get("key") == key and block["slurm"].get("SLURM_JOB_ID") == job


def leave_word(state: Path, error: Exception) -> bool:
    """Say in the state why a rank fails, unless another one has: its neighbours fail after it, for want of it.

    Returns:
        Whether this rank is the first.
    """
    try:
        with (state / _WORD).open("x", encoding="utf-8") as out, suppress(OSError):  # of a full disk
            out.write("\n".join(_why(error)))
            out.flush()
    except FileExistsError:
        return False
    return True


def _why(error: Exception) -> tuple[str, str]:
    """How an attempt ended with this error, and the error's first line."""
    ends = {FullDisk: "full disk", KilledError: "died"}
    text = str(error) if isinstance(error, UserError) else "".join(traceback.format_exception_only(error))
    return ends.get(type(error), "failed"), text.strip().partition("\n")[0]
