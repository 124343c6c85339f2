"""Score answers by lmms-eval's own functions; `against_lmms_eval.py` starts it in the environment that holds lmms-eval.

Standard input is one JSON object:

    {"jobs": [{"benchmark": NAME, "items": [[DOC, TASK, ANSWER], ...]}, ...], "texts": [TEXT, ...]}

DOC is a row of the benchmark's source, TASK its configuration there. Standard output is another:

    {"version": VERSION, "texts": [TEXT, ...], "jobs": [{"credits": [CREDIT, ...], "judged": COUNT, "score": PERCENT,
    "step": PERCENT, "parts": {NAME: PERCENT}, "parts_step": PERCENT}, ...]}

CREDIT is in [0, 1], null where lmms-eval leaves the answer out, or the name of the error that it raises. A score is
null where lmms-eval raises one over these answers; `step` is what it rounds scores to. Texts come back as lmms-eval
hands them to its functions.

Nothing of the project is imported here, and of lmms-eval only what scores: `lmms_eval.tasks` itself would import torch
and transformers. No judge model is asked: TempCompass is told that it said "Incorrect", MMVU that it is out of reach.
"""

import contextlib
import importlib
import io
import json
import os
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from importlib.util import find_spec
from types import ModuleType
from typing import Any

Result = dict[str, Any]  # of one answer, as lmms-eval's function gives it, and "part" where that does not say it
EXACT = 1e-9  # percent
VSI_ACCURACY = ("object_rel_direction", "object_rel_distance", "route_planning", "obj_appearance_order")
VSI_MRA = ("object_abs_distance", "object_counting", "object_size_estimation", "room_size_estimation")


@dataclass(frozen=True)
class Scorer:
    """One benchmark in lmms-eval."""

    process: Callable[[dict, str, str], Result]  # of row, configuration and answer
    credit: Callable[[Result], float | None]
    score: Callable[[list[Result]], float]  # percent
    step: float
    parts: Callable[[list[Result]], dict[str, float]]  # percent
    parts_step: float


def prepare_imports() -> None:
    """Stand-ins for the packages around the functions, and for what these import without need."""
    os.environ.setdefault("HF_HOME", "unused")
    if (package := find_spec("lmms_eval")) is None:
        sys.exit("lmms-eval is not installed here")
    (place,) = package.submodule_search_locations
    for name, path in (("lmms_eval", place), ("lmms_eval.tasks", f"{place}/tasks")):
        package = ModuleType(name)
        package.__path__ = [path]
        sys.modules[name] = package
    sys.modules["cv2"], sys.modules["datasets"] = ModuleType("cv2"), ModuleType("datasets")
    sys.modules["datasets"].Dataset = object  # annotations name it


def load(task: str) -> ModuleType:
    """The functions of one benchmark."""
    return importlib.import_module(f"lmms_eval.tasks.{task}.utils")


def grouped(score: Callable[[list[Result]], float], results: list[Result]) -> dict[str, float]:
    """The score of every part, as if it were a benchmark of its own."""
    names = sorted({result["part"] for result in results})
    return {name: score([result for result in results if result["part"] == name]) for name in names}


def videomme() -> Scorer:
    """Percent. Durations stand in the log only."""
    code = load("videomme")

    def process(doc: dict, task: str, answer: str) -> Result:
        result = code.videomme_process_results(doc, [answer])["videomme_perception_score"]
        return result | {"part": result["duration"]}

    score = code.videomme_aggregate_results
    return Scorer(
        process, lambda r: float(r["pred_answer"] == r["answer"]), score, EXACT, partial(grouped, score), EXACT
    )


def vsibench() -> Scorer:
    """Fractions with six decimals; the three levels of relative direction are one part."""
    code = load("vsibench")

    def process(doc: dict, task: str, answer: str) -> Result:
        return code.vsibench_process_results(doc, [answer])["vsibench_overall"]

    def parts(results: list[Result]) -> dict[str, float]:
        kinds = {f"{kind}_accuracy": kind for kind in VSI_ACCURACY} | {f"{kind}_mra": kind for kind in VSI_MRA}
        return {kind: 100 * getattr(code, f"vsibench_aggregate_{name}")(results) for name, kind in kinds.items()}

    return Scorer(
        process,
        lambda r: float(r["accuracy" if "accuracy" in r else "MRA:.5:.95:.05"]),
        lambda results: 100 * code.vsibench_aggregate_overall(results),
        1e-4,
        parts,
        1e-4,
    )


