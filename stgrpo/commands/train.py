"""Train one cell; a killed run goes on from its newest whole checkpoint.

Writes, when the last step is done: model/ (the last checkpoint's weights), train.json (the spec, hashes of the weights,
provenance), train.jsonl (metrics a step), groups.jsonl (rewards and advantages of every group) and rollouts.jsonl (some
answers, readable). Until then everything grows in STATE.

Exit status 75 says that the time given by --minutes is used up: run the same again, and it goes on. With --nodes, srun
starts this verb once a rank.
"""

import os
import shutil
import signal
import sys
import tempfile
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, NoReturn, get_args

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
    out_of_space,
    refuse_lost_gpus,
)
from stgrpo.errors import UserError
from stgrpo.files import flush_tree, hashes, read_json, read_records, replacing, sha256, write_json
from stgrpo.importance.scores import read_scores
from stgrpo.provenance import provenance
from stgrpo.records import Question
from stgrpo.rl.attempts import Attempts, FullDisk, done_by_this_job, leave_word
from stgrpo.rl.budget import Budget, process_start
from stgrpo.rl.checkpoints import (
    HISTORY,
    check_layout,
    checkpoint_of,
    cut_history,
    layout,
    newest,
    read_deepspeed,
    resume_point,
    resuming,
    step_of,
    take_model,
    write_time,
)
from stgrpo.rl.launch import launch
from stgrpo.rl.nodes import train_together
from stgrpo.rl.stem import go_on, leave, leave_nothing, origin
from stgrpo.rules import Sharing
from stgrpo.specs import TrainSpec
from stgrpo.state import StillRunning, job_key, prune, state_folder


def register(parser: ArgumentParser) -> None:
    """Arguments of the verb."""
    add_spec(parser)
    add_threads(parser)
    parser.add_argument("--questions", type=Path, required=True, help="training questions")
    parser.add_argument("--scores", type=Path, help="frame scores; importance groupings need them")
    parser.add_argument("--policy", type=Path, required=True, help="folder of the policy to start from")
    parser.add_argument("--micro-rows", type=int, required=True, help="answers in one pass")
    parser.add_argument(
        "--sharing", choices=get_args(Sharing), default="prefix", help="what the answers of a pass share"
    )
    parser.add_argument("--save-steps", type=int, required=True, help="steps between two checkpoints")
    parser.add_argument("--nodes", type=int, default=1, help="nodes; if several, srun starts every rank (default: 1)")
    parser.add_argument("--processes", type=int, default=1, help="ranks on a node, one a GPU (default: 1)")
    parser.add_argument("--deepspeed", type=Path, metavar="JSON", help="spread the training over the ranks by ZeRO")
    parser.add_argument("--minutes", type=float, help="time of the job; before it is over, a checkpoint and status 75")
    parser.add_argument("--stem", type=Path, metavar="JSON", help="train.json of the shorter training to go on from")
    parser.add_argument("--keep", action="store_true", help="leave the last checkpoint to a longer training")
    parser.add_argument("--state", type=Path, required=True, help="folder for what grows")
    parser.add_argument("--out", type=Path, required=True, help="folder of the cell and seed")


def run(args: Namespace) -> None:
    """Hold the state's lock while the ranks train, then put the results in place."""
    spec = TrainSpec.parse(args.spec)
    work, lead = partial(_train, spec, args, process_start()), partial(_lead, spec, args)
    # What Slurm sends before it takes a job back, or cancels it: no fault of the training's, as no Ctrl-C is.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        if args.nodes > 1:
            train_together(args.nodes, args.processes, work, lead, partial(leave_word, args.state))
        else:
            lead(lambda checkpoint: launch(work, (checkpoint,), args.processes))
    except KeyboardInterrupt:
        sys.exit(f"train: interrupted; run again, and it goes on from step {step_of(newest(args.state))}")
    except StillRunning as error:
        if args.minutes is None:
            raise
        print(f"{error}: the next job looks again")
        sys.exit(os.EX_TEMPFAIL)


def _lead(spec: TrainSpec, args: Namespace, start: Callable[[Path | None], None]) -> None:
    """Everything but the work of the ranks, which `start` lets go on from a checkpoint."""
    how = layout(args.nodes * args.processes, read_deepspeed(args.deepspeed, args.nodes * args.processes))
    made_by(args.policy, spec.policy)
    inputs = hashes(path for path in (args.questions, args.scores, *model_files(args.policy)) if path)
    key = job_key(spec.canonical(), inputs.values())
    with state_folder(args.state, key) as state, _full_disk_told(state):
        if done_by_this_job(args.out / "train.json", key):
            _clear(state, args, spec.steps, key)
            print(
                f"{args.out}: an earlier start of this Slurm job has finished the training; there is nothing left to do"
            )
            return
        attempts = _earlier_attempts(state, spec.steps)
        own = resume_point(state)
        cut_history(state, step_of(own))
        checkpoint = own or go_on(args.stem, spec, inputs.values(), state, how)
        if checkpoint:
            check_layout(checkpoint, how)
            with resuming(checkpoint):
                read_json(checkpoint / "trainer_state.json")
            print(f"resuming from step {step_of(checkpoint)} of {spec.steps} ({checkpoint})")
        with attempts.one_more(step_of(checkpoint), _log(args.out)), _full_disk_told(state):
            if step_of(checkpoint) < spec.steps:  # or it was killed after its last checkpoint
                start(checkpoint)
            done = step_of(newest(state))
            if done < spec.steps:
                attempts.out_of_time()
                _say_goodbye(args.minutes, done, spec.steps, done - step_of(checkpoint))
            _publish(spec, state, args, _provenance(spec, args, inputs, key, how, attempts))
        _clear(state, args, spec.steps, key)
    print(f"wrote {args.out}/model and train.json after {spec.steps} steps")


