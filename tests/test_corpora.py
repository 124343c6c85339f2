"""Rows of the training corpus and of the benchmarks -> questions; predictions -> scores."""

import json
import math
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from stgrpo.benchmarks import tempcompass
from stgrpo.benchmarks.grading import grade
from stgrpo.config import Questions
from stgrpo.data.video_r1 import RECORDS, read_questions
from stgrpo.errors import UserError, VideoError
from stgrpo.records import Prediction, Question, Score, SetAside

# Video-R1-data.


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
    (row(problem_type="regression"), "problem_type 'regression' has no accuracy rule", "a kind without a rule"),
    (row(solution="A"), "solution holds no answer tag", "no answer tag"),
    (row(solution="<answer></answer>"), "solution holds no answer tag", "an empty answer tag"),
    (row(solution="<answer>C</answer>"), "answer 'C' is none of its options", "an answer outside the options"),
    (row(solution="<answer>a</answer>"), "answer 'a' is none of its options", "letters are upper case"),
    (row(solution="<answer>A. a missile</answer>"), "answer 'A. a missile' is none of its options", "not the letter"),
    (row(options=[]), "answer 'A' is none of its options", "no options"),
]


@pytest.mark.parametrize(("bad", "reason", "why"), SET_ASIDE, ids=[case[2] for case in SET_ASIDE])
def test_a_row_that_cannot_be_used_is_set_aside_with_its_reason(tmp_path: Path, bad: dict, reason: str, why: str):
    questions, aside = read(tmp_path, [GOOD, bad])
    assert [question.id for question in questions] == ["video-r1-1"], why
    assert aside == [SetAside(f"{RECORDS}[1]", reason)]


def test_a_row_without_options_is_set_aside(tmp_path: Path):
    questions, aside = read(tmp_path, [GOOD, without("options")])
    assert [question.id for question in questions] == ["video-r1-1"]
    assert [entry.row for entry in aside] == [f"{RECORDS}[1]"]


@pytest.mark.parametrize(
    "bad",
    [row(options=None), row(solution=None), row(path=None), 7, None],
    ids=["options null", "solution null", "path null", "a number", "null"],
)
def test_a_malformed_row_is_set_aside(tmp_path: Path, bad: Any):
    questions, aside = read(tmp_path, [GOOD, bad])
    assert [question.id for question in questions] == ["video-r1-1"]
    assert [entry.row for entry in aside] == [f"{RECORDS}[1]"]


def test_an_image_row_is_no_part_of_the_data_and_not_counted(tmp_path: Path):
    questions, aside = read(tmp_path, [GOOD, row(data_type="image")])
    assert [question.id for question in questions] == ["video-r1-1"]
    assert aside == []


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


# TempCompass.

DUNK = "What is the man doing?\nA. shooting\nB. dunking"


def write_parquet(folder: Path, rows: list[dict[str, str]], name: str = "test-00000-of-00001.parquet") -> None:
    (folder / "multi-choice").mkdir(exist_ok=True)
    pd.DataFrame(rows).to_parquet(folder / "multi-choice" / name, index=False)


def test_tempcompass_rows_become_questions(tmp_path: Path):
    write_parquet(tmp_path, [{"video_id": "12", "question": DUNK, "answer": "B. dunking", "dim": "action"}])
    assert list(tempcompass.read_questions(tmp_path)) == [
        Question(
            id="multi-choice-0",
            video=str(tmp_path / "videos/12.mp4"),
            text="What is the man doing?",
            options=("A. shooting", "B. dunking"),
            kind="multiple choice",
            answer="B",
            source="tempcompass/multi-choice",
            tags={"video": "12", "dim": "action"},
        )
    ]


def test_several_parquet_files_are_one_list_in_the_order_of_their_names(tmp_path: Path):
    for part in ("1", "0"):
        rows = [{"video_id": part, "question": DUNK, "answer": "A. shooting", "dim": "speed"}]
        write_parquet(tmp_path, rows, f"test-{part}.parquet")
    found = [(question.id, question.tags["video"]) for question in tempcompass.read_questions(tmp_path)]
    assert found == [("multi-choice-0", "0"), ("multi-choice-1", "1")]


@pytest.mark.parametrize("answer", ["C. passing", "B", "", None])
def test_a_tempcompass_row_whose_answer_is_no_option_is_set_aside(tmp_path: Path, answer: str | None):
    good = {"video_id": "1", "question": DUNK, "answer": "B. dunking", "dim": "action"}
    write_parquet(tmp_path, [good | {"answer": answer}, good])
    aside, question = tempcompass.read_questions(tmp_path)
    assert isinstance(aside, SetAside)
    assert aside.row == "multi-choice[0]"
    assert aside.reason.endswith("is none of its options")
    assert isinstance(question, Question)


def test_a_source_without_parquet_is_an_error(tmp_path: Path):
    with pytest.raises(UserError) as caught:
        list(tempcompass.read_questions(tmp_path))
    assert str(caught.value) == f"{tmp_path / 'multi-choice'}: no parquet file; fetch the source again"


