"""A training that goes on from the end of a shorter one equals one that takes all steps itself."""

import shutil
from pathlib import Path
from typing import Any

import pytest
from conftest import spec_of
from probe import probe
from support import experiment
from test_resume import as_files, finish, history, start_verb

from stgrpo.__main__ import main
from stgrpo.config import Experiment
from stgrpo.files import read_json, read_records, sha256, write_json
from stgrpo.loading import load_experiment
from stgrpo.records import Rollout
from stgrpo.rl import stem as stem_module
from stgrpo.rl.rewards import COMPONENTS
from stgrpo.rl.stem import left_behind
from stgrpo.specs import TrainSpec

slow = pytest.mark.slow

# Which cells have a stem.


def with_cells(**cells: dict[str, Any]) -> Experiment:
    """Scale demo, where 500 steps are 60, with further cells that are made on request."""
    raw = experiment().model_dump(mode="json", by_alias=True, exclude_unset=True)
    raw["cells"] |= cells
    raw["scales"]["demo"]["on_request"]["cells"] += list(cells)
    return load_experiment(raw)


@pytest.mark.parametrize("scale", ["demo", "paper"])
def test_the_cells_of_1000_steps_go_on_from_those_of_500(scale: str):
    chosen = experiment(scale)
    stems = {cell: chosen.stem(cell) for cell in chosen.trainable}
    assert {cell: stem for cell, stem in stems.items() if stem} == {"grpo-1000": "grpo", "st-grpo-1000": "st-grpo"}
    assert [cell for cell in chosen.trainable if chosen.is_stem(cell)] == ["grpo", "st-grpo"]


CELLS = [
    ({"from": "grpo", "steps": 600}, "grpo", "more steps and nothing else"),
    ({"from": "grpo", "steps": 600, "algorithm": "dr_grpo"}, None, "two knobs differ"),
    ({"from": "grpo", "steps": 600, "algorithm": "grpo"}, "grpo", "said again, it is the same"),
    ({"from": "grpo", "steps": 400}, None, "fewer steps"),
    ({"from": "grpo", "steps": 501}, None, "as many, at this scale"),
    ({"from": "grpo-1000", "steps": 2000}, "grpo-1000", "a chain"),
    ({"from": "dr-grpo", "algorithm": "grpo", "steps": 1000}, None, "only the parent is looked at"),
    ({"steps": 1000}, None, "without a parent"),
    ({"from": "base", "train": True, "steps": 1000}, None, "the parent is not trained"),
]


@pytest.mark.parametrize(("cell", "stem", "why"), CELLS, ids=lambda v: str(v)[:40])
def test_a_stem_is_the_parent_with_fewer_steps(cell: dict[str, Any], stem: str | None, why: str):
    chosen = with_cells(longer=cell)
    assert chosen.stem("longer") == stem, why
    assert chosen.stem("grpo-1000") == "grpo", "a cell that is added changes no other one's"


def test_a_parent_that_is_no_cell_of_the_scale_is_no_stem():
    raw = experiment().model_dump(mode="json", by_alias=True, exclude_unset=True)
    raw["scales"]["demo"] |= {"cells": ["grpo-1000"], "tables": [], "figures": [], "on_request": {}}
    assert load_experiment(raw).stem("grpo-1000") is None


# Trainings. The stem takes 3 steps, the longer one 5; rollouts are kept of the first and of the last.

SHORT, LONG = spec_of(steps=3), spec_of(steps=5)


@pytest.fixture
def inputs(tmp_path: Path, questions, scores, policy_path, monkeypatch) -> dict[str, Path]:
    monkeypatch.setitem(COMPONENTS, "accuracy", probe)  # a random policy earns nothing, and would learn nothing
    return as_files(tmp_path, questions, scores, policy_path)


def words(spec: TrainSpec, out: Path, inputs: dict[str, Path], *more: str) -> list[str]:
    given = ["train", "--spec", spec.canonical(), "--out", str(out), "--state", f"{out}/state/train"]
    given += ["--micro-rows=8", "--save-steps=2"]
    return [*given, *(f"--{name}={path}" for name, path in inputs.items()), *more]


