"""VSI-Bench: choices and quantities in scanned rooms (rules: lmms-eval 0.7.3, `tasks/vsibench`).

On disk: `test-*.parquet` and `<dataset>/<scene_name>.mp4`. The score is the mean of eight tasks; the three levels of
relative direction are one task.
"""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from stgrpo.answers import read_number
from stgrpo.benchmarks.rows import incomplete, odd_options, read_rows
from stgrpo.errors import UserError
from stgrpo.prompts import no_option
from stgrpo.records import Question, SetAside

_TEXTS = ("question", "ground_truth", "question_type", "dataset", "scene_name")
_LEVELS = tuple(f"object_rel_direction_{level}" for level in ("easy", "medium", "hard"))
_CHOICES = (*_LEVELS, "object_rel_distance", "route_planning", "obj_appearance_order")
_QUANTITIES = ("object_abs_distance", "object_counting", "object_size_estimation", "room_size_estimation")
_WEIGHTS = {kind: 1 / 24 if kind in _LEVELS else 1 / 8 for kind in (*_CHOICES, *_QUANTITIES)}

_CONFIDENCES = tuple(0.5 + step * ((0.95 - 0.5) / 9) for step in range(10))  # 0.5 to 0.95, as numpy.linspace rounds
_TOKEN = re.compile(r"(-?\d+(?:\.\d+)?)|[a-z]+")
_ONES = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen "
    "eighteen nineteen"
)
_TENS = "twenty thirty forty fifty sixty seventy eighty ninety"
_WORDS = {word: value for value, word in enumerate(_ONES.split())}
_WORDS |= {word: 10 * value for value, word in enumerate(_TENS.split(), 2)}
_WORDS |= {"hundred": 100, "thousand": 1000}


def read_questions(folder: Path) -> Iterator[Question | SetAside]:
    """Every row; those of an unknown type or without a usable answer are set aside."""
    for index, row in read_rows(folder, "test-*.parquet"):
        yield _question(folder, index, row)


def _question(folder: Path, index: int, row: dict[str, Any]) -> Question | SetAside:
    if reason := incomplete(row, _TEXTS, ("id",)) or _flaw(row):
        return SetAside(f"vsibench[{index}]", reason)
    is_choice = row["question_type"] in _CHOICES
    return Question(
        id=f"vsibench-{index}",
        video=str(folder / row["dataset"] / f"{row['scene_name']}.mp4"),
        text=row["question"],
        options=tuple(row["options"]) if is_choice else (),
        kind="multiple choice" if is_choice else "regression",
        answer=row["ground_truth"],
        source=f"vsibench/{row['dataset']}",
        tags={"id": str(row["id"]), "video": row["scene_name"], "type": row["question_type"]},
    )


def _flaw(row: Mapping[str, Any]) -> str | None:
    kind, truth = row["question_type"], row["ground_truth"]
    if kind not in _WEIGHTS:
        return f"question_type '{kind}' is unknown"
    if kind in _CHOICES:
        reason = incomplete(row, (), ("options",)) or odd_options(row["options"])
        return reason or no_option(truth, row["options"])
    number = read_number(truth)
    return None if number is not None and number > 0 else f"ground truth '{truth}' is no number above 0"


def credit(question: Question, answer: str) -> float:
    """A choice: 1 if the first word is the letter, in either case, full stops after it aside. A quantity: `_accuracy`.

    "B) x" and "(B)" earn nothing, and "1,200" is read as 1, as in lmms-eval.
    """
    if question.kind == "multiple choice":
        return float(answer.partition(" ")[0].rstrip(".").strip().lower() == question.answer.lower())
    return _accuracy(_first_number(answer), read_number(question.answer))


def part(question: Question) -> str:
    """The type of question, one of ten."""
    return question.tags["type"]


def weights(sizes: Mapping[str, int]) -> Mapping[str, float]:
    """An eighth a task, and a third of that a level of relative direction.

    Raises:
        UserError: a type without questions, for then the score is not defined.
    """
    if missing := [kind for kind in _WEIGHTS if kind not in sizes]:
        raise UserError(
            f"vsibench: no question of type {', '.join(missing)}, and the score is a mean over all types; "
            "look at the rows set aside and prepare again (snakemake TARGET -R prepare)"
        )
    return _WEIGHTS


def _accuracy(given: float | None, truth: float | None) -> float:
    """Mean relative accuracy: for how many of ten confidences the relative error is at most 1 - confidence, a share."""
    if given is None or truth is None:
        return 0.0
    error = abs(given - truth) / truth
    return sum(error <= 1 - confidence for confidence in _CONFIDENCES) / len(_CONFIDENCES)


def _first_number(text: str) -> float | None:
    """The first number, in digits or in English words."""
    text = text.lower()
    for token in _TOKEN.finditer(text):
        if token[1]:
            return float(token[1])
        if token[0] in _WORDS:
            return _in_words(text[token.start() :])
    return None


def _in_words(text: str) -> float:
    """Value of the number words that a text starts with: 201 of "two hundred and one boxes"."""
    total = current = 0.0  # floats, for an integer would grow without end with "hundred hundred ..."
    for match in re.finditer("[a-z]+", text):
        word = match[0]
        if word == "and":
            continue
        if word not in _WORDS:
            break
        if word == "thousand":
            total, current = total + max(current, 1.0) * 1000, 0.0
        elif word == "hundred":
            current = max(current, 1.0) * 100
        else:
            current += _WORDS[word]
    return total + current
