"""What the README promises about reruns, by dry runs on finished results, and errors as a user meets them."""

import csv
import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from support import need, snakemake

pytestmark = pytest.mark.workflow
CELL = "results/smoke/cells/st-grpo/seed0"
SMOKE = ["--config", "scale=smoke"]
ONE_CELL = {"train": 1, "evaluate": 1, "grade": 1, "tabulate": 2, "figure": 1, "report": 1, "publish": 7, "all": 1}


def planned(folder: Path, *words: str) -> dict[str, int]:
    """Jobs by rule that a dry run plans."""
    done = snakemake(folder, *words, "-n", "--quiet", "rules")
    assert done.returncode == 0, done.stdout + done.stderr
    text = done.stdout + done.stderr
    jobs = {rule: int(count) for rule, count in re.findall(r"^(\w+) +(\d+)$", text, re.MULTILINE) if rule != "total"}
    assert bool(jobs) != ("Nothing to be done" in text), text
    return jobs


@pytest.fixture
def config(clone: Path):
    """The clone's config.yaml, put back afterwards."""
    path = clone / "config.yaml"
    before = path.read_text()
    yield path
    path.write_text(before)


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert text.count(old) >= 1, f"{old!r} is not in {path.name}"
    path.write_text(text.replace(old, new))


def test_finished_run_has_nothing_to_do(clone: Path):
    assert planned(clone) == {}
    assert planned(clone, "results/table2.tex") == {}


def test_prefetch_is_all_that_needs_the_internet_and_nothing_else(clone: Path):
    assert planned(clone, "prefetch", "--forceall") == {"world": 7, "fetch": 7, "prefetch": 1}


def lines(path: Path) -> list[dict]:
    return [json.loads(text) for text in path.read_text().splitlines()]


def test_table_names_its_scale_and_comes_from_the_predictions(clone: Path):
    """PerceptionTest, whose rule is the simplest: the first lone letter of the answer (or of all, untagged)."""
    assert (clone / "results/table2.tex").read_text().startswith("% scale: smoke\n")
    truth = {q["id"]: q["answer"] for q in lines(clone / "results/smoke/questions/perceptiontest.jsonl")}
    predictions = [p for p in lines(clone / CELL / "eval/all.jsonl") if p["benchmark"] == "perceptiontest"]
    tags = [re.search(r"<answer>(.*?)</answer>", p["text"], re.DOTALL) for p in predictions]
    answers = [tag[1] if tag else p["text"] for tag, p in zip(tags, predictions, strict=True)]
    letters = [re.search(r"\b[A-D]\b", answer) for answer in answers]
    right = [bool(m) and m[0] == truth[p["question"]] for m, p in zip(letters, predictions, strict=True)]
    rows = (clone / "results/table2.csv").read_text().splitlines()
    row = next(row for row in rows if ",perceptiontest,st-grpo," in row)
    assert len(right) == 12
    assert f",{100 * sum(right) / 12:.4f}," in row


def test_the_mean_of_six_is_that_of_its_columns(clone: Path):
    with (clone / "results/table3.csv").open(newline="") as text:
        rows = [row for row in csv.DictReader(text) if row["cell"] == "dr-grpo"]
    *six, mean = [float(row["value"]) for row in rows]
    assert rows[-1]["column"] == "Avg."
    assert len(six) == 6
    assert mean == pytest.approx(sum(six) / 6, abs=1e-3)


def test_every_benchmark_is_scored_by_its_parts(clone: Path):
    scores = {s["benchmark"]: s for s in json.loads((clone / CELL / "metrics.json").read_text())["scores"]}
    sizes = {name: (score["n"], len(score["parts"])) for name, score in scores.items()}
    assert sizes == {
        "videomme": (18, 3),
        "vsibench": (30, 10),
        "perceptiontest": (12, 2),
        "tempcompass": (36, 4),
        "videommmu": (36, 3),
        "mmvu": (6, 3),
    }


