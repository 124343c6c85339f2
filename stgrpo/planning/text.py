"""A plan for people: aligned plain text of about a hundred columns."""

import textwrap
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

from stgrpo.config import Experiment, Need
from stgrpo.planning.cost import ASSUMED, Left, longest_chain
from stgrpo.planning.disk import Disk
from stgrpo.planning.standing import Run, Standing
from stgrpo.rules import Selection

_WIDTH = 100
_SELECTED: dict[Selection, str] = {"weighted": "importance", "top": "top-score", "uniform": "uniform"}
_NUMERIC = frozenset("0123456789.,<=~+- ")


def heading(experiment: Experiment, runs: Sequence[Run]) -> str:
    """How large the scale is."""
    scale = experiment.active
    parts = len(scale.evaluation.parts)
    trainings = sum(run.training is not None for run in runs)
    return (
        f"Scale {experiment.scale}: {_count(len(scale.cells), 'cell')} x {_count(len(scale.seeds), 'seed')}, "
        f"{_count(trainings, 'training')}, {_count(len(runs) * parts, 'evaluation')} ({_count(parts, 'part')} a run)"
    )


def matrix(experiment: Experiment, runs: Sequence[Run], left: Sequence[Left]) -> list[str]:
    """A line a cell and seed: what differs, how its jobs stand, and what is left of them in hours."""
    rows = [
        [
            "cell",
            "seed",
            "algorithm",
            "grouping",
            "MxG",
            "steps",
            "training",
            "eval",
            "grading",
            _unit(experiment, "train"),
        ]
    ]
    for before, run in zip([None, *runs], runs, strict=False):
        cell = ["", *[""] * 4] if before and before.cell == run.cell else [run.cell, *_what_differs(run)]
        training = _word(run.training) if run.training else "-"
        jobs = [training, _in_one([*run.evaluation.values()]), run.grading.status]
        own = [job for job in left if job.run is run]
        rows.append([cell[0], str(run.seed), *cell[1:], *jobs, _number(own) if own else "-"])
    return aligned(rows)


def notes(runs: Sequence[Run]) -> list[str]:
    """What the matrix has no room for: who runs what, where an interrupted job goes on, why something is stale.

    What is stale only because it comes from something that is not done goes without a reason.
    """
    running, interrupted, missing, reasons = [], [], [], defaultdict(list)
    for run in runs:
        for job, standing in _jobs(run):
            if standing.status == "running":
                running.append(f"{run.name}, {job}: {_so_far(standing)}; {standing.holder}")
            elif standing.status == "partial":
                interrupted.append(f"{run.name}, {job}: {_so_far(standing)}; goes on from {standing.kept}")
            elif standing.status == "stale" and standing.why:
                reasons[job, standing.why].append(run.name)
        parts = [part for part, standing in run.evaluation.items() if standing.status == "missing"]
        if 0 < len(parts) < len(run.evaluation):
            missing.append(f"{run.name}, evaluation: {', '.join(parts)}")
    stale = [text for (job, why), names in reasons.items() for text in _stale(job, why, names)]
    blocks = {"Running": running, "Interrupted": interrupted, "Stale": stale, "Missing": missing}
    return [text for title, block in blocks.items() if block for text in ["", title, *(f"  {line}" for line in block)]]


def cost(experiment: Experiment, left: Sequence[Left]) -> list[str]:
    """What is left, by kind and by what its time is estimated from; hours in all; time from start to end."""
    chain = longest_chain(left)
    if chain is None:
        return ["", "Nothing is left to train or to evaluate."]
    groups: dict[tuple[str, str], list[Left]] = defaultdict(list)
    for job in left:
        groups[job.kind, job.basis].append(job)
    rows = [["left to do", "jobs", "steps", "s/step", "cost", "estimated from"]]
    rows += [
        [kind, str(len(jobs)), *_paces(jobs), _hours(experiment, jobs), why] for (kind, why), jobs in groups.items()
    ]
    trainings = [job for job in left if job.steps is not None]
    sums = {"training": trainings, "evaluation": [job for job in left if job.steps is None]}
    total = ", ".join(f"{kind} {_hours(experiment, jobs)}" for kind, jobs in sums.items() if jobs)
    limits = "" if all(job.pace is not None for job in left) else ", by the jobs' limits"
    return [
        "",
        *aligned(rows),
        f"in all: {total}",
        *_taken_over(trainings),
        f"from start to end, if all cells run side by side: {duration(chain[0])} ({chain[1].name}){limits}",
        *_assumptions(experiment, sums),
    ]


