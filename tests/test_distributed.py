"""Several ranks, by DDP and by DeepSpeed, end where one process ends, and end together."""

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import spec_of
from safetensors.torch import load_file
from support import ROOT
from test_resume import as_files, finish, history, start_verb, wait_for

from stgrpo.policy.model import load_policy

pytestmark = pytest.mark.slow

STEPS = 3
SPEC = spec_of(steps=STEPS, learning_rate=1e-4, beta=1.0)  # from the second step on, beta times a KL that is not zero
TWO = ("--processes=2", "--micro-rows=4")
ENGINES = {
    "one process": ("--micro-rows=8",),
    "DDP": TWO,
    "ZeRO-2": (*TWO, f"--deepspeed={ROOT / 'envs/zero2.json'}"),
    "ZeRO-3": (*TWO, f"--deepspeed={ROOT / 'envs/zero3.json'}"),
}
RANKS = ("DDP", "ZeRO-2", "ZeRO-3")

Start = Callable[..., subprocess.Popen]


@pytest.fixture(scope="module")
def inputs(tmp_path_factory, questions, scores, policy_path) -> dict[str, Path]:
    return as_files(tmp_path_factory.mktemp("inputs"), questions, scores, policy_path)


@pytest.fixture(scope="module")
def start(inputs: Mapping[str, Path]) -> Start:
    def start_engine(engine: str, out: Path, **environment: str) -> subprocess.Popen:
        return start_verb(SPEC, out, inputs, "--save-steps=2", *ENGINES[engine], **environment)

    return start_engine


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory, start: Start) -> Callable[[str], Path]:
    """The results of an engine, trained once."""
    folder = tmp_path_factory.mktemp("undisturbed")

    def train(engine: str) -> Path:
        out = folder / engine
        if not out.exists():
            finish(start(engine, out))
        return out

    return train


def weights(out: Path) -> dict[str, torch.Tensor]:
    return load_file(out / "model" / "model.safetensors")


def distance(one: Mapping[str, torch.Tensor], other: Mapping[str, torch.Tensor]) -> float:
    """Euclidean, over all weights."""
    assert one.keys() == other.keys()
    return sum(float((one[name] - other[name]).double().square().sum()) for name in one) ** 0.5


def compare(found: Path, expected: Path, policy: Path) -> None:
    """Losses to 1e-6; gradient norms and weights to 1e-6 of themselves.

    The weights as a whole, by Euclidean norm: AdamW divides by the gradient's own size, so the few weights whose
    gradient is nothing but rounding may move up to the learning rate either way. For the same reason the second
    condition: the two went the same way, not just hardly anywhere.
    """
    pairs = list(zip(history(found), history(expected), strict=True))
    assert [row["step"] for row, _ in pairs] == list(range(1, STEPS + 1))
    assert all(row["loss"] > 1e-2 for row, _ in pairs[1:])
    for row, wanted in pairs:
        assert row["loss"] == pytest.approx(wanted["loss"], abs=1e-6)
        assert row["grad_norm"] == pytest.approx(wanted["grad_norm"], rel=1e-6)
        for name in ("reward", "reward_std", "between_variants", "within_variants", "flat_groups"):
            assert row[name] == pytest.approx(wanted[name], abs=1e-6), name
    ours, theirs, start = weights(found), weights(expected), load_file(policy / "model.safetensors")
    nothing = {name: torch.zeros_like(value) for name, value in theirs.items()}
    assert distance(ours, theirs) < 1e-6 * distance(theirs, nothing)
    assert distance(ours, theirs) < 1e-3 * distance(theirs, start)


