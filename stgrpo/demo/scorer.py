"""A LLaVA-OneVision of about 0.14 M parameters, trained to say which frames show what a question asks about."""

from collections.abc import Iterator

import numpy as np
import torch
from torch.nn.functional import binary_cross_entropy_with_logits
from transformers import LlavaOnevisionConfig, LlavaOnevisionForConditionalGeneration

from stgrpo.demo import world
from stgrpo.demo.policy import make_tokenizer
from stgrpo.importance.scorer import Scorer

_CLIPS, _BATCH, _FRAMES = 512, 16, 4  # clips rendered, clips a step, frames of each
_LEARNING_RATE, _SHARPNESS = 2e-3, 10.0  # logit of a cosine: SHARPNESS * cosine + bias
_REPORT = 100


def make_scorer(seed: int, side: int = world.SIZE) -> Scorer:
    """Random weights, wider than transformers' default: mean pooling over 16 cells leaves little signal otherwise.

    Frames become `side` x `side` pixels; a released model's are 384 x 384.
    """
    tokenizer = make_tokenizer()
    token = tokenizer.get_vocab()
    config = LlavaOnevisionConfig(
        vision_config={
            "model_type": "siglip_vision_model",
            "hidden_size": 64,
            "intermediate_size": 128,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "image_size": side,
            "patch_size": 14,
            "vision_use_head": False,
        },
        text_config={
            "model_type": "qwen2",
            "vocab_size": len(tokenizer),
            "hidden_size": 48,
            "intermediate_size": 96,
            "num_hidden_layers": 1,
            "num_attention_heads": 4,
            "num_key_value_heads": 2,
        },
        image_token_index=token["<|image_pad|>"],
        video_token_index=token["<|video_pad|>"],
    )
    torch.manual_seed(seed)
    model = LlavaOnevisionForConditionalGeneration(config)
    for weight in model.parameters():
        if weight.dim() > 1:
            torch.nn.init.normal_(weight, std=0.2)
    return Scorer(model, tokenizer)


def warm_scorer(scorer: Scorer, steps: int, seed: int) -> Iterator[tuple[int, float]]:
    """Train in place; yields (step, loss) now and then.

    A step asks one family's three questions (one a shape) about a few frames of some clips; the right answer is whether
    the frame shows that shape.
    """
    scenes = [world.scene(i, seed + 11) for i in range(_CLIPS)]
    pictures = torch.stack([scorer.pictures(s.frames) for s in scenes])  # (N, F, 3, S, S)
    shows = torch.tensor(np.stack([_shown(s) for s in scenes])).float()  # (N, F, shapes)

    core = scorer.model.model
    bias = torch.nn.Parameter(torch.zeros(()))
    trained = [core.vision_tower, core.multi_modal_projector, scorer.model.get_input_embeddings()]
    weights = [weight for module in trained for weight in module.parameters()]
    optimizer = torch.optim.AdamW([*weights, bias], lr=_LEARNING_RATE, weight_decay=0.01)
    rng = np.random.default_rng(seed)
    for step in range(1, steps + 1):
        clips = torch.tensor(rng.integers(0, _CLIPS, (_BATCH, 1)))
        frames = torch.tensor(rng.integers(0, world.FRAMES, (_BATCH, _FRAMES)))
        family = world.FAMILIES[int(rng.integers(len(world.FAMILIES)))]
        questions = scorer.question_features([world.question_text(family, shape) for shape in world.SHAPES])
        seen = scorer.frame_features(pictures[clips, frames].flatten(0, 1))  # (B * frames, D)
        logits = _SHARPNESS * scorer.similarity(seen, questions).T + bias  # (B * frames, shapes)
        loss = binary_cross_entropy_with_logits(logits, shows[clips, frames].flatten(0, 1))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % _REPORT == 0 or step == steps:
            yield step, loss.item()


def _shown(scene: world.Scene) -> np.ndarray:
    """(F, shapes) bool: which shape is in which frame."""
    visible = np.array(scene.visible)
    by_shape = {scene.shape: visible, scene.stand_in: ~visible}
    return np.stack([by_shape.get(shape, np.zeros_like(visible)) for shape in world.SHAPES], 1)