def test_figure_is_drawn_from_the_trainings(clone: Path):
    assert (clone / "results/figure3.pdf").read_bytes().startswith(b"%PDF")
    assert (clone / "results/figure3.png").read_bytes().startswith(b"\x89PNG")
    assert "3 trainings at scale smoke" in (clone / "results/smoke/logs/figure3.log").read_text()


def test_rollouts_are_readable(clone: Path):
    rollout = lines(clone / CELL / "rollouts.jsonl")[0]
    assert set(rollout) == {
        *("step", "question", "variant", "frames", "spatial", "text", "truth", "rewards", "advantage")
    }
    assert set(rollout["rewards"]) == {"accuracy", "format"}


def test_every_group_of_every_step_is_kept(clone: Path):
    groups = lines(clone / CELL / "groups.jsonl")
    steps = len(lines(clone / CELL / "train.jsonl"))
    assert [group["step"] for group in groups] == [step for step in range(1, steps + 1) for _ in range(4)]
    assert all(len(group[name]) == 8 for group in groups for name in ("correct", "rewards", "advantages"))


def test_the_report_shows_what_the_cells_left(clone: Path):
    text = (clone / "results/report.html").read_text()
    assert text == (clone / "results/smoke/report.html").read_text()
    for words in (
        "st-grpo",
        "ST-GRPO (Importance-Based + Spatial)",
        "VSI-Bench",
        "an open question, which needs a judge",
    ):
        assert words in text, words
    assert text.count("data:image/jpeg;base64,") > 6 * 2 + 3 * 4  # frames of questions and of scored videos


def test_snakemakes_own_report_holds_tables_figure_and_rows_set_aside(clone: Path, tmp_path: Path):
    done = snakemake(clone, "--report", str(tmp_path / "report.html"))
    assert done.returncode == 0, done.stdout + done.stderr
    text = (tmp_path / "report.html").read_text()
    for name in ("table2.csv", "table3.tex", "figure3.png", "mmvu.aside.csv", "train.aside.csv"):
        assert name in text, name
    assert "Tables and figures" in text
    assert "Rows set aside" in text


def test_tables_of_a_run_compile(clone: Path, tmp_path: Path):
    need("pdflatex")
    tables = "".join(rf"\input{{{clone}/results/table{n}.tex}}" for n in (2, 3))
    page = r"\documentclass{article}\usepackage{booktabs,graphicx}\begin{document}" + tables + r"\end{document}"
    (tmp_path / "page.tex").write_text(page)
    words = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "page.tex"]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-2000:]


def test_every_json_says_where_it_comes_from(clone: Path):
    found = [p for p in (clone / "results").rglob("*.json") if p.name in ("train.json", "metrics.json", "made_by.json")]
    found += (clone / "resources/smoke").glob("*.json")
    assert len(found) == 3 + 4 + (3 + 2) + 7  # trainings, scores, models, locks
    for path in found:
        block = json.loads(path.read_text())["provenance"]
        assert {"spec", "commit", "dirty", "packages", "host", "finished"} <= set(block), path


def test_one_cell_again(clone: Path):
    assert planned(clone, f"{CELL}/metrics.json", "-R", "train") == {"train": 1, "evaluate": 1, "grade": 1}


def test_forcing_one_file_rebuilds_its_table(clone: Path):
    jobs = planned(clone, "-R", f"{CELL}/train.jsonl")
    assert jobs == ONE_CELL


def test_a_control_is_made_when_it_is_asked_for(clone: Path):
    cell = "results/smoke/cells/st-grpo-uniform/seed0/metrics.json"
    assert planned(clone, cell) == {"train": 1, "evaluate": 1, "grade": 1}
    shown = snakemake(clone, cell, "-n", "-p").stdout
    assert "--scores" not in shown, "uniform selection waits for no scores"
    assert "--scores" in snakemake(clone, cell.replace("uniform", "sharp"), "-n", "-p").stdout


