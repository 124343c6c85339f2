"""LLaVA-OneVision as frame scorer: cosine of pooled, projected frame features with the mean token embedding.

z_f: vision tower -> projector -> mean over all cells, without the 2x2 video pooling, as the paper prints it; z_q: mean
of the input embeddings of the raw question, without chat tokens or options.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import interpolate, normalize
from transformers import LlavaOnevisionForConditionalGeneration

from stgrpo.policy.weights import read_model, read_tokenizer

PASS = 64  # frames in one pass through the vision tower


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
        x = torch.from_numpy(frames).to(self.model.device).permute(0, 3, 1, 2).contiguous().float()
        if x.shape[2:] != (self.side, self.side):
            x = interpolate(x, (self.side, self.side), mode="bicubic", antialias=True).clamp(0, 255)
        return x / 127.5 - 1

    def frame_features(self, pictures: Tensor) -> Tensor:
        """(T, 3, S, S) -> (T, D) float32, the mean over the cells of the projected features."""
        core = self.model.model
        layers = core.vision_tower.encoder.layers
        # LLaVA-OneVision reads hidden_states[layer], where 0 is before the first layer; the tower's last norm and its
        # head come later. Asking the tower for its hidden states would hold those of all layers at once.
        wanted = range(len(layers) + 1)[self.model.config.vision_feature_layer]
        parts = []
        for chunk in pictures.split(PASS):
            cells = core.vision_tower.embeddings(chunk.to(self.model.device, self.model.dtype))
            for layer in layers[:wanted]:
                cells = layer(cells, None)  # (t, cells, D of the tower)
            parts.append(core.multi_modal_projector(cells).float().mean(1))  # (t, D)
        return torch.cat(parts)

    def question_features(self, texts: Sequence[str]) -> Tensor:
        """(Q, D) float32, the mean of each question's token embeddings."""
        ids = self.tokenizer(list(texts), add_special_tokens=False)["input_ids"]
        words = self.model.get_input_embeddings()
        # One by one: taken together, the gradients of the demo's warm-up would be summed in another order.
        return torch.stack([words(torch.tensor(row, device=self.model.device)).float().mean(0) for row in ids])

    def similarity(self, frames: Tensor, questions: Tensor) -> Tensor:
        """Cosines (Q, T) of (T, D) frame and (Q, D) question features."""
        return normalize(questions, dim=-1) @ normalize(frames, dim=-1).T


def load_scorer(path: str | Path, device: str | None = None) -> Scorer:
    """Load a LLaVA-OneVision and its tokenizer from one folder.

    Its language model's layers, most of its weights, see neither a frame nor a question here, and stay on the disk.

    Args:
        path: the folder.
        device: torch's name of it; the first GPU, if there is one, when not given.

    Raises:
        UserError: the folder holds no model, or not all of its weights.
    """
    model = read_model(LlavaOnevisionForConditionalGeneration, path, _without_layers)
    device = device or ("cuda" if torch.cuda.is_available() else "cpu")
    return Scorer(model.eval().to(device), read_tokenizer(path))


def _without_layers(config: Any) -> None:
    config.text_config.num_hidden_layers, config.text_config.layer_types = 0, []


@torch.no_grad()
def score_videos(
    scorer: Scorer, videos: Sequence[np.ndarray], questions: Sequence[Sequence[str]]
) -> list[list[list[float]]]:
    """The cosine of every frame with every question of its video, all frames embedded in one go.

    Args:
        scorer: the model.
        videos: (T, H, W, 3) uint8 each; the sizes may differ.
        questions: the texts that are asked about each of them, one at least.

    Returns:
        By video, by question, by frame.
    """
    seen = scorer.frame_features(torch.cat([scorer.pictures(frames) for frames in videos]))  # (frames of all, D)
    asked = scorer.question_features([text for texts in questions for text in texts])  # (questions of all, D)
    by_video = seen.split([len(frames) for frames in videos])
    by_asker = asked.split([len(texts) for texts in questions])
    return [scorer.similarity(f, q).tolist() for f, q in zip(by_video, by_asker, strict=True)]
