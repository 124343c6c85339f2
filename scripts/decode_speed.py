"""Frames a second from file to the size that the paper's rule asks for: python scripts/decode_speed.py [ROUNDS]

In this process with decord, as a FrameReader's child does it, and with PyAV; through a FrameReader; and read ahead by
one and two children. Four videos of 10 s, 640 x 360 at 30 a second, made on the spot; 16 frames of each are taken.
Every run is a process of its own, the runs take turns, the table shows medians: CPU seconds of the process and of its
children, whose start is a row of its own; seconds on the clock; peak memory in MB of both.
"""

import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import av
import numpy as np
from peak_memory import Peak

from stgrpo.demo import mp4
from stgrpo.rules import FrameRule
from stgrpo.video import FrameReader, _decode, frame_indices, frame_size, read_ahead, resize

RULE = FrameRule()


def with_decord(videos: Sequence[Path]) -> None:
    """In this process."""
    for video in videos:
        _decode(str(video), RULE)


def with_pyav(videos: Sequence[Path]) -> None:
    """In this process: every frame is decoded, only those that are taken become RGB."""
    for video in videos:
        with av.open(str(video)) as container:
            stream = container.streams.video[0]
            wanted = set(frame_indices(stream.frames, float(stream.average_rate or 30), RULE))
            decoded = enumerate(container.decode(stream))
            frames = np.stack([frame.to_ndarray(format="rgb24") for at, frame in decoded if at in wanted])
        resize(frames, *frame_size(frames.shape[1], frames.shape[2], RULE))


def through_a_reader(videos: Sequence[Path]) -> None:
    """In a child, one after the other."""
    with FrameReader() as reader:
        for video in videos:
            reader.read(video, RULE)


def ahead(workers: int) -> Callable[[Sequence[Path]], None]:
    """In children."""

    def run(videos: Sequence[Path]) -> None:
        for _ in read_ahead(videos, RULE, workers):
            pass

    return run


def start(videos: Sequence[Path]) -> None:
    """A child that has torch, but no frames."""
    with tempfile.TemporaryDirectory() as folder, FrameReader() as reader:
        mp4.write(Path(folder) / "x.mp4", np.zeros((4, 56, 56, 3), np.uint8), 2)
        reader.read(Path(folder) / "x.mp4", RULE)


RUNS = {
    "decord here": with_decord,
    "PyAV here": with_pyav,
    "FrameReader": through_a_reader,
    "ahead, 1 child": ahead(1),
    "ahead, 2 children": ahead(2),
    "a child's start": start,
}


def measured(folder: Path, run: str) -> list[float]:
    """CPU seconds here and in children, seconds on the clock, peak memory here and in the largest child."""
    resize(np.zeros((1, 56, 56, 3), np.uint8), 28, 28)  # torch is read before
    videos = sorted(folder.glob("*.mp4"))
    peak = Peak()
    clock, begun = time.perf_counter(), time.process_time()
    RUNS[run](videos)
    own, clock = time.process_time() - begun, time.perf_counter() - clock
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return [own, children.ru_utime + children.ru_stime, clock, peak.own(), peak.largest_child]


def apart(folder: Path, run: str) -> list[float]:
    """The same in a process of its own; by -c, for a child would read a script's file, and all that it imports."""
    code = f"import json; from decode_speed import *; print(json.dumps(measured(Path({str(folder)!r}), {run!r})))"
    words = [sys.executable, "-c", code]
    return json.loads(
        subprocess.run(words, check=True, capture_output=True, text=True, cwd=Path(__file__).parent).stdout
    )


def make(folder: Path) -> None:
    """Moving gradients with a block in front."""
    y, x = np.mgrid[:360, :640]
    for k in range(4):
        frames = np.stack([np.stack([x + 3 * t, y + k * t, x + y], -1).astype(np.uint8) for t in range(300)])
        for t in range(300):
            frames[t, 100:200, t : t + 100] = 200
        mp4.write(folder / f"{k}.mp4", frames, 30)


def main() -> None:
    """Print the table."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 3
    found: dict[str, list[list[float]]] = {run: [] for run in RUNS}
    with tempfile.TemporaryDirectory() as folder:
        make(Path(folder))
        for _ in range(rounds):
            for run in RUNS:
                found[run].append(apart(Path(folder), run))
    median = {run: [statistics.median(column) for column in zip(*rows, strict=True)] for run, rows in found.items()}
    once = median["a child's start"][1]
    print(
        f"{'run':18} {'CPU s':>6} {'child':>6} {'clock':>6} {'MB':>5} {'child':>5}  frames a CPU second, starts apart"
    )
    for run, (own, child, clock, peak, child_peak) in median.items():
        starts = once * (2 if "2" in run else 1 if child else 0)
        rate = "" if run == "a child's start" else f"{4 * 16 / (own + child - starts):7.0f}"
        print(f"{run:18} {own:6.2f} {child:6.2f} {clock:6.1f} {peak:5.0f} {child_peak:5.0f}  {rate}")


if __name__ == "__main__":
    main()
