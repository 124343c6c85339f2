"""The training corpus, through `prepare`: a record set aside with its reason, or the file refused."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from malformed.given import RECORD, preparing, video
from malformed.harness import Case, pinned
from stgrpo.__main__ import main


def _file(content: str | bytes) -> Callable[[Path], int]:
    def run(folder: Path) -> int:
        (folder / "1.mp4").write_bytes(video())
        raw = content if isinstance(content, bytes) else content.encode()
        (folder / "Video-R1-260k.json").write_bytes(raw)
        return main(preparing(folder))

    return run


def _beside(*rows: Any) -> Callable[[Path], int]:
    """A good record and others."""
    return _file(json.dumps([RECORD, *rows]))


def _but(**change: Any) -> Callable[[Path], int]:
    return _beside({**RECORD, "problem_id": 2, **change})


def _without(name: str) -> Callable[[Path], int]:
    return _beside({key: value for key, value in {**RECORD, "problem_id": 2}.items() if key != name})


def _one_question(folder: Path) -> None:
    """The good one, as it was."""
    (row,) = [json.loads(line) for line in (folder / "out.jsonl").read_text().splitlines()]
    assert (row["id"], row["answer"], row["text"]) == ("video-r1-1", "A", RECORD["problem"])


def _no_questions(folder: Path) -> None:
    assert not (folder / "out.jsonl").exists()


_GOOD = json.dumps([RECORD])
_REFUSED = [
    ("no file", lambda folder: main(preparing(folder))),
    ("an empty file", _file("")),
    ("cut in a record", _file(_GOOD[:-40])),
    ("cut in a character", _file(json.dumps([{**RECORD, "problem": "é"}], ensure_ascii=False).encode()[:60] + b"\xc3")),
    ("no UTF-8", _file(_GOOD.encode().replace(b"colour", b"col\xffur"))),
    ("UTF-16", _file(_GOOD.encode("utf-16"))),
    ("an object for a list", _file(json.dumps({"data": [RECORD]}))),
    ("a number", _file("7")),
    ("lines for a list", _file(json.dumps(RECORD) + "\n" + json.dumps(RECORD))),
    ("a list in a list", _file(json.dumps([[RECORD]]))),
    ("an empty list", _file("[]")),
    ("a page of the web", _file("<!DOCTYPE html><html><body>Not found</body></html>")),
    ("NaN", _file(_GOOD.replace('"problem_id": 1', '"problem_id": NaN'))),
    ("zeros", _file(bytes(1000))),
]
_ASIDE = [
    ("a text for a record", _beside("a text")),
    ("null for a record", _beside(None)),
    ("no answer", _without("solution")),
    ("no path", _without("path")),
    ("no question", _but(problem=None)),
    ("an empty question", _but(problem="")),
    ("a number for the question", _but(problem=5)),
    ("an image", _but(data_type="image")),
    ("sound", _but(data_type="audio")),
    ("a kind without a rule", _but(problem_type="essay")),
    ("an answer without its tag", _but(solution="A")),
    ("an empty answer", _but(solution="<answer> </answer>")),
    ("a letter that is no option", _but(solution="<answer>C</answer>")),
    ("options that are no list", _but(options="A. red")),
    ("options of numbers", _but(options=[1, 2])),
    ("an answer that is no number", _but(problem_type="numerical", solution="<answer>nan</answer>")),
    ("a path that leads elsewhere", _but(path="../../etc/passwd")),
    ("a path from the root", _but(path="/etc/passwd")),
    ("a path of another system", _but(path="..\\..\\secret.mp4")),
    ("a path with a zero", _but(path="a\x00b.mp4")),
    ("a path of 300 characters", _but(path="x" * 300 + ".mp4")),
    ("a video that is not there", _but(path="./2.mp4")),
    ("a number used twice", _but(problem_id=1)),
    ("a record for a number", _but(problem_id={"a": 1})),
]
CASES = [
    *(Case("records", what, run, pinned(f"records: {what}"), right=_no_questions) for what, run in _REFUSED),
    *(Case("records", what, run, pinned(f"records: {what}"), set_aside=1, right=_one_question) for what, run in _ASIDE),
]
