"""Named reward components of an answer; their plain sum is its reward (Video-R1: accuracy + format, range [0, 2])."""

from stgrpo.answers import correctness, extract, has_format
from stgrpo.records import Question


def accuracy(question: Question, text: str) -> float:
    """How right the tagged answer is, by the rule of this question's own kind; 0 without an answer tag."""
    found = extract(text)
    return 0.0 if found is None else correctness(question.kind, found, question.answer)


def form(question: Question, text: str) -> float:
    """1 for think tags followed by answer tags and nothing else."""
    return float(has_format(text))


COMPONENTS = {"accuracy": accuracy, "format": form}
