"""One cell and seed: its training's spec and weights, its answers, and its scores graded again."""

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stgrpo.benchmarks.grading import grade, scores
from stgrpo.files import read_json, read_records
from stgrpo.records import Graded, Prediction, Question, Score
from stgrpo.specs import EvalSpec
from stgrpo.verification.blocks import ENDING, MADE_BY, Block, weights_of
from stgrpo.verification.places import Blocks, check_inputs, check_origin, check_questions, check_spec, named
from stgrpo.verification.tree import Mismatch

_EQUAL = 1e-9  # numbers of one value, computed on two machines


def run_folders(scale: Path) -> list[Path]:
    """Folders of a cell and seed, or what stands in their place."""
    return sorted(folder for folder in scale.glob("cells/*/*") if folder.is_dir())


def check_run(folder: Path, blocks: Blocks) -> Iterator[Mismatch]:
    """Whether a run is finished, and what its scores say that they are of."""
    if not re.fullmatch("seed[0-9]+", folder.name):
        yield Mismatch(folder, "is no folder of a seed")
        return
    scale, place = folder.parents[2], folder.relative_to(folder.parents[2]).parts
    metrics, trained = blocks.get((*place, "metrics.json")), blocks.get((*place, "train.json"))
    if metrics is None and not (folder / "metrics.json").exists():
        what = [name for name in ("eval", "model") if (folder / name).exists()]
        if what or not any(folder.iterdir()):
            yield Mismatch(folder, f"is unfinished: {' and '.join(what) or 'nothing'}, but no metrics.json")
    if trained is None and not (folder / "train.json").exists() and (folder / "model").exists():
        yield Mismatch(folder / "train.json", "is gone, its weights are there")
    if metrics is None:
        return
    found, evaluations = metrics.around, evaluations_of(folder, blocks)
    if (found["cell"], found["seed"]) != (folder.parent.name, _seed(folder)):
        yield Mismatch(metrics.path, f"is of {found['cell']} seed {found['seed']}, stands in {folder}")
    if set(found["evaluations"]) != set(evaluations):
        yield Mismatch(metrics.path, f"is of evaluations {', '.join(found['evaluations'])}, there are others")
    for part, one in evaluations.items():
        if (copy := found["evaluations"].get(part)) != one.block:
            yield Mismatch(one.path, f"is not what metrics.json has copied{_where(copy, one.block)}")
    if set(metrics.block["spec"].split(",")) != {one.block["spec"] for one in evaluations.values()}:
        yield Mismatch(metrics.path, f"its provenance says spec {metrics.block['spec']}, its answers are of another")
    if metrics.block["seed"] != _seed(folder):
        yield Mismatch(metrics.path, f"stands in {folder.name}, says seed {metrics.block['seed']}")
    weights = trained or next((_policy(one, blocks) for one in evaluations.values()), None)
    if weights and found["weights"] != weights.block:
        yield Mismatch(
            metrics.path, f"is not of the weights of {weights.path}{_where(found['weights'], weights.block)}"
        )
    asked = {name for one in evaluations.values() for name in one.block["resolved"]["benchmarks"]}
    made_from = [folder / "eval" / f"{part}.jsonl" for part in evaluations]
    made_from += [scale / "questions" / f"{name}.jsonl" for name in asked]
    yield from check_inputs(metrics, [named(path, scale) for path in made_from])


def check_evaluation(one: Block, blocks: Blocks) -> Iterator[Mismatch]:
    """One part of a run's answers: its spec, who answered, and to what."""
    folder = one.path.parent.parent
    spec = yield from check_spec(one, EvalSpec, one.block.get("resolved"))
    predictions = one.path.with_name(one.path.name.replace(ENDING, ".jsonl"))
    if strange := {p.spec for p in read_records(predictions, Prediction)} - {one.block["spec"]}:
        yield Mismatch(predictions, f"answers by {', '.join(sorted(strange))}, {one.path.name} by {one.block['spec']}")
    trained = blocks.get((*one.place[:3], "train.json"))
    if trained:
        own = f"{folder.parent.name}@{trained.block['spec']}"
        if spec.policy != own:
            yield Mismatch(one.path, f"answers of {spec.policy} stand in the folder of {own}")
        if one.block["seed"] != _seed(folder):
            yield Mismatch(one.path, f"stands in {folder.name}, says seed {one.block['seed']}")
        model = folder / "model"
    else:
        policy = _policy(one, blocks)
        yield from check_origin(one, spec.policy, blocks, *_place_of(spec.policy, blocks))
        if policy and one.block["seed"] != policy.block["seed"]:
            yield Mismatch(one.path, f"says seed {one.block['seed']}, {policy.path} says {policy.block['seed']}")
        model = one.scale.joinpath(*_place_of(spec.policy, blocks)).parent
    for name in spec.benchmarks.values():
        yield from check_questions(one, name, blocks)
    wanted = [one.scale / "questions" / f"{name}.jsonl" for name in spec.benchmarks] + weights_of(model)
    yield from check_inputs(one, [named(path, one.scale) for path in wanted], more=True)


