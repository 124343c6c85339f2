"""Checks of a Slurm cluster: its programs, its controller, and whether every job of the scale fits a partition."""

import re
import shutil
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version

from stgrpo.config import Experiment
from stgrpo.planning.findings import Finding, Setting, ask
from stgrpo.planning.work import Demand, count_gpus

_PROGRAMS = ("sbatch", "squeue", "sinfo", "scontrol", "srun")
_PLUGIN = "snakemake-executor-plugin-slurm"
# Seconds for which squeue should still know of a job that ended: Snakemake's plugin asks up to 180 s apart, later where
# the controller is slow to answer. This is what Slurm does by default.
_LEAST_AGE = 300


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
    """It answers, and treats jobs as Snakemake expects."""
    if setting.executor != "slurm" or (answer := ask("scontrol", "ping")) is None:
        return
    if not answer.good or " UP" not in answer.text:
        said = answer.error or answer.text or "nothing"
        todo = "ask the cluster's administrators, or wait"
        yield Finding("missing", "controller", f"does not answer (scontrol ping: {said})", todo)
        return
    yield Finding("ok", "controller", "slurmctld is up")
    told = ask("scontrol", "show", "config")
    if told and told.good:
        yield from _habits(dict(re.findall(r"^(\w+)\s*=\s*(\S+)", told.text, re.MULTILINE)))


def _habits(config: Mapping[str, str]) -> Iterator[Finding]:
    """What of `scontrol show config` makes a run slower or wait for ever."""
    age = config.get("MinJobAge", "")
    if age.isdecimal() and int(age) < _LEAST_AGE:
        found = f"squeue forgets ended jobs after {age} s (MinJobAge)"
        todo = f"if jobs seem to vanish, have it set to {_LEAST_AGE} or more, or drop slurm-status-command: squeue"
        yield Finding("note", "controller", found, todo)
    if "CANCEL" in config.get("PreemptMode", ""):
        found = "jobs that make way for others are cancelled (PreemptMode), and Snakemake goes on waiting for them"
        todo = "choose a partition without preemption; if a job is PREEMPTED, interrupt Snakemake and start it again"
        yield Finding("note", "controller", found, todo)
    if config.get("JobRequeue") == "0":
        found = "Slurm starts no job again that does not ask for it (JobRequeue = 0)"
        todo = "keep slurm-requeue: true in the profile, or each next slice of a training spends one of two retries"
        yield Finding("note", "controller", found, todo)


def partitions(setting: Setting) -> Iterator[Finding]:
    """Whether every kind of job finds a partition that takes it."""
    if setting.executor != "slurm":
        return
    answer = ask("sinfo", "--exact", "--noconvert", "-h", "-o", "%P|%D|%G|%m|%c|%l")
    if answer is None:  # `programs` says so
        return
    if not answer.good or not answer.text:
        yield Finding(
            "missing", "partitions", f"sinfo lists none ({answer.error or 'no lines'})", "run again, or ask for help"
        )
        return
    offered = [parse_nodes(line) for line in answer.text.splitlines()]
    takers: dict[str, list[str]] = defaultdict(list)
    default = {found.partition for found in offered if found.default}
    for name, need in setting.work.needs.items():
        if name == "fetch":  # runs where Snakemake does
            continue
        names = _takers(offered, need)
        if not names:
            yield _refused(setting.experiment, name, need, offered)
            continue
        takers[", ".join(names)].append(name)
        if default.isdisjoint(names):
            todo = f"say slurm_partition={names[0]} in --default-resources or in your profile"
            yield Finding("note", "partitions", f"the default one does not take {name}, {names[0]} does", todo)
    for names, jobs in takers.items():
        yield Finding("ok", "partitions", f"{names} for {', '.join(jobs)}")


def parse_nodes(line: str) -> Nodes:
    """One line of `sinfo --exact --noconvert -h -o %P|%D|%G|%m|%c|%l`."""
    partition, count, gres, memory, cpus, limit = line.split("|")
    return Nodes(
        partition=partition.rstrip("*"),
        default=partition.endswith("*"),
        count=int(count),
        gpus=count_gpus(gres),
        memory=int(memory),
        cpus=int(cpus),
        limit=_minutes(limit),
    )


def _minutes(limit: str) -> int | None:
    """Minutes of [days-]hours:minutes:seconds or minutes:seconds; None of anything else, as `infinite`."""
    found = re.fullmatch(r"(?:(\d+)-)?(?:(\d+):)?(\d+):(\d+)", limit)
    if found is None:
        return None
    days, hours, minutes, _ = (int(part or 0) for part in found.groups())
    return (days * 24 + hours) * 60 + minutes


def _refused(experiment: Experiment, name: str, need: Demand, offered: Sequence[Nodes]) -> Finding:
    amount = _amount(need.gpus, need.cpus, need.mem_mb)
    asked = f"{f'{need.nodes} x ' if need.nodes > 1 else ''}{amount}, {need.runtime} min"
    largest = max(offered, key=lambda found: (found.gpus, found.memory, found.cpus), default=None)
    had = f"the largest nodes are {largest}" if largest else "sinfo lists none"
    slices = "; a training that takes longer than its job goes on in the next" if name == "train" else ""
    todo = f"lower scales.{experiment.scale}.needs.{name} in config.yaml{slices}"
    return Finding("missing", "partitions", f"none takes {name}, a job of {asked}; {had}", todo)


def _takers(offered: Sequence[Nodes], need: Demand) -> list[str]:
    """Partitions with enough nodes that a job fits on; its nodes need not be like each other."""
    fitting = Counter()
    for found in offered:
        enough = found.gpus >= need.gpus and found.memory >= need.mem_mb and found.cpus >= need.cpus
        if enough and (found.limit is None or found.limit >= need.runtime):
            fitting[found.partition] += found.count
    return [partition for partition, count in fitting.items() if count >= need.nodes]


def _amount(gpus: int, cpus: int, memory: int) -> str:
    parts = [f"{gpus} GPU{'s' * (gpus > 1)}"] if gpus else []
    return ", ".join([*parts, f"{cpus} CPU{'s' * (cpus > 1)}", f"{memory} MB"])
