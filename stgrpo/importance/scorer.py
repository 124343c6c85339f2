"""LLaVA-OneVision as frame scorer: cosine of pooled, projected frame features with the mean token embedding.

z_f: vision tower -> projector -> mean over all cells, without the 2x2 video pooling, as the paper prints it; z_q: mean
of the input embeddings of the raw question, without chat tokens or options.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import interpolate, normalize
from transformers import AutoTokenizer, LlavaOnevisionForConditionalGeneration

from stgrpo.errors import UserError

_CHUNK = 64  # frames in one pass through the vision tower; chunking is exact


@dataclass(frozen=True, eq=False)
class Scorer:
    """The model and its tokenizer."""

    model: Any  # LlavaOnevisionForConditionalGeneration
    tokenizer: Any

    @property
    def side(self) -> int:
        """Height and width in pixels that the vision tower takes."""
        return self.model.config.vision_config.image_size

    def pictures(self, frames: np.ndarray) -> Tensor:
        """(T, H, W, 3) uint8 -> (T, 3, S, S) in [-1, 1], squashed to a square as SigLIP's processor does."""
        x = torch.from_numpy(frames).permute(0, 3, 1, 2).float()
        if x.shape[2:] != (self.side, self.side):
            x = interpolate(x, (self.side, self.side), mode="bicubic", antialias=True).clamp(0, 255)
        return x / 127.5 - 1

    def frame_features(self, pictures: Tensor) -> Tensor:
        """(T, 3, S, S) -> (T, D) float32, the mean over the cells of the projected features."""
        core = self.model.model
        parts = []
        for chunk in pictures.split(_CHUNK):
            # hidden_states[layer] is before the tower's last norm, as LLaVA-OneVision reads it.
            chunk = chunk.to(self.model.device, self.model.dtype)
            hidden = core.vision_tower(chunk, output_hidden_states=True).hidden_states
            cells = hidden[self.model.config.vision_feature_layer]  # (t, cells, D of the tower)
            parts.append(core.multi_modal_projector(cells).float().mean(1))  # (t, D)
        return torch.cat(parts)

    def question_feature(self, text: str) -> Tensor:
        """(D,) float32, the mean of the question's token embeddings."""
        ids = self.tokenizer(text, add_special_tokens=False, return_tensors="pt")["input_ids"][0]
        return self.model.get_input_embeddings()(ids.to(self.model.device)).float().mean(0)

    def similarity(self, frames: Tensor, questions: Tensor) -> Tensor:
        """Cosines (Q, T) of (T, D) frame and (Q, D) question features."""
        return normalize(questions, dim=-1) @ normalize(frames, dim=-1).T


def load_scorer(path: str | Path) -> Scorer:
    """Load a LLaVA-OneVision and its tokenizer from one folder.

    Raises:
        UserError: the folder holds no model.
    """
    if not (Path(path) / "config.json").is_file():
        raise UserError(f"{path}: no config.json, so no scorer; expected a folder written by save_pretrained")
    kind: Any = LlavaOnevisionForConditionalGeneration
    model = kind.from_pretrained(path)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    return Scorer(model.eval().to(device), AutoTokenizer.from_pretrained(path))


@torch.no_grad()
def score_video(scorer: Scorer, frames: np.ndarray, questions: list[str]) -> Iterator[list[float]]:
    """For each question the cosine of every frame of one video; the frames are embedded once for all of them."""
    seen = scorer.frame_features(scorer.pictures(frames))  # (T, D)
    asked = torch.stack([scorer.question_feature(text) for text in questions])  # (Q, D)
    yield from scorer.similarity(seen, asked).tolist()
