"""What this machine and configuration lack for the active scale; each check is a function that yields its findings."""

import fcntl
import os
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from http.client import HTTPException
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

from stgrpo.config import Experiment
from stgrpo.errors import UserError
from stgrpo.planning import cluster, gpu
from stgrpo.planning.disk import disk, existing, free_space
from stgrpo.planning.downloads import LOCKS, downloads
from stgrpo.planning.findings import Executor, Finding, Setting, ask, visible
from stgrpo.planning.sources import row
from stgrpo.planning.standing import Run, Standing, all_runs
from stgrpo.planning.text import size
from stgrpo.planning.work import work_of_jobs

_ROOT = Path(__file__).parent.parent.parent
_CONSTRAINTS = _ROOT / "envs" / "constraints.txt"
_OFFLINE = ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE")
_WRITTEN = (Path("results"), Path("resources"))
_PACKAGES = ("snakemake", "snakemake-executor-plugin-slurm", "pydantic", "submitit")  # of the machine that starts jobs

Check = Callable[[Setting], Iterator[Finding]]


def diagnose(setting: Setting) -> list[Finding]:
    """Everything that was found, good or bad."""
    return [finding for check in (*CHECKS, packages) for finding in check(setting)]


def refuse(experiment: Experiment, executor: Executor, container: bool, jobs: Iterable[Any]) -> None:
    """Stop a run that cannot work before it starts anything.

    Args:
        experiment: the configuration.
        executor: where its jobs run.
        container: whether they run in the image.
        jobs: Snakemake's, of this run; to fetch or to tabulate takes no GPU.

    Raises:
        UserError: a line for each thing that is missing.
    """
    setting = Setting(experiment, executor, container, work_of_jobs(experiment, jobs))
    lacking = [f for check in CHECKS for f in check(setting) if f.level == "missing"]
    if lacking:
        lines = [f"  {finding.subject}: {finding}" for finding in lacking]
        raise UserError(f"scale '{experiment.scale}' cannot run here:", *lines)


def gpus(setting: Setting) -> Iterator[Finding]:
    """GPUs of this machine, where jobs run on it."""
    if setting.executor != "local":
        return
    needs = setting.work.needs.values()
    nodes = max((need.nodes for need in needs), default=1)
    if nodes > 1:
        yield Finding("missing", "nodes", f"this is one, a training needs {nodes}", "use --profile slurm")
    most = max((need.gpus for need in needs), default=0)
    answer = ask("nvidia-smi", "-L")
    there = re.findall(r"^GPU \d+:", answer.text, re.MULTILINE) if answer and answer.good else []
    found = len(visible(len(there)))
    if found >= most:
        yield Finding("ok", "GPUs", f"{found}, a job needs {most} at most")
    else:
        todo = "use --profile slurm on a cluster that has them, or --config scale=demo, which needs none"
        yield Finding("missing", "GPUs", f"{found}, a job of scale '{setting.experiment.scale}' needs {most}", todo)


