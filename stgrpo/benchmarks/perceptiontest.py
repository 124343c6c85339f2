"""PerceptionTest's multiple choice on the validation videos (rules: lmms-eval 0.7.3, `tasks/perceptiontest/val`).

On disk: `mc_question_val/*.parquet` and `videos/<video_name>.mp4` or .MP4. The score is the micro average over all
questions.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from stgrpo.benchmarks.averages import micro
from stgrpo.benchmarks.rows import find_video, incomplete, odd_options, read_rows
from stgrpo.prompts import LETTERS, lettered
from stgrpo.records import Question, SetAside

_ROWS = "mc_question_val/*.parquet"
_TEXTS = ("question", "question_id", "video_name", "area")
_ALONE = re.compile(r"\b[A-D]\b")

weights = micro


def read_questions(folder: Path) -> Iterator[Question | SetAside]:
    """Every row; those without a usable answer are set aside."""
    for index, row in read_rows(folder, _ROWS):
        yield _question(folder, index, row)


def video_names(folder: Path) -> frozenset[str]:
    """Every video that is asked about, as the rows name it; the videos themselves need not be there.

    Raises:
        UserError: the rows are missing.
    """
    return frozenset(row["video_name"] for _, row in read_rows(folder, _ROWS) if isinstance(row["video_name"], str))


def _question(folder: Path, index: int, row: dict[str, Any]) -> Question | SetAside:
    if reason := _flaw(row):
        return SetAside(f"perceptiontest[{index}]", reason)
    return Question(
        id=f"perceptiontest-{index}",
        video=find_video(folder / "videos", row["video_name"]),
        text=row["question"],
        options=tuple(lettered(row["options"])),
        kind="multiple choice",
        answer=LETTERS[int(row["answer_id"])],
        source="perceptiontest",
        tags={"id": row["question_id"], "video": row["video_name"], "area": row["area"]},
    )


def _flaw(row: dict[str, Any]) -> str | None:
    if reason := incomplete(row, _TEXTS, ("options", "answer_id")) or odd_options(row["options"]):
        return reason
    count = len(row["options"])
    if str(row["answer_id"]) not in map(str, range(count)):
        return f"answer_id '{row['answer_id']}' is none of its {count} options"
    return None


def credit(question: Question, answer: str) -> float:
    """1 if the first upper-case A to D that stands alone is the right one; "A person walks. B" chooses A."""
    found = _ALONE.search(answer)
    return float(found is not None and found[0] == question.answer)


def part(question: Question) -> str:
    """The area of skill: memory, abstraction, physics or semantics."""
    return question.tags["area"]