def test_table_6_is_made_when_it_is_asked_for_from_all_that_stands(clone: Path):
    """Eight cells on request; the other three rows are cells of the scale."""
    controls = {"train": 8, "evaluate": 8, "grade": 8, "tabulate": 1}
    assert planned(clone, "results/table6.tex") == {**controls, "publish": 1}
    assert planned(clone, "results/smoke/table6.csv") == controls


def test_a_control_reruns_nothing_that_is_made_by_default(clone: Path, config: Path):
    edit(config, "score_temperature: 0.02", "score_temperature: 0.05")
    assert planned(clone) == {}
    assert planned(clone, "results/smoke/cells/st-grpo-sharp/seed0/train.json") == {"train": 1}


def test_an_unknown_control_is_named(clone: Path):
    where = "results/smoke/cells/st-grpo-unifrom/seed0/metrics.json"
    done = snakemake(clone, where, "-n")
    lines = (done.stdout + done.stderr).splitlines()
    assert f"{where}: scale 'smoke' has no cell 'st-grpo-unifrom'; did you mean 'st-grpo-uniform'?" in lines


def test_comment_reruns_nothing(clone: Path, config: Path):
    edit(config, "\ncells:\n", "\n# a comment\ncells:\n")
    assert planned(clone) == {}


def test_one_knob_reruns_its_cell_and_its_table(clone: Path, config: Path):
    edit(config, "variants: 2, generations: 4", "variants: 4, generations: 2")
    assert planned(clone) == ONE_CELL


def test_evaluation_frames_retrain_nothing(clone: Path, config: Path):
    edit(config, "      frames: *frames\n", "      frames: {min_pixels: 3136, max_pixels: 3136, max_frames: 8}\n")
    jobs = planned(clone)
    assert "train" not in jobs
    assert jobs["evaluate"] == 4


RUNTIME = [
    ("save_steps: 2\n", "save_steps: 3\n"),
    ("micro_rows: 16\n", "micro_rows: 8\n"),
    ("micro_rows: 16\n", "micro_rows: 8\n    processes: 2\n    sharding: zero3\n"),
]


@pytest.mark.parametrize(("old", "new"), RUNTIME, ids=["save_steps", "micro_rows", "processes and sharding"])
def test_what_does_not_decide_the_weights_retrains_nothing(clone: Path, config: Path, old: str, new: str):
    edit(config, old, new)
    if "processes" in new:
        edit(config, "train: {mem_mb: 4000}", "train: {mem_mb: 4000, cpus: 2}")
    assert planned(clone) == {}


def test_sharding_reaches_the_trainer(clone: Path, config: Path):
    edit(config, "micro_rows: 16\n", "micro_rows: 8\n    processes: 2\n    sharding: zero3\n")
    edit(config, "train: {mem_mb: 4000}", "train: {mem_mb: 4000, cpus: 2}")
    done = snakemake(clone, f"{CELL}/train.json", "-R", "train", "-n", "-p", "--cores", "2")
    assert "--threads 1 " in done.stdout + done.stderr
    assert "--processes 2 --deepspeed envs/zero3.json " in done.stdout + done.stderr


def test_a_caption_remakes_its_table_and_the_report_only(clone: Path, config: Path):
    edit(config, "caption: How the variants of a group are made.", "caption: Another text.")
    assert planned(clone) == {"tabulate": 1, "report": 1, "publish": 3, "all": 1}


def test_what_the_report_picks_remakes_it_only(clone: Path, config: Path):
    edit(config, "side_by_side: [base, grpo, st-grpo]", "side_by_side: [grpo, st-grpo]")
    assert planned(clone) == {"report": 1, "publish": 1, "all": 1}


@pytest.mark.parametrize("name", ["results/smoke/questions/train.jsonl", "results/smoke/scores/train.parquet"])
def test_touched_input_reruns_nothing(clone: Path, name: str):
    (clone / name).touch()
    assert planned(clone) == {}


