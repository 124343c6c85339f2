"""Answers -> credits.

Every case was run through lmms-eval 0.7.3 itself; what it hands to a judge model earns nothing here. Where we differ
on purpose the case says so. scripts/against_lmms_eval.py compares the two on random answers.
"""

import pytest

from stgrpo.benchmarks import BENCHMARKS
from stgrpo.benchmarks.choices import pick_letter
from stgrpo.benchmarks.free_text import agrees
from stgrpo.records import Question

LETTER = [
    ("B", "B", "the letter"),
    ("B.", "B", "marks at the ends do not count"),
    ('"B"!', "B", "several"),
    ("(B)", "B", "brackets"),
    ("B) dunking", "B", "it starts the text"),
    ("B: dunking. Or C", "B", "the start beats the end"),
    ("I think it is option C but the answer is B.", "B", "the end beats an option in between"),
    ("It is not B but C", "C", "the end"),
    ("The answer is B, I guess", "B", "a phrase"),
    ("the answer is B. Or is it (C), perhaps", "C", "of the letters after a phrase the last"),
    ("The best option is (D) here", "D", "a phrase beats brackets"),
    ("maybe (A), maybe (C) though", "C", "the last in brackets"),
    ("maybe C. then (A) again", "A", "brackets beat a full stop"),
    ("it was C: and B. then", "B", "a full stop beats a colon"),
    ("it was C) and B: then", "B", "a colon beats a bracket"),
    ("it was C and B) then", "B", "a bracket beats a blank"),
    ("A person walks", "A", "an article that starts the text"),
    ("some Dogs", "D", "a letter anywhere, for want of better"),
    ("E", "", "no letter of the options"),
    ("b", "", "lower case"),
    ("?!", "", "marks only"),
    ("", "", "nothing"),
]


@pytest.mark.parametrize(("text", "expected", "reason"), LETTER, ids=[case[2] for case in LETTER])
def test_pick_letter(text: str, expected: str, reason: str):
    assert pick_letter(text, "ABCD") == expected, reason


OPEN = [
    ("The answer is 42.", "42", True, "the number at the end of a sentence"),
    ("42", "42.0", True, "by value"),
    ("x = 3.14159", "3.14", True, "at 2 decimals"),
    ("so 1,200 m", "1200", True, "a thousands comma"),
    ("it equals 2e3", "2000", True, "scientific"),
    ("the total is 7", "8", False, "another number"),
    ("the result is 5, because", "5", False, "lmms-eval reads no number before a comma"),
    ("It is called Photosynthesis", "photosynthesis", True, "case does not count"),
    ("the gas is pure oxygen", "oxygen", True, "contained"),
    ("the process is photosynthesis in plants", "photosynthesis", False, "the cue is may end a word, too"),
    ("photosynthesis is the process", "photosynthesis", False, "only the end of a sentence is read"),
    ("photosynthesis", "photosynthesis", True, "without a cue the whole answer is read"),
    ("the vitamin is c", "c", True, "a single letter alone"),
    ("cold", "c", False, "a single letter within a word"),
    ("the vitamin is b\nso c it was", "c", True, "any line"),
    ("", "42", False, "nothing; lmms-eval leaves it out"),
]


@pytest.mark.parametrize(("answer", "truth", "expected", "reason"), OPEN, ids=[case[3] for case in OPEN])
def test_open_answers(answer: str, truth: str, expected: bool, reason: str):
    assert agrees(answer, truth) is expected, reason


def asked(kind: str, answer: str, *options: str) -> Question:
    return Question("q", "v", "?", options, kind, answer, "s")


