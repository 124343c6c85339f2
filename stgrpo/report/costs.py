"""What the jobs of every cell cost: Snakemake's measurements, and the trainings' own clocks."""

from collections.abc import Iterable
from dataclasses import dataclass
from statistics import fmean, median

from stgrpo.report.results import Results, Run


@dataclass(frozen=True)
class Seconds:
    """Of one step: the means of a cell's trainings, one a seed."""

    least: float
    median: float
    most: float


@dataclass(frozen=True)
class Cost:
    """One cell, all its seeds together; None where nothing was measured.

    Attributes:
        seeds: how many.
        steps: of one training.
        taken: those of them that it took over from a shorter one, none of whose cost is counted here again.
        step: how long one takes.
        training: seconds of wall clock.
        evaluation: likewise.
        cpu: seconds of CPU time of both.
        gpu: seconds of wall clock times GPUs, of trainings.
        memory: MiB at the peak of its largest job.
        devices: that trained.
        attempts: starts of trainings.
    """

    cell: str
    seeds: int
    steps: int | None
    taken: int
    step: Seconds | None
    training: float | None
    evaluation: float | None
    cpu: float | None
    gpu: float
    memory: float | None
    devices: list[str]
    attempts: int


def costs(results: Results) -> list[Cost]:
    """One line a cell, and all of them together as the last."""
    each = [_cost(cell, results.of_cell(cell)) for cell in results.spec.cells]
    everything = Cost(
        cell="all",
        seeds=max(cost.seeds for cost in each),
        steps=None,
        taken=0,
        step=None,
        training=_sum(cost.training for cost in each),
        evaluation=_sum(cost.evaluation for cost in each),
        cpu=_sum(cost.cpu for cost in each),
        gpu=sum(cost.gpu for cost in each),
        memory=max((cost.memory for cost in each if cost.memory is not None), default=None),
        devices=sorted({device for cost in each for device in cost.devices}),
        attempts=sum(cost.attempts for cost in each),
    )
    return [*each, everything]


def _cost(cell: str, runs: list[Run]) -> Cost:
    trained = [run.train["provenance"] for run in runs if run.train]
    seconds = [fmean(row["seconds"] for row in run.steps) for run in runs if run.steps]
    jobs = [timing for run in runs for timing in run.timing.values()]
    return Cost(
        cell=cell,
        seeds=len(runs),
        steps=len(runs[0].steps) or None,
        taken=max((taken["step"] for block in trained if (taken := block.get("continued"))), default=0),
        step=Seconds(min(seconds), median(seconds), max(seconds)) if seconds else None,
        training=_sum(timing.get("s") for run in runs for job, timing in run.timing.items() if job == "train"),
        evaluation=_sum(timing.get("s") for run in runs for job, timing in run.timing.items() if job != "train"),
        cpu=_sum(timing.get("cpu_time") for timing in jobs),
        gpu=sum(_gpu_seconds(run) for run in runs),
        memory=max((timing["max_rss"] for timing in jobs if "max_rss" in timing), default=None),
        devices=sorted({block["device"] for block in trained}),
        attempts=sum(len(block["attempts"]) for block in trained),
    )


def _gpu_seconds(run: Run) -> float:
    """One GPU a process, if it was trained on any."""
    if not run.train or run.train["provenance"]["device"] == "cpu":
        return 0.0
    runtime = run.train["provenance"]["runtime"]
    return run.timing.get("train", {}).get("s", 0.0) * runtime["nodes"] * runtime["processes"]


def _sum(numbers: Iterable[float | None]) -> float | None:
    """None where nothing at all was measured."""
    known = [number for number in numbers if number is not None]
    return sum(known) if known else None
