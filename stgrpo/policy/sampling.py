"""How the next token is chosen: greedily, or with noise that depends on what is sampled and on nothing else.

Keyed sampling adds Gumbel noise to the logits that top-p keeps and takes the largest, which draws from the same
distribution as multinomial sampling. The noise comes from a hash of (row key, token number, token id) and from no
generator's state: it does not change with the split of a batch, the number of ranks or a restart. What is left is the
rounding of the logits, which the split does change; in float32 no answer changed in the tests.
"""

import hashlib
from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor


class Sampler(Protocol):
    """Chooses tokens from logits."""

    def __call__(self, logits: Tensor, position: int, rows: Tensor | None = None) -> Tensor:
        """(r, V) logits of the answers' token number `position` -> (r,) token ids; `rows` (r,) of the batch, or all."""
        ...


def greedy(logits: Tensor, position: int, rows: Tensor | None = None) -> Tensor:
    """The most probable token."""
    return logits.argmax(-1)


def key(*parts: int | str) -> int:
    """A number in [0, 2**63) from what identifies a draw, the same on every machine."""
    digest = hashlib.sha256("\x1f".join(map(str, parts)).encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


class KeyedSampler:
    """Temperature, then top-p, then Gumbel noise from one key a row."""

    def __init__(self, keys: Sequence[int], temperature: float, top_p: float) -> None:
        self.keys = torch.tensor(keys, dtype=torch.int64)  # (R,)
        self.temperature, self.top_p = temperature, top_p

    def __call__(self, logits: Tensor, position: int, rows: Tensor | None = None) -> Tensor:
        """See `Sampler`."""
        kept = keep_top_p(torch.log_softmax(logits.float() / self.temperature, -1), self.top_p)  # (R, V)
        keys = self.keys.to(logits.device)
        noise = gumbel(keys if rows is None else keys[rows], position, logits.shape[-1])  # (R, V)
        return (kept + noise).argmax(-1)  # (R,)


def keep_top_p(logps: Tensor, top_p: float) -> Tensor:
    """-inf outside the smallest set of tokens whose probability reaches `top_p`; the most probable one always stays."""
    ordered, index = logps.sort(-1, descending=True)
    before = ordered.exp().cumsum(-1) - ordered.exp()  # probability of all tokens that are more probable
    return torch.full_like(logps, -torch.inf).scatter(-1, index, ordered.masked_fill(before > top_p, -torch.inf))


def gumbel(keys: Tensor, position: int, vocabulary: int) -> Tensor:
    """Standard Gumbel noise (R, V): a counter hashed with SplitMix64's finaliser (Steele et al. 2014)."""
    tokens = torch.arange(vocabulary, device=keys.device)  # (V,)
    counter = keys[:, None] + _int64(0x9E3779B97F4A7C15) * (tokens + 1) + _int64(0xD1B54A32D192ED03 * (position + 1))
    x = (counter ^ _shift(counter, 30)) * _int64(0xBF58476D1CE4E5B9)
    x = (x ^ _shift(x, 27)) * _int64(0x94D049BB133111EB)
    x = x ^ _shift(x, 31)
    uniform = (_shift(x, 12).double() + 0.5) / 2**52  # in (0, 1), never rounded to 1
    return -torch.log(-torch.log(uniform)).float()


def _shift(x: Tensor, bits: int) -> Tensor:
    """Logical right shift: torch's own keeps the sign of int64."""
    return (x >> bits) & ((1 << (64 - bits)) - 1)


def _int64(value: int) -> int:
    """`value` modulo 2**64 as a signed number, the form in which torch multiplies and adds."""
    value %= 1 << 64
    return value - (1 << 64) if value >= 1 << 63 else value
