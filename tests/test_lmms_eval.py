"""Our credits and scores against those that lmms-eval 0.7.3 itself gave: `make against-lmms-eval` writes the answers.

They are some of those of docs/benchmark-scores.md, which says where we differ on purpose.
"""

import json
from pathlib import Path
from typing import Any

import pytest

from stgrpo.answers import final_answer
from stgrpo.benchmarks import BENCHMARKS
from stgrpo.benchmarks.grading import grade, scores
from stgrpo.records import Prediction, Question

GOLDEN: dict[str, Any] = json.loads(Path(__file__).with_name("lmms_eval_scores.json").read_text(encoding="utf-8"))


def answered(name: str) -> list[tuple[Question, str, Any, str | None]]:
    """Question, text, lmms-eval's credit and why ours differs."""
    return [
        (Question(f"q{number}", "v", "?", tuple(options), kind, truth, name, tags), text, credit, reason)
        for number, (kind, options, truth, tags, text, credit, reason) in enumerate(GOLDEN[name]["answers"])
    ]


@pytest.mark.parametrize("name", BENCHMARKS)
def test_every_credit_is_lmms_evals_or_differs_for_a_reason(name: str):
    given = [(BENCHMARKS[name].credit(q, final_answer(text)), *rest) for q, text, *rest in answered(name)]
    assert [ours for ours, _, reason in given if not reason] == pytest.approx(
        [theirs for _, theirs, reason in given if not reason], abs=1e-12
    )
    assert all(ours != theirs for ours, theirs, reason in given if reason)


@pytest.mark.parametrize("name", BENCHMARKS)
def test_the_score_and_its_parts_are_lmms_evals(name: str):
    kept = [(question, text) for question, text, _, reason in answered(name) if not reason]
    predictions = [Prediction(name, question.id, text, "now") for question, text in kept]
    questions = {name: [question for question, _ in kept]}
    (score,) = scores(questions, predictions, grade(questions, predictions, frozenset({"now"})))
    theirs, parts = GOLDEN[name], dict(score.parts)
    if name == "vsibench":  # lmms-eval reports the three levels as one
        levels = [parts.pop(f"object_rel_direction_{level}") for level in ("easy", "medium", "hard")]
        parts["object_rel_direction"] = sum(levels) / 3
    assert score.value == pytest.approx(theirs["score"], abs=0.51 * theirs["step"])
    assert parts == pytest.approx(theirs["parts"], abs=0.51 * theirs["parts_step"])


def test_there_are_answers_of_every_kind():
    """Right and wrong in every benchmark, tagged and not, and some that differ on purpose."""
    for name in BENCHMARKS:
        credits = {credit for _, _, credit, _ in answered(name)}
        tagged = {"</answer>" in text for _, text, _, _ in answered(name)}
        assert len(answered(name)) > 50 and {0.0, 1.0} <= credits and tagged == {True, False}, name
    assert {reason for name in BENCHMARKS for *_, reason in answered(name)} >= {
        None,
        "mentioned",
        "lower case",
        "words",
    }
