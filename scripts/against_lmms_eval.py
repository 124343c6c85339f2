"""Score generated answers by our rules and by lmms-eval's own functions: python scripts/against_lmms_eval.py PYTHON

PYTHON is that of the environment that holds lmms-eval 0.7.3, apart from the project's; `make against-lmms-eval` makes
it first. A thousand rows a benchmark, as its source has them, with a text about each: here the rows are read from
parquet, asked and graded as in every evaluation; there each row and the answer extracted from its text go through the
function that scores one answer, and all through the one that makes them a score.

Writes docs/benchmark-scores.md and, for the tests, tests/lmms_eval_scores.json. Status 1 if a credit, a part or a score
differs that is not in `DIFFERENCES`.
"""

import json
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import isclose
from pathlib import Path
from shutil import which
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from generated_answers import Case, cases
from generated_rows import TASKS
from intended_differences import SET_ASIDE, explain
from lmms_eval_page import page

from stgrpo.answers import final_answer
from stgrpo.benchmarks import BENCHMARKS
from stgrpo.benchmarks.grading import grade, scores
from stgrpo.records import Prediction, Question, Score, SetAside

VERSION = "0.7.3"
ANSWERS, SEEDS = 1000, 10  # a benchmark; the page shows the first seed
WORKER = Path(__file__).with_name("lmms_eval_scores.py")
PAGE, FIXTURE = Path("docs/benchmark-scores.md"), Path("tests/lmms_eval_scores.json")
EVERY, LONGEST = 16, 200  # of the answers that the tests keep, and the characters of the longest
FILES = {  # where a benchmark's source has the rows of a configuration
    "videomme": "videomme/test.parquet",
    "vsibench": "test-0.parquet",
    "perceptiontest": "mc_question_val/validation.parquet",
    "tempcompass": "{}/test.parquet",
    "videommmu": "{}/test.parquet",
    "mmvu": "data/validation.parquet",
}
DUNK = "What does he do?\nA. shoot\nB. dunk"
CAPTIONING = {"video_id": "1", "dim": "action", "question": "?", "answer": None, "mc_question": DUNK}
CAPTIONED = Case(CAPTIONING | {"mc_answer": "B. dunk"}, "captioning", "tags", "<answer>B</answer>")


@dataclass(frozen=True)
class Asked:
    """A generated case as the project asks and scores it."""

    benchmark: str
    case: Case
    question: Question

    @property
    def answer(self) -> str:
        """What is scored of the text."""
        return final_answer(self.case.text)

    @property
    def credit(self) -> float:
        """By our rule."""
        return BENCHMARKS[self.benchmark].credit(self.question, self.answer)


@dataclass(frozen=True)
class Comparison:
    """One benchmark: our score and lmms-eval's of all answers, and of those on which the two should agree."""

    asked: Sequence[Asked]
    credits: Sequence[float | str | None]  # lmms-eval's
    reasons: Sequence[str | None]  # the key in DIFFERENCES
    ours: Score
    theirs: dict[str, Any]
    ours_agreed: Score
    theirs_agreed: dict[str, Any]
    theirs_whole: float | None  # on the whole texts
    stripped: Sequence[str]  # the whole texts as lmms-eval hands them to its functions
    aside: Sequence[tuple[Case, SetAside, dict[str, Any]]]  # with lmms-eval's score of the row alone