def _taken_over(trainings: Sequence[Left]) -> list[str]:
    """Steps that are left out above: a training goes on from the end of the shorter one that is else the same."""
    goes_on = [job for job in trainings if job.run.taken and not (job.run.training and job.run.training.kept)]
    if not goes_on:
        return []
    listed = ", ".join(f"{job.run.cell} from {job.run.stem}" for job in goes_on)
    return _indented(f"{sum(job.run.taken for job in goes_on):,} steps are not taken twice: {listed}")


def _assumptions(experiment: Experiment, sums: Mapping[str, Sequence[Left]]) -> list[str]:
    """What stands behind a pace that nobody measured here, and what the jobs may take at most."""
    if not any(job.assumed for jobs in sums.values() for job in jobs):
        return []
    most = ", ".join(
        f"{kind} {sum(job.limit * job.units for job in jobs) / 3600:,.0f} {_unit(experiment, _need(jobs))}"
        for kind, jobs in sums.items()
        if jobs
    )
    scoring = experiment.active.needs["score"]
    more = f"one job each at its limit would be {most}; scoring the frames is one more of up to {scoring.runtime} min"
    return [line for text in (*ASSUMED, more) for line in _indented(text)]


def room(found: Disk | None, left: int) -> list[str]:
    """The disk that the trainings need, while `left` of them run."""
    if found is None:
        return ["", "Disk at the peak: unknown until the policy to start from is there."]
    if not left:
        return ["", f"Disk: {size(found.present)} of trained models, {size(found.free)} are free."]
    missing = "" if found.free > found.needed else f": too little, {size(found.needed)} are still to come"
    return [
        "",
        f"Disk at the peak: {size(found.peak)}, state included, with {_count(left, 'training')} side by side; "
        f"{size(found.present)} stand already",
        *([f"  one training after another: {size(found.in_turn)}"] if left > 1 else []),
        f"  a checkpoint: {size(found.checkpoint)}, up to {found.held} of a training at once "
        f"({found.parameters / 1e6:,.4g} million parameters in {found.origin})",
        f"  free on that disk: {size(found.free)}{missing}",
    ]


def what_to_type(experiment: Experiment, runs: Sequence[Run], flags: str) -> list[str]:
    """The commands that go on from here; `flags` name another scale than the configured one."""
    again = next((run for run in runs if run.training and run.training.status == "stale"), None)
    again = again or next((run for run in runs if run.training), runs[0])
    # The rule's name would have the training done again that this one goes on from.
    rule = f"{again.folder}/train.json" if again.stem else "train" if again.training else "evaluate"
    everything = [
        ["the rest, here", f"snakemake{flags}"],
        ["the rest, on Slurm", f"snakemake --profile slurm{flags}"],
    ]
    one = [["one cell again", f"snakemake {again.target} -R {rule}{flags}"]]
    more = [
        [f"{table}, on request", f"snakemake results/{table}.tex{flags}"]
        for table in experiment.active.on_request.tables
    ]
    return ["", *aligned([*([] if _all_done(runs) else everything), *one, *more])]


def size(count: int) -> str:
    """Bytes in a unit that leaves few digits."""
    value = float(count)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if value < 1000:
            return f"{value:.3g} {unit}"
        value /= 1024
    return f"{value:.3g} TiB" if value < 1000 else f"{value:,.0f} TiB"


