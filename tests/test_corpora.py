"""Rows of the training corpus -> questions, and files that come by a link or a copy."""

import csv
import errno
import json
import os
import random
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from stgrpo.commands.prepare import prepare
from stgrpo.config import Questions
from stgrpo.data.video_r1 import RECORDS, choose, read_questions
from stgrpo.errors import UserError, VideoError
from stgrpo.files import link_or_copy, read_records
from stgrpo.records import Question, SetAside
from stgrpo.rl.checkpoints import take_model
from stgrpo.rules import FrameRule
from stgrpo.specs import PrepareSpec


def row(**more: Any) -> dict[str, Any]:
    """A usable record, as the dataset card shows them."""
    return {
        "problem_id": 2,
        "problem": "What appears?",
        "data_type": "video",
        "problem_type": "multiple choice",
        "options": ["A. a missile", "B. a boat"],
        "solution": "<answer>A</answer>",
        "path": "./CLEVRER/train_videos/video_00002.mp4",
        "data_source": "CLEVRER",
    } | more


def typed(kind: str, answer: str) -> dict[str, Any]:
    """A usable record of another kind than multiple choice."""
    return row(problem_type=kind, options=[], solution=f"<answer>{answer}</answer>")


def without(name: str) -> dict[str, Any]:
    return {key: value for key, value in row().items() if key != name}


def read(folder: Path, rows: Any, check=lambda video: None, count: int = 100, seed: int = 0):
    (folder / RECORDS).write_text(json.dumps(rows), encoding="utf-8")
    return read_questions(folder, Questions(source="video-r1", count=count, seed=seed), check)


GOOD = row(problem_id=1)  # stands beside the row in question, so that the result is never empty


def test_a_row_becomes_a_question(tmp_path: Path):
    questions, aside = read(tmp_path, [row()])
    assert aside == []
    assert questions == [
        Question(
            id="video-r1-2",
            video=str(tmp_path / "CLEVRER/train_videos/video_00002.mp4"),
            text="What appears?",
            options=("A. a missile", "B. a boat"),
            kind="multiple choice",
            answer="A",
            source="video-r1/CLEVRER",
        )
    ]


SET_ASIDE = [
    (without("path"), "no path", "a field is missing"),
    ({"data_type": "video", "options": []}, "no problem_id, problem, problem_type, solution, path", "nearly all are"),
    (row(problem_type="haiku"), "problem_type 'haiku' has no accuracy rule", "a kind without a rule"),
    (row(data_type="image"), "an image; the paper trains on the video rows", "an image"),
    (row(data_type="audio"), "data_type 'audio' is neither video nor image", "neither image nor video"),
    (row(problem=["What?"]), "problem is a list, not a text", "a question that is no text"),
    (row(solution=7), "solution is a int, not a text", "a solution that is no text"),
    (row(solution="A"), "solution holds no answer tag", "no answer tag"),
    (row(solution="<answer></answer>"), "solution holds no answer tag", "an empty answer tag"),
    (row(solution="<answer>C</answer>"), "answer 'C' is none of its options", "an answer outside the options"),
    (row(solution="<answer>a</answer>"), "answer 'a' is none of its options", "letters are upper case"),
    (row(solution="<answer>A. a missile</answer>"), "answer 'A. a missile' is none of its options", "not the letter"),
    (row(options=["yes", "no"], solution="<answer>yes</answer>"), "answer 'yes' is none of its options", "no letters"),
    (row(options=[]), "answer 'A' is none of its options", "no options"),
    (without("options"), "options are no list of texts", "no field of options"),
    (row(options=None), "options are no list of texts", "options null"),
    (row(options={"A": "a missile"}), "options are no list of texts", "options that are no list"),
    (row(options=["A. a missile", 2]), "options are no list of texts", "an option that is no text"),
    (typed("numerical", "many"), "answer 'many' is no number", "a numerical answer in words"),
    (typed("regression", "inf"), "answer 'inf' is no number", "a number that is not finite"),
    (row(path="../secret.mp4"), "path '../secret.mp4' leads out of the corpus", "a path that leads out"),
    (row(path="/secret.mp4"), "path '/secret.mp4' leads out of the corpus", "a path of the machine"),
    (typed("OCR", " "), "solution holds no answer tag", "a text answer without text"),
    (row(problem_id={"a": 1}), "problem_id is a dict, not a number", "object as id"),
    (row(problem_id=True), "problem_id is a bool, not a number", "truth as id"),
    (row(problem=""), "no problem", "empty question"),
    (row(problem=" \n"), "problem is blank", "blank question"),
    (7, "a int, not a record", "a number"),
    (None, "a NoneType, not a record", "null"),
]