def train(*args: Any) -> None:
    assert main(words(*args)) == 0


def assert_equal(one: Path, other: Path) -> None:
    """The same weights and history, times aside."""
    assert sha256(one / "model" / "model.safetensors") == sha256(other / "model" / "model.safetensors")
    assert history(one) == history(other)
    for name in ("rollouts.jsonl", "groups.jsonl"):
        assert (one / name).read_bytes() == (other / name).read_bytes()


@slow
@pytest.mark.parametrize("lora", [None, 4], ids=["all weights", "LoRA"])
def test_what_goes_on_ends_bit_for_bit_like_what_takes_all_steps(tmp_path, inputs, capsys, lora: int | None):
    short, long = spec_of(steps=3, lora=lora), spec_of(steps=5, lora=lora)
    first, calm, last = (tmp_path / name for name in ("first", "calm", "last"))
    train(short, first, inputs, "--keep")
    left = left_behind(first, 3)
    assert left == first / "state" / "last" / "checkpoint-3"
    before = sha256(first / "model" / "model.safetensors")
    assert {path.name for path in (first / "state" / "train").iterdir()} == {"lock"}
    capsys.readouterr()

    train(long, last, inputs, f"--stem={first}/train.json")
    said = capsys.readouterr().out
    assert f"the first 3 steps are those of {first}\n" in said
    assert "resuming from step 3 of 5" in said
    assert not left.exists(), "moved, not copied"
    assert sha256(first / "model" / "model.safetensors") == before
    train(long, calm, inputs)
    assert_equal(last, calm)
    assert before != sha256(last / "model" / "model.safetensors"), "or nothing was compared"
    assert {r.step for r in read_records(first / "rollouts.jsonl", Rollout)} == {1, 3}
    assert {r.step for r in read_records(last / "rollouts.jsonl", Rollout)} == {1, 5}

    block = read_json(last / "train.json")["provenance"]
    assert block["continued"] == {"from": f"{first}/train.json", "step": 3}
    assert block["inputs"][f"{first}/train.json"] == sha256(first / "train.json")
    assert [attempt["start"] for attempt in block["attempts"]] == [3]
    assert read_json(calm / "train.json")["provenance"]["continued"] is None


