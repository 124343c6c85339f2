"""Predictions -> one score a benchmark."""

from collections import defaultdict
from collections.abc import Mapping, Sequence

from stgrpo.answers import extract, final_answer
from stgrpo.benchmarks import BENCHMARKS
from stgrpo.benchmarks.averages import mean, score, standard_error
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
        _grade_one(name, asked, [p for p in predictions if p.benchmark == name]) for name, asked in questions.items()
    ]


def _grade_one(name: str, questions: Sequence[Question], predictions: Sequence[Prediction]) -> Score:
    texts = {p.question: p.text for p in predictions}
    if len(predictions) != len(questions) or set(texts) != {q.id for q in questions}:
        raise UserError(
            f"{name}: {len(predictions)} predictions for {len(questions)} questions, {len(texts)} of them different; "
            "evaluate again (snakemake TARGET -R evaluate)"
        )
    benchmark = BENCHMARKS[name]
    credits: dict[str, list[float]] = defaultdict(list)
    for question in questions:
        credits[benchmark.part(question)].append(benchmark.credit(question, final_answer(texts[question.id])))
    weights = benchmark.weights({part: len(given) for part, given in credits.items()})
    counted = [question for question in questions if weights[benchmark.part(question)] > 0]
    return Score(
        benchmark=name,
        value=100 * score(credits, weights),
        standard_error=100 * standard_error(credits, weights),
        n=len(counted),
        unparsed=sum(extract(texts[question.id]) is None for question in counted),
        parts={part: 100 * mean(given) for part, given in credits.items()},
    )
