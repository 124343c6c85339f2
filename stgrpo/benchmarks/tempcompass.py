"""TempCompass: multi-choice questions on temporal perception (rules: lmms-eval 0.7.3, `tasks/tempcompass`).

On disk: `<config>/*.parquet` with video_id, question, answer ("B. text") and dim, and `videos/<video_id>.mp4` in a zip.
The other three configurations follow with the other benchmarks.
"""

from collections.abc import Iterator
from pathlib import Path

from stgrpo.errors import UserError
from stgrpo.records import Question, SetAside

CONFIGS = ("multi-choice",)


def read_questions(folder: Path) -> Iterator[Question | SetAside]:
    """Every row of the fetched source; rows that cannot be scored are set aside."""
    import pandas as pd

    for config in CONFIGS:
        files = sorted((folder / config).glob("*.parquet"))
        if not files:
            raise UserError(f"{folder / config}: no parquet file; fetch the source again")
        rows = pd.concat([pd.read_parquet(file) for file in files], ignore_index=True)
        for index, row in enumerate(rows.to_dict("records")):
            yield _question(folder, config, index, row)


def _question(folder: Path, config: str, index: int, row: dict) -> Question | SetAside:
    where = f"{config}[{index}]"
    text, *options = str(row["question"]).split("\n")
    answer = str(row["answer"] or "")
    if answer not in options:
        return SetAside(where, f"answer '{answer}' is none of its options")
    return Question(
        id=f"{config}-{index}",
        video=str(folder / "videos" / f"{row['video_id']}.mp4"),
        text=text,
        options=tuple(options),
        kind="multiple choice",
        answer=answer[0],
        source=f"tempcompass/{config}",
        tags={"video": str(row["video_id"]), "dim": str(row["dim"])},
    )


def is_right(question: Question, answer: str | None) -> bool:
    """lmms-eval's deterministic rule: the whole option, the bare letter, or a text that starts with "B." or "B)"."""
    if answer is None:
        return False
    option = next(o for o in question.options if o.startswith(question.answer))
    return answer in (option, question.answer) or answer.startswith((f"{question.answer}.", f"{question.answer})"))


def score(questions: list[Question], right: list[bool]) -> float:
    """Micro accuracy over all questions, in percent."""
    return 100 * sum(right) / len(questions)
