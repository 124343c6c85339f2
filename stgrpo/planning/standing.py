"""How every job of the active scale stands: done, running, partial, stale (and why) or missing."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from stgrpo import specs
from stgrpo.config import Experiment
from stgrpo.errors import UserError
from stgrpo.files import LONGEST_LINE, read_json
from stgrpo.planning.differences import differences
from stgrpo.report.contents import eval_hashes, runs_of
from stgrpo.rl.checkpoints import GROUPS, METRICS, ROLLOUTS, newest, step_of
from stgrpo.rl.stem import left_behind, origin
from stgrpo.specs import EvalSpec, TrainSpec
from stgrpo.state import holder, unfinished

Status = Literal["done", "running", "partial", "stale", "missing"]
_WEIGHTS = {"train.json": "provenance", "metrics.json": "weights"}  # results that name a training, and where


@dataclass(frozen=True)
class Standing:
    """How one job stands.

    Attributes:
        status: `partial` was interrupted and goes on from where it was; `stale` was made by another spec than the
            configuration asks for now, or from what is to be made again.
        at: steps or answers so far of a running or partial job.
        kept: those of them that it would not do again.
        total: steps or answers in all; None where that is not known yet.
        holder: who runs it, in their own words.
        why: what makes it stale, a reason each; none where that is only what it is made from.
    """

    status: Status
    at: int = 0
    kept: int = 0
    total: int | None = None
    holder: str | None = None
    why: tuple[str, ...] = ()


@dataclass(frozen=True)
class Run:
    """One cell with one seed.

    Attributes:
        folder: where its results are.
        spec: what it is trained by; None for the untrained policy.
        training: None likewise.
        stem: the cell from whose last step it goes on, if there is one.
        taken: steps that it took over from there, or that it will take over.
        leaves: whether its last checkpoint stands, or will stand, beside its results for a longer training.
        evaluation: by part.
    """

    cell: str
    seed: int
    folder: Path
    spec: TrainSpec | None
    training: Standing | None
    evaluation: Mapping[str, Standing]
    grading: Standing
    stem: str | None = None
    taken: int = 0
    leaves: bool = False

    @property
    def name(self) -> str:
        """As it stands in lists."""
        return f"{self.cell} seed {self.seed}"

    @property
    def target(self) -> str:
        """The file that Snakemake is asked for to have all of it."""
        return f"{self.folder}/metrics.json"


def all_runs(experiment: Experiment, on_request: bool = False) -> list[Run]:
    """Every cell and seed of the active scale, from the results in the working directory.

    Args:
        experiment: the configuration.
        on_request: with the cells that are made only when asked for.

    Raises:
        UserError: a file of the results is damaged.
    """
    cells = experiment.active.known_cells if on_request else experiment.active.cells
    return _one_each([_run(experiment, cell, seed) for cell, seed in runs_of(experiment, cells)])


def _one_each(runs: list[Run]) -> list[Run]:
    """Of several trainings that are to go on from the same one, only the first can."""
    wanted, found = set(), []
    for run in runs:
        stem = (run.stem, run.seed)
        waits = run.training and run.training.status != "done" and not run.training.kept
        found.append(replace(run, taken=0) if waits and stem in wanted else run)
        wanted |= {stem} if waits and run.taken else set()
    return found


def _run(experiment: Experiment, cell: str, seed: int) -> Run:
    folder = _folder(experiment, cell, seed)
    spec = specs.train_spec(experiment, cell, seed) if cell in experiment.trainable else None
    training = _training(folder, spec) if spec else None
    ready = training is None or training.status == "done"
    evaluation = {
        part: _evaluation(folder, part, specs.eval_spec(experiment, cell, seed, part), ready)
        for part in experiment.active.evaluation.parts
    }
    ready = all(standing.status == "done" for standing in evaluation.values())
    grading = _grading(folder / "metrics.json", eval_hashes(experiment, cell, seed), ready)
    run = Run(cell, seed, folder, spec, training, evaluation, grading)
    if spec is None or training is None:
        return run
    left = left_behind(folder, spec.steps).exists()
    leaves = left if training.status == "done" else experiment.is_stem(cell)
    stem = experiment.stem(cell)
    return replace(run, stem=stem, taken=_taken(experiment, run, stem) if stem else 0, leaves=leaves)


def _folder(experiment: Experiment, cell: str, seed: int) -> Path:
    return Path("results") / experiment.scale / "cells" / cell / f"seed{seed}"


def _taken(experiment: Experiment, run: Run, stem: str) -> int:
    """Steps that a training took over; of one that has taken none yet, those that its stem has or will have left."""
    assert run.training is not None
    if run.training.status == "done":
        block = read_json(run.folder / "train.json", "provenance")["provenance"].get("continued")
        return block["step"] if block else 0
    if run.training.kept:
        note = origin(run.folder / "state" / "train")
        return note["step"] if note else 0
    spec, folder = specs.train_spec(experiment, stem, run.seed), _folder(experiment, stem, run.seed)
    is_used = _training(folder, spec).status == "done" and not left_behind(folder, spec.steps).exists()
    return 0 if is_used else spec.steps


def _training(folder: Path, spec: TrainSpec) -> Standing:
    state = folder / "state" / "train"
    going = _going(state, METRICS, spec.steps)
    if going and going.status == "partial":
        going = replace(going, kept=step_of(newest(state)))
    made = _made(folder / "train.json")
    if made and made["provenance"]["spec"] == spec.hash():
        gone = [name for name in ("model", METRICS, ROLLOUTS, GROUPS) if not (folder / name).exists()]
        own = Standing("stale", why=tuple(f"{name} is gone" for name in gone)) if gone else Standing("done")
    elif made:
        own = Standing("stale", why=differences(made["spec"], spec))
    else:
        own = Standing("missing")
    return _newer(going, own)


def _evaluation(folder: Path, part: str, spec: EvalSpec, ready: bool) -> Standing:
    state = folder / "state" / f"eval-{part}"
    going = _going(state, "predictions.jsonl", _asked(folder, spec)) if unfinished(state) else None
    answered = _spec_of_predictions(folder / "eval" / f"{part}.jsonl")
    if answered is None:
        own = Standing("missing")
    elif not ready:
        own = Standing("stale")
    elif answered != spec.hash():
        own = Standing("stale", why=(_why_another(folder, spec, answered),))
    else:
        own = Standing("done")
    return _newer(going, own)


def _newer(going: Standing | None, own: Standing) -> Standing:
    """What runs is the truth; what was interrupted, unless the result stands already."""
    return going if going and (going.status == "running" or own.status != "done") else own


def _grading(path: Path, hashes: Sequence[str], ready: bool) -> Standing:
    made = _made(path)
    if not made:
        return Standing("missing")
    if not ready:
        return Standing("stale")
    found, wanted = made["provenance"]["spec"], ",".join(hashes)
    return Standing("done") if found == wanted else Standing("stale", why=(f"scored predictions of spec {found}",))


def _going(state: Path, history: str, total: int | None) -> Standing | None:
    """A job that has state: it runs, or was interrupted."""
    if not unfinished(state):
        return None
    at, who = count_lines(state / history), holder(state)
    return Standing("running" if who else "partial", at, at, total, who)


def _made(path: Path) -> dict[str, Any] | None:
    """A result that names its spec, None where there is none.

    Raises:
        UserError: the file is damaged.
    """
    if not path.exists():
        return None
    return read_json(path, "provenance.spec")


def _spec_of_predictions(path: Path) -> str | None:
    """The hash in the first line: all lines are written at once, by one spec.

    Raises:
        UserError: the file is damaged.
    """
    if not path.exists():
        return None
    with path.open("rb") as lines:
        first = lines.readline(LONGEST_LINE)
    try:
        return json.loads(first)["spec"]
    except (ValueError, TypeError, KeyError, RecursionError):
        raise UserError(f"{path}:1: no prediction that names its spec; remove the file and run again") from None


def _why_another(folder: Path, spec: EvalSpec, answered: str) -> str:
    """Predictions name the hash of their spec only, so the weights that were here before are tried in it."""
    cell, _, wanted = spec.policy.partition("@")
    before = {made[block]["spec"] for name, block in _WEIGHTS.items() if (made := _made(folder / name))}
    for weights in before - {wanted}:
        if spec.model_copy(update={"policy": f"{cell}@{weights}"}).hash() == answered:
            return "policy (the weights that answered are of another spec)"
    return "prompt, max_tokens, frames or questions of the evaluation"


def _asked(folder: Path, spec: EvalSpec) -> int | None:
    """Questions of one part, None while a file of them is missing."""
    files = [folder.parents[2] / "questions" / f"{name}.jsonl" for name in spec.benchmarks]
    return sum(map(count_lines, files)) if all(path.exists() for path in files) else None


def count_lines(path: Path) -> int:
    """Whole lines of a file that may be growing; 0 without one."""
    if not path.exists():
        return 0
    with path.open("rb") as lines:
        return sum(line.endswith(b"\n") for line in lines)
