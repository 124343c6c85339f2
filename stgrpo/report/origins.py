"""Where the numbers of a report come from: every distinct commit, image, package and device, and the specs a run."""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from stgrpo.report.results import Results, Run

_NAMES = ("commit", "image", "device", "python", "packages", "host", "data")


@dataclass(frozen=True)
class Origin:
    """One value that results were made with, and by how many of their parts (trainings, gradings, ...)."""

    name: str
    value: str
    parts: int


@dataclass(frozen=True)
class Made:
    """The hashes of one run: TrainSpec and weights, empty without a training; EvalSpecs."""

    run: str
    trained: str
    weights: str
    evaluated: str


@dataclass(frozen=True)
class Origins:
    """All of it; `dirty` parts were made by code that differs from its commit."""

    distinct: list[Origin]
    runs: list[Made]
    dirty: int


def origins(results: Results) -> Origins:
    """Of every training, evaluation and grading, of questions, frame scores and rendered scales' start models."""
    found: dict[tuple[str, str], int] = defaultdict(int)
    dirty = 0
    for block in _blocks(results):
        dirty += bool(block["dirty"])
        for name, value in _values(block):
            found[name, value] += 1
    order = sorted(found, key=lambda key: (_NAMES.index(key[0]), -found[key], key[1]))
    return Origins([Origin(*key, found[key]) for key in order], [_made(run) for run in results.runs], dirty)


def _blocks(results: Results) -> Iterator[Mapping[str, Any]]:
    for run in results.runs:
        if run.train:
            yield run.train["provenance"]
        yield from run.metrics["evaluations"].values()
        yield run.metrics["provenance"]
    for name in results.spec.files_of_questions:
        yield results.origin_of_questions(name)
    yield from results.origins()


def _values(block: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    yield "commit", (block["commit"] or "unknown") + (" with changes" if block["dirty"] else "")
    if block["image"]:
        yield "image", block["image"]["sha256"] or block["image"]["path"]
    if block.get("device"):
        yield "device", block["device"]
    yield "python", block["python"]
    yield "packages", ", ".join(f"{name} {version}" for name, version in block["packages"].items())
    yield "host", block["host"]
    for source, digest in block.get("data", {}).items():
        yield "data", f"{source} {digest}"


def _made(run: Run) -> Made:
    weights = " ".join(digest[:16] for digest in run.train["weights"].values()) if run.train else ""
    trained = run.train["provenance"]["spec"] if run.train else ""
    return Made(run.name, trained, weights, run.metrics["provenance"]["spec"].replace(",", " "))
