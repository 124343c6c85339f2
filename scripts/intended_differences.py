"""Where our benchmark scores differ from lmms-eval's on purpose, and why."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from stgrpo.records import Question


@dataclass(frozen=True)
class Difference:
    """One kind of answers, and what becomes of them."""

    benchmark: str
    answer: str
    theirs: str
    ours: str
    reason: str


@dataclass(frozen=True)
class Flaw:
    """A row that is set aside here, made from a whole one, and the answer that tells what lmms-eval does with it."""

    row: str
    change: Mapping[str, Any]
    answer: str
    reason: str
    task: str = ""


LETTER = re.compile(r"\W*[A-Ea-e]\W*")  # alone, which is what our prompt asks for
DIFFERENCES = {
    "mentioned": Difference(
        "mmvu",
        'names the right letter but chooses another: "It is not B but C" for B',
        "right",
        "wrong",
        "a longer answer would be right more often only because it names more letters",
    ),
    "lower case": Difference(
        "mmvu",
        'has the right letter only in lower case among other words: "The video shows a man" for A',
        "right",
        "wrong; alone, as b or (b), it is right",
        "the article a is no choice, and the prompt asks for the letter of the option",
    ),
    "words": Difference(
        "mmvu",
        "has the words of the right choice without its letter",
        "right",
        "wrong",
        "the prompt asks for the letter; the words also stand in answers that reject them, or within longer words",
    ),
    "empty": Difference(
        "videommmu",
        'to an open question is empty, or "API Error"',
        "left out of the score",
        "wrong",
        "a model that says nothing where it does not know would gain",
    ),
    "type": Difference(
        "videommmu",
        'to a question with options whose `question_type` is neither "multiple-choice" nor "open"',
        "wrong whatever it is: read as an open answer, judged as a letter",
        "read as a letter",
        "a slip that no answer can mend",
    ),
    "endless": Difference(
        "vsibench",
        'is number words without end: "hundred hundred hundred ..."',
        "raises OverflowError, which ends the evaluation",
        "wrong",
        "a policy that repeats itself must not stop a run",
    ),
}

SET_ASIDE = {
    "videomme": [Flaw("the answer is the letter of no option", {"answer": "E"}, "E", "no answer could be right")],
    "vsibench": [
        Flaw(
            "a quantity of 0",
            {"question_type": "object_counting", "ground_truth": "0", "options": None},
            "0",
            "the relative error is not defined",
        )
    ],
    "perceptiontest": [
        Flaw("the answer's index is that of no option", {"answer_id": "3"}, "D", "no answer that is shown is right")
    ],
    "tempcompass": [
        Flaw(
            "a caption without a label",
            {"question": "Which?\nA dog runs.\nA cat runs.", "answer": "A dog runs."},
            "A dog runs.",
            "nothing to choose by",
            "caption_matching",
        )
    ],
    "videommmu": [
        Flaw(
            "a choice without options",
            {"options": [], "answer": "B", "question_type": "multiple-choice"},
            "B",
            "nothing to choose from",
            "Adaptation",
        )
    ],
    "mmvu": [
        Flaw(
            "an open question",
            {"question_type": "open-ended", "choices": None, "answer": "Doppler effect"},
            "the Doppler effect, or not",
            "needs a judge model (GPT-4o); the paper scores the multiple choice",
        ),
        Flaw(
            "a subject outside the 27",
            {"video_path": "videos/Alchemy/1.mp4", "answer": "B"},
            "B",
            "in no discipline; lmms-eval leaves it out, too",
        ),
        Flaw(
            "the right choice is empty",
            {"choices": {"A": "red", "B": "", "C": "green", "D": "blue", "E": "white"}, "answer": "B"},
            "none of them",
            "to lmms-eval every answer has the empty choice's words",
        ),
    ],
}


def explain(
    benchmark: str, row: Mapping[str, Any], question: Question, answer: str, theirs: float | str | None
) -> str | None:
    """Which of the `DIFFERENCES` an answer falls under whose credits differ; None if it should not differ."""
    if benchmark == "videommmu":
        if theirs is None and not question.options and answer in ("", "API Error"):
            return "empty"
        return "type" if question.options and row["question_type"] != "multiple-choice" else None
    if benchmark == "vsibench":
        return "endless" if theirs == "OverflowError" else None
    return _lenient(question, answer) if benchmark == "mmvu" and theirs == 1 else None


def _lenient(question: Question, answer: str) -> str | None:
    """What lmms-eval accepts of MMVU's answers beside the letter that is chosen."""
    right, others = question.answer, "ABCDE".replace(question.answer, "")
    if LETTER.fullmatch(answer):
        return None
    if re.search(rf"\b{right}\b", answer):
        return "mentioned" if re.search(f"[{others}]", answer) else None
    if re.search(rf"\b{right.lower()}\b", answer):
        return "lower case"
    (words,) = (option[3:] for option in question.options if option.startswith(f"{right}. "))
    return "words" if words.lower() in answer.lower() else None
