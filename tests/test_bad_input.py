"""Bad input, through the verbs as the workflow calls them: one exact line, exit status 2, and nothing half-written.

An unknown cell as target is in tests/test_workflow.py, a full disk in tests/test_resume.py.
"""

import json
import os
import signal
import zipfile
from pathlib import Path

import pytest
from conftest import OWN_SIZE
from support import ROOT

from stgrpo.__main__ import main
from stgrpo.demo import mp4, world
from stgrpo.errors import UserError
from stgrpo.files import sha256, write_json, write_records
from stgrpo.loading import load_experiment
from stgrpo.records import Prediction, Question
from stgrpo.specs import PrepareSpec
from stgrpo.video import FrameReader


def refused(capsys: pytest.CaptureFixture, words: list[str]) -> str:
    """What a verb says on its standard error while it refuses."""
    assert main(words) == 2
    said = capsys.readouterr().err
    assert "Traceback" not in said
    return said


def configuration(edit) -> str:
    import yaml

    raw = yaml.safe_load((ROOT / "config.yaml").read_text())
    edit(raw)
    with pytest.raises(UserError) as refusal:
        load_experiment(raw)
    return str(refusal.value)


CONFIGURATIONS = [
    (
        lambda raw: raw["cells"]["st-grpo"].update(generation=4),
        "config.yaml: cells.st-grpo.generation: unknown key; did you mean 'generations'?",
    ),
    (
        lambda raw: raw["cells"]["st-grpo-m4g2"].update(generations=3),
        "config.yaml: cells.st-grpo-m4g2: variants * generations = 12, but a step of scale 'demo' holds 32 answers; "
        "use a product that divides 32\n"
        "config.yaml: cells.st-grpo-m4g2: variants * generations = 12, but a step of scale 'paper' holds 32 answers; "
        "use a product that divides 32",
    ),
    (
        lambda raw: raw["cells"].update({"st-grpo-mine": {"from": "st-grop"}}),
        "config.yaml: cells.st-grpo-mine.from: unknown cell 'st-grop'; did you mean 'st-grpo'?",
    ),
    (
        lambda raw: raw["scales"]["demo"].update(processes=3),
        "config.yaml: scales.demo: micro_rows = 32 times nodes * processes = 3 does not divide 32 answers a step",
    ),
    (
        lambda raw: raw["tables"]["table4"].update(averages=[{"title": "Avg.", "over": ["videome"]}]),
        "config.yaml: tables.table4.averages: unknown column 'videome'; did you mean 'videomme'?",
    ),
    (
        lambda raw: raw["figures"]["figure3"]["panels"][0].update(cells=["grppo"]),
        "config.yaml: figures.figure3.panels: unknown cell 'grppo'; did you mean 'grpo'?",
    ),
]


@pytest.mark.parametrize(("edit", "text"), CONFIGURATIONS, ids=["key", "M*G", "parent", "processes", "mean", "panel"])
def test_configuration(edit, text: str):
    assert configuration(edit) == text


def training(folder: Path) -> list[str]:
    """`prepare` for the training questions of a source in `folder`."""
    draw = {"source": "video-r1", "count": 4, "seed": 0}
    spec = PrepareSpec.model_validate({"name": "train", "frames": OWN_SIZE, "draw": draw}).canonical()
    out, aside = folder / "q.jsonl", folder / "aside.csv"
    return ["prepare", "--spec", spec, "--source", str(folder), "--out", str(out), "--aside", str(aside)]


def test_truncated_json(tmp_path: Path, capsys: pytest.CaptureFixture):
    records = tmp_path / "Video-R1-260k.json"
    records.write_text('[{"problem_id": 1, "problem": "What is th')
    assert refused(capsys, training(tmp_path)) == (
        f"prepare: {records}: damaged after 0 records (parse error: premature EOF); remove it and fetch the source "
        "again (snakemake TARGET -R fetch)\n"
    )
    assert sorted(tmp_path.iterdir()) == [records]


def record(number: int, **more) -> dict:
    return {
        "problem_id": number,
        "problem": "What is the colour of the square?",
        "data_type": "video",
        "problem_type": "multiple choice",
        "options": ["A. red", "B. green"],
        "solution": "<answer>A</answer>",
        "path": f"./{number}.mp4",
    } | more


