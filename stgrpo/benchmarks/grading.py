"""Predictions -> one score a benchmark."""

import math
from collections.abc import Mapping, Sequence

from stgrpo.answers import extract
from stgrpo.benchmarks import BENCHMARKS
from stgrpo.errors import UserError
from stgrpo.records import Prediction, Question, Score


def grade(
    questions: Mapping[str, Sequence[Question]], predictions: Sequence[Prediction], specs: frozenset[str]
) -> list[Score]:
    """Score every benchmark; its questions and predictions must match one to one.

    Args:
        questions: by benchmark.
        predictions: of all benchmarks.
        specs: hashes of the EvalSpecs that today's configuration asks for.

    Raises:
        UserError: predictions of another spec, missing, doubled or unknown ones.
    """
    if strange := {p.spec for p in predictions} - specs:
        raise UserError(
            f"predictions were made by spec {', '.join(sorted(strange))}, the configuration asks for "
            f"{', '.join(sorted(specs))}; evaluate again (snakemake TARGET -R evaluate)"
        )
    if unknown := {p.benchmark for p in predictions} - set(questions):
        raise UserError(
            f"predictions for {', '.join(sorted(unknown))}, which nothing asks for; evaluate again "
            "(snakemake TARGET -R evaluate)"
        )
    return [
        _grade_one(name, asked, [p for p in predictions if p.benchmark == name]) for name, asked in questions.items()
    ]


def _grade_one(name: str, questions: Sequence[Question], predictions: Sequence[Prediction]) -> Score:
    answers = {p.question: extract(p.text) for p in predictions}
    if len(predictions) != len(questions) or set(answers) != {q.id for q in questions}:
        raise UserError(
            f"{name}: {len(predictions)} predictions for {len(questions)} questions, {len(answers)} of them different; "
            "evaluate again (snakemake TARGET -R evaluate)"
        )
    benchmark = BENCHMARKS[name]
    right = [benchmark.is_right(q, answers[q.id]) for q in questions]
    share = sum(right) / len(right)
    return Score(
        benchmark=name,
        value=benchmark.score(list(questions), right),
        standard_error=100 * math.sqrt(share * (1 - share) / len(right)),
        n=len(right),
        unparsed=sum(answers[q.id] is None for q in questions),
    )
