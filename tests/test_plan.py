"""What `plan` says of results that the verbs left, and its arithmetic against sums done by hand."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import chdir
from dataclasses import asdict
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import yaml
from safetensors.numpy import save_file
from support import ROOT, experiment

from stgrpo import specs
from stgrpo.__main__ import main
from stgrpo.config import Experiment, Resources
from stgrpo.data.sources import read_source
from stgrpo.errors import UserError
from stgrpo.files import read_json, write_json
from stgrpo.loading import load_experiment, read_experiment
from stgrpo.planning import disk as disk_module
from stgrpo.planning.cost import longest_chain, what_is_left
from stgrpo.planning.differences import differences
from stgrpo.planning.disk import disk, parameters
from stgrpo.planning.standing import Run, Standing, all_runs, count_lines
from stgrpo.planning.text import duration, size, what_to_type
from stgrpo.planning.work import Work, work_of_scale
from stgrpo.provenance import provenance
from stgrpo.rl.stem import left_behind

slow = pytest.mark.slow
CELLS = Path("results/smoke/cells")


# A small experiment that was run to its end by the verbs themselves.


def configure(folder: Path, edit: Callable[[dict], object] = lambda raw: None) -> None:
    """config.yaml with scale smoke cut down further: three cells, two benchmarks in two parts, six steps."""
    raw = yaml.safe_load((ROOT / "config.yaml").read_text())
    raw["scale"] = "smoke"
    raw["scales"]["smoke"] |= {"cells": ["base", "grpo", "st-grpo-stochastic"], "tables": [], "figures": []}
    raw["scales"]["smoke"]["on_request"] = {}
    raw["scales"]["smoke"]["evaluation"]["parts"] = {"first": ["mmvu"], "second": ["perceptiontest"]}
    edit(raw)
    (folder / "config.yaml").write_text(yaml.safe_dump(raw))


def training_words(chosen: Experiment, cell: str) -> list[str]:
    out = CELLS / cell / "seed0"
    words = ["train", "--spec", specs.train_spec(chosen, cell, 0).canonical(), "--micro-rows=16", "--save-steps=2"]
    words += ["--questions", "results/smoke/questions/train.jsonl", "--policy", "results/smoke/policy"]
    return [*words, "--state", f"{out}/state/train", "--out", str(out)]


def make_questions(chosen: Experiment) -> None:
    for name, source in (("train", "video-r1"), ("mmvu", "mmvu"), ("perceptiontest", "perceptiontest")):
        row = json.dumps(asdict(read_source(ROOT / "workflow/resources/sources.csv", source)))
        assert not main(
            [
                "demo",
                "--spec",
                specs.world_spec(chosen, source).canonical(),
                "--hub",
                "resources/hub",
                "--provenance",
                "world.json",
            ]
        )
        assert not main(["fetch", "--source", row, "--hub", "resources/hub", "--out", f"resources/{source}.json"])
        spec, out = specs.prepare_spec(chosen, name).canonical(), f"results/smoke/questions/{name}"
        words = ["--source", f"resources/{source}", "--out", f"{out}.jsonl", "--aside", f"{out}.aside.csv"]
        assert not main(["prepare", "--spec", spec, *words])


def examine(chosen: Experiment, cell: str) -> None:
    out = CELLS / cell / "seed0"
    policy, files = str(out / "model") if cell in chosen.trainable else "results/smoke/policy", []
    hashes = []
    for part, names in chosen.active.evaluation.parts.items():
        spec = specs.eval_spec(chosen, cell, 0, part)
        hashes.append(spec.hash())
        questions = [f"results/smoke/questions/{name}.jsonl" for name in names]
        files += questions
        words = ["--policy", policy, "--state", f"{out}/state/eval-{part}", "--out", f"{out}/eval/{part}.jsonl"]
        assert not main(["evaluate", "--spec", spec.canonical(), "--questions", *questions, *words])
    words = ["--policy", policy, "--questions", *files]
    words += ["--out", f"{out}/metrics.json", "--graded", f"{out}/graded.jsonl"]
    words += ["--predictions", *(f"{out}/eval/{part}.jsonl" for part in chosen.active.evaluation.parts)]
    assert not main(["grade", "--cell", cell, "--seed=0", "--specs", *hashes, *words])


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, policy_path: Path) -> Path:
    """Everything done but the warm-up, in whose place a random policy stands."""
    folder = tmp_path_factory.mktemp("finished")
    configure(folder)
    with chdir(folder):
        chosen = read_experiment()
        shutil.copytree(policy_path, "results/smoke/policy")
        write_json("results/smoke/policy/made_by.json", {"provenance": provenance(specs.policy_spec(chosen).hash())})
        make_questions(chosen)
        for cell in chosen.trainable:
            assert not main(training_words(chosen, cell))
        for cell in chosen.active.cells:
            examine(chosen, cell)
    return folder


@pytest.fixture
def project(finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of it to spoil, as the working directory."""
    folder = tmp_path / "project"
    shutil.copytree(finished, folder)
    monkeypatch.chdir(folder)
    return folder


