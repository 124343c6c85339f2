"""What went wrong or was left out, counted: rows set aside, unreadable and cut answers, flat groups, restarts."""

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from statistics import fmean

from stgrpo.records import SetAside
from stgrpo.report.results import Results, Run

# Paths and quoted values: with them nearly every row has a reason of its own.
_OWN = re.compile(r"\S*/[^\s:,;]*|(?<!\w)'[^']*'(?!\w)|\"[^\"]*\"|“[^”]*”")
_MOST = 20  # reasons of one file of questions


@dataclass(frozen=True)
class Aside:
    """Rows of one file of questions that were set aside for the same reason."""

    questions: str
    reason: str
    rows: int
    example: str


@dataclass(frozen=True)
class Unread:
    """One cell, all its seeds together.

    Attributes:
        unparsed: counted answers without an answer tag, by benchmark.
        cut: share of the training's answers that were cut at the limit of their length; None without a training.
        flat: share of its groups in which all rewards were equal, so that they taught nothing; None likewise.
    """

    cell: str
    unparsed: dict[str, int]
    asked: int
    cut: float | None
    flat: float | None


@dataclass(frozen=True)
class Restart:
    """A training that did not end in its first attempt."""

    run: str
    attempts: list[str]


@dataclass(frozen=True)
class Failures:
    """All of them."""

    aside: list[Aside]
    unread: list[Unread]
    restarts: list[Restart]
    trainings: int

    @property
    def rows_aside(self) -> int:
        """In all files."""
        return sum(aside.rows for aside in self.aside)

    @property
    def unparsed(self) -> int:
        """Of all cells."""
        return sum(sum(unread.unparsed.values()) for unread in self.unread)

    @property
    def asked(self) -> int:
        """Counted answers of all cells."""
        return sum(unread.asked for unread in self.unread)


def failures(results: Results) -> Failures:
    """Counted over all runs of the report."""
    return Failures(
        aside=[aside for name in results.spec.files_of_questions for aside in by_reason(name, results.set_aside(name))],
        unread=[_unread(cell, results.of_cell(cell)) for cell in results.spec.cells],
        restarts=[Restart(run.name, told) for run in results.runs if len(told := _attempts(run)) > 1],
        trainings=len(results.spec.trained),
    )


def by_reason(questions: str, rows: Iterable[SetAside]) -> list[Aside]:
    """Reasons from the most frequent to the rarest, each with its first row; the rarest as one."""
    counts: Counter[str] = Counter()
    first: dict[str, str] = {}
    for row in rows:
        reason = _OWN.sub("…", row.reason)
        counts[reason] += 1
        first.setdefault(reason, row.row)
    every = [Aside(questions, reason, count, first[reason]) for reason, count in counts.most_common()]
    if rest := every[_MOST:]:
        more = Aside(questions, f"{len(rest):,} more reasons", sum(aside.rows for aside in rest), rest[0].example)
        return [*every[:_MOST], more]
    return every


def _unread(cell: str, runs: list[Run]) -> Unread:
    unparsed: Counter[str] = Counter()
    for run in runs:
        for score in run.metrics["scores"]:
            unparsed[score["benchmark"]] += score["unparsed"]
    steps = [row for run in runs for row in run.steps]
    return Unread(
        cell=cell,
        unparsed=dict(unparsed),
        asked=sum(score["n"] for run in runs for score in run.metrics["scores"]),
        cut=fmean(row["cut_answers"] for row in steps) if steps else None,
        flat=fmean(row["flat_groups"] for row in steps) if steps else None,
    )


def _attempts(run: Run) -> list[str]:
    """One line an attempt: where it began, how it ended."""
    attempts = run.train["provenance"]["attempts"] if run.train else []
    return [_told(attempt) for attempt in attempts]


def _told(attempt: dict) -> str:
    who = f"Slurm job {attempt['job']} on {attempt['host']}" if attempt["job"] else f"on {attempt['host']}"
    reason = f" ({attempt['reason']})" if attempt["reason"] else ""
    return f"{who}: from step {attempt['start']} to {attempt['reached']}, {attempt['end']}{reason}"
