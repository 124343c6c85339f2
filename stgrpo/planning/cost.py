"""What is left to do and what it costs: by steps and jobs measured at this scale, else assumed, else what jobs ask for.

Assumed is only what is fetched, at the paper's size; the assumptions stand in `ASSUMED`, for a person to read.
"""

import csv
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from stgrpo.config import QUESTIONS, Experiment, Resources
from stgrpo.files import LONGEST_LINE, read_json
from stgrpo.planning.standing import Run, Standing
from stgrpo.rl.checkpoints import METRICS

# Seconds of a step: the author of Video-R1 gives 15 hours for 1000 steps (its issue 80), on 5 A100 of which one answers
# for the others by vLLM. Its step has half as many answers again (shuffled videos), ours answers without vLLM.
_STEP = 54.0
# Seconds of a question, nobody's measurement: 4,600 tokens of prompt at 7.6 B parameters are 70 TFLOP and the vision
# tower's 22, 0.7 s at 40 % of an A100's bf16; an answer's tokens, 64 rows at a time, as much again; the video's frames.
_QUESTION = 2.0
ASSUMED = (
    f"a training step takes {_STEP:g} s on the GPUs of its job, as Video-R1's author reports of 4 or 5 (15 h for 1000 "
    "steps): with vLLM, which makes ours slower, and half as many answers again, which makes ours faster",
    f"a question takes {_QUESTION:g} s on one GPU: reckoned for bf16 on an A100, measured by nobody",
)


@dataclass(frozen=True)
class Left:
    """One job that is to be done, or finished.

    Attributes:
        kind: `training`, or `evaluation` with its part.
        run: the cell and seed.
        steps: of the optimizer, None of an evaluation.
        pace: seconds a step, or of a whole evaluation; None where nothing was measured or assumed.
        basis: what that was measured on.
        seconds: of the job, from `pace`; without one all the time that it asks for.
        limit: seconds that one job may take.
        units: GPUs that it holds, or CPUs if it asks for no GPU.
        assumed: whether the pace was not measured here.
    """

    kind: str
    run: Run
    steps: int | None
    pace: float | None
    basis: str
    seconds: float
    limit: float
    units: int
    assumed: bool = False

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
    """Seconds if every job starts as soon as it can, and the run that takes so long.

    A training, after the one that it goes on from, then its parts.
    """
    jobs = list(left)
    chains = {job.run.name: (_chain(job.run, jobs), job.run) for job in jobs}
    return max(chains.values(), key=lambda pair: pair[0], default=None)


def _chain(run: Run, left: Sequence[Left]) -> float:
    parts = [job.seconds for job in left if job.run is run and job.steps is None]
    return _until_trained(run.cell, run.seed, left) + max(parts, default=0.0)


def _until_trained(cell: str, seed: int, left: Sequence[Left]) -> float:
    """Of a training, after that of the one that it goes on from."""
    own = next((j for j in left if j.steps is not None and (j.run.cell, j.run.seed) == (cell, seed)), None)
    if own is None:
        return 0.0
    return own.seconds + (_until_trained(own.run.stem, seed, left) if own.run.stem else 0.0)


def units_of(need: Resources, nodes: int = 1) -> int:
    """GPUs of a job on all its nodes, or CPUs if it asks for no GPU."""
    return (need.gpus or need.cpus) * nodes


def _training(experiment: Experiment, run: Run, standing: Standing, measured: Sequence[_Measured]) -> Left:
    assert run.spec is not None
    need, steps = experiment.active.needs["train"], run.spec.steps - max(standing.kept, run.taken)
    pace, basis = _pace(run, measured)
    if assumed := pace is None and _is_known(experiment, need):
        pace, basis = _STEP, "assumed: Video-R1's pace"
    limit = 60.0 * need.runtime
    seconds = steps * pace if pace is not None else limit
    units = units_of(need, experiment.active.nodes)
    return Left("training", run, steps, pace, basis, seconds, limit, units, assumed)


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
    asked = standing.total or _asked(experiment, part)
    limit, assumed = 60.0 * need.runtime, False
    if part in timings[run.name]:
        pace, basis = timings[run.name][part], "its own last evaluation"
    elif others:
        pace, basis = median(others), "evaluations of other cells"
    elif asked and _is_known(experiment, need):
        pace, basis, assumed = _QUESTION * asked, f"assumed: {asked:,} questions, {_QUESTION:g} s each", True
    else:
        pace, basis = None, "none measured yet: needs.evaluate.runtime"
    share = 1 - standing.kept / standing.total if standing.total else 1.0
    seconds = pace * share if pace is not None else limit
    return Left(f"evaluation {part}", run, None, pace, basis, seconds, limit, units_of(need), assumed)


def _is_known(experiment: Experiment, need: Resources) -> bool:
    """Whether it is what the assumptions are about: a policy that is fetched, on GPUs."""
    return experiment.active.models is not None and need.gpus > 0


def _asked(experiment: Experiment, part: str) -> int | None:
    """Questions of a part before they are there; None with a benchmark that is not the paper's."""
    names = experiment.active.evaluation.parts[part]
    return sum(QUESTIONS[name] for name in names) if all(name in QUESTIONS for name in names) else None


def _measured(run: Run) -> Iterator[_Measured]:
    """The steps of a finished training, by the spec that made it, and those so far of one under way."""
    if run.spec is None:
        return
    recorded = run.folder / "train.json"
    if recorded.exists():
        spec = read_json(recorded, "spec.variants", "spec.generations")["spec"]
        yield _Measured(run.cell, (spec["variants"], spec["generations"]), _seconds(run.folder / METRICS))
    now = (run.spec.variants, run.spec.generations)
    yield _Measured(run.cell, now, _seconds(run.folder / "state" / "train" / METRICS))


def _seconds(history: Path) -> list[float]:
    """Of every whole line; the last one of a training that is at work may be half there."""
    if not history.exists():
        return []
    found = []
    with history.open(encoding="utf-8") as lines:
        for text in iter(lambda: lines.readline(LONGEST_LINE), ""):
            with suppress(ValueError, RecursionError):
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