def _clear(state: Path, args: Namespace, steps: int, key: str) -> None:
    """Leave nothing of the state, but the last checkpoint where a longer training is to go on from it."""
    if args.keep:
        leave(checkpoint_of(state, steps), args.out, key)
    else:
        leave_nothing(args.out)
    prune(state)


def _earlier_attempts(state: Path, steps: int) -> Attempts:
    """What has been tried before, told.

    Raises:
        UserError: it is of no use to try again.
    """
    attempts = Attempts(state, steps)
    for text in attempts.told():
        print(text)
    attempts.refuse_a_third(step_of(newest(state)))
    return attempts


def _say_goodbye(minutes: float, done: int, steps: int, progress: int) -> NoReturn:
    """End with the status that means: not now, but later."""
    little = "; it had time for one step only: give it more" if progress == 1 else ""
    print(
        f"the {minutes:g} minutes of the job are used up at step {done} of {steps}; a checkpoint is written, "
        f"the next job goes on from it{little}"
    )
    sys.exit(os.EX_TEMPFAIL)


def _log(out: Path) -> str | None:
    """Where what this process says is kept: the file behind standard output, or the workflow's log of all attempts."""
    for path in (Path("/proc/self/fd/1").resolve(), out / "logs" / "attempts.log"):
        if path.is_file():
            return str(path)
    return None


def _provenance(
    spec: TrainSpec, args: Namespace, inputs: Mapping[str, str], key: str, how: str, attempts: Attempts
) -> dict[str, Any]:
    runtime = {"micro_rows": args.micro_rows, "save_steps": args.save_steps, "threads": args.threads}
    runtime |= {"sharing": args.sharing}
    runtime |= {"nodes": args.nodes, "processes": args.processes, "ranks": how}
    scores = [origin_of(args.scores)] if args.scores else []
    data, origins = inherited(origin_of(args.questions), args.policy / MADE_BY, *scores)
    sharding = hashes([args.deepspeed]) if args.deepspeed else {}
    stem = origin(args.state)
    taken_over = {stem["from"]: stem["sha256"]} if stem else {}
    return provenance(
        spec.hash(),
        seed=spec.seed,
        device=device_name(),
        data=data,
        inputs={**inputs, **origins, **sharding, **taken_over},
        outputs={name: sha256(args.state / name) for name in HISTORY},
        key=key,
        continued={"from": stem["from"], "step": stem["step"]} if stem else None,
        runtime=runtime,
        attempts=attempts.finished(),
    )


def _train(spec: TrainSpec, args: Namespace, began: float, checkpoint: Path | None) -> None:
    """The work of one rank of a verb that began at that instant (`process_start`)."""
    with importing():
        import torch

        from stgrpo.rl.train import Runtime, train

    torch.set_num_threads(args.threads)
    refuse_lost_gpus()
    questions = read_records(args.questions, Question)
    scores = read_scores(args.scores, [question.id for question in questions]) if spec.scores else {}
    deepspeed = read_deepspeed(args.deepspeed, args.nodes * args.processes)
    budget = Budget(began, args.minutes, write_time(checkpoint) if checkpoint else None) if args.minutes else None
    runtime = Runtime(args.micro_rows, args.save_steps, args.sharing, deepspeed, budget)
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
        raise FullDisk(
            f"{state}: no space left on the disk; free some and run again: it goes on from step {step}"
        ) from error


def _is_full(folder: Path) -> bool:
    try:
        with tempfile.TemporaryFile(dir=folder) as probe:
            probe.write(bytes(2**20))
    except OSError as error:
        return out_of_space(error)
    return False


def _publish(spec: TrainSpec, state: Path, args: Namespace, block: dict[str, Any]) -> None:
    """Results appear whole, train.json last: with it, the training is done. The weights are the last checkpoint's."""
    out, last = args.out, checkpoint_of(state, spec.steps)
    if spec.lora:
        from stgrpo.rl.adapters import merge_adapters

        merge_adapters(args.policy, last, state / "model")
    else:
        take_model(last, state / "model")
    files = {file.name: sha256(file) for file in model_files(state / "model")}
    weights = {name: digest for name, digest in files.items() if name.endswith(".safetensors")}
    block["outputs"] |= {f"model/{name}": digest for name, digest in files.items() if name not in weights}
    made = {"spec": spec.model_dump(), "weights": weights, "provenance": block}
    write_json(state / "model" / MADE_BY, made)
    flush_tree(state / "model")
    shutil.rmtree(out / "model", ignore_errors=True)
    (state / "model").rename(out / "model")
    for name in HISTORY:
        with replacing(out / name) as temporary:
            shutil.copyfile(state / name, temporary)
    write_json(out / "train.json", made)
