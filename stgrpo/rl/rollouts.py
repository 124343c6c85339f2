"""Rows of a generation batch -> which question, variant and answer each is, its clip, prompt and sampling key."""

from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
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


@dataclass(frozen=True, eq=False)
class Shown:
    """The clips of one question in one step: of its variants, by number, and the one that judges if it is another."""

    variants: Mapping[int, tuple[Variant, Clip]]
    judged: Clip | None


class Rollouts:
    """Lays out the rows of a step. What it makes depends on (seed, step, question, variant, answer) and on no rank.

    While a step is trained, the next one's videos are decoded and its variants made in a thread of their own.
    """

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
        self.order = order_of_questions(list(questions), spec)
        self.strategy = Strategy(
            spec.grouping, spec.selection, spec.variants, spec.training.variant, spec.score_temperature, spec.identity
        )
        self._thread = ThreadPoolExecutor(1, "videos")  # one: the reader is no two threads'
        self._coming: dict[tuple[int, str, tuple[int, ...]], Future[Shown]] = {}

    def close(self) -> None:
        """Let go of what would be needed next."""
        self._thread.shutdown(cancel_futures=True)

    def rows(self, ids: Sequence[str], step: int, first: int) -> list[Row]:
        """The rows of one rank's batch.

        Args:
            ids: question ids as TRL's sampler repeats them: M * G times each, a group's rows adjacent.
            step: optimizer steps done.
            first: global position of the first row, since a group may be spread over ranks.
        """
        wanted = self._wanted(ids, step, first)
        asked = {key: self._coming.pop(key, None) or self._thread.submit(self._show, *key) for key in wanted}
        shown = {name: future.result() for (_, name, _), future in asked.items()}
        self._look_ahead(len(ids), step + 1, first)
        prompts: dict[Clip, list[int]] = {}
        rows = []
        for position, name in enumerate(ids, first):
            number, answer = divmod(position % self.spec.group, self.spec.generations)
            variant, clip = shown[name].variants[number]
            judged = shown[name].judged or clip
            for seen in (clip, judged):  # a prompt is as long as its clip has frames
                if seen not in prompts:
                    prompts[seen] = self.policy.prompt_ids(render(self.questions[name], self.spec.prompt), seen)
            row_key = key("answer", self.spec.seed, step, name, number, answer)
            rows.append(
                Row(
                    self.questions[name], number, answer, variant, clip, prompts[clip], judged, prompts[judged], row_key
                )
            )
        return rows

    def _wanted(self, ids: Sequence[str], step: int, first: int) -> list[tuple[int, str, tuple[int, ...]]]:
        """Step, question and numbers of its variants, of every question that has rows among these."""
        numbers: dict[str, dict[int, None]] = {}
        for position, name in enumerate(ids, first):
            numbers.setdefault(name, {})[position % self.spec.group // self.spec.generations] = None
        return [(step, name, tuple(found)) for name, found in numbers.items()]

    def _look_ahead(self, count: int, step: int, first: int) -> None:
        """Begin with the rows of this rank in the next step, if there is one."""
        if step >= self.spec.steps:
            return
        start = step * self.spec.questions_per_step
        ids = [self.order[start + position // self.spec.group] for position in range(first, first + count)]
        self._coming = {key: self._thread.submit(self._show, *key) for key in self._wanted(ids, step, first)}

    def _show(self, step: int, name: str, numbers: Sequence[int]) -> Shown:
        """Everything about a question that takes its video."""
        frames = self.reader.read(self.questions[name].video, self.spec.training.frames)
        judged = make_clip(frames) if self.spec.condition == "original" else None
        return Shown({number: self._variant(name, frames, number, step) for number in numbers}, judged)

    def _variant(self, name: str, frames: np.ndarray, number: int, step: int) -> tuple[Variant, Clip]:
        rng = np.random.default_rng(key("variant", self.spec.seed, step, name, number))
        scores = self.scores.get(name)
        if scores is not None and len(scores) != len(frames):
            raise UserError(
                f"{self.questions[name].video}: {len(frames)} frames, but question '{name}' has {len(scores)} frame "
                "scores; score again (snakemake TARGET -R score)"
            )
        variant = draw_variant(self.strategy, number, len(frames), scores, rng)
        return variant, make_clip(variant.apply(frames))
