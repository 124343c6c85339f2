"""Answer prompts about clips, token by token; what prompts about one clip begin with is computed once for all."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from transformers import DynamicCache

from stgrpo.errors import UserError
from stgrpo.policy.clips import Clip
from stgrpo.policy.model import Policy, embed, pad_left
from stgrpo.policy.prefixes import Growth, Tree
from stgrpo.policy.sampling import Sampler

_CROWDED = 0.75  # share of the rows still unfinished, below which the finished ones leave: that copies the others


@torch.no_grad()
def generate(
    policy: Policy, prompts: Sequence[Sequence[int]], clips: Sequence[Clip], sample: Sampler, max_tokens: int
) -> list[list[int]]:
    """The answers' token ids, up to and including the end token, one list a prompt.

    Args:
        policy: in any mode; the caller decides about dropout and autocast.
        prompts: token ids with expanded video placeholders (`Policy.prompt_ids`).
        clips: one a prompt; prompts about the same object share their beginning.
        sample: chooses tokens from logits.
        max_tokens: answers are cut there.

    Raises:
        UserError: a token was chosen by what is no number.
    """
    core, end = policy.model, policy.tokenizer.eos_token_id
    device = core.lm_head.weight.device
    tree = Tree(prompts, [[]] * len(prompts), clips, device)
    growth = tree.grow(max_tokens - 1)
    words, positions = tree.embed(core)  # (1, N, D), (3, 1, N)
    hidden = tree.own_last(_forward(core, words, positions, tree))  # (R, D)
    following, banned = tree.following, torch.tensor(policy.banned, device=device)
    rows, tokens = torch.arange(len(prompts), device=device), torch.full((len(prompts), max_tokens), end, device=device)
    unfinished = torch.ones_like(rows, dtype=torch.bool)  # of `rows`
    sound = torch.ones((), dtype=torch.bool, device=device)
    for place in range(max_tokens):
        logits = core.lm_head(hidden).index_fill(-1, banned, -torch.inf)  # (r, V)
        chosen = sample(logits, place, rows)
        sound &= _are_numbers(logits, chosen)
        tokens[rows[unfinished], place] = chosen[unfinished]
        unfinished &= chosen != end
        left = int(unfinished.sum())
        if left == 0 or place == max_tokens - 1:
            break
        if left < _CROWDED * len(rows):
            staying = unfinished.nonzero()[:, 0]
            growth.keep(staying)
            rows, following, chosen, unfinished = (x[staying] for x in (rows, following, chosen, unfinished))
        growth.next()
        words = core.get_input_embeddings()(chosen)[:, None]  # (rows, 1, D)
        hidden = _forward(core, words, (following + place).expand(3, -1)[..., None], growth)[:, 0]
    _check(sound)
    return [_until(row, end) for row in tokens.tolist()]


def _forward(core: Any, words: Tensor, positions: Tensor, attention: Tree | Growth) -> Tensor:
    """The language model's last hidden states, of the shape of `words`."""
    return core.model.language_model(
        inputs_embeds=words, position_ids=positions, attention_mask={"full_attention": attention}, use_cache=False
    ).last_hidden_state


@torch.no_grad()
def generate_alone(
    policy: Policy, prompts: Sequence[Sequence[int]], clips: Sequence[Clip], sample: Sampler, max_tokens: int
) -> list[list[int]]:
    """`generate` without anything shared but the clips' features: padded rows and transformers' own cache."""
    core, tokenizer = policy.model, policy.tokenizer
    device = core.lm_head.weight.device
    ids, mask = (x.to(device) for x in pad_left(prompts, tokenizer.pad_token_id))
    words, positions = embed(core, ids, mask, clips)  # (R, L, D), (3, R, L)
    following = positions[:, :, -1:] + 1  # the prompt ends in text, whose three coordinates are equal
    cache = DynamicCache(config=core.config.get_text_config())
    done = torch.zeros(len(prompts), dtype=torch.bool, device=device)
    banned = torch.tensor(policy.banned, device=device)
    tokens = []
    sound = torch.ones((), dtype=torch.bool, device=device)
    for place in range(max_tokens):
        hidden = core.model.language_model(
            inputs_embeds=words, attention_mask=mask, position_ids=positions, past_key_values=cache, use_cache=True
        ).last_hidden_state[:, -1]
        logits = core.lm_head(hidden).index_fill(-1, banned, -torch.inf)  # (R, V)
        chosen = sample(logits, place)  # (R,)
        sound &= _are_numbers(logits, chosen)
        chosen = chosen.masked_fill(done, tokenizer.pad_token_id)
        tokens.append(chosen)
        done |= chosen == tokenizer.eos_token_id
        if bool(done.all()):
            break
        words = core.get_input_embeddings()(chosen)[:, None]  # (R, 1, D)
        positions = following + place
        mask = torch.cat([mask, mask.new_ones(len(prompts), 1)], 1)
    _check(sound)
    return [_until(row, tokenizer.eos_token_id) for row in torch.stack(tokens, 1).tolist()]


def _are_numbers(logits: Tensor, chosen: Tensor) -> Tensor:
    """Whether those of the chosen tokens are: the largest of logits among which is NaN is NaN."""
    return logits.gather(-1, chosen[:, None]).isfinite().all()


def _check(sound: Tensor) -> None:
    """Asked once, after the last token: every look at it would wait for the GPU."""
    if not bool(sound):
        raise UserError(
            "the model's logits hold NaN or infinity, so its answers would be noise; compute in fp32 (precision), or "
            "look at the training that made its weights"
        )


def _until(row: list[int], end: int) -> list[int]:
    return row[: row.index(end) + 1] if end in row else row
