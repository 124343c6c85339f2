"""What a model may answer, through `grade`: the right credit, whatever it is, and soon."""

import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from malformed.given import dumped, grading, questions
from malformed.harness import Case
from stgrpo.__main__ import main
from stgrpo.benchmarks.vsibench import _CHOICES, _WEIGHTS
from stgrpo.files import write_records
from stgrpo.records import Question

_LONG = "x" * 10_000_000
# Of MMVU, where A is right: the answer, and what it is worth.
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


# Of VSI-Bench, where 4 is right and an eighth of the score: the first number counts, by its mean relative accuracy.
_QUANTITIES: list[tuple[str, str, float]] = [
    ("no number at all", "NaN", 0.0),
    ("infinity", "<answer>inf</answer>", 0.0),
    ("more than a float holds", "<answer>1e999</answer>", 0.0),
    ("ten megabytes of digits", "9" * 10_000_000, 0.0),
    ("ten megabytes of hundreds", "hundred " * 1_250_000, 0.0),
    ("a division by zero", "<answer>4/0</answer>", 1.0),
    ("digits of another script", "<answer>\u0664</answer>", 1.0),
    ("LaTeX", r"<answer>\boxed{\frac{9}{2}}</answer>", 0.0),  # 9
    ("less than nothing", "<answer>-4</answer>", 0.0),
    ("an eighth too much", "<answer>4.5 m</answer>", 0.8),  # within the confidences 0.5 to 0.85
    ("a word", "<answer>four</answer>", 1.0),
    ("two numbers", "<answer>400 or 4</answer>", 0.0),
]
# Of VideoMMMU, where the words "a red Square" are right: some end of a sentence contains them.
_WORDS: list[tuple[str, str, float]] = [
    ("the truth in capitals and control characters", "<answer>It is A RED SQUARE\x00.</answer>", 1.0),
    ("ten megabytes of cues", "is " * 3_300_000, 0.0),
    ("ten megabytes of lines", "\n" * 10_000_000 + "a red square", 1.0),
    ("half a character in the answer", "<answer>a red\udc80 square</answer>", 0.0),
    ("the truth with another blank", "<answer>a red\u00a0square</answer>", 0.0),
]


def _rooms() -> list[Question]:
    """One question of each type; that which is answered last counts an eighth."""
    options = ("A. red", "B. green")
    asked = [
        Question(f"v-{kind}", f"{kind}.mp4", "Where?", options, "multiple choice", "A", "v", {"type": kind})
        if kind in _CHOICES
        else Question(f"v-{kind}", f"{kind}.mp4", "How many?", (), "regression", "4", "v", {"type": kind})
        for kind in _WEIGHTS
    ]
    return sorted(asked, key=lambda question: question.id == "v-object_counting")


def _lectures() -> list[Question]:
    tags = {"track": "Perception", "subject": "Art"}
    return [Question(f"l-{i}", f"{i}.mp4", "What?", (), "free-form", "a red Square", "l", tags) for i in range(4)]


def _graded(benchmark: str, asked: Sequence[Question], text: str) -> Callable[[Path], int]:
    """All but the last question are answered by their truth."""

    def run(folder: Path) -> int:
        words = grading(folder)
        (folder / "mmvu.jsonl").unlink()
        write_records(folder / f"{benchmark}.jsonl", asked)
        texts = [*(f"<answer>{question.answer}</answer>" for question in asked[:-1]), text]
        rows = [
            {"benchmark": benchmark, "question": question.id, "text": text, "spec": "s"}
            for question, text in zip(asked, texts, strict=True)
        ]
        (folder / "all.jsonl").write_text(dumped(*rows))
        return main([word.replace("mmvu.jsonl", f"{benchmark}.jsonl") for word in words])

    return run


def _last(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "graded.jsonl").read_text().splitlines()[-1])


def _worth(credit: float, share: float) -> Callable[[Path], None]:
    """What the last question earns, which is this share of the score."""

    def right(folder: Path) -> None:
        assert _last(folder)["credit"] == credit
        (score,) = json.loads((folder / "out.json").read_text())["scores"]
        assert math.isclose(score["value"], 100 * (1 - share + share * credit))

    return right


def _read_as(folder: Path) -> str:
    """What was graded, and what it earned."""
    last = _last(folder)
    answer = last["answer"]
    shown = repr(answer) if len(answer) < 40 else f"{answer[:10]!r} and {len(answer) - 10} characters more"
    return f"read as {shown}: {last['credit']:g}"


CASES = [
    Case(
        surface="model outputs",
        what=f"{benchmark}: {what}",
        run=_graded(benchmark, asked, text),
        accepted=True,
        right=_worth(credit, share),
        came_out=_read_as,
        seconds=20,
    )
    for benchmark, asked, share, answers in (
        ("mmvu", questions(), 0.25, _ANSWERS),
        ("vsibench", _rooms(), 0.125, _QUANTITIES),
        ("videommmu", _lectures(), 0.25, _WORDS),
    )
    for what, text, credit in answers
]
