"""Which frames a variant shows, and what is done to its picture."""

from collections import Counter
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy.special import softmax
from scipy.stats import binomtest, chisquare, entropy

from stgrpo.rules import Grouping, Selection, SpatialRule, TemporalRule, VariantRule
from stgrpo.variants.draw import Strategy, Variant, draw_variant
from stgrpo.variants.spatial import Spatial, apply_spatial, draw_spatial
from stgrpo.variants.temporal import (
    cropped,
    every,
    importance_weights,
    mean_entropy,
    segments,
    top_frames,
    weighted_frames,
)

RULE = VariantRule()
UNLIKELY = 1e-3  # a fixed seed either passes this or does not; a wrong distribution falls far below it

# Frames.


@pytest.mark.parametrize(
    ("frames", "count", "expected"),
    [
        (16, 2, [(0, 8), (8, 16)]),
        (16, 3, [(0, 5), (5, 10), (10, 16)]),  # 16 / 3 = 5.33, 32 / 3 = 10.67, rounded down
        (16, 6, [(0, 2), (2, 5), (5, 8), (8, 10), (10, 13), (13, 16)]),  # 2.67, 5.33, 8, 10.67, 13.33
        (4, 3, [(0, 1), (1, 2), (2, 4)]),
        (4, 4, [(0, 1), (1, 2), (2, 3), (3, 4)]),
        (5, 1, [(0, 5)]),
    ],
)
def test_segments_by_hand(frames: int, count: int, expected: list[tuple[int, int]]):
    assert segments(frames, count) == [range(*ends) for ends in expected]


def test_weights_of_eq_5_by_hand():
    """exp(0.1), exp(0.3), exp(0.2) = 1.10517, 1.34986, 1.22140; their sum is 3.67643."""
    assert importance_weights([0.1, 0.3, 0.2]).tolist() == pytest.approx([0.30061, 0.36717, 0.33222], abs=1e-5)


def test_weights_depend_on_differences_and_survive_large_scores():
    expected = importance_weights([0.1, 0.3, 0.2])
    assert importance_weights([1000.1, 1000.3, 1000.2]).tolist() == pytest.approx(expected.tolist(), abs=1e-9)
    assert importance_weights([-1000.0, 0.0]).tolist() == [0.0, 1.0]


@pytest.mark.parametrize("count", [2, 3, 5, 6])
def test_one_frame_of_every_segment_ascending(count: int):
    rng = np.random.default_rng(0)
    parts = segments(16, count)
    for _ in range(200):
        chosen = weighted_frames([0.0] * 16, count, rng)
        assert len(chosen) == count
        assert all(frame in part for frame, part in zip(chosen, parts, strict=True))
        assert list(chosen) == sorted(set(chosen))


@pytest.mark.parametrize("count", [4, 5, 6])
def test_more_frames_than_there_are_gives_all_of_them(count: int):
    assert weighted_frames([0.9, -0.9, 0.2, 0.1], count, np.random.default_rng(0)) == (0, 1, 2, 3)


def test_frames_of_a_segment_are_drawn_by_softmax():
    scores = [0.0, 0.5, -0.7, 0.9, 0.8, -0.9, 0.3, 0.1]  # the second of two segments is frames 4 to 7
    rng = np.random.default_rng(20)
    found = Counter(weighted_frames(scores, 2, rng)[1] for _ in range(10_000))
    observed = [found[frame] for frame in range(4, 8)]
    assert chisquare(observed, 10_000 * softmax(scores[4:])).pvalue > UNLIKELY
    assert chisquare(observed).pvalue < 1e-9, "uniform draws would be noticed"