def plan(capsys: pytest.CaptureFixture, *words: str) -> str:
    capsys.readouterr()
    assert main(["plan", *words]) == 0
    return capsys.readouterr().out


def statuses() -> dict[str, list[str]]:
    """Training, parts and grading by cell."""
    runs = all_runs(read_experiment())
    jobs = {r.cell: [*([r.training] if r.training else []), *r.evaluation.values(), r.grading] for r in runs}
    return {cell: [standing.status for standing in standings] for cell, standings in jobs.items()}


def run_of(cell: str) -> Run:
    return next(run for run in all_runs(read_experiment()) if run.cell == cell)


def training_of(cell: str) -> Standing:
    standing = run_of(cell).training
    assert standing is not None
    return standing


DONE = {"base": ["done"] * 3, "grpo": ["done"] * 4, "st-grpo-stochastic": ["done"] * 4}


@slow
def test_what_the_verbs_finished_is_done(project: Path, capsys):
    assert statuses() == DONE
    assert work_of_scale(read_experiment()) == Work({}, [], [])
    text = plan(capsys)
    assert "Scale smoke: 3 cells x 1 seed, 2 trainings, 6 evaluations (2 parts a run)" in text
    assert "Nothing is left to train or to evaluate." in text
    assert "snakemake results/smoke/cells/grpo/seed0/metrics.json -R train" in text
    assert "the rest" not in text


