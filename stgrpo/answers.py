"""The one parser of answers: rewards and benchmark scores read a model's text through these functions."""

import re

_ANSWER = re.compile(r"<answer>(.*?)</answer>", re.DOTALL)
_FORMAT = re.compile(r"<think>.*?</think>\s*<answer>.*?</answer>", re.DOTALL)


def extract(text: str) -> str | None:
    """What stands in the first answer tag, stripped; None without one (Video-R1 `grpo.py:68-73`)."""
    found = _ANSWER.search(text)
    return found.group(1).strip() if found else None


def has_format(text: str) -> bool:
    """Whether the whole text is a think tag followed by an answer tag (Video-R1 `grpo.py:168-173`)."""
    return _FORMAT.fullmatch(text) is not None


def correctness(kind: str, answer: str, truth: str) -> float:
    """How right an extracted answer is, in [0, 1], by the rule of its kind (Video-R1 `grpo.py:120-121`).

    Raises:
        ValueError: a kind without a rule.
    """
    if kind == "multiple choice":
        return float(answer == truth)
    raise ValueError(f"no accuracy rule for answers of kind '{kind}'")
