"""Answer the questions of one part of a cell's evaluation, greedily; a killed run goes on after its last whole line.

Writes: OUT, one prediction a line, and its provenance beside it.
"""

from argparse import ArgumentParser, Namespace
from pathlib import Path

from stgrpo.answers import extract
from stgrpo.commands import (
    MADE_BY,
    add_spec,
    add_threads,
    device_name,
    importing,
    inherited,
    made_by,
    model_files,
    origin_of,
    refuse_lost_gpus,
)
from stgrpo.files import hashes, read_records, sha256, write_json, write_records
from stgrpo.provenance import provenance
from stgrpo.records import Question
from stgrpo.specs import EvalSpec
from stgrpo.state import job_key, prune, state_folder


def register(parser: ArgumentParser) -> None:
    """Arguments of the verb."""
    add_spec(parser)
    add_threads(parser)
    parser.add_argument("--policy", type=Path, required=True, help="folder of the policy's weights")
    parser.add_argument("--questions", type=Path, nargs="+", required=True, help="one file a benchmark, named after it")
    parser.add_argument("--rows", type=int, default=64, help="questions in one pass (default: 64)")
    parser.add_argument("--state", type=Path, required=True, help="folder for what grows")
    parser.add_argument("--out", type=Path, required=True, help="predictions to write")


def run(args: Namespace) -> None:
    """Answer everything and put the predictions in place."""
    with importing():
        import torch

        from stgrpo.benchmarks.answering import answer_all
        from stgrpo.policy.model import load_policy

    torch.set_num_threads(args.threads)
    refuse_lost_gpus()
    spec = EvalSpec.parse(args.spec)
    asked = [(path.stem, question) for path in args.questions for question in read_records(path, Question)]
    made = made_by(args.policy, spec.policy)
    inputs = hashes([*args.questions, *model_files(args.policy)])
    key = job_key(spec.canonical(), inputs.values())
    with state_folder(args.state, key) as state:
        history = state / "predictions.jsonl"
        policy = load_policy(args.policy, torch.bfloat16 if spec.precision == "bf16" else torch.float32)
        policy.model.eval()
        predictions = answer_all(spec, policy, asked, history, args.rows, args.threads)
        write_records(args.out, predictions)
        data, origins = inherited(*map(origin_of, args.questions), args.policy / MADE_BY)
        origin = provenance(
            spec.hash(),
            seed=made.get("seed"),
            device=device_name(),
            data=data,
            inputs=inputs | origins,
            outputs={args.out.name: sha256(args.out)},
            resolved=spec.model_dump(mode="json"),
            rows=args.rows,
        )
        write_json(origin_of(args.out), origin)
        prune(state)
    unparsed = sum(extract(p.text) is None for p in predictions)
    print(f"{args.out}: {len(predictions)} answers, {unparsed} without an answer tag")
