"""Log-probabilities of answers, each given its own clip and prompt; what prompts begin with is computed once."""

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from stgrpo.policy.clips import Clip
from stgrpo.policy.model import embed
from stgrpo.policy.prefixes import Tree

_NOT_ASKED = -100  # label of a token whose probability nobody asks for


def log_probs(
    model: Any, core: Any, ids: Tensor, mask: Tensor, length: int, clips: Sequence[Clip]
) -> tuple[Tensor, Tensor | None]:
    """Log-probabilities and, if the model gives them, entropies, (R, T), of the answers' tokens; 0 after their end.

    Args:
        model: as the trainer wraps it, with TRL's `fused_lm_head`, whose temperature they are at.
        core: the unwrapped Qwen2_5_VLForConditionalGeneration in it.
        ids: (R, L + T), prompts filled up on the left, answers on the right.
        mask: (R, L + T), 0 where filled up.
        length: T.
        clips: (R,), the same object where rows share a clip.
    """
    prompts, answers = _lists(ids[:, :-length], mask[:, :-length]), _lists(ids[:, -length:], mask[:, -length:])
    tree = Tree(prompts, [answer[:-1] for answer in answers], clips, ids.device)
    own = [[_NOT_ASKED] * (n - len(answer)) + answer for n, answer in zip(tree.own_lengths, answers, strict=True)]
    labels = tree.over_all(own, _NOT_ASKED)  # (N,)
    words, positions = tree.embed(core)  # (1, N, D), (3, 1, N)
    found = model(
        inputs_embeds=words,
        position_ids=positions,
        attention_mask={"full_attention": tree},
        shift_labels=labels[None],
        fused_lm_head=True,
    )
    answered, asked = mask[:, -length:].bool(), labels != _NOT_ASKED

    def by_row(values: Tensor) -> Tensor:
        return values.new_zeros(answered.shape).masked_scatter(answered, values[0, asked])  # (R, T)

    return by_row(found.log_probs), None if found.entropy is None else by_row(found.entropy)


def log_probs_alone(
    model: Any, core: Any, ids: Tensor, mask: Tensor, length: int, clips: Sequence[Clip]
) -> tuple[Tensor, Tensor | None]:
    """`log_probs` without anything shared but the clips' features: every row computes its whole prompt."""
    labels = ids.masked_fill(mask == 0, _NOT_ASKED)
    labels[:, :-length] = _NOT_ASKED
    words, positions = embed(core, ids, mask, clips)  # (R, L + T, D), (3, R, L + T)
    found = model(inputs_embeds=words, position_ids=positions, attention_mask=mask, labels=labels, fused_lm_head=True)
    return found.log_probs[:, -length:], None if found.entropy is None else found.entropy[:, -length:]


def _lists(ids: Tensor, mask: Tensor) -> list[list[int]]:
    """The rows without what fills them up."""
    return [row[there].tolist() for row, there in zip(ids, mask.bool(), strict=True)]