@dataclass(frozen=True)
class GradedAgain:
    """What the predictions of a cell and seed are worth."""

    graded: list[Graded]
    scores: list[Score]


def regrade(folder: Path, blocks: Blocks) -> GradedAgain:
    """Grade them again.

    Raises:
        UserError: predictions and questions do not match.
    """
    evaluations = evaluations_of(folder, blocks)
    names = [name for one in evaluations.values() for name in one.block["resolved"]["benchmarks"]]
    questions = {name: read_records(folder.parents[2] / "questions" / f"{name}.jsonl", Question) for name in names}
    predictions = [p for part in evaluations for p in read_records(folder / "eval" / f"{part}.jsonl", Prediction)]
    graded = grade(questions, predictions, frozenset(one.block["spec"] for one in evaluations.values()))
    return GradedAgain(graded, scores(questions, predictions, graded))


def check_scores(folder: Path, again: GradedAgain) -> Iterator[Mismatch]:
    """That credits and scores are those of the predictions."""
    yield from _credits(folder / "graded.jsonl", again.graded)
    path = folder / "metrics.json"
    said = {score["benchmark"]: score for score in read_json(path)["scores"]}
    if odd := said.keys() ^ {score.benchmark for score in again.scores}:
        yield Mismatch(path, f"scores and answers are not on the same benchmarks: {', '.join(sorted(odd))}")
    for score in again.scores:
        for name, value in score.to_row().items():
            if not same(found := said.get(score.benchmark, {}).get(name), value):
                yield Mismatch(path, f"{score.benchmark}: {name} is {found}, from the predictions it is {value}")


def evaluations_of(folder: Path, blocks: Blocks) -> dict[str, Block]:
    """Provenance of the answers of a run, by part."""
    place = (*folder.relative_to(folder.parents[2]).parts, "eval")
    return {p[-1].removesuffix(ENDING): one for p, one in sorted(blocks.items()) if p[:-1] == place}


def same(one: Any, other: Any) -> bool:
    """Whether two values are the same, numbers but for the last digits."""
    if isinstance(one, float) and isinstance(other, float):
        return math.isclose(one, other, rel_tol=_EQUAL, abs_tol=_EQUAL)
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        return one.keys() == other.keys() and all(same(one[name], other[name]) for name in one)
    return one == other


def _policy(evaluation: Block, blocks: Blocks) -> Block | None:
    """Provenance of the weights that answered in a run that trains none."""
    return blocks.get(_place_of(evaluation.block["resolved"]["policy"], blocks))


def _place_of(policy: str, blocks: Blocks) -> tuple[str, ...]:
    fetched = ("models", policy.partition("@")[0], MADE_BY)
    return fetched if fetched in blocks else ("policy", MADE_BY)


def _credits(path: Path, graded: list[Graded]) -> Iterator[Mismatch]:
    """Question by question: the benchmarks' order is the configuration's, which the answers do not say."""
    said, again = ({(g.benchmark, g.question): g for g in found} for found in (read_records(path, Graded), graded))
    if said.keys() != again.keys() or len(said) != len(read_records(path, Graded)):
        yield Mismatch(path, "is not one line a prediction")
        return
    for key, one in again.items():
        if not same(said[key].to_row(), one.to_row()):
            yield Mismatch(path, f"{one.question} is not what the prediction is worth: credit {one.credit:g}")
            return


def _where(one: Any, other: Mapping[str, Any]) -> str:
    """Which fields of two blocks differ."""
    differing = [name for name in other if not isinstance(one, Mapping) or one.get(name) != other[name]]
    return f" ({', '.join(differing)})" if differing else ""


def _seed(folder: Path) -> int:
    return int(folder.name.removeprefix("seed"))
