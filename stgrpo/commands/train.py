"""Train one cell; a killed run goes on from its newest whole checkpoint.

Writes, when the last step is done: model/ (weights), train.json (the spec, hashes of the weights, provenance),
train.jsonl (metrics a step) and rollouts.jsonl (some answers, readable). Until then everything grows in STATE.
"""

import shutil
from argparse import ArgumentParser, Namespace
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from stgrpo.commands import MADE_BY, add_spec, add_threads, made_by, model_files, refuse_ranks
from stgrpo.errors import UserError
from stgrpo.files import flush_tree, read_records, replacing, sha256, write_json
from stgrpo.provenance import provenance
from stgrpo.records import Question
from stgrpo.specs import TrainSpec
from stgrpo.state import job_key, prune, state_folder


def register(parser: ArgumentParser) -> None:
    """Arguments of the verb."""
    add_spec(parser)
    add_threads(parser)
    parser.add_argument("--questions", type=Path, required=True, help="training questions")
    parser.add_argument("--scores", type=Path, help="frame scores; importance groupings need them")
    parser.add_argument("--policy", type=Path, required=True, help="folder of the policy to start from")
    parser.add_argument("--micro-rows", type=int, required=True, help="answers in one pass")
    parser.add_argument("--save-steps", type=int, required=True, help="steps between two checkpoints")
    parser.add_argument("--state", type=Path, required=True, help="folder for what grows")
    parser.add_argument("--out", type=Path, required=True, help="folder of the cell and seed")


def run(args: Namespace) -> None:
    """Train under the state's lock, then put the results in place."""
    spec = TrainSpec.parse(args.spec)
    refuse_ranks()
    made_by(args.policy, spec.policy)
    inputs = [path for path in (args.questions, args.scores, *model_files(args.policy)) if path]
    with state_folder(args.state, job_key(spec.canonical(), inputs)) as state:
        device = _train(spec, args, state)
        runtime = {"micro_rows": args.micro_rows, "save_steps": args.save_steps, "threads": args.threads}
        _publish(spec, state, args.out, provenance(spec.hash(), seed=spec.seed, device=device, runtime=runtime))
        prune(state)
    print(f"wrote {args.out}/model and train.json after {spec.steps} steps")


def _train(spec: TrainSpec, args: Namespace, state: Path) -> str:
    import torch

    from stgrpo.rl.train import Runtime, train

    torch.set_num_threads(args.threads)
    questions = read_records(args.questions, Question)
    scores = _scores(args.scores, questions) if spec.scores else {}
    trainer = train(spec, Runtime(args.micro_rows, args.save_steps), args.policy, questions, scores, state)
    trainer.save_model(str(state / "model"))
    trainer.policy.tokenizer.save_pretrained(state / "model")
    return str(trainer.accelerator.device)


def _scores(path: Path, questions: Sequence[Question]) -> Mapping[str, Sequence[float]]:
    """Scores by question.

    Raises:
        UserError: a question has none.
    """
    import pandas as pd

    table = pd.read_parquet(path)
    scores = {name: tuple(values) for name, values in zip(table["question"], table["scores"], strict=True)}
    if missing := [q.id for q in questions if q.id not in scores]:
        raise UserError(f"{path}: no scores for {len(missing)} of {len(questions)} questions (first: {missing[0]})")
    return scores


def _publish(spec: TrainSpec, state: Path, out: Path, block: dict[str, Any]) -> None:
    """Results appear whole, train.json last: with it, the training is done."""
    weights = {file.name: sha256(file) for file in sorted((state / "model").glob("*.safetensors"))}
    made = {"spec": spec.model_dump(), "weights": weights, "provenance": block}
    write_json(state / "model" / MADE_BY, made)
    flush_tree(state / "model")
    shutil.rmtree(out / "model", ignore_errors=True)
    (state / "model").rename(out / "model")
    for name in ("train.jsonl", "rollouts.jsonl"):
        with replacing(out / name) as temporary:
            shutil.copyfile(state / name, temporary)
    write_json(out / "train.json", made)
