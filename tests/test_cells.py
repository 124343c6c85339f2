"""Cells differ where, and only where, their specs do: in the specs of config.yaml and in the first step's batches."""

import json
from contextlib import closing
from itertools import combinations
from pathlib import Path

import pytest
from conftest import spec_of
from support import experiment

from stgrpo.records import Question
from stgrpo.specs import TrainSpec, train_spec

# From DESIGN's list of cells, by hand: what each differs in from `grpo`, whose values are the first row.
PLAIN = {
    "algorithm": "grpo",
    "grouping": "none",
    "selection": "weighted",
    "scores": False,
    "variants": 1,
    "generations": 8,
    "steps": 60,
    "score_temperature": 1.0,
    "identity": False,
    "condition": "variant",
    "ratio": "token",
    "pool": "group",
    "lora": None,
}
ST = {"grouping": "importance+spatial", "scores": True, "variants": 2, "generations": 4}
CELLS = {
    "grpo": {},
    "st-grpo": ST,
    "st-grpo-deterministic": {**ST, "grouping": "deterministic", "scores": False},
    "st-grpo-stochastic": {**ST, "grouping": "stochastic", "scores": False},
    "st-grpo-importance": {**ST, "grouping": "importance"},
    "st-grpo-top": {**ST, "selection": "top"},
    "st-grpo-m4g2": {**ST, "variants": 4, "generations": 2},
    "dr-grpo": {"algorithm": "dr_grpo"},
    "st-dr-grpo": {**ST, "algorithm": "dr_grpo"},
    "grpo-1000": {"steps": 120},
    "st-grpo-1000": {**ST, "steps": 120},
    # Table 6
    "st-grpo-uniform": {**ST, "selection": "uniform", "scores": False},
    "st-grpo-sharp": {**ST, "score_temperature": 0.02},
    "st-grpo-identity": {**ST, "identity": True},
    "st-grpo-original": {**ST, "condition": "original"},
    "st-grpo-sequence": {**ST, "ratio": "sequence"},
    "st-grpo-per-variant": {**ST, "pool": "variant"},
    "dr-grpo-no-std": {"algorithm": "dr_grpo_no_std"},
    "st-grpo-lora": {**ST, "lora": 64},
}
KNOBS = {name: {**PLAIN, **more} for name, more in CELLS.items()}
PAIRS = list(combinations(CELLS, 2))


def differing(a: dict, b: dict) -> set[str]:
    return {name for name in a if a[name] != b[name]}


def test_specs_differ_where_the_cells_do():
    demo = experiment()
    assert set(CELLS) == set(demo.trainable)
    specs = {name: train_spec(demo, name, 0).model_dump() for name in CELLS}
    for a, b in PAIRS:
        found = differing(specs[a], specs[b])
        print(f"{a:>22} | {b:<22} {', '.join(sorted(found))}")
        assert found == differing(KNOBS[a], KNOBS[b]), (a, b)


def fixture_spec(cell: str) -> TrainSpec:
    """A cell's knobs on the small videos of the tests, four questions a step."""
    knobs = {**KNOBS[cell], "scores": "fixture" if KNOBS[cell]["scores"] else None}
    return spec_of(**knobs, answers_per_step=32)


