"""Rows of the benchmarks, in the layouts of their sources -> questions."""

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from stgrpo.benchmarks import BENCHMARKS, mmvu, perceptiontest, tempcompass, videommmu
from stgrpo.errors import UserError
from stgrpo.records import Question, SetAside

ROWS: dict[str, tuple[str, dict[str, Any]]] = {  # a file of each benchmark and a usable row, in the source's layout
    "videomme": (
        "videomme/test-00000-of-00001.parquet",
        {
            "video_id": "001",
            "duration": "short",
            "domain": "Knowledge",
            "sub_category": "Humanity & History",
            "url": "https://www.youtube.com/watch?v=fFjv93ACGo8",
            "videoID": "fFjv93ACGo8",
            "question_id": "001-1",
            "task_type": "Counting Problem",
            "question": "How many balls are there?",
            "options": ["A. One.", "B. Two.", "C. Three.", "D. Four."],
            "answer": "C",
        },
    ),
    "vsibench": (
        "test-00000-of-00001.parquet",
        {
            "id": 7,
            "dataset": "scannet",
            "scene_name": "scene0011_00",
            "question_type": "object_rel_distance",
            "question": "Which is closest to the door?",
            "ground_truth": "B",
            "options": ["A. sofa", "B. chair"],
        },
    ),
    "perceptiontest": (
        "mc_question_val/validation-00000-of-00001.parquet",
        {
            "video_name": "video_8241",
            "question": "What was put down last?",
            "question_id": "34",
            "options": ["cup", "spoon", "plate"],
            "answer_id": "2",
            "area": "memory",
            "reasoning": "descriptive",
            "tag": ["object recognition", "sequencing"],
        },
    ),
    "videommmu": (
        "Adaptation/test-00000-of-00001.parquet",
        {
            "id": "validation_Art_Theory_12",
            "question": "Which period is <image 1> from?",
            "options": ["Baroque", "Gothic"],
            "answer": "B",
            "question_type": "multiple-choice",
        },
    ),
    "mmvu": (
        "data/validation-00000-of-00001.parquet",
        {
            "id": "validation_1",
            "video_path": "https://huggingface.co/datasets/yale-nlp/MMVU/resolve/main/videos/Chemistry/0.mp4",
            "question": "How many grams are produced?",
            "question_type": "multiple-choice",
            "choices": {"A": "10.0", "B": "5.0", "C": "12.0", "D": "15.0", "E": "20.0"},
            "answer": "A",
        },
    ),
}
DUNK = "What is the man doing?\nA. shooting\nB. dunking"
CAPTIONS = "Which caption fits?\nOption 1: A dog runs.\nOption 2: A cat runs."
TEMPCOMPASS: dict[str, dict[str, Any]] = {
    "multi-choice": {"question": DUNK, "answer": "B. dunking"},
    "yes_no": {"question": "Is the man dunking?", "answer": "yes"},
    "caption_matching": {"question": CAPTIONS, "answer": "Option 2: A cat runs."},
    "captioning": {"question": "Describe it.", "answer": None, "mc_question": DUNK, "mc_answer": "A. shooting"},
}


