"""Answer prompts about clips, token by token, with a key-value cache."""

from collections.abc import Sequence

import torch
from torch import Tensor
from transformers import DynamicCache

from stgrpo.policy.clips import Clip
from stgrpo.policy.model import Policy, embed, pad_left
from stgrpo.policy.sampling import Sampler


@torch.no_grad()
def generate(
    policy: Policy, prompts: Sequence[Sequence[int]], clips: Sequence[Clip], sample: Sampler, max_tokens: int
) -> list[list[int]]:
    """The answers' token ids, up to and including the end token, one list a prompt.

    Args:
        policy: in any mode; the caller decides about dropout and autocast.
        prompts: token ids with expanded video placeholders (`Policy.prompt_ids`).
        clips: one a prompt.
        sample: chooses tokens from logits.
        max_tokens: answers are cut there.
    """
    core, tokenizer = policy.model, policy.tokenizer
    device = core.lm_head.weight.device
    ids, mask = (x.to(device) for x in pad_left(prompts, tokenizer.pad_token_id))
    words, positions = embed(core, ids, mask, clips)  # (R, L, D), (3, R, L)
    following = positions[:, :, -1:] + 1  # the prompt ends in text, whose three coordinates are equal
    cache = DynamicCache(config=core.config.get_text_config())
    done = torch.zeros(len(prompts), dtype=torch.bool, device=device)
    banned = torch.tensor(policy.banned, device=device)
    tokens = []
    for position in range(max_tokens):
        hidden = core.model.language_model(
            inputs_embeds=words, attention_mask=mask, position_ids=positions, past_key_values=cache, use_cache=True
        ).last_hidden_state[:, -1]
        logits = core.lm_head(hidden).index_fill(-1, banned, -torch.inf)  # (R, V)
        chosen = sample(logits, position).masked_fill(done, tokenizer.pad_token_id)  # (R,)
        tokens.append(chosen)
        done |= chosen == tokenizer.eos_token_id
        if bool(done.all()):
            break
        words = core.get_input_embeddings()(chosen)[:, None]  # (R, 1, D)
        positions = following + position
        mask = torch.cat([mask, mask.new_ones(len(prompts), 1)], 1)
    return [_until(row, tokenizer.eos_token_id) for row in torch.stack(tokens, 1).tolist()]


def generate_with_logits(
    policy: Policy, prompts: Sequence[Sequence[int]], clips: Sequence[Clip], sample: Sampler, max_tokens: int
) -> tuple[list[list[int]], Tensor]:
    """`generate`, and the logits (R, T, V) that each token was chosen from (after the ban on vision tokens)."""
    seen = []

    def noted(logits: Tensor, position: int) -> Tensor:
        seen.append(logits)
        return sample(logits, position)

    answers = generate(policy, prompts, clips, noted, max_tokens)
    return answers, torch.stack(seen, 1)


def _until(row: list[int], end: int) -> list[int]:
    return row[: row.index(end) + 1] if end in row else row