def test_what_is_made_on_request_is_no_part_of_the_plan_but_can_be_asked_for(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    shutil.copy(ROOT / "config.yaml", tmp_path)
    text = plan(capsys)
    assert "12 cells x 1 seed, 11 trainings" in text
    assert "table6, on request  snakemake results/table6.tex\n" in text
    assert "table6, on request  snakemake results/table6.tex --config scale=smoke\n" in plan(capsys, "--scale", "smoke")
    assert "uniform" not in text
    assert len(work_of_scale(read_experiment()).trainings) == 11
    asked = all_runs(read_experiment(), on_request=True)
    assert [run.cell for run in asked[12:]] == yaml.safe_load(Path("config.yaml").read_text())["scales"]["demo"][
        "on_request"
    ]["cells"]


@slow
def test_planning_changes_nothing(project: Path, capsys):
    def everything() -> dict[Path, tuple]:
        return {path: (path.stat().st_mtime_ns, path.stat().st_size) for path in project.rglob("*")}

    before = everything()
    plan(capsys)
    assert everything() == before


@slow
def test_a_changed_rate_makes_trainings_stale_and_says_why_once(project: Path, capsys):
    configure(project, lambda raw: raw["scales"]["smoke"]["training"].update(learning_rate=1e-4))
    assert statuses() == DONE | {cell: ["stale"] * 4 for cell in ("grpo", "st-grpo-stochastic")}
    assert training_of("grpo").why == ("training.learning_rate 5e-05 -> 0.0001",)
    lines = plan(capsys).splitlines()
    at = lines.index("Stale")
    assert lines[at + 1 : at + 4] == [
        "  training of grpo seed 0, st-grpo-stochastic seed 0",
        "      training.learning_rate 5e-05 -> 0.0001",
        "",
    ]


@slow
def test_changed_inputs_are_named(project: Path):
    configure(project, lambda raw: raw["scales"]["smoke"]["questions"].update(seed=1))
    (why,) = training_of("grpo").why
    assert why.startswith("questions train@")
    assert why.endswith(" (the training questions)")
    configure(project, lambda raw: raw["scales"]["smoke"]["warm"]["policy"].update(seed=7))
    assert [why.split()[0] for why in training_of("grpo").why] == ["policy"]
    assert statuses()["base"] == ["stale", "stale", "stale"]
    assert run_of("base").evaluation["first"].why == ("policy (the weights that answered are of another spec)",)


@slow
def test_changed_evaluation_leaves_the_training_done(project: Path):
    configure(project, lambda raw: raw["scales"]["smoke"]["evaluation"].update(max_tokens=8))
    assert statuses()["grpo"] == ["done", "stale", "stale", "stale"]
    assert run_of("grpo").evaluation["first"].why == ("prompt, max_tokens, frames or questions of the evaluation",)
    assert set(work_of_scale(read_experiment()).needs) == {"evaluate"}


@slow
def test_answers_of_earlier_weights_are_stale(project: Path):
    """The cell was trained again, as train.json says, but not examined."""
    configure(project, lambda raw: raw["scales"]["smoke"]["training"].update(learning_rate=1e-4))
    spec = specs.train_spec(read_experiment(), "grpo", 0)
    write_json(
        CELLS / "grpo/seed0/train.json", {"spec": spec.model_dump(), "provenance": provenance(spec.hash(), seed=0)}
    )
    assert statuses()["grpo"] == ["done", "stale", "stale", "stale"]
    assert run_of("grpo").evaluation["second"].why == ("policy (the weights that answered are of another spec)",)


@slow
def test_a_part_and_a_cell_that_are_missing(project: Path, capsys):
    (CELLS / "grpo/seed0/eval/first.jsonl").unlink()
    configure(project, lambda raw: raw["scales"]["smoke"]["cells"].append("dr-grpo"))
    assert statuses() == DONE | {"grpo": ["done", "missing", "done", "stale"], "dr-grpo": ["missing"] * 4}
    text = plan(capsys)
    assert "1/2 done" in next(line for line in text.splitlines() if line.startswith("grpo "))
    assert "Missing\n  grpo seed 0, evaluation: first\n" in text


@slow
def test_results_that_are_gone_are_not_done(project: Path):
    shutil.rmtree(CELLS / "grpo/seed0/model")
    assert statuses()["grpo"] == ["stale"] * 4
    assert training_of("grpo").why == ("model is gone",)


@slow
def test_an_interrupted_evaluation_goes_on_and_costs_its_rest(project: Path):
    seed0 = CELLS / "grpo/seed0"
    answers = (seed0 / "eval/second.jsonl").read_text().splitlines(keepends=True)
    (seed0 / "eval/second.jsonl").unlink()
    write_json(seed0 / "state/eval-second/key.json", {"key": "of this spec"})
    (seed0 / "state/eval-second/predictions.jsonl").write_text("".join(answers[:9]) + answers[9][:10])
    found = run_of("grpo").evaluation["second"]
    assert (found.status, found.at, found.total) == ("partial", 9, 12)
    for cell, seconds in (("grpo", 8), ("base", 100)):
        timing = CELLS / cell / "seed0/timing/evaluate-second.tsv"
        timing.parent.mkdir()
        timing.write_text(f"s\th:m:s\tmax_rss\n{seconds}\t0:00:08\t500\n")
    (left,) = what_is_left(read_experiment(), all_runs(read_experiment()))
    assert (left.basis, left.seconds) == ("its own last evaluation", 2.0)  # 3 of 12 answers at 8 s for all


def wait_until(condition: Callable[[], bool], process: subprocess.Popen) -> None:
    deadline = time.monotonic() + 120
    while not condition():
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < deadline
        time.sleep(0.002)


@slow
def test_a_training_that_runs_and_is_killed(project: Path, capsys):
    """Its own lock, history and checkpoint; the disk of a checkpoint as it was foretold."""
    configure(project, lambda raw: raw["scales"]["smoke"]["cells"].append("dr-grpo"))
    state = CELLS / "dr-grpo/seed0/state/train"
    words = [sys.executable, "-m", "stgrpo", *training_words(read_experiment(), "dr-grpo")]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    pipe = subprocess.PIPE
    process = subprocess.Popen(words, stdout=pipe, stderr=subprocess.STDOUT, text=True, env=environment)
    try:
        whole = state / "checkpoint-2/complete.json"
        wait_until(lambda: whole.exists() and count_lines(state / "train.jsonl") > 2, process)
        process.send_signal(signal.SIGSTOP)
        found, text = training_of("dr-grpo"), plan(capsys)
    finally:
        process.kill()
        process.communicate()
    assert found.status == "running"
    assert found.holder is not None
    assert found.holder.startswith(f"process {process.pid} on ")
    assert found.at == 3
    assert f"Running\n  dr-grpo seed 0, training: at {found.at} of 6; process {process.pid} on " in text

    found = training_of("dr-grpo")
    assert (found.status, found.kept, found.total) == ("partial", 2, 6)
    assert f"training: at {found.at} of 6; goes on from 2\n" in plan(capsys)
    jobs = {job.kind: job for job in what_is_left(read_experiment(), all_runs(read_experiment()))}
    assert (jobs["training"].steps, jobs["training"].basis) == (4, "steps of the same cell")

    foretold = disk(read_experiment(), all_runs(read_experiment()))
    assert foretold is not None
    checkpoint = sum(path.stat().st_size for path in (state / "checkpoint-2").rglob("*"))
    assert checkpoint == pytest.approx(foretold.checkpoint, rel=0.05)


@slow
def test_damaged_results_are_one_line(project: Path, capsys):
    (CELLS / "grpo/seed0/train.json").write_text("{}")
    assert main(["plan"]) == 2
    assert "train.json: does not say its provenance.spec; remove it and run again" in capsys.readouterr().err


def test_no_configuration_is_one_line(tmp_path: Path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["plan"]) == 2
    said = capsys.readouterr().err
    assert said == f"plan: {tmp_path}: no config.yaml here; go to the root of the clone and run again\n"
    (tmp_path / "config.yaml").write_text("scale: [\n")
    assert main(["plan"]) == 2
    assert "plan: config.yaml: no YAML: while parsing" in capsys.readouterr().err
    shutil.copyfile(ROOT / "config.yaml", tmp_path / "config.yaml")
    assert main(["plan", "--scale", "papr"]) == 2
    assert "unknown scale 'papr'; did you mean 'paper'?" in capsys.readouterr().err


@pytest.mark.parametrize("scale", ["demo", "smoke", "paper"])
def test_it_fits_a_terminal(tmp_path: Path, monkeypatch, capsys, scale: str):
    monkeypatch.chdir(tmp_path)
    shutil.copyfile(ROOT / "config.yaml", tmp_path / "config.yaml")
    text = plan(capsys, "--scale", scale)
    assert text.isascii()
    assert max(map(len, text.splitlines())) <= 110
    assert ("unknown until the policy to start from is there" in text) == (scale != "paper")
    assert f"snakemake --profile slurm --config scale={scale}" in text


# What differs.


def test_differences_by_field():
    spec = specs.train_spec(experiment("smoke"), "st-grpo", 0)
    recorded = spec.model_dump(mode="json")
    recorded["training"]["variant"]["spatial"]["hue"] = 0.05
    recorded["steps"] = 500
    assert differences(recorded, spec) == ("steps 500 -> 6", "training.variant.spatial.hue 0.05 -> 0.0")
    assert differences(recorded | {"scores": None}, spec)[0] == f"scores none -> {spec.scores} (the frame scores)"


def test_a_field_of_another_version_of_the_code():
    spec = specs.train_spec(experiment("smoke"), "st-grpo", 0)
    recorded = spec.model_dump(mode="json")
    del recorded["selection"]  # added since, with a default
    assert differences(recorded, spec) == ()
    assert differences(recorded | {"colour": "red"}, spec) == ("colour red -> none", "selection none -> weighted")


def test_long_texts_are_shown_where_they_differ():
    spec = specs.train_spec(experiment("smoke"), "grpo", 0)
    prompts = [f"{{question}} Think it through step by step, then answer {how}." for how in ("shortly", "at length")]
    recorded = spec.model_copy(update={"prompt": prompts[0]}).model_dump(mode="json")
    (line,) = differences(recorded, spec.model_copy(update={"prompt": prompts[1]}))
    assert line == 'prompt ... answer shortly." -> ... answer at length."'


# What it costs: sums by hand.


def record(cell: str, seconds: list[float], chosen: Experiment, **changes) -> None:
    """A finished training with these seconds a step."""
    folder = CELLS / cell / "seed0"
    spec = specs.train_spec(chosen, cell, 0).model_copy(update=changes)
    for name in ("model", "rollouts.jsonl", "groups.jsonl"):
        (folder / name).mkdir(parents=True)
    rows = [json.dumps({"step": i, "seconds": value}) + "\n" for i, value in enumerate(seconds, 1)]
    (folder / "train.jsonl").write_text("".join(rows))
    write_json(folder / "train.json", {"spec": spec.model_dump(), "provenance": {"spec": spec.hash()}})


def costly(gpus: int = 4, nodes: int = 1) -> Experiment:
    """Scale smoke, six steps a training, on GPUs."""
    chosen = experiment("smoke")
    needs = chosen.active.needs | {
        "train": Resources(gpus=gpus, cpus=8, runtime=90),
        "evaluate": Resources(gpus=1, runtime=45),
    }
    scale = chosen.active.model_copy(update={"needs": needs, "nodes": nodes})
    return chosen.model_copy(update={"scales": {**chosen.scales, "smoke": scale}})


def trainings(chosen: Experiment) -> dict[str, SimpleNamespace]:
    left = what_is_left(chosen, all_runs(chosen))
    return {job.run.cell: SimpleNamespace(**asdict(job), hours=job.hours) for job in left if job.kind == "training"}


def test_a_step_is_measured_on_the_likest_training(tmp_path: Path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    chosen = costly()
    record("grpo", [30.0, 2.0, 4.0], chosen)  # M 1, G 8: median 4
    record("st-grpo", [9.0, 7.0, 8.0], chosen, seed=5)  # M 2, G 4: median 8; stale
    left = trainings(chosen)
    assert set(left) == {"st-grpo", "dr-grpo"}
    assert (left["st-grpo"].pace, left["st-grpo"].basis) == (8.0, "steps of the same cell")
    assert (left["dr-grpo"].pace, left["dr-grpo"].basis) == (4.0, "steps of cells with its M and G")
    assert left["st-grpo"].seconds == 6 * 8.0
    assert left["st-grpo"].hours == pytest.approx(6 * 8 * 4 / 3600)

    shutil.rmtree(CELLS / "st-grpo")
    left = trainings(chosen)
    assert (left["st-grpo"].pace, left["st-grpo"].basis) == (4.0, "steps of cells with another M and G")


def test_without_a_measured_step_the_jobs_limit_stands(tmp_path: Path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    left = trainings(costly(gpus=4, nodes=2))["grpo"]
    assert (left.pace, left.units, left.seconds) == (None, 8, 90 * 60)
    assert left.hours == 1.5 * 8
    assert left.basis.startswith("no measured step yet")
    assert trainings(costly(gpus=0))["grpo"].units == 8  # CPUs


def test_the_longest_chain_is_a_training_and_its_longest_part(tmp_path: Path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    chosen = costly()
    record("grpo", [10.0] * 6, chosen)
    for cell, seconds in (("grpo", 50.0), ("dr-grpo", 500.0)):
        timing = CELLS / cell / "seed0" / "timing" / "evaluate-all.tsv"
        timing.parent.mkdir(parents=True)
        timing.write_text(f"s\th:m:s\n{seconds}\t-\n")
    left = what_is_left(chosen, all_runs(chosen))
    evaluations = {job.run.cell: (job.seconds, job.basis) for job in left if job.steps is None}
    assert evaluations["grpo"] == (50.0, "its own last evaluation")
    assert evaluations["base"] == (275.0, "evaluations of other cells")  # median of 50 and 500
    chain = longest_chain(left)
    assert chain is not None
    assert (chain[0], chain[1].cell) == (6 * 10.0 + 500.0, "dr-grpo")
    assert longest_chain([]) is None


# A training that goes on from a shorter one: grpo has 60 steps, grpo-1000 and a third cell the double.


def with_longer() -> Experiment:
    raw = experiment().model_dump(mode="json", by_alias=True, exclude_unset=True)
    raw["cells"]["grpo-900"] = {"from": "grpo", "steps": 900}
    raw["scales"]["smoke"] |= {"cells": ["grpo", "grpo-1000"], "tables": [], "figures": [], "on_request": {}}
    raw["scales"]["smoke"]["step_ratio"] = 0.12
    return load_experiment({**raw, "scale": "smoke"})


def planned(chosen: Experiment) -> dict[str, tuple[int, int | None]]:
    """Of every training: steps that are taken over, and that are left."""
    runs = all_runs(chosen)
    left = {job.run.cell: job.steps for job in what_is_left(chosen, runs) if job.kind == "training"}
    return {run.cell: (run.taken, left.get(run.cell)) for run in runs}


def going(cell: str, steps: int, at: int, taken: int) -> None:
    """An interrupted training that took over some steps and has a checkpoint."""
    state = CELLS / cell / "seed0" / "state" / "train"
    (state / f"checkpoint-{at}").mkdir(parents=True)
    write_json(state / "key.json", {"key": "k"})
    write_json(state / f"checkpoint-{at}" / "complete.json", {"step": at})
    (state / "train.jsonl").write_text("".join(json.dumps({"step": i, "seconds": 2.0}) + "\n" for i in range(steps)))
    if taken:
        write_json(state / "stem.json", {"from": "train.json", "sha256": "0", "step": taken})


def test_steps_that_are_taken_over_cost_nothing_and_are_waited_for(tmp_path: Path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    chosen = with_longer()
    assert planned(chosen) == {"grpo": (0, 60), "grpo-1000": (60, 60)}, "nothing is there: grpo will leave its last"
    left = what_is_left(chosen, all_runs(chosen))
    chain = longest_chain(left)
    parts = 60.0 * chosen.active.needs["evaluate"].runtime
    assert chain is not None
    assert (chain[0], chain[1].cell) == (2 * 60.0 * chosen.active.needs["train"].runtime + parts, "grpo-1000")

    record("grpo", [2.0] * 60, chosen)
    assert planned(chosen) == {"grpo": (0, None), "grpo-1000": (0, 120)}, "grpo left nothing: all is to be done"
    left_behind(CELLS / "grpo/seed0", 60).mkdir(parents=True)
    assert planned(chosen) == {"grpo": (0, None), "grpo-1000": (60, 60)}
    (job,) = (job for job in what_is_left(chosen, all_runs(chosen)) if job.kind == "training")
    assert (job.pace, job.seconds) == (2.0, 120.0)
    chain = longest_chain(what_is_left(chosen, all_runs(chosen)))
    assert chain is not None
    assert chain[0] == 120.0 + parts, "for what is done nobody waits"


def test_what_goes_on_under_way_and_done_says_what_it_took(tmp_path: Path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    chosen = with_longer()
    record("grpo", [2.0] * 60, chosen)
    going("grpo-1000", steps=85, at=80, taken=60)
    assert planned(chosen) == {"grpo": (0, None), "grpo-1000": (60, 40)}, "its own checkpoint is further"
    (CELLS / "grpo-1000/seed0/state/train/stem.json").unlink()
    assert planned(chosen)["grpo-1000"] == (0, 40), "it began at the first step"
    shutil.rmtree(CELLS / "grpo-1000")
    record("grpo-1000", [2.0] * 120, chosen)
    assert planned(chosen)["grpo-1000"] == (0, None), "older code says nothing"
    made = CELLS / "grpo-1000/seed0/train.json"
    block = read_json(made)
    block["provenance"]["continued"] = {"from": "train.json", "step": 60}
    write_json(made, block)
    assert planned(chosen)["grpo-1000"] == (60, None)


def test_of_two_that_could_go_on_from_one_the_second_begins_at_its_first_step(tmp_path: Path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    chosen = with_longer()
    scale = chosen.active.model_copy(update={"cells": ["grpo", "grpo-1000", "grpo-900"]})
    chosen = chosen.model_copy(update={"scales": {**chosen.scales, "smoke": scale}})
    assert planned(chosen) == {"grpo": (0, 60), "grpo-1000": (60, 60), "grpo-900": (0, 108)}


def test_the_disk_holds_a_checkpoint_that_is_left_until_it_is_used(tmp_path: Path, monkeypatch):
    """The weights are 4 kB, a checkpoint 12 kB, of which the weights are those of the model."""
    monkeypatch.chdir(tmp_path)
    chosen = with_longer()
    weigh(Path("results/smoke/policy"), 1000)
    record("grpo", [1.0] * 60, chosen)
    found = disk(chosen, all_runs(chosen))
    assert found is not None
    assert (found.peak, found.in_turn) == (4000 + 36000, 36000 + 4000)
    left, model = left_behind(CELLS / "grpo/seed0", 60), CELLS / "grpo/seed0/model"
    left.mkdir(parents=True)
    (model / "a").write_bytes(bytes(500))
    (left / "a").hardlink_to(model / "a")
    (left / "optimizer.pt").write_bytes(bytes(300))
    found = disk(chosen, all_runs(chosen))
    assert found is not None
    assert (found.peak, found.in_turn) == (12000 + 36000, 36000 + 4000 + 8000)
    assert found.present == 800, "a hard link takes no room"


def test_one_cell_again_leaves_alone_what_it_goes_on_from(tmp_path: Path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    chosen = with_longer()
    record("grpo", [1.0] * 60, chosen)
    record("grpo-1000", [1.0] * 120, chosen, seed=5)
    (again,) = (line for line in what_to_type(chosen, all_runs(chosen), "") if line.startswith("one cell again"))
    folder = CELLS / "grpo-1000/seed0"
    assert again.endswith(f"snakemake {folder}/metrics.json -R {folder}/train.json")


def test_units_for_people():
    assert [size(n) for n in (999, 2048, 3 * 2**30, 5 * 2**40, 2000 * 2**40)] == [
        *("999 B", "2 KiB", "3 GiB", "5 TiB", "2,000 TiB")
    ]
    assert [duration(s) for s in (2.5, 119, 600, 3600 * 36)] == ["2.5 s", "119 s", "10 min", "36 h"]


# The disk: sums by hand.


def weigh(folder: Path, count: int) -> None:
    """Two files of weights with `count` numbers in all, in 16 bits as the Hub has them."""
    folder.mkdir(parents=True)
    for name, numbers in (("one", count // 2), ("two", count - count // 2)):
        tensors = {"a": np.zeros((numbers // 10, 10), np.float16), "b": np.zeros(numbers % 10, np.float16)}
        save_file(tensors, folder / f"{name}.safetensors", metadata={"format": "pt"})


@pytest.mark.parametrize(("sharding", "copies"), [("ddp", 3), ("zero2", 5), ("zero3", 4)])
def test_the_peak_is_three_checkpoints_a_training(tmp_path: Path, monkeypatch, sharding: str, copies: int):
    monkeypatch.chdir(tmp_path)
    chosen = costly()
    scale = chosen.active.model_copy(update={"sharding": sharding})  # six steps, a checkpoint every second
    chosen = chosen.model_copy(update={"scales": {**chosen.scales, "smoke": scale}})
    assert disk(chosen, all_runs(chosen)) is None
    weigh(Path("results/smoke/policy"), 1001)
    found = disk(chosen, all_runs(chosen))
    assert found is not None
    assert (found.parameters, found.checkpoint, found.held) == (1001, 1001 * 4 * copies, 3)
    assert (found.peak, found.present) == (3 * 3 * 1001 * 4 * copies, 0)
    assert found.needed == found.peak
    assert found.largest == found.peak / 3


def test_what_is_trained_holds_its_weights_only(tmp_path: Path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    chosen = costly()
    scale = chosen.active.model_copy(update={"save_steps": 3})  # two checkpoints, then a copy of the weights
    chosen = chosen.model_copy(update={"scales": {**chosen.scales, "smoke": scale}})
    record("grpo", [1.0] * 6, chosen)
    (CELLS / "grpo/seed0/model").rmdir()
    weigh(CELLS / "grpo/seed0/model", 1000)  # there is no policy to start from any more: this is measured
    checkpoint = CELLS / "st-grpo/seed0/state/train/checkpoint-3"
    checkpoint.mkdir(parents=True)
    (checkpoint / "optimizer.pt").write_bytes(bytes(700))
    found = disk(chosen, all_runs(chosen))
    assert found is not None
    assert found.peak == 4000 + 2 * (2 * 12000 + 4000)
    stored = sum(path.stat().st_size for path in (CELLS / "grpo/seed0/model").iterdir())  # 16 bits and two headers
    assert found.present == stored + 700
    assert found.largest == 2 * 12000 + 4000  # dr-grpo, of which nothing stands


def test_damaged_weights_are_one_line(tmp_path: Path):
    weights = tmp_path / "model.safetensors"
    for content in (b"", b"\xff" * 100, b"\x02\0\0\0\0\0\0\0[]", b'\x09\0\0\0\0\0\0\0{"a": {}}'):
        weights.write_bytes(content)
        with pytest.raises(UserError, match="model.safetensors: no safetensors header"):
            parameters(weights)


@slow
def test_the_trainer_keeps_as_many_checkpoints_as_are_counted(tmp_path: Path):
    from stgrpo.rl.trainer import trainer_config

    config = trainer_config(specs.train_spec(experiment("smoke"), "grpo", 0), tmp_path, 16, 2)
    assert config.save_total_limit == disk_module._KEPT
