"""Frames -> the patches that Qwen2.5-VL's vision tower reads."""

from collections.abc import MutableMapping
from dataclasses import dataclass, field
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import torch
from torch import Tensor

PATCH, MERGE, TIME_PATCH = 14, 2, 2
_MEAN = torch.tensor([0.48145466, 0.4578275, 0.40821073])
_STD = torch.tensor([0.26862954, 0.26130258, 0.27577711])


@dataclass(frozen=True, eq=False)
class Clip:
    """One video or variant, shared by reference between all answers to it: never copied, so encoded once a pass.

    Attributes:
        pixels: (patches, 3*2*14*14) float32, normalised.
        grid: (3,) int64, steps in time, rows and columns of patches.
        features: what a vision tower that is not trained has made of it (tokens, D), by tower: it makes it once.
    """

    pixels: Tensor
    grid: Tensor
    features: MutableMapping[Any, Tensor] = field(default_factory=WeakKeyDictionary)

    @property
    def tokens(self) -> int:
        """Places that the clip takes in a prompt: four patches become one token."""
        return int(self.grid.prod()) // MERGE**2


def make_clip(frames: np.ndarray) -> Clip:
    """Pack (T, H, W, 3) uint8 frames, H and W multiples of 28; an odd last frame is repeated.

    Equal to transformers' Qwen2VLVideoProcessor with resizing off; ours needs no torchvision.
    """
    x = torch.from_numpy(frames)
    if len(x) % TIME_PATCH:
        x = torch.cat([x, x[-1:]])
    x = (x.float() / 255 - _MEAN) / _STD  # (T, H, W, 3)
    t, h, w = len(x) // TIME_PATCH, x.shape[1] // PATCH, x.shape[2] // PATCH
    x = x.view(t, TIME_PATCH, h // MERGE, MERGE, PATCH, w // MERGE, MERGE, PATCH, 3)
    x = x.permute(0, 2, 5, 3, 6, 8, 1, 4, 7)  # (t, h/2, w/2, 2, 2, 3, 2, 14, 14)
    return Clip(x.reshape(t * h * w, -1).contiguous(), torch.tensor([t, h, w]))
