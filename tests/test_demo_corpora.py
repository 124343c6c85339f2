"""The rendered corpora pass through the adapters of the originals; what is dirty on purpose is set aside."""

import csv
from collections import Counter
from pathlib import Path

import pytest
from conftest import OWN_SIZE
from support import ROOT, experiment

from stgrpo.benchmarks import BENCHMARKS
from stgrpo.commands.prepare import prepare
from stgrpo.config import Corpus, Questions
from stgrpo.data.sources import fetch, read_source
from stgrpo.demo import asking, mp4, world
from stgrpo.demo.corpora import WRITERS
from stgrpo.demo.policy import make_tokenizer
from stgrpo.files import read_records
from stgrpo.records import Question
from stgrpo.specs import PrepareSpec

SOURCES = ROOT / "workflow/resources/sources.csv"
VIDEOS = 24


def prepared(name: str, folder: Path, videos: int = VIDEOS) -> tuple[list[Question], list[tuple[str, str]]]:
    """Questions and (row, reason) of those set aside: written, fetched, unpacked, read, decoded as in the workflow."""
    WRITERS[name](folder / "hub", Corpus(videos=videos, seed=3))
    fetch(read_source(SOURCES, name), folder / "hub", folder / name)
    draw = Questions(source=name, count=videos + 10, seed=0) if name == "video-r1" else None
    spec = PrepareSpec(name="train" if draw else name, frames=OWN_SIZE, draw=draw)
    prepare(spec, folder / name, folder / "q.jsonl", folder / "aside.csv")
    with (folder / "aside.csv").open(newline="", encoding="utf-8") as lines:
        aside = [(row["row"], row["reason"]) for row in csv.DictReader(lines)]
    return read_records(folder / "q.jsonl", Question), aside


def test_training_corpus_holds_both_kinds_of_video_rows_and_every_dirt(tmp_path: Path):
    questions, aside = prepared("video-r1", tmp_path)
    assert Counter(q.kind for q in questions) == {"multiple choice": 22, "free-form": 2}  # one in twelve
    reasons = Counter(reason.split(" (")[0].rsplit("/", 1)[-1] for _, reason in aside)
    assert reasons == {
        "an image; the paper trains on the video rows": 4,
        "video_00024.mp4: no such file": 1,
        "video_00025.mp4: does not decode": 1,
        "problem_id of video-r1-1 is used twice": 1,
        "answer 'E' is none of its options": 1,
    }


EXPECTED = {  # questions by part, from 24 videos; reasons
    "videomme": ({"short": 24, "medium": 24, "long": 24}, {"no answer": 1}),
    "vsibench": (
        {
            **{f"object_rel_direction_{level}": 12 for level in ("easy", "medium", "hard")},
            **dict.fromkeys(("object_rel_distance", "route_planning", "obj_appearance_order"), 12),
            **dict.fromkeys(("object_abs_distance", "object_counting", "object_size_estimation"), 12),
            "room_size_estimation": 12,
        },
        {"ground truth '0' is no number above 0": 1},
    ),
    "perceptiontest": ({"Semantics": 24, "Physics": 24}, {"answer_id '3' is none of its 3 options": 1}),
    "tempcompass": (
        {"multi-choice": 48, "yes_no": 48, "caption_matching": 48, "captioning": 48},
        {"answer 'E. purple' is none of its options": 1},
    ),
    "videommmu": (
        {"Adaptation": 24, "Comprehension": 24, "Perception": 24},
        {"validation_Art_9999.mp4: no such file": 1},
    ),
    "mmvu": (
        {"Humanities_and_Social_Science": 10, "Science": 10, "Healthcare": 4},
        {
            "an open question, which needs a judge model": 6,
            "9998.mp4: does not decode": 1,
            "subject 'Alchemy' is in no discipline": 1,
        },
    ),
}


@pytest.mark.parametrize("name", list(EXPECTED))
def test_benchmark_holds_every_part_and_its_dirt(tmp_path: Path, name: str):
    questions, aside = prepared(name, tmp_path)
    parts, reasons = EXPECTED[name]
    assert Counter(BENCHMARKS[name].part(q) for q in questions) == parts
    assert Counter(reason.split(" (")[0].rsplit("/", 1)[-1] for _, reason in aside) == reasons


