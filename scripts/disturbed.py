"""One run of scale smoke in a clone of its own, undisturbed or killed again and again until it is done."""

import argparse
import json
import os
import random
import subprocess
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from running import Process, below, is_writing, place, processes
from slurm_daemons import Daemons

AIMS = ("checkpoint's write", "evaluation", "training")  # of two that one kill hits, the first counts
_ENDING = ("a verb", "a verb's child", "everything")  # victims with whom what a verb does comes to an end
_POLL = 0.01  # seconds; a checkpoint of a tiny model is written in 50 ms
_SLURM = ["--profile", "slurm", "--slurm-init-seconds-before-status-checks", "5"]
_ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "MASTER_ADDR": "127.0.0.1"}
_OF_POLLS = 0.01  # share of the moments at which it is looked whether to kill inside of something
_BENCHMARKS = ("videomme", "vsibench", "perceptiontest", "tempcompass", "videommmu", "mmvu")
_MOST_STARTS = 200  # a run that is not done by then never is


@dataclass
class Tally:
    """What happened in all runs of a campaign.

    Attributes:
        kills: by victim and place.
        aimed: those of them that were aimed.
        starts, unlocks: of Snakemake, beyond the first of each run.
        seconds: that each disturbed run took.
    """

    kills: Counter[tuple[str, str]] = field(default_factory=Counter)
    aimed: Counter[tuple[str, str]] = field(default_factory=Counter)
    starts: int = 0
    unlocks: int = 0
    seconds: list[float] = field(default_factory=list)

    @property
    def random(self) -> int:
        """Kills at random times."""
        return sum(self.kills.values()) - sum(self.aimed.values())

    def inside(self, where: str) -> int:
        """Kills that ended a process inside of something; what is there when only Snakemake is killed goes on."""
        return sum(self.kills[victim, where] for victim in _ENDING)


class Run:
    """A clone, and the command that is typed in it again and again."""

    def __init__(self, folder: Path, args: argparse.Namespace, daemons: Daemons | None) -> None:
        self.folder, self.args, self.daemons = folder, args, daemons
        # The paper's 500 steps, and a checkpoint every other step.
        world = {name: {"videos": args.videos} for name in _BENCHMARKS}
        keys = {"smoke": {"step_ratio": args.steps / 500, "save_steps": 2, "world": world}}
        profile = _SLURM if daemons else ["--cores", "2"]
        self.words = ["snakemake", *profile, "--config", "scale=smoke", f"scales={json.dumps(keys)}"]
        self.said = (folder / "said.txt").open("a")

    def undisturbed(self) -> float:
        """Seconds that it takes."""
        began = time.monotonic()
        if self._start().wait():
            raise SystemExit(f"{self.folder}: the undisturbed run failed; see said.txt there")
        return time.monotonic() - began

    def disturbed(self, tally: Tally, rng: random.Random, gap: float) -> None:
        """Run to the end with kills at random times, `gap` seconds apart in the mean, and aimed ones between them."""
        began = time.monotonic()
        snakemake, starts, due = self._start(), 0, began + rng.expovariate(1 / gap)
        aim, rest = self._next_aim(tally, rng), began
        while True:
            time.sleep(_POLL)
            if (status := snakemake.poll()) == 0:
                break
            if status is not None:
                starts += 1
                if starts == _MOST_STARTS:
                    raise SystemExit(f"{self.folder}: not done after {starts} restarts; see said.txt there")
                snakemake = self._start_again(status, tally)
            now = time.monotonic()
            if now >= due:
                due = now + rng.expovariate(1 / gap)
                self._kill(snakemake, tally, rng)
            elif aim and now >= rest and self._kill_inside(aim, tally, rng):
                aim, rest = self._next_aim(tally, rng), now + gap
        tally.seconds.append(time.monotonic() - began)
        self._wait_for_orphans()

    def _start(self) -> subprocess.Popen:
        return subprocess.Popen(
            self.words, cwd=self.folder, env=_ENVIRONMENT, stdout=self.said, stderr=self.said, start_new_session=True
        )

    def _start_again(self, status: int, tally: Tally) -> subprocess.Popen:
        """The same command; a lock is left only by a Snakemake that was killed."""
        tally.starts += 1
        if status < 0 and any((self.folder / ".snakemake" / "locks").glob("*")):
            words = [*self.words, "--unlock"]
            subprocess.run(words, cwd=self.folder, env=_ENVIRONMENT, stdout=self.said, stderr=self.said, check=True)
            tally.unlocks += 1
        return self._start()

    def _kill(self, snakemake: subprocess.Popen, tally: Tally, rng: random.Random) -> None:
        """Kill what is drawn of what is alive."""
        alive = processes(self.folder)
        verbs = [process for process in alive if process.verb]
        kinds = ["verb", "verb", "Snakemake", "everything", *(["daemon", "daemon"] if self.daemons else [])]
        kind = rng.choice(kinds)
        if kind == "daemon" and self.daemons:
            tally.kills[self.daemons.kill_one(rng), " and ".join(self._places(verbs)) or "nothing"] += 1
        elif kind == "verb" and verbs:
            verb = rng.choice(verbs)
            victim = rng.choice(below(verb, alive))
            where = place(verb, self.folder)
            victim.kill()
            tally.kills["a verb" if victim == verb else "a verb's child", where] += 1
        elif kind == "everything":
            where = self._places(verbs)
            for process in [*alive, Process(snakemake.pid, 0, ())]:
                process.kill()
            snakemake.wait()
            tally.kills["everything", self._deepest(where)] += 1
        else:
            where = self._places(verbs)
            snakemake.kill()
            snakemake.wait()
            tally.kills["Snakemake alone", " and ".join(where) or "nothing"] += 1

    def _places(self, verbs: list[Process]) -> list[str]:
        return sorted({place(verb, self.folder) for verb in verbs})

    def _deepest(self, places: list[str]) -> str:
        """Of several places that one kill hit, the one that is counted."""
        return next((one for one in AIMS if one in places), places[0] if places else "nothing")

    def _next_aim(self, tally: Tally, rng: random.Random) -> str | None:
        """What is hit next of what was not hit often enough."""
        left = [where for where in AIMS if tally.inside(where) < self.args.inside]
        return rng.choice(left) if left else None

    def _kill_inside(self, aim: str, tally: Tally, rng: random.Random) -> bool:
        """Kill a verb at some moment while it is there, a checkpoint's write as soon as it is seen."""
        states = self.folder.glob("results/smoke/cells/*/*/state/train")
        now = any(map(is_writing, states)) if aim == AIMS[0] else rng.random() < _OF_POLLS
        if not now:
            return False
        for verb in (process for process in processes(self.folder) if process.verb in ("train", "evaluate")):
            if place(verb, self.folder) == aim:
                verb.kill()
                tally.kills["a verb", aim] += 1
                tally.aimed["a verb", aim] += 1
                return True
        return False

    def _wait_for_orphans(self) -> None:
        """What a killed Snakemake left may still be at work; its results must be whole as well."""
        while any(process.verb for process in processes(self.folder)) or self.daemons and self.daemons.busy():
            time.sleep(1.0)
