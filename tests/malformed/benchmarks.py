"""The benchmarks' parquet files, through `prepare`: a row set aside with its reason, or the file refused."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from malformed.given import preparing, video
from malformed.harness import Case
from stgrpo.__main__ import main

_LETTERED = ["A. red", "B. green"]
_LINES = "What is the colour?\nA. red\nB. green"
_GIVEN: dict[str, dict[str, dict[str, Any]]] = {  # a good row of each file of each benchmark
    "videomme": {
        "videomme/test.parquet": {
            "question": "What is the colour?",
            "answer": "A",
            "question_id": "001-1",
            "videoID": "v",
            "duration": "short",
            "options": _LETTERED,
        }
    },
    "vsibench": {
        "test-0.parquet": {
            "id": 7,
            "dataset": "scannet",
            "scene_name": "v",
            "question_type": "object_counting",
            "question": "How many chairs are there?",
            "ground_truth": "4",
            "options": None,
        }
    },
    "perceptiontest": {
        "mc_question_val/a.parquet": {
            "video_name": "v",
            "question": "What is the colour?",
            "question_id": "34",
            "options": ["red", "green"],
            "answer_id": "0",
            "area": "memory",
        }
    },
    "tempcompass": {
        "multi-choice/a.parquet": {"question": _LINES, "answer": "A. red", "video_id": "v", "dim": "attribute"},
        "yes_no/a.parquet": {"question": "Is it red?", "answer": "yes", "video_id": "v", "dim": "attribute"},
        "caption_matching/a.parquet": {
            "question": "Which caption fits?\nOption 1: Red.\nOption 2: Green.",
            "answer": "Option 1: Red.",
            "video_id": "v",
            "dim": "attribute",
        },
        "captioning/a.parquet": {"mc_question": _LINES, "mc_answer": "A. red", "video_id": "v", "dim": "attribute"},
    },
    "videommmu": {
        f"{track}/a.parquet": {
            "id": "validation_Art_Theory_12",
            "question": "Which period?",
            "options": ["Baroque", "Gothic"],
            "answer": "B",
            "question_type": "multiple-choice",
        }
        for track in ("Adaptation", "Comprehension", "Perception")
    },
    "mmvu": {
        "data/a.parquet": {
            "id": "validation_1",
            "video_path": "videos/Art/v.mp4",
            "question": "What is the colour?",
            "question_type": "multiple-choice",
            "choices": {"A": "red", "B": "green", "C": "", "D": None, "E": ""},
            "answer": "A",
        }
    },
}
_VIDEOS = ("data/v.mp4", "scannet/v.mp4", "videos/v.mp4", "videos/Art/v.mp4", "Art/validation_Art_Theory_12.mp4")


def _write(path: Path, *rows: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(list(rows)), path)


def _given(folder: Path, benchmark: str) -> Path:
    """The benchmark as it would be right; the path of its first file."""
    for name in _VIDEOS:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(video())
    for name, row in _GIVEN[benchmark].items():
        _write(folder / name, row)
    return folder / next(iter(_GIVEN[benchmark]))


def _file(benchmark: str, content: bytes) -> Callable[[Path], int]:
    """Another content for its first file."""

    def run(folder: Path) -> int:
        _given(folder, benchmark).write_bytes(content)
        return main(preparing(folder, benchmark))

    return run


def _rows(benchmark: str, *rows: dict[str, Any]) -> Callable[[Path], int]:
    """Other rows for its first file."""

    def run(folder: Path) -> int:
        _write(_given(folder, benchmark), *rows)
        return main(preparing(folder, benchmark))

    return run


def _but(benchmark: str, file: str = "", **change: Any) -> Callable[[Path], int]:
    """A second row in a file, which is the first one but for some fields; alone in a file of its own type."""

    def run(folder: Path) -> int:
        _given(folder, benchmark)
        name = file or next(iter(_GIVEN[benchmark]))
        other = Path(name).with_name(Path(name).stem + "-1.parquet")
        _write(folder / other, {**_GIVEN[benchmark][name], **change})
        return main(preparing(folder, benchmark))

    return run


def _gone(benchmark: str, file: str = "") -> Callable[[Path], int]:
    def run(folder: Path) -> int:
        _given(folder, benchmark)
        (folder / (file or next(iter(_GIVEN[benchmark])))).unlink()
        return main(preparing(folder, benchmark))

    return run


def _no_rows(folder: Path) -> int:
    path = _given(folder, "videomme")
    pq.write_table(pq.read_table(path).slice(0, 0), path)
    return main(preparing(folder, "videomme"))


def _no_questions(folder: Path) -> None:
    assert not (folder / "out.jsonl").exists() and not (folder / "out.provenance.json").exists()


def _kept(benchmark: str) -> Callable[[Path], None]:
    """All good rows, as they were."""

    def right(folder: Path) -> None:
        rows = [json.loads(line) for line in (folder / "out.jsonl").read_text().splitlines()]
        assert len(rows) == len(_GIVEN[benchmark]), [row["id"] for row in rows]
        asked = {given.get("mc_question", given.get("question")) for given in _GIVEN[benchmark].values()}
        assert all(any(text.partition("\n")[0] in row["text"] for text in asked) for row in rows)

    return right


_VIDEOMME = _GIVEN["videomme"]["videomme/test.parquet"]
_HALF = pa.BufferOutputStream()
pq.write_table(pa.Table.from_pylist([_VIDEOMME] * 100), _HALF)
_WHOLE = _HALF.getvalue().to_pybytes()

_REFUSED = [
    ("videomme", "no file", _gone("videomme")),
    ("tempcompass", "no file of one configuration", _gone("tempcompass", "captioning/a.parquet")),
    ("videommmu", "no file of one track", _gone("videommmu", "Perception/a.parquet")),
    ("videomme", "an empty file", _file("videomme", b"")),
    ("videomme", "a CSV called parquet", _file("videomme", b"question,answer\nwhat,A\n")),
    ("videomme", "cut at half", _file("videomme", _WHOLE[: len(_WHOLE) // 2])),
    ("videomme", "zeros in a page", _file("videomme", _WHOLE[:8] + bytes(64) + _WHOLE[72:])),
    ("videomme", "a pointer to a file elsewhere", _file("videomme", b"version https://git-lfs.github.com/spec/v1\n")),
    ("videomme", "no rows", _no_rows),
    ("videomme", "no column of answers", _rows("videomme", {k: v for k, v in _VIDEOMME.items() if k != "answer"})),
    ("mmvu", "columns of another data set", _rows("mmvu", {"text": "a", "label": 1})),
]
_BAD: list[tuple[str, str, Callable[[Path], int]]] = [
    ("videomme", "null for the answer", _but("videomme", answer=None)),
    ("videomme", "an empty question", _but("videomme", question="")),
    ("videomme", "a number for the question", _but("videomme", question=5)),
    ("videomme", "a text for the options", _but("videomme", options="A. red")),
    ("videomme", "no options", _but("videomme", options=[])),
    ("videomme", "a blank option", _but("videomme", options=["A. red", " "])),
    ("videomme", "eleven options", _but("videomme", options=[f"{letter}. x" for letter in "ABCDEFGHIJK"])),
    ("videomme", "a letter that is no option", _but("videomme", answer="C")),
    ("videomme", "a video that leads elsewhere", _but("videomme", videoID="../../../etc/passwd")),
    ("videomme", "a video from the root", _but("videomme", videoID="/etc/passwd")),
    ("videomme", "a video that is not there", _but("videomme", videoID="w")),
    ("videomme", "a name of 5000 characters", _but("videomme", videoID="x" * 5000)),
    ("videomme", "a name with a zero", _but("videomme", videoID="v\x00w")),
    ("videomme", "a name with an escape", _but("videomme", videoID="v\x1b[31m")),
    ("vsibench", "a quantity of zero", _but("vsibench", ground_truth="0")),
    ("vsibench", "NaN for a quantity", _but("vsibench", ground_truth="nan")),
    ("vsibench", "an unknown type", _but("vsibench", question_type="object_colour")),
    ("vsibench", "a choice without options", _but("vsibench", question_type="route_planning", ground_truth="A")),
    ("vsibench", "no id", _but("vsibench", id=None)),
    ("vsibench", "a data set that leads elsewhere", _but("vsibench", dataset="../scannet")),
    ("perceptiontest", "an answer beyond the options", _but("perceptiontest", answer_id="2")),
    ("perceptiontest", "a negative answer", _but("perceptiontest", answer_id="-1")),
    ("perceptiontest", "half an answer", _but("perceptiontest", answer_id=0.5)),
    ("perceptiontest", "records for options", _but("perceptiontest", options=[{"a": 1}])),
    ("tempcompass", "maybe", _but("tempcompass", "yes_no/a.parquet", answer="maybe")),
    ("tempcompass", "an option that is none", _but("tempcompass", answer="C. blue")),
    (
        "tempcompass",
        "an option without its label",
        _but("tempcompass", "caption_matching/a.parquet", question="Which?\nOption 1: Red.\nGreen."),
    ),
    ("videommmu", "an unknown subject", _but("videommmu", id="validation_Alchemy_1")),
    ("videommmu", "an id of another form", _but("videommmu", id="12")),
    ("videommmu", "a choice without options", _but("videommmu", options=None)),
    ("mmvu", "an open question", _but("mmvu", question_type="open-ended")),
    ("mmvu", "an unknown type", _but("mmvu", question_type="essay")),
    ("mmvu", "an address that leads elsewhere", _but("mmvu", video_path="https://x/resolve/main/../../Art/v.mp4")),
    ("mmvu", "an unknown subject", _but("mmvu", video_path="videos/Alchemy/v.mp4")),
    ("mmvu", "a list for the choices", _but("mmvu", choices=["red", "green"])),
    ("mmvu", "the letter of an empty choice", _but("mmvu", answer="C")),
]
_SAYS = {  # each whole line or reason; "..." is what another program or a library says
    "no file (videomme)": (
        "prepare: FOLDER: no file videomme/*.parquet; fetch the source again (snakemake TARGET -R fetch)"
    ),
    "no file of one configuration (tempcompass)": (
        "prepare: FOLDER: no file captioning/*.parquet; fetch the source again (snakemake TARGET -R fetch)"
    ),
    "no file of one track (videommmu)": (
        "prepare: FOLDER: no file Perception/*.parquet; fetch the source again (snakemake TARGET -R fetch)"
    ),
    "an empty file (videomme)": (
        "prepare: FOLDER/videomme/test.parquet: not parquet (...); remove it and fetch the source again"
    ),
    "a CSV called parquet (videomme)": (
        "prepare: FOLDER/videomme/test.parquet: not parquet (...); remove it and fetch the source again"
    ),
    "cut at half (videomme)": (
        "prepare: FOLDER/videomme/test.parquet: not parquet (...); remove it and fetch the source again"
    ),
    "zeros in a page (videomme)": (
        "prepare: FOLDER/videomme/test.parquet: not parquet (...); remove it and fetch the source again"
    ),
    "a pointer to a file elsewhere (videomme)": (
        "prepare: FOLDER/videomme/test.parquet: not parquet (...); remove it and fetch the source again"
    ),
    "no rows (videomme)": (
        "prepare: FOLDER: its files hold no row; fetch the source again (snakemake TARGET -R fetch)"
    ),
    "no column of answers (videomme)": (
        "prepare: FOLDER: no usable question among 1 rows, the first because: no answer; all reasons stand "
        "in FOLDER/aside.csv; fetch the source again (snakemake TARGET -R fetch)"
    ),
    "columns of another data set (mmvu)": (
        "prepare: FOLDER: no usable question among 1 rows, the first because: no id, question, "
        "question_type, answer, video_path; all reasons stand in FOLDER/aside.csv; fetch the source again "
        "(snakemake TARGET -R fetch)"
    ),
    "null for the answer (videomme)": "no answer",
    "an empty question (videomme)": "no question",
    "a number for the question (videomme)": "question is a int, not a text",
    "a text for the options (videomme)": "options are no list of non-empty texts",
    "no options (videomme)": "no options",
    "a blank option (videomme)": "options are no list of non-empty texts",
    "eleven options (videomme)": "11 options, more than there are letters",
    "a letter that is no option (videomme)": "answer 'C' is none of its options",
    "a video that leads elsewhere (videomme)": "video 'data/../../../etc/passwd.mp4' leads out of the benchmark",
    "a video from the root (videomme)": "video '/etc/passwd.mp4' leads out of the benchmark",
    "a video that is not there (videomme)": "FOLDER/data/w.mp4: no such file",
    "a name of 5000 characters (videomme)": "FOLDER/data/xxx...xxx ... xxx...xxx.mp4: no such file",
    "a name with a zero (videomme)": "FOLDER/data/v\\x00w.mp4: no such file",
    "a name with an escape (videomme)": "FOLDER/data/v\\x1b[31m.mp4: no such file",
    "a quantity of zero (vsibench)": "ground truth '0' is no number above 0",
    "NaN for a quantity (vsibench)": "ground truth 'nan' is no number above 0",
    "an unknown type (vsibench)": "question_type 'object_colour' is unknown",
    "a choice without options (vsibench)": "no options",
    "no id (vsibench)": "no id",
    "a data set that leads elsewhere (vsibench)": "video '../scannet/v.mp4' leads out of the benchmark",
    "an answer beyond the options (perceptiontest)": "answer_id '2' is none of its 2 options",
    "a negative answer (perceptiontest)": "answer_id '-1' is none of its 2 options",
    "half an answer (perceptiontest)": "answer_id '0.5' is none of its 2 options",
    "records for options (perceptiontest)": "options are no list of non-empty texts",
    "maybe (tempcompass)": "answer 'maybe' is neither yes nor no",
    "an option that is none (tempcompass)": "answer 'C. blue' is none of its options",
    "an option without its label (tempcompass)": "option 'Green.' has no label",
    "an unknown subject (videommmu)": "subject 'Alchemy' is in no discipline",
    "an id of another form (videommmu)": "subject '' is in no discipline",
    "a choice without options (videommmu)": "no options",
    "an open question (mmvu)": "an open question, which needs a judge model",
    "an unknown type (mmvu)": "question_type 'essay' is unknown",
    "an address that leads elsewhere (mmvu)": (
        "video_path 'https://x/resolve/main/../../Art/v.mp4' leads out of the benchmark"
    ),
    "an unknown subject (mmvu)": "subject 'Alchemy' is in no discipline",
    "a list for the choices (mmvu)": "choices are no record of texts",
    "the letter of an empty choice (mmvu)": "answer 'C' is none of its options",
}


def _says(what: str) -> str:
    return re.escape(_SAYS[what]).replace(re.escape("..."), ".*")


def _what(benchmark: str, what: str) -> str:
    return f"{what} ({benchmark})"


CASES = [
    *(
        Case("data rows", _what(name, what), run, _says(_what(name, what)), right=_no_questions)
        for name, what, run in _REFUSED
    ),
    *(
        Case("data rows", _what(name, what), run, _says(_what(name, what)), set_aside=1, right=_kept(name))
        for name, what, run in _BAD
    ),
]