def test_nothing_left_to_train_on(tmp_path: Path, capsys: pytest.CaptureFixture):
    records = tmp_path / "Video-R1-260k.json"
    records.write_text(json.dumps([record(0, data_type="image"), record(1, data_type="image")]))
    assert refused(capsys, training(tmp_path)) == (
        f"prepare: {records}: none of 2 records is a usable video question (2 set aside, the first because: "
        "an image; the paper trains on the video rows)\n"
    )
    assert sorted(tmp_path.iterdir()) == [records]


def test_video_that_hangs_the_decoder_is_set_aside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The decoder's process is stopped while it works on the second video; the others get a fresh one."""

    class Stopped(FrameReader):
        def __init__(self) -> None:
            super().__init__(timeout=10.0)

        def read(self, path, rule):
            if Path(path).name == "1.mp4":
                self.timeout = 1.0
                self._pipe or self._start()
                os.kill(self._child.pid, signal.SIGSTOP)
            else:
                self.timeout = 60.0
            return super().read(path, rule)

    monkeypatch.setattr("stgrpo.commands.prepare.FrameReader", Stopped)
    for number in range(3):
        mp4.write(tmp_path / f"{number}.mp4", world.scene(number, 0).frames, world.FPS)
    (tmp_path / "Video-R1-260k.json").write_text(json.dumps([record(number) for number in range(3)]))
    assert main(training(tmp_path)) == 0
    assert len((tmp_path / "q.jsonl").read_text().splitlines()) == 2
    row = f'Video-R1-260k.json[1],"{tmp_path / "1.mp4"}: still decoding after 1 s, given up"'  # it holds a comma
    assert (tmp_path / "aside.csv").read_text().splitlines() == ["row,reason", row]


def test_zip_member_outside_its_folder(tmp_path: Path, capsys: pytest.CaptureFixture):
    repository = tmp_path / "hub/lmms-eval/MMVU"
    repository.mkdir(parents=True)
    archive = repository / "videos.zip"
    with zipfile.ZipFile(archive, "w") as made:
        made.writestr("videos/Art/0.mp4", b"good")
        made.writestr("../../evil.mp4", b"evil")
    size, digest = archive.stat().st_size, sha256(archive)
    write_json(repository / "manifest.json", {"files": [{"path": "videos.zip", "size": size, "sha256": digest}]})
    source = {
        "name": "mmvu",
        "repository": "lmms-eval/MMVU",
        "type": "dataset",
        "patterns": ["videos.zip"],
        "licence": "none",
    }
    lock = tmp_path / "resources/mmvu.json"
    words = ["fetch", "--source", json.dumps(source), "--hub", str(tmp_path / "hub"), "--out", str(lock)]
    assert refused(capsys, words) == (
        f"fetch: {tmp_path / 'resources/mmvu/videos.zip'}: member '../../evil.mp4' points outside its folder; "
        "nothing was unpacked; check its origin\n"
    )
    assert not lock.exists()
    assert [p.name for p in tmp_path.rglob("*.mp4")] == []


def test_benchmark_row_without_answer_is_set_aside(tmp_path: Path):
    import pandas as pd

    (tmp_path / "data").mkdir()
    (tmp_path / "videomme").mkdir()
    mp4.write(tmp_path / "data/v.mp4", world.scene(0, 0).frames, world.FPS)
    options = ["A. red", "B. green", "C. blue", "D. yellow"]
    row = {"duration": "short", "videoID": "v", "question": "What is the colour?", "options": options}
    rows = [{**row, "question_id": "001-1", "answer": "A"}, {**row, "question_id": "001-2", "answer": None}]
    pd.DataFrame(rows).to_parquet(tmp_path / "videomme/test.parquet")
    spec = PrepareSpec(name="videomme", frames=OWN_SIZE).canonical()
    out, aside = tmp_path / "videomme.jsonl", tmp_path / "aside.csv"
    words = ["prepare", "--spec", spec, "--source", str(tmp_path), "--out", str(out), "--aside", str(aside)]
    assert main(words) == 0
    assert len(out.read_text().splitlines()) == 1
    assert aside.read_text().splitlines() == ["row,reason", "videomme[1],no answer"]