def perceptiontest() -> Scorer:
    """A fraction; it knows no parts."""
    code = load("perceptiontest.val")

    def process(doc: dict, task: str, answer: str) -> Result:
        result = code.perceptiontest_val_process_results_mc(doc, [answer])["accuracy"]
        return result | {"part": doc["area"]}

    def score(results: list[Result]) -> float:
        return 100 * code.perceptiontest_val_aggregate_accuracy(results, None)

    return Scorer(process, lambda r: float(r["correct"]), score, EXACT, partial(grouped, score), EXACT)


def tempcompass() -> Scorer:
    """Percent of a configuration; here of all that are asked, as if they were one."""
    code = load("tempcompass")
    code.get_eval_result = lambda *_: ("Incorrect", 0)

    def process(doc: dict, task: str, answer: str) -> Result:
        judge = getattr(code, f"tempcompass_process_results_{task.replace('-', '_')}")
        return judge(doc, [answer])["avg_accuracy"] | {"part": task}

    score = partial(code.tempcompass_aggregate_rating, args=None)
    return Scorer(process, lambda r: float(r["rating"] == 1), score, EXACT, partial(grouped, score), EXACT)


def videommmu() -> Scorer:
    """A fraction with five decimals of a track; here of all three, as if they were one."""
    code = load("videommmu")

    def process(doc: dict, task: str, answer: str) -> Result:
        return code.videommmu_process_results(doc, [answer])["mmmu_acc"] | {"part": task}

    def score(results: list[Result]) -> float:
        return 100 * code.videommmu_aggregate_results(results)

    def credit(result: Result) -> float | None:
        return None if result["parsed_pred"] == "API Error" else score([result]) / 100

    return Scorer(process, credit, score, 1e-3, partial(grouped, score), 1e-3)


def mmvu() -> Scorer:
    """Percent. Disciplines stand in the log only, with two decimals."""
    code, log = load("mmvu"), []
    code.eval_logger.remove()
    code.eval_logger.add(log.append, format="{message}")

    def no_judge() -> None:
        raise ConnectionError("no judge model here")

    code._get_pipeline = no_judge

    def process(doc: dict, task: str, answer: str) -> Result:
        return code.mmvu_process_results(doc, [answer])["accuracy"]

    def parts(results: list[Result]) -> dict[str, float]:
        log.clear()
        code.mmvu_aggregate_results_val(results)
        lines = [re.fullmatch(r"(\w+) accuracy: ([\d.]+)%", line.strip()) for line in log]
        return {line[1]: float(line[2]) for line in lines if line}

    return Scorer(process, lambda r: float(r["correct"]), code.mmvu_aggregate_results_val, EXACT, parts, 1e-2)


SCORERS = {make.__name__: make for make in (videomme, vsibench, perceptiontest, tempcompass, videommmu, mmvu)}


def run(scorer: Scorer, items: list[tuple[dict, str, str]]) -> dict[str, Any]:
    """Credits of all answers; score and parts over those that raise no error."""
    credits, results = [], []
    for doc, task, answer in items:
        try:
            result = scorer.process(dict(doc), task, answer)
        except Exception as error:  # whatever it raises is what is asked for
            credits.append(type(error).__name__)
        else:
            credits.append(scorer.credit(result))
            results.append(result)
    try:
        score, parts = scorer.score(results), scorer.parts(results)
    except (ArithmeticError, LookupError):  # over too few, such as not all types
        score, parts = None, {}
    judged = sum(not result.get("match_success", True) for result in results)
    steps = {"step": scorer.step, "parts_step": scorer.parts_step}
    return {"credits": credits, "judged": judged, "score": score, "parts": parts, **steps}


def main() -> None:
    """Answer one request."""
    prepare_imports()
    request = json.load(sys.stdin)
    with contextlib.redirect_stdout(io.StringIO()):  # lmms-eval prints
        scorers = {name: SCORERS[name]() for name in {job["benchmark"] for job in request["jobs"]}}
        jobs = [run(scorers[job["benchmark"]], job["items"]) for job in request["jobs"]]
        strip = importlib.import_module("lmms_eval.api.reasoning").strip_reasoning_tags
        tags = [["<think>", "</think>"], ["<analysis>", "</analysis>"]]  # its default
        texts = [strip(text, tags) for text in request["texts"]]
    json.dump({"version": version("lmms_eval"), "texts": texts, "jobs": jobs}, sys.stdout)


if __name__ == "__main__":
    main()
