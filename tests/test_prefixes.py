"""Shared beginnings give the numbers of rows that stand for themselves, and compute only what they must."""

from pathlib import Path
from typing import Any

import pytest
import torch
from trl.trainer.utils import add_fused_lm_head

from stgrpo.demo import world
from stgrpo.policy.clips import Clip, make_clip
from stgrpo.policy.generate import generate, generate_alone
from stgrpo.policy.likelihood import log_probs, log_probs_alone
from stgrpo.policy.model import Policy, load_policy, pad_left
from stgrpo.policy.prefixes import Tree
from stgrpo.policy.sampling import KeyedSampler, greedy

QUESTIONS = (
    "What is the colour of the square?",
    "Which ?",
    "What is the direction of the circle? A B C D",
    "How many ?",
)


@pytest.fixture
def policy(policy_path: Path) -> Policy:
    loaded = load_policy(policy_path)
    add_fused_lm_head(loaded.model, outputs=("log_probs", "entropy"))
    return loaded


@pytest.fixture(scope="module")
def clips() -> list[Clip]:
    """Four clips of three lengths."""
    return [make_clip(world.scene(i, 7).frames[:frames]) for i, frames in enumerate((16, 3, 6, 16))]


@pytest.fixture
def rows(policy: Policy, clips: list[Clip]) -> tuple[list[list[int]], list[Clip]]:
    """Twelve prompts: a group of one question, several questions about a clip, one alone; not all side by side."""
    asked = [(0, 0)] * 4 + [(1, 0), (1, 1), (1, 2), (1, 3), (2, 1), (3, 2), (0, 0), (3, 3)]
    return [policy.prompt_ids(QUESTIONS[q], clips[c]) for c, q in asked], [clips[c] for c, _ in asked]


def filled_up(
    policy: Policy, prompts: list[list[int]], answers: list[list[int]]
) -> tuple[torch.Tensor, torch.Tensor, int]:
    """As TRL lays them out: prompts filled up on the left, answers on the right; and the longest answer."""
    pad, longest = policy.tokenizer.pad_token_id, max(map(len, answers))
    ids, mask = pad_left(prompts, pad)
    given = torch.tensor([answer + [pad] * (longest - len(answer)) for answer in answers])
    real = torch.tensor([[1] * len(answer) + [0] * (longest - len(answer)) for answer in answers])
    return torch.cat([ids, given], 1), torch.cat([mask, real], 1), longest


def passed(policy: Policy, score: Any, batch: Any, clips: list[Clip]) -> tuple[Any, Any, dict[str, torch.Tensor]]:
    """Log-probabilities, entropies, and the gradient of a weighted sum of the former."""
    ids, mask, length = batch
    policy.model.zero_grad()
    found, entropy = score(policy.model, policy.model, ids, mask, length, clips)
    weights = torch.linspace(-1, 1, found.numel()).view_as(found) * mask[:, -length:]
    (found * weights).sum().backward()
    gradient = {name: p.grad.clone() for name, p in policy.model.named_parameters() if p.grad is not None}
    return found.detach() * mask[:, -length:], entropy.detach() * mask[:, -length:], gradient


@pytest.fixture
def batch(policy: Policy, rows: Any) -> Any:
    generator = torch.Generator().manual_seed(0)
    lengths = [5, 16, 1, 9, 0, 7, 12, 3, 16, 2, 8, 4]
    answers = [torch.randint(11, 60, (n,), generator=generator).tolist() for n in lengths]
    return filled_up(policy, rows[0], answers)


@pytest.mark.parametrize("checkpointing", [False, True])
def test_log_probs_and_gradients_are_those_of_rows_alone(policy: Policy, rows: Any, batch: Any, checkpointing: bool):
    expected = passed(policy, log_probs_alone, batch, rows[1])
    if checkpointing:
        policy.model.train()
        policy.model.gradient_checkpointing_enable()
    found = passed(policy, log_probs, batch, rows[1])
    for ours, theirs in zip(found[:2], expected[:2], strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=0)
    largest = max(float(value.abs().max()) for value in expected[2].values())
    assert set(found[2]) == set(expected[2])
    assert max(float((found[2][name] - expected[2][name]).abs().max()) for name in found[2]) < 1e-5 * largest