RULE = [  # lmms-eval 0.7.3's own function was run on these; what it hands to a judge model is wrong here
    ("B", True, "the bare letter"),
    ("B.", True, "the letter and a full stop"),
    ("B. dunking", True, "the whole option"),
    ("B) dunking", True, "another bracket"),
    ("B. shooting", True, "the letter decides"),
    ("b", False, "lower case"),
    ("(B)", False, "brackets before the letter"),
    (" B", False, "a blank before the letter"),
    ("dunking", False, "the text without its letter"),
    ("B dunking", False, "neither full stop nor bracket"),
    ("A", False, "another option"),
    ("A. shooting", False, "another whole option"),
    ("", False, "an empty answer"),
    (None, False, "no answer tag"),
]


@pytest.mark.parametrize(("answer", "expected", "reason"), RULE, ids=[case[2] for case in RULE])
def test_tempcompass_rule(answer: str | None, expected: bool, reason: str):
    question = Question("q", "v", "?", ("A. shooting", "B. dunking"), "multiple choice", "B", "tempcompass")
    assert tempcompass.is_right(question, answer) is expected, reason


def test_tempcompass_score_is_micro_accuracy_in_percent():
    questions = [Question(str(i), "v", "?", ("A. a",), "multiple choice", "A", "t") for i in range(4)]
    assert tempcompass.score(questions, [True, False, True, False]) == 50.0
    assert tempcompass.score(questions, [True, True, True, False]) == 75.0


# Grading.

ASKED = {
    "tempcompass": [
        Question(f"q{i}", "v", "?", ("A. a", "B. b"), "multiple choice", "A", "tempcompass") for i in range(5)
    ]
}


def answered(*answers: str | None, spec: str = "today", benchmark: str = "tempcompass") -> list[Prediction]:
    texts = ["no tag" if a is None else f"<answer> {a} </answer>" for a in answers]
    return [Prediction(benchmark, f"q{i}", text, spec) for i, text in enumerate(texts)]


def test_a_score_comes_with_its_error_its_size_and_what_was_not_parsed():
    """Three of five are right: 100 * sqrt(0.6 * 0.4 / 5) = 100 * sqrt(0.048)."""
    (score,) = grade(ASKED, answered("A", "A", "A", "B", None), frozenset({"today"}))
    assert score == Score("tempcompass", 60.0, pytest.approx(21.9089, abs=1e-4), n=5, unparsed=1)


def test_the_order_of_predictions_is_no_matter():
    predictions = answered("A", "B", "A", "B", None)
    assert grade(ASKED, predictions[::-1], frozenset({"today"})) == grade(ASKED, predictions, frozenset({"today"}))


@pytest.mark.parametrize("answer", ["A", "B"])
def test_all_or_none_right_has_no_standard_error(answer: str):
    (score,) = grade(ASKED, answered(*[answer] * 5), frozenset({"today"}))
    assert (score.value, score.standard_error) == (100.0 if answer == "A" else 0.0, 0.0)


def test_the_standard_error_of_a_real_size():
    """TempCompass has 1,580 multi-choice questions; half of them right: 50 / sqrt(1580) = 1.2579."""
    questions = {"tempcompass": [Question(f"q{i}", "v", "?", ("A. a",), "", "A", "t") for i in range(1580)]}
    (score,) = grade(questions, answered(*["A", "B"] * 790), frozenset({"today"}))
    assert math.isclose(score.standard_error, 1.2579, abs_tol=1e-4)


def test_predictions_of_another_spec_are_refused():
    predictions = answered("A", "A", "A", "A") + answered(*["A"] * 5, spec="yesterday")[4:]
    with pytest.raises(UserError) as caught:
        grade(ASKED, predictions, frozenset({"today"}))
    assert str(caught.value) == (
        "predictions were made by spec yesterday, the configuration asks for today; "
        "evaluate again (snakemake TARGET -R evaluate)"
    )


def test_several_parts_have_several_specs():
    predictions = answered("A", "A", "A", "A") + answered(*["A"] * 5, spec="part two")[4:]
    (score,) = grade(ASKED, predictions, frozenset({"today", "part two"}))
    assert score.n == 5


FIVE = answered("A", "A", "A", "A", "A")
MISMATCH = [
    (FIVE[:4], "4 predictions for 5 questions, 4 of them different", "one is missing"),
    (FIVE + FIVE[:1], "6 predictions for 5 questions, 5 of them different", "one is doubled"),
    (FIVE[:4] + FIVE[:1], "5 predictions for 5 questions, 4 of them different", "one is doubled and one missing"),
    (answered(*["A"] * 6)[1:], "5 predictions for 5 questions, 5 of them different", "one is of another question"),
    ([], "0 predictions for 5 questions, 0 of them different", "none"),
]


@pytest.mark.parametrize(("predictions", "what", "reason"), MISMATCH, ids=[case[2] for case in MISMATCH])
def test_predictions_must_match_the_questions_one_to_one(predictions: list[Prediction], what: str, reason: str):
    with pytest.raises(UserError) as caught:
        grade(ASKED, predictions, frozenset({"today"}))
    assert str(caught.value) == f"tempcompass: {what}; evaluate again (snakemake TARGET -R evaluate)", reason


def test_predictions_of_a_benchmark_that_was_not_asked_are_refused():
    with pytest.raises(UserError, match="mmvu"):
        grade(ASKED, FIVE + answered("A", benchmark="mmvu"), frozenset({"today"}))
