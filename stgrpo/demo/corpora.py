"""The training corpus of the rendered world, in the format of Video-R1-data, and the writers of all corpora by source.

As in the original most video rows are multiple choice and some free-form, the other types belong to images. A few rows
are dirty on purpose: no run over real data meets none.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np

from stgrpo.config import Corpus
from stgrpo.demo import asking, examined, packing, world
from stgrpo.files import write_text

_PARTS = 2  # zips of the training corpus
_FREE_FORM_EVERY = 12  # of the original's video rows about one in twelve
_FOLDER = "CLEVRER"


def write_training_corpus(hub: Path, rule: Corpus) -> None:
    """Video-R1's records, one question a video; the families take turns."""
    root = hub / "Video-R1" / "Video-R1-data"
    records, packed = [], [[] for _ in range(_PARTS)]
    for index in range(rule.videos):
        scene = world.scene(index, rule.seed)
        packed[index * _PARTS // rule.videos].append((_video_name(index), packing.video(scene.frames)))
        records.append(_record(index, scene, rule.seed))
    packed[-1].append((_video_name(rule.videos + 1), packing.BROKEN))
    records += _dirt(records, rule.videos)
    for part, members in enumerate(packed, 1):
        packing.write_zip(root / _FOLDER / f"{_FOLDER}_part{part}.zip", members)
    write_text(root / "Video-R1-260k.json", json.dumps(records, indent=1))
    packing.write_manifest(root)


WRITERS = {"video-r1": write_training_corpus, **examined.WRITERS}


def _record(index: int, scene: world.Scene, seed: int) -> dict[str, Any]:
    family = world.FAMILIES[index // 16 % 2]  # 16 consecutive scenes hold every colour and direction
    if index % _FREE_FORM_EVERY == 0:
        asked, kind = asking.open_question(scene, family), "free-form"
    else:
        asked, kind = asking.choice(scene, family, np.random.default_rng([seed, 1, index])), "multiple choice"
    return {
        "problem_id": index,
        "problem": asked.text,
        "data_type": "video",
        "problem_type": kind,
        "options": list(asked.options),
        "solution": f"<answer>{asked.answer}</answer>",
        "path": f"./{_FOLDER}/{_video_name(index)}",
        "data_source": _FOLDER,
    }


def _dirt(records: list[dict[str, Any]], videos: int) -> list[dict[str, Any]]:
    """Image rows, a missing video, one that does not decode, an id used twice, an answer outside its options."""
    image = {"data_type": "image", "path": "./Chart/0.png", "options": [], "data_source": "Chart"}
    images = [("numerical", "42"), ("regression", "3.14"), ("OCR", "red square"), ("free-form", "a red square")]
    choice = next(r for r in records if r["problem_type"] == "multiple choice")
    return [
        *(
            {**image, "problem_id": videos + 10 + n, "problem": "What is shown?", "problem_type": kind}
            | {"solution": f"<answer>{answer}</answer>"}
            for n, (kind, answer) in enumerate(images)
        ),
        {**choice, "problem_id": videos, "path": f"./{_FOLDER}/{_video_name(videos)}"},
        {**choice, "problem_id": videos + 1, "path": f"./{_FOLDER}/{_video_name(videos + 1)}"},
        {**choice, "problem": "What is this?"},
        {**choice, "problem_id": videos + 2, "solution": "<answer>E</answer>"},
    ]


def _video_name(index: int) -> str:
    return f"train_videos/video_{index:05d}.mp4"