def ask(python: str, jobs: list[dict[str, Any]], texts: Sequence[str] = ()) -> dict[str, Any]:
    """What lmms-eval makes of these."""
    request = json.dumps({"jobs": jobs, "texts": list(texts)})
    done = subprocess.run([python, "-I", WORKER], input=request, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{python} {WORKER.name}: {done.stderr.strip()[-2000:]}")
    reply = json.loads(done.stdout)
    if reply["version"] != VERSION:
        sys.exit(f"{python} holds lmms-eval {reply['version']}; install {VERSION} (make against-lmms-eval)")
    return reply


def job(benchmark: str, asked: Sequence[Asked]) -> dict[str, Any]:
    """Score these answers."""
    return {"benchmark": benchmark, "items": [(one.case.row, one.case.task, one.answer) for one in asked]}


def generated(benchmark: str, seed: int) -> list[Case]:
    """A set of answers, and a row of every kind that is set aside; by configuration, as they are read."""
    whole = cases(benchmark, ANSWERS, seed)
    flawed = [Case(whole[-1].row | flaw.change, flaw.task, "no tag", flaw.answer) for flaw in SET_ASIDE[benchmark]]
    captioned = [CAPTIONED] if benchmark == "tempcompass" else []  # without which the source is not whole
    return sorted([*whole, *flawed, *captioned], key=lambda case: TASKS.index(case.task))


def read(benchmark: str, found: Sequence[Case]) -> list[tuple[Case, Question | SetAside]]:
    """The rows as the benchmark's module reads them from parquet."""
    with tempfile.TemporaryDirectory() as folder:
        for task in {case.task for case in found}:
            file = Path(folder) / FILES[benchmark].format(task)
            file.parent.mkdir(parents=True, exist_ok=True)
            pq.write_table(pa.Table.from_pylist([case.row for case in found if case.task == task]), file)
        rows = list(BENCHMARKS[benchmark].read_questions(Path(folder)))
    return list(zip(found, rows, strict=True))


def scored(benchmark: str, asked: Sequence[Asked]) -> Score:
    """Our score of these answers."""
    predictions = [Prediction(benchmark, one.question.id, one.case.text, "now") for one in asked]
    questions = {benchmark: [one.question for one in asked]}
    (score,) = scores(questions, predictions, grade(questions, predictions, frozenset({"now"})))
    return score


def compare(benchmark: str, seed: int, python: str) -> Comparison:
    """Generate, read, answer, score twice."""
    found = read(benchmark, generated(benchmark, seed))
    asked = [Asked(benchmark, case, row) for case, row in found if isinstance(row, Question)]
    aside = [(case, row) for case, row in found if isinstance(row, SetAside)]
    counted = [one for one in asked if one.case is not CAPTIONED]
    whole = job(benchmark, counted)
    alone = [{"benchmark": benchmark, "items": [(case.row, case.task, case.text)]} for case, _ in aside]
    reply = ask(python, [job(benchmark, counted), *alone], [one.case.text for one in counted])
    theirs, *theirs_alone = reply["jobs"]
    reasons = [
        None if same(one.credit, their) else explain(benchmark, one.case.row, one.question, one.answer, their)
        for one, their in zip(counted, theirs["credits"], strict=True)
    ]
    agreed = [one for one, reason in zip(counted, reasons, strict=True) if reason is None]
    texts = [(*item[:2], text) for item, text in zip(whole["items"], reply["texts"], strict=True)]
    theirs_agreed, theirs_whole = ask(python, [job(benchmark, agreed), whole | {"items": texts}])["jobs"]
    return Comparison(
        asked=counted,
        credits=theirs["credits"],
        reasons=reasons,
        ours=scored(benchmark, asked),
        theirs=theirs,
        ours_agreed=scored(benchmark, agreed),
        theirs_agreed=theirs_agreed,
        theirs_whole=theirs_whole["score"],
        stripped=reply["texts"],
        aside=[(case, row, result) for (case, row), result in zip(aside, theirs_alone, strict=True)],
    )


def same(ours: float, theirs: float | str | None) -> bool:
    """Whether two credits are one; an error's name or no credit equals none of ours."""
    return isinstance(theirs, float | int) and isclose(ours, theirs, abs_tol=1e-12)


def wrong(found: Comparison) -> list[str]:
    """Everything that differs and should not."""
    lines = [
        f"{one.answer!r} for {one.question.answer!r}: {one.credit:g}, theirs {their}"
        for one, their, reason in zip(found.asked, found.credits, found.reasons, strict=True)
        if reason is None and not same(one.credit, their)
    ]
    ours, theirs = found.ours_agreed, found.theirs_agreed
    if found.ours.n != ANSWERS:
        lines.append(f"{found.ours.n} answers counted, not {ANSWERS}")
    if abs(ours.value - theirs["score"]) > 0.51 * theirs["step"]:
        lines.append(f"score {ours.value}, theirs {theirs['score']}")
    parts = joined(ours.parts)
    if set(parts) != set(theirs["parts"]):
        lines.append(f"parts {sorted(parts)}, theirs {sorted(theirs['parts'])}")
    for name in parts.keys() & theirs["parts"].keys():
        if abs(parts[name] - theirs["parts"][name]) > 0.51 * theirs["parts_step"]:
            lines.append(f"{name} {parts[name]}, theirs {theirs['parts'][name]}")
    return lines


def joined(parts: dict[str, float]) -> dict[str, float]:
    """VSI-Bench's levels of relative direction as the one part that lmms-eval reports; other parts as they are."""
    levels = {name: value for name, value in parts.items() if name.startswith("object_rel_direction_")}
    mean = {"object_rel_direction": sum(levels.values()) / 3} if levels else {}
    return {name: value for name, value in parts.items() if name not in levels} | mean


def fixture(benchmark: str, found: Comparison, python: str) -> dict[str, Any]:
    """Some of the answers with lmms-eval's credits, and its score of those on which we agree."""
    triples = list(zip(found.asked, found.credits, found.reasons, strict=True))
    kept = [triple for triple in triples[::EVERY] if len(triple[0].case.text) <= LONGEST]
    agreed = [one for one, _, reason in kept if reason is None]
    (theirs,) = ask(python, [job(benchmark, agreed)])["jobs"]
    del theirs["credits"], theirs["judged"]
    part = BENCHMARKS[benchmark].part
    answers = []
    for one, their, reason in kept:
        tags = {name: tag for name, tag in one.question.tags.items() if tag == part(one.question)}
        plain = replace(one.question, tags=tags)
        answers.append([plain.kind, plain.options, plain.answer, plain.tags, one.case.text, their, reason])
    return theirs | {"answers": answers}


def write_fixture(kept: dict[str, dict[str, Any]]) -> None:
    """One answer a line."""
    made = f"by {Path(__file__).name} from lmms-eval {VERSION}; an answer is {', '.join(FIELDS)}"
    lines = [f'{{"made": {json.dumps(made)}']
    for benchmark, one in kept.items():
        answers = one.pop("answers")
        head = json.dumps(one, sort_keys=True)[1:-1]  # lmms-eval's parts come in no order
        rows = ",\n".join(json.dumps(answer, ensure_ascii=False) for answer in answers)
        lines.append(f'"{benchmark}": {{{head}, "answers": [\n{rows}]}}')
    FIXTURE.write_text(",\n".join(lines) + "}\n", encoding="utf-8")


FIELDS = ("kind", "options", "truth", "tags", "text", "lmms-eval's credit", "why ours differs")


def main() -> None:
    """One line a benchmark."""
    if len(sys.argv) != 2 or which(sys.argv[1]) is None:
        sys.exit(f"usage: python scripts/against_lmms_eval.py PYTHON, of an environment with lmms-eval {VERSION}")
    first, kept, counts, failed = {}, {}, Counter[str](), False
    for benchmark in BENCHMARKS:
        for seed in range(SEEDS):
            found = compare(benchmark, seed, sys.argv[1])
            if seed == 0:
                first[benchmark], kept[benchmark] = found, fixture(benchmark, found, sys.argv[1])
            counts.update(reason for reason in found.reasons if reason)
            if lines := wrong(found):
                failed = True
                print(f"{benchmark}, seed {seed}: {len(lines)} WRONG: {lines[0]}")
        one = first[benchmark]
        print(
            f"{benchmark}: {one.ours.value:.3f}, theirs {one.theirs['score']:.3f}; of {ANSWERS} answers "
            f"{sum(map(bool, one.reasons))} differ on purpose; the others {one.ours_agreed.value:.3f}, "
            f"theirs {one.theirs_agreed['score']:.3f}"
        )
    if failed:
        sys.exit(1)
    PAGE.write_text(page(first, counts, VERSION, ANSWERS, SEEDS), encoding="utf-8")
    write_fixture(kept)


if __name__ == "__main__":
    main()
