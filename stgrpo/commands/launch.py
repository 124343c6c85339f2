"""Submit the training of one cell with submitit, outside of Snakemake, which takes the result over.

Runs in the root of the clone, on a machine that may submit jobs. What the training needs must have been made before;
what is missing is named with the command that makes it. The job asks for what the scale's needs.train says; account,
partition and the like are yours: --slurm account=NAME --slurm partition=NAME.
"""

import os
import shlex
import shutil
import signal
import subprocess
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from submitit import AutoExecutor
from submitit.core.utils import FailedJobError
from submitit.helpers import Checkpointable, clean_env

from stgrpo.commands import add_scale
from stgrpo.config import Experiment, Resources
from stgrpo.errors import UserError, suggest
from stgrpo.files import read_json
from stgrpo.image import environment
from stgrpo.loading import read_experiment
from stgrpo.specs import TrainSpec, train_spec

_WARNING = 3  # minutes before the end of a job at which submitit may have it warned
_STARTS = 1000  # of one job; what does not come forward stops by itself


def register(parser: ArgumentParser) -> None:
    """Arguments of the verb."""
    parser.add_argument("cell", help="a trained cell of the scale")
    parser.add_argument("--seed", type=int, default=0, help="default: 0")
    add_scale(parser)
    parser.add_argument("--executor", choices=("slurm", "local"), default="slurm", help="default: slurm")
    parser.add_argument("--slurm", action="append", default=[], metavar="KEY=VALUE", help="one more option of sbatch")
    parser.add_argument("--dry-run", action="store_true", help="print the command of the job, submit nothing")


def run(args: Namespace) -> None:
    """Check, submit, and say where to look."""
    experiment = read_experiment(args.scale)
    options = _options(args.slurm)
    out = _folder(experiment, args.cell, args.seed)
    spec = train_spec(experiment, args.cell, args.seed)
    inputs = _inputs(experiment, spec, args.cell, f" --config scale={args.scale}" if args.scale else "")
    keep = experiment.is_stem(args.cell)
    command = [*_python(experiment), *_words(experiment, spec, inputs, keep, out)]
    if args.dry_run:
        print(shlex.join(command))
        return
    _refuse_if_done(out, spec)
    # What a user says about the ranks' meeting point (stgrpo.rl.nodes) would not survive `clean_env`.
    told = {name: os.environ[name] for name in ("MASTER_ADDR", "MASTER_PORT") if name in os.environ}
    if "apptainer" in command:
        told |= environment(Path(experiment.container), experiment.scale)
    training = Training(command, told)
    job = _submit(training, args.executor, experiment, out / "logs" / "launch", options)
    print(f"{args.cell}, seed {args.seed}: submitted as job {job.job_id}; log: {job.paths.stdout}")


@dataclass
class Training(Checkpointable):
    """The job: the `train` verb as a process of its own. Started again, it goes on from its newest checkpoint."""

    command: Sequence[str]
    environment: Mapping[str, str]

    def __call__(self) -> None:
        """Run it; when its time is used up, let submitit put the job back into the queue.

        Raises:
            RuntimeError: it has failed, and said why.
        """
        # Slurm warns all processes of the job; submitit's alone is to hear it.
        ours = signal.signal(signal.SIGUSR2, signal.SIG_IGN)
        process = subprocess.Popen(self.command, env={**os.environ, **self.environment})
        signal.signal(signal.SIGUSR2, ours)
        try:
            status = process.wait()
        finally:  # it must not outlive this one, which is ended by what the signal calls
            process.kill()
            process.wait()
        if status == os.EX_TEMPFAIL:
            os.kill(os.getpid(), signal.SIGUSR2)
        elif status:
            raise RuntimeError(f"train ended with status {status}; what it said stands above")


def _options(given: Sequence[str]) -> dict[str, str]:
    """The further options of sbatch by name.

    Raises:
        UserError: one is not of the form KEY=VALUE.
    """
    parts = [text.removeprefix("--").partition("=") for text in given]
    if wrong := [text for text, (_, sign, _) in zip(given, parts, strict=True) if not sign]:
        raise UserError(f"--slurm {wrong[0]}: no value; give KEY=VALUE, as in --slurm partition=gpu")
    return {name: value for name, _, value in parts}