def test_sharpened_frames_are_drawn_by_softmax_of_scores_over_the_temperature():
    """exp(0, -1, 1.5, 0.5) = 1, 0.36788, 4.48169, 1.64872 at temperature 0.02; their sum is 7.49829."""
    scores = [0.0, 0.9, -0.9, 0.0, 0.10, 0.08, 0.13, 0.11]  # the second of two segments is frames 4 to 7
    by_hand = [0.13336, 0.04906, 0.59769, 0.21988]
    assert importance_weights(scores[4:], 0.02).tolist() == pytest.approx(by_hand, abs=1e-5)
    rng = np.random.default_rng(24)
    found = Counter(weighted_frames(scores, 2, rng, 0.02)[1] for _ in range(10_000))
    observed = [found[frame] for frame in range(4, 8)]
    assert chisquare(observed, 10_000 * np.array(by_hand) / sum(by_hand)).pvalue > UNLIKELY
    assert chisquare(observed, 10_000 * softmax(scores[4:])).pvalue < 1e-9, "the paper's own weights would be noticed"


def test_a_temperature_of_one_changes_no_bit():
    scores = [0.1, 0.3, 0.2]
    raised = np.exp(np.array(scores) - 0.3)
    assert np.array_equal(importance_weights(scores), raised / raised.sum())


def test_segments_are_drawn_independently():
    rng = np.random.default_rng(21)
    found = Counter(weighted_frames([0.0, 0.0, 0.0, 0.0], 2, rng) for _ in range(10_000))
    assert chisquare([found[a, b] for a in (0, 1) for b in (2, 3)]).pvalue > UNLIKELY


def test_uniform_scores_have_the_largest_entropy():
    assert mean_entropy([0.3] * 16, 5) == pytest.approx(1.0)


def test_entropy_is_the_mean_over_segments_of_two_frames_or_more():
    """Three segments of five frames: (0), (1, 2), (3, 4); the first has nothing to choose."""
    scores = [0.5, 0.1, 0.9, -0.4, 0.4]
    expected = np.mean([entropy(softmax(part), base=2) for part in (scores[1:3], scores[3:])])
    assert mean_entropy(scores, 3) == pytest.approx(expected)


def test_entropy_is_that_of_the_sharpened_weights():
    """Softmax of (0, 1) is 0.26894, 0.73106: its entropy is 0.83994 bits of one."""
    assert mean_entropy([0.10, 0.12], 1, 0.02) == pytest.approx(0.83994, abs=1e-5)
    assert mean_entropy([-1.0, 1.0], 1, 0.001) == 0.0, "a weight of e^-2000 is no number any more"


def test_a_segment_of_three_is_measured_against_three():
    assert mean_entropy([0.1, 0.9, -0.3], 1) == pytest.approx(entropy(softmax([0.1, 0.9, -0.3]), base=3))


def test_nothing_to_choose_counts_as_uniform():
    assert mean_entropy([0.1, 0.9], 6) == 1.0


def test_one_certain_frame_has_no_entropy():
    assert mean_entropy([0.0, 30.0], 1) == pytest.approx(0.0, abs=1e-6)


@pytest.mark.parametrize(
    ("frames", "variants", "expected"),
    [
        (16, 2, [(0, 2, 4, 6, 8, 10, 12, 14), (1, 3, 5, 7, 9, 11, 13, 15)]),
        (16, 4, [(0, 4, 8, 12), (1, 5, 9, 13), (2, 6, 10, 14), (3, 7, 11, 15)]),
        (10, 4, [(0, 4, 8), (1, 5, 9), (2, 6), (3, 7)]),
        (4, 2, [(0, 2), (1, 3)]),
    ],
)
def test_deterministic_variants_by_hand(frames: int, variants: int, expected: list[tuple[int, ...]]):
    assert [every(frames, number, variants) for number in range(variants)] == expected


def test_top_takes_the_first_best_frame_of_every_segment():
    """Segments of 16 / 3: frames 0-4, 5-9 and 10-15."""
    scores = [0.1, 0.7, 0.2, 0.7, 0.0, -0.9, -0.3, -0.2, -0.8, -0.5, 0.3, 0.3, 0.3, 0.3, 0.3, 0.4]
    assert top_frames(scores, 3) == (1, 7, 15)
    assert top_frames(scores[:4], 6) == (0, 1, 2, 3)


