"""TempCompass: four forms of questions on temporal perception (rules: lmms-eval 0.7.3, `tasks/tempcompass`).

On disk: `<configuration>/*.parquet` and `videos/<video_id>.mp4`. Where lmms-eval would ask a judge model there is no
credit. The score is the micro average over the three configurations that need no judge; captioning, which does, is
asked as the multiple choice that its caption would be judged by, and reported but not counted.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from stgrpo.benchmarks.averages import micro
from stgrpo.benchmarks.rows import incomplete, read_rows
from stgrpo.errors import UserError
from stgrpo.prompts import no_option
from stgrpo.records import Question, SetAside

_COUNTED = {"multi-choice": "multiple choice", "yes_no": "yes or no", "caption_matching": "caption matching"}
_KINDS = {**_COUNTED, "captioning": "multiple choice"}
_LABELS = ("Sentence ", "Option ", "Caption ")


def read_questions(folder: Path) -> Iterator[Question | SetAside]:
    """Every row of the four configurations; those without a usable answer are set aside."""
    for config in _KINDS:
        for index, row in read_rows(folder, f"{config}/*.parquet"):
            yield _question(folder, config, index, row)


def _question(folder: Path, config: str, index: int, row: dict[str, Any]) -> Question | SetAside:
    asked, answered = ("mc_question", "mc_answer") if config == "captioning" else ("question", "answer")
    if reason := incomplete(row, (asked, answered, "video_id", "dim")):
        return SetAside(f"{config}[{index}]", reason)
    kind, answer = _KINDS[config], row[answered].strip()
    text, *options = [row[asked]] if kind == "yes or no" else [line.strip() for line in row[asked].split("\n")]
    if reason := _flaw(kind, answer, options):
        return SetAside(f"{config}[{index}]", reason)
    return Question(
        id=f"{config}-{index}",
        video=str(folder / "videos" / f"{row['video_id']}.mp4"),
        text=text,
        options=tuple(options),
        kind=kind,
        answer=answer.partition(".")[0] if kind == "multiple choice" else answer,
        source=f"tempcompass/{config}",
        tags={"video": row["video_id"], "dim": row["dim"], "configuration": config},
    )


def _flaw(kind: str, answer: str, options: Sequence[str]) -> str | None:
    if kind == "yes or no":
        return None if answer in ("yes", "no") else f"answer '{answer}' is neither yes nor no"
    if answer not in options:
        return f"answer '{answer}' is none of its options"
    if kind == "multiple choice":
        return no_option(answer.partition(".")[0], options)
    bare = [option for option in options if ": " not in option]
    return f"option '{bare[0]}' has no label" if bare else None


def credit(question: Question, answer: str) -> float:
    """1 for the right answer in one of the forms of its kind."""
    return float(_RULES[question.kind](question, answer))


def part(question: Question) -> str:
    """The configuration."""
    return question.tags["configuration"]


def weights(sizes: Mapping[str, int]) -> Mapping[str, float]:
    """Micro over all but captioning, which weighs nothing.

    Raises:
        UserError: there is nothing but captioning.
    """
    counted = {config: size for config, size in sizes.items() if config in _COUNTED}
    if not counted:
        raise UserError(
            f"tempcompass: no question of {', '.join(_COUNTED)}; "
            "look at the rows set aside and prepare again (snakemake TARGET -R prepare)"
        )
    return {**dict.fromkeys(sizes, 0.0), **micro(counted)}


def _choice(question: Question, answer: str) -> bool:
    """The whole option, the bare letter, or a text that starts with the letter and "." or ")"."""
    letter = question.answer
    option = next(o for o in question.options if o.startswith(f"{letter}."))
    return answer in (option, letter) or answer.startswith((f"{letter}.", f"{letter})"))


def _yes_or_no(question: Question, answer: str) -> bool:
    """A text that starts with yes or no, in any case; so "Nothing" is a no."""
    said = next((word for word in ("yes", "no") if answer.lower().startswith(word)), None)
    return said == question.answer


def _caption(question: Question, answer: str) -> bool:
    """The whole line "Option 2: A cat.", its sentence, its label, or the number or letter of that.

    A label may have full stops, and a sentence may follow a ") ", as in "(2) A cat.".
    """
    label, sentence = question.answer.split(": ")[:2]
    short = label
    for word in _LABELS:
        short = short.replace(word, "")
    return (
        answer in (question.answer, sentence)
        or answer.replace(".", "") in (label, short)
        or answer.split(") ", 2)[1:2] == [sentence]
    )


_RULES = {"multiple choice": _choice, "yes or no": _yes_or_no, "caption matching": _caption}