def test_benchmark_without_a_usable_row(tmp_path: Path, capsys: pytest.CaptureFixture):
    """Refused, but the reasons are there to be read."""
    import pandas as pd

    (tmp_path / "videomme").mkdir()
    row = {"duration": "short", "videoID": "v", "question": "What is the colour?", "options": ["A. a", "B. b"]}
    pd.DataFrame([{**row, "question_id": "001-1", "answer": "A"}]).to_parquet(tmp_path / "videomme/test.parquet")
    spec = PrepareSpec(name="videomme", frames=OWN_SIZE).canonical()
    out, aside = tmp_path / "videomme.jsonl", tmp_path / "aside.csv"
    words = ["prepare", "--spec", spec, "--source", str(tmp_path), "--out", str(out), "--aside", str(aside)]
    assert refused(capsys, words) == (
        f"prepare: {tmp_path}: no usable question among 1 rows, the first because: {tmp_path}/data/v.mp4: no such "
        f"file; all reasons stand in {aside}; fetch the source again (snakemake TARGET -R fetch)\n"
    )
    assert not out.exists()
    assert len(aside.read_text().splitlines()) == 2


def test_prediction_file_cut_in_a_line(tmp_path: Path, policy_path: Path, capsys: pytest.CaptureFixture):
    questions, predictions = tmp_path / "mmvu.jsonl", tmp_path / "all.jsonl"
    asked = [Question(f"q{i}", "v.mp4", "?", ("A. a", "B. b"), "multiple choice", "A", "mmvu/Art") for i in range(3)]
    write_records(questions, asked)
    write_records(predictions, [Prediction("mmvu", q.id, "<answer>A</answer>", "s") for q in asked])
    predictions.write_text(predictions.read_text()[:-20])
    words = ["grade", "--cell", "grpo", "--seed", "0", "--policy", str(policy_path), "--specs", "s"]
    words += ["--predictions", str(predictions), "--questions", str(questions)]
    words += ["--out", str(tmp_path / "m.json"), "--graded", str(tmp_path / "g.jsonl")]
    assert refused(capsys, words) == (
        f"grade: {predictions}:3: Unterminated string starting at: line 1 column 49 (char 48); "
        "remove the file and run again\n"
    )
    assert not (tmp_path / "m.json").exists() and not (tmp_path / "g.jsonl").exists()


def test_folder_in_place_of_predictions(tmp_path: Path, policy_path: Path, capsys: pytest.CaptureFixture):
    (tmp_path / "all.jsonl").mkdir()
    write_records(tmp_path / "mmvu.jsonl", [])
    assert refused(capsys, grading(tmp_path, policy_path)) == (
        f"grade: {tmp_path / 'all.jsonl'}: a folder, not a file; remove it and run again\n"
    )


def test_provenance_that_is_no_object(tmp_path: Path, policy_path: Path, capsys: pytest.CaptureFixture):
    tags = {"subject": "Art", "discipline": "Humanities_and_Social_Science"}
    asked = [Question("q", "v.mp4", "?", ("A. a", "B. b"), "multiple choice", "A", "mmvu", tags)]
    write_records(tmp_path / "mmvu.jsonl", asked)
    write_records(tmp_path / "all.jsonl", [Prediction("mmvu", "q", "<answer>A</answer>", "s")])
    (tmp_path / "all.provenance.json").write_text("[]")
    assert refused(capsys, grading(tmp_path, policy_path)) == (
        f"grade: {tmp_path / 'all.provenance.json'}: no provenance, a list; remove it and run again\n"
    )
    assert not (tmp_path / "m.json").exists() and not (tmp_path / "g.jsonl").exists()


def grading(folder: Path, policy: Path) -> list[str]:
    """`grade` of all.jsonl on mmvu.jsonl in a folder."""
    words = ["grade", "--cell", "grpo", "--seed", "0", "--policy", str(policy), "--specs", "s"]
    words += ["--predictions", str(folder / "all.jsonl"), "--questions", str(folder / "mmvu.jsonl")]
    return [*words, "--out", str(folder / "m.json"), "--graded", str(folder / "g.jsonl")]
