"""Write frames as h264 mp4, to a file or to memory."""

from fractions import Fraction
from io import BytesIO
from pathlib import Path

import av
import numpy as np
from av.video.reformatter import VideoReformatter


def write(target: Path | BytesIO, frames: np.ndarray, fps: int) -> None:
    """Encode `frames` (T, H, W, 3) uint8 at a constant rate; equal frames give equal bytes.

    Without `cpu-independent`, x264's AVX-512 routine for macroblock trees takes eight macroblocks at a time and reads
    on behind a row whose length is no multiple of eight. The demo's rows have four: its clips hung on what lay there.
    """
    where = target if isinstance(target, BytesIO) else str(target)
    with av.open(where, "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=fps)
        stream.height, stream.width, stream.pix_fmt = frames.shape[1], frames.shape[2], "yuv420p"
        stream.time_base = Fraction(1, fps)
        stream.options = {"crf": "12", "preset": "veryfast", "threads": "1", "x264-params": "cpu-independent=1"}
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())


def round_trip(frames: np.ndarray, fps: int) -> np.ndarray:
    """The frames as a reader sees them after encoding: (T, H, W, 3) uint8."""
    buffer = BytesIO()
    write(buffer, frames, fps)
    buffer.seek(0)
    colours = VideoReformatter()  # one for all frames: by itself, each would make its own
    with av.open(buffer, "r", format="mp4") as container:
        decoded = [colours.reformat(frame, format="rgb24") for frame in container.decode(video=0)]
        return np.stack([frame.to_ndarray() for frame in decoded])
