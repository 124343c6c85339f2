"""The one parser of answers and the accuracy rules, as tables of (text, what is right, why)."""

import pytest

from stgrpo.answers import correctness, extract, final_answer, has_format, read_number
from stgrpo.benchmarks.free_text import agrees
from stgrpo.prompts import render
from stgrpo.records import KINDS, REWARDED_KINDS, Question
from stgrpo.rl.rewards import accuracy

EXTRACT = [
    ("<answer>B</answer>", "B", "the plain case"),
    ("<think>why</think><answer>B</answer>", "B", "after a think tag"),
    ("well, <answer>B</answer> it is", "B", "text around the tag is no matter"),
    ("<answer>A</answer> or <answer>B</answer>", "A", "the first of two tags counts"),
    ("<answer>A<answer>B</answer></answer>", "A<answer>B", "from the first opening to the first closing tag"),
    ("<answer>\n B \n</answer>", "B", "white space and newlines at the ends go"),
    ("<answer>a red\nball</answer>", "a red\nball", "a newline inside stays"),
    ("<answer></answer>", "", "an empty tag is an empty answer, not a missing one"),
    ("<answer>  </answer>", "", "white space only"),
    ("<answer>B", None, "the closing tag is missing"),
    ("B</answer>", None, "the opening tag is missing"),
    ("</answer>B<answer>", None, "tags in the wrong order"),
    ("<Answer>B</Answer>", None, "tags are lower case"),
    ("< answer >B</ answer >", None, "tags hold no blanks"),
    ("B", None, "no tag; only evaluation falls back to the text"),
    ("", None, "no text"),
]

FORMAT = [
    ("<think>a</think><answer>B</answer>", True, "the plain case"),
    ("<think>a</think>\n \n<answer>B</answer>", True, "white space between the tags"),
    ("<think>a\nb</think><answer>\nB\n</answer>", True, "newlines inside the tags"),
    ("<think></think><answer></answer>", True, "both may be empty"),
    ("<think>a</think><answer>B</answer><answer>C</answer>", True, "fullmatch stretches to the last closing tag"),
    (" <think>a</think><answer>B</answer>", False, "leading white space"),
    ("<think>a</think><answer>B</answer>\n", False, "trailing white space"),
    ("so: <think>a</think><answer>B</answer>", False, "leading text"),
    ("<think>a</think><answer>B</answer> done", False, "trailing text"),
    ("<think>a</think> so <answer>B</answer>", False, "text between the tags"),
    ("<answer>B</answer><think>a</think>", False, "tags in the wrong order"),
    ("<answer>B</answer>", False, "no think tag"),
    ("<think>a</think>", False, "no answer tag"),
    ("<think>a<answer>B</answer>", False, "think is not closed"),
    ("<think>a</think><answer>B", False, "answer is not closed"),
    ("", False, "no text"),
]

CHOICE = [
    ("B", "B", 1.0, "the letter"),
    ("A", "B", 0.0, "another letter"),
    ("b", "B", 0.0, "case counts"),
    ("B.", "B", 0.0, "Video-R1 compares whole strings"),
    ("B. red", "B", 0.0, "the option's text is no letter"),
    ("B ", "B", 0.0, "nothing is stripped here; the parser did that"),
    ("", "B", 0.0, "an empty answer"),
]


FINAL = [
    ("<think>A</think><answer> B </answer>", "B", "the tag"),
    ("<answer></answer> B", "", "an empty tag is an empty answer"),
    ("<think>A</think>\nB.\n", "B.", "without a tag the text after the thinking"),
    ("<think>A</think> C </think> B", "B", "the last end of thinking counts"),
    ("<think>A</think><answer>B", "<answer>B", "an unclosed tag is none"),
    ("so B", "so B", "neither tag: the whole text"),
    ("<think>A", "<think>A", "thinking that does not end"),
    ("<think>B</think>", "", "nothing after it"),
]

NUMBER = [
    ("42", 42.0, "an integer"),
    ("-3.5", -3.5, "a sign and a fraction"),
    ("1,200.5", 1200.5, "thousands commas"),
    ("1e3", 1000.0, "scientific"),
    ("1_000", None, "Python reads it, people do not write it"),
    ("", None, "nothing"),
    ("3 m", None, "a unit"),
    ("about 3", None, "a word"),
    ("nan", None, "not a number"),
    ("-inf", None, "not finite"),
    ("1e999", None, "too large to be finite"),
]

NUMERICAL = [
    ("42", "42", 1.0, "the same"),
    ("42.0", "42", 1.0, "compared as numbers"),
    ("1,200", "1200", 1.0, "a thousands comma"),
    ("3.14159", "3.14", 1.0, "equal at 2 decimals"),
    ("3.146", "3.14", 0.0, "3.15 is not 3.14"),
    ("-42", "42", 0.0, "the sign counts"),
    ("forty-two", "42", 0.0, "no number"),
    ("nan", "nan", 0.0, "no number on either side"),
    ("", "42", 0.0, "nothing"),
]

OCR = [
    ("a b c d", "a b c d", 1.0, "the same"),
    (" a  b\nc d ", "a b c d", 1.0, "any white space separates"),
    ("a x c d", "a b c d", 0.75, "one of four words is another"),
    ("a b c", "a b c d", 0.75, "one is missing"),
    ("a b c d e", "a b c d", 0.75, "one is too many"),
    ("A b c d", "a b c d", 0.75, "case counts"),
    ("x y a b", "a b", 0.0, "as many too many as there are"),
    ("x y z a b c d", "a b c d", 0.25, "three too many"),
    ("", "a b c d", 0.0, "nothing"),
]

