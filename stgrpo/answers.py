"""The one parser of answers and the accuracy rule of each kind of answer (rules: Video-R1 `grpo.py:66-165`).

Rewards and benchmark scores read a model's text through these functions. None of them raises for what a model may
write, and each is done in linear time or stops at a length that no answer of 768 tokens has.
"""

import math
import re
from functools import cache
from typing import Any

_TURN = re.compile(r"</think>\s*<answer>")  # from thinking to answering
_MOST_CHARACTERS = 20_000  # of an answer compared by ROUGE-L, whose table has a cell for every pair of words
_TINY = 1e-9  # Video-R1's guard against a division by zero


def extract(text: str) -> str | None:
    """What stands in the first answer tag, stripped; None without one (Video-R1 `grpo.py:68-73`)."""
    rest = text.partition("<answer>")[2]
    inside, closing, _ = rest.partition("</answer>")
    return inside.strip() if closing else None


def final_answer(text: str) -> str:
    """What an evaluation scores: the tagged answer, without a tag all that follows the last `</think>`, stripped.

    Training is stricter and gives nothing without a tag. Video-R1's evaluation falls back to the whole output.
    """
    tagged = extract(text)
    return text.rpartition("</think>")[2].strip() if tagged is None else tagged


def has_format(text: str) -> bool:
    """Whether the whole text is a think tag followed by an answer tag (Video-R1 `grpo.py:168-173`)."""
    inner = len("<think>"), len(text) - len("</answer>")
    return text.startswith("<think>") and text.endswith("</answer>") and _TURN.search(text, *inner) is not None


def read_number(text: str) -> float | None:
    """The number that the whole text is, commas being thousands separators; None for anything else and for infinity."""
    if "_" in text:  # 1_000 is a number to Python only
        return None
    try:
        number = float(text.replace(",", ""))
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def correctness(kind: str, answer: str, truth: str) -> float:
    """How right an extracted answer is, in [0, 1], by the rule of its kind.

    Args:
        kind: one of Video-R1's five; TempCompass's own two have no reward.
        answer: as `extract` gives it.
        truth: the question's.

    Raises:
        ValueError: a kind without a rule.
    """
    if kind not in _RULES:
        raise ValueError(f"no accuracy rule for answers of kind '{kind}'")
    return _RULES[kind](answer, truth)


def _same(answer: str, truth: str) -> float:
    """The letter and nothing else: "B." is wrong."""
    return float(answer == truth)


def _same_number(answer: str, truth: str) -> float:
    """Equal when rounded to 2 decimals. "42.0" is 42; Video-R1 gives it nothing, a slip that is not repeated here."""
    given, wanted = read_number(answer), read_number(truth)
    return float(given is not None and wanted is not None and round(given, 2) == round(wanted, 2))


def _close_number(answer: str, truth: str) -> float:
    """1 - relative error, at least 0."""
    given, wanted = read_number(answer), read_number(truth)
    if given is None or wanted is None:
        return 0.0
    return 1.0 - min(1.0, (abs(given - wanted) + _TINY) / (abs(wanted) + _TINY))


def _same_words(answer: str, truth: str) -> float:
    """1 - word error rate, at least 0; words are what white space separates, the rate is over the truth's words."""
    import jiwer

    given, wanted = answer.split(), truth.split()
    if len(given) >= 2 * max(1, len(wanted)):  # as many words too many as there are: the rate is 1 or more
        return 0.0
    return 1.0 - min(1.0, jiwer.process_words(" ".join(wanted), " ".join(given)).wer)


def _similar_words(answer: str, truth: str) -> float:
    """Mean F of ROUGE-1, ROUGE-2 and ROUGE-L; a truth of one word has no pair of words, so matching it gives 2/3."""
    if len(answer) > _MOST_CHARACTERS:
        return 0.0
    scores = _rouge().score(truth, answer).values()
    return sum(score.fmeasure for score in scores) / len(scores)


@cache
def _rouge() -> Any:
    from rouge_score.rouge_scorer import RougeScorer

    return RougeScorer(["rouge1", "rouge2", "rougeL"], use_stemmer=True)


_RULES = {
    "multiple choice": _same,
    "numerical": _same_number,
    "OCR": _same_words,
    "free-form": _similar_words,
    "regression": _close_number,
}
