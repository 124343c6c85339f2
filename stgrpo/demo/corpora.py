"""The rendered world on disk, in the originals' own formats, laid out as the Hub's repositories.

`Video-R1/Video-R1-data`: one JSON list of records and zips that unpack inside their folder.
`lmms-eval/TempCompass`: a parquet file a configuration and one zip of videos; questions about
colour stand under the dimension `attribute_change`, the nearest of its five.
"""

import json
import zipfile
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np

from stgrpo.config import Corpus
from stgrpo.demo import mp4, world
from stgrpo.files import replacing, sha256, write_json, write_text
from stgrpo.prompts import LETTERS, lettered

MANIFEST = "manifest.json"
_PARTS = 2  # zips of the training corpus
_DIMENSIONS = {"colour": "attribute_change", "direction": "direction"}


def write_training_corpus(hub: Path, rule: Corpus) -> None:
    """Video-R1's records, one question a video; the families take turns."""
    root = hub / "Video-R1" / "Video-R1-data"
    records, packed = [], [[] for _ in range(_PARTS)]
    for index, scene in _scenes(rule.videos, rule.seed):
        name = f"train_videos/video_{index:05d}.mp4"
        packed[index * _PARTS // rule.videos].append((name, _video(scene)))
        family = world.FAMILIES[index // 16 % 2]  # 16 consecutive scenes hold every colour and direction
        records.append(_record(index, scene, family, f"./CLEVRER/{name}", rule.seed))
    for part, members in enumerate(packed, 1):
        _write_zip(root / "CLEVRER" / f"CLEVRER_part{part}.zip", members)
    write_text(root / "Video-R1-260k.json", json.dumps(records, indent=1))
    _write_manifest(root)


def write_tempcompass(hub: Path, rule: Corpus) -> None:
    """TempCompass' multi-choice configuration: both families of questions about every video."""
    import pandas as pd

    root = hub / "lmms-eval" / "TempCompass"
    rows, members = [], []
    for index, scene in _scenes(rule.videos, rule.seed):
        members.append((f"videos/{index:05d}.mp4", _video(scene)))
        for family in world.FAMILIES:
            text, options, letter = _asked(scene, family, np.random.default_rng([rule.seed, 2, index]))
            answer = next(option for option in options if option.startswith(letter))
            rows.append(
                {
                    "video_id": f"{index:05d}",
                    "question": "\n".join([text, *options]),
                    "answer": answer,
                    "dim": _DIMENSIONS[family],
                }
            )
    _write_zip(root / "tempcompass_videos.zip", members)
    with replacing(root / "multi-choice" / "test-00000-of-00001.parquet") as temporary:
        pd.DataFrame(rows).to_parquet(temporary, index=False)
    _write_manifest(root)


WRITERS = {"video-r1": write_training_corpus, "tempcompass": write_tempcompass}


def _scenes(count: int, seed: int) -> Iterator[tuple[int, world.Scene]]:
    for index in range(count):
        yield index, world.scene(index, seed)


def _video(scene: world.Scene) -> bytes:
    buffer = BytesIO()
    mp4.write(buffer, scene.frames, world.FPS)
    return buffer.getvalue()


def _asked(scene: world.Scene, family: str, rng: np.random.Generator) -> tuple[str, list[str], str]:
    words = world.options(family, rng)
    letter = LETTERS[words.index(scene.truth(family))]
    return world.question_text(family, scene.shape), lettered(words), letter


def _record(index: int, scene: world.Scene, family: str, path: str, seed: int) -> dict[str, Any]:
    text, options, letter = _asked(scene, family, np.random.default_rng([seed, 1, index]))
    return {
        "problem_id": index,
        "problem": text,
        "data_type": "video",
        "problem_type": "multiple choice",
        "options": options,
        "solution": f"<answer>{letter}</answer>",
        "path": path,
        "data_source": "CLEVRER",
    }


def _write_zip(path: Path, members: list[tuple[str, bytes]]) -> None:
    """Stored, not deflated, and without times: equal members give an equal archive."""
    with replacing(path) as temporary, zipfile.ZipFile(temporary, "w") as archive:
        for name, content in members:
            archive.writestr(zipfile.ZipInfo(name), content)


def _write_manifest(root: Path) -> None:
    """Last, so that a manifest stands only beside a whole corpus."""
    files = sorted(p for p in root.rglob("*") if p.is_file() and p.name != MANIFEST)
    listed = [{"path": str(p.relative_to(root)), "size": p.stat().st_size, "sha256": sha256(p)} for p in files]
    write_json(root / MANIFEST, {"files": listed})