VIDEOMME = asked("multiple choice", "B", "A. a", "B. b", "C. c", "D. d")
PERCEPTION = asked("multiple choice", "B", "A. a", "B. b", "C. c")
FOUR, ONE = asked("regression", "4"), asked("regression", "1")
PLAY = asked("multiple choice", "B", "A. shooting", "B. dunking")
YES, NO = asked("yes or no", "yes"), asked("yes or no", "no")
CAT = asked("caption matching", "Option 2: A cat runs.", "Option 1: A dog runs.", "Option 2: A cat runs.")
CAT_B = asked("caption matching", "Sentence B: A cat runs.", "Sentence A: A dog runs.", "Sentence B: A cat runs.")
TEN = asked("multiple choice", "J", *(f"{letter}. x" for letter in "ABCDEFGHIJ"))
EFFECT = asked("multiple choice", "B", "A. a man", "B. Doppler effect", "C. none", "D. x", "E. y")
CREDIT = [
    ("videomme", VIDEOMME, "I think it is option C but the answer is B.", 1.0),
    ("videomme", VIDEOMME, "C", 0.0),
    ("videomme", VIDEOMME, "", 0.0),
    ("vsibench", PERCEPTION, "B", 1.0),
    ("vsibench", PERCEPTION, "b.", 1.0),
    ("vsibench", PERCEPTION, "B. chair", 1.0),
    ("vsibench", PERCEPTION, "B) x", 0.0),
    ("vsibench", PERCEPTION, "(B)", 0.0),
    ("vsibench", FOUR, "4", 1.0),
    ("vsibench", FOUR, "3", 0.6),
    ("vsibench", FOUR, "There are three boxes, not 4.", 0.6),
    ("vsibench", FOUR, "minus -4", 0.0),
    ("vsibench", FOUR, "several", 0.0),
    ("vsibench", ONE, "1,200", 1.0),
    ("vsibench", ONE, "0.9", 0.9),
    ("vsibench", ONE, "1.5", 0.1),
    ("vsibench", ONE, "1.51", 0.0),
    ("vsibench", asked("regression", "321"), "three hundred and twenty-one", 1.0),
    ("vsibench", asked("regression", "2000"), "two thousand boxes, 3 rooms", 1.0),
    ("vsibench", asked("regression", "3"), "hundred " * 400, 0.0),  # lmms-eval raises OverflowError
    ("perceptiontest", PERCEPTION, "B", 1.0),
    ("perceptiontest", PERCEPTION, "the answer: B, not C", 1.0),
    ("perceptiontest", PERCEPTION, "A person walks. B", 0.0),
    ("perceptiontest", PERCEPTION, "b", 0.0),
    ("perceptiontest", PERCEPTION, "D", 0.0),
    ("tempcompass", PLAY, "B", 1.0),
    ("tempcompass", PLAY, "B.", 1.0),
    ("tempcompass", PLAY, "B. dunking", 1.0),
    ("tempcompass", PLAY, "B) dunking", 1.0),
    ("tempcompass", PLAY, "B. shooting", 1.0),
    ("tempcompass", PLAY, "b", 0.0),
    ("tempcompass", PLAY, "(B)", 0.0),
    ("tempcompass", PLAY, " B", 0.0),
    ("tempcompass", PLAY, "dunking", 0.0),
    ("tempcompass", PLAY, "B dunking", 0.0),
    ("tempcompass", PLAY, "A", 0.0),
    ("tempcompass", YES, "Yes, he is.", 1.0),
    ("tempcompass", YES, "He is, yes", 0.0),
    ("tempcompass", YES, "no", 0.0),
    ("tempcompass", NO, "Nothing", 1.0),
    ("tempcompass", NO, "", 0.0),
    ("tempcompass", CAT, "Option 2: A cat runs.", 1.0),
    ("tempcompass", CAT, "Option 2", 1.0),
    ("tempcompass", CAT, "2.", 1.0),
    ("tempcompass", CAT, "A cat runs.", 1.0),
    ("tempcompass", CAT, "(2) A cat runs.", 1.0),
    ("tempcompass", CAT, "A cat runs", 0.0),
    ("tempcompass", CAT, "Option 2:", 0.0),
    ("tempcompass", CAT, "Option 1", 0.0),
    ("tempcompass", CAT, "B", 0.0),
    ("tempcompass", CAT_B, "B", 1.0),
    ("tempcompass", CAT_B, "Sentence B.", 1.0),
    ("tempcompass", CAT_B, "sentence B", 0.0),
    ("videommmu", TEN, "The answer is J.", 1.0),
    ("videommmu", TEN, "7 m", 0.0),
    ("videommmu", asked("free-form", "42"), "The answer is 42.", 1.0),
    ("videommmu", asked("free-form", "42"), "", 0.0),  # lmms-eval leaves it out
    ("mmvu", EFFECT, "B", 1.0),
    ("mmvu", EFFECT, "(b).", 1.0),
    ("mmvu", EFFECT, "The answer is B.", 1.0),
    ("mmvu", EFFECT, "It is not B but C", 0.0),  # lmms-eval: 1
    ("mmvu", EFFECT, "Doppler effect", 0.0),  # lmms-eval: 1
    ("mmvu", EFFECT, "Because of it", 0.0),
    ("mmvu", EFFECT, "", 0.0),
    ("mmvu", asked("multiple choice", "A", *EFFECT.options), "The video shows a man", 0.0),  # lmms-eval: 1
]


@pytest.mark.parametrize(
    ("name", "question", "answer", "expected"),
    CREDIT,
    ids=[f"{n}: {a[:40]!r} for {q.answer!r}" for n, q, a, _ in CREDIT],
)
def test_credit(name: str, question: Question, answer: str, expected: float):
    assert BENCHMARKS[name].credit(question, answer) == pytest.approx(expected, abs=1e-12)
