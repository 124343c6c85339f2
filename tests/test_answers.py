"""The one parser of answers, as tables of (text, what is right, why)."""

import pytest

from stgrpo.answers import correctness, extract, has_format

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
    ("B", None, "no tag; only evaluation might fall back to the text"),
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