def _folder(experiment: Experiment, cell: str, seed: int) -> Path:
    """Where Snakemake looks for the results of a cell and seed.

    Raises:
        UserError: the scale has no such training.
    """
    if cell not in experiment.trainable:
        raise UserError(f"scale '{experiment.scale}' trains no cell '{cell}'; {suggest(cell, experiment.trainable)}")
    if seed not in experiment.active.seeds:
        seeds = ", ".join(map(str, experiment.active.seeds))
        raise UserError(f"scale '{experiment.scale}' has seed {seeds}, not {seed}; add it to its seeds in config.yaml")
    return Path("results", experiment.scale, "cells", cell, f"seed{seed}")


def _inputs(experiment: Experiment, spec: TrainSpec, cell: str, scale: str) -> dict[str, Path]:
    """What the training reads, by the names of the verb's arguments.

    Raises:
        UserError: some of it is not there; with the command that makes it.
    """
    folder = Path("results", experiment.scale)
    inputs = {"questions": folder / "questions" / "train.jsonl", "policy": folder / "policy"}
    if spec.scores:
        inputs["scores"] = folder / "scores" / "train.parquet"
    if stem := experiment.stem(cell):
        inputs["stem"] = folder / "cells" / stem / f"seed{spec.seed}" / "train.json"
    if missing := [str(path) for path in inputs.values() if not path.exists()]:
        raise UserError(f"{', '.join(missing)}: not there; make it first: snakemake {' '.join(missing)}{scale}")
    return inputs


def _python(experiment: Experiment) -> list[str]:
    """Python in the image where there is one, else this one."""
    if Path(experiment.container).exists() and shutil.which("apptainer"):
        return ["apptainer", "exec", "--nv", "--home", str(Path.cwd()), experiment.container, "python"]
    return [sys.executable]


def _words(experiment: Experiment, spec: TrainSpec, inputs: Mapping[str, Path], keep: bool, out: Path) -> list[str]:
    """The verb, as workflow/rules/train.smk calls it (a test compares them)."""
    scale, need = experiment.active, experiment.active.needs["train"]
    words = ["-m", "stgrpo", "train", "--spec", spec.canonical()]
    words += [f"--threads={need.cpus // scale.processes}", f"--nodes={scale.nodes}", f"--processes={scale.processes}"]
    words += [f"--{name}={path}" for name, path in inputs.items()]
    words += [f"--deepspeed=envs/{scale.sharding}.json"] if scale.sharding != "ddp" else []
    words += [f"--micro-rows={scale.micro_rows}", f"--save-steps={scale.save_steps}", f"--sharing={scale.sharing}"]
    words += ["--keep"] if keep else []
    words += [f"--minutes={max(1, need.runtime - _WARNING)}"]
    return [*words, f"--state={out / 'state' / 'train'}", f"--out={out}"]


def _refuse_if_done(out: Path, spec: TrainSpec) -> None:
    result = out / "train.json"
    if result.exists() and read_json(result, "provenance.spec")["provenance"]["spec"] == spec.hash():
        raise UserError(f"{result}: trained already, from the same specification; remove it to train again")


def _submit(training: Training, kind: str, experiment: Experiment, logs: Path, options: Mapping[str, str]) -> Any:
    """The submitted job.

    Raises:
        UserError: there is no Slurm here, or it does not want the job.
    """
    if kind == "slurm" and not shutil.which("srun"):
        raise UserError("no srun here; run this where jobs are submitted, or on this machine itself: --executor local")
    scale, need = experiment.active, experiment.active.needs["train"]
    try:
        executor = AutoExecutor(folder=logs, cluster=kind, slurm_max_num_timeout=_STARTS, local_max_num_timeout=_STARTS)
        executor.update_parameters(**_asked(scale.nodes, scale.processes, need, options))
        with clean_env():  # it may be typed inside of another job
            return executor.submit(training)
    except (FailedJobError, ValueError) as error:
        raise UserError(f"not submitted: {' '.join(str(error).split())}") from None


def _asked(nodes: int, processes: int, need: Resources, options: Mapping[str, str]) -> dict[str, Any]:
    """What the job asks for, in submitit's words; on several nodes srun starts the ranks, on one the verb does."""
    tasks = processes if nodes > 1 else 1
    return {
        "name": "stgrpo-train",
        "nodes": nodes,
        "tasks_per_node": tasks,
        "cpus_per_task": need.cpus // tasks,
        "mem_gb": need.mem_mb / 1024,
        "timeout_min": need.runtime,
        "stderr_to_stdout": True,
        **({"gpus_per_node": need.gpus} if need.gpus else {}),
        "slurm_srun_args": ["--kill-on-bad-exit=1", f"--cpus-per-task={need.cpus // tasks}"],
        "slurm_additional_parameters": dict(options),
    }
