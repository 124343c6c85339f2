"""What the README promises about reruns, by dry runs on finished results, and errors as a user meets them."""

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from conftest import ROOT

pytestmark = pytest.mark.workflow
CELL = "results/smoke/cells/st-grpo/seed0"
SMOKE = ["--config", "scale=smoke"]


def snakemake(folder: Path, *words: str) -> subprocess.CompletedProcess:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        ["snakemake", *words], cwd=folder, capture_output=True, text=True, timeout=600, check=False, env=environment
    )


def planned(folder: Path, *words: str) -> dict[str, int]:
    """Jobs by rule that a dry run plans."""
    done = snakemake(folder, *words, "-n", "--quiet", "rules")
    assert done.returncode == 0, done.stdout + done.stderr
    text = done.stdout + done.stderr
    jobs = {rule: int(count) for rule, count in re.findall(r"^(\w+) +(\d+)$", text, re.MULTILINE) if rule != "total"}
    assert bool(jobs) != ("Nothing to be done" in text), text
    return jobs


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of what git tracks or would track, in an empty folder, with scale smoke run to its end."""
    folder = tmp_path_factory.mktemp("clone")
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    for name in listed.stdout.splitlines():
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, folder / name)
    config = folder / "config.yaml"
    config.write_text(config.read_text().replace("\nscale: demo\n", "\nscale: smoke\n"))
    done = snakemake(folder, "results/table2.tex", "results/table2.csv")
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


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


def test_table_names_its_scale_and_comes_from_the_predictions(clone: Path):
    assert (clone / "results/table2.tex").read_text().startswith("% scale: smoke\n")
    rows = (clone / "results/table2.csv").read_text().splitlines()
    predictions = [json.loads(line) for line in (clone / CELL / "eval/all.jsonl").read_text().splitlines()]
    asked = [
        json.loads(line) for line in (clone / "results/smoke/questions/tempcompass.jsonl").read_text().splitlines()
    ]
    truth = {q["id"]: q["answer"] for q in asked}
    tags = [re.search(r"<answer>(.*?)</answer>", p["text"], re.DOTALL) for p in predictions]
    right = [bool(t) and t[1].strip() == truth[p["question"]] for t, p in zip(tags, predictions, strict=True)]
    share = 100 * sum(right) / len(asked)
    row = next(row for row in rows if ",st-grpo," in row)
    assert f",{share:.4f}," in row


def test_every_json_says_where_it_comes_from(clone: Path):
    found = [p for p in (clone / "results").rglob("*.json") if p.name in ("train.json", "metrics.json", "made_by.json")]
    found += (clone / "resources/smoke").glob("*.json")
    assert len(found) == 2 + 3 + (2 + 2) + 2
    for path in found:
        block = json.loads(path.read_text())["provenance"]
        assert {"spec", "commit", "dirty", "packages", "host", "finished"} <= set(block), path


def test_one_cell_again(clone: Path):
    assert planned(clone, f"{CELL}/metrics.json", "-R", "train") == {"train": 1, "evaluate": 1, "grade": 1}


def test_forcing_one_file_rebuilds_its_table(clone: Path):
    jobs = planned(clone, "-R", f"{CELL}/train.jsonl")
    assert jobs == {"train": 1, "evaluate": 1, "grade": 1, "tabulate": 1, "publish": 2, "all": 1}


def test_comment_reruns_nothing(clone: Path, config: Path):
    edit(config, "\ncells:\n", "\n# a comment\ncells:\n")
    assert planned(clone) == {}


def test_one_knob_reruns_its_cell_and_its_table(clone: Path, config: Path):
    edit(config, "variants: 2, generations: 4", "variants: 4, generations: 2")
    assert planned(clone) == {"train": 1, "evaluate": 1, "grade": 1, "tabulate": 1, "publish": 2, "all": 1}


def test_evaluation_frames_retrain_nothing(clone: Path, config: Path):
    edit(config, "      frames: *frames\n", "      frames: {min_pixels: 3136, max_pixels: 3136, max_frames: 8}\n")
    jobs = planned(clone)
    assert "train" not in jobs
    assert jobs["evaluate"] == 3


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
    assert "scale 'smoke' has no cell 'st-grop'; did you mean 'st-grpo'?" in text
    assert "Traceback" not in text


def test_another_source_or_test_set_retrains_nothing(clone: Path, config: Path):
    table = clone / "workflow/resources/sources.csv"
    before = table.read_text()
    table.write_text(before + "mmvu,lmms-eval/MMVU,*.parquet,not stated,no\n")
    try:
        assert planned(clone) == {}
    finally:
        table.write_text(before)
    edit(config, "tempcompass: {videos: 16, seed: 102}", "tempcompass: {videos: 17, seed: 102}")
    jobs = planned(clone)
    assert "train" not in jobs
    assert (jobs["world"], jobs["evaluate"]) == (1, 3)


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
    words += ["--out", str(tmp_path / "q.jsonl"), "--aside", str(tmp_path / "aside.jsonl")]
    done = subprocess.run(["python", "-m", "stgrpo", *words], cwd=clone, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    aside = [json.loads(line) for line in (tmp_path / "aside.jsonl").read_text().splitlines()]
    assert len(aside) == 1
    assert victim.name in aside[0]["reason"]
    assert "23 questions, 1 rows set aside" in done.stdout
