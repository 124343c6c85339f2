"""What the advantages did to rare right answers, from the groups that trainings keep."""

from statistics import mean, stdev

import pytest
import torch
from conftest import spec_of

from stgrpo.records import Group
from stgrpo.report import bias as module
from stgrpo.report.bias import Bias, bias, closed_form, flat_difference, pull_svg, shares_svg
from stgrpo.rl.groups import EPS, joint_advantages

FOUR = spec_of(variants=2, generations=2)
ONE_DEGREE = 12.706  # Student's quantile of a 95 % interval of two values


def group(correct: list[float], advantages: list[float], step: int = 1) -> Group:
    return Group(step, f"q{step}", tuple(correct), tuple(1 + value for value in correct), tuple(advantages))


TWO_SEEDS = {
    0: [
        group([0, 1, 0, 0], [-1, 3, -1, -1]),
        group([1, 0, 0, 1], [1, -1, -1, 1]),
        group([0, 0, 0, 0], [0, 0, 0, 0]),
        group([1, 1, 1, 1], [0, 0, 0, 0]),
    ],
    1: [group([1, 1, 0, 0], [2, 2, -2, -2]), group([0, 0, 0, 0], [1e-3, -1e-3, 0, 0])],  # what rounding leaves
}


def test_levels_by_hand():
    found = bias("grpo", FOUR, TWO_SEEDS)
    assert (found.cell, found.size, found.seeds, found.groups) == ("grpo", 4, 2, 6)
    assert [level.correct for level in found.levels] == [0, 1, 2, 3, 4]
    assert [level.groups for level in found.levels] == [2, 1, 2, 0, 1]
    assert [level.share.value for level in found.levels] == [3 / 8, 1 / 8, 3 / 8, 0, 1 / 8]
    assert [level.right and level.right.value for level in found.levels] == [None, 3, 1.5, None, 0]
    assert [level.wrong and level.wrong.value for level in found.levels] == pytest.approx([2.5e-4, 1, 1.5, None, None])
    share = found.levels[1].share  # 1/4 and 0
    assert (share.low, share.high) == pytest.approx((1 / 8 - ONE_DEGREE / 8, 1 / 8 + ONE_DEGREE / 8), abs=1e-4)
    once = found.levels[1].right
    assert once and (once.seeds, once.low) == (1, None), "one of the seeds has no such group"


def test_weight_of_rare_right_answers_by_hand():
    """|A| sums to 6 and 4 in the first seed; one of its three right answers that teach is rare and has 3 of 5."""
    found = bias("grpo", FOUR, {0: TWO_SEEDS[0]})
    assert [level.signal and level.signal.value for level in found.levels] == [0, 0.6, 0.4, 0, 0]
    assert found.rarity and found.rarity.value == 3
    assert found.rare_answers and found.rare_answers.value == pytest.approx(1 / 3)
    assert found.rare_pull and found.rare_pull.value == 0.6
    assert (found.flat.value, found.flat_right.value, found.flat_wrong.value) == (0.5, 0.25, 0.25)
    none_rare = bias("grpo", FOUR, {1: TWO_SEEDS[1]})
    assert none_rare.rarity is None
    assert none_rare.flat.value == none_rare.flat_wrong.value == 0.5


def test_nothing_is_learned_where_all_groups_are_flat():
    found = bias("grpo", FOUR, {0: TWO_SEEDS[0][2:]})
    assert found.flat.value == 1
    assert (found.rarity, found.rare_answers, found.rare_pull) == (None, None, None)
    assert {level.signal for level in found.levels} == {None}


def test_half_right_is_right():
    """A numerical estimate is hardly ever exact, and ROUGE's mean gives 2/3 to a single word that is matched."""
    found = bias("grpo", FOUR, {0: [group([0.5, 2 / 3, 0.999999, 0.49], [1, 1, 1, -3])]})
    assert [level.groups for level in found.levels] == [0, 0, 0, 1, 0]


def test_difference_of_flat_groups_is_paired_by_seed():
    """1/2 - 1/2 and 1/2 - 0; seed 2 has no partner."""
    later = {1: TWO_SEEDS[1][:1], 0: TWO_SEEDS[0], 2: TWO_SEEDS[1]}
    found = flat_difference(later, TWO_SEEDS)
    assert (found.value, found.seeds) == (0.25, 2)
    assert found.low == pytest.approx(0.25 - ONE_DEGREE * 0.25, abs=1e-4)