def test_crops_by_their_distribution():
    """F = 16: round(U(9.6, 14.4)) is 10 to 14 with shares 0.9, 1, 1, 1, 0.9 of 4.8; starts and strides are uniform."""
    rng = np.random.default_rng(22)
    drawn = [cropped(16, TemporalRule(), rng) for _ in range(10_000)]
    strides = Counter(frames[1] - frames[0] for frames in drawn)
    assert chisquare([strides[stride] for stride in (1, 2, 3)]).pvalue > UNLIKELY
    whole = [frames for frames in drawn if frames[1] - frames[0] == 1]  # the others do not show where the crop ends
    lengths = Counter(map(len, whole))
    expected = np.array([0.9, 1, 1, 1, 0.9]) / 4.8 * len(whole)
    assert set(lengths) == set(range(10, 15))
    assert chisquare([lengths[length] for length in range(10, 15)], expected).pvalue > UNLIKELY
    for length in range(10, 15):
        starts = Counter(frames[0] for frames in whole if len(frames) == length)
        assert chisquare([starts[start] for start in range(17 - length)]).pvalue > UNLIKELY


def test_a_crop_keeps_its_stride_and_two_frames():
    for seed in range(300):
        frames = cropped(4, TemporalRule(), np.random.default_rng(seed))
        assert len(frames) >= 2
        assert set(np.diff(frames)) in ({1}, {2}, {3})
        assert max(frames) < 4


# Draws.


def draw(
    seed: int,
    grouping: Grouping = "importance+spatial",
    frames: int = 16,
    rule: VariantRule = RULE,
    selection: Selection = "weighted",
    number: int = 0,
    **controls: Any,
) -> Variant:
    scored = grouping.startswith("importance") and selection != "uniform"
    scores = np.linspace(-0.5, 0.5, frames).tolist() if scored else None
    strategy = Strategy(grouping, selection, 2, rule, **controls)
    return draw_variant(strategy, number, frames, scores, np.random.default_rng(seed))


def test_the_same_seed_gives_the_same_variant():
    assert [draw(seed) for seed in range(50)] == [draw(seed) for seed in range(50)]


def test_other_seeds_give_other_variants():
    assert len({draw(seed) for seed in range(50)}) > 45


def test_no_grouping_is_the_clip_itself():
    clip = np.random.default_rng(0).integers(0, 256, (5, 8, 8, 3), np.uint8)
    variant = draw(0, "none", frames=5)
    assert variant == Variant((0, 1, 2, 3, 4), None)
    assert np.array_equal(variant.apply(clip), clip)


@pytest.mark.parametrize(
    ("scores", "found"), [(None, "none"), ([0.1] * 15, "15"), ([0.1] * 17, "17")], ids=["none", "few", "many"]
)
def test_importance_needs_a_score_of_every_frame(scores: list[float] | None, found: str):
    text = rf"^grouping 'importance\+spatial' needs 16 frame scores, found {found}$"
    with pytest.raises(ValueError, match=text):
        strategy = Strategy("importance+spatial", "weighted", 2, RULE)
        draw_variant(strategy, 0, 16, scores, np.random.default_rng(0))


def test_uniform_selection_needs_no_scores_and_takes_any_frame_of_a_segment_as_often():
    """K = 4 of 16 frames: segments of four; first and last of them are told apart, for all their frames at once."""
    rule = VariantRule(min_frames=4, max_frames=4)
    drawn = [draw(seed, "importance", rule=rule, selection="uniform").frames for seed in range(10_000)]
    for segment in range(4):
        found = Counter(frames[segment] for frames in drawn)
        expected = range(4 * segment, 4 * segment + 4)
        assert set(found) == set(expected)
        assert chisquare([found[frame] for frame in expected]).pvalue > UNLIKELY


