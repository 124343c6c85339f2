"""Colour jitter and affine map of a variant: one draw for all its frames, since a draw a frame would flicker."""

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import affine_grid, grid_sample

from stgrpo.rules import SpatialRule

_GREY = torch.tensor([0.299, 0.587, 0.114]).view(3, 1, 1)
_TO_YIQ = torch.tensor([[0.299, 0.587, 0.114], [0.596, -0.274, -0.322], [0.211, -0.523, 0.312]])


@dataclass(frozen=True)
class Spatial:
    """A drawn transform: factors, turns of the colour circle, degrees, shares of the side, scale."""

    brightness: float
    contrast: float
    saturation: float
    hue: float
    rotation: float
    shift: tuple[float, float]
    zoom: float


def draw_spatial(rule: SpatialRule, rng: np.random.Generator) -> Spatial:
    """Draw every magnitude uniformly inside its bounds; no flips, which would turn left into right."""

    def around(centre: float, spread: float) -> float:
        return float(rng.uniform(centre - spread, centre + spread))

    return Spatial(
        brightness=around(1, rule.brightness),
        contrast=around(1, rule.contrast),
        saturation=around(1, rule.saturation),
        hue=around(0, rule.hue),
        rotation=around(0, rule.rotation),
        shift=(around(0, rule.translation), around(0, rule.translation)),
        zoom=around(1, rule.zoom),
    )


def apply_spatial(frames: np.ndarray, spatial: Spatial) -> np.ndarray:
    """(T, H, W, 3) uint8 -> the same shape; the border's pixels fill what the map leaves open."""
    x = torch.from_numpy(frames).permute(0, 3, 1, 2).float() / 255  # (T, 3, H, W)
    x = _affine(_jitter(x, spatial), spatial)
    return (x * 255).round().clamp(0, 255).byte().permute(0, 2, 3, 1).contiguous().numpy()


def _jitter(x: Tensor, spatial: Spatial) -> Tensor:
    x = (x * spatial.brightness).clamp(0, 1)
    mean = (x * _GREY).sum(1).mean()  # one level for the clip, so that frames stay comparable
    x = ((x - mean) * spatial.contrast + mean).clamp(0, 1)
    grey = (x * _GREY).sum(1, keepdim=True)  # (T, 1, H, W)
    x = ((x - grey) * spatial.saturation + grey).clamp(0, 1)
    return _turn_hue(x, spatial.hue) if spatial.hue else x


def _turn_hue(x: Tensor, turns: float) -> Tensor:
    """Rotate the two colour axes of YIQ."""
    cos, sin = math.cos(2 * math.pi * turns), math.sin(2 * math.pi * turns)
    turn = torch.tensor([[1, 0, 0], [0, cos, -sin], [0, sin, cos]])
    matrix = torch.linalg.inv(_TO_YIQ) @ turn @ _TO_YIQ  # (3, 3)
    return torch.einsum("dc,tchw->tdhw", matrix, x).clamp(0, 1)


def _affine(x: Tensor, spatial: Spatial) -> Tensor:
    """Turn, zoom and shift about the centre; the matrix maps output to input places, hence the inverses."""
    angle, size = math.radians(spatial.rotation), 1 / spatial.zoom
    cos, sin = math.cos(angle) * size, math.sin(angle) * size
    dx, dy = (-2 * share for share in spatial.shift)  # grid_sample's picture is two wide
    height, width = x.shape[2:]
    matrix = torch.tensor([[cos, sin * height / width, dx], [-sin * width / height, cos, dy]])
    grid = affine_grid(matrix.expand(len(x), 2, 3), list(x.shape), align_corners=False)  # (T, H, W, 2)
    return grid_sample(x, grid, padding_mode="border", align_corners=False)
