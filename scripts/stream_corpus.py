"""Seconds and memory of choosing questions from Video-R1-260k.json: python scripts/stream_corpus.py [RECORDS]

Writes so many generated records of the real schema and mixture (263,071: 116,248 of videos, one line) to a temporary
file. A process of its own then chooses 4,000 and a reserve of 200; its peak memory is what the system counts for it.
"""

import json
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from stgrpo.config import Questions
from stgrpo.data.video_r1 import RECORDS, choose

ALL, OF_VIDEOS = 263_071, 116_248
DRAW = Questions(source="video-r1", count=4000, seed=0, reserve=200)
FOLDERS = ("CLEVRER", "LLaVA-Video-178K", "NeXT-QA", "PerceptionTest", "STAR")
WORDS = (
    "what",
    "does",
    "the",
    "person",
    "do",
    "after",
    "opening",
    "a",
    "red",
    "box",
    "near",
    "window",
    "second",
    "dog",
)


def records(count: int) -> Iterator[dict[str, Any]]:
    """Records about as long as the original's 670 bytes."""
    rng = random.Random(0)
    for index in range(count):
        of_video = rng.random() < OF_VIDEOS / ALL
        is_choice = rng.random() < 0.64
        folder = rng.choice(FOLDERS) if of_video else "Chart"
        options = [f"{letter}. {' '.join(rng.choices(WORDS, k=8))}" for letter in "ABCD"] if is_choice else []
        yield {
            "problem_id": index,
            "problem": " ".join(rng.choices(WORDS, k=55)),
            "data_type": "video" if of_video else "image",
            "problem_type": "multiple choice" if is_choice else "free-form",
            "options": options,
            "solution": f"<answer>{rng.choice('ABCD') if is_choice else 'a red box'}</answer>",
            "path": f"./{folder}/videos/{index:06d}.{'mp4' if of_video else 'png'}",
            "data_source": folder,
        }


def write(path: Path, count: int) -> None:
    """One JSON list in one line, as the original is."""
    with path.open("w", encoding="utf-8") as out:
        for index, record in enumerate(records(count)):
            out.write(f"{', ' if index else '['}{json.dumps(record)}")
        out.write("]")


def measure(folder: Path) -> None:
    """Choose, and print what it took."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start = time.monotonic()
    choice = choose(folder, DRAW)
    seconds = time.monotonic() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(
        f"{choice.total} records, {len(choice.videos(folder))} videos chosen: {seconds:.1f} s, peak {peak / 1024:.0f} "
        f"MB of memory ({before / 1024:.0f} MB before)"
    )


def main() -> None:
    """Write the records here and choose in another process."""
    if sys.argv[1:2] == ["--measure"]:
        measure(Path(sys.argv[2]))
        return
    count = int(sys.argv[1]) if len(sys.argv) > 1 else ALL
    with tempfile.TemporaryDirectory() as folder:
        start = time.monotonic()
        write(Path(folder) / RECORDS, count)
        size = (Path(folder) / RECORDS).stat().st_size
        print(f"wrote {size / 1e6:.0f} MB in {time.monotonic() - start:.1f} s", flush=True)
        subprocess.run([sys.executable, __file__, "--measure", folder], check=True)


if __name__ == "__main__":
    main()
