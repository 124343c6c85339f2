"""Video-R1-data -> questions: the video rows of `Video-R1-260k.json` (schema: its dataset card).

The file is read as a stream, twice: which of its records can be questions, then those that the draw chooses. `fetch`
makes the same choice as `prepare`, and so brings the videos that are looked at and no others.
"""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stgrpo.answers import extract, read_number
from stgrpo.config import Questions
from stgrpo.data.record_list import read_list
from stgrpo.errors import UserError, VideoError
from stgrpo.files import leaves_folder
from stgrpo.prompts import no_option
from stgrpo.records import REWARDED_KINDS, Question, SetAside

RECORDS = "Video-R1-260k.json"
_TEXTS = ("problem", "data_type", "problem_type", "solution", "path")


@dataclass(frozen=True)
class Choice:
    """The records that a draw may look at.

    Attributes:
        rows: number of the record in the file and what it is, in the order of the draw.
        total: records in the file.
        complete: whether that is every record that can be a question.
    """

    rows: tuple[tuple[int, Question | SetAside], ...]
    total: int
    complete: bool

    def videos(self, folder: Path) -> list[str]:
        """Paths inside the corpus, each once, in the order of the draw."""
        found = (row.video for _, row in self.rows if isinstance(row, Question))
        return list(dict.fromkeys(Path(video).relative_to(folder).as_posix() for video in found))


def choose(folder: Path, draw: Questions) -> Choice:
    """The records of a seeded draw up to its reserve; without a reserve, all.

    Args:
        folder: the fetched source; its videos need not be there.
        draw: how many, how many more for videos that cannot be used, and the seed.

    Raises:
        UserError: the file is missing, damaged, or no list.
    """
    file = folder / RECORDS
    usable = bytearray(_flaw(row) is None for row in read_list(file))
    order = list(range(len(usable)))
    random.Random(draw.seed).shuffle(order)
    order = _until_reserve(order, usable, draw)
    wanted = set(order)
    rows = {index: _question(row, index, folder) for index, row in enumerate(read_list(file)) if index in wanted}
    complete = sum(usable[index] for index in order) == sum(usable)
    return Choice(tuple((index, rows[index]) for index in order), len(usable), complete)


def read_questions(
    folder: Path, draw: Questions, check_video: Callable[[str], None]
) -> tuple[list[Question], list[SetAside]]:
    """Draw up to `draw.count` usable video questions, seeded; what is not usable is set aside with its reason.

    Args:
        folder: the fetched source.
        draw: how many, how many more for videos that cannot be used, and the seed.
        check_video: raises VideoError for a video that cannot be used.

    Raises:
        UserError: the file is no list of records, none is usable, or the reserve is too small.
    """
    choice = choose(folder, draw)
    questions, aside, failed, seen = [], [], [], set()
    for index, question in choice.rows:
        if len(questions) == draw.count:
            break
        if isinstance(question, SetAside):
            aside.append(question)
            continue
        reason = (
            f"problem_id of {question.id} is used twice" if question.id in seen else _flaw_of(question, check_video)
        )
        if reason is None:
            seen.add(question.id)
            questions.append(question)
        else:
            failed.append(reason)
            aside.append(SetAside(f"{RECORDS}[{index}]", reason))
    if not questions:
        first = f", the first because: {aside[0].reason}" if aside else ""
        raise UserError(
            f"{folder / RECORDS}: none of {choice.total} records is a usable video question "
            f"({len(aside)} set aside{first})"
        )
    if len(questions) < draw.count and not choice.complete:
        raise UserError(
            f"{folder / RECORDS}: {len(questions)} of {draw.count} questions, because {len(failed)} of those chosen "
            f"cannot be used, the first because: {failed[0]}; raise questions.reserve = {draw.reserve} in config.yaml"
        )
    return questions, aside


def of_perceptiontest(video: Path) -> str | None:
    """The name that PerceptionTest gives a video of the corpus; None for one of another origin.

    Its videos stand in a folder of its name, and LLaVA-Video-178K has folders of them too (`0_30_s_perceptiontest`).
    Names alone say nothing: CLEVRER has a `video_10007` as well.

    Args:
        video: path inside the corpus.
    """
    return video.stem if any("perception" in folder.lower() for folder in video.parts[:-1]) else None


def _until_reserve(order: list[int], usable: Sequence[int], draw: Questions) -> list[int]:
    """The beginning of an order that holds as many usable records as may be looked at."""
    if draw.reserve is None:
        return order
    left = draw.count + draw.reserve
    for at, index in enumerate(order):
        if left == 0:
            return order[:at]
        left -= usable[index]
    return order


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
    if missing := [name for name in ("problem_id", *_TEXTS) if row.get(name) in (None, "")]:
        return f"no {', '.join(missing)}"
    if odd := [name for name in _TEXTS if not isinstance(row[name], str)]:
        return f"{odd[0]} is a {type(row[odd[0]]).__name__}, not a text"
    if type(row["problem_id"]) not in (int, str):
        return f"problem_id is a {type(row['problem_id']).__name__}, not a number"
    if not row["problem"].strip():
        return "problem is blank"
    if row["data_type"] == "image":
        return "an image; the paper trains on the video rows"  # [P:324]
    if row["data_type"] != "video":
        return f"data_type '{row['data_type']}' is neither video nor image"
    if row["problem_type"] not in REWARDED_KINDS:
        return f"problem_type '{row['problem_type']}' has no accuracy rule"
    if leaves_folder(row["path"]):
        return f"path '{row['path']}' leads out of the corpus"
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


def _flaw_of(question: Question, check_video: Callable[[str], None]) -> str | None:
    try:
        check_video(question.video)
    except VideoError as error:
        return str(error)
    return None
