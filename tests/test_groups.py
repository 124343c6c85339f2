"""Statistics of a group of M variants x G answers, by hand."""

import pytest
import torch

from stgrpo.rl.groups import EPS, joint_advantages, spread

# Two questions, M = 2, G = 2. First: mean 1, deviations -1, 0, 0, 1, so variance 2 / 3 (ddof = 1). Second: flat.
REWARDS = torch.tensor([[[0.0, 1.0], [1.0, 2.0]], [[1.0, 1.0], [1.0, 1.0]]])
STD = (2 / 3) ** 0.5
HALF = 0.5**0.5  # standard deviation (ddof = 1) of two numbers that differ by 1


def test_the_variants_of_a_question_are_one_pool():
    one = 1 / (STD + EPS)
    assert joint_advantages(REWARDS)[0].tolist() == [[pytest.approx(-one), 0.0], [0.0, pytest.approx(one)]]


def test_a_flat_group_teaches_nothing():
    assert joint_advantages(REWARDS)[1].tolist() == [[0.0, 0.0], [0.0, 0.0]]


def test_eps_is_added_to_the_standard_deviation():
    """Rewards 0 and 0.002: deviations -+0.001, std 0.001 * sqrt(2); without EPS the advantage would be 0.7071."""
    found = joint_advantages(torch.tensor([[[0.0], [0.002]]])).flatten()
    expected = 0.001 / (0.001 * 2**0.5 + 1e-4)
    assert found.tolist() == pytest.approx([-expected, expected], rel=1e-4)


def test_dr_grpo_only_centres():
    assert joint_advantages(REWARDS, scale=False).tolist() == [[[-1.0, 0.0], [0.0, 1.0]], [[0.0, 0.0], [0.0, 0.0]]]


def test_questions_do_not_mix():
    assert torch.equal(joint_advantages(REWARDS)[:1], joint_advantages(REWARDS[:1]))


def test_spread_of_both_questions():
    """First question: variant means 0.5 and 1.5, inside each variant a difference of 1. Second: all zero."""
    assert spread(REWARDS) == pytest.approx(
        {"reward_std": STD / 2, "between_variants": HALF / 2, "within_variants": HALF / 2, "flat_groups": 0.5}
    )


@pytest.mark.parametrize(
    ("rewards", "expected", "reason"),
    [
        ([[[0.0, 2.0], [0.0, 2.0]]], {"between": 0.0, "within": 2 * HALF}, "variants alike, answers not"),
        ([[[0.0, 0.0], [2.0, 2.0]]], {"between": 2 * HALF, "within": 0.0}, "answers alike, variants not"),
        ([[[0.0, 2.0]]], {"between": 0.0, "within": 2 * HALF}, "one variant has no variants to differ from"),
        ([[[0.0], [2.0]]], {"between": 2 * HALF, "within": 0.0}, "one answer a variant has none to differ from"),
    ],
)
def test_spread_tells_variants_from_answers(rewards: list, expected: dict[str, float], reason: str):
    found = spread(torch.tensor(rewards))
    assert {"between": found["between_variants"], "within": found["within_variants"]} == pytest.approx(expected), reason


def test_equal_rewards_that_no_float_holds_exactly_are_flat():
    assert spread(torch.full((3, 2, 4), 0.1))["flat_groups"] == 1.0


def test_a_small_difference_is_not_flat():
    rewards = torch.zeros(1, 2, 4)
    rewards[0, 0, 0] = 1e-3
    assert spread(rewards)["flat_groups"] == 0.0
