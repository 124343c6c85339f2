"""Rows of the training corpus and of the benchmarks: each is a question to keep, or set aside with a reason."""

import copy
import csv
import json
import tempfile
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import strategies as st

from fuzzing import Surface, one_line
from fuzzing.bytes_of import damaged
from stgrpo.benchmarks import BENCHMARKS, read_questions
from stgrpo.commands.prepare import _write_aside
from stgrpo.config import Corpus, Questions
from stgrpo.data import video_r1
from stgrpo.demo.examined import WRITERS
from stgrpo.errors import UserError
from stgrpo.files import read_records, write_records
from stgrpo.records import Question, SetAside

_ROW = {
    "problem_id": 1,
    "problem": "What is the colour?",
    "data_type": "video",
    "problem_type": "multiple choice",
    "options": ["A. red", "B. green"],
    "solution": "<answer>A</answer>",
    "path": "./CLEVRER/1.mp4",
    "data_source": "CLEVRER",
}
_VALUES = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(),
        st.floats(allow_nan=False, allow_infinity=False),
        st.text(max_size=12),
        st.sampled_from(["<answer></answer>", "<answer>C</answer>", "../x", "/x", "\x00", "numerical", "OCR", "image"]),
        st.sampled_from(["free-form", "regression", "<answer>nan</answer>", "<answer>=1+1</answer>", "\ud800", "A"]),
    ),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=4,
)


@st.composite
def _records(draw: Any) -> str:
    """One good record and one to four changed ones, as JSON."""
    rows: list[Any] = [_ROW]
    for number in range(draw(st.integers(1, 4))):
        row = {**copy.deepcopy(_ROW), "problem_id": number + 2}
        for name in draw(st.lists(st.sampled_from(sorted(_ROW)), max_size=3, unique=True)):
            if draw(st.booleans()):
                row[name] = draw(_VALUES)
            else:
                del row[name]
        rows.append(draw(_VALUES) if draw(st.integers(0, 9)) == 0 else row)
    return json.dumps(rows, ensure_ascii=draw(st.booleans()))


def _check_records(text: str) -> None:
    _read_records(text.encode("utf-8", "surrogatepass"), good=True)


def _check_file(content: bytes) -> None:
    _read_records(content, good=False)


def _read_records(content: bytes, good: bool) -> None:
    """Read the file; `good` says that its first record can be used."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        (folder / video_r1.RECORDS).write_bytes(content)
        try:
            found = video_r1.read_questions(folder, Questions(source="video-r1", count=9, seed=0), lambda video: None)
        except UserError as error:
            one_line(error)
            # A lone surrogate is no text, so that one anywhere damages the whole file.
            assert not good or "damaged after" in str(error), error
            return
        _kept(folder, *found)
        with suppress(json.JSONDecodeError):  # yajl knows more blanks, and misses a text that opens behind the list
            assert len(found[0]) + len(found[1]) == len(json.loads(content))
        if good:
            assert "video-r1-1" in [question.id for question in found[0]]


def _kept(folder: Path, questions: list[Question], aside: list[SetAside]) -> None:
    """What was read can be written, read back, and read by people."""
    for question in questions:
        texts = (question.id, question.video, question.text, question.kind, question.answer, question.source)
        assert all(isinstance(text, str) for text in (*texts, *question.options, *question.tags.values())), question
        assert question.text and question.answer
        assert Path(question.video).is_relative_to(folder) and ".." not in Path(question.video).parts
    write_records(folder / "q.jsonl", questions)
    assert read_records(folder / "q.jsonl", Question) == questions
    _write_aside(folder / "aside.csv", aside)
    with (folder / "aside.csv").open(newline="", encoding="utf-8") as lines:
        assert len(list(csv.DictReader(lines))) == len(aside)
    assert all(row.reason for row in aside)


@cache
def _tables() -> dict[str, dict[str, pa.Table]]:
    """The parquet files of every benchmark in the rendered world, by benchmark and path."""
    found: dict[str, dict[str, pa.Table]] = {}
    with tempfile.TemporaryDirectory() as place:
        for name in BENCHMARKS:
            hub = Path(place, name)
            WRITERS[name](hub, Corpus(videos=6, seed=1))
            root = next(hub.glob("*/*"))
            files = sorted(root.rglob("*.parquet"))
            found[name] = {str(file.relative_to(root)): pq.ParquetFile(file).read() for file in files}
    return found


_CELLS = {
    "text": (st.text(max_size=12), pa.string()),
    "number": (st.integers(-(2**63), 2**63 - 1), pa.int64()),
    "float": (st.floats(), pa.float64()),
    "bytes": (st.binary(max_size=6), pa.binary()),
    "truth": (st.booleans(), pa.bool_()),
    "texts": (st.lists(st.text(max_size=5), max_size=3), pa.list_(pa.string())),
    "numbers": (st.lists(st.floats(), max_size=3), pa.list_(pa.float64())),
    "letters": (
        st.sampled_from(["A", "B", "E", "x" * 300, "a", "", " ", "yes", "1/0", "nan", "-1", "../x", "\x00"]),
        pa.string(),
    ),
    "record": (st.fixed_dictionaries({"A": st.text(max_size=4)}), pa.struct([("A", pa.string())])),
    "date": (st.dates(), pa.date32()),
}


@st.composite
def _benchmark(draw: Any) -> tuple[str, str, pa.Table]:
    """One file of one benchmark, with one or two of its columns left out or of other values."""
    name = draw(st.sampled_from(sorted(BENCHMARKS)))
    path = draw(st.sampled_from(sorted(_tables()[name])))
    table = _tables()[name][path].slice(0, 6)
    for _ in range(draw(st.integers(1, 2))):
        column = draw(st.sampled_from(table.column_names))
        at = table.column_names.index(column)
        if draw(st.integers(0, 5)) == 0:
            table = table.remove_column(at)
            continue
        values, kind = _CELLS[draw(st.sampled_from(sorted(_CELLS)))]
        size = table.num_rows
        cells = draw(st.lists(st.none() | values, min_size=size, max_size=size))
        table = table.set_column(at, column, pa.array(cells, kind))
    return name, path, table


def _check_benchmark(drawn: tuple[str, str, pa.Table]) -> None:
    name, path, table = drawn
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        for other, whole in {**_tables()[name], path: table}.items():
            (folder / other).parent.mkdir(parents=True, exist_ok=True)
            pq.write_table(whole, folder / other)
        try:
            rows = list(read_questions(name, folder))
        except UserError as error:
            one_line(error)
            return
        questions = [row for row in rows if isinstance(row, Question)]
        _kept(folder, questions, [row for row in rows if isinstance(row, SetAside)])
        for question in questions:
            BENCHMARKS[name].part(question)
            truth = BENCHMARKS[name].credit(question, question.answer)
            assert truth == 1.0, f"the truth earns {truth}: {question}"


SURFACES = [
    Surface("records", _records(), _check_records, 60),
    Surface("records-file", damaged(json.dumps([_ROW, {**_ROW, "problem_id": 2}]).encode()), _check_file, 60),
    Surface("benchmarks", _benchmark(), _check_benchmark, 40),
]
