"""One cell and seed: its training's spec and weights, its answers, and its scores graded again."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stgrpo.benchmarks.grading import grade, scores
from stgrpo.files import read_json, read_records, read_rows
from stgrpo.records import Graded, Prediction, Question, Score
from stgrpo.specs import EvalSpec, TrainSpec
from stgrpo.verification.blocks import Mismatch, check_spec

_EQUAL = 1e-9  # numbers of one value, computed on two machines


def check_run(folder: Path) -> Iterator[Mismatch]:
    """All that the folder of a cell and seed says of itself."""
    trained = folder / "train.json"
    if trained.exists():
        yield from _training(folder, read_json(trained))
    elif (folder / "model").exists():
        yield Mismatch(trained, "is gone, its weights are there")
    origins = sorted((folder / "eval").glob("*.provenance.json"))
    for path in origins:
        yield from _evaluation(folder, path, read_json(path))
    metrics = folder / "metrics.json"
    if metrics.exists():
        yield from _copies(folder, metrics, read_json(metrics), origins)


@dataclass(frozen=True)
class Regraded:
    """What the predictions of a cell and seed are worth."""

    graded: list[Graded]
    scores: list[Score]


def regrade(folder: Path) -> Regraded:
    """Grade them again.

    Raises:
        UserError: predictions and questions do not match.
    """
    evaluations = _evaluations(folder)
    names = [name for block in evaluations.values() for name in block["resolved"]["benchmarks"]]
    questions = {name: read_records(folder.parents[2] / "questions" / f"{name}.jsonl", Question) for name in names}
    predictions = [p for part in evaluations for p in read_records(folder / "eval" / f"{part}.jsonl", Prediction)]
    graded = grade(questions, predictions, frozenset(block["spec"] for block in evaluations.values()))
    return Regraded(graded, scores(questions, predictions, graded))


def check_scores(folder: Path, again: Regraded) -> Iterator[Mismatch]:
    """That credits and scores are those of the predictions."""
    yield from _credits(folder / "graded.jsonl", again.graded)
    path = folder / "metrics.json"
    said = {score["benchmark"]: score for score in read_json(path)["scores"]}
    if odd := said.keys() ^ {score.benchmark for score in again.scores}:
        yield Mismatch(path, f"scores and answers are not on the same benchmarks: {', '.join(sorted(odd))}")
    for score in again.scores:
        for name, value in score.to_row().items():
            if not _same(found := said.get(score.benchmark, {}).get(name), value):
                yield Mismatch(path, f"{score.benchmark}: {name} is {found}, from the predictions it is {value}")


def _training(folder: Path, made: Mapping[str, Any]) -> Iterator[Mismatch]:
    path, block = folder / "train.json", made["provenance"]
    yield from check_spec(path, TrainSpec, made["spec"], block["spec"])
    for where, seed in (("its spec", made["spec"]["seed"]), ("its provenance", block["seed"])):
        if seed != _seed(folder):
            yield Mismatch(path, f"stands in {folder.name}, {where} says seed {seed}")
    if read_json(folder / "model" / "made_by.json") != made:
        yield Mismatch(folder / "model" / "made_by.json", "says something else than train.json")
    steps = [row.get("step") for row in read_rows(folder / "train.jsonl")]
    if steps != list(range(1, made["spec"]["steps"] + 1)):
        yield Mismatch(folder / "train.jsonl", f"does not hold steps 1 to {made['spec']['steps']}, one a line")
    yield from _origin(path, made["spec"]["policy"], folder.parents[2] / "policy")


def _evaluation(folder: Path, path: Path, block: Mapping[str, Any]) -> Iterator[Mismatch]:
    yield from check_spec(path, EvalSpec, block["resolved"], block["spec"])
    predictions = path.with_name(path.name.replace(".provenance.json", ".jsonl"))
    if strange := {p.spec for p in read_records(predictions, Prediction)} - {block["spec"]}:
        yield Mismatch(predictions, f"answers by spec {', '.join(sorted(strange))}, {path.name} says {block['spec']}")
    policy: str = block["resolved"]["policy"]
    if (folder / "train.json").exists():
        own = f"{folder.parent.name}@{read_json(folder / 'train.json')['provenance']['spec']}"
        if policy != own:
            yield Mismatch(path, f"answers of {policy} stand in the folder of {own}")
        if block["seed"] != _seed(folder):
            yield Mismatch(path, f"stands in {folder.name}, says seed {block['seed']}")
    else:
        models = folder.parents[2] / "models" / policy.partition("@")[0]
        yield from _origin(path, policy, models if models.exists() else folder.parents[2] / "policy")


def _copies(folder: Path, path: Path, metrics: Mapping[str, Any], origins: list[Path]) -> Iterator[Mismatch]:
    if (metrics["cell"], metrics["seed"]) != (folder.parent.name, _seed(folder)):
        yield Mismatch(path, f"is of {metrics['cell']} seed {metrics['seed']}, stands in {folder}")
    trained = folder / "train.json"
    if trained.exists() and metrics["weights"] != (block := read_json(trained)["provenance"]):
        yield Mismatch(path, f"is not of the weights of train.json{_where(metrics['weights'], block)}")
    for origin, (part, block) in zip(origins, _evaluations(folder).items(), strict=True):
        if (copy := metrics["evaluations"].get(part)) != block:
            yield Mismatch(origin, f"is not what metrics.json has copied{_where(copy, block)}")


def _evaluations(folder: Path) -> dict[str, dict[str, Any]]:
    """Provenance by part."""
    origins = sorted((folder / "eval").glob("*.provenance.json"))
    return {origin.name.removesuffix(".provenance.json"): read_json(origin) for origin in origins}


def _credits(path: Path, graded: list[Graded]) -> Iterator[Mismatch]:
    said = read_records(path, Graded)
    if len(said) != len(graded):
        yield Mismatch(path, f"{len(said)} lines, {len(graded)} predictions")
    for number, (found, again) in enumerate(zip(said, graded, strict=False), 1):
        if not _same(found.to_row(), again.to_row()):
            yield Mismatch(path, f"line {number} is not what the prediction is worth: credit {again.credit:g}")
            return


def _origin(path: Path, named: str, model: Path) -> Iterator[Mismatch]:
    """That a model is the one ("name@hash") that a spec names."""
    made = read_json(model / "made_by.json")["provenance"]["spec"]
    if made != named.partition("@")[2]:
        yield Mismatch(path, f"is of {named}, {model} is of {made}")


def _where(one: Mapping[str, Any] | None, other: Mapping[str, Any]) -> str:
    """Which fields of two blocks differ."""
    differing = [name for name in other if (one or {}).get(name) != other[name]]
    return f" ({', '.join(differing)})" if differing else ""


def _seed(folder: Path) -> int:
    return int(folder.name.removeprefix("seed"))


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, float) and isinstance(other, float):
        return math.isclose(one, other, rel_tol=_EQUAL, abs_tol=_EQUAL)
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        return one.keys() == other.keys() and all(_same(one[name], other[name]) for name in one)
    return one == other
