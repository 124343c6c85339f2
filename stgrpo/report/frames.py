"""Frames of a video as pictures that stand in the page itself."""

import base64
from io import BytesIO
from pathlib import Path

import numpy as np

from stgrpo.errors import VideoError
from stgrpo.rules import FrameRule
from stgrpo.video import FrameReader

_WIDTH = 112  # pixels, at most
_QUALITY = 70


def thumbnails(reader: FrameReader, video: str | Path, rule: FrameRule, most: int | None = None) -> list[str]:
    """The frames that a rule takes, or `most` of them evenly spaced, as data: addresses; none if it does not decode."""
    try:
        frames = reader.read(video, rule)
    except VideoError:  # at paper scale the videos may have been removed since
        return []
    count = min(most or len(frames), len(frames))
    return [thumbnail(frames[i]) for i in np.linspace(0, len(frames) - 1, count).round().astype(int)]


def thumbnail(frame: np.ndarray) -> str:
    """One (H, W, 3) uint8 frame as a data: address of a JPEG, never enlarged."""
    from PIL import Image

    picture = Image.fromarray(frame)
    if picture.width > _WIDTH:
        picture = picture.resize((_WIDTH, max(1, round(picture.height * _WIDTH / picture.width))))
    out = BytesIO()
    picture.save(out, "JPEG", quality=_QUALITY)
    return "data:image/jpeg;base64," + base64.b64encode(out.getvalue()).decode()