def duration(seconds: float) -> str:
    """Seconds in a unit that leaves few digits."""
    for unit, length, most in (("s", 1, 120), ("min", 60, 120 * 60)):
        if seconds < most:
            return f"{seconds / length:.3g} {unit}"
    return f"{seconds / 3600:.3g} h"


def _what_differs(run: Run) -> list[str]:
    if run.spec is None:
        return ["-"] * 4
    spec = run.spec
    steps = f"{run.taken} + {spec.steps - run.taken}" if run.taken else str(spec.steps)
    grouping = spec.grouping.replace("importance", _SELECTED[spec.selection])
    return [spec.algorithm, grouping, f"{spec.variants}x{spec.generations}", steps]


def _word(standing: Standing) -> str:
    return f"{standing.status} {standing.at}" if standing.status in ("running", "partial") else standing.status


def _in_one(parts: Sequence[Standing]) -> str:
    """One word for all parts, or how many are done."""
    if len({part.status for part in parts}) == 1:
        return parts[0].status
    return f"{sum(part.status == 'done' for part in parts)}/{len(parts)} done"


def _all_done(runs: Sequence[Run]) -> bool:
    return all(standing.status == "done" for run in runs for _, standing in _jobs(run))


def _jobs(run: Run) -> Iterator[tuple[str, Standing]]:
    if run.training:
        yield "training", run.training
    for part, standing in run.evaluation.items():
        yield f"evaluation {part}", standing
    yield "grading", run.grading


def _so_far(standing: Standing) -> str:
    return f"at {standing.at} of {standing.total or 'unknown'}"


def _stale(job: str, why: Sequence[str], names: Sequence[str]) -> list[str]:
    """The runs that a reason holds for, then the reason."""
    listed = textwrap.wrap(f"{job} of {', '.join(names)}", _WIDTH - 4, subsequent_indent="  ", break_on_hyphens=False)
    return [*listed, *(f"    {reason}" for reason in why)]


def _paces(jobs: Sequence[Left]) -> list[str]:
    """Steps in all and seconds of one."""
    steps = sum(job.steps or 0 for job in jobs)
    seconds = [job.pace for job in jobs if job.pace is not None and job.steps is not None]
    if not seconds:
        return [str(steps) if steps else "-", "-"]
    least, most = f"{min(seconds):.3g}", f"{max(seconds):.3g}"
    return [str(steps), least if least == most else f"{least}-{most}"]


def _hours(experiment: Experiment, jobs: Sequence[Left]) -> str:
    """Their sum, with its unit."""
    return f"{_number(jobs)} {_unit(experiment, _need(jobs))}"


def _number(jobs: Sequence[Left]) -> str:
    """Their hours; a job of which no pace is known counts as one that uses all its time."""
    bound = "<= " if any(job.pace is None for job in jobs) else "~ " if any(job.assumed for job in jobs) else ""
    hours = sum(job.hours for job in jobs)
    return f"{bound}{hours:{',.0f' if hours >= 10 else '.2g'}}"


def _need(jobs: Sequence[Left]) -> Need:
    return "evaluate" if jobs[0].steps is None else "train"


def _unit(experiment: Experiment, need: Need) -> str:
    return "GPU-h" if experiment.active.needs[need].gpus else "CPU-h"


def _indented(text: str) -> list[str]:
    return textwrap.wrap(text, _WIDTH, initial_indent="  ", subsequent_indent="    ", break_on_hyphens=False)


def aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Columns as wide as their longest entry; numbers are flushed right."""
    columns = list(zip(*rows, strict=True))
    widths = [max(map(len, column)) for column in columns]
    right = [all(set(text) <= _NUMERIC for text in column[1:]) for column in columns]

    def line(row: Sequence[str]) -> str:
        padded = zip(row, widths, right, strict=True)
        return "  ".join(text.rjust(width) if flush else text.ljust(width) for text, width, flush in padded)

    return [line(row).rstrip() for row in rows]


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"