def test_log_probs_are_those_of_transformers_own_forward(policy: Policy, rows: Any, batch: Any):
    """Pixels in, logits out: nothing of ours but the tower's faster forward, which has its own test."""
    ids, mask, length = batch
    with torch.no_grad():
        logits = policy.model(
            input_ids=ids,
            attention_mask=mask,
            mm_token_type_ids=2 * (ids == policy.video_token).long(),
            pixel_values_videos=torch.cat([clip.pixels for clip in rows[1]]),
            video_grid_thw=torch.stack([clip.grid for clip in rows[1]]),
            second_per_grid_ts=torch.ones(len(rows[1])),
        ).logits
        found, _ = log_probs(policy.model, policy.model, ids, mask, length, rows[1])
    by_hand = logits.log_softmax(-1)[:, -length - 1 : -1].gather(-1, ids[:, -length:, None])[..., 0]
    real = mask[:, -length:].bool()
    torch.testing.assert_close(found[real], by_hand[real], atol=1e-4, rtol=0)
    assert (found[~real] == 0).all()


@pytest.mark.parametrize(("temperature", "top_p"), [(1.0, 0.95), (3.0, 1.0)])
def test_answers_are_those_of_rows_alone(policy: Policy, rows: Any, temperature: float, top_p: float):
    for sampler in (greedy, KeyedSampler(list(range(12)), temperature, top_p)):
        assert generate(policy, *rows, sampler, 16) == generate_alone(policy, *rows, sampler, 16)


def test_finished_rows_leave(policy: Policy, rows: Any):
    """Rows that the language model is given, token by token, counted by hand."""
    prompts, clips = rows
    lengths, end, given = [4] * 6 + [16, 2, 2, 2, 16, 3], policy.tokenizer.eos_token_id, []

    def ending(logits: torch.Tensor, position: int, numbers: torch.Tensor | None = None) -> torch.Tensor:
        assert numbers is not None
        last = torch.tensor([lengths[row] == position + 1 for row in numbers.tolist()])
        return torch.where(last, end, logits.index_fill(-1, torch.tensor([end]), -torch.inf).argmax(-1))

    policy.model.model.language_model.layers[0].register_forward_pre_hook(
        lambda _, args: given.append(args[0].shape[:2])
    )
    assert list(map(len, generate(policy, prompts, clips, ending, 16))) == lengths
    # 12 rows; after two tokens 9 are left, not few enough; after three 8, after four 2, which go on to the end.
    assert [shape[0] for shape in given[1:]] == [12, 12, 8] + [2] * 12


def test_every_token_of_a_pass_is_computed_once(policy: Policy, clips: list[Clip]):
    """Two clips, three questions that differ in the middle of their text."""
    one, other = ([*policy.prompt_ids(QUESTIONS[q], clips[1])] for q in (0, 2))
    alone = policy.prompt_ids(QUESTIONS[0], clips[2])
    tree = Tree([one, other, alone], [[], [], []], [clips[1], clips[1], clips[2]], torch.device("cpu"))
    same = next(i for i, (a, b) in enumerate(zip(one, other, strict=False)) if a != b)
    assert tree.ids.tolist() == [*one[:same], *alone[:-1], *one[same:], *other[same:], alone[-1]]


def test_training_computes_a_group_as_its_prefix_and_its_answers(policy: Policy, clips: list[Clip]):
    prompt = policy.prompt_ids(QUESTIONS[0], clips[0])
    batch = filled_up(policy, [prompt] * 4, [[20] * n for n in (3, 5, 2, 5)])
    given = []
    policy.model.model.language_model.layers[0].register_forward_pre_hook(
        lambda module, args: given.append(args[0].shape)
    )
    log_probs(policy.model, policy.model, *batch, [clips[0]] * 4)
    assert [shape[:2] for shape in given] == [(1, len(prompt) - 1 + 3 + 5 + 2 + 5)]


def test_rows_that_differ_before_their_clip_are_refused(policy: Policy, clips: list[Clip]):
    prompt = policy.prompt_ids(QUESTIONS[0], clips[0])
    tree = Tree([prompt, [11, *prompt[1:]]], [[], []], [clips[0]] * 2, torch.device("cpu"))
    with pytest.raises(RuntimeError, match="differ before or right after"):
        tree.embed(policy.model)


def test_weights_are_saved_without_a_word_of_it(policy: Policy, tmp_path: Path):
    policy.model.save_pretrained(tmp_path)
    assert "stgrpo" not in (tmp_path / "config.json").read_text()