@pytest.mark.parametrize("algorithm", ["grpo", "dr_grpo", "dr_grpo_no_std"])
@pytest.mark.parametrize("variants", [1, 2])
def test_closed_form_is_the_advantage_of_rewards_0_and_1(algorithm: str, variants: int):
    spec = spec_of(variants=variants, generations=8 // variants, algorithm=algorithm)
    for correct in range(1, 8):
        rewards = [1.0] * correct + [0.0] * (8 - correct)
        scale = stdev(rewards) + EPS if algorithm == "grpo" else 1
        right, wrong = (abs(reward - mean(rewards)) / scale for reward in (1, 0))
        assert closed_form(spec, correct) == pytest.approx((right, wrong))
    assert closed_form(spec, 0) is closed_form(spec, 8) is None


def test_rare_answers_weigh_as_the_text_says():
    """Up to what is added to the standard deviation: sqrt(7) and 2 * 7 / 8."""
    ratios = [bias("c", spec_of(algorithm=name), TWO_OF_EIGHT).expected_rarity for name in ("grpo", "dr_grpo")]
    assert ratios == pytest.approx([7**0.5, 7 / 4], rel=1e-3)
    assert bias("c", spec_of(pool="variant"), TWO_OF_EIGHT).expected_rarity is None, "a pool is not the group"


TWO_OF_EIGHT = {0: [group([1, 1] + [0] * 6, [1, 1] + [-1 / 3] * 6)]}


@pytest.mark.parametrize("algorithm", ["grpo", "dr_grpo"])
def test_groups_as_trained_lie_on_the_closed_form(algorithm: str):
    """Advantages by the function that the trainer is held against, of a thousand groups, the format always right."""
    spec = spec_of(algorithm=algorithm)
    correct = (torch.rand((1000, 8), generator=torch.Generator().manual_seed(0)) < 0.4).float()
    advantages = joint_advantages(1 + correct.view(-1, 2, 4), scale=algorithm == "grpo").flatten(1)
    groups = [group(*pair) for pair in zip(correct.tolist(), advantages.tolist(), strict=True)]
    found = bias("cell", spec, {0: groups})
    for level in found.levels[1:8]:
        assert level.right and level.wrong
        assert level.right.value == pytest.approx(level.expected_right, rel=1e-5)
        assert level.wrong.value == pytest.approx(level.expected_wrong, rel=1e-5)
    assert found.rarity and found.rarity.value == pytest.approx(found.expected_rarity, rel=1e-5)
    assert sum(level.groups for level in found.levels) == 1000
    assert sum(level.share.value for level in found.levels) == pytest.approx(1)
    assert sum(level.signal.value for level in found.levels if level.signal) == pytest.approx(1)


def test_the_same_is_added_to_the_standard_deviation():
    assert module._EPS == EPS


def test_groups_that_are_all_flat_are_drawn_as_no_points(monkeypatch: pytest.MonkeyPatch):
    """And a pool of one variant has no closed form: nothing but the names is left."""
    found = [bias("grpo", spec_of(pool="variant", variants=2, generations=2), {0: TWO_SEEDS[0][2:]})]
    axis = drawn(monkeypatch, pull_svg, found)
    assert [line.get_xydata().tolist() for line in axis.lines if line.get_label() == "grpo"] == [[]]
    assert axis.get_ylim() == (0, 1)
    axis = drawn(monkeypatch, shares_svg, found)
    assert axis.lines[0].get_ydata().tolist() == [0.5, 0, 0, 0, 0.5]


def test_points_are_drawn_at_their_values(monkeypatch: pytest.MonkeyPatch):
    """|A| of right answers where there are wrong ones too; the share of all levels."""
    axis = drawn(monkeypatch, pull_svg, [bias("grpo", FOUR, TWO_SEEDS)])
    expected, points = axis.lines[0], next(line for line in axis.lines if line.get_label() == "grpo")
    assert points.get_xydata().tolist() == [[1, 3], [2, 1.5]]
    assert expected.get_xydata()[:, 0].tolist() == [1, 2, 3]
    axis = drawn(monkeypatch, shares_svg, [bias("grpo", FOUR, TWO_SEEDS), bias("st-grpo", FOUR, TWO_SEEDS)])
    shares = [line for line in axis.lines if line.get_label() in ("grpo", "st-grpo")]
    assert [line.get_ydata().tolist() for line in shares] == [[3 / 8, 1 / 8, 3 / 8, 0, 1 / 8]] * 2
    assert [line.get_xdata()[0] for line in shares] == pytest.approx([-0.06, 0.06]), "side by side"


def drawn(monkeypatch: pytest.MonkeyPatch, draw, found: list[Bias]):
    """The axis of a drawing."""
    from matplotlib import pyplot

    kept = []
    with monkeypatch.context() as open_figures:
        open_figures.setattr(pyplot, "close", kept.append)
        assert draw(found).startswith("<svg ")
    pyplot.close(kept[0])
    return kept[0].axes[0]
