"""What a model may answer, through `grade`: the right credit, whatever it is, and soon."""

import json
from collections.abc import Callable
from pathlib import Path

from malformed.given import grading
from malformed.harness import Case
from stgrpo.__main__ import main

_LONG = "x" * 10_000_000
# Four questions whose answer is A: three are answered by <answer>A</answer>, one by this; and what it is worth.
_ANSWERS: list[tuple[str, str, float]] = [
    ("nothing", "", 0.0),
    ("ten megabytes", _LONG, 0.0),
    ("ten megabytes, then the answer", f"{_LONG}<answer>A</answer>", 1.0),
    ("an answer of ten megabytes", f"<answer>{_LONG}</answer>", 0.0),
    ("ten megabytes of open tags", "<answer>" * 1_250_000, 0.0),
    ("ten megabytes of opened thoughts", "<think>" * 1_400_000 + "<answer>A</answer>", 1.0),
    ("ten megabytes of blanks in the tag", f"<answer>{' ' * 10_000_000}A</answer>", 1.0),
    ("control characters", "\x00\x07\x1b[31m<answer>A</answer>\x1b[0m", 1.0),
    ("control characters in the answer", "<answer>\x1b[31mA</answer>", 0.0),
    ("a tag that is not closed", "<think>x</think><answer>A", 1.0),
    ("a tag that is closed only", "A</answer>", 1.0),
    ("a tag in a tag", "<answer><answer>A</answer></answer>", 1.0),
    ("two answers, the first right", "<answer>A</answer><answer>B</answer>", 1.0),
    ("two answers, the second right", "<answer>B</answer><answer>A</answer>", 0.0),
    ("every letter", "<answer>A B C D</answer>", 1.0),
    ("tags in capitals", "<ANSWER>A</ANSWER>", 0.0),
    ("a letter of another alphabet that looks the same", "<answer>\u0410</answer>", 0.0),
    ("a letter turned to the left", "<answer>\u202eA</answer>", 1.0),
    ("half a character", "<answer>A</answer>\ud800", 1.0),
    ("a formula of a spreadsheet", "<answer>=1+1</answer>", 0.0),
    ("a script", "<script>alert(1)</script><answer>A</answer>", 1.0),
    ("line breaks of every kind", "<answer>\r\n\u2028A\u0085</answer>", 1.0),
]


def _graded(text: str) -> Callable[[Path], int]:
    def run(folder: Path) -> int:
        good = "<answer>A</answer>"
        words = grading(folder, [good, good, good, ""])
        lines = (folder / "all.jsonl").read_text().splitlines()
        last = json.loads(lines[3]) | {"text": text}
        (folder / "all.jsonl").write_text("\n".join([*lines[:3], json.dumps(last)]) + "\n")
        return main(words)

    return run


def _worth(credit: float) -> Callable[[Path], None]:
    def right(folder: Path) -> None:
        rows = [json.loads(line) for line in (folder / "graded.jsonl").read_text().splitlines()]
        assert [row["credit"] for row in rows] == [1.0, 1.0, 1.0, credit]
        (score,) = json.loads((folder / "out.json").read_text())["scores"]
        assert score["value"] == 75.0 + 25.0 * credit and score["n"] == 4

    return right


CASES = [
    Case("model outputs", what, _graded(text), accepted=True, right=_worth(credit), seconds=20)
    for what, text, credit in _ANSWERS
]
