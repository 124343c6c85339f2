"""MMVU's multiple choice in 27 subjects of four disciplines (rules: lmms-eval 0.7.3, `tasks/mmvu`).

On disk: `data/*.parquet` and `videos/<Subject>/<n>.mp4`. A row names its video from there, or by its address in the
original repository. The score is the micro average over all questions of a known subject; open questions are set aside.

lmms-eval accepts a letter that is merely mentioned, an article "a" as the letter A, and the words of a choice: "It is
not B but C" is right for B. We are stricter and accept only the one letter that an answer chooses, upper-case where
the answer has more words; whatever we accept, lmms-eval accepts too.
"""

import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from stgrpo.benchmarks.averages import micro
from stgrpo.benchmarks.choices import pick_letter
from stgrpo.benchmarks.rows import incomplete, read_rows
from stgrpo.prompts import no_option
from stgrpo.records import Question, SetAside

_SUBJECTS = {
    "Science": "Astronomy Biology Chemistry Electromagnetism Geography Materials_Science Mechanics Modern_Physics "
    "Neurobiology Thermodynamics",
    "Engineering": "Biomedical_Engineering Civil_Engineering Computer_Science Electrical_Engineering "
    "Electronics_and_Communication Mechanical_Engineering",
    "Healthcare": "Basic_Medicine Clinical_Medicine Dentistry Pharmacy Preventive_Medicine",
    "Humanities_and_Social_Science": "Art Economics History Law Literature Management",
}
_DISCIPLINES = {subject: discipline for discipline, subjects in _SUBJECTS.items() for subject in subjects.split()}
_TEXTS = ("id", "question", "question_type", "answer", "video_path")
_LETTERS = "ABCDE"
_BARE = re.compile(r"\W*([A-Ea-e])\W*")

weights = micro


def read_questions(folder: Path) -> Iterator[Question | SetAside]:
    """Every row; open ones, those of an unknown subject or without a usable answer are set aside."""
    for index, row in read_rows(folder, "data/*.parquet"):
        yield _question(folder, index, row)


def _question(folder: Path, index: int, row: dict[str, Any]) -> Question | SetAside:
    if reason := incomplete(row, _TEXTS) or _flaw(row):
        return SetAside(f"mmvu[{index}]", reason)
    options = _options(row)
    path = _path(row)
    return Question(
        id=f"mmvu-{index}",
        video=str(folder / path),
        text=row["question"],
        options=tuple(options),
        kind="multiple choice",
        answer=row["answer"],
        source="mmvu",
        tags={"id": row["id"], "subject": path.parent.name, "discipline": _DISCIPLINES[path.parent.name]},
    )


def _flaw(row: dict[str, Any]) -> str | None:
    if row["question_type"] == "open-ended":
        return "an open question, which needs a judge model"
    if row["question_type"] != "multiple-choice":
        return f"question_type '{row['question_type']}' is unknown"
    path = _path(row)
    if path.is_absolute() or ".." in path.parts:
        return f"video_path '{row['video_path']}' leads out of the benchmark"
    if path.parent.name not in _DISCIPLINES:
        return f"subject '{path.parent.name}' is in no discipline"
    if reason := incomplete(row, (), ("choices",)):
        return reason
    choices = row["choices"]
    if not isinstance(choices, dict) or not all(isinstance(choice, str | None) for choice in choices.values()):
        return "choices are no record of texts"
    return no_option(row["answer"], _options(row))


def _path(row: dict[str, Any]) -> PurePosixPath:
    """Of the video, from the root of the repository."""
    return PurePosixPath(row["video_path"].partition("/resolve/main/")[2] or row["video_path"])


def _options(row: dict[str, Any]) -> list[str]:
    """Without the empty choices; the others keep their letters."""
    given = {letter: row["choices"].get(letter) or "" for letter in _LETTERS}
    return [f"{letter}. {choice}" for letter, choice in given.items() if choice.strip()]


def credit(question: Question, answer: str) -> float:
    """1 for the right letter: alone and in either case, or standing alone in a longer answer that chooses it."""
    if bare := _BARE.fullmatch(answer):
        return float(bare[1].upper() == question.answer)
    chosen = pick_letter(answer, _LETTERS)
    return float(chosen == question.answer and re.search(rf"\b{chosen}\b", answer) is not None)


def part(question: Question) -> str:
    """The discipline of the question's subject."""
    return question.tags["discipline"]
