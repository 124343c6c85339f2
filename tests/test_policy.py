"""What training relies on in Qwen2.5-VL: the clip is seen, generation and log-probabilities see the same."""

from pathlib import Path

import numpy as np
import pytest
import torch
from support import generate_with_logits

from stgrpo.demo import world
from stgrpo.policy.clips import Clip, make_clip
from stgrpo.policy.generate import generate
from stgrpo.policy.model import Policy, clip_features, embed, load_policy, pad_left
from stgrpo.policy.sampling import KeyedSampler, greedy


@pytest.fixture(scope="module")
def policy(policy_path: Path) -> Policy:
    return load_policy(policy_path)


@pytest.fixture(scope="module")
def clips() -> list[Clip]:
    """Three clips of different lengths, so that their prompts need padding."""
    return [make_clip(world.scene(i, 7).frames[:frames]) for i, frames in enumerate((16, 3, 6))]


def stock_inputs(policy: Policy, ids: torch.Tensor, mask: torch.Tensor, clips: list[Clip]) -> dict[str, torch.Tensor]:
    """The same rows for transformers' own forward, which embeds every row's pixels by itself."""
    return {
        "input_ids": ids,
        "attention_mask": mask,
        "mm_token_type_ids": 2 * (ids == policy.video_token).long(),
        "pixel_values_videos": torch.cat([clip.pixels for clip in clips]),
        "video_grid_thw": torch.stack([clip.grid for clip in clips]),
        "second_per_grid_ts": torch.ones(len(clips)),
    }


def patches_by_hand(frames: np.ndarray) -> np.ndarray:
    """Qwen2.5-VL's patch order, written as loops: time, then 28-pixel cells, then the four patches of a cell."""
    mean, std = np.array([0.48145466, 0.4578275, 0.40821073]), np.array([0.26862954, 0.26130258, 0.27577711])
    x = (frames / 255 - mean) / std
    rows = []
    for t in range(0, len(x), 2):
        for y in range(0, x.shape[1], 28):
            for z in range(0, x.shape[2], 28):
                for dy, dz in ((0, 0), (0, 14), (14, 0), (14, 14)):
                    block = x[t : t + 2, y + dy : y + dy + 14, z + dz : z + dz + 14]  # (2, 14, 14, 3)
                    rows.append(block.transpose(3, 0, 1, 2).ravel())
    return np.stack(rows)


def test_patches_equal_loops():
    frames = np.random.default_rng(0).integers(0, 256, (4, 56, 84, 3), dtype=np.uint8)
    clip = make_clip(frames)
    assert clip.grid.tolist() == [2, 4, 6]
    assert clip.tokens == 12
    np.testing.assert_allclose(clip.pixels.numpy(), patches_by_hand(frames), atol=1e-5)


def test_odd_last_frame_is_repeated():
    frames = world.scene(0, 7).frames
    torch.testing.assert_close(make_clip(frames[:3]).pixels, make_clip(frames[[0, 1, 2, 2]]).pixels)


def test_faster_vision_equals_stock(policy: Policy, policy_path: Path, clips: list[Clip]):
    from transformers import Qwen2_5_VLForConditionalGeneration

    stock = Qwen2_5_VLForConditionalGeneration.from_pretrained(policy_path, dtype=torch.float32)
    pixels = torch.cat([clip.pixels for clip in clips])
    grids = torch.stack([clip.grid for clip in clips])
    ours, theirs = (m.model.get_video_features(pixels, grids).pooler_output for m in (policy.model, stock))
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b, atol=1e-5, rtol=1e-5)


def test_greedy_equals_transformers_generate(policy: Policy, clips: list[Clip]):
    prompts = [policy.prompt_ids("What is the colour of the square?", clip) for clip in clips]
    ours = generate(policy, prompts, clips, greedy, 12)
    ids, mask = pad_left(prompts, policy.tokenizer.pad_token_id)
    whole = policy.model.generate(
        **stock_inputs(policy, ids, mask, clips),
        max_new_tokens=12,
        do_sample=False,
        suppress_tokens=policy.banned,
        pad_token_id=policy.tokenizer.pad_token_id,
    )
    for row, answer in zip(whole[:, ids.shape[1] :].tolist(), ours, strict=True):
        assert row[: len(answer)] == answer


def test_generation_logits_equal_the_log_prob_pass_and_need_the_video(policy: Policy, clips: list[Clip]):
    prompts = [policy.prompt_ids("What is the direction of the circle?", clip) for clip in clips]
    sampler = KeyedSampler([1, 2, 3], 1.0, 1.0)
    answers, chosen_from = generate_with_logits(policy, prompts, clips, sampler, 10)
    longest = max(map(len, answers))
    answers = [answer + [policy.tokenizer.pad_token_id] * (longest - len(answer)) for answer in answers]
    ids, mask = pad_left([p + a for p, a in zip(prompts, answers, strict=True)], policy.tokenizer.pad_token_id)
    allowed = [t for t in range(len(policy.tokenizer)) if t not in policy.banned]

    def logits(shown: list[Clip]) -> torch.Tensor:
        with torch.no_grad():
            words, positions = embed(policy.model, ids, mask, shown)
            out = policy.model(inputs_embeds=words, attention_mask=mask, position_ids=positions).logits
        return out[:, -longest - 1 : -1]

    def distance(shown: list[Clip]) -> float:
        return float((logits(shown) - chosen_from)[..., allowed].abs().max())

    assert distance(clips) < 1e-4
    blank = [Clip(torch.zeros_like(clip.pixels), clip.grid) for clip in clips]
    assert distance(blank) > 0.1


