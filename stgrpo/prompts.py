"""The one prompt of training and evaluation.

The wording is ours; the demands are Video-R1's (think tags, answer tags, for a choice the letter only). A scale may set
another template, see `prompt` in `config.yaml`.
"""

from collections.abc import Sequence

from stgrpo.records import Question

LETTERS = "ABCDEFGHIJ"

_NUMBER = "Between the answer tags write only the number, in digits."
_DEMANDS = {
    "multiple choice": "Between the answer tags write only the letter of the option that you choose.",
    "caption matching": "Between the answer tags write only the label of the option that you choose, such as Option 1.",
    "yes or no": "Between the answer tags write only yes or no.",
    "numerical": _NUMBER,
    "regression": _NUMBER,
    "OCR": "Between the answer tags write the text that is shown, and nothing else.",
    "free-form": "Between the answer tags write only your answer, numbers in digits.",
}


def render(question: Question, template: str) -> str:
    """The text of the user's turn: `{question}` with its options, `{demand}` by the kind of answer."""
    text = question.text
    if question.options:
        text += "\nOptions:\n" + "\n".join(question.options)
    return template.replace("{demand}", _DEMANDS[question.kind]).replace("{question}", text)


def lettered(words: list[str]) -> list[str]:
    """Options as the corpora write them: "A. red"."""
    return [f"{letter}. {word}" for letter, word in zip(LETTERS, words, strict=False)]


def no_option(answer: str, options: Sequence[str]) -> str | None:
    """The reason to set a row aside whose answer is the letter of none of its options ("A. red"); None where it is."""
    letters = {option[0] for option in options if option[:1] in LETTERS and option[1:2] == "."}
    return None if answer in letters else f"answer '{answer}' is none of its options"
