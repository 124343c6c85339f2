"""Files of our own, damaged or of values of another kind: read as they are, or refused by one line."""

import copy
import json
import tempfile
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from fuzzing import Surface, one_line
from fuzzing.bytes_of import damaged
from stgrpo.benchmarks.grading import grade, scores
from stgrpo.data.locks import read_lock
from stgrpo.data.sources import Source
from stgrpo.errors import UserError
from stgrpo.files import line, read_json, read_records, write_records
from stgrpo.records import Graded, Prediction, Question
from stgrpo.state import whole_lines

_OPTIONS = ("A. red", "B. green")
_TAGS = {"subject": "Art", "discipline": "Humanities_and_Social_Science"}
_QUESTIONS = [Question(f"mmvu-{i}", f"{i}.mp4", "?", _OPTIONS, "multiple choice", "A", "mmvu", _TAGS) for i in range(3)]
_PREDICTIONS = [Prediction("mmvu", question.id, "<answer>A</answer>", "s") for question in _QUESTIONS]
_VALUES = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=8), st.lists(st.integers(), max_size=2)
) | st.dictionaries(st.text(max_size=3), st.integers(), max_size=2)


@st.composite
def _changed(draw: Any) -> tuple[str, str]:
    """A file of questions and one of predictions, with one to three values changed."""
    files = [[record.to_row() for record in records] for records in (_QUESTIONS, _PREDICTIONS)]
    for _ in range(draw(st.integers(1, 3))):
        row = draw(st.sampled_from(draw(st.sampled_from(files))))
        row[draw(st.sampled_from(sorted(row)))] = draw(_VALUES)
    questions, predictions = ("".join(json.dumps(row) + "\n" for row in rows) for rows in files)
    return questions, predictions


def _check_grading(texts: tuple[str, str]) -> None:
    with tempfile.TemporaryDirectory() as place:
        paths = [Path(place, name) for name in ("questions.jsonl", "predictions.jsonl")]
        for path, text in zip(paths, texts, strict=True):
            path.write_text(text, encoding="utf-8")
        try:
            questions = {"mmvu": read_records(paths[0], Question)}
            predictions = read_records(paths[1], Prediction)
            graded = grade(questions, predictions, frozenset(["s"]))
            (found,) = scores(questions, predictions, graded)
            write_records(Path(place, "graded.jsonl"), graded)
        except UserError as error:
            one_line(error)
            return
        assert 0.0 <= found.value <= 100.0 and found.n == 3
        assert read_records(Path(place, "graded.jsonl"), Graded) == graded


def _check_lines(content: bytes) -> None:
    with tempfile.TemporaryDirectory() as place:
        path = Path(place, "predictions.jsonl")
        path.write_bytes(content)
        try:
            assert all(isinstance(record, Prediction) for record in read_records(path, Prediction))
        except UserError as error:
            one_line(error)
        kept = whole_lines(path)  # what a killed process left
        assert path.read_bytes().count(b"\n") == kept and content.startswith(path.read_bytes())


_LOCK = {
    "source": "mmvu",
    "repository": "lmms-eval/MMVU",
    "type": "dataset",
    "commit": "c" * 40,
    "patterns": ["data/*.parquet"],
    "files": [{"path": "data/a.parquet", "size": 3, "sha256": "0" * 64}],
}
_SOURCE = Source("mmvu", "lmms-eval/MMVU", "dataset", ("data/*.parquet",), "none")


@st.composite
def _locks(draw: Any) -> bytes:
    lock = copy.deepcopy(_LOCK)
    lock[draw(st.sampled_from(sorted(lock)))] = draw(_VALUES)
    return json.dumps(lock).encode()


def _check_lock(content: bytes) -> None:
    with tempfile.TemporaryDirectory() as place:
        path = Path(place, "mmvu.json")
        path.write_bytes(content)
        try:
            read_json(path)
            read_lock(path, _SOURCE)
        except UserError as error:
            one_line(error)


SURFACES = [
    Surface("grading", _changed(), _check_grading, 100),
    Surface("lines", damaged("".join(map(line, _PREDICTIONS)).encode()), _check_lines, 100),
    Surface("locks", _locks() | damaged(json.dumps(_LOCK).encode()), _check_lock, 100),
]