@pytest.fixture(scope="module")
def batches(
    policy_path: Path, questions: list[Question], scores: dict, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, dict]:
    """The first step of every cell, as the trainer's own sampler and rollouts lay it out."""
    from stgrpo.policy.model import load_policy
    from stgrpo.rl.rollouts import Rollouts
    from stgrpo.rl.trainer import STGRPOTrainer, trainer_config
    from stgrpo.video import FrameReader

    found = {}
    with FrameReader() as reader:
        for cell in CELLS:
            spec = fixture_spec(cell)
            policy = load_policy(policy_path)
            with closing(Rollouts(spec, policy, {q.id: q for q in questions}, scores, reader)) as rollouts:
                config = trainer_config(spec, tmp_path_factory.mktemp(cell), 16, 100)
                trainer = STGRPOTrainer(spec, policy, rollouts, config)
                names = trainer.train_dataset["prompt"]
                ids = [names[i] for _, i in zip(range(32), iter(trainer._get_train_sampler()), strict=False)]
                rows = rollouts.rows(ids, 0, 0)
            found[cell] = {
                "questions": ids,
                "variants": [row.number for row in rows],
                "answers": [row.answer for row in rows],
                "frames": [row.variant.frames for row in rows],
                "picture": [row.variant.spatial for row in rows],
                "pixels": [row.clip.pixels.double().sum().item() for row in rows],
                "judged on": [row.judged_clip.pixels.double().sum().item() for row in rows],
            }
    return found


IN_TIME = {"importance+spatial": "importance"}  # the same frames are drawn; the others are strategies of their own
IN_SPACE = {"stochastic", "importance+spatial"}  # and these two draw the picture alike


def expected(a: str, b: str) -> set[str]:
    """What two cells' batches differ in, by what each knob means.

    Algorithm, ratio, pool, lora and steps touch no batch; with the original as condition, answers are judged as those
    of `grpo` are.
    """
    one, other = KNOBS[a], KNOBS[b]
    knobs, pair = differing(one, other), (one["grouping"], other["grouping"])
    touched = {"variants", "answers"} if "variants" in knobs else set()
    if (
        knobs & {"variants", "selection", "score_temperature", "identity"}
        or len({IN_TIME.get(name, name) for name in pair}) == 2
    ):
        touched.add("frames")
    changed = [name in IN_SPACE for name in pair]
    if changed[0] != changed[1] or (all(changed) and knobs & {"variants", "identity"}):
        touched.add("picture")
    if touched & {"frames", "picture"}:
        touched.add("pixels")
    judged = [knob["grouping"] if knob["condition"] == "variant" else "none" for knob in (one, other)]
    if judged != ["none", "none"] and ("none" in judged or "pixels" in touched):
        touched.add("judged on")
    return touched


def test_first_batches_differ_where_the_knobs_reach(batches: dict[str, dict]):
    for a, b in PAIRS:
        found = differing(batches[a], batches[b])
        print(f"{a:>22} | {b:<22} {', '.join(sorted(found)) or 'nothing'}")
        assert found == expected(a, b), (a, b)


def test_the_first_variants_of_four_are_those_of_two(batches: dict[str, dict]):
    def drawn(cell: str) -> dict:
        batch = batches[cell]
        rows = zip(batch["questions"], batch["variants"], batch["frames"], batch["picture"], strict=True)
        return {(question, number): (frames, picture) for question, number, frames, picture in rows}

    two, four = drawn("st-grpo"), drawn("st-grpo-m4g2")
    assert len(two) == 8
    assert {key: four[key] for key in two} == two


@pytest.mark.parametrize("grouping", ["none", "importance+spatial"])
def test_a_longer_training_begins_as_the_shorter_one(
    policy_path: Path, questions: list[Question], scores: dict, tmp_path: Path, grouping: str
):
    """With a constant learning rate, so that 1000 steps hold the 500 of the sibling cell; two and four here."""
    import torch

    from stgrpo.rl.train import Runtime, train

    torch.set_num_threads(1)
    knobs = {} if grouping != "none" else {"variants": 1, "generations": 8}
    history = {}
    for steps in (2, 4):
        state = tmp_path / str(steps)
        state.mkdir()
        spec = spec_of(grouping, **knobs, steps=steps)
        train(spec, Runtime(16, 100), policy_path, questions, scores, state)
        rows = [json.loads(text) for text in (state / "train.jsonl").read_text().splitlines()]
        history[steps] = [{name: value for name, value in row.items() if name != "seconds"} for row in rows]
    assert len(history[4]) == 4
    assert history[4][:2] == history[2]
    assert history[4][2] != history[4][1]
