"""A folder of results as the cells of a scale leave it, with texts of one's choice: what the report is made from."""

import csv
import json
from pathlib import Path
from typing import Any

import pandas

from stgrpo.config import METRICS, Experiment
from stgrpo.demo import mp4, world
from stgrpo.files import write_json
from stgrpo.records import Graded, Group, Prediction, Question, Rollout
from stgrpo.report.report_spec import ReportSpec, report_spec
from stgrpo.specs import train_spec

STEPS, PER_BENCHMARK = 3, 4


def write_results(experiment: Experiment, folder: Path, texts: list[str]) -> ReportSpec:
    """All that `stgrpo report` reads, and its spec.

    Args:
        experiment: at the scale of the report.
        folder: of the scale's results.
        texts: these stand wherever the data of a run may hold free text, one after another.
    """
    spec, video = report_spec(experiment), folder / "video.mp4"
    folder.mkdir(parents=True)
    mp4.write(video, world.scene(0, seed=5).frames, world.FPS)
    said = _endless(texts)
    for name in ["train", *spec.benchmarks]:
        questions = [_question(f"{name}-{i}", video, said) for i in range(PER_BENCHMARK)]
        write_lines(folder / "questions" / f"{name}.jsonl", questions)
        write_json(folder / "questions" / f"{name}.provenance.json", _provenance("0" * 16))
        with (folder / "questions" / f"{name}.aside.csv").open(
            "w", newline="", encoding="utf-8", errors="replace"
        ) as out:
            csv.writer(out).writerows([("row", "reason"), *((next(said)[:2000], next(said)[:2000]) for _ in range(3))])
    scores = {"question": [f"train-{i}" for i in range(PER_BENCHMARK)]}
    (folder / "scores").mkdir(parents=True)
    pandas.DataFrame({**scores, "scores": [[0.05 * i for i in range(world.FRAMES)]] * PER_BENCHMARK}).to_parquet(
        folder / "scores" / "train.parquet"
    )
    for name in spec.origins:
        block = _provenance("0" * 16)
        write_json(folder / name, block if name.startswith("scores") else {"provenance": block})
    for number, (name, made) in enumerate(spec.evaluated.items()):
        _evaluated(spec, folder / "cells" / name, made, number, said)
        if name in spec.trained:
            cell, seed = name.split("/seed")
            resolved = train_spec(experiment, cell, int(seed)).model_dump(mode="json")
            _trained(folder / "cells" / name, resolved, spec.trained[name], number, said)
    return spec


def _endless(texts: list[str]) -> Any:
    while True:
        yield from texts


def _question(name: str, video: Path, said: Any) -> Question:
    options = tuple(f"{letter}. {next(said)}"[:500] for letter in "AB")
    return Question(name, str(video), next(said)[:3000], options, "multiple choice", "A", "test")


def _evaluated(spec: ReportSpec, run: Path, made: str, number: int, said: Any) -> None:
    graded, predictions = [], []
    for name in spec.benchmarks:
        for i in range(PER_BENCHMARK):
            credit, text = float((number + i) % 3 == 0), next(said)
            graded.append(Graded(name, f"{name}-{i}", f"video{i % 3}", "", 1 / PER_BENCHMARK, credit, text))
            predictions.append(Prediction(name, f"{name}-{i}", text, made))
    write_lines(run / "graded.jsonl", graded)
    for place, part in enumerate(spec.parts):
        write_lines(run / "eval" / f"{part}.jsonl", predictions[place :: len(spec.parts)])
    scores = [{"benchmark": name, "n": PER_BENCHMARK, "unparsed": number} for name in spec.benchmarks]
    block = _provenance(made)
    evaluations = dict.fromkeys(spec.parts, block)
    write_json(
        run / "metrics.json", {"scores": scores, "evaluations": evaluations, "weights": block, "provenance": block}
    )


def _trained(run: Path, spec: dict[str, Any], made: str, number: int, said: Any) -> None:
    attempt = {"job": None, "host": next(said)[:200], "start": 0, "end": "died", "reached": 2}
    attempts = [attempt | {"reason": next(said)[:900]}, attempt | {"reason": None, "end": "finished"}]
    block = _provenance(made) | {"device": "cpu", "runtime": {"nodes": 1, "processes": 1}, "attempts": attempts}
    told = {"spec": spec, "weights": {"model.safetensors": "a" * 64}, "provenance": block}
    (run / "train.json").write_text(json.dumps(told))
    rows = [{"step": step, **{name: 0.1 * step + 0.01 * number for name in METRICS}} for step in range(1, STEPS + 1)]
    (run / "train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    rollouts, groups = [], []
    for i in range(PER_BENCHMARK):
        right = [float(j % (i + 2) == 0) for j in range(8)]
        for j, one in enumerate(right):
            rewards = {"accuracy": one, "format": 1.0}
            rollouts.append(Rollout(1, f"train-{i}", j // 4, (0, 2 + j // 4), True, next(said), "A", rewards, 0.5))
        groups.append(Group(1, f"train-{i}", tuple(right), tuple(one + 1 for one in right), (0.5,) * 8))
    write_lines(run / "rollouts.jsonl", rollouts)
    write_lines(run / "groups.jsonl", groups)
    (run / "timing").mkdir()
    (run / "timing" / "train.tsv").write_text("s\tmax_rss\tcpu_time\n12.5\t700.25\t20.0\n")
    (run / "timing" / "evaluate-all.tsv").write_text("s\tmax_rss\tcpu_time\n0.4\t-\t-\n")


def write_lines(path: Path, records: list) -> None:
    """As `write_records`, but also what only escaped JSON can hold, such as half of a surrogate pair."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(record.to_row()) + "\n" for record in records))


def _provenance(spec: str) -> dict[str, Any]:
    return {
        "spec": spec,
        "commit": "c" * 40,
        "dirty": True,
        "image": {"path": "image.sif", "sha256": "1" * 64},
        "python": "3.11.7",
        "packages": {"torch": "2.13.0"},
        "host": "node1",
        "slurm": {},
        "finished": "2026-11-26T21:04:11+00:00",
    }
