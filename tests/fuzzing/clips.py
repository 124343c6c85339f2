"""Videos, damaged: frames of the shape that was asked for, or one line that says why there are none."""

import tempfile
from io import BytesIO
from pathlib import Path

import numpy as np
from hypothesis import strategies as st

from fuzzing import Surface, one_line
from fuzzing.bytes_of import damaged
from stgrpo.demo import mp4, world
from stgrpo.errors import VideoError
from stgrpo.rules import FrameRule
from stgrpo.video import FrameReader

_RULE = FrameRule(min_pixels=56 * 56, max_pixels=56 * 56)
READER = FrameReader(timeout=20.0)  # its child starts with the first video, and ends when somebody says so


def _original(height: int, width: int, fps: int) -> bytes:
    frames = np.random.default_rng(0).integers(0, 255, (2 * fps, height, width, 3), np.uint8)
    buffer = BytesIO()
    mp4.write(buffer, frames, fps)
    return buffer.getvalue()


def _rendered() -> bytes:
    buffer = BytesIO()
    mp4.write(buffer, world.scene(0, 0).frames, world.FPS)
    return buffer.getvalue()


def _check(content: bytes) -> None:
    with tempfile.NamedTemporaryFile(suffix=".mp4") as file:
        Path(file.name).write_bytes(content)
        try:
            frames = READER.read(file.name, _RULE)
        except VideoError as error:
            one_line(error)
            return
        assert frames.dtype == np.uint8 and frames.ndim == 4 and frames.shape[3] == 3, frames.shape
        time, height, width, _ = frames.shape
        assert time % 2 == height % 28 == width % 28 == 0 and 2 <= time <= _RULE.max_frames, frames.shape
        assert height * width <= 4 * _RULE.max_pixels, frames.shape


SURFACES = [Surface("videos", st.one_of(damaged(_rendered()), damaged(_original(32, 48, 5))), _check, 60)]
