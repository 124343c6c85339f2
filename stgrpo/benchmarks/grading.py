"""Predictions -> one graded answer a question -> one score a benchmark."""

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence

from stgrpo.answers import extract, final_answer
from stgrpo.benchmarks import BENCHMARKS
from stgrpo.benchmarks.averages import mean
from stgrpo.errors import UserError
from stgrpo.records import Graded, Prediction, Question, Score
from stgrpo.statistics import Value, percent, score


def grade(
    questions: Mapping[str, Sequence[Question]], predictions: Sequence[Prediction], specs: frozenset[str]
) -> list[Graded]:
    """Grade every answer; questions and predictions of a benchmark must match one to one.

    Args:
        questions: by benchmark.
        predictions: of all benchmarks.
        specs: hashes of the EvalSpecs that today's configuration asks for.

    Returns:
        In the order of the questions.

    Raises:
        UserError: predictions of another spec, missing, doubled or unknown ones; a benchmark without a part that its
            score cannot do without.
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
        graded
        for name, asked in questions.items()
        for graded in _grade_one(name, asked, [p for p in predictions if p.benchmark == name])
    ]


def scores(
    questions: Mapping[str, Sequence[Question]], predictions: Sequence[Prediction], graded: Sequence[Graded]
) -> list[Score]:
    """One score a benchmark, of what `grade` made of these questions and predictions."""
    return [
        _score(
            name,
            asked,
            {p.question: p.text for p in predictions if p.benchmark == name},
            [g for g in graded if g.benchmark == name],
        )
        for name, asked in questions.items()
    ]


def _grade_one(name: str, questions: Sequence[Question], predictions: Sequence[Prediction]) -> list[Graded]:
    texts = {p.question: p.text for p in predictions}
    if len(predictions) != len(questions) or set(texts) != {q.id for q in questions}:
        raise UserError(
            f"{name}: {len(predictions)} predictions for {len(questions)} questions, {len(texts)} of them different; "
            "evaluate again (snakemake TARGET -R evaluate)"
        )
    benchmark = BENCHMARKS[name]
    sizes: dict[str, int] = defaultdict(int)
    for question in questions:
        sizes[_part(name, question)] += 1
    weights = {part: weight / sizes[part] for part, weight in benchmark.weights(sizes).items()}  # of one question
    counted = [weight for weight in weights.values() if weight]
    is_one_sample = math.isclose(min(counted), max(counted))
    graded = []
    for question in questions:
        part, answer = _part(name, question), final_answer(texts[question.id])
        stratum = "" if is_one_sample else part
        credit = benchmark.credit(question, answer)
        graded.append(Graded(name, question.id, question.video, stratum, weights[part], credit, answer))
    return graded


def _part(name: str, question: Question) -> str:
    try:
        return BENCHMARKS[name].part(question)
    except KeyError as error:
        raise UserError(
            f"{name}: question '{question.id}' has no tag {error}; prepare again (snakemake TARGET -R prepare)"
        ) from None


def _score(name: str, questions: Sequence[Question], texts: Mapping[str, str], graded: Sequence[Graded]) -> Score:
    credits: dict[str, list[float]] = defaultdict(list)
    for question, one in zip(questions, graded, strict=True):
        credits[_part(name, question)].append(one.credit)
    found = percent(score(Value(one, one.credit) for one in graded))
    return Score(
        benchmark=name,
        value=found.value,
        standard_error=found.error,
        low=found.low,
        high=found.high,
        n=found.n,
        videos=found.clusters,
        unparsed=sum(extract(texts[g.question]) is None for g in graded if g.weight),
        parts={part: 100 * mean(given) for part, given in credits.items()},
    )