def test_uniform_and_sharpened_variants_share_all_but_the_choice_in_a_segment():
    other = 0
    for seed in range(50):
        paper = draw(seed)
        for variant in (draw(seed, selection="uniform"), draw(seed, score_temperature=0.02)):
            assert (variant.spatial, len(variant.frames)) == (paper.spatial, len(paper.frames))
            other += variant.frames != paper.frames
    assert other > 20


@pytest.mark.parametrize("grouping", ["deterministic", "stochastic", "importance", "importance+spatial"])
def test_one_identity_variant_is_the_clip_and_the_others_are_the_draws_they_were(grouping: Grouping):
    for seed in range(50):
        assert draw(seed, grouping, identity=True) == Variant(tuple(range(16)), None)
        assert draw(seed, grouping, number=1, identity=True) == draw(seed, grouping, number=1)


def test_deterministic_draws_nothing():
    assert {draw(seed, "deterministic", number=1) for seed in range(20)} == {Variant(tuple(range(1, 16, 2)), None)}


def test_cells_that_differ_in_one_knob_share_the_rest():
    """Frames of importance with and without the picture's change; the picture's change of weighted and top."""
    for seed in range(50):
        both = draw(seed)
        assert draw(seed, "importance") == Variant(both.frames, None)
        top = draw(seed, selection="top")
        assert (top.spatial, len(top.frames)) == (both.spatial, len(both.frames))


def test_stochastic_variants_are_cut_and_changed_half_of_the_time_each():
    drawn = [draw(seed, "stochastic") for seed in range(10_000)]
    cut, changed = ([bool(test(v)) for v in drawn] for test in (lambda v: len(v.frames) < 16, lambda v: v.spatial))
    table = Counter(zip(cut, changed, strict=True))
    assert chisquare([table[a, b] for a in (False, True) for b in (False, True)]).pvalue > UNLIKELY


def test_stochastic_without_probability_is_the_clip():
    rule = VariantRule(temporal=TemporalRule(probability=0), spatial=SpatialRule(probability=0))
    assert {draw(seed, "stochastic", rule=rule) for seed in range(20)} == {Variant(tuple(range(16)), None)}


def test_a_variant_shows_its_frames_in_order():
    clip = np.arange(6, dtype=np.uint8)[:, None, None, None].repeat(4, 1).repeat(4, 2).repeat(3, 3)
    assert Variant((1, 4), None).apply(clip)[:, 0, 0, 0].tolist() == [1, 4]


@pytest.fixture(scope="module")
def many() -> list[Variant]:
    return [draw(seed) for seed in range(10_000)]


def test_the_number_of_frames_is_uniform_from_two_to_six(many: list[Variant]):
    found = Counter(len(variant.frames) for variant in many)
    assert set(found) == {2, 3, 4, 5, 6}
    assert chisquare([found[count] for count in range(2, 7)]).pvalue > UNLIKELY


def test_half_of_the_variants_are_transformed(many: list[Variant]):
    changed = sum(variant.spatial is not None for variant in many)
    assert binomtest(changed, len(many), 0.5).pvalue > UNLIKELY


@pytest.mark.parametrize(("probability", "expected"), [(0.0, 0), (1.0, 50)])
def test_probability_zero_is_never_and_one_is_always(probability: float, expected: int):
    rule = VariantRule(spatial=SpatialRule(probability=probability))
    assert sum(draw(seed, rule=rule).spatial is not None for seed in range(50)) == expected


# What is done to the picture.

NEUTRAL = Spatial(brightness=1, contrast=1, saturation=1, hue=0, rotation=0, shift=(0, 0), zoom=1)


def noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (*shape, 3), np.uint8)


def distance(a: np.ndarray, b: np.ndarray) -> int:
    """Largest difference in grey levels."""
    return int(np.abs(a.astype(int) - b.astype(int)).max())


def colours(*rgb: tuple[int, int, int]) -> np.ndarray:
    """One frame with one colour a pixel."""
    return np.array([[rgb]], np.uint8)


