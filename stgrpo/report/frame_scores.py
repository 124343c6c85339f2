"""Importance of the frames of some training videos, and which frames the variants of a logged step took."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

from stgrpo.records import Question, Rollout
from stgrpo.report.frames import thumbnails
from stgrpo.report.results import Results
from stgrpo.video import FrameReader


@dataclass(frozen=True)
class Taken:
    """One variant: of each frame whether it took it, whether its picture was changed, how its answers fared."""

    frames: list[bool]
    spatial: bool
    right: float
    answers: int


@dataclass(frozen=True)
class Scored:
    """A question with the scores of its video's frames; `heights` are these from 0, the least, to 1, the largest."""

    question: Question
    step: int
    frames: list[str]
    scores: Sequence[float]
    variants: list[Taken]

    @property
    def heights(self) -> list[float]:
        """Equal scores are all in the middle."""
        least, most = min(self.scores), max(self.scores)
        return [(score - least) / (most - least) if most > least else 0.5 for score in self.scores]


@dataclass(frozen=True)
class FrameScores:
    """The videos of a cell that are shown."""

    cell: str
    seed: int
    videos: list[Scored]


def frame_scores(results: Results) -> FrameScores | None:
    """Of the cell that the report's spec picks, with its first seed; None without one.

    Its questions are those with logged answers whose id has the least hash, each with its first logged step.
    """
    if (cell := results.spec.drawn_cell) is None:
        return None
    run = results.of_cell(cell)[0]
    ids = {rollout.question for rollout in run.rollouts}
    picked = sorted(ids, key=lambda id: hashlib.sha256(id.encode()).hexdigest())[: results.spec.videos]
    scores, questions = results.scores(picked), results.questions("train", picked)
    videos = []
    with FrameReader() as reader:
        for id in picked:
            of_question = [rollout for rollout in run.rollouts if rollout.question == id]
            step = of_question[0].step
            first = [rollout for rollout in of_question if rollout.step == step]
            frames = thumbnails(reader, questions[id].video, results.spec.frames)
            videos.append(Scored(questions[id], step, frames, scores[id], taken(first, len(scores[id]))))
    return FrameScores(run.cell, run.seed, videos)


def taken(rollouts: list[Rollout], frames: int) -> list[Taken]:
    """The variants of one question at one step, from the rows of their answers."""
    found = []
    for _, rows in groupby(sorted(rollouts, key=lambda rollout: rollout.variant), lambda rollout: rollout.variant):
        answers = list(rows)
        chosen = set(answers[0].frames)
        right = sum(answer.rewards["accuracy"] for answer in answers)
        marks = [number in chosen for number in range(frames)]
        found.append(Taken(marks, answers[0].spatial, right, len(answers)))
    return found
