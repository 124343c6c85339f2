"""Score a cell's answers by each benchmark's own rule; seconds, and without the model.

Writes: OUT, the scores with their standard errors, and provenance; GRADED, one line a question.
"""

from argparse import ArgumentParser, Namespace
from pathlib import Path

from stgrpo.benchmarks.grading import grade, scores
from stgrpo.commands import inherited, origin_of, origin_of_model
from stgrpo.files import hashes, read_json, read_records, sha256, write_json, write_records
from stgrpo.provenance import provenance
from stgrpo.records import Prediction, Question


def register(parser: ArgumentParser) -> None:
    """Arguments of the verb."""
    parser.add_argument("--cell", required=True)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--policy", type=Path, required=True, help="folder of the weights that answered")
    parser.add_argument("--specs", nargs="+", required=True, help="hashes of the EvalSpecs that are asked for")
    parser.add_argument("--predictions", type=Path, nargs="+", required=True, help="one file a part")
    parser.add_argument("--questions", type=Path, nargs="+", required=True, help="one file a benchmark, named after it")
    parser.add_argument("--out", type=Path, required=True, help="JSON to write")
    parser.add_argument("--graded", type=Path, required=True, help="credits to write, one line a question")


def run(args: Namespace) -> None:
    """Grade and write."""
    questions = {path.stem: read_records(path, Question) for path in args.questions}
    predictions = [p for path in args.predictions for p in read_records(path, Prediction)]
    graded = grade(questions, predictions, frozenset(args.specs))
    found = scores(questions, predictions, graded)
    data, origins = inherited(*map(origin_of, args.predictions))
    weights = origin_of_model(args.policy)
    evaluations = {path.stem: read_json(origin_of(path)) for path in args.predictions}
    write_records(args.graded, graded)  # when nothing is left that could be refused
    origin = provenance(
        ",".join(args.specs),
        seed=args.seed,
        data=data,
        inputs=hashes([*args.predictions, *args.questions]) | origins,
        outputs={args.graded.name: sha256(args.graded)},
    )
    write_json(
        args.out,
        {
            "cell": args.cell,
            "seed": args.seed,
            "scores": [score.to_row() for score in found],
            "weights": weights,
            "evaluations": evaluations,
            "provenance": origin,
        },
    )
    for score in found:
        error = "" if score.standard_error is None else f" ± {score.standard_error:.1f}"
        print(f"{args.cell} seed {args.seed}: {score.benchmark} {score.value:.1f}{error}")