def machine(setting: Setting) -> Iterator[Finding]:
    """CPUs and memory of this machine, where jobs run on it."""
    needs = setting.work.needs.values()
    if setting.executor != "local" or not needs:
        return
    told = re.search(r"^MemTotal:\s+(\d+) kB", Path("/proc/meminfo").read_text(encoding="ascii"), re.MULTILINE)
    had = {"CPUs": os.cpu_count() or 1, "MB of memory": int(told[1]) // 1024 if told else 0}
    most = {"CPUs": max(need.cpus for need in needs), "MB of memory": max(need.mem_mb for need in needs)}
    for what, found in had.items():
        level, todo = ("ok", "") if found >= most[what] else ("note", "it may be slow, or be killed for memory")
        yield Finding(level, "machine", f"{found} {what}, a job asks for {most[what]} at most", todo)


def image(setting: Setting) -> Iterator[Finding]:
    """The image, and Apptainer to run it."""
    if not setting.container:
        return
    path = Path(setting.experiment.container)
    if not path.is_file():
        where = f"-> {path.readlink()}, which does not exist" if path.is_symlink() else "does not exist"
        yield Finding("missing", "image", f"{path} {where}", "make image, or name one as `container` in config.yaml")
    elif not os.access(path, os.R_OK):
        yield Finding("missing", "image", f"{path} cannot be read", f"chmod +r {path}")
    else:
        yield Finding("ok", "image", f"{path}, {size(path.stat().st_size)}")
    answer = ask("apptainer", "--version")
    if answer is None:
        todo = "install it, or load its module (module load apptainer)"
        yield Finding("missing", "apptainer", "not on the PATH", todo)
    elif not answer.good:
        yield Finding("missing", "apptainer", f"does not run ({answer.error})", "try apptainer --version")
    else:
        yield Finding("ok", "apptainer", answer.text)


def writing(setting: Setting) -> Iterator[Finding]:
    """The folders that a run writes; that of the locks where a source is to be fetched for the first time."""
    fetched = [] if setting.experiment.active.world else setting.work.sources
    new = any(not (LOCKS / f"{name}.json").exists() for name in fetched)
    for path in (*_WRITTEN, LOCKS) if new else _WRITTEN:
        above = existing(path)
        if path.is_symlink() and not path.exists():
            aim = path.readlink()
            yield Finding("missing", f"{path.name}/", f"a link to {aim}, which does not exist", f"mkdir -p {aim}")
        elif not above.is_dir():
            yield Finding("missing", f"{path.name}/", f"{above} is no folder", f"move it away: mv {above} {above}.old")
        elif not os.access(above, os.W_OK | os.X_OK):
            todo = f"have it made writable, or make {path} a link to a folder that is"
            yield Finding("missing", f"{path.name}/", f"{above} cannot be written", todo)
        else:
            yield Finding("ok", f"{path.name}/", f"can be written, {size(free_space(path))} are free")


def room(setting: Setting) -> Iterator[Finding]:
    """The disk, against what the trainings need at their peak."""
    if not setting.work.trainings:
        return
    runs = all_runs(setting.experiment, on_request=True)
    ahead = [_again(run) for run in runs if (run.cell, run.seed) in setting.work.trainings]
    found = disk(setting.experiment, ahead)
    if found is None:
        yield Finding("note", "disk", "its peak is unknown until the policy to start from is there")
    elif found.free <= found.largest:
        had = f"{size(found.free)} are free, a training needs {size(found.largest)} more at its peak"
        yield Finding("missing", "disk", had, "free some, or make results/ a link to a larger disk")
    elif found.free <= found.needed:
        wanted = f"the {len(ahead)} trainings left need {size(found.needed)} more side by side"
        todo = "free some, make results/ a link to a larger disk, or run fewer at once (--jobs)"
        yield Finding("note", "disk", f"{size(found.free)} are free, {wanted}", todo)
    else:
        yield Finding("ok", "disk", f"{size(found.free)} are free, the trainings left need {size(found.needed)} more")


def fetching(setting: Setting) -> Iterator[Finding]:
    """The disk of resources/, against what is to be fetched and unpacked there."""
    wanted = [one for one in downloads(setting.experiment) if one.name in setting.work.sources]
    needed = sum(one.lacking for one in wanted)
    if not needed:
        return
    free = free_space(Path("resources"))
    had = f"{size(free)} are free, {len(wanted)} sources to fetch need {size(needed)} more with what they unpack to"
    if free <= needed:
        yield Finding("missing", "downloads", had, "free some, or make resources/ a link to a larger disk")
    else:
        yield Finding("ok", "downloads", had)


def _again(run: Run) -> Run:
    """A training that is done and yet to run (-R train) needs all of its disk again."""
    done = run.training and run.training.status == "done"
    return replace(run, training=Standing("stale")) if done else run


def locks(setting: Setting) -> Iterator[Finding]:
    """Whether files can be locked, as the state of every training, evaluation and fetch is."""
    for path in _WRITTEN if setting.work.sources else _WRITTEN[:1]:
        above = existing(path)
        if not above.is_dir() or not os.access(above, os.W_OK | os.X_OK):  # `writing` says so
            continue
        try:
            with TemporaryFile(dir=above) as probe:
                fcntl.flock(probe, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            other = f"make {path}/ a link to another disk"
            todo = f"mount it with locks (Lustre: -o flock; NFS: its lock daemon), or {other}"
            yield Finding("missing", f"{path}/", f"{above} takes no locks ({error.strerror})", todo)
        else:
            yield Finding("ok", f"{path}/", "files in it can be locked")


def hub(setting: Setting) -> Iterator[Finding]:
    """Whether the Hub that something has to be fetched from can be reached from here.

    Asked once and without the Hub's client, so only told: a fetch tries again, and knows more kinds of proxies.
    """
    if setting.experiment.active.world or not setting.work.sources:
        return
    endpoint = os.environ.get("HF_ENDPOINT", "https://huggingface.co")
    offline = [name for name in _OFFLINE if os.environ.get(name, "").upper() in ("1", "ON", "YES", "TRUE")]
    if offline:
        yield Finding("missing", "hub", f"{' and '.join(offline)} is set", f"unset {' '.join(offline)}")
        return
    try:
        urlopen(Request(endpoint, method="HEAD"), timeout=10).close()
    except HTTPError:  # it answers, only not to this
        pass
    except (OSError, ValueError, HTTPException) as error:
        reason = error.reason if isinstance(error, URLError) else error
        todo = (
            "run snakemake prefetch where there is a network, or name a proxy (HTTPS_PROXY) or a mirror (HF_ENDPOINT)"
        )
        yield Finding("note", "hub", f"{endpoint} cannot be reached ({reason})", todo)
        return
    yield Finding("ok", "hub", f"{endpoint} answers")


def token(setting: Setting) -> Iterator[Finding]:
    """Leave to download what the Hub gives only to those who accepted its terms; the token itself is never shown."""
    if setting.experiment.active.world:  # everything is rendered
        return
    for name in setting.work.sources:
        source = row(name)
        if source["gated"] == "no":
            continue
        kind = "datasets/" if source["type"] == "dataset" else ""
        page = f"https://huggingface.co/{kind}{source['repository']}"
        if os.environ.get("HF_TOKEN"):
            yield Finding("ok", "token", f"HF_TOKEN is set, for {name}; its terms must be accepted at {page}")
        else:
            todo = f"accept its terms at {page}, then export HF_TOKEN=..."
            yield Finding("missing", "token", f"{name} needs one ({source['gated']})", todo)


def packages(setting: Setting) -> Iterator[Finding]:
    """Versions of what starts the jobs, against those that were measured."""
    pins = dict(line.split("==") for line in _CONSTRAINTS.read_text(encoding="utf-8").split() if "==" in line)
    odd = []
    for name in _PACKAGES:
        try:
            found = version(name)
        except PackageNotFoundError:
            found = "missing"
        if found != pins[name]:
            odd.append(f"{name} {found}, measured with {pins[name]}")
    if odd:
        yield Finding("note", "packages", "; ".join(odd), "make install")
    else:
        yield Finding("ok", "packages", ", ".join(f"{name} {pins[name]}" for name in _PACKAGES))


CHECKS: tuple[Check, ...] = (
    *(gpus, gpu.memory, machine, image),
    *(cluster.programs, cluster.controller, cluster.partitions),
    *(writing, locks, room, fetching, hub, token),
)
