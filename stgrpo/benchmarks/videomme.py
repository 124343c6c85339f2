"""VideoMME without subtitles: four options, three durations (rules: lmms-eval 0.7.3, `tasks/videomme`).

On disk: `videomme/*.parquet` and `data/<videoID>.mp4`, some of them .MP4 or .mkv. The score is the micro
average over all questions.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from stgrpo.benchmarks.averages import micro
from stgrpo.benchmarks.choices import pick_letter
from stgrpo.benchmarks.rows import find_video, incomplete, odd_options, read_rows
from stgrpo.prompts import no_option
from stgrpo.records import Question, SetAside

_TEXTS = ("question", "answer", "question_id", "videoID", "duration")

weights = micro


def read_questions(folder: Path) -> Iterator[Question | SetAside]:
    """Every row; those without a usable answer are set aside."""
    for index, row in read_rows(folder, "videomme/*.parquet"):
        yield _question(folder, index, row)


def _question(folder: Path, index: int, row: dict[str, Any]) -> Question | SetAside:
    if reason := _flaw(row):
        return SetAside(f"videomme[{index}]", reason)
    return Question(
        id=f"videomme-{index}",
        video=find_video(folder / "data", row["videoID"]),
        text=row["question"],
        options=tuple(row["options"]),
        kind="multiple choice",
        answer=row["answer"],
        source="videomme",
        tags={"id": row["question_id"], "video": row["videoID"], "duration": row["duration"]},
    )


def _flaw(row: dict[str, Any]) -> str | None:
    reason = incomplete(row, _TEXTS, ("options",)) or odd_options(row["options"])
    return reason or no_option(row["answer"], row["options"])


def credit(question: Question, answer: str) -> float:
    """1 for the right letter among A to D."""
    return float(pick_letter(answer, "ABCD") == question.answer)


def part(question: Question) -> str:
    """The duration: short, medium or long."""
    return question.tags["duration"]