@slow
def test_killed_between_history_and_checkpoint_it_goes_on_all_the_same(tmp_path, inputs, monkeypatch):
    first, calm, last = (tmp_path / name for name in ("first", "calm", "last"))
    train(SHORT, first, inputs, "--keep")
    own, real = last / "state" / "train", stem_module.put_in_place

    def killed(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:  # before the checkpoint is moved
        patch.setattr(stem_module, "put_in_place", killed)
        with pytest.raises(SystemExit):
            main(words(LONG, last, inputs, f"--stem={first}/train.json"))
    assert (own / "train.jsonl").read_bytes() == (first / "train.jsonl").read_bytes()
    assert left_behind(first, 3).exists()

    def killed_after(one: Path, other: Path) -> None:
        real(one, other)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(stem_module, "put_in_place", killed_after)
        with pytest.raises(SystemExit):
            main(words(LONG, last, inputs, f"--stem={first}/train.json"))
    assert (own / "checkpoint-3").exists()
    assert not left_behind(first, 3).exists()

    train(LONG, last, inputs, f"--stem={first}/train.json")
    train(LONG, calm, inputs)
    assert_equal(last, calm)
    assert read_json(last / "train.json")["provenance"]["continued"]["step"] == 3


@slow
def test_killed_while_it_leaves_its_checkpoint_it_is_not_lost(tmp_path, inputs, monkeypatch, capsys):
    def killed(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(stem_module, "put_in_place", killed)
        with pytest.raises(SystemExit):
            main(words(SHORT, tmp_path / "out", inputs, "--keep"))
    assert (tmp_path / "out" / "state" / "train" / "checkpoint-3" / "complete.json").exists()
    train(SHORT, tmp_path / "out", inputs, "--keep")
    assert "resuming from step 3 of 3" in capsys.readouterr().out
    assert (left_behind(tmp_path / "out", 3) / "complete.json").exists()


@pytest.fixture(scope="module")
def finished(tmp_path_factory, questions, scores, policy_path) -> tuple[Path, dict[str, Path]]:
    """A short training that left its checkpoint, and its inputs."""
    folder = tmp_path_factory.mktemp("stem")
    given = as_files(folder, questions, scores, policy_path)
    said = finish(start_verb(SHORT, folder / "first", given, *words(SHORT, folder / "first", {}, "--keep")[3:]))
    assert "after 3 steps" in said
    return folder / "first", given


def other_key(first: Path) -> None:
    made = read_json(first / "train.json")
    made["provenance"]["key"] = "0" * 16
    write_json(first / "train.json", made)


def other_layout(first: Path) -> None:
    mark = left_behind(first, 3) / "complete.json"
    write_json(mark, read_json(mark) | {"layout": "ZeRO-3 over 4 processes"})


def half(first: Path) -> None:
    (left_behind(first, 3) / "complete.json").unlink()


def of_an_older_training(first: Path) -> None:
    write_json(left_behind(first, 3).parent / "key.json", {"key": "0" * 16})


def with_other_history(first: Path) -> None:
    (first / "train.jsonl").write_text("{}\n")


UNFIT = [
    (other_key, LONG, "trained from other inputs or by other code"),
    (
        other_layout,
        LONG,
        "its last checkpoint holds the optimizer's state as 'ZeRO-3 over 4 processes', this run needs",
    ),
    (half, LONG, "left no last checkpoint, or another training has gone on from it"),
    (of_an_older_training, LONG, "left no last checkpoint, or another training has gone on from it"),
    (with_other_history, LONG, "train.jsonl was changed after the training"),
    (lambda _: None, spec_of(steps=5, beta=0.2), "trained by a spec that differs in more than fewer steps"),
    (lambda _: None, spec_of(steps=5, seed=1), "trained by a spec that differs in more than fewer steps"),
    (lambda _: None, spec_of(steps=2), "trained by a spec that differs in more than fewer steps"),
]


@slow
@pytest.mark.parametrize(("spoil", "spec", "why"), UNFIT, ids=[f"{row[0].__name__}: {row[2][:20]}" for row in UNFIT])
def test_a_stem_that_does_not_fit_is_left_alone_and_said(tmp_path, finished, monkeypatch, capsys, spoil, spec, why):
    before, inputs = finished
    first = tmp_path / "first"
    shutil.copytree(before, first)
    spoil(first)

    def begun(*_: Any) -> None:
        raise KeyboardInterrupt  # it would train now

    monkeypatch.setattr("stgrpo.commands.train.launch", begun)
    with pytest.raises(SystemExit, match="it goes on from step 0"):
        main(words(spec, tmp_path / "out", inputs, f"--stem={first}/train.json"))
    said = capsys.readouterr().out.splitlines()
    assert len(said) == 1
    assert said[0].startswith(f"{first}: {why}")
    assert said[0].endswith("; its steps are done again, with the same result")
    assert left_behind(first, 3).exists()


@slow
def test_a_checkpoint_that_another_training_took_meanwhile_is_done_without(tmp_path, finished, monkeypatch, capsys):
    """Between the look at it and its renaming."""
    before, inputs = finished
    first, taken = tmp_path / "first", tmp_path / "taken"
    shutil.copytree(before, first)
    real = stem_module._take_history

    def slowly(*args: Any) -> None:
        real(*args)
        left_behind(first, 3).rename(taken)

    def begun(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(stem_module, "_take_history", slowly)
    monkeypatch.setattr("stgrpo.commands.train.launch", begun)
    with pytest.raises(SystemExit, match="it goes on from step 0"):
        main(words(LONG, tmp_path / "out", inputs, f"--stem={first}/train.json"))
    assert "its last checkpoint cannot be moved (No such file or directory)" in capsys.readouterr().out
    state = tmp_path / "out" / "state" / "train"
    assert (state / "train.jsonl").read_bytes() == b""
    assert not (state / "stem.json").exists()
