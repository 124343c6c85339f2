"""The rendered world shows what its questions ask about, and the scorer made from it means something."""

import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from scipy.stats import mannwhitneyu
from torch.nn.functional import cosine_similarity

from stgrpo.config import WarmPolicy
from stgrpo.demo import mp4, world
from stgrpo.demo.policy import make_policy, make_tokenizer
from stgrpo.demo.scorer import make_scorer, warm_scorer
from stgrpo.demo.warm_policy import warm_policy
from stgrpo.importance.scorer import Scorer, score_videos

SCORER_STEPS = 2000  # as in config.yaml's demo


def test_scenes_are_balanced_and_seeded():
    scenes = [world.scene(i, seed=1) for i in range(64)]
    assert set(Counter((s.colour, s.direction) for s in scenes).values()) == {4}
    again = world.scene(5, seed=1)
    assert np.array_equal(again.frames, scenes[5].frames)
    assert not np.array_equal(world.scene(5, seed=2).frames, scenes[5].frames)
    for s in scenes:
        assert s.shape != s.stand_in
        assert 12 <= sum(s.visible) <= 14


# Clips whose bytes, on a processor with AVX-512, hung on what memory held before; about one clip in twenty-five did.
ENCODE = """
from hashlib import sha256
from io import BytesIO
from stgrpo.demo import mp4, world
for i in (4, 27, 43, 199):
    mp4.write(clip := BytesIO(), world.scene(i, seed=2).frames, world.FPS)
    print(sha256(clip.getvalue()).hexdigest())
"""


def test_equal_frames_are_encoded_as_equal_bytes_whatever_memory_held_before():
    """glibc fills what it allocates with MALLOC_PERTURB_; elsewhere this merely encodes twice."""
    found = [
        subprocess.run(
            [sys.executable, "-c", ENCODE], env=os.environ | {"MALLOC_PERTURB_": fill}, capture_output=True, check=True
        ).stdout
        for fill in ("1", "255")
    ]
    assert len(found[0].split()) == 4
    assert found[0] == found[1]


def colour_share(frame: np.ndarray, colour: str) -> int:
    return int((frame == world.COLOURS[colour]).all(-1).sum())


def test_target_is_there_when_it_is_said_to_be():
    for i in range(32):
        scene = world.scene(i, seed=3)
        for frame, visible in zip(scene.frames, scene.visible, strict=True):
            # a 10 px bystander or stand-in never covers a whole 20 px target, whose triangle has 200 px
            assert (colour_share(frame, scene.colour) > 60) == visible


def test_target_moves_as_its_direction_says():
    for i in range(16):
        scene = world.scene(i, seed=4)
        first, last = (np.flatnonzero(scene.visible)[k] for k in (0, -1))
        centres = []
        for f in (first, last):
            y, x = np.nonzero((scene.frames[f] == world.COLOURS[scene.colour]).all(-1))
            centres.append((x.mean(), y.mean()))
        moved = np.subtract(centres[1], centres[0])
        dx, dy = world.DIRECTIONS[scene.direction]
        assert moved @ (dx, dy) > 25, "across most of the picture"
        assert abs(moved @ (dy, dx)) < 6, "and not sideways (the bystander may cover a corner)"


def test_tokenizer_knows_every_word_and_keeps_the_tags():
    tokenizer = make_tokenizer()
    text = "What is the colour of the square? Options: A. red B. green <think> the direction is up A </think>"
    assert tokenizer.unk_token_id not in tokenizer(text)["input_ids"]
    ids = tokenizer("<think> the colour is red A </think> <answer> A </answer> <|im_end|>")["input_ids"]
    assert (
        tokenizer.decode(ids, skip_special_tokens=True) == "<think> the colour is red A </think> <answer> A </answer>"
    )


@pytest.fixture(scope="module")
def scorer() -> Scorer:
    torch.set_num_threads(1)
    made = make_scorer(seed=0)
    for _ in warm_scorer(made, SCORER_STEPS, seed=0):
        pass
    made.model.eval()
    return made


def aucs(scorer: Scorer, count: int, shuffled: bool) -> Iterator[float]:
    """For each held-out video, the share of (showing, not showing) pairs of frames that are scored in order.

    Shuffled: every other 16 clips, which hold every colour and direction, are asked about the thing that is there in
    the other frames. A shape that is in no frame would be no neutral question: a small thing is more easily taken for
    it than a large one.
    """
    for i in range(count):
        scene = world.scene(i, seed=900)
        asked = scene.stand_in if shuffled and i // 16 % 2 else scene.shape
        frames = mp4.round_trip(scene.frames, world.FPS)
        ((scores,),) = score_videos(scorer, [frames], [[world.question_text(world.FAMILIES[i % 2], asked)]])
        visible = np.array(scene.visible)
        showing, rest = np.array(scores)[visible], np.array(scores)[~visible]
        yield float(mannwhitneyu(showing, rest).statistic / (len(showing) * len(rest)))


@pytest.mark.slow
def test_scores_tell_which_frames_show_what_is_asked_about(scorer: Scorer):
    assert np.mean(list(aucs(scorer, 256, shuffled=False))) >= 0.9


@pytest.mark.slow
def test_scores_say_nothing_with_the_questions_shuffled(scorer: Scorer):
    assert 0.45 <= np.mean(list(aucs(scorer, 512, shuffled=True))) <= 0.55


def test_score_is_the_cosine_of_pooled_cells_and_mean_embedding():
    """Against a computation from the model's parts: tower's last hidden state, projector, mean over the 16 cells."""
    scorer = make_scorer(seed=3)
    scorer.model.eval()
    frames = world.scene(2, seed=9).frames
    text = world.question_text("colour", "circle")
    ((got,),) = score_videos(scorer, [frames], [[text]])
    core = scorer.model.model
    with torch.no_grad():
        pictures = torch.from_numpy(frames).permute(0, 3, 1, 2).float() / 127.5 - 1
        hidden = core.vision_tower(pictures, output_hidden_states=True).hidden_states[-1]  # (16, 16, D)
        cells = core.multi_modal_projector(hidden)
        ids = scorer.tokenizer(text, return_tensors="pt")["input_ids"]
        asked = core.get_input_embeddings()(ids).mean(1)  # (1, D)
        expected = [float(cosine_similarity(frame.mean(0, keepdim=True), asked)) for frame in cells]
    np.testing.assert_allclose(got, expected, atol=1e-6)


@pytest.mark.slow
def test_warm_up_lowers_the_loss():
    policy = make_policy(seed=0)
    warm = WarmPolicy(seed=0, clips=32, max_steps=50, stop=1.0, floor=1.0)
    losses = [progress.loss for progress in warm_policy(policy, warm, "{question}")]
    assert len(losses) == 3  # two of 25 steps, and the other forms of questions at the end
    assert losses[1] < 0.7 * losses[0]