FREE = [
    ("a red ball", "a red ball", 1.0, "the same"),
    ("A red, ball!", "a red ball", 1.0, "case and marks do not count"),
    ("red", "red", 2 / 3, "one word has no pair: (1 + 0 + 1) / 3"),
    ("the blue ball", "the red ball", 4 / 9, "(2/3 + 0 + 2/3) / 3"),
    ("ball red", "red ball", 0.5, "(1 + 0 + 1/2) / 3"),
    ("running", "runs", 2 / 3, "stems are compared"),
    ("a red ball rolls", "a red ball", (6 / 7 + 4 / 5 + 6 / 7) / 3, "one word more"),
    ("nothing", "a red ball", 0.0, "no word in common"),
    ("", "a red ball", 0.0, "nothing"),
]

REGRESSION = [
    ("4", "4", 1.0, "the same"),
    ("3", "4", 0.75, "a quarter off"),
    ("4.4", "4", 0.9, "a tenth off"),
    ("-3", "-4", 0.75, "negative numbers"),
    ("1,000", "1000", 1.0, "a thousands comma"),
    ("8", "4", 0.0, "as far off as the truth is large"),
    ("400", "4", 0.0, "further"),
    ("0", "0", 0.0, "Video-R1's guard: 1 - (0 + 1e-9) / (0 + 1e-9)"),
    ("four", "4", 0.0, "no number"),
    ("inf", "4", 0.0, "not finite"),
]

RULES = [
    (kind, *case)
    for kind, cases in (("numerical", NUMERICAL), ("OCR", OCR), ("free-form", FREE), ("regression", REGRESSION))
    for case in cases
]


@pytest.mark.parametrize(("text", "expected", "reason"), EXTRACT, ids=[row[2] for row in EXTRACT])
def test_extract(text: str, expected: str | None, reason: str):
    assert extract(text) == expected, reason


@pytest.mark.parametrize(("text", "expected", "reason"), FORMAT, ids=[row[2] for row in FORMAT])
def test_has_format(text: str, expected: bool, reason: str):
    assert has_format(text) is expected, reason


@pytest.mark.parametrize(("answer", "truth", "expected", "reason"), CHOICE, ids=[row[3] for row in CHOICE])
def test_correctness_of_a_choice(answer: str, truth: str, expected: float, reason: str):
    assert correctness("multiple choice", answer, truth) == expected, reason


def test_correctness_of_an_unknown_kind_is_an_error_and_no_zero():
    with pytest.raises(ValueError, match="^no accuracy rule for answers of kind 'haiku'$"):
        correctness("haiku", "B", "B")


@pytest.mark.parametrize(("text", "expected", "reason"), FINAL, ids=[row[2] for row in FINAL])
def test_final_answer(text: str, expected: str, reason: str):
    assert final_answer(text) == expected, reason


@pytest.mark.parametrize(("text", "expected", "reason"), NUMBER, ids=[row[2] for row in NUMBER])
def test_read_number(text: str, expected: float | None, reason: str):
    assert read_number(text) == expected, reason


@pytest.mark.parametrize(
    ("kind", "answer", "truth", "expected", "reason"), RULES, ids=[f"{row[0]}: {row[4]}" for row in RULES]
)
def test_correctness_by_kind(kind: str, answer: str, truth: str, expected: float, reason: str):
    assert correctness(kind, answer, truth) == pytest.approx(expected, abs=1e-8), reason


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_is_asked_for_and_the_rewarded_ones_have_a_rule(kind: str):
    assert render(Question("q", "v", "What?", (), kind, "1", "s"), "{demand}").startswith("Between the answer tags")
    if kind in REWARDED_KINDS:
        assert correctness(kind, "1", "1") > 0
    else:
        with pytest.raises(ValueError):
            correctness(kind, "1", "1")


def test_an_open_question_asks_for_the_digits_that_its_rule_needs():
    question = Question("q", "v", "How many?", (), "free-form", "42", "videommmu/Adaptation")
    assert render(question, "{question} {demand}") == (
        "How many? Between the answer tags write only your answer, numbers in digits."
    )
    assert (agrees("42", "42"), agrees("forty-two", "42")) == (True, False)


def test_every_question_of_a_batch_is_judged_by_its_own_kind():
    """The answer 3 to five kinds of questions; Video-R1 would judge all by the first."""
    asked = [("multiple choice", "C"), ("numerical", "3.0"), ("OCR", "3 5"), ("free-form", "3"), ("regression", "4")]
    questions = [Question(kind, "v", "?", (), kind, truth, "s") for kind, truth in asked]
    given = [accuracy(question, "<think>2 + 1</think><answer>3</answer>") for question in questions]
    assert given == pytest.approx([0.0, 1.0, 0.5, 2 / 3, 0.75], abs=1e-8)
    assert [accuracy(question, "3") for question in questions] == [0.0] * 5


MEGABYTES = 10_000_000
HOSTILE = {
    "opening tags": "<answer>" * (MEGABYTES // 8),
    "turns without end": "<think>" + "</think><answer>" * (MEGABYTES // 16),
    "white space": "<think></think>" + " " * MEGABYTES,
    "words": "a b " * (MEGABYTES // 4),
    "digits": "1" * MEGABYTES,
    "control characters": "\x00\x1c\x85\ud800" * (MEGABYTES // 4),
}


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_no_text_hangs_or_crashes_the_rules(text: str):
    for read in (extract, final_answer, has_format):
        read(text)
        read(f"<think>{text}</answer>")
    for kind, truth in (("numerical", "1"), ("OCR", "a b"), ("free-form", "a b"), ("regression", "1")):
        assert correctness(kind, text, truth) == 0.0
        assert 0.0 <= correctness(kind, text[:20_000], truth) <= 1.0
