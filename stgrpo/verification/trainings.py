"""Trainings: spec, steps, what the logged numbers are made of, and whether two of them are one."""

import math
from collections import defaultdict
from collections.abc import Hashable, Iterable, Iterator
from pathlib import Path
from statistics import fmean, stdev

from stgrpo.files import read_json, read_records, read_rows
from stgrpo.records import Group
from stgrpo.specs import TrainSpec
from stgrpo.verification.blocks import ENDING, MADE_BY, Block, weights_of
from stgrpo.verification.places import Blocks, check_inputs, check_origin, check_questions, check_spec, named
from stgrpo.verification.tree import Mismatch, guarded

_LOGGED = 1e-4  # numbers are logged as float32
_FLAT = 1e-8  # rewards of one value


def check_training(one: Block, blocks: Blocks) -> Iterator[Mismatch]:
    """What a training says of itself: train.json, its copy beside the weights, its steps and its groups."""
    folder = one.path.parent
    spec = yield from check_spec(one, TrainSpec, one.around["spec"])
    for where, seed in (("its spec", spec.seed), ("its provenance", one.block["seed"])):
        if f"seed{seed}" != folder.name:
            yield Mismatch(one.path, f"stands in {folder.name}, {where} says seed {seed}")
    if read_json(folder / "model" / MADE_BY) != one.around:
        yield Mismatch(folder / "model" / MADE_BY, "says something else than train.json")
    yield from check_origin(one, spec.policy, blocks, "policy", MADE_BY)
    yield from check_questions(one, spec.questions, blocks)
    wanted = [one.scale / "questions" / "train.jsonl", *weights_of(one.scale / "policy")]
    if spec.scores:
        yield from check_origin(one, spec.scores, blocks, "scores", f"train{ENDING}")
        wanted.append(one.scale / "scores" / "train.parquet")
    yield from check_inputs(one, [named(path, one.scale) for path in wanted], more=True)
    yield from _steps(folder, spec)
    if told := one.block.get("continued"):
        yield from _continued(one, told["from"], told["step"], blocks)


def _continued(one: Block, name: str, step: int, blocks: Blocks) -> Iterator[Mismatch]:
    """That a training goes on from the end of one that is else the same, and says of its first steps what that says."""
    stem = blocks.get(Path(name).parts[2:])
    if stem is None or name not in one.block["inputs"]:
        yield Mismatch(one.path, f"goes on from {name}, which is not there or not among its inputs")
        return
    theirs, ours = stem.around["spec"], one.around["spec"]
    if theirs["steps"] != step or step >= ours["steps"] or theirs | {"steps": ours["steps"]} != ours:
        yield Mismatch(one.path, f"goes on from step {step} of {stem.path}, which is of another spec or length")
    path = one.path.with_suffix(".jsonl")
    if read_rows(path)[:step] != read_rows(stem.path.with_suffix(".jsonl")):
        yield Mismatch(path, f"goes on from {stem.path}, but its first {step} steps are not those")


def check_copies(trainings: Iterable[Block]) -> Iterator[Mismatch]:
    """Trainings by different specs that left the same weights or went the same way: one of them is a copy."""
    first: dict[Hashable, Block] = {}
    for one in trainings:
        yield from guarded(one.path, _copy(one, first))


def _copy(one: Block, first: dict[Hashable, Block]) -> Iterator[Mismatch]:
    weights = frozenset((name, h) for name, h in one.around["weights"].items() if name.endswith(".safetensors"))
    steps = [{n: v for n, v in row.items() if n != "seconds"} for row in read_rows(one.path.with_suffix(".jsonl"))]
    if all(row["flat_groups"] == 1 for row in steps):
        return  # nothing was learned: all such trainings end alike
    for what, left in (("weights", weights), ("steps", str(steps))):
        other = first.setdefault((what, left), one)
        if left and other.block["spec"] != one.block["spec"]:
            yield Mismatch(one.path, f"has the {what} of {other.path}, which is of another spec")


def _steps(folder: Path, spec: TrainSpec) -> Iterator[Mismatch]:
    path = folder / "train.jsonl"
    rows, wanted = read_rows(path), list(range(1, spec.steps + 1))
    if [row.get("step") for row in rows] != wanted:
        yield Mismatch(path, f"does not hold steps 1 to {spec.steps}, one a line")
        return
    groups: dict[int, list[Group]] = defaultdict(list)
    for group in read_records(folder / "groups.jsonl", Group):
        groups[group.step].append(group)
    if sorted(groups) != wanted or any(len(found) != spec.questions_per_step for found in groups.values()):
        yield Mismatch(folder / "groups.jsonl", f"does not hold {spec.questions_per_step} groups of every step")
        return
    for row in rows:
        for name, again in _numbers(groups[row["step"]]).items():
            if not math.isclose(found := row[name], again, rel_tol=_LOGGED, abs_tol=_LOGGED):
                yield Mismatch(path, f"step {row['step']}: {name} is {found:g}, from groups.jsonl it is {again:g}")
                return


def _numbers(groups: list[Group]) -> dict[str, float]:
    """What a step logs of its groups."""
    spreads = [stdev(group.rewards) for group in groups]
    return {
        "reward": fmean(reward for group in groups for reward in group.rewards),
        "accuracy": fmean(credit for group in groups for credit in group.correct),
        "reward_std": fmean(spreads),
        "flat_groups": fmean(spread <= _FLAT for spread in spreads),
    }
