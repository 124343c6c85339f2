"""The tests' Slurm for the kill campaign: started, its daemons killed and started again, stopped."""

import os
import random
import signal
import subprocess
import threading
import time
from contextlib import suppress
from pathlib import Path

_DOWN = 3.0  # seconds until a killed daemon is started again


class Daemons:
    """slurmctld and two slurmd on this machine.

    What Slurm starts again it holds for two minutes; here it starts at once, or a campaign would take hours. What it
    holds for good, with the node drained, is let go, as by an administrator: jobs whose launch failed, since the node's
    daemon was killed.
    """

    def __init__(self, root: Path, state: Path) -> None:
        self.scripts, self.state, self.stopped = root / "tests" / "cluster", state, threading.Event()
        subprocess.run([str(self.scripts / "start_slurm.sh"), str(state)], check=True)
        self.impatient = threading.Thread(target=self._hurry)
        self.impatient.start()

    def kill_one(self, rng: random.Random) -> str:
        """SIGKILL one daemon; returns its name. It is started again a few seconds later."""
        name = rng.choice(["slurmctld", "slurmd-n1", "slurmd-n2"])
        pids = [*self.state.glob(f"**/{name}.pid")]
        with suppress(ProcessLookupError, FileNotFoundError, ValueError, IndexError):
            os.kill(int(pids[0].read_text()), signal.SIGKILL)
        words = ["slurmctld"] if name == "slurmctld" else ["slurmd", "-N", name.removeprefix("slurmd-")]
        threading.Timer(_DOWN, subprocess.run, [words]).start()
        return name

    def busy(self) -> bool:
        """Whether jobs wait or run."""
        asked = subprocess.run(["squeue", "-h"], capture_output=True, text=True, check=False)
        return asked.returncode != 0 or bool(asked.stdout.strip())

    def stop(self) -> None:
        """Stop all of it."""
        self.stopped.set()
        self.impatient.join()
        time.sleep(_DOWN)
        subprocess.run([str(self.scripts / "stop_slurm.sh"), str(self.state)], check=True)

    def _hurry(self) -> None:
        seen: dict[str, float] = {}
        while not self.stopped.wait(1.0):
            pending = [line.partition(" ") for line in _said("squeue", "-h", "-t", "PD", "-o", "%i %r")]
            seen = {job: seen.get(job, time.monotonic()) for job, _, why in pending if why == "BeginTime"}
            for job in [job for job, since in seen.items() if time.monotonic() - since > 4]:
                _said("scontrol", "update", f"jobid={job}", "StartTime=now")
            for job in [job for job, _, why in pending if why == "launch failed requeued held"]:
                for node in set(_said("sinfo", "-h", "-N", "-t", "drain", "-o", "%N")):
                    _said("scontrol", "update", f"nodename={node}", "state=resume")
                _said("scontrol", "release", job)


def _said(*words: str) -> list[str]:
    """The lines that a program of Slurm prints; none while its controller is down."""
    return subprocess.run(words, capture_output=True, text=True, check=False).stdout.splitlines()
