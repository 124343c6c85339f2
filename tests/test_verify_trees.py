"""`stgrpo verify` on results that a run has not left like that: moved, linked, comparable, forged throughout."""

import csv
import json
import shutil
from io import StringIO
from pathlib import Path

import pytest
from verifying import altered, copy_results, rehash, verified

from stgrpo.__main__ import main
from stgrpo.files import read_json, sha256, write_json
from stgrpo.report.contents import TableSpec
from stgrpo.specs import EvalSpec, TrainSpec
from stgrpo.verification.tree import walk

pytestmark = pytest.mark.workflow
GRPO = "smoke/cells/grpo/seed0"


@pytest.fixture
def results(clone: Path, tmp_path: Path) -> Path:
    return copy_results(clone, tmp_path)


def test_a_run_verifies_wherever_it_lies(results: Path, capsys, monkeypatch):
    lines, fingerprint = verified(results, capsys)
    assert lines == []
    assert verified(results.rename(results.with_name("moved")), capsys) == ([], fingerprint)
    monkeypatch.chdir(results.with_name("moved"))
    assert verified(Path(), capsys) == ([], fingerprint)
    shutil.rmtree(results.parent / "resources")
    shutil.rmtree(results.parent / "workflow")
    assert verified(Path(), capsys) == ([], fingerprint)


@pytest.mark.parametrize("name", ["smoke", "smoke/cells", "smoke/cells/grpo", GRPO, f"{GRPO}/model", "smoke/questions"])
def test_a_link_is_followed(name: str, results: Path, capsys):
    _, fingerprint = verified(results, capsys)
    (results / name).rename(results.parent / "elsewhere")
    (results / name).symlink_to(results.parent / "elsewhere")
    assert verified(results, capsys) == ([], fingerprint)
    changed = next(
        path for path in walk(results / name) if path.name in ("rollouts.jsonl", "mmvu.aside.csv", "model.safetensors")
    )
    changed.write_bytes(changed.read_bytes()[:-1])
    assert any(line.startswith(str(changed)) for line in verified(results, capsys)[0])


def test_links_in_a_circle_end(results: Path, capsys):
    (results / GRPO / "up").symlink_to(results / "smoke")
    (results / GRPO / "self").symlink_to(".")
    (results / "smoke/questions/down").symlink_to(results / GRPO)
    lines, _ = verified(results, capsys)
    assert lines, "files that are read by another name too have a block in a place where none is expected"


def test_results_behind_a_link(results: Path, capsys):
    results.rename(results.with_name("real"))
    results.symlink_to(results.with_name("real"))
    assert verified(results, capsys)[0] == []


def test_a_file_that_may_not_be_read_ends_no_other_check(results: Path, capsys, monkeypatch):
    """Whoever tests as root may read everything, so the system's refusal is put in."""
    (results / GRPO / "rollouts.jsonl").write_text("")

    def refuse(path: Path) -> str:
        if path.name == "train.parquet":
            raise PermissionError(13, "Permission denied", str(path))
        return sha256(path)

    monkeypatch.setattr("stgrpo.verification.tree.sha256", refuse)
    lines, _ = verified(results, capsys)
    assert f"{results}/smoke/scores/train.parquet: cannot be read: Permission denied" in lines
    assert any(line.startswith(f"{results}/{GRPO}/rollouts.jsonl: changed") for line in lines)


def test_names_that_no_terminal_prints(results: Path, capsys):
    (results / "smoke" / "a\nb.jsonl").write_text("")
    (results / "smoke" / "c\udcff.provenance.json").write_text("{}")
    lines, _ = verified(results, capsys)
    assert f"{results}/smoke/a\\x0ab.jsonl: nothing says where it comes from" in lines
    assert any(line.startswith(f"{results}/smoke/c\\xdcff.provenance.json: does not say") for line in lines)


def comparable(results: Path, monkeypatch) -> None:
    """Table 3 as at a scale that may stand beside the paper; the page, which shows another, is not there."""
    for name in ("report.html", "smoke/report.html", "smoke/report.provenance.json"):
        (results / name).unlink()
    found = read_json(results / "smoke/table3.provenance.json")["spec"] | {"comparable": True, "rendered": False}
    table = TableSpec.model_validate(found)
    monkeypatch.chdir(results.parent)
    folders = [f"results/smoke/cells/{run}" for run in table.specs]
    files = ["--metrics", *(f"{folder}/metrics.json" for folder in folders)]
    files += ["--graded", *(f"{folder}/graded.jsonl" for folder in folders)]
    files += ["--reported", "workflow/resources/reported.csv"]
    made = ["--tex", "results/smoke/table3.tex", "--csv", "results/smoke/table3.csv"]
    assert main(["tabulate", "--spec", json.dumps(found), *files, *made]) == 0
    for form in ("tex", "csv"):
        shutil.copy(results / f"smoke/table3.{form}", results)