def groups(out: Path) -> str:
    """All groups of all steps, with all ranks' answers."""
    text = (out / "groups.jsonl").read_text()
    rows = [json.loads(line) for line in text.splitlines()]
    assert [row["step"] for row in rows] == sorted([*range(1, STEPS + 1)] * (len(rows) // STEPS))
    assert any(min(row["advantages"]) < 0 < max(row["advantages"]) for row in rows), "nothing compared"
    return text


@pytest.mark.parametrize("engine", ["ZeRO-2", "ZeRO-3"])
def test_zero_equals_ddp(undisturbed, policy_path, engine: str):
    compare(undisturbed(engine), undisturbed("DDP"), policy_path)


def test_two_processes_equal_one(undisturbed, policy_path):
    """No looser than between the engines: the answers are sampled with the same keys, and in float32 come out equal."""
    found, expected = undisturbed("DDP"), undisturbed("one process")
    compare(found, expected, policy_path)
    assert groups(found) == groups(expected)


def test_two_processes_equal_one_where_a_variant_s_pool_is_spread_over_both(tmp_path, inputs, policy_path):
    """M = 3, G = 4, six rows a rank: variant 1 has two answers on each. Judged on the original, as another control."""
    more = {"answers_per_step": 12, "learning_rate": 1e-4, "beta": 1.0, "pool": "variant", "condition": "original"}
    spec = spec_of(variants=3, generations=4, steps=STEPS, **more)
    one, two = tmp_path / "one", tmp_path / "two"
    finish(start_verb(spec, one, inputs, "--save-steps=2", "--micro-rows=6"))
    finish(start_verb(spec, two, inputs, "--save-steps=2", "--processes=2", "--micro-rows=3"))
    compare(two, one, policy_path)
    assert groups(two) == groups(one)


def test_bf16_is_used_and_only_in_products_on_every_rank(tmp_path, inputs, undisturbed, policy_path):
    """DDP and ZeRO-2 agree while they round alike, and float32 is something else.

    The first step starts from equal weights: equal answers, and gradients that differ in the order of float32 sums
    only, far closer than the 2^-9 of a sum in bf16. After it, a weight in the last bit of float32 may fall to another
    bf16 number in the next product, so that the second step's KL is held to 2^-8 of itself.
    """
    spec, found = spec_of(steps=2, learning_rate=1e-4, beta=1.0, precision="bf16"), {}
    for engine in ("DDP", "ZeRO-2"):
        found[engine] = tmp_path / engine
        finish(start_verb(spec, found[engine], inputs, "--save-steps=2", *ENGINES[engine], PROBE_AUTOCAST="1"))
    ours, ddp, fp32 = (history(out) for out in (found["ZeRO-2"], found["DDP"], undisturbed("DDP")))
    for name in ("reward", "reward_std", "between_variants", "within_variants"):
        assert [row[name] for row in ours] == pytest.approx([row[name] for row in ddp], abs=1e-6), name
    assert ours[0]["grad_norm"] == pytest.approx(ddp[0]["grad_norm"], rel=1e-6)
    assert ddp[1]["loss"] > 1e-2, "beta times a KL that is not zero"
    assert ours[1]["loss"] == pytest.approx(ddp[1]["loss"], rel=2**-8)
    for row in (ours[0], ddp[0]):
        assert abs(row["grad_norm"] / fp32[0]["grad_norm"] - 1) > 1e-4, "nothing was computed in bf16"

    ended = {engine: weights(out) for engine, out in found.items()}
    assert {value.dtype for made in ended.values() for value in made.values()} == {torch.float32}
    moved = distance(ended["DDP"], load_file(policy_path / "model.safetensors"))
    assert moved > 0.01
    # gradients summed over the ranks in bf16 would put them a tenth of that apart
    assert distance(ended["ZeRO-2"], ended["DDP"]) < 0.01 * moved


def nobody_left(group: int) -> bool:
    """Whether a session has no process any more."""
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return True
    return False


def gone(group: int) -> bool:
    """Whether a session empties by itself: a decoder takes a moment to see that nobody reads what it sends."""
    deadline = time.monotonic() + 20
    while not nobody_left(group) and time.monotonic() < deadline:
        time.sleep(0.05)
    return nobody_left(group)


def master_weights(checkpoint: Path) -> dict[str, torch.Tensor]:
    """The weights that the ranks' optimizers hold, put together by DeepSpeed's own tool."""
    from deepspeed.utils.zero_to_fp32 import get_fp32_state_dict_from_zero_checkpoint

    return get_fp32_state_dict_from_zero_checkpoint(str(checkpoint))


@pytest.mark.parametrize("engine", RANKS)
def test_killed_ranks_go_on_from_their_checkpoint(tmp_path, start, undisturbed, engine: str):
    checkpoint = tmp_path / "state" / "checkpoint-2"
    process = start(engine, tmp_path, PROBE_HOLD=str(checkpoint / "complete.json"))
    wait_for((checkpoint / "complete.json").exists, process)
    second = start(engine, tmp_path)
    said, _ = second.communicate(timeout=120)
    assert (second.returncode, said.count("\n")) == (2, 1), said
    assert f"in use by process {process.pid}" in said
    if engine == "DDP":  # the launcher alone: the kernel ends its ranks with it
        process.send_signal(signal.SIGKILL)
    else:
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert gone(process.pid)

    if engine != "DDP":
        saved = load_policy(checkpoint).model.state_dict()
        for name, value in master_weights(checkpoint).items():
            assert torch.equal(saved[name], value), name
        other, _ = (refused := start("DDP", tmp_path)).communicate(timeout=120)
        assert refused.returncode == 2
        assert f"holds the optimizer's state as '{engine} over 2 processes', this run needs 'whole'" in other
    said = finish(start(engine, tmp_path))
    assert "resuming from step 2 of 3" in said
    assert history(tmp_path) == history(undisturbed(engine)), "bit for bit"
    assert distance(weights(tmp_path), weights(undisturbed(engine))) == 0


def test_lora_over_zero_3_goes_on_from_its_checkpoint_and_ends_where_one_process_ends(tmp_path, inputs, policy_path):
    spec = spec_of(steps=STEPS, learning_rate=1e-4, beta=1.0, lora=4)
    one, killed = tmp_path / "one", tmp_path / "killed"
    finish(start_verb(spec, one, inputs, "--save-steps=2", *ENGINES["one process"]))
    mark = killed / "state" / "checkpoint-2" / "complete.json"
    process = start_verb(spec, killed, inputs, "--save-steps=2", *ENGINES["ZeRO-3"], PROBE_HOLD=str(mark))
    wait_for(mark.exists, process)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert gone(process.pid)
    said = finish(start_verb(spec, killed, inputs, "--save-steps=2", *ENGINES["ZeRO-3"]))
    assert "resuming from step 2 of 3" in said
    ours, theirs, start = weights(killed), weights(one), load_file(policy_path / "model.safetensors")
    assert distance(ours, theirs) < 1e-3 * distance(theirs, start)
    assert [row["step"] for row in history(killed)] == [1, 2, 3]


FATES: dict[str, Any] = {  # status, reason, whether there is a traceback
    "mendable": (2, "train: this is mendable", False),
    "bug": (1, "ValueError: this is bug", True),
    "killed": (2, "train: rank 1 was ended by SIGKILL; if memory ran out", None),  # its own children may leave one
}


@pytest.mark.parametrize("fate", FATES)
def test_a_rank_that_fails_ends_all_with_its_reason(tmp_path, start, fate: str):
    status, reason, traceback = FATES[fate]
    process = start("DDP", tmp_path, PROBE_FAIL=fate)
    said, _ = process.communicate(timeout=120)
    assert process.returncode == status, said
    assert reason in said
    assert traceback in (None, "Traceback" in said), said
    assert gone(process.pid)
    assert not (tmp_path / "train.json").exists()


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        (("--micro-rows=8", f"--deepspeed={ROOT / 'envs/zero2.json'}"), "give --processes 2 or more"),
        ((*TWO, f"--deepspeed={ROOT / 'envs/none.json'}"), "envs/none.json: no such file"),
        ((*TWO, f"--deepspeed={ROOT / 'workflow/schemas/config.schema.json'}"), "no zero_optimization.stage"),
    ],
)
def test_what_cannot_be_spread_is_refused(tmp_path, inputs, more, reason: str):
    process = start_verb(SPEC, tmp_path, inputs, "--save-steps=2", *more)
    said, _ = process.communicate(timeout=120)
    assert (process.returncode, said.count("\n")) == (2, 1), said
    assert reason in said
