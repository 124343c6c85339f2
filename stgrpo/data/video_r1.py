"""Video-R1-data -> questions: the video rows of `Video-R1-260k.json` (schema: its dataset card)."""

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

from stgrpo.answers import extract, read_number
from stgrpo.config import Questions
from stgrpo.errors import UserError, VideoError
from stgrpo.files import read_json
from stgrpo.prompts import no_option
from stgrpo.records import REWARDED_KINDS, Question, SetAside

RECORDS = "Video-R1-260k.json"
_TEXTS = ("problem", "data_type", "problem_type", "solution", "path")


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
        else:
            aside.append(question)
    if not questions:
        first = f", the first because: {aside[0].reason}" if aside else ""
        raise UserError(
            f"{folder / RECORDS}: none of {len(rows)} records is a usable video question "
            f"({len(aside)} set aside{first})"
        )
    return questions, aside


def _question(row: Any, index: int, folder: Path) -> Question | SetAside:
    if reason := _flaw(row):
        return SetAside(f"{RECORDS}[{index}]", reason)
    return Question(
        id=f"video-r1-{row['problem_id']}",
        video=str(folder / row["path"]),
        text=row["problem"],
        options=tuple(row["options"]) if row["problem_type"] == "multiple choice" else (),
        kind=row["problem_type"],
        answer=extract(row["solution"]) or "",
        source=f"video-r1/{row.get('data_source', '')}",
    )


def _flaw(row: Any) -> str | None:
    """Why a row is no usable question; None for one that is."""
    if not isinstance(row, dict):
        return f"a {type(row).__name__}, not a record"
    if missing := [name for name in ("problem_id", *_TEXTS) if row.get(name) is None]:
        return f"no {', '.join(missing)}"
    if odd := [name for name in _TEXTS if not isinstance(row[name], str)]:
        return f"{odd[0]} is a {type(row[odd[0]]).__name__}, not a text"
    if row["data_type"] == "image":
        return "an image; the paper trains on the video rows"  # [P:324]
    if row["data_type"] != "video":
        return f"data_type '{row['data_type']}' is neither video nor image"
    if row["problem_type"] not in REWARDED_KINDS:
        return f"problem_type '{row['problem_type']}' has no accuracy rule"
    return _wrong_answer(row["problem_type"], extract(row["solution"]), row.get("options"))


def _wrong_answer(kind: str, answer: str | None, options: Any) -> str | None:
    if not answer:
        return "solution holds no answer tag"
    if kind in ("numerical", "regression") and read_number(answer) is None:
        return f"answer '{answer}' is no number"
    if kind != "multiple choice":
        return None
    if not isinstance(options, list) or not all(isinstance(option, str) for option in options):
        return "options are no list of texts"
    return no_option(answer, options)


def _with_video(question: Question, index: int, check_video: Callable[[str], None]) -> Question | SetAside:
    try:
        check_video(question.video)
    except VideoError as error:
        return SetAside(f"{RECORDS}[{index}]", str(error))
    return question
