"""What is to be done and what it asks for: in one run of Snakemake, or for all that a scale still lacks."""

import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Any

from stgrpo.config import Experiment, Need, Scale
from stgrpo.planning.standing import all_runs

# In gpu:4, gpu:a100:4(S:0-1), gpu:a100:no_consume:4, gpu:a100:2,gpu:h100:2.
_GPUS = re.compile(r"gpu(?::[^:,()]+)*:(\d+)")


@dataclass(frozen=True)
class Demand:
    """What a job asks for on each of its nodes; memory in MB, runtime in minutes."""

    gpus: int
    cpus: int
    mem_mb: int
    runtime: int
    nodes: int = 1


@dataclass(frozen=True)
class Work:
    """What is to be done.

    Attributes:
        needs: the most that a job of each kind asks for.
        sources: those that are to be fetched.
        trainings: those that are to run, by cell and seed.
    """

    needs: Mapping[Need, Demand]
    sources: Collection[str]
    trainings: Collection[tuple[str, int]]


def work_of_scale(experiment: Experiment) -> Work:
    """What the active scale lacks, as config.yaml asks: with all trained, nothing needs a training's GPUs.

    Raises:
        UserError: a file of the results is damaged.
    """
    scale, runs = experiment.active, all_runs(experiment)
    trainings = [(run.cell, run.seed) for run in runs if run.training and run.training.status != "done"]
    unexamined = {run.cell for run in runs if any(part.status != "done" for part in run.evaluation.values())}
    models = {experiment.cell(cell).model for cell in unexamined}  # nothing else is fetched for an evaluation alone
    fetched = Path("resources", experiment.scale)
    absent = [name for name in sources_of(experiment) if not (fetched / f"{name}.json").exists()]
    lacking = [name for name in absent if trainings or name in models]
    # Any other kind comes before the trainings.
    wanted = {"evaluate": bool(unexamined), "fetch": bool(trainings or lacking)}
    kinds: list[Need] = [kind for kind in scale.needs if wanted.get(kind, bool(trainings))]
    return Work({kind: configured(scale, kind) for kind in kinds}, lacking, trainings)


def work_of_jobs(experiment: Experiment, jobs: Iterable[Any]) -> Work:
    """What a run does, by Snakemake's jobs: its target and --set-resources count, the rest of the scale does not."""
    demands: dict[Need, list[Demand]] = defaultdict(list)
    sources, trainings = set(), set()
    for job in jobs:
        # Rules are called after their need, or after it and what they make: warm_policy.
        kind = job.rule.name.partition("_")[0]
        if kind not in experiment.active.needs:
            continue
        demands[kind].append(_asked(job, configured(experiment.active, kind)))
        if kind == "fetch":
            sources.add(job.wildcards.source)
        if kind == "train":
            trainings.add((job.wildcards.cell, int(job.wildcards.seed)))
    in_order: list[Need] = [kind for kind in experiment.active.needs if kind in demands]
    needs: dict[Need, Demand] = {kind: _largest(demands[kind]) for kind in in_order}
    return Work(needs, sorted(sources), sorted(trainings))


def configured(scale: Scale, kind: Need) -> Demand:
    """What config.yaml says that a job of this kind asks for."""
    need = scale.needs[kind]
    return Demand(need.gpus, need.cpus, need.mem_mb, need.runtime, scale.nodes if kind == "train" else 1)


def count_gpus(gres: str) -> int:
    """GPUs in Slurm's words for what a node has or a job asks for."""
    return sum(map(int, _GPUS.findall(gres)))


def _asked(job: Any, otherwise: Demand) -> Demand:
    """What Snakemake asks for; what it cannot know before the job starts is no number yet."""

    def number(name: str, default: int) -> int:
        value = job.resources.get(name)
        return value if isinstance(value, int) else default

    gres = job.resources.get("gres") or ""
    threads = job.threads
    return Demand(
        gpus=count_gpus(gres) if "gpu" in gres else number("gpu", otherwise.gpus),
        cpus=threads * number("tasks_per_node", 1) if isinstance(threads, int) else otherwise.cpus,
        mem_mb=number("mem_mb", otherwise.mem_mb),
        runtime=number("runtime", otherwise.runtime),
        nodes=number("nodes", otherwise.nodes),
    )


def _largest(demands: Iterable[Demand]) -> Demand:
    """The most of each."""
    return Demand(*map(max, zip(*map(astuple, demands), strict=True)))


def sources_of(experiment: Experiment) -> list[str]:
    """What the active scale is made from: its models, its corpus, its benchmarks."""
    scale, models = experiment.active, experiment.fetched_models
    examined = [experiment.benchmarks[name].source for part in scale.evaluation.parts.values() for name in part]
    return list(dict.fromkeys([*models, *scale.questions.sources, *examined]))
