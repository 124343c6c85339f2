"""VideoMMMU: lectures and what was learned from them, in three tracks (rules: lmms-eval 0.7.3, `tasks/videommmu`).

On disk: `Adaptation`, `Comprehension` and `Perception`, each with `*.parquet`, and `<Discipline>/<id>.mp4`. The last
frame of every video is the picture of Adaptation's question. The score is the micro average over all questions; an
empty answer is wrong, where lmms-eval leaves an empty open answer out.

A row is a choice if it has options, unless its `question_type` says "open". Other types than that and
"multiple-choice" say nothing: lmms-eval knows "perception", whose answers it reads as open and judges as choices.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from stgrpo.benchmarks.averages import micro
from stgrpo.benchmarks.choices import pick_letter
from stgrpo.benchmarks.free_text import agrees
from stgrpo.benchmarks.rows import incomplete, odd_options, read_rows
from stgrpo.prompts import LETTERS, lettered, no_option
from stgrpo.records import Question, SetAside

ASKS_LAST_FRAME = "Use what the video teaches. The picture for this question is the last frame of the video."
IGNORES_LAST_FRAME = "Ignore the quiz in the last frame of the video."

_NOTES = {
    "Adaptation": ASKS_LAST_FRAME,
    "Comprehension": IGNORES_LAST_FRAME,
    "Perception": IGNORES_LAST_FRAME,
}
_SUBJECTS = {
    "Art": "Art Art_Theory Design Music",
    "Business": "Accounting Economics Finance Manage Marketing",
    "Engineering": "Agriculture Architecture_and_Engineering Computer_Science Electronics Energy_and_Power Materials "
    "Mechanical_Engineering",
    "Humanities": "History Literature Psychology Sociology",
    "Medicine": "Basic_Medical_Science Clinical_Medicine Diagnostics_and_Laboratory_Medicine Pharmacy Public_Health",
    "Science": "Biology Chemistry Geography Math Physics",
}
_DISCIPLINES = {subject: discipline for discipline, subjects in _SUBJECTS.items() for subject in subjects.split()}

weights = micro


def read_questions(folder: Path) -> Iterator[Question | SetAside]:
    """Every row of the three tracks; those of an unknown subject or without a usable answer are set aside."""
    for track in _NOTES:
        for index, row in read_rows(folder, f"{track}/*.parquet"):
            yield _question(folder, track, index, row)


def _question(folder: Path, track: str, index: int, row: dict[str, Any]) -> Question | SetAside:
    if reason := incomplete(row, ("id", "question", "answer")) or _flaw(row):
        return SetAside(f"{track}[{index}]", reason)
    subject, options = _subject(row), _options(row)
    return Question(
        id=f"{track}-{index}",
        video=str(folder / _DISCIPLINES[subject] / f"{row['id']}.mp4"),
        text=f"{_NOTES[track]}\n{row['question']}",
        options=tuple(options),
        kind="multiple choice" if options else "free-form",
        answer=row["answer"],
        source=f"videommmu/{track}",
        tags={"id": row["id"], "subject": subject, "track": track},
    )


def _flaw(row: dict[str, Any]) -> str | None:
    if (subject := _subject(row)) not in _DISCIPLINES:
        return f"subject '{subject}' is in no discipline"
    if not _is_open(row) and (options := row.get("options")):
        return odd_options(options) or no_option(row["answer"], _options(row))
    return "no options" if row.get("question_type") == "multiple-choice" else None


def _subject(row: dict[str, Any]) -> str:
    """Art_Theory of the id validation_Art_Theory_3."""
    return "_".join(row["id"].split("_")[1:-1])


def _is_open(row: dict[str, Any]) -> bool:
    return str(row.get("question_type")).startswith("open")


def _options(row: dict[str, Any]) -> list[str]:
    """With letters; some rows have them already."""
    options = [] if _is_open(row) else row.get("options") or []
    have = all(option.startswith(f"{letter}.") for option, letter in zip(options, LETTERS, strict=False))
    return options if have else lettered(options)


def credit(question: Question, answer: str) -> float:
    """A choice: 1 for the right letter. An open question: 1 if the answer says the truth, see `free_text`."""
    if question.options:
        return float(pick_letter(answer, LETTERS[: len(question.options)]) == question.answer)
    return float(agrees(answer, question.answer))


def part(question: Question) -> str:
    """The track."""
    return question.tags["track"]
