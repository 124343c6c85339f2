"""Statistics of a group of M variants x G answers. Letters: Q questions, M variants, G generations."""

import torch
from torch import Tensor

EPS = 1e-4  # added to the standard deviation, as Video-R1 and TRL do


def joint_advantages(rewards: Tensor, scale: bool = True) -> Tensor:
    """Normalise over all M * G answers of a question (paper Eq. 4).

    The trainer leaves this to TRL, whose groups are the same M * G adjacent rows; the tests hold TRL against it. If a
    cell's pool is the variant, the trainer calls it with each variant as a question of its own, (Q * M, 1, G).

    Args:
        rewards: (Q, M, G).
        scale: divide by the group's standard deviation (GRPO); False is Dr.GRPO.
    """
    centred = rewards - rewards.mean((1, 2), keepdim=True)  # (Q, M, G)
    if not scale:
        return centred
    std = rewards.flatten(1).std(1)[:, None, None]  # (Q, 1, 1), ddof = 1
    return centred / (std + EPS)


def spread(rewards: Tensor) -> dict[str, float]:
    """Figure 3's quantity and where it comes from, means over the questions.

    Args:
        rewards: (Q, M, G).

    Returns:
        reward_std: standard deviation inside a group (ddof = 1);
        between_variants: standard deviation of the variants' mean rewards, 0 for one variant;
        within_variants: mean standard deviation inside a variant, 0 for one generation;
        flat_groups: share of groups in which all rewards are equal, so that nothing is learned.
    """
    _, variants, generations = rewards.shape
    group = rewards.flatten(1).std(1)  # (Q,)
    return {
        "reward_std": group.mean().item(),
        "between_variants": rewards.mean(2).std(1).mean().item() if variants > 1 else 0.0,
        "within_variants": rewards.std(2).mean().item() if generations > 1 else 0.0,
        "flat_groups": torch.isclose(group, torch.zeros_like(group)).float().mean().item(),
    }