@pytest.mark.parametrize(("bad", "reason", "why"), SET_ASIDE, ids=[case[2] for case in SET_ASIDE])
def test_a_row_that_cannot_be_used_is_set_aside_with_its_reason(tmp_path: Path, bad: Any, reason: str, why: str):
    questions, aside = read(tmp_path, [GOOD, bad])
    assert [question.id for question in questions] == ["video-r1-1"], why
    assert aside == [SetAside(f"{RECORDS}[1]", reason)]


@pytest.mark.parametrize(
    ("kind", "answer"), [("numerical", "1,200"), ("OCR", "EXIT 5"), ("free-form", "a red ball"), ("regression", "0.5")]
)
def test_a_row_of_another_kind_keeps_its_answer_and_has_no_options(tmp_path: Path, kind: str, answer: str):
    (question,), aside = read(tmp_path, [typed(kind, answer)])
    assert (question.kind, question.answer, question.options) == (kind, answer, ())
    assert aside == []


def test_options_matter_to_a_multiple_choice_only(tmp_path: Path):
    rows = [typed("OCR", "EXIT") | {"options": ["A. a missile"]}, typed("OCR", "EXIT") | {"options": None}]
    questions, _ = read(tmp_path, [one | {"problem_id": i} for i, one in enumerate(rows)])
    assert [question.options for question in questions] == [(), ()]


def test_a_problem_id_used_twice_gives_one_question(tmp_path: Path):
    questions, aside = read(tmp_path, [row(problem="one"), row(problem="two")])
    assert [question.id for question in questions] == ["video-r1-2"]
    assert [entry.reason for entry in aside] == ["problem_id of video-r1-2 is used twice"]


def test_a_broken_video_sets_its_question_aside_and_frees_its_id(tmp_path: Path):
    """Two rows share an id, and the video that is looked at first is broken."""
    seen = []

    def check(video: str) -> None:
        seen.append(video)
        if len(seen) == 1:
            raise VideoError(f"{video}: does not decode")

    questions, aside = read(tmp_path, [row(path="./0.mp4"), row(path="./1.mp4")], check)
    assert [question.video for question in questions] == seen[1:]
    broken = Path(seen[0]).stem
    assert aside == [SetAside(f"{RECORDS}[{broken}]", f"{tmp_path / broken}.mp4: does not decode")]


def test_only_videos_that_are_drawn_are_decoded(tmp_path: Path):
    seen = []
    read(tmp_path, [row(problem_id=i, path=f"./{i}.mp4") for i in range(50)], seen.append, count=5)
    assert len(seen) == 5


@pytest.mark.parametrize("rows", [[], [row(data_type="image")], [without("path")]], ids=["empty", "images", "broken"])
def test_no_usable_row_is_an_error(tmp_path: Path, rows: list):
    with pytest.raises(UserError) as caught:
        read(tmp_path, rows)
    start = f"{tmp_path / RECORDS}: none of {len(rows)} records is a usable video question ("
    assert str(caught.value).startswith(start)


def test_a_file_that_is_no_list_is_an_error(tmp_path: Path):
    with pytest.raises(UserError) as caught:
        read(tmp_path, {"rows": []})
    assert str(caught.value) == f"{tmp_path / RECORDS}: expected a list of records, found dict"


