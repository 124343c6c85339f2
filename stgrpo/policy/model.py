"""A Qwen2.5-VL with its tokenizer: loading, prompts, and tokens and clips as embeddings and positions."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import Qwen2_5_VLForConditionalGeneration

from stgrpo.policy.attention import take_layouts
from stgrpo.policy.clips import Clip
from stgrpo.policy.vision import speed_up_on_cpu
from stgrpo.policy.weights import read_model, read_tokenizer

SECONDS_PER_GRID = 1.0  # two frames at the processor's default of 2 fps; one rule in every pass
_VISION_TOKENS = ("<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>")


@dataclass(frozen=True, eq=False)
class Policy:
    """The model, unwrapped, and its tokenizer."""

    model: Any  # Qwen2_5_VLForConditionalGeneration; transformers' own annotations are too loose to be checked against
    tokenizer: Any

    @property
    def video_token(self) -> int:
        """The placeholder that the clip's features replace."""
        return self.model.config.video_token_id

    @property
    def banned(self) -> list[int]:
        """Tokens that an answer must not hold: a sampled placeholder would break the scatter of the features."""
        return self.tokenizer.convert_tokens_to_ids(list(_VISION_TOKENS))

    def text(self, answer: Sequence[int]) -> str:
        """An answer's tokens as text, without special tokens; think and answer tags are ordinary ones."""
        return self.tokenizer.decode(answer, skip_special_tokens=True)

    def prompt_ids(self, text: str, clip: Clip) -> list[int]:
        """One user turn, video before text, by the tokenizer's own chat template."""
        turn = {"role": "user", "content": [{"type": "video", "text": ""}, {"type": "text", "text": text}]}
        chat = self.tokenizer.apply_chat_template([turn], tokenize=False, add_generation_prompt=True)
        ids = self.tokenizer(chat, add_special_tokens=False)["input_ids"]
        at = ids.index(self.video_token)
        return ids[:at] + [self.video_token] * clip.tokens + ids[at + 1 :]


def load_policy(path: str | Path, dtype: torch.dtype = torch.float32) -> Policy:
    """Load weights and the tokenizer from one folder; to be trained in float32 (bf16 weights at lr 1e-6 hardly move).

    Raises:
        UserError: the folder holds no whole Qwen2.5-VL with its tokenizer.
    """
    model = read_model(Qwen2_5_VLForConditionalGeneration, path, dtype=dtype, attn_implementation="sdpa")
    adapt(model)
    return Policy(model.to("cuda" if torch.cuda.is_available() else "cpu"), read_tokenizer(path))


def adapt(model: Any) -> None:
    """Fit a model, whoever made it, for what this package does with it; its numbers stay."""
    speed_up_on_cpu(model)
    take_layouts(model)


def pad_left(rows: Sequence[Sequence[int]], value: int) -> tuple[Tensor, Tensor]:
    """Token ids and attention mask, both (R, L); the shorter rows are filled on the left."""
    longest = max(map(len, rows))
    ids = torch.tensor([[value] * (longest - len(row)) + list(row) for row in rows])
    mask = torch.tensor([[0] * (longest - len(row)) + [1] * len(row) for row in rows])
    return ids, mask


def embed(core: Any, ids: Tensor, mask: Tensor, clips: Sequence[Clip]) -> tuple[Tensor, Tensor]:
    """Embeddings (R, L, D) and explicit 3-D positions (3, R, L); each distinct clip is encoded once.

    Explicit, because Qwen2.5-VL's forward falls back to text positions without a word when a keyword is missing, and
    ignores precomputed vision features before transformers 5.18.

    Args:
        core: the unwrapped Qwen2_5_VLForConditionalGeneration.
        ids: (R, L), left-padded, video placeholders already expanded.
        mask: (R, L), 0 at padding.
        clips: R of them, in the order of the rows; the same object where rows share a clip.
    """
    distinct = list(dict.fromkeys(clips))
    features = dict(zip(distinct, clip_features(core, distinct), strict=True))
    is_video = ids == core.config.video_token_id  # (R, L)
    words = core.get_input_embeddings()(ids)  # (R, L, D)
    flat = torch.cat([features[clip] for clip in clips]).to(words.dtype)  # (sum of tokens, D)
    words = words.masked_scatter(is_video.unsqueeze(-1), flat)
    return words, rope_positions(core, ids, mask, clips)


def clip_features(core: Any, clips: Sequence[Clip]) -> list[Tensor]:
    """What the vision tower makes of each clip, (tokens, D).

    LoRA trains no tower: no gradient passes it then, and one encoding of a clip does for all passes of a step.
    """
    tower = core.model.visual
    if next(tower.parameters()).requires_grad:
        return list(_encode(core, clips))
    if missing := [clip for clip in clips if tower not in clip.features]:
        with torch.no_grad():
            for clip, features in zip(missing, _encode(core, missing), strict=True):
                clip.features[tower] = features
    return [clip.features[tower] for clip in clips]


def _encode(core: Any, clips: Sequence[Clip]) -> tuple[Tensor, ...]:
    device = core.get_input_embeddings().weight.device
    pixels = torch.cat([clip.pixels for clip in clips]).to(device)  # (patches, 1176)
    grids = torch.stack([clip.grid for clip in clips]).to(device)  # (clips, 3)
    return core.model.get_video_features(pixels, grids).pooler_output


def rope_positions(core: Any, ids: Tensor, mask: Tensor, clips: Sequence[Clip]) -> Tensor:
    """Positions (3, R, L) of tokens (R, L), one clip a row; the mask (R, L) is 0 at padding on either side."""
    positions, _ = core.model.get_rope_index(
        ids,
        mm_token_type_ids=2 * (ids == core.config.video_token_id).long(),
        video_grid_thw=torch.stack([clip.grid for clip in clips]).to(ids.device),
        second_per_grid_ts=torch.full((len(clips),), SECONDS_PER_GRID),
        attention_mask=mask,
    )
    return positions
