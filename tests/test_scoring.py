"""Scoring: what is computed once for many questions and videos is what each of them alone would have got."""

import multiprocessing
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from stgrpo.demo import mp4, world
from stgrpo.demo.scorer import make_scorer
from stgrpo.errors import UserError, VideoError
from stgrpo.importance.scorer import Scorer, load_scorer, score_videos
from stgrpo.importance.scoring import Machine, batches, score_shard
from stgrpo.importance.shards import in_shards
from stgrpo.records import FrameScores, Question
from stgrpo.rules import FrameRule

RULE = FrameRule(min_pixels=56 * 56, max_pixels=56 * 56)
TEXTS = [world.question_text(family, shape) for family in world.FAMILIES for shape in world.SHAPES]


@pytest.fixture(scope="module")
def scorer() -> Scorer:
    torch.set_num_threads(1)
    made = make_scorer(seed=3)
    made.model.eval()
    return made


@pytest.fixture(scope="module")
def folder(scorer: Scorer, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model") / "scorer"
    scorer.model.save_pretrained(path)
    scorer.tokenizer.save_pretrained(path)
    return path


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Ten clips of 16, 12, 8, 16, ... frames."""
    where = tmp_path_factory.mktemp("videos")
    paths = [where / f"v{k}.mp4" for k in range(10)]
    for k, path in enumerate(paths):
        mp4.write(path, world.scene(k, seed=5).frames[: 16 - 4 * (k % 3)], 2)
    return paths


@pytest.fixture(scope="module")
def questions(videos: list[Path]) -> list[Question]:
    """Three a video, asked in turn, so that a video's do not stand together."""
    return [
        Question(f"q{turn}-{k}", str(video), TEXTS[(k + turn) % len(TEXTS)], (), "free-form", "x", "t")
        for turn in range(3)
        for k, video in enumerate(videos)
    ]


def alone(scorer: Scorer, frames: np.ndarray, text: str) -> list[float]:
    """From the model's parts as transformers runs them, frame by frame."""
    core = scorer.model.model
    found = []
    with torch.no_grad():
        ids = scorer.tokenizer(text, add_special_tokens=False, return_tensors="pt")["input_ids"]
        asked = core.get_input_embeddings()(ids)[0].mean(0)
        for frame in frames:
            pixels = torch.from_numpy(frame).permute(2, 0, 1)[None].float() / 127.5 - 1
            hidden = core.vision_tower(pixels, output_hidden_states=True).hidden_states
            seen = core.multi_modal_projector(hidden[scorer.model.config.vision_feature_layer])[0].mean(0)
            found.append(float(torch.cosine_similarity(seen, asked, dim=0)))
    return found


@pytest.mark.parametrize("layer", [-1, -2, 0, 1])
def test_videos_scored_together_have_the_scores_of_each_frame_and_question_alone(scorer: Scorer, layer: int):
    """Of different lengths, 92 frames in all, so that a pass through the tower ends within a video."""
    clips = [world.scene(k, seed=9).frames[:count] for k, count in enumerate((16, 16, 4, 16, 16, 8, 16))]
    texts = [TEXTS[: 1 + k % 3] for k in range(len(clips))]
    before = scorer.model.config.vision_feature_layer
    scorer.model.config.vision_feature_layer = layer
    try:
        got = score_videos(scorer, clips, texts)
        for frames, asked, rows in zip(clips, texts, got, strict=True):
            for text, row in zip(asked, rows, strict=True):
                np.testing.assert_allclose(row, alone(scorer, frames, text), atol=1e-6)
    finally:
        scorer.model.config.vision_feature_layer = before


def test_a_scorer_is_loaded_without_its_language_layers(scorer: Scorer, folder: Path):
    loaded = load_scorer(folder)
    assert len(loaded.model.model.language_model.layers) == 0
    clip = world.scene(1, seed=9).frames
    assert score_videos(loaded, [clip], [TEXTS]) == score_videos(scorer, [clip], [TEXTS])


def test_a_scorer_without_all_of_its_tower_is_refused(folder: Path, tmp_path: Path):
    torn = tmp_path / "torn"
    torn.mkdir()
    for path in folder.iterdir():
        (torn / path.name).write_bytes(path.read_bytes())
    weights = load_file(torn / "model.safetensors")
    (gone,) = (name for name in weights if name.endswith("layers.1.mlp.fc2.bias"))
    del weights[gone]
    save_file(weights, torn / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(UserError) as caught:
        load_scorer(torn)
    assert str(caught.value).startswith(f"{torn}: 1 weights are missing, the first is model.vision_tower.")


def test_a_batch_is_as_many_videos_as_fill_a_pass(questions: list[Question]):
    """64 frames: four videos of 16 at most, or two of 32; a video of more than 64 has one for itself."""
    for most, sizes in {16: [4, 4, 2], 32: [2] * 5, 128: [1] * 10}.items():
        made = batches(questions, FrameRule(max_frames=most))
        assert [len(batch) for batch in made] == sizes
        groups = [group for batch in made for group in batch]
        assert [group[0].video for group in groups] == sorted({question.video for question in questions})
        for group in groups:
            assert [question for question in questions if question.video == group[0].video] == group


def scores(questions: list[Question], folder: Path, shards: int) -> list[FrameScores]:
    arguments = (batches(questions, RULE), RULE, folder, Machine(shards, 1, cuda=False))
    return [row for rows in in_shards(score_shard, shards, arguments) for row in rows]


@pytest.mark.slow
def test_shards_find_what_one_process_finds_to_the_last_bit(questions: list[Question], folder: Path):
    """Three batches: two shards have two and one of them."""
    one = scores(questions, folder, 1)
    assert [row.question for row in one[:4]] == ["q0-0", "q1-0", "q2-0", "q0-1"]
    assert {len(row.scores) for row in one} == {16, 12, 8}
    assert sorted(row.question for row in one) == sorted(question.id for question in questions)
    assert scores(questions, folder, 2) == one


def test_a_broken_video_is_named(questions: list[Question], folder: Path, tmp_path: Path):
    broken = tmp_path / "broken.mp4"
    broken.write_text("404", encoding="utf-8")
    with pytest.raises(VideoError) as caught:
        scores([*questions, Question("b", str(broken), TEXTS[0], (), "free-form", "x", "t")], folder, 1)
    assert str(caught.value).startswith(f"{broken}: does not decode (")
    assert not multiprocessing.active_children()
