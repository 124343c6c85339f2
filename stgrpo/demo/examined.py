"""The six benchmarks as the rendered world has them, each in the schema and the layout of its repository.

Every corpus holds one or two rows that cannot be scored, to be set aside with their reasons. Colour questions stand
under the nearest of a benchmark's own topics.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from stgrpo.config import Corpus
from stgrpo.demo import asking, packing, world

_DURATIONS = {"short": 1, "medium": 2, "long": 4}  # how often a frame is shown: clips of 8, 16 and 32 s
_DIRECTION_LEVELS = {"easy": 2, "medium": 3, "hard": 4}  # options
_NUMBER_TYPES = {
    "object_abs_distance": "distance",
    "object_counting": "count",
    "object_size_estimation": "size",
    "room_size_estimation": "room",
}
_DIMENSIONS = {"colour": "attribute_change", "direction": "direction"}
_DISCIPLINES = {
    "Art": "Art",
    "Accounting": "Business",
    "Electronics": "Engineering",
    "History": "Humanities",
    "Pharmacy": "Medicine",
    "Biology": "Science",
}
_SUBJECTS = ("Art", "Biology", "Chemistry", "Economics", "Pharmacy")


def write_videomme(hub: Path, rule: Corpus) -> None:
    """Three questions a video, the durations in turn; the first row has no answer."""
    root, rows, members = hub / "lmms-eval" / "Video-MME", [], []
    for index, scene, rng in _scenes(rule):
        duration = list(_DURATIONS)[index % 3]
        members.append((f"data/v{index:04d}.mp4", packing.video(scene.frames, _DURATIONS[duration])))
        topics = [asking.choice(scene, f, rng) for f in world.FAMILIES] + [asking.which_moves(scene, rng)]
        for number, asked in enumerate(topics, 1):
            rows.append(
                {
                    "video_id": f"{index:03d}",
                    "duration": duration,
                    "domain": "Knowledge",
                    "sub_category": "Geometry",
                    "url": "",
                    "videoID": f"v{index:04d}",
                    "question_id": f"{index:03d}-{number}",
                    "task_type": "Attribute Perception" if asked.topic == "colour" else "Action Recognition",
                    "question": asked.text,
                    "options": list(asked.options),
                    "answer": asked.answer,
                }
            )
    rows.append({**rows[0], "question_id": "000-4", "answer": None})
    _write(root, "videomme/test-00000-of-00001.parquet", rows, {"videos_chunked_01.zip": members})


def write_vsibench(hub: Path, rule: Corpus) -> None:
    """All ten types in turn, five questions a video, the data sets in turn; one size is zero."""
    root, rows = hub / "nyu-visionx" / "VSI-Bench", []
    archives: dict[str, list[tuple[str, bytes]]] = {"arkitscenes": [], "scannet": [], "scannetpp": []}
    for index, scene, rng in _scenes(rule):
        dataset = list(archives)[index % 3]
        archives[dataset].append((f"{dataset}/scene{index:04d}.mp4", packing.video(scene.frames)))
        types = list(_vsi_questions(scene, rng))
        for kind, asked in types[index % 2 :: 2]:
            rows.append(
                {
                    "id": len(rows),
                    "dataset": dataset,
                    "scene_name": f"scene{index:04d}",
                    "question_type": kind,
                    "question": asked.text,
                    "ground_truth": asked.answer,
                    "options": list(asked.options) or None,
                }
            )
    rows.append({**rows[0], "id": len(rows), "question_type": "object_size_estimation", "ground_truth": "0"})
    rows[-1]["options"] = None
    zips = {f"{dataset}.zip": members for dataset, members in archives.items()}
    _write(root, "test-00000-of-00001.parquet", rows, zips)


def _vsi_questions(scene: world.Scene, rng: np.random.Generator) -> Iterator[tuple[str, asking.Asked]]:
    for level, options in _DIRECTION_LEVELS.items():
        yield f"object_rel_direction_{level}", asking.choice(scene, "direction", rng, options)
    yield "object_rel_distance", asking.which_moves(scene, rng)
    yield "route_planning", asking.choice(scene, "direction", rng)
    yield "obj_appearance_order", asking.which_is_first(scene, rng)
    for kind, topic in _NUMBER_TYPES.items():
        yield kind, asking.number(scene, topic, rng)


def write_perceptiontest(hub: Path, rule: Corpus) -> None:
    """Two questions a video with three options; one answer_id points past them."""
    root, rows, members = hub / "lmms-eval" / "PerceptionTest_Val", [], []
    for index, scene, rng in _scenes(rule):
        members.append((f"videos/video_{index}.mp4", packing.video(scene.frames)))
        for family in world.FAMILIES:
            asked = asking.choice(scene, family, rng, 3)
            rows.append(
                {
                    "video_name": f"video_{index}",
                    "question": asked.text,
                    "question_id": str(len(rows)),
                    "options": [option.split(". ", 1)[1] for option in asked.options],
                    "answer_id": str("ABC".index(asked.answer)),
                    "area": "Semantics" if family == "colour" else "Physics",
                    "reasoning": "Descriptive",
                    "tag": [asked.topic],
                }
            )
    rows.append({**rows[0], "question_id": str(len(rows)), "answer_id": "3"})
    _write(root, "mc_question_val/validation-00000-of-00001.parquet", rows, {"videos_chunked_01.zip": members})


def write_tempcompass(hub: Path, rule: Corpus) -> None:
    """The four configurations, both families of questions about every video; one answer is none of its options."""
    root, members = hub / "lmms-eval" / "TempCompass", []
    configs = ("multi-choice", "yes_no", "caption_matching", "captioning")
    rows: dict[str, list[dict[str, Any]]] = {config: [] for config in configs}
    for index, scene, rng in _scenes(rule):
        members.append((f"videos/{index:05d}.mp4", packing.video(scene.frames)))
        for family in world.FAMILIES:
            row = {"video_id": f"{index:05d}", "dim": _DIMENSIONS[family]}
            asked, answer = _with_line(asking.choice(scene, family, rng))
            rows["multi-choice"].append({**row, "question": asked, "answer": answer})
            claim = asking.yes_or_no(scene, family, rng)
            rows["yes_no"].append({**row, "question": claim.text, "answer": claim.answer})
            asked, answer = _with_line(asking.caption(scene, family, rng))
            rows["caption_matching"].append({**row, "question": asked, "answer": answer})
            asked, answer = _with_line(asking.choice(scene, family, rng))
            told = {"question": "Describe the video.", "answer": "", "mc_question": asked, "mc_answer": answer}
            rows["captioning"].append({**row, **told})
    rows["multi-choice"].append({**rows["multi-choice"][0], "answer": "E. purple"})
    for config in configs[1:]:
        packing.write_parquet(root / config / "test-00000-of-00001.parquet", rows[config])
    _write(root, "multi-choice/test-00000-of-00001.parquet", rows["multi-choice"], {"tempcompass_videos.zip": members})


def _with_line(asked: asking.Asked) -> tuple[str, str]:
    """Question and options in one text, and the whole line that is right."""
    right = next(o for o in asked.options if o.startswith((f"{asked.answer}.", f"Option {asked.answer}:")))
    return "\n".join([asked.text, *asked.options]), right


def write_videommmu(hub: Path, rule: Corpus) -> None:
    """Three tracks, the quiz picture as last frame; half of Adaptation is open; one video is missing."""
    root = hub / "lmms-eval" / "VideoMMMU"
    archives: dict[str, list[tuple[str, bytes]]] = {f"{d}.zip": [] for d in _DISCIPLINES.values()}
    tracks: dict[str, list[dict[str, Any]]] = {"Adaptation": [], "Comprehension": [], "Perception": []}
    for index, scene, rng in _scenes(rule):
        subject, discipline = list(_DISCIPLINES.items())[index % len(_DISCIPLINES)]
        name = f"validation_{subject}_{index}"
        third = next(s for s in world.SHAPES if s not in (scene.shape, scene.stand_in))
        colour = str(rng.choice(list(world.COLOURS)))
        frames = np.concatenate([scene.frames[:-1], world.quiz(third, colour)[None]])
        archives[f"{discipline}.zip"].append((f"{discipline}/{name}.mp4", packing.video(frames)))
        quiz = world.Scene(**{**vars(scene), "shape": third, "colour": colour})
        is_open = index // len(_DISCIPLINES) % 2 == 1
        asked = asking.open_question(quiz, "colour") if is_open else asking.choice(quiz, "colour", rng)
        tracks["Adaptation"].append(_mmmu_row(name, asked))
        tracks["Comprehension"].append(_mmmu_row(name, asking.choice(scene, "direction", rng)))
        tracks["Perception"].append(_mmmu_row(name, asking.choice(scene, "colour", rng)))
    tracks["Perception"].append({**tracks["Perception"][0], "id": "validation_Art_9999"})
    for track, rows in tracks.items():
        packing.write_parquet(root / track / "test-00000-of-00001.parquet", rows)
    for name, members in archives.items():
        packing.write_zip(root / name, members)
    packing.write_manifest(root)


def _mmmu_row(name: str, asked: asking.Asked) -> dict[str, Any]:
    kind = "multiple-choice" if asked.options else "open"
    options = [option.split(". ", 1)[1] for option in asked.options]
    return {"id": name, "question": asked.text, "options": options, "answer": asked.answer, "question_type": kind}


def write_mmvu(hub: Path, rule: Corpus) -> None:
    """One multiple choice a video, now and then an open item; one video does not decode, one subject is unknown."""
    root, rows, members = hub / "lmms-eval" / "MMVU", [], []
    for index, scene, rng in _scenes(rule):
        subject = _SUBJECTS[index % len(_SUBJECTS)]
        path = f"videos/{subject}/{index}.mp4"
        members.append((path, packing.video(scene.frames)))
        family = world.FAMILIES[index % 2]
        rows.append(_mmvu_row(len(rows), path, asking.choice(scene, family, rng, 5)))
        if index % 4 == 0:
            rows.append(_mmvu_row(len(rows), path, asking.open_question(scene, family)))
    members.append(("videos/Art/9998.mp4", packing.BROKEN))
    rows.append({**rows[0], "id": f"validation_{len(rows)}", "video_path": "videos/Art/9998.mp4"})
    rows.append({**rows[0], "id": f"validation_{len(rows)}", "video_path": "videos/Alchemy/0.mp4"})
    _write(root, "data/validation-00000-of-00001.parquet", rows, {"videos.zip": members})


def _mmvu_row(number: int, path: str, asked: asking.Asked) -> dict[str, Any]:
    words = [option.split(". ", 1)[1] for option in asked.options]
    return {
        "id": f"validation_{number}",
        "video_path": path,
        "question": asked.text,
        "question_type": "multiple-choice" if words else "open-ended",
        "choices": dict(zip("ABCDE", words or [""] * 5, strict=True)),
        "answer": asked.answer,
    }


WRITERS: dict[str, Callable[[Path, Corpus], None]] = {
    "videomme": write_videomme,
    "vsibench": write_vsibench,
    "perceptiontest": write_perceptiontest,
    "tempcompass": write_tempcompass,
    "videommmu": write_videommmu,
    "mmvu": write_mmvu,
}


def _scenes(rule: Corpus) -> Iterator[tuple[int, world.Scene, np.random.Generator]]:
    for index in range(rule.videos):
        yield index, world.scene(index, rule.seed), np.random.default_rng([rule.seed, 2, index])


def _write(root: Path, table: str, rows: list[dict[str, Any]], zips: dict[str, list[tuple[str, bytes]]]) -> None:
    packing.write_parquet(root / table, rows)
    for name, members in zips.items():
        packing.write_zip(root / name, members)
    packing.write_manifest(root)
