"""Rows of a generation batch -> which question, variant and answer each is, its clip, prompt and sampling key."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from stgrpo.config import FrameRule
from stgrpo.policy.clips import Clip, make_clip
from stgrpo.policy.model import Policy
from stgrpo.policy.sampling import key
from stgrpo.prompts import render
from stgrpo.records import Question
from stgrpo.specs import TrainSpec
from stgrpo.variants.draw import Variant, draw_variant
from stgrpo.video import FrameReader


@dataclass(frozen=True, eq=False)
class Row:
    """One answer to be generated: generation `answer` of variant `number` of a question."""

    question: Question
    number: int
    answer: int
    variant: Variant
    clip: Clip
    prompt: list[int]
    key: int


class Rollouts:
    """Lays out the rows of a step. What it makes depends on (seed, step, question, variant, answer) and on no rank."""

    def __init__(
        self,
        spec: TrainSpec,
        policy: Policy,
        questions: Mapping[str, Question],
        scores: Mapping[str, Sequence[float]],
        reader: FrameReader,
    ) -> None:
        self.spec, self.policy = spec, policy
        self.questions, self.scores, self.reader = questions, scores, reader

    def rows(self, ids: Sequence[str], step: int, first: int) -> list[Row]:
        """The rows of one rank's batch.

        Args:
            ids: question ids as TRL's sampler repeats them: M * G times each, a group's rows adjacent.
            step: optimizer steps done.
            first: global position of the first row, since a group may be spread over ranks.
        """
        made: dict[tuple[str, int], tuple[Variant, Clip, list[int]]] = {}
        rows = []
        for position, name in enumerate(ids, first):
            number, answer = divmod(position % self.spec.group, self.spec.generations)
            if (name, number) not in made:
                made[name, number] = self._variant(name, number, step)
            row_key = key("answer", self.spec.seed, step, name, number, answer)
            rows.append(Row(self.questions[name], number, answer, *made[name, number], row_key))
        return rows

    def _variant(self, name: str, number: int, step: int) -> tuple[Variant, Clip, list[int]]:
        question, training = self.questions[name], self.spec.training
        frames = self._frames(question, training.frames)
        rng = np.random.default_rng(key("variant", self.spec.seed, step, name, number))
        variant = draw_variant(self.spec.grouping, training.variant, len(frames), self.scores.get(name), rng)
        clip = make_clip(variant.apply(frames))
        return variant, clip, self.policy.prompt_ids(render(question, self.spec.prompt), clip)

    def _frames(self, question: Question, rule: FrameRule) -> np.ndarray:
        return self.reader.read(question.video, rule)
