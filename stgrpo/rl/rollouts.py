"""Rows of a generation batch -> which question, variant and answer each is, its clip, prompt and sampling key."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from stgrpo.errors import UserError
from stgrpo.policy.clips import Clip, make_clip
from stgrpo.policy.model import Policy
from stgrpo.policy.sampling import key
from stgrpo.prompts import render
from stgrpo.records import Question
from stgrpo.specs import TrainSpec
from stgrpo.variants.draw import Strategy, Variant, draw_variant
from stgrpo.video import FrameReader


def order_of_questions(ids: Sequence[str], spec: TrainSpec) -> list[str]:
    """The questions of all steps, one after another: the corpus shuffled anew for every pass over it.

    They stand in one list because TRL's sampler, which would shuffle from pass to pass, begins with the order of the
    first pass when a training is resumed in a later one. A pass ends when it cannot fill a further step.

    Raises:
        UserError: there are fewer questions than a step takes.
    """
    steps_of_a_pass = len(ids) // spec.questions_per_step
    if steps_of_a_pass == 0:
        raise UserError(f"{len(ids)} training questions, but a step takes {spec.questions_per_step}; raise their count")
    generator, order = torch.Generator().manual_seed(spec.seed), []
    while len(order) < spec.steps * spec.questions_per_step:
        shuffled = torch.randperm(len(ids), generator=generator).tolist()
        order += [ids[i] for i in shuffled[: steps_of_a_pass * spec.questions_per_step]]
    return order[: spec.steps * spec.questions_per_step]


@dataclass(frozen=True, eq=False)
class Row:
    """One answer to be generated: generation `answer` of variant `number` of a question.

    It is sampled from `clip` and `prompt`, and judged by policy and reference on `judged_clip` and `judged_prompt`:
    the same, unless the cell's condition is the original video.
    """

    question: Question
    number: int
    answer: int
    variant: Variant
    clip: Clip
    prompt: list[int]
    judged_clip: Clip
    judged_prompt: list[int]
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
        self.strategy = Strategy(
            spec.grouping, spec.selection, spec.variants, spec.training.variant, spec.score_temperature, spec.identity
        )

    def rows(self, ids: Sequence[str], step: int, first: int) -> list[Row]:
        """The rows of one rank's batch.

        Args:
            ids: question ids as TRL's sampler repeats them: M * G times each, a group's rows adjacent.
            step: optimizer steps done.
            first: global position of the first row, since a group may be spread over ranks.
        """
        made: dict[tuple[str, int], tuple[Variant, Clip, list[int]]] = {}
        frames = {name: self._frames(name) for name in dict.fromkeys(ids)}
        judged = (
            {name: self._shown(name, clip) for name, clip in frames.items()}
            if self.spec.condition == "original"
            else {}
        )
        rows = []
        for position, name in enumerate(ids, first):
            number, answer = divmod(position % self.spec.group, self.spec.generations)
            if (name, number) not in made:
                made[name, number] = self._variant(name, frames[name], number, step)
            variant, clip, prompt = made[name, number]
            row_key = key("answer", self.spec.seed, step, name, number, answer)
            on = judged.get(name, (clip, prompt))
            rows.append(Row(self.questions[name], number, answer, variant, clip, prompt, *on, row_key))
        return rows

    def _frames(self, name: str) -> np.ndarray:
        return self.reader.read(self.questions[name].video, self.spec.training.frames)

    def _variant(self, name: str, frames: np.ndarray, number: int, step: int) -> tuple[Variant, Clip, list[int]]:
        rng = np.random.default_rng(key("variant", self.spec.seed, step, name, number))
        variant = draw_variant(self.strategy, number, len(frames), self.scores.get(name), rng)
        return variant, *self._shown(name, variant.apply(frames))

    def _shown(self, name: str, frames: np.ndarray) -> tuple[Clip, list[int]]:
        """A question about (K, H, W, 3) frames; the prompt is as long as they are many."""
        clip = make_clip(frames)
        return clip, self.policy.prompt_ids(render(self.questions[name], self.spec.prompt), clip)