def write(path: Path, rows: list[dict[str, Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pd.DataFrame(rows).to_parquet(path, index=False)


def write_all(name: str, folder: Path, changes: list[dict[str, Any]]) -> None:
    """The benchmark's usable row with each of these changes, and what other files it needs."""
    file, row = ROWS[name]
    for number, change in enumerate(changes):  # a file each, for a column has one type
        write(folder / file.replace("00000-of", f"{number:05}-of"), [row | change])
    for track in ("Comprehension", "Perception") if name == "videommmu" else ():
        write(folder / track / "test-00000-of-00001.parquet", [row | {"id": "dev_Biology_3"}])


def read(name: str, folder: Path, *changes: dict[str, Any]) -> list[Question | SetAside]:
    write_all(name, folder, list(changes))
    return list(BENCHMARKS[name].read_questions(folder))


def read_tempcompass(folder: Path, config: str = "", **change: Any) -> list[Question | SetAside]:
    """The four configurations, a usable row in each, one of them changed."""
    for other, row in TEMPCOMPASS.items():
        row = {"video_id": "12", "dim": "action"} | row | (change if other == config else {})
        write(folder / other / "test-00000-of-00001.parquet", [row])
    return list(tempcompass.read_questions(folder))


def test_videomme_rows_become_questions(tmp_path: Path):
    assert read("videomme", tmp_path, {}) == [
        Question(
            id="videomme-0",
            video=str(tmp_path / "data/fFjv93ACGo8.mp4"),
            text="How many balls are there?",
            options=("A. One.", "B. Two.", "C. Three.", "D. Four."),
            kind="multiple choice",
            answer="C",
            source="videomme",
            tags={"id": "001-1", "video": "fFjv93ACGo8", "duration": "short"},
        )
    ]


def test_vsibench_rows_become_choices_and_quantities(tmp_path: Path):
    count = {"question_type": "object_counting", "ground_truth": "4", "options": None}
    choice, quantity = read("vsibench", tmp_path, {}, count)
    assert choice == Question(
        id="vsibench-0",
        video=str(tmp_path / "scannet/scene0011_00.mp4"),
        text="Which is closest to the door?",
        options=("A. sofa", "B. chair"),
        kind="multiple choice",
        answer="B",
        source="vsibench/scannet",
        tags={"id": "7", "video": "scene0011_00", "type": "object_rel_distance"},
    )
    assert isinstance(quantity, Question)
    assert (quantity.kind, quantity.answer, quantity.options) == ("regression", "4", ())


def test_vsibench_is_read_from_the_top_of_its_repository_but_no_other_version(tmp_path: Path):
    row = ROWS["vsibench"][1]
    write(tmp_path / "test-00000-of-00001.parquet", [row])
    write(tmp_path / "test_debiased.parquet", [row])
    assert len(list(BENCHMARKS["vsibench"].read_questions(tmp_path))) == 1


def test_perceptiontest_options_get_letters(tmp_path: Path):
    assert read("perceptiontest", tmp_path, {}) == [
        Question(
            id="perceptiontest-0",
            video=str(tmp_path / "videos/video_8241.mp4"),
            text="What was put down last?",
            options=("A. cup", "B. spoon", "C. plate"),
            kind="multiple choice",
            answer="C",
            source="perceptiontest",
            tags={"id": "34", "video": "video_8241", "area": "memory"},
        )
    ]


def test_tempcompass_configurations_become_four_kinds_of_questions(tmp_path: Path):
    found = read_tempcompass(tmp_path)
    assert found[0] == Question(
        id="multi-choice-0",
        video=str(tmp_path / "videos/12.mp4"),
        text="What is the man doing?",
        options=("A. shooting", "B. dunking"),
        kind="multiple choice",
        answer="B",
        source="tempcompass/multi-choice",
        tags={"video": "12", "dim": "action", "configuration": "multi-choice"},
    )
    assert [(q.kind, q.text, q.answer) for q in found[1:] if isinstance(q, Question)] == [
        ("yes or no", "Is the man dunking?", "yes"),
        ("caption matching", "Which caption fits?", "Option 2: A cat runs."),
        ("multiple choice", "What is the man doing?", "A"),
    ]
    assert [q.options for q in found if isinstance(q, Question)][1:3] == [
        (),
        ("Option 1: A dog runs.", "Option 2: A cat runs."),
    ]


def test_videommmu_tracks_say_what_to_do_with_the_last_frame(tmp_path: Path):
    found = read("videommmu", tmp_path, {}, {"options": [], "answer": "1.5", "question_type": "open"})
    assert found[0] == Question(
        id="Adaptation-0",
        video=str(tmp_path / "Art/validation_Art_Theory_12.mp4"),
        text=f"{videommmu.ASKS_LAST_FRAME}\nWhich period is <image 1> from?",
        options=("A. Baroque", "B. Gothic"),
        kind="multiple choice",
        answer="B",
        source="videommmu/Adaptation",
        tags={"id": "validation_Art_Theory_12", "subject": "Art_Theory", "track": "Adaptation"},
    )
    _, free, comprehension, perception = [q for q in found if isinstance(q, Question)]
    assert (free.kind, free.answer, free.options) == ("free-form", "1.5", ())
    assert comprehension.video == perception.video == str(tmp_path / "Science/dev_Biology_3.mp4")
    assert comprehension.text.startswith(f"{videommmu.IGNORES_LAST_FRAME}\n")
    assert perception.text.startswith(f"{videommmu.IGNORES_LAST_FRAME}\n")


def test_videommmu_options_that_have_letters_keep_them(tmp_path: Path):
    lettered, plain, *_ = read("videommmu", tmp_path, {"options": ["A. x", "B. y"]}, {"options": ["A. x", "z"]})
    assert isinstance(lettered, Question) and lettered.options == ("A. x", "B. y")
    assert isinstance(plain, Question) and plain.options == ("A. A. x", "B. z")


@pytest.mark.parametrize("kind", ["perception", "comprehension", "multiple-choice", None])
def test_videommmu_rows_with_options_are_choices_whatever_their_type_is_called(tmp_path: Path, kind: str | None):
    question, *_ = read("videommmu", tmp_path, {"question_type": kind})
    assert isinstance(question, Question)
    assert (question.kind, question.options) == ("multiple choice", ("A. Baroque", "B. Gothic"))


def test_videommmu_rows_that_are_open_are_asked_without_options(tmp_path: Path):
    question, *_ = read("videommmu", tmp_path, {"question_type": "open", "options": ["x"], "answer": "1.5"})
    assert isinstance(question, Question) and (question.kind, question.options) == ("free-form", ())


@pytest.mark.parametrize(("name", "folder"), [("videomme", "data"), ("perceptiontest", "videos")])
@pytest.mark.parametrize("ending", [".mp4", ".MP4", ".mkv"])
def test_a_video_is_found_by_any_of_its_endings(tmp_path: Path, name: str, folder: str, ending: str):
    stem = ROWS[name][1]["videoID" if name == "videomme" else "video_name"]
    (tmp_path / folder).mkdir()
    (tmp_path / folder / f"{stem}{ending}").write_bytes(b"video")
    (question,) = read(name, tmp_path, {})
    assert isinstance(question, Question) and Path(question.video).samefile(tmp_path / folder / f"{stem}{ending}")


def test_perceptiontest_names_its_videos_without_having_them(tmp_path: Path):
    write_all("perceptiontest", tmp_path, [{}, {}, {"video_name": "video_9"}, {"answer_id": None}])
    assert perceptiontest.video_names(tmp_path) == {"video_8241", "video_9"}


@pytest.mark.parametrize("path", [ROWS["mmvu"][1]["video_path"], "videos/Chemistry/0.mp4"], ids=["address", "relative"])
def test_mmvu_choices_become_options(tmp_path: Path, path: str):
    assert read("mmvu", tmp_path, {"video_path": path}) == [
        Question(
            id="mmvu-0",
            video=str(tmp_path / "videos/Chemistry/0.mp4"),
            text="How many grams are produced?",
            options=("A. 10.0", "B. 5.0", "C. 12.0", "D. 15.0", "E. 20.0"),
            kind="multiple choice",
            answer="A",
            source="mmvu",
            tags={"id": "validation_1", "subject": "Chemistry", "discipline": "Science"},
        )
    ]


def test_mmvu_leaves_empty_choices_out_and_keeps_the_letters(tmp_path: Path):
    (question,) = read("mmvu", tmp_path, {"choices": {"A": "10.0", "B": "", "C": "12.0", "D": " ", "E": None}})
    assert isinstance(question, Question) and question.options == ("A. 10.0", "C. 12.0")


COUNTING = {"question_type": "object_counting", "options": None}
SET_ASIDE = [
    ("videomme", {"answer": None}, "no answer"),
    ("videomme", {"answer": ""}, "no answer"),
    ("videomme", {"answer": "E"}, "answer 'E' is none of its options"),
    ("videomme", {"answer": "c"}, "answer 'c' is none of its options"),
    ("videomme", {"options": None, "videoID": None}, "no videoID, options"),
    ("videomme", {"options": ["One.", "Two.", "Three."]}, "answer 'C' is none of its options"),
    ("videomme", {"answer": 2}, "answer is a int, not a text"),
    ("videomme", {"options": ["A. One.", None, "C. Three."]}, "options are no list of non-empty texts"),
    ("videomme", {"options": ["A. One.", " ", "C. Three."]}, "options are no list of non-empty texts"),
    ("vsibench", {"ground_truth": None}, "no ground_truth"),
    ("vsibench", {"ground_truth": "C"}, "answer 'C' is none of its options"),
    ("vsibench", {"options": None}, "no options"),
    ("vsibench", {"question_type": "object_colour"}, "question_type 'object_colour' is unknown"),
    ("vsibench", {**COUNTING, "ground_truth": "0"}, "ground truth '0' is no number above 0"),
    ("vsibench", {**COUNTING, "ground_truth": "-1"}, "ground truth '-1' is no number above 0"),
    ("vsibench", {**COUNTING, "ground_truth": "many"}, "ground truth 'many' is no number above 0"),
    ("vsibench", {**COUNTING, "ground_truth": 4.5}, "ground_truth is a float, not a text"),
    ("vsibench", {"options": {"A": "sofa"}}, "options are no list of non-empty texts"),
    ("perceptiontest", {"answer_id": "3"}, "answer_id '3' is none of its 3 options"),
    ("perceptiontest", {"answer_id": "-1"}, "answer_id '-1' is none of its 3 options"),
    ("perceptiontest", {"answer_id": None}, "no answer_id"),
    ("perceptiontest", {"options": list("abcdefghijkl")}, "12 options, more than there are letters"),
    ("perceptiontest", {"options": [1, 2, 3]}, "options are no list of non-empty texts"),
    ("videommmu", {"answer": None}, "no answer"),
    ("videommmu", {"answer": "C"}, "answer 'C' is none of its options"),
    ("videommmu", {"id": "dev_Alchemy_1"}, "subject 'Alchemy' is in no discipline"),
    ("videommmu", {"options": list("abcdefghijk")}, "11 options, more than there are letters"),
    ("videommmu", {"options": "Baroque, Gothic"}, "options are no list of non-empty texts"),
    ("videommmu", {"options": []}, "no options"),
    ("videommmu", {"options": None}, "no options"),
    ("videommmu", {"id": 12}, "id is a int, not a text"),
    ("mmvu", {"question_type": "open-ended"}, "an open question, which needs a judge model"),
    ("mmvu", {"question_type": "essay"}, "question_type 'essay' is unknown"),
    ("mmvu", {"video_path": "videos/Alchemy/0.mp4"}, "subject 'Alchemy' is in no discipline"),
    ("mmvu", {"video_path": "../videos/Art/0.mp4"}, "video_path '../videos/Art/0.mp4' leads out of the benchmark"),
    ("mmvu", {"video_path": "/videos/Art/0.mp4"}, "video_path '/videos/Art/0.mp4' leads out of the benchmark"),
    ("mmvu", {"video_path": "0.mp4"}, "subject '' is in no discipline"),
    ("mmvu", {"answer": "F"}, "answer 'F' is none of its options"),
    ("mmvu", {"answer": None}, "no answer"),
    ("mmvu", {"choices": None}, "no choices"),
    ("mmvu", {"choices": ["10.0", "5.0"]}, "choices are no record of texts"),
    ("mmvu", {"choices": {"A": 10.0, "B": 5.0}}, "choices are no record of texts"),
    ("mmvu", {"choices": {"A": "10.0", "E": ""}, "answer": "E"}, "answer 'E' is none of its options"),
    ("mmvu", {"choices": {"A": "10.0"}, "answer": "E"}, "answer 'E' is none of its options"),
]


@pytest.mark.parametrize(("name", "change", "reason"), SET_ASIDE, ids=[f"{n}: {c}" for n, c, _ in SET_ASIDE])
def test_a_row_that_cannot_be_scored_is_set_aside(tmp_path: Path, name: str, change: dict[str, Any], reason: str):
    aside, usable, *_ = read(name, tmp_path, change, {})
    assert isinstance(aside, SetAside) and isinstance(usable, Question)
    assert aside == SetAside(f"{'Adaptation' if name == 'videommmu' else name}[0]", reason)


@pytest.mark.parametrize(
    ("config", "change", "reason"),
    [
        ("multi-choice", {"answer": "C. passing"}, "answer 'C. passing' is none of its options"),
        ("multi-choice", {"answer": "B"}, "answer 'B' is none of its options"),
        ("multi-choice", {"answer": None}, "no answer"),
        ("multi-choice", {"question": "?\nshooting", "answer": "shooting"}, "answer 'shooting' is none of its options"),
        ("multi-choice", {"answer": True}, "answer is a bool, not a text"),
        ("yes_no", {"answer": True}, "answer is a bool, not a text"),
        ("yes_no", {"answer": "maybe"}, "answer 'maybe' is neither yes nor no"),
        ("caption_matching", {"answer": "Option 2"}, "answer 'Option 2' is none of its options"),
        ("caption_matching", {"question": "?\nA\nOption 2: B", "answer": "A"}, "option 'A' has no label"),
        ("captioning", {"mc_answer": None}, "no mc_answer"),
    ],
)
def test_a_tempcompass_row_that_cannot_be_scored_is_set_aside(
    tmp_path: Path, config: str, change: dict[str, Any], reason: str
):
    aside = [row for row in read_tempcompass(tmp_path, config, **change) if isinstance(row, SetAside)]
    assert aside == [SetAside(f"{config}[0]", reason)]


FILES = {
    "videomme": "videomme/*.parquet",
    "vsibench": "test-*.parquet",
    "perceptiontest": "mc_question_val/*.parquet",
    "tempcompass": "multi-choice/*.parquet",
    "videommmu": "Adaptation/*.parquet",
    "mmvu": "data/*.parquet",
}


@pytest.mark.parametrize(("name", "files"), FILES.items(), ids=FILES)
def test_a_source_without_its_files_is_an_error(tmp_path: Path, name: str, files: str):
    with pytest.raises(UserError) as caught:
        list(BENCHMARKS[name].read_questions(tmp_path))
    assert str(caught.value) == f"{tmp_path}: no file {files}; fetch the source again (snakemake TARGET -R fetch)"


def test_a_missing_configuration_is_an_error(tmp_path: Path):
    read_tempcompass(tmp_path)
    (tmp_path / "captioning/test-00000-of-00001.parquet").unlink()
    with pytest.raises(UserError, match="no file captioning/\\*.parquet"):
        list(tempcompass.read_questions(tmp_path))


def test_a_broken_file_is_an_error(tmp_path: Path):
    (tmp_path / "data").mkdir()
    file = tmp_path / "data/validation-00000-of-00001.parquet"
    file.write_bytes(b"<html>not found</html>")
    with pytest.raises(UserError) as caught:
        list(mmvu.read_questions(tmp_path))
    assert str(caught.value).startswith(f"{file}: not parquet (")
    assert str(caught.value).endswith("); remove it and fetch the source again")


def test_several_files_are_one_list_in_the_order_of_their_names(tmp_path: Path):
    for part in ("1", "0"):
        write(tmp_path / f"videomme/test-{part}.parquet", [ROWS["videomme"][1] | {"question_id": part}])
    found = list(BENCHMARKS["videomme"].read_questions(tmp_path))
    assert [(q.id, q.tags["id"]) for q in found if isinstance(q, Question)] == [
        ("videomme-0", "0"),
        ("videomme-1", "1"),
    ]
