"""What is left to do and what it costs, by steps and jobs measured at this scale; else by what jobs ask for."""

import csv
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from stgrpo.config import Experiment, Resources
from stgrpo.files import read_json
from stgrpo.planning.standing import Run, Standing
from stgrpo.rl.checkpoints import METRICS


@dataclass(frozen=True)
class Left:
    """One job that is to be done, or finished.

    Attributes:
        kind: `training`, or `evaluation` with its part.
        run: the cell and seed.
        steps: of the optimizer, None of an evaluation.
        pace: seconds a step, or of a whole evaluation; None where nothing was measured.
        basis: what that was measured on.
        seconds: of the job, from `pace`; without one all the time that it asks for.
        units: GPUs that it holds, or CPUs if it asks for no GPU.
    """

    kind: str
    run: Run
    steps: int | None
    pace: float | None
    basis: str
    seconds: float
    units: int

    @property
    def hours(self) -> float:
        """GPU-hours, or CPU-hours of a job without a GPU."""
        return self.seconds * self.units / 3600


@dataclass(frozen=True)
class _Measured:
    """Seconds of every step of one training, and the M and G of its groups."""

    cell: str
    group: tuple[int, int]
    seconds: list[float]


def what_is_left(experiment: Experiment, runs: Sequence[Run]) -> list[Left]:
    """Every training that is not done, then every part of an evaluation."""
    measured = [found for run in runs for found in _measured(run)]
    timings = {run.name: _timings(run) for run in runs}
    trainings = [
        _training(experiment, run, run.training, measured)
        for run in runs
        if run.training and run.training.status != "done"
    ]
    evaluations = [
        _evaluation(experiment, run, part, standing, timings)
        for part in experiment.active.evaluation.parts
        for run in runs
        if (standing := run.evaluation[part]).status != "done"
    ]
    return trainings + evaluations


def longest_chain(left: Iterable[Left]) -> tuple[float, Run] | None:
    """Seconds if every job starts as soon as it can, and the run that takes so long: a training, then its parts."""
    jobs = list(left)
    chains = {job.run.name: (_chain(job.run, jobs), job.run) for job in jobs}
    return max(chains.values(), key=lambda pair: pair[0], default=None)


def _chain(run: Run, left: Iterable[Left]) -> float:
    own = [job for job in left if job.run is run]
    training = sum(job.seconds for job in own if job.steps is not None)
    return training + max((job.seconds for job in own if job.steps is None), default=0.0)


def units_of(need: Resources, nodes: int = 1) -> int:
    """GPUs of a job on all its nodes, or CPUs if it asks for no GPU."""
    return (need.gpus or need.cpus) * nodes


def _training(experiment: Experiment, run: Run, standing: Standing, measured: Sequence[_Measured]) -> Left:
    assert run.spec is not None
    need, steps = experiment.active.needs["train"], run.spec.steps - standing.kept
    pace, basis = _pace(run, measured)
    seconds = steps * pace if pace is not None else 60.0 * need.runtime
    return Left("training", run, steps, pace, basis, seconds, units_of(need, experiment.active.nodes))


def _pace(run: Run, measured: Sequence[_Measured]) -> tuple[float | None, str]:
    """Median seconds a step of the likest trainings: of the cell, of its M and G, of any."""
    assert run.spec is not None
    group = (run.spec.variants, run.spec.generations)
    alike = [found for found in measured if found.group == group]
    choices = (
        ([found for found in alike if found.cell == run.cell], "steps of the same cell"),
        (alike, "steps of cells with its M and G"),
        (measured, "steps of cells with another M and G"),
    )
    for chosen, basis in choices:
        if seconds := [second for found in chosen for second in found.seconds]:
            return median(seconds), basis
    return None, "no measured step yet: 1 x needs.train.runtime"


def _evaluation(
    experiment: Experiment, run: Run, part: str, standing: Standing, timings: Mapping[str, Mapping[str, float]]
) -> Left:
    need = experiment.active.needs["evaluate"]
    others = [found[part] for found in timings.values() if part in found]
    if part in timings[run.name]:
        pace, basis = timings[run.name][part], "its own last evaluation"
    elif others:
        pace, basis = median(others), "evaluations of other cells"
    else:
        pace, basis = None, "none measured yet: needs.evaluate.runtime"
    share = 1 - standing.kept / standing.total if standing.total else 1.0
    seconds = pace * share if pace is not None else 60.0 * need.runtime
    return Left(f"evaluation {part}", run, None, pace, basis, seconds, units_of(need))


def _measured(run: Run) -> Iterator[_Measured]:
    """The steps of a finished training, by the spec that made it, and those so far of one under way."""
    if run.spec is None:
        return
    recorded = run.folder / "train.json"
    if recorded.exists():
        spec = read_json(recorded)["spec"]
        yield _Measured(run.cell, (spec["variants"], spec["generations"]), _seconds(run.folder / METRICS))
    now = (run.spec.variants, run.spec.generations)
    yield _Measured(run.cell, now, _seconds(run.folder / "state" / "train" / METRICS))


def _seconds(history: Path) -> list[float]:
    """Of every whole line; the last one of a training that is at work may be half there."""
    if not history.exists():
        return []
    found = []
    with history.open(encoding="utf-8") as lines:
        for text in lines:
            with suppress(ValueError):
                found.append(json.loads(text)["seconds"])
    return found


def _timings(run: Run) -> dict[str, float]:
    """Seconds of the parts' last evaluations, as Snakemake measured the jobs."""
    found = {}
    for part in run.evaluation:
        path = run.folder / "timing" / f"evaluate-{part}.tsv"
        if path.exists():
            with path.open(newline="", encoding="utf-8") as lines:
                found[part] = float(next(csv.DictReader(lines, delimiter="\t"))["s"])
    return found
