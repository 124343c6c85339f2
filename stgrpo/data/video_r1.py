"""Video-R1-data -> questions: the video rows of `Video-R1-260k.json` (schema: its dataset card)."""

import random
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from stgrpo.answers import extract
from stgrpo.config import Questions
from stgrpo.errors import UserError, VideoError
from stgrpo.files import read_json
from stgrpo.records import Question, SetAside

RECORDS = "Video-R1-260k.json"
KINDS = ("multiple choice",)
_FIELDS = ("problem_id", "problem", "data_type", "problem_type", "options", "solution", "path")


def read_questions(
    folder: Path, draw: Questions, check_video: Callable[[str], None]
) -> tuple[list[Question], list[SetAside]]:
    """Draw up to `draw.count` usable video questions, seeded; what is not usable is set aside with its reason.

    Args:
        folder: the fetched source.
        draw: how many, and the seed.
        check_video: raises VideoError for a video that cannot be used.

    Raises:
        UserError: the file is no list of records, or none is usable.
    """
    rows = read_json(folder / RECORDS)
    if not isinstance(rows, list):
        raise UserError(f"{folder / RECORDS}: expected a list of records, found {type(rows).__name__}")
    order = list(range(len(rows)))
    random.Random(draw.seed).shuffle(order)
    questions, aside, seen = [], [], set()
    for index in order:
        if len(questions) == draw.count:
            break
        question = _question(rows[index], index, folder)
        if isinstance(question, Question) and question.id in seen:
            question = SetAside(f"{RECORDS}[{index}]", f"problem_id of {question.id} is used twice")
        if isinstance(question, Question):
            question = _with_video(question, index, check_video)
        if isinstance(question, Question):
            seen.add(question.id)
            questions.append(question)
        elif question is not None:
            aside.append(question)
    if not questions:
        first = f", the first because: {aside[0].reason}" if aside else ""
        raise UserError(
            f"{folder / RECORDS}: none of {len(rows)} records is a usable video question "
            f"({len(aside)} set aside{first})"
        )
    return questions, aside


def _question(row: Any, index: int, folder: Path) -> Question | SetAside | None:
    """None for image rows, which are not part of the paper's data [P:324]."""
    where = f"{RECORDS}[{index}]"
    if not isinstance(row, dict):
        return SetAside(where, f"a {type(row).__name__}, not a record")
    if missing := [name for name in _FIELDS if row.get(name) is None]:
        return SetAside(where, f"no {', '.join(missing)}")
    if row["data_type"] != "video":
        return None
    if row["problem_type"] not in KINDS:
        return SetAside(where, f"problem_type '{row['problem_type']}' has no accuracy rule")
    answer = extract(row["solution"])
    if not answer:
        return SetAside(where, "solution holds no answer tag")
    options = tuple(row["options"])
    if answer not in _letters(options):
        return SetAside(where, f"answer '{answer}' is none of its options")
    return Question(
        id=f"video-r1-{row['problem_id']}",
        video=str(folder / row["path"]),
        text=row["problem"],
        options=options,
        kind=row["problem_type"],
        answer=answer,
        source=f"video-r1/{row.get('data_source', '')}",
    )


def _with_video(question: Question, index: int, check_video: Callable[[str], None]) -> Question | SetAside:
    try:
        check_video(question.video)
    except VideoError as error:
        return SetAside(f"{RECORDS}[{index}]", str(error))
    return question


def _letters(options: Iterable[str]) -> set[str]:
    return {option.split(".", 1)[0] for option in options}