def test_changed_shell_line_retrains_nothing(clone: Path):
    rule = clone / "workflow/rules/train.smk"
    before = rule.read_text()
    edit(rule, "python -m stgrpo train --spec", "python -m stgrpo  train --spec")
    try:
        assert planned(clone) == {}
    finally:
        rule.write_text(before)


def test_unknown_key_is_one_line_with_a_suggestion(clone: Path, config: Path):
    edit(config, "generations: 4", "generation: 4")
    done = snakemake(clone, "-n")
    assert done.returncode != 0
    text = done.stdout + done.stderr
    assert "config.yaml: cells.st-grpo.generation: unknown key; did you mean 'generations'?" in text
    assert "Traceback" not in text


def test_unknown_scale_is_named(clone: Path):
    done = snakemake(clone, "-n", "--config", "scale=demmo")
    text = done.stdout + done.stderr
    assert "config.yaml: scale: unknown scale 'demmo'; did you mean 'demo'?" in text
    assert "Traceback" not in text


def test_unknown_cell_as_target_is_named(clone: Path):
    done = snakemake(clone, "results/smoke/cells/st-grop/seed0/metrics.json", "-n")
    text = done.stdout + done.stderr
    assert done.returncode != 0
    where = "results/smoke/cells/st-grop/seed0/metrics.json"
    assert f"{where}: scale 'smoke' has no cell 'st-grop'; did you mean 'st-grpo'?" in text.splitlines()
    assert "Traceback" not in text


def test_another_source_or_test_set_retrains_nothing(clone: Path, config: Path):
    table = clone / "workflow/resources/sources.csv"
    before = table.read_text()
    table.write_text(before + "another,someone/Another,dataset,*.parquet,not stated,no,\n")
    try:
        assert planned(clone) == {}
    finally:
        table.write_text(before)
    edit(config, "tempcompass: {videos: 6, seed: 105}", "tempcompass: {videos: 7, seed: 105}")
    jobs = planned(clone)
    assert "train" not in jobs
    assert (jobs["world"], jobs["evaluate"]) == (1, 4)


def test_weights_of_another_spec_are_not_evaluated(clone: Path, config: Path):
    """With Snakemake's memory lost, the verb itself refuses, by name."""
    edit(config, "variants: 2, generations: 4", "variants: 4, generations: 2")
    target = f"{CELL}/eval/all.jsonl"
    done = snakemake(clone, target, "-R", "evaluate", "--rerun-triggers", "mtime")
    text = done.stdout + done.stderr
    assert done.returncode != 0
    assert "made by spec" in text
    assert "the configuration asks for st-grpo@" in text
    assert "Traceback" not in text
    back = snakemake(clone, target, "--config", 'cells={"st-grpo":{"variants":2,"generations":4}}')
    assert back.returncode == 0, back.stdout + back.stderr


def test_broken_video_is_set_aside_with_its_reason(clone: Path, tmp_path: Path):
    """The verb itself, on a copy of the source with one damaged video."""
    source = tmp_path / "video-r1"
    shutil.copytree(clone / "resources/smoke/video-r1", source)
    victim = sorted((source / "CLEVRER/train_videos").glob("*.mp4"))[3]
    victim.write_bytes(victim.read_bytes()[:200])
    frames, draw = '{"min_pixels":3136,"max_pixels":3136}', '{"source":"video-r1","count":24,"seed":0}'
    spec = f'{{"name":"train","frames":{frames},"draw":{draw}}}'
    words = ["prepare", "--spec", spec, "--source", str(source)]
    words += ["--out", str(tmp_path / "q.jsonl"), "--aside", str(tmp_path / "aside.csv")]
    done = subprocess.run(["python", "-m", "stgrpo", *words], cwd=clone, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    with (tmp_path / "aside.csv").open(newline="") as text:
        reasons = [row["reason"] for row in csv.DictReader(text)]
    assert any(victim.name in reason and "does not decode" in reason for reason in reasons)
    assert f"23 questions, {len(reasons)} rows set aside" in done.stdout
