"""What the cells of a scale have left, read for the report; answers and rollouts only where they are asked for."""

import csv
import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from stgrpo.errors import UserError
from stgrpo.files import read_json, read_records, read_rows
from stgrpo.importance.scores import read_scores
from stgrpo.records import Graded, Group, Prediction, Question, Rollout, SetAside
from stgrpo.report.report_spec import ReportSpec


@dataclass(frozen=True)
class Run:
    """One cell with one seed.

    Attributes:
        metrics: metrics.json.
        train: train.json; None for weights that are examined as they are.
        steps: rows of train.jsonl, none without a training.
        timing: Snakemake's measurements of the jobs that left one, by "train" and "evaluate-<part>".
    """

    cell: str
    seed: int
    folder: Path
    metrics: Mapping[str, Any]
    train: Mapping[str, Any] | None
    steps: list[dict[str, Any]]
    timing: Mapping[str, Mapping[str, float]]

    @property
    def name(self) -> str:
        """As specs name it."""
        return f"{self.cell}/seed{self.seed}"

    @cached_property
    def graded(self) -> list[Graded]:
        """Every question with what its answer is worth."""
        return read_records(self.folder / "graded.jsonl", Graded)

    @cached_property
    def groups(self) -> list[Group]:
        """The numbers of every group of every step."""
        return read_records(self.folder / "groups.jsonl", Group) if self.train else []

    @cached_property
    def rollouts(self) -> list[Rollout]:
        """The answers of some steps."""
        return read_records(self.folder / "rollouts.jsonl", Rollout) if self.train else []


@dataclass(frozen=True)
class Results:
    """The folder of a scale's results."""

    spec: ReportSpec
    folder: Path
    runs: list[Run]

    def of_cell(self, cell: str) -> list[Run]:
        """Its runs, one a seed."""
        return [run for run in self.runs if run.cell == cell]

    def questions(self, name: str, ids: Collection[str]) -> dict[str, Question]:
        """Those of `train` or a benchmark that are asked for, by id."""
        found = read_records(self.folder / "questions" / f"{name}.jsonl", Question)
        return {question.id: question for question in found if question.id in ids}

    def set_aside(self, name: str) -> list[SetAside]:
        """The rows of `train` or a benchmark that were not used."""
        with (self.folder / "questions" / f"{name}.aside.csv").open(newline="", encoding="utf-8") as lines:
            return [SetAside(line["row"], line["reason"]) for line in csv.DictReader(lines)]

    def origin_of_questions(self, name: str) -> Mapping[str, Any]:
        """The provenance of `train` or a benchmark."""
        return read_json(self.folder / "questions" / f"{name}.provenance.json")

    def origins(self) -> list[Mapping[str, Any]]:
        """The provenance of the frame scores and of the models that trainings begin with."""
        found = [read_json(self.folder / name) for name in self.spec.origins]
        return [one.get("provenance", one) for one in found]

    def texts(self, run: Run, questions: Collection[tuple[str, str]]) -> dict[tuple[str, str], str]:
        """What a run answered to some (benchmark, question)s; all of it is more than memory should hold for long."""
        parts = (read_records(run.folder / "eval" / f"{part}.jsonl", Prediction) for part in self.spec.parts)
        asked = (((one.benchmark, one.question), one.text) for part in parts for one in part)
        return {key: text for key, text in asked if key in questions}

    def scores(self, questions: Collection[str]) -> dict[str, tuple[float, ...]]:
        """The importance of every candidate frame for some training questions, by id."""
        return read_scores(self.folder / "scores" / "train.parquet", questions)


def read_results(spec: ReportSpec, folder: Path) -> Results:
    """All runs of a report.

    Raises:
        UserError: a file is missing, or was made by another spec than the configuration asks for.
    """
    return Results(spec, folder, [_run(spec, folder, name) for name in spec.evaluated])


def _run(spec: ReportSpec, results: Path, name: str) -> Run:
    cell, seed = name.split("/seed")
    folder = results / "cells" / name
    metrics = read_json(folder / "metrics.json", "scores", "provenance.spec")
    _check(folder / "metrics.json", metrics, spec.evaluated[name], "evaluate")
    train, steps = None, []
    if name in spec.trained:
        train = read_json(folder / "train.json", "spec", "provenance.spec")
        _check(folder / "train.json", train, spec.trained[name], "train")
        steps = read_rows(folder / "train.jsonl")
    timing = {path.stem: measured for path in sorted(folder.glob("timing/*.tsv")) if (measured := _timing(path))}
    return Run(cell, int(seed), folder, metrics, train, steps, timing)


def _check(path: Path, found: Mapping[str, Any], wanted: str, rule: str) -> None:
    if (made := found["provenance"]["spec"]) != wanted:
        raise UserError(
            f"{path}: made by spec {made}, the configuration asks for {wanted}; make it again "
            f"(snakemake TARGET -R {rule})"
        )


def _timing(path: Path) -> dict[str, float]:
    """Seconds, MiB and the like by Snakemake's names; what it could not measure of a short job is left out."""
    with path.open(newline="", encoding="utf-8") as lines:
        for row in csv.DictReader(lines, delimiter="\t"):
            return {name: number for name, text in row.items() if (number := _number(text)) is not None}
    return {}


def _number(text: str | None) -> float | None:
    try:
        number = float(text or "")  # a row cut short has no text for its last names
    except ValueError:
        return None
    return number if math.isfinite(number) else None
