"""Checks of a Slurm cluster: its programs, its controller, and whether every job of the scale fits a partition."""

import re
import shutil
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version

from stgrpo.config import Experiment, Resources, Scale
from stgrpo.planning.findings import Finding, Setting, ask

_PROGRAMS = ("sbatch", "squeue", "sinfo", "scontrol", "srun")
_PLUGIN = "snakemake-executor-plugin-slurm"
_LEAST_AGE = 120  # seconds for which squeue should still know of a job that ended; Snakemake asks every 30 at first
_GPUS = re.compile(r"gpu(?::[^:,()]+)?:(\d+)")  # in gpu:4, gpu:a100:4(S:0-1), gpu:a100:2,gpu:h100:2


@dataclass(frozen=True)
class Nodes:
    """Like nodes of one partition: their number, and what each of them has; memory in MB, limit in minutes or None."""

    partition: str
    default: bool
    count: int
    gpus: int
    memory: int
    cpus: int
    limit: int | None

    def __str__(self) -> str:
        limit = "without a time limit" if self.limit is None else f"{self.limit} min"
        amount = _amount(self.gpus, self.cpus, self.memory)
        return f"{self.count} x {amount}, {limit} in '{self.partition}'"


def programs(setting: Setting) -> Iterator[Finding]:
    """Slurm's own and Snakemake's plugin for it."""
    if setting.executor != "slurm":
        return
    if absent := [name for name in _PROGRAMS if shutil.which(name) is None]:
        todo = "run on a login node, or without --profile slurm"
        yield Finding("missing", "Slurm", f"not on the PATH: {', '.join(absent)}", todo)
    try:
        yield Finding("ok", "plugin", f"{_PLUGIN} {version(_PLUGIN)}")
    except PackageNotFoundError:
        yield Finding("missing", "plugin", f"{_PLUGIN} is not installed", "make install")


def controller(setting: Setting) -> Iterator[Finding]:
    """It answers, and remembers jobs for long enough."""
    if setting.executor != "slurm" or (answer := ask("scontrol", "ping")) is None:
        return
    if not answer.good or " UP" not in answer.text:
        said = answer.error or answer.text or "nothing"
        todo = "ask the cluster's administrators, or wait"
        yield Finding("missing", "controller", f"does not answer (scontrol ping: {said})", todo)
        return
    yield Finding("ok", "controller", answer.text.splitlines()[0])
    told = ask("scontrol", "show", "config")
    age = re.search(r"^MinJobAge\s*=\s*(\d+)", told.text, re.MULTILINE) if told else None
    if age and int(age[1]) < _LEAST_AGE:
        found = f"squeue forgets ended jobs after {age[1]} s (MinJobAge)"
        todo = f"if jobs seem to vanish, have it set to {_LEAST_AGE} or more, or drop slurm-status-command: squeue"
        yield Finding("note", "controller", found, todo)


def partitions(setting: Setting) -> Iterator[Finding]:
    """Whether every kind of job finds a partition that takes it."""
    if setting.executor != "slurm":
        return
    answer = ask("sinfo", "-h", "-o", "%P|%D|%G|%m|%c|%l")
    if answer is None:  # `programs` says so
        return
    if not answer.good or not answer.text:
        yield Finding(
            "missing", "partitions", f"sinfo lists none ({answer.error or 'no lines'})", "run again, or ask for help"
        )
        return
    offered = [parse_nodes(line) for line in answer.text.splitlines()]
    takers: dict[str, list[str]] = defaultdict(list)
    for name, need in setting.needs.items():
        if name == "fetch":  # runs where Snakemake does
            continue
        fitting = [found for found in offered if _takes(found, need, nodes_of(setting.experiment.active, name))]
        if not fitting:
            yield _refused(setting.experiment, name, need, offered)
            continue
        names = list(dict.fromkeys(found.partition for found in fitting))
        takers[", ".join(names)].append(name)
        if not any(found.default for found in fitting):
            todo = f"say slurm_partition={names[0]} in --default-resources or in your profile"
            yield Finding("note", "partitions", f"the default one does not take {name}, {names[0]} does", todo)
    for names, jobs in takers.items():
        yield Finding("ok", "partitions", f"{names} for {', '.join(jobs)}")


def nodes_of(scale: Scale, need: str) -> int:
    """Nodes of one job."""
    return scale.nodes if need == "train" else 1


def parse_nodes(line: str) -> Nodes:
    """One line of `sinfo -h -o %P|%D|%G|%m|%c|%l`; a plus behind a number means that some nodes have more."""
    partition, count, gres, memory, cpus, limit = line.split("|")
    return Nodes(
        partition=partition.rstrip("*"),
        default=partition.endswith("*"),
        count=int(count),
        gpus=sum(int(number) for number in _GPUS.findall(gres)),
        memory=int(memory.rstrip("+")),
        cpus=int(cpus.rstrip("+")),
        limit=_minutes(limit),
    )


def _minutes(limit: str) -> int | None:
    """Minutes of [days-]hours:minutes:seconds or minutes:seconds; None of anything else, as `infinite`."""
    found = re.fullmatch(r"(?:(\d+)-)?(?:(\d+):)?(\d+):(\d+)", limit)
    if found is None:
        return None
    days, hours, minutes, _ = (int(part or 0) for part in found.groups())
    return (days * 24 + hours) * 60 + minutes


def _refused(experiment: Experiment, name: str, need: Resources, offered: Sequence[Nodes]) -> Finding:
    nodes = nodes_of(experiment.active, name)
    asked = f"{f'{nodes} x ' if nodes > 1 else ''}{_amount(need.gpus, need.cpus, need.mem_mb)}, {need.runtime} min"
    largest = max(offered, key=lambda found: (found.gpus, found.memory, found.cpus), default=None)
    had = f"the largest nodes are {largest}" if largest else "sinfo lists none"
    slices = "; a training that takes longer than its job goes on in the next" if name == "train" else ""
    todo = f"lower scales.{experiment.scale}.needs.{name} in config.yaml{slices}"
    return Finding("missing", "partitions", f"none takes {name}, a job of {asked}; {had}", todo)


def _takes(found: Nodes, need: Resources, nodes: int) -> bool:
    enough = found.gpus >= need.gpus and found.memory >= need.mem_mb and found.cpus >= need.cpus
    return enough and found.count >= nodes and (found.limit is None or found.limit >= need.runtime)


def _amount(gpus: int, cpus: int, memory: int) -> str:
    parts = [f"{gpus} GPU{'s' * (gpus > 1)}"] if gpus else []
    return ", ".join([*parts, f"{cpus} CPU{'s' * (cpus > 1)}", f"{memory} MB"])
