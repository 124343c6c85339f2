"""What a model may answer: tags parsed as by Video-R1's own patterns, every rule of credit within its bounds."""

import re
from typing import Any

from hypothesis import strategies as st

from fuzzing import Surface
from stgrpo import answers
from stgrpo.benchmarks import BENCHMARKS
from stgrpo.records import REWARDED_KINDS, Question

_PIECES = st.one_of(
    st.sampled_from(
        ["<think>", "</think>", "<answer>", "</answer>", "<answer", "/answer>", "<ANSWER>", " ", "\n", "\x00", "\u2028"]
        + ["A", "B.", "(C)", "d", "the answer is ", "is", "=", ",", ".", "-", "1", "42", "1e9", "1e999", "nan", "inf"]
        + ["1,000", "٣", "½", "_", "yes", "No.", "red", "\u202e", "\ud800", "答案是", "İ", "ß", "%"]
    ),
    st.text(max_size=12),
)
_TEXTS = st.lists(_PIECES, max_size=24).map("".join)
_WHOLE = st.lists(_PIECES, max_size=8).map(lambda words: f"<think>{''.join(words)}</answer>")


def _asked(benchmark: str, kind: str, answer: str, tags: dict, options: tuple = ("A. red", "B. blue", "C. a", "D. b")):
    return Question("q", "v.mp4", "What?", options, kind, answer, benchmark, tags)


# One question for every rule of credit.
_QUESTIONS = [
    ("videomme", _asked("videomme", "multiple choice", "B", {"duration": "short"})),
    ("perceptiontest", _asked("perceptiontest", "multiple choice", "A", {"area": "memory"})),
    ("mmvu", _asked("mmvu", "multiple choice", "C", {"discipline": "Science"})),
    ("vsibench", _asked("vsibench", "multiple choice", "A", {"type": "route_planning"})),
    ("vsibench", _asked("vsibench", "numerical", "3", {"type": "object_counting"}, ())),
    ("tempcompass", _asked("tempcompass/multi-choice", "multiple choice", "A", {"dim": "order"})),
    ("tempcompass", _asked("tempcompass/yes_no", "yes or no", "yes", {"dim": "order"}, ())),
    ("tempcompass", _asked("tempcompass/caption_matching", "caption matching", "Option 1: A cat.", {"dim": "order"})),
    ("videommmu", _asked("videommmu/Adaptation", "multiple choice", "B", {"track": "Adaptation"})),
    ("videommmu", _asked("videommmu/Adaptation", "free-form", "42", {"track": "Adaptation"}, ())),
    ("videommmu", _asked("videommmu/Adaptation", "free-form", "red", {"track": "Adaptation"}, ())),
]


def _check(drawn: tuple[str, str]) -> None:
    text, truth = drawn
    _check_tags(text)
    for kind in REWARDED_KINDS:
        assert 0.0 <= answers.correctness(kind, text, truth) <= 1.0
        assert 0.0 <= answers.correctness(kind, truth, text) <= 1.0
    answer = answers.final_answer(text)
    assert "<answer>" not in text or answer in text
    for name, question in _QUESTIONS:
        credit: Any = BENCHMARKS[name].credit(question, answer)
        assert isinstance(credit, float | int) and 0.0 <= credit <= 1.0, (name, credit)


def _check_tags(text: str) -> None:
    """Video-R1's own patterns (`grpo.py:68-73,168-173`), which are quadratic, and right."""
    tagged = re.search(r"<answer>\s*(.*?)\s*</answer>", text, re.DOTALL)
    assert answers.extract(text) == (tagged[1].strip() if tagged else None)
    formed = re.fullmatch(r"<think>.*?</think>\s*<answer>.*?</answer>", text, re.DOTALL)
    assert answers.has_format(text) == (formed is not None)


SURFACES = [Surface("answers", st.tuples(st.one_of(_TEXTS, _WHOLE), _TEXTS), _check, 150)]