def test_magnitudes_are_uniform_around_neutral():
    rule, rng = SpatialRule(hue=0.25), np.random.default_rng(0)
    drawn = [draw_spatial(rule, rng) for _ in range(10_000)]
    spreads = {"brightness": 0.2, "contrast": 0.2, "saturation": 0.2, "hue": 0.25, "rotation": 10.0, "zoom": 0.1}
    for name, spread in spreads.items():
        values = np.array([getattr(spatial, name) for spatial in drawn]) - getattr(NEUTRAL, name)
        counts, _ = np.histogram(values, bins=10, range=(-spread, spread))
        assert counts.sum() == 10_000, f"{name} leaves its bounds"
        assert chisquare(counts).pvalue > UNLIKELY, name
    shifts = np.array([spatial.shift for spatial in drawn])
    assert (np.abs(shifts).max(0) <= 0.1).all()
    assert (np.abs(shifts).max(0) > 0.09).all()
    assert abs(np.corrcoef(shifts.T)[0, 1]) < 0.1, "both directions are drawn on their own"


def test_neutral_leaves_the_frames_alone():
    frames = noise(3, 28, 56)
    assert distance(apply_spatial(frames, NEUTRAL), frames) <= 1


def test_the_input_is_not_changed():
    frames = noise(2, 28, 28)
    before = frames.copy()
    apply_spatial(frames, replace(NEUTRAL, brightness=0.5, rotation=10))
    assert np.array_equal(frames, before)


def test_brightness_is_a_factor():
    frames = colours((100, 50, 0), (200, 255, 10))
    expected = colours((120, 60, 0), (240, 255, 12))  # 1.2 times, 306 is cut at 255
    assert distance(apply_spatial(frames, replace(NEUTRAL, brightness=1.2)), expected) <= 1


def test_contrast_stretches_around_the_mean_level():
    """Grey levels 100 and 140: mean 120, at half contrast 110 and 130."""
    frames = colours((100, 100, 100), (140, 140, 140))
    expected = colours((110, 110, 110), (130, 130, 130))
    assert distance(apply_spatial(frames, replace(NEUTRAL, contrast=0.5)), expected) <= 1


def test_saturation_moves_a_pixel_towards_its_own_grey():
    """Grey of (200, 100, 50) is 0.299 * 200 + 0.587 * 100 + 0.114 * 50 = 124.2; half of the way there."""
    expected = colours((162, 112, 87), (80, 80, 80))
    found = apply_spatial(colours((200, 100, 50), (80, 80, 80)), replace(NEUTRAL, saturation=0.5))
    assert distance(found, expected) <= 1


def test_half_a_turn_of_the_hue_is_the_opposite_colour_of_the_same_grey():
    """Grey of (140, 100, 120) is 114.24; the opposite is 2 * 114.24 minus each channel. Grey stays grey."""
    expected = colours((88, 128, 108), (80, 80, 80))
    found = apply_spatial(colours((140, 100, 120), (80, 80, 80)), replace(NEUTRAL, hue=0.5))
    assert distance(found, expected) <= 1


def test_two_quarter_turns_of_the_hue_are_a_half():
    frames = colours((140, 100, 120), (110, 130, 100))
    quarter, half = replace(NEUTRAL, hue=0.25), replace(NEUTRAL, hue=0.5)
    assert distance(apply_spatial(apply_spatial(frames, quarter), quarter), apply_spatial(frames, half)) <= 2
    assert distance(apply_spatial(frames, quarter), frames) > 5


