"""Train one cell; a killed run goes on from its newest whole checkpoint.

Writes, when the last step is done: model/ (the last checkpoint's weights), train.json (the spec, hashes of the weights,
provenance), train.jsonl (metrics a step) and rollouts.jsonl (some answers, readable). Until then everything grows in
STATE.
"""

import shutil
import tempfile
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from stgrpo.commands import MADE_BY, add_spec, add_threads, made_by, model_files, out_of_space
from stgrpo.errors import UserError
from stgrpo.files import flush_tree, read_json, read_records, replacing, sha256, write_json
from stgrpo.provenance import provenance
from stgrpo.records import Question
from stgrpo.rl.checkpoints import (
    check_layout,
    checkpoint_of,
    cut_history,
    layout,
    newest,
    resume_point,
    step_of,
    take_model,
)
from stgrpo.rl.launch import launch
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
    parser.add_argument("--processes", type=int, default=1, help="ranks on this machine, one a GPU (default: 1)")
    parser.add_argument("--deepspeed", type=Path, metavar="JSON", help="spread the training over the ranks by ZeRO")
    parser.add_argument("--state", type=Path, required=True, help="folder for what grows")
    parser.add_argument("--out", type=Path, required=True, help="folder of the cell and seed")


def run(args: Namespace) -> None:
    """Hold the state's lock while the ranks train, then put the results in place."""
    spec = TrainSpec.parse(args.spec)
    deepspeed = _deepspeed(args.deepspeed, args.processes)
    made_by(args.policy, spec.policy)
    inputs = [path for path in (args.questions, args.scores, *model_files(args.policy)) if path]
    with state_folder(args.state, job_key(spec.canonical(), inputs)) as state, _full_disk_told(state):
        how = layout(args.processes, deepspeed)
        checkpoint = resume_point(state)
        cut_history(state, step_of(checkpoint))
        if checkpoint:
            check_layout(checkpoint, how)
            print(f"resuming from step {step_of(checkpoint)} of {spec.steps} ({checkpoint})", flush=True)
        if step_of(checkpoint) < spec.steps:  # or it was killed after its last checkpoint
            launch(_train, (spec, args, deepspeed, checkpoint), args.processes)
        runtime = {"micro_rows": args.micro_rows, "save_steps": args.save_steps, "threads": args.threads, "ranks": how}
        _publish(spec, state, args.out, provenance(spec.hash(), seed=spec.seed, device=_device(), runtime=runtime))
        prune(state)
    print(f"wrote {args.out}/model and train.json after {spec.steps} steps")


def _deepspeed(path: Path | None, processes: int) -> dict[str, Any] | None:
    """DeepSpeed's configuration.

    Raises:
        UserError: it says nothing about ZeRO, or there is one process only.
    """
    if path is None:
        return None
    if processes < 2:
        raise UserError(f"--deepspeed {path}: nothing to spread over {processes} process; give --processes 2 or more")
    found = read_json(path)
    if not isinstance(found, dict) or "stage" not in found.get("zero_optimization", {}):
        raise UserError(f"{path}: no zero_optimization.stage; give envs/zero2.json or envs/zero3.json")
    return found


def _train(spec: TrainSpec, args: Namespace, deepspeed: dict[str, Any] | None, checkpoint: Path | None) -> None:
    """The work of one rank."""
    import torch

    from stgrpo.rl.train import Runtime, train

    torch.set_num_threads(args.threads)
    questions = read_records(args.questions, Question)
    scores = _scores(args.scores, questions) if spec.scores else {}
    runtime = Runtime(args.micro_rows, args.save_steps, deepspeed)
    with _full_disk_told(args.state):
        train(spec, runtime, args.policy, questions, scores, args.state, checkpoint)


@contextmanager
def _full_disk_told(state: Path) -> Iterator[None]:
    """A full disk as one line that says from where the next start goes on.

    torch.save does not hand on what the system said ("iostream error"), so after any failure the disk itself is asked.
    """
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        if not out_of_space(error) and not _is_full(state):
            raise
        step = step_of(newest(state))
        raise UserError(
            f"{state}: no space left on the disk; free some and run again: it goes on from step {step}"
        ) from error


def _is_full(folder: Path) -> bool:
    try:
        with tempfile.TemporaryFile(dir=folder) as probe:
            probe.write(bytes(2**20))
    except OSError as error:
        return out_of_space(error)
    return False


def _device() -> str:
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


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
    """Results appear whole, train.json last: with it, the training is done. The weights are the last checkpoint's."""
    take_model(checkpoint_of(state, spec.steps), state / "model")
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