def test_a_comparable_table_needs_the_papers_numbers(results: Path, capsys, monkeypatch, tmp_path: Path):
    comparable(results, monkeypatch)
    (tmp_path / "other").mkdir()
    monkeypatch.chdir(tmp_path / "other")  # where there are none
    assert verified(results, capsys)[0] == []
    reported = results.parent / "workflow/resources/reported.csv"
    reported.rename(tmp_path / "other/reported.csv")
    (line,) = verified(results, capsys)[0]
    assert line.startswith(f"{reported}: is not there; without it")
    text = (tmp_path / "other/reported.csv").read_text()
    reported.write_text(text.replace("1", "2", 1))
    assert any(line.startswith(str(reported)) for line in verified(results, capsys)[0])
    reported.write_text(text)
    altered(
        results / "smoke/table3.provenance.json",
        lambda found: found["provenance"]["inputs"].pop("workflow/resources/reported.csv"),
    )
    (line,) = verified(results, capsys)[0]
    assert "does not say that it is made from workflow/resources/reported.csv" in line


@pytest.mark.parametrize(("by", "named"), [(0.0001, False), (0.001, True)])
def test_the_last_decimal_of_an_interval_is_the_libraries(by: float, named: bool, results: Path, capsys):
    path = results / "smoke/table3.csv"
    lines = list(csv.DictReader(StringIO(path.read_text())))
    lines[0]["high"] = f"{float(lines[0]['high']) + by:.4f}"
    with path.open("w", newline="") as out:
        writer = csv.DictWriter(out, list(lines[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(lines)
    shutil.copy(path, results)
    rehash(results)
    found, _ = verified(results, capsys)
    assert [line.startswith(f"{path}: is not what the predictions give: line 2 has high") for line in found] == [
        True
    ] * named


def test_a_forgery_throughout_has_another_fingerprint(results: Path, capsys):
    lines, before = verified(results, capsys)
    altered(results / "smoke/table3.provenance.json", lambda found: found["provenance"].update(commit="0" * 40))
    rehash(results)
    lines, after = verified(results, capsys)
    assert lines == []
    assert after != before


def test_a_seed_that_is_a_copy_is_named(results: Path, capsys):
    seed0, seed1 = results / GRPO, results / "smoke/cells/grpo/seed1"
    shutil.copytree(seed0, seed1)
    old = read_json(seed0 / "eval/all.provenance.json")["spec"]

    def retrained(found):
        found["spec"]["seed"] = found["provenance"]["seed"] = 1
        found["provenance"]["spec"] = TrainSpec.model_validate(found["spec"]).hash()

    def reanswered(found):
        found["seed"] = 1
        found["resolved"]["policy"] = f"grpo@{read_json(seed1 / 'train.json')['provenance']['spec']}"
        found["spec"] = EvalSpec.model_validate(found["resolved"]).hash()
        found["inputs"] = {name.replace("seed0", "seed1"): value for name, value in found["inputs"].items()}

    altered(seed1 / "train.json", retrained)
    altered(seed1 / "eval/all.provenance.json", reanswered)
    new = read_json(seed1 / "eval/all.provenance.json")["spec"]
    predictions = seed1 / "eval/all.jsonl"
    predictions.write_text(predictions.read_text().replace(old, new))
    metrics = read_json(seed1 / "metrics.json") | {"seed": 1}
    block = metrics["provenance"] | {"seed": 1, "spec": new}
    block["inputs"] = {name.replace("seed0", "seed1"): value for name, value in block["inputs"].items()}
    write_json(seed1 / "metrics.json", metrics | {"provenance": block})
    rehash(results)
    lines, _ = verified(results, capsys)
    whose = f"{seed0 / 'train.json'}, which is of another spec"
    assert lines == [f"{seed1 / 'train.json'}: has the {what} of {whose}" for what in ("weights", "steps")]