@pytest.mark.parametrize(
    ("shift", "corner", "reason"),
    [
        ((0.25, 0.0), (12, 30), "a quarter of 40 pixels to the right"),
        ((-0.25, 0.0), (12, 10), "to the left"),
        ((0.0, 0.25), (19, 20), "a quarter of 28 pixels down"),
        ((0.0, -0.25), (5, 20), "up"),
        ((0.1, 0.25), (19, 24), "both"),
    ],
)
def test_a_shift_moves_the_picture(shift: tuple[float, float], corner: tuple[int, int], reason: str):
    """A bright square of 4 x 4 pixels with its upper left corner at row 12, column 20 of 28 x 40."""
    frames = np.zeros((1, 28, 40, 3), np.uint8)
    frames[:, 12:16, 20:24] = 255
    row, column = corner
    expected = np.zeros_like(frames)
    expected[:, row : row + 4, column : column + 4] = 255
    assert distance(apply_spatial(frames, replace(NEUTRAL, shift=shift)), expected) <= 1, reason


def test_the_border_fills_what_a_shift_leaves_open():
    frames = np.zeros((1, 20, 20, 3), np.uint8)
    frames[:, :, 0] = 200
    found = apply_spatial(frames, replace(NEUTRAL, shift=(0.25, 0.0)))
    assert distance(found[:, :, :6], np.full((1, 20, 6, 3), 200, np.uint8)) <= 1
    assert found[:, :, 6:].max() <= 1


def test_a_quarter_turn_is_clockwise():
    frames = noise(2, 28, 28)
    expected = np.rot90(frames, k=-1, axes=(1, 2))  # rot90 itself turns the other way
    assert distance(apply_spatial(frames, replace(NEUTRAL, rotation=90)), expected) <= 1


def test_half_a_turn_of_a_wide_frame():
    frames = noise(2, 28, 56)
    assert distance(apply_spatial(frames, replace(NEUTRAL, rotation=180)), frames[:, ::-1, ::-1]) <= 1


def test_a_quarter_turn_of_a_wide_frame_keeps_shapes():
    """A bar of 4 x 12 pixels about the centre of 28 x 56 stands upright afterwards, neither longer nor shorter."""
    frames = np.zeros((1, 28, 56, 3), np.uint8)
    frames[:, 12:16, 22:34] = 255
    expected = np.zeros_like(frames)
    expected[:, 8:20, 26:30] = 255
    assert distance(apply_spatial(frames, replace(NEUTRAL, rotation=90)), expected) <= 1


def test_zoom_enlarges_about_the_centre():
    """A square of 8 pixels becomes one of 16; bilinear sampling softens its edge by a pixel."""
    frames = np.zeros((1, 40, 40, 3), np.uint8)
    frames[:, 16:24, 16:24] = 255
    found = apply_spatial(frames, replace(NEUTRAL, zoom=2))[0, :, :, 0]
    assert found[13:27, 13:27].min() == 255
    found[11:29, 11:29] = 0
    assert found.max() == 0


@pytest.mark.parametrize(
    "spatial",
    [
        replace(NEUTRAL, brightness=1.3, saturation=0.6, hue=0.1),
        replace(NEUTRAL, rotation=10, shift=(0.1, -0.05), zoom=0.9),
    ],
    ids=["colours", "places"],
)
def test_all_frames_get_the_same_transform(spatial: Spatial):
    frames = noise(4, 28, 28)
    one_by_one = np.concatenate([apply_spatial(frames[f : f + 1], spatial) for f in range(4)])
    assert np.array_equal(apply_spatial(frames, spatial), one_by_one)
    assert distance(one_by_one, frames) > 20


def test_contrast_has_one_mean_for_the_clip():
    """A dark frame of 40 and a bright one of 80, mean 60: each by itself would stay as it is."""
    frames = np.concatenate([np.full((1, 4, 4, 3), grey, np.uint8) for grey in (40, 80)])
    found = apply_spatial(frames, replace(NEUTRAL, contrast=1.5))
    assert found[:, 0, 0, 0].tolist() == [30, 90]


def test_a_variant_transforms_the_frames_it_shows():
    clip = noise(6, 28, 28)
    spatial = replace(NEUTRAL, rotation=180)
    assert distance(Variant((0, 5), spatial).apply(clip), clip[[0, 5], ::-1, ::-1]) <= 1