def test_log_prob_pass_equals_stock_forward(policy: Policy, clips: list[Clip]):
    prompts = [policy.prompt_ids("What is the direction of the circle?", clip) for clip in clips]
    ids, mask = pad_left(prompts, policy.tokenizer.pad_token_id)
    with torch.no_grad():
        words, positions = embed(policy.model, ids, mask, clips)
        ours = policy.model(inputs_embeds=words, attention_mask=mask, position_ids=positions).logits[:, -1]
        stock = policy.model(**stock_inputs(policy, ids, mask, clips)).logits[:, -1]
    torch.testing.assert_close(ours, stock, atol=1e-4, rtol=1e-4)


def test_shared_clips_are_encoded_once(policy: Policy, clips: list[Clip], monkeypatch: pytest.MonkeyPatch):
    seen = []
    stock = policy.model.model.get_video_features
    monkeypatch.setattr(
        policy.model.model, "get_video_features", lambda pixels, grids: seen.append(len(grids)) or stock(pixels, grids)
    )
    rows = [clips[0]] * 4 + [clips[1]] * 4
    ids, mask = pad_left([policy.prompt_ids("the square", clip) for clip in rows], policy.tokenizer.pad_token_id)
    embed(policy.model, ids, mask, rows)
    assert seen == [2]


def test_keyed_answers_do_not_depend_on_the_split(policy: Policy, clips: list[Clip]):
    rows = [clips[i % 3] for i in range(12)]
    prompts = [policy.prompt_ids("What is the colour of the triangle?", clip) for clip in rows]

    def answers(parts: list[list[int]]) -> list[list[int]]:
        found = {}
        for part in parts:
            sampler = KeyedSampler([1000 + i for i in part], 1.0, 0.95)
            made = generate(policy, [prompts[i] for i in part], [rows[i] for i in part], sampler, 16)
            found |= dict(zip(part, made, strict=True))
        return [found[i] for i in range(12)]

    together = answers([list(range(12))])
    assert together == answers([[i] for i in range(12)])
    assert together == answers([[0, 5, 7], [1, 2, 3, 4], [6, 8, 9, 10, 11]])
    assert len({tuple(a) for a in together}) > 6, "sampling must differ between keys"


def test_vision_tokens_are_never_sampled(policy: Policy, clips: list[Clip]):
    prompts = [policy.prompt_ids("the square", clips[1])] * 64
    answers = generate(policy, prompts, [clips[1]] * 64, KeyedSampler(list(range(64)), 5.0, 1.0), 16)
    assert not set(policy.banned) & {token for answer in answers for token in answer}


def test_weights_in_bf16_answer_nearly_alike(policy_path, policy):
    """An evaluation at the paper's scale loads them so: every product is rounded to eight bits."""
    rounded = load_policy(policy_path, torch.bfloat16)
    clip = make_clip(world.scene(3, 1).frames)
    prompt = policy.prompt_ids("What is the colour of the square?", clip)
    found = [generate_with_logits(p, [prompt], [clip], greedy, 1)[1][0, 0] for p in (rounded, policy)]
    assert found[0].dtype == torch.bfloat16
    allowed = found[1].isfinite()
    given, exact = found[0].float()[allowed], found[1][allowed]
    assert 0 < (given - exact).norm() / exact.norm() < 0.03


def test_no_gradient_passes_a_tower_that_is_not_trained(policy_path):
    """Not even where gradient checkpointing has its first layer's output ask for one, as TRL does for adapters."""
    policy, asked = load_policy(policy_path), []
    clip = make_clip(world.scene(3, 1).frames)
    ids, mask = pad_left([policy.prompt_ids("What is the colour of the square?", clip)], 0)
    policy.model.model.visual.merger.register_forward_hook(lambda *given: asked.append(given[2].requires_grad))
    policy.model.enable_input_require_grads()
    embed(policy.model, ids, mask, [clip])
    policy.model.model.visual.requires_grad_(False)
    embed(policy.model, ids, mask, [clip])
    assert asked == [True, False]


def test_a_tower_that_is_not_trained_encodes_a_clip_once(policy_path: Path, monkeypatch: pytest.MonkeyPatch):
    """In all passes of a step; another tower does so for itself, and one that is trained at every pass."""
    frozen, other, trained = (load_policy(policy_path).model for _ in range(3))
    clip, seen = make_clip(world.scene(3, 1).frames), []
    for model in (frozen, other, trained):
        stock = model.model.get_video_features
        monkeypatch.setattr(
            model.model,
            "get_video_features",
            lambda *given, stock=stock, model=model: seen.append(model) or stock(*given),
        )
        model.model.visual.requires_grad_(model is trained)
    first = clip_features(frozen, [clip])[0]
    torch.testing.assert_close(clip_features(frozen, [clip])[0], first)
    clip_features(other, [clip])
    torch.testing.assert_close(clip_features(trained, [clip])[0].detach(), first)
    clip_features(trained, [clip])
    assert seen == [frozen, other, trained, trained]
    assert first.requires_grad is False
