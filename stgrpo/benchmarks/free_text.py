"""Compare an answer in words with a short truth, as lmms-eval 0.7.3 does (`tasks/videommmu/utils.py:280-302,406-548`).

The ends of the answer's sentences, that is what follows words such as "is" or "equals", and the numbers in these are
compared with the truth: numbers by value, words by whether the truth is contained.
"""

import re

_CUES = (
    *("could be", "so", "is", "thus", "therefore", "final", "answer", "result", "are", "in total", "total", "identify"),
    *("recognize", "calculated as", "counted as", "measured as", "observed as", "concluded as", "found to be"),
    *("equals", "determined to be", "number of", "value is", "adds up to", "have", "has"),
)
_NUMBERS = (  # 1,200 and 1.2e3 and 1.2; none starts inside a run of digits, so that long runs take linear time
    re.compile(r"-?\b\d{1,3}(?:,\d{3})+\b"),
    re.compile(r"-?(?<!\d)\d++(?:\.\d++)?e[+-]?\d+"),
    re.compile(r"-?(?:(?<!\d)\d++(?:\.\d++|\b)|\.\d++)(?!e[+-]?\d|,)"),
)
_MARKS = {"", *":,.!?;'"}
_MOST_CHARACTERS = 100_000  # of an answer, its last; none of 1024 tokens is as long


def agrees(answer: str, truth: str) -> bool:
    """Whether an answer says the truth.

    Args:
        answer: an extracted answer.
        truth: a number, which some number of the answer must equal at 2 decimals, or words, which some end of a
            sentence must contain in any case.
    """
    ends = _ends(answer[-_MOST_CHARACTERS:])
    numbers = [number for end in ends for pattern in _NUMBERS for number in pattern.findall(end)]
    said = [value for text in (*ends, *numbers) for value in _values(text)]
    return any(_fits(given, wanted) for wanted in _values(truth) for given in said)


def _ends(answer: str) -> list[str]:
    """The shortest end of every line that a cue introduces; the whole answer if there is none."""
    answer = answer.strip().strip(".").lower()
    lines = answer.split("\n")
    cues = [f"{cue} " for cue in _CUES]
    ends = [_end(line, cues) for line in lines[:-1]] + [_end(lines[-1], [*cues, "="])]
    return [end for end in ends if end not in _MARKS] or [answer]


def _end(line: str, cues: list[str]) -> str:
    shortest = ""
    for cue in cues:
        _, found, end = line.rpartition(cue)
        end = end.strip()
        if found and (not shortest or len(end) < len(shortest)):
            shortest = end
    return shortest


def _values(text: str) -> list[float | str]:
    """A number at 2 decimals, or lower-case words; a single letter counts only beside a blank."""
    text = text.strip()
    try:
        return [round(float(text.replace(",", "")), 2)]
    except ValueError:
        word = text.lower()
    return [f" {word}", f"{word} "] if len(word) == 1 else [word]


def _fits(given: float | str, wanted: float | str) -> bool:
    if isinstance(given, str) and isinstance(wanted, str):
        return wanted in given
    return given == wanted