def test_the_demo_asks_sixty_questions_or_more_of_each_benchmark():
    """Questions a video: the counted ones, dirt left out."""
    a_video = {"videomme": 3, "vsibench": 5, "perceptiontest": 2, "tempcompass": 6, "videommmu": 3, "mmvu": 1}
    scale = experiment().active
    assert set(a_video) == set(BENCHMARKS)
    for name, count in a_video.items():
        assert scale.world[name].videos * count >= 60, name


def test_equal_specs_give_equal_archives(tmp_path: Path):
    for folder in ("a", "b"):
        WRITERS["mmvu"](tmp_path / folder, Corpus(videos=3, seed=1))
    first, second = (sorted(p for p in (tmp_path / f).rglob("*") if p.is_file()) for f in ("a", "b"))
    assert [p.read_bytes() for p in first] == [p.read_bytes() for p in second]


def test_durations_of_videomme_are_8_16_and_32_seconds(tmp_path: Path):
    import decord

    questions, _ = prepared("videomme", tmp_path, videos=3)
    readers = {BENCHMARKS["videomme"].part(q): decord.VideoReader(q.video) for q in questions}
    assert {part: len(r) / r.get_avg_fps() for part, r in readers.items()} == {"short": 8, "medium": 16, "long": 32}


def test_quiz_stands_in_the_last_frame(tmp_path: Path):
    """Adaptation asks about a shape that is nowhere else in its video."""
    questions, _ = prepared("videommmu", tmp_path, videos=6)
    scenes = [world.scene(i, 3) for i in range(6)]
    asked = [q for q in questions if BENCHMARKS["videommmu"].part(q) == "Adaptation"]
    for question, scene in zip(asked, scenes, strict=True):
        assert not any(shape in question.text.split("?")[0] for shape in (scene.shape, scene.stand_in))


@pytest.mark.parametrize("family", world.FAMILIES)
def test_every_form_of_a_question_is_about_the_scene(family: str):
    """Answers worked out from the scene's own facts."""
    import numpy as np

    rng = np.random.default_rng(0)
    for index in range(32):
        scene = world.scene(index, 8)
        truth = {"colour": scene.colour, "direction": scene.direction}[family]
        choice = asking.choice(scene, family, rng, 2 + index % 4)
        assert len(choice.options) == 2 + index % 4
        assert f"{choice.answer}. {truth}" in choice.options
        claim = asking.yes_or_no(scene, family, rng)
        assert (claim.answer == "yes") == claim.text.endswith(f" {truth}?")
        caption = asking.caption(scene, family, rng)
        assert caption.options[int(caption.answer) - 1].endswith(f"is {truth}")
        assert asking.open_question(scene, family).answer == truth


def test_numbers_are_about_the_scene():
    import numpy as np

    for index in range(16):
        scene, rng = world.scene(index, 8), np.random.default_rng(index)
        assert asking.number(scene, "count", rng).answer == str(sum(scene.visible))
        assert asking.number(scene, "room", rng).answer == "56"
        size = asking.number(scene, "size", rng)
        assert size.answer == ("20" if scene.shape in size.text else "10")
        first = scene.frames[[not v for v in scene.visible]][0].astype(int)  # stand-in and cross lie still
        places = [
            np.argwhere((first != 24).any(-1) & (first == c).all(-1)).mean(0)
            for c in world.COLOURS.values()
            if (first == c).all(-1).any()
        ]
        told = int(asking.number(scene, "distance", rng).answer)
        if told > 14:  # else they cover one another, and centres of what is left say little
            assert np.linalg.norm(places[0] - places[1]) == pytest.approx(told, abs=2.5)


def test_tokenizer_knows_every_word_of_every_corpus(tmp_path: Path):
    """But for a note in a line of its own before each of VideoMMMU's questions, by the benchmark, not our world."""
    tokenizer, notes = make_tokenizer(), set()
    for name in WRITERS:
        questions, _ = prepared(name, tmp_path / name, videos=6)
        for q in questions:
            *note, asked = q.text.split("\n")
            notes.update((name, text) for text in note)
            words = " ".join([asked, *q.options, q.answer])
            assert tokenizer.unk_token not in tokenizer.tokenize(words), f"{name}: {words}"
    assert notes == {
        ("videommmu", "Use what the video teaches. The picture for this question is the last frame of the video."),
        ("videommmu", "Ignore the quiz in the last frame of the video."),
    }


def test_repeated_frames_keep_their_order():
    frames = world.scene(0, 1).frames
    again = mp4.round_trip(frames.repeat(2, 0), world.FPS)
    assert len(again) == 32
    assert abs(again[::2].astype(int) - frames).mean() < 4
