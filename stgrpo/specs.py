"""One frozen spec a job: what, and only what, decides its result.

A spec travels from the workflow to the verb as canonical JSON (a rule's param), stands in the results, and its hash
says whether a result belongs to today's configuration. The canonical form leaves out fields that equal their default,
so a field that is added later changes no existing cell.
"""

import json
from functools import cache
from typing import Literal, Self

from pydantic import ValidationError

from stgrpo.config import Cell, Corpus, Evaluation, Experiment, Questions, WarmPolicy, WarmScorer
from stgrpo.errors import UserError
from stgrpo.provenance import digest_of
from stgrpo.rules import Algorithm, Controls, FrameRule, Frozen, Grouping, Selection, Training, first_flaw


class Spec(Frozen):
    """A resolved configuration with a canonical form."""

    def canonical(self) -> str:
        """JSON with sorted keys and without defaults."""
        values = self.model_dump(mode="json", exclude_defaults=True)
        return json.dumps(values, sort_keys=True, separators=(",", ":"))

    def hash(self) -> str:
        """Sixteen hexadecimal digits of the canonical form's SHA-256."""
        return digest_of(self.canonical())

    @classmethod
    def parse(cls, text: str) -> Self:
        """The spec of its canonical form.

        Raises:
            UserError: it is none.
        """
        try:
            return cls.model_validate_json(text)
        except ValidationError as error:
            flaw = first_flaw(error)
            raise UserError(f"--spec: no {cls.__name__} ({flaw}); let the workflow call the verb") from None


class WorldSpec(Spec):
    """One corpus of the demo, by the name of its source."""

    source: str
    corpus: Corpus


class WarmPolicySpec(Spec):
    """The demo's policy before RL, made from nothing but its own world."""

    warm: WarmPolicy
    prompt: str


class WarmScorerSpec(Spec):
    """The demo's frame scorer."""

    warm: WarmScorer


class ModelSpec(Spec):
    """A model that is fetched, by the name of its source; the source's lock says which files those are."""

    source: str


class PrepareSpec(Spec):
    """A file of questions: a corpus from which `count` are drawn, or a whole benchmark."""

    name: str
    frames: FrameRule
    draw: Questions | None = None


class ScoreSpec(Spec):
    """Frame scores of the training questions."""

    scorer: str
    questions: str
    frames: FrameRule


class TrainSpec(Spec, Controls):
    """One training run. `policy`, `questions` and `scores` are names with the hash of what made them."""

    policy: str
    questions: str
    scores: str | None = None
    prompt: str
    seed: int
    algorithm: Algorithm
    grouping: Grouping
    selection: Selection = "weighted"
    variants: int
    generations: int
    steps: int
    training: Training

    @property
    def group(self) -> int:
        """Answers to one question, M * G."""
        return self.variants * self.generations

    @property
    def questions_per_step(self) -> int:
        """Questions of one optimizer step."""
        return self.training.answers_per_step // self.group


class EvalSpec(Spec):
    """One part of a cell's evaluation. `policy` names the weights; `benchmarks` their files of questions.

    Every cell is asked by the same prompt, fetched checkpoints too, whatever they were trained with.
    """

    policy: str
    prompt: str
    max_tokens: int
    frames: FrameRule
    precision: Literal["fp32", "bf16"] = "fp32"
    benchmarks: dict[str, str]


def world_spec(experiment: Experiment, source: str) -> WorldSpec:
    """One rendered corpus of the active scale."""
    assert experiment.active.world is not None  # asked for by rules of the rendered scales only
    return WorldSpec(source=source, corpus=experiment.active.world[source])


def policy_spec(experiment: Experiment) -> WarmPolicySpec | ModelSpec:
    """The policy from which the active scale's cells start: warmed up, or fetched."""
    scale = experiment.active
    if scale.warm is not None:
        return WarmPolicySpec(warm=scale.warm.policy, prompt=scale.prompt)
    assert scale.models is not None
    return model_spec(scale.models.policy)


def scorer_spec(experiment: Experiment) -> WarmScorerSpec | ModelSpec:
    """The frame scorer of the active scale: trained, or fetched."""
    scale = experiment.active
    if scale.warm is not None:
        return WarmScorerSpec(warm=scale.warm.scorer)
    assert scale.models is not None
    return model_spec(scale.models.scorer)


def model_spec(source: str) -> ModelSpec:
    """A model that is fetched."""
    return ModelSpec(source=source)


def prepare_spec(experiment: Experiment, name: str) -> PrepareSpec:
    """The questions called `name`: `train` or a benchmark."""
    scale = experiment.active
    if name == "train":
        return PrepareSpec(name=name, frames=scale.training.frames, draw=scale.questions)
    return PrepareSpec(name=name, frames=scale.evaluation.frames)


@cache
def score_spec(experiment: Experiment) -> ScoreSpec:
    """The importance scores of the active scale's training questions."""
    return ScoreSpec(
        scorer=_named("scorer", scorer_spec(experiment)),
        questions=_source(experiment, "train"),
        frames=experiment.active.training.frames,
    )


@cache
def train_spec(experiment: Experiment, cell: str, seed: int) -> TrainSpec:
    """One training run of the active scale."""
    scale, chosen = experiment.active, experiment.cell(cell)
    return TrainSpec(
        policy=_base(experiment),
        questions=_source(experiment, "train"),
        scores=_named("scores", score_spec(experiment)) if needs_scores(chosen) else None,
        prompt=scale.prompt,
        seed=seed,
        algorithm=chosen.algorithm,
        grouping=chosen.grouping,
        selection=chosen.selection,
        variants=chosen.variants,
        generations=chosen.generations,
        steps=experiment.steps(cell),
        training=scale.training,
        **chosen.model_dump(include=set(Controls.model_fields)),
    )


@cache
def eval_spec(experiment: Experiment, cell: str, seed: int, part: str) -> EvalSpec:
    """One part of the evaluation of a cell."""
    scale = experiment.active
    evaluation: Evaluation = scale.evaluation
    return EvalSpec(
        policy=_weights(experiment, cell, seed),
        prompt=scale.prompt,
        max_tokens=evaluation.max_tokens,
        frames=evaluation.frames,
        precision=evaluation.precision,
        benchmarks={name: _source(experiment, name) for name in evaluation.parts[part]},
    )


def needs_scores(cell: Cell) -> bool:
    """Whether a cell draws frames by importance."""
    return cell.grouping.startswith("importance") and cell.selection != "uniform"


@cache
def _weights(experiment: Experiment, cell: str, seed: int) -> str:
    chosen = experiment.cell(cell)
    if chosen.train:
        return _named(cell, train_spec(experiment, cell, seed))
    return _named(chosen.model, model_spec(chosen.model)) if chosen.model else _base(experiment)


@cache
def _base(experiment: Experiment) -> str:
    models = experiment.active.models
    return _named(models.policy if models else "warm", policy_spec(experiment))


def sources_of(experiment: Experiment, name: str) -> list[str]:
    """The sources that the questions called `name` are made from, first that of the questions themselves."""
    return experiment.active.questions.sources if name == "train" else [experiment.benchmarks[name].source]


@cache
def _source(experiment: Experiment, name: str) -> str:
    source = sources_of(experiment, name)[0]
    origin = world_spec(experiment, source).hash() if experiment.active.world else source
    return f"{name}@{digest_of(origin + prepare_spec(experiment, name).hash())}"


def _named(name: str, spec: Spec) -> str:
    return f"{name}@{spec.hash()}"
