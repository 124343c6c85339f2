"""Supervised warm-up of the tiny policy, so that RL starts from a policy that is right about half of the time.

The recipe was found by trial: short clips first, three direction questions for one about colour (asked more often,
colour would be nearly perfect before direction is noticed), and the answer right after the word that it stands for. The
benchmarks' other forms of questions are taught at the end, in a few steps: from the start they would double the time.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from stgrpo.answers import extract
from stgrpo.config import WarmPolicy
from stgrpo.demo import asking, mp4, world
from stgrpo.policy.clips import Clip, make_clip
from stgrpo.policy.generate import generate
from stgrpo.policy.model import Policy, adapt, embed, pad_left
from stgrpo.policy.sampling import KeyedSampler, key
from stgrpo.prompts import render
from stgrpo.records import Question
from stgrpo.rules import SpatialRule
from stgrpo.variants.spatial import apply_spatial, draw_spatial

_BATCH, _LEARNING_RATE, _RAMP = 32, 1e-3, 50
_SHORT_STEPS, _SHORT, _LONGER = 150, (2, 4), (2, 3, 4, 5, 6, 8, 10, 12)
_WHOLE_SHARE, _CHANGED_SHARE, _COLOUR_SHARE = 0.2, 0.3, 0.25
_FORM_STEPS, _FORM_SHARE, _NOTE_SHARE = 80, 0.6, 0.1
_NOTE = (6, 24)  # words of a note; the policy knows none of them
_OPTIONS = (2, 3, 4, 5)  # of a choice, once the other forms are taught
_EXAM, _EXAM_EVERY, _EXAM_FINE, _NEAR = 256, 25, 15, 0.40
_ANSWER_TOKENS = 16


@dataclass(frozen=True)
class Example:
    """One supervised answer: prompt and clip in, target out."""

    prompt: list[int]
    clip: Clip
    target: list[int]
    answer: str


@dataclass(frozen=True)
class Examined:
    """Where the warm-up stands: mean loss since the last examination, held-out accuracy, whole and by family."""

    step: int
    loss: float
    accuracy: float
    by_family: dict[str, float]


def warm_policy(policy: Policy, warm: WarmPolicy, template: str) -> Iterator[Examined]:
    """Train `policy` in place until it is examined well enough or `warm.max_steps` are over."""
    adapt(policy.model)
    pool = [_seen(world.scene(i, warm.seed + 1)) for i in range(warm.clips)]
    exam = _exam(policy, [_seen(world.scene(i, warm.seed + 2)) for i in range(_EXAM)], template)
    rng = np.random.default_rng(warm.seed + 3)
    optimizer = torch.optim.AdamW(policy.model.parameters(), lr=_LEARNING_RATE, weight_decay=0.01, betas=(0.9, 0.98))
    policy.model.train()
    losses, accuracy = [], 0.0
    for step in range(1, warm.max_steps + 1):
        optimizer.param_groups[0]["lr"] = _LEARNING_RATE * min(1, step / _RAMP)
        losses.append(_train_step(policy, optimizer, list(_batch(policy, pool, step, template, rng))))
        every = _EXAM_FINE if accuracy >= _NEAR else _EXAM_EVERY
        if step % every == 0 or step == warm.max_steps:
            by_family = examine(policy, exam)
            accuracy = float(np.mean(list(by_family.values())))
            yield Examined(step, float(np.mean(losses)), accuracy, by_family)
            losses = []
            if accuracy >= warm.stop and min(by_family.values()) >= warm.floor:
                break
    else:
        print(f"warning: after {warm.max_steps} steps still below accuracy {warm.stop}, or a family below {warm.floor}")
    for _ in range(min(_FORM_STEPS, warm.max_steps)):
        losses.append(_train_step(policy, optimizer, list(_batch(policy, pool, step, template, rng, _FORM_SHARE))))
        step += 1
    by_family = examine(policy, exam)
    yield Examined(step, float(np.mean(losses)), float(np.mean(list(by_family.values()))), by_family)


def _exam(policy: Policy, scenes: list[world.Scene], template: str) -> list[tuple[str, Example]]:
    """A question about each whole clip, with its family; the families take turns over the scenes."""
    rng = np.random.default_rng(9)
    families = [world.FAMILIES[i // 16 % 2] for i in range(len(scenes))]  # 16 scenes hold every colour and direction
    return [
        (family, _example(policy, asking.choice(scene, family, rng), make_clip(scene.frames), template))
        for scene, family in zip(scenes, families, strict=True)
    ]


@torch.no_grad()
def examine(policy: Policy, exam: list[tuple[str, Example]]) -> dict[str, float]:
    """Share of right answers by family, sampled as in RL."""
    policy.model.eval()
    right: dict[str, list[bool]] = {family: [] for family in world.FAMILIES}
    asked = [example for _, example in exam]
    sampler = KeyedSampler([key("warm", i) for i in range(len(asked))], 1.0, 0.95)
    answers = generate(policy, [a.prompt for a in asked], [a.clip for a in asked], sampler, _ANSWER_TOKENS)
    for (family, example), answer in zip(exam, answers, strict=True):
        text = policy.text(answer)
        right[family].append(extract(text) == example.answer)
    policy.model.train()
    return {family: float(np.mean(found)) for family, found in right.items()}


def _seen(scene: world.Scene) -> world.Scene:
    """The scene as a decoder shows it: h264 blurs colours at the edges."""
    return world.Scene(**{**vars(scene), "frames": mp4.round_trip(scene.frames, world.FPS)})


def _batch(
    policy: Policy,
    pool: list[world.Scene],
    step: int,
    template: str,
    rng: np.random.Generator,
    other_forms: float = 0.0,
) -> Iterator[Example]:
    """Clips of one length, so that none is padded; a share of questions in other forms than multiple choice."""
    short = step <= _SHORT_STEPS
    if short:
        length = int(rng.choice(_SHORT))
    else:
        length = world.FRAMES if rng.random() < _WHOLE_SHARE else int(rng.choice(_LONGER))
    for i in rng.integers(0, len(pool), _BATCH):
        family = "colour" if rng.random() < _COLOUR_SHARE else "direction"
        candidates = pool[i].frames[list(pool[i].visible)] if short else pool[i].frames
        frames = candidates[_spread(len(candidates), length, rng)]
        if length <= 6 and rng.random() < _CHANGED_SHARE:
            frames = apply_spatial(frames, draw_spatial(SpatialRule(hue=0), rng))
        if rng.random() < other_forms:
            asked = _noted(_in_other_form(pool[i], family, rng), rng)
        else:
            asked = asking.choice(pool[i], family, rng, int(rng.choice(_OPTIONS)) if other_forms else 4)
        yield _example(policy, asked, make_clip(frames), template)


def _in_other_form(scene: world.Scene, family: str, rng: np.random.Generator) -> asking.Asked:
    form = rng.integers(4)
    if form == 0:
        return asking.yes_or_no(scene, family, rng)
    if form == 1:
        return asking.caption(scene, family, rng)
    if form == 2:
        return asking.open_question(scene, family)
    return asking.number(scene, str(rng.choice(list(asking.NUMBERS))), rng)


def _noted(asked: asking.Asked, rng: np.random.Generator) -> asking.Asked:
    """Now and then with unknown words before or after the question, as some benchmarks explain themselves."""
    if rng.random() >= _NOTE_SHARE:
        return asked
    note = " ".join(["note"] * int(rng.integers(*_NOTE)))
    return replace(asked, text=f"{note} {asked.text}" if rng.random() < 0.5 else f"{asked.text} {note}")


def _spread(frames: int, count: int, rng: np.random.Generator) -> np.ndarray:
    """One uniformly drawn frame of each of `count` equal segments."""
    edges = np.linspace(0, frames, count + 1)
    return np.minimum(rng.uniform(edges[:-1], edges[1:]).astype(int), frames - 1)


def _example(policy: Policy, asked: asking.Asked, clip: Clip, template: str) -> Example:
    question = Question("", "", asked.text, asked.options, "multiple choice", asked.answer, "warm")
    thought = f"the {asked.topic} is {asked.word} {asked.answer}"
    target = f"<think> {thought} </think> <answer> {asked.answer} </answer> <|im_end|>"
    return Example(policy.prompt_ids(render(question, template), clip), clip, _ids(policy, target), asked.answer)


@cache
def _ids(policy: Policy, text: str) -> list[int]:
    """Tokens of a target; there are few."""
    return policy.tokenizer(text, add_special_tokens=False)["input_ids"]


def _train_step(policy: Policy, optimizer: torch.optim.Optimizer, examples: list[Example]) -> float:
    ids, mask = pad_left([e.prompt + e.target for e in examples], policy.tokenizer.pad_token_id)
    size = len(examples[0].target)  # every target has the same number of words
    words, positions = embed(policy.model, ids, mask, [e.clip for e in examples])
    hidden = policy.model.model.language_model(
        inputs_embeds=words, attention_mask=mask, position_ids=positions, use_cache=False
    ).last_hidden_state[:, -size - 1 : -1]  # (R, size, D)
    logits: Tensor = policy.model.lm_head(hidden)
    loss = cross_entropy(logits.flatten(0, 1), ids[:, -size:].flatten())
    optimizer.zero_grad()
    loss.backward()
    torch.nn.utils.clip_grad_norm_(policy.model.parameters(), 1.0)
    optimizer.step()
    return loss.item()
