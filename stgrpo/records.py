"""What one stage hands to the next: one frozen record a hand-over, one line of JSON each."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import cache
from types import UnionType
from typing import Any, Self, get_args, get_origin, get_type_hints

REWARDED_KINDS = ("multiple choice", "numerical", "OCR", "free-form", "regression")  # Video-R1's problem_type
KINDS = (*REWARDED_KINDS, "yes or no", "caption matching")  # TempCompass has the last two, without a reward


class Record:
    """To and from a row of a JSON lines file."""

    def to_row(self) -> dict[str, Any]:
        """A dictionary that JSON can hold."""
        return asdict(self)  # pyright: ignore[reportArgumentType]

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> Self:
        """The record of a row.

        Raises:
            ValueError: a field is missing, unknown or of another type.
        """
        kinds = _kinds(cls)
        if not isinstance(row, Mapping):
            raise ValueError(f"not a {cls.__name__}: a {type(row).__name__}, not an object")
        if set(row) != set(kinds):
            odd = sorted(set(row) ^ set(kinds))
            raise ValueError(f"not a {cls.__name__}: fields missing or unknown: {', '.join(odd)}")
        values = {name: tuple(value) if isinstance(value, list) else value for name, value in row.items()}
        if wrong := next((name for name, value in values.items() if not _is(value, kinds[name])), None):
            raise ValueError(f"not a {cls.__name__}: {wrong} is {values[wrong]!r:.60}")
        return cls(**values)


@cache
def _kinds(record: type[Record]) -> dict[str, Any]:
    """Types of a record's fields by their names."""
    return get_type_hints(record)


def _is(value: Any, kind: Any) -> bool:
    """Whether a value out of JSON, its lists being tuples, is of a field's type; a whole number is a float as well."""
    inner = get_args(kind)
    if isinstance(kind, UnionType):
        return any(_is(value, one) for one in inner)
    if get_origin(kind) is tuple:
        return isinstance(value, tuple) and all(_is(one, inner[0]) for one in value)
    if get_origin(kind) is Mapping:
        return isinstance(value, dict) and all(_is(one, inner[1]) for one in value.values())
    if isinstance(value, bool) or kind is not float:
        return type(value) is kind
    return isinstance(value, int | float)


@dataclass(frozen=True)
class Question(Record):
    """A question about one video, from a corpus or a benchmark.

    Attributes:
        id: unique in its file; it seeds everything that is drawn for the question.
        video: path from the root of the project.
        text: without options.
        options: as the source writes them ("A. red"); empty where the answer is no choice.
        kind: one of `KINDS`.
        answer: the truth in the form of `kind`; the letter for a multiple choice.
        source: corpus or benchmark and the part of it.
        tags: what a benchmark groups its scores by.
    """

    id: str
    video: str
    text: str
    options: tuple[str, ...]
    kind: str
    answer: str
    source: str
    tags: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class SetAside(Record):
    """A row that was not used, and why."""

    row: str
    reason: str


@dataclass(frozen=True)
class FrameScores(Record):
    """The importance of every candidate frame of a video for one question (paper section 4)."""

    question: str
    scores: tuple[float, ...]


@dataclass(frozen=True)
class Rollout(Record):
    """One answer of a training step, readable."""

    step: int
    question: str
    variant: int
    frames: tuple[int, ...]
    spatial: bool
    text: str
    truth: str
    rewards: Mapping[str, float]
    advantage: float


@dataclass(frozen=True)
class Group(Record):
    """The numbers of one group of a training step, of each of its M * G answers, those to a variant adjacent.

    Attributes:
        step: from 1.
        question: its id.
        correct: accuracy, 0 to 1.
        rewards: accuracy and format together.
        advantages: those that the loss took.
    """

    step: int
    question: str
    correct: tuple[float, ...]
    rewards: tuple[float, ...]
    advantages: tuple[float, ...]


@dataclass(frozen=True)
class Prediction(Record):
    """One answer of an evaluation, unparsed, so that grading sees a mended parser; `spec` is the EvalSpec's hash."""

    benchmark: str
    question: str
    text: str
    spec: str


@dataclass(frozen=True)
class Graded(Record):
    """One question's credit in an evaluation, and what it counts: a benchmark's score is the sum of weight * credit.

    Attributes:
        video: what its error is clustered by.
        stratum: the sample that it belongs to: "" where all questions that count weigh the same, else its part.
        weight: its share of the benchmark's score; 0 where it is reported but does not count.
        credit: in [0, 1].
        answer: what was graded, taken out of the text.
    """

    benchmark: str
    question: str
    video: str
    stratum: str
    weight: float
    credit: float
    answer: str


@dataclass(frozen=True)
class Score(Record):
    """One benchmark's score of one cell.

    Attributes:
        value: percent.
        standard_error: of the value, percent, clustered by video; None where nothing can be said (`Estimate`).
        low: lower end of the 95 % interval, percent, at least 0; None as the error.
        high: upper end, at most 100.
        n: questions scored.
        videos: that they are about.
        unparsed: answers without an answer tag.
        parts: percent by the benchmark's own parts (durations, tasks, tracks).
    """

    benchmark: str
    value: float
    standard_error: float | None
    low: float | None
    high: float | None
    n: int
    videos: int
    unparsed: int
    parts: Mapping[str, float]