WHOLE = json.dumps([row(problem_id=i) for i in range(100)])
DAMAGE = [
    (WHOLE[:-1], 100, "without its last bracket"),
    (WHOLE[: len(WHOLE) // 2], WHOLE[: len(WHOLE) // 2].count("}"), "cut in the middle"),
    (WHOLE.replace('"problem_id": 3,', '"problem_id": ,'), 3, "a field without a value"),
    (WHOLE.replace("missile", "miss\0le", 1), 0, "a control character"),
    (WHOLE + "[]", 100, "another list behind it"),
    ("", 0, "empty"),
]


@pytest.mark.parametrize(("text", "count", "why"), DAMAGE, ids=[case[2] for case in DAMAGE])
def test_a_damaged_file_is_named_with_the_number_of_whole_records(tmp_path: Path, text: str, count: int, why: str):
    (tmp_path / RECORDS).write_text(text, encoding="utf-8")
    with pytest.raises(UserError) as caught:
        choose(tmp_path, Questions(source="video-r1", count=5, seed=0))
    said = str(caught.value)
    assert said.startswith(f"{tmp_path / RECORDS}: damaged after {count} records ("), why
    assert said.endswith("); remove it and fetch the source again (snakemake TARGET -R fetch)") and "\n" not in said


def test_a_file_that_is_not_there_is_named(tmp_path: Path):
    with pytest.raises(UserError) as caught:
        choose(tmp_path, Questions(source="video-r1", count=5, seed=0))
    assert str(caught.value) == f"{tmp_path / RECORDS}: no such file"


def mixed(count: int) -> list[dict[str, Any]]:
    """Every other record an image, and now and then an answer outside the options."""
    return [
        row(
            problem_id=i,
            path=f"./CLEVRER/{i // 3}.mp4",
            data_type=("image", "video")[i % 2],
            solution=f"<answer>{'ABABABC'[i % 7]}</answer>",
        )
        for i in range(count)
    ]


def test_the_choice_is_the_beginning_of_the_shuffled_records(tmp_path: Path):
    """Against the plain way: all of the file in memory, shuffled, read until there are enough."""
    rows = mixed(500)
    (tmp_path / RECORDS).write_text(json.dumps(rows))
    choice = choose(tmp_path, Questions(source="video-r1", count=30, seed=7, reserve=10))
    order = list(range(500))
    random.Random(7).shuffle(order)
    usable = [i for i in order if i % 2 and i % 7 != 6]
    assert [index for index, one in choice.rows if isinstance(one, Question)] == usable[:40]
    assert [index for index, _ in choice.rows] == order[: order.index(usable[39]) + 1]
    assert (choice.total, choice.complete) == (500, False)
    assert choice.videos(tmp_path) == list(dict.fromkeys(f"CLEVRER/{i // 3}.mp4" for i in usable[:40]))


def test_a_choice_without_a_reserve_is_everything(tmp_path: Path):
    (tmp_path / RECORDS).write_text(json.dumps(mixed(100)))
    choice = choose(tmp_path, Questions(source="video-r1", count=3, seed=0))
    assert sorted(index for index, _ in choice.rows) == list(range(100)) and choice.complete


def limited(folder: Path, reserve: int, broken: int) -> list[str]:
    """Ids of 10 questions of 50, where the videos that are looked at first are broken."""
    (folder / RECORDS).write_text(json.dumps([row(problem_id=i, path=f"./{i}.mp4") for i in range(50)]))
    seen = []

    def check(video: str) -> None:
        seen.append(video)
        if len(seen) <= broken:
            raise VideoError(f"{video}: no such file")

    questions, aside = read_questions(folder, Questions(source="video-r1", count=10, seed=1, reserve=reserve), check)
    assert len(seen) == 10 + broken and len(aside) == broken
    return [question.id for question in questions]


def test_the_reserve_stands_in_for_videos_that_fail(tmp_path: Path):
    whole = limited(tmp_path, reserve=13, broken=0)
    assert limited(tmp_path, reserve=3, broken=0) == whole  # the reserve does not change what is drawn
    assert limited(tmp_path, reserve=3, broken=3)[:7] == whole[3:]


def test_a_reserve_that_is_too_small_says_so(tmp_path: Path):
    with pytest.raises(UserError) as caught:
        limited(tmp_path, reserve=3, broken=4)
    order = list(range(50))
    random.Random(1).shuffle(order)
    assert str(caught.value) == (
        f"{tmp_path / RECORDS}: 9 of 10 questions, because 4 of those chosen cannot be used, the first because: "
        f"{tmp_path / str(order[0])}.mp4: no such file; raise questions.reserve = 3 in config.yaml"
    )


def test_training_shows_no_video_that_perceptiontest_examines(tmp_path: Path, questions: list[Question]):
    """By name, in folders of PerceptionTest's only; the root of everything may be called as it likes."""
    corpus, rows = tmp_path / "perception-lab/corpus", tmp_path / "rows"
    paths = (
        "PerceptionTest/video_1.mp4",
        "PerceptionTest/video_2.mp4",
        "LLaVA-Video-178K/0_30_s_perceptiontest/video_1.mp4",
        "CLEVRER/train_videos/video_1.mp4",
    )
    for path, question in zip(paths, questions, strict=False):
        link_or_copy(Path(question.video), corpus / path)
    (corpus / RECORDS).write_text(json.dumps([row(problem_id=i, path=f"./{path}") for i, path in enumerate(paths)]))
    (rows / "mc_question_val").mkdir(parents=True)
    pd.DataFrame([{"video_name": "video_1"}]).to_parquet(rows / "mc_question_val/validation-00000-of-00001.parquet")
    spec = PrepareSpec(name="train", frames=FrameRule(), draw=Questions(source="video-r1", count=10, seed=0))
    out, aside = tmp_path / "train.jsonl", tmp_path / "aside.csv"
    prepare(spec, corpus, out, aside, apart_from=rows)
    assert {question.id for question in read_records(out, Question)} == {"video-r1-1", "video-r1-3"}
    with aside.open(newline="") as lines:
        found = {line["row"]: line["reason"] for line in csv.DictReader(lines)}
    reason = "also in PerceptionTest's validation set, which the policy is examined on"
    assert found == {f"{RECORDS}[{i}]": f"{corpus / paths[i]}: {reason}" for i in (0, 2)}


def ids(folder: Path, count: int, seed: int) -> list[str]:
    rows = [row(problem_id=i) for i in range(200)]
    return [question.id for question in read(folder, rows, count=count, seed=seed)[0]]


def test_the_draw_is_the_seed_s_and_has_no_duplicates(tmp_path: Path):
    first = ids(tmp_path, 60, seed=3)
    assert len(set(first)) == 60
    assert ids(tmp_path, 60, seed=3) == first
    assert set(ids(tmp_path, 60, seed=4)) != set(first)
    assert first != [f"video-r1-{i}" for i in range(60)]


def test_a_larger_draw_goes_on_where_the_smaller_one_ends(tmp_path: Path):
    assert ids(tmp_path, 90, seed=3)[:60] == ids(tmp_path, 60, seed=3)


def test_more_than_there_are_gives_all(tmp_path: Path):
    assert sorted(ids(tmp_path, 999, seed=0)) == sorted(f"video-r1-{i}" for i in range(200))


def refuse(*_: Any) -> None:
    raise OSError(errno.EPERM, "Operation not permitted")


@pytest.mark.parametrize("links", [True, False], ids=["hard links", "none"])
def test_a_file_is_linked_or_else_copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, links: bool):
    origin, path = tmp_path / "origin", tmp_path / "new/path"
    origin.write_bytes(b"whole")
    path.parent.mkdir()
    path.write_bytes(b"old")
    if not links:
        monkeypatch.setattr(os, "link", refuse)
    link_or_copy(origin, path)
    assert path.read_bytes() == b"whole" and path.samefile(origin) is links
    assert list(path.parent.iterdir()) == [path]


def test_a_model_is_taken_where_there_are_no_hard_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    checkpoint = tmp_path / "checkpoint-2"
    checkpoint.mkdir()
    for name in ("model.safetensors", "config.json", "optimizer.pt", "trainer_state.json", "complete.json"):
        (checkpoint / name).write_text(name)
    monkeypatch.setattr(os, "link", refuse)
    take_model(checkpoint, tmp_path / "model")
    taken = {path.name: path.read_text() for path in (tmp_path / "model").iterdir()}
    assert taken == {name: name for name in ("model.safetensors", "config.json")}
