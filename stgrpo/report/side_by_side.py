"""Answers of some cells to the same questions, as in the paper's Figure 4."""

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, product, zip_longest
from pathlib import Path
from typing import Literal

from stgrpo.records import Graded, Question
from stgrpo.report.frames import thumbnails
from stgrpo.report.results import Results
from stgrpo.video import FrameReader

Verdict = Literal["right", "partly right", "wrong"]
Key = tuple[str, str]  # benchmark, question
Outcome = tuple[bool, ...]  # right or not, one a cell
_HALF = 0.5  # the credit from which an answer counts as right: some benchmarks give parts of it to numbers
_FRAMES = 6  # shown of a video, at most


@dataclass(frozen=True)
class Answered:
    """What one cell answered, what was read out of that, and what it was worth."""

    cell: str
    text: str
    read: str
    credit: float

    @property
    def verdict(self) -> Verdict:
        """In words; a number that is near the truth is partly right."""
        return "right" if self.credit == 1 else "wrong" if self.credit == 0 else "partly right"


@dataclass(frozen=True)
class Shown:
    """A question with all that is shown of it; `frames` are data: addresses, none of a video that does not decode."""

    benchmark: str
    question: Question
    frames: list[str]
    answers: list[Answered]

    @property
    def gone(self) -> bool:
        """Whether its video is not there any more."""
        return not Path(self.question.video).is_file()

    @property
    def chosen(self) -> str | None:
        """The option that is right; None where the answer is no choice."""
        return next((text for text in self.question.options if text.startswith(f"{self.question.answer}.")), None)


@dataclass(frozen=True)
class SideBySide:
    """Cells against each other.

    Attributes:
        cells: whose answers are compared, in this order.
        seed: of those that are trained.
        outcomes: questions by who was right, for each of the benchmarks.
        shown: the questions that were picked.
    """

    cells: list[str]
    seed: int
    outcomes: dict[Outcome, dict[str, int]]
    shown: list[Shown]

    def of(self, outcome: Outcome) -> list[str]:
        """The cells that are right in an outcome."""
        return [cell for cell, right in zip(self.cells, outcome, strict=True) if right]

    @property
    def asked(self) -> int:
        """Counted questions."""
        return sum(sum(counts.values()) for counts in self.outcomes.values())

    @property
    def differing(self) -> int:
        """Those on which not all cells are right, nor all wrong."""
        return sum(sum(counts.values()) for outcome, counts in self.outcomes.items() if len(set(outcome)) > 1)


def side_by_side(results: Results) -> SideBySide | None:
    """The cells of the report's spec with their first seed; None where fewer than two of them are made."""
    runs = [results.of_cell(cell)[0] for cell in results.spec.side_by_side]
    if len(runs) < 2:
        return None
    outcome = outcomes([run.graded for run in runs])
    benchmarks = list(results.spec.benchmarks)
    picked = choose(outcome, results.spec.questions)
    texts = [results.texts(run, set(picked)) for run in runs]
    graded = [{(g.benchmark, g.question): g for g in run.graded if g.weight} for run in runs]
    asked = {
        (name, id): question
        for name in benchmarks
        for id, question in results.questions(name, {id for benchmark, id in picked if benchmark == name}).items()
    }
    with FrameReader() as reader:
        shown = [
            Shown(
                results.spec.benchmarks[key[0]],
                asked[key],
                thumbnails(reader, asked[key].video, results.spec.examined_frames, _FRAMES),
                [
                    Answered(run.cell, text[key], found[key].answer, found[key].credit)
                    for run, text, found in zip(runs, texts, graded, strict=True)
                ],
            )
            for key in picked
        ]
    return SideBySide([run.cell for run in runs], runs[-1].seed, counted(outcome, benchmarks), shown)


def outcomes(graded: Sequence[Sequence[Graded]]) -> dict[Key, Outcome]:
    """Who was right, by counted question; one list of graded questions a cell."""
    right = [{(g.benchmark, g.question): g.credit >= _HALF for g in of_cell if g.weight > 0} for of_cell in graded]
    return {key: tuple(of_cell[key] for of_cell in right) for key in right[0]}


def counted(outcome: Mapping[Key, Outcome], benchmarks: Sequence[str]) -> dict[Outcome, dict[str, int]]:
    """Questions by outcome and benchmark, from all right to all wrong; what does not occur counts 0."""
    found = Counter((right, benchmark) for (benchmark, _), right in outcome.items())
    cells = len(next(iter(outcome.values()), ()))
    every = sorted(product((True, False), repeat=cells), key=lambda right: -sum(right))
    return {right: {name: found[right, name] for name in benchmarks} for right in every}


def choose(outcome: Mapping[Key, Outcome], count: int) -> list[Key]:
    """Questions by a rule, not by taste: of each benchmark in turn, first where the cells differ, then by a hash."""
    by_benchmark: dict[str, list[Key]] = {}
    for key in sorted(outcome, key=lambda key: (len(set(outcome[key])) == 1, _hash(key[1]))):
        by_benchmark.setdefault(key[0], []).append(key)
    turns = zip_longest(*(by_benchmark[name] for name in sorted(by_benchmark)))
    return [key for key in chain.from_iterable(turns) if key is not None][:count]


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
