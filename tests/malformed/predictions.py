"""Predictions and questions of an evaluation, through `grade`."""

import json
from collections.abc import Callable
from pathlib import Path

from malformed.given import dumped, grading
from malformed.harness import Case, pinned
from stgrpo.__main__ import main


def _file(name: str, change: Callable[[str], str | bytes]) -> Callable[[Path], int]:
    def run(folder: Path) -> int:
        words = grading(folder)
        content = change((folder / name).read_text())
        (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode("utf-8", "surrogatepass"))
        return main(words)

    return run


def _predictions(change: Callable[[str], str | bytes]) -> Callable[[Path], int]:
    return _file("all.jsonl", change)


def _row(number: int, **values: object) -> Callable[[str], str]:
    """One row with other values."""

    def change(text: str) -> str:
        rows = [json.loads(line) for line in text.splitlines()]
        rows[number] |= values
        return dumped(*rows)

    return change


def _nothing(folder: Path) -> None:
    assert not (folder / "out.json").exists() and not (folder / "graded.jsonl").exists()


def _gone(name: str) -> Callable[[Path], int]:
    def run(folder: Path) -> int:
        words = grading(folder)
        (folder / name).unlink()
        return main(words)

    return run


_CASES = [
    ("no file", _gone("all.jsonl")),
    ("an empty file", _predictions(lambda text: "")),
    ("cut in a line", _predictions(lambda text: text[:-20])),
    ("cut after a line", _predictions(lambda text: text[: text.index("\n") + 1])),
    ("an answer twice", _predictions(lambda text: text + text.splitlines()[0] + "\n")),
    ("an answer in place of another", _predictions(lambda text: text.replace("mmvu-1", "mmvu-0"))),
    ("to a question that nobody asked", _predictions(_row(1, question="mmvu-9"))),
    ("of another benchmark", _predictions(_row(1, benchmark="videomme"))),
    ("of another spec", _predictions(_row(1, spec="t"))),
    ("a number for the answer", _predictions(_row(1, text=5))),
    ("null for the answer", _predictions(_row(1, text=None))),
    ("a field too many", _predictions(_row(1, more=1))),
    ("a list for a record", _predictions(lambda text: "[1, 2]\n" + text)),
    ("an empty line", _predictions(lambda text: "\n" + text)),
    ("no UTF-8", _predictions(lambda text: text.encode() + b"\xff\n")),
    ("zeros", _predictions(lambda text: bytes(64) + text.encode())),
    ("UTF-16", _predictions(lambda text: text.encode("utf-16"))),
    ("a folder", lambda folder: _as_folder(folder)),
    ("questions cut in a line", _file("mmvu.jsonl", lambda text: text[:-20])),
    ("questions without their tags", _file("mmvu.jsonl", _row(1, tags={}))),
    ("a question without its options' list", _file("mmvu.jsonl", _row(1, options="A. red"))),
    ("no questions", _file("mmvu.jsonl", lambda text: "")),
    ("an odd origin", _file("all.provenance.json", lambda text: "[")),
    ("an origin of another shape", _file("all.provenance.json", lambda text: "[]")),
    ("a policy without origin", _gone("policy/made_by.json")),
]


def _as_folder(folder: Path) -> int:
    words = grading(folder)
    (folder / "all.jsonl").unlink()
    (folder / "all.jsonl").mkdir()
    return main(words)


CASES = [Case("predictions", what, run, pinned(f"predictions: {what}"), right=_nothing) for what, run in _CASES]
