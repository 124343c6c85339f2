"""Prompts that begin alike, computed once: their beginning as a prefix, what differs as branches of it.

All rows about one clip begin with the same tokens, the clip's among them. They lie in one sequence without padding:
first every prefix, then every row's own tokens, which see their prefix and themselves. So the products with weights,
most of the work, are computed for exactly these tokens; attention alone is padded. The numbers are those of rows that
stand for themselves, to float order, in the forward and in the gradient.

Letters: N tokens in all, V prefixes, P tokens of the longest, R rows, B most own tokens of a row.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from stgrpo.policy.clips import Clip
from stgrpo.policy.model import clip_features, rope_positions


class Tree:
    """Rows laid out as prefixes and branches, and the attention between them.

    Attributes:
        clips: those of the prefixes (V,).
        owner: the prefix that a row goes on from (R,) int64.
        ids: tokens (N,) int64, the prefixes', then the rows' own.
        prefix: which places of the padded prefixes are real (V, P) bool, filled up on the right.
        own: which places of the padded branches are real (R, B) bool, filled up on the left: all end in one place.
        own_lengths: how many tokens of its own each row has (R,).
        following: where a row's next token stands (R,) int64, known once `embed` has been asked.
    """

    def __init__(
        self,
        prompts: Sequence[Sequence[int]],
        answers: Sequence[Sequence[int]],
        clips: Sequence[Clip],
        device: torch.device,
    ) -> None:
        """Lay out R rows, each a prompt about its clip and what follows it.

        Prompts about the same clip, the same object, are shared as far as they are equal, but for the last token: each
        row needs one of its own, from which the next is predicted.
        """
        self.clips = list(dict.fromkeys(clips))
        number = {clip: v for v, clip in enumerate(self.clips)}
        owner = [number[clip] for clip in clips]
        about: list[list[Sequence[int]]] = [[] for _ in self.clips]
        for prompt, v in zip(prompts, owner, strict=True):
            about[v].append(prompt)
        prefixes = [_common_beginning(alike) for alike in about]
        own = [
            [*prompt[len(prefixes[v]) :], *answer] for prompt, answer, v in zip(prompts, answers, owner, strict=True)
        ]
        self.owner = torch.tensor(owner, device=device)
        self.ids = torch.tensor([token for part in (*prefixes, *own) for token in part], device=device)
        self.own_lengths = list(map(len, own))
        self.prefix = _first(list(map(len, prefixes)), device)
        self.own = _first(self.own_lengths, device).flip(1)
        self._in_prefix, self._in_own = (real.flatten().nonzero()[:, 0] for real in (self.prefix, self.own))
        self._seen = _seen_by_own(self.prefix[self.owner], self.own)
        self.growth: Growth | None = None

    def attend(self, layer: int, query: Tensor, key: Tensor, value: Tensor, scale: float) -> Tensor:
        """(1, heads, N, d) queries, (1, h, N, d) keys and values -> (1, N, heads, d); heads is a multiple of h."""
        parts = [
            x[0].transpose(0, 1).tensor_split([len(self._in_prefix)]) for x in (query, key, value)
        ]  # (n, heads, d)
        q, k, v = (_padded(x, self.prefix, self._in_prefix) for x, _ in parts)  # (V, heads, P, d)
        over_prefix = scaled_dot_product_attention(q, k, v, is_causal=True, scale=scale, enable_gqa=True)
        q, own_k, own_v = (_padded(x, self.own, self._in_own) for _, x in parts)  # (R, heads, B, d)
        k = torch.cat([k.index_select(0, self.owner), own_k], 2)  # (R, h, P + B, d)
        v = torch.cat([v.index_select(0, self.owner), own_v], 2)
        if self.growth is not None:
            self.growth.begin(layer, k, v)
        over_own = _grouped_attention(q, k, v, self._seen, scale)
        return torch.cat([_real(over_prefix, self._in_prefix), _real(over_own, self._in_own)])[None]

    def embed(self, core: Any) -> tuple[Tensor, Tensor]:
        """Embeddings (1, N, D) with the clips' features in place, and 3-D positions (3, 1, N).

        Raises:
            RuntimeError: a clip's tokens do not all stand in its prefix, or nothing follows them there.
        """
        words = core.get_input_embeddings()(self.ids)  # (N, D)
        is_video = self.ids == core.config.video_token_id
        ends = self.prefix.sum(1).cumsum(0) - 1  # (V,), each prefix's last token
        if is_video[len(self._in_prefix) :].any() or is_video[ends].any():
            raise RuntimeError("rows about one clip differ before or right after its tokens: the prefix ends too early")
        features = torch.cat(clip_features(core, self.clips)).to(words.dtype)
        words = words.masked_scatter(is_video[:, None], features)
        ids = torch.zeros_like(self.prefix, dtype=torch.int64).masked_scatter(self.prefix, self.ids)  # (V, P)
        shared = rope_positions(core, ids, self.prefix.long(), self.clips)  # (3, V, P)
        following = shared.flatten(1)[:, self._in_prefix][0, ends][self.owner] + 1  # text: its coordinates are equal
        own = following[:, None] + self.own.cumsum(1) - 1  # (R, B)
        self.following = following + self.own.sum(1)  # (R,), where a row's next token stands
        flat = own.flatten()[self._in_own].expand(3, -1)
        return words[None], torch.cat([shared.flatten(1)[:, self._in_prefix], flat], 1)[:, None]

    def own_last(self, hidden: Tensor) -> Tensor:
        """(1, N, D) -> (R, D), at each row's last token."""
        return hidden[0, len(self._in_prefix) + self.own.sum(1).cumsum(0) - 1]

    def over_all(self, own: Sequence[Sequence[int]], elsewhere: int) -> Tensor:
        """Numbers of the rows' own tokens (R lists) over the whole sequence (N,), with another at the prefixes."""
        flat = [elsewhere] * len(self._in_prefix) + [number for row in own for number in row]
        return torch.tensor(flat, device=self.ids.device)

    def grow(self, room: int) -> "Growth":
        """Keep keys and values of the next pass, and have room for so many more tokens a row."""
        seen = torch.cat([self.prefix[self.owner], self.own, self.own.new_ones(len(self.own), room)], 1)
        self.growth = Growth(seen, seen.shape[1] - room)
        return self.growth


class Growth:
    """Rows that get one token at a time, each with its own copy of its prefix' keys and values."""

    def __init__(self, seen: Tensor, used: int) -> None:
        """What the rows see (R, S) bool of S places, of which `used` are taken."""
        self.seen, self.used = seen, used
        self._layers: dict[int, tuple[Tensor, Tensor]] = {}

    def begin(self, layer: int, key: Tensor, value: Tensor) -> None:
        """Take (R, h, used, d) keys and values of a layer, as autocast would round them."""
        shape = (*key.shape[:2], self.seen.shape[1], key.shape[3])
        stores = key.new_empty(shape, dtype=value.dtype), value.new_empty(shape)
        for store, given in zip(stores, (key, value), strict=True):
            store[:, :, : self.used] = given
        self._layers[layer] = stores

    def attend(self, layer: int, query: Tensor, key: Tensor, value: Tensor, scale: float) -> Tensor:
        """(R, heads, 1, d) queries, (R, h, 1, d) keys and values of the newest place -> (R, 1, heads, d)."""
        keys, values = self._layers[layer]
        keys[:, :, self.used - 1], values[:, :, self.used - 1] = key[:, :, 0].to(keys.dtype), value[:, :, 0]
        seen = self.seen[:, None, None, : self.used]
        filled = _grouped_attention(query, keys[:, :, : self.used], values[:, :, : self.used], seen, scale)
        return filled.transpose(1, 2)

    def next(self) -> None:
        """Open the place for one more token of every row."""
        self.used += 1

    def keep(self, rows: Tensor) -> None:
        """Go on with these rows only."""
        self.seen = self.seen[rows]
        self._layers = {layer: (k[rows], v[rows]) for layer, (k, v) in self._layers.items()}


def _first(lengths: Sequence[int], device: torch.device) -> Tensor:
    """(rows, longest) bool, the first so many of each."""
    return torch.arange(max(lengths), device=device) < torch.tensor(lengths, device=device)[:, None]


def _common_beginning(prompts: Sequence[Sequence[int]]) -> Sequence[int]:
    """What all begin with, one token less than the shortest at most."""
    first, most = prompts[0], min(map(len, prompts)) - 1
    for other in prompts[1:]:
        if other[:most] != first[:most]:
            most = next(i for i in range(most) if other[i] != first[i])
    return first[:most]


def _seen_by_own(prefix: Tensor, own: Tensor) -> Tensor:
    """(R, P) and (R, B) real places -> (R, 1, B, P + B) bool: the prefix, and own tokens up to oneself."""
    rows, size = own.shape
    causal = torch.ones(size, size, dtype=torch.bool, device=own.device).tril() & own[:, None]  # (R, B, B)
    return torch.cat([prefix[:, None].expand(-1, size, -1), causal], 2)[:, None]


def _padded(tokens: Tensor, real: Tensor, places: Tensor) -> Tensor:
    """(n, heads, d) of the real places -> (rows, heads, length, d), zero elsewhere."""
    if len(places) < real.numel():
        tokens = tokens.new_zeros(real.numel(), *tokens.shape[1:]).index_copy(0, places, tokens)
    return tokens.reshape(*real.shape, *tokens.shape[1:]).transpose(1, 2)


def _real(padded: Tensor, places: Tensor) -> Tensor:
    """(rows, heads, length, d) -> (n, heads, d), the real places."""
    tokens = padded.transpose(1, 2).flatten(0, 1)
    return tokens.index_select(0, places) if len(places) < len(tokens) else tokens


def _grouped_attention(query: Tensor, key: Tensor, value: Tensor, seen: Tensor, scale: float) -> Tensor:
    """Attention (R, heads, L, d) with h heads of keys: theirs are more queries of one head, so that none is copied."""
    rows, heads, length, d = query.shape
    share = heads // key.shape[1]
    folded = query.reshape(rows, key.shape[1], share * length, d)
    mask = seen.expand(-1, -1, length, -1).repeat(1, 1, share, 1)  # (R, 1, share * L, S)
    return scaled_dot_product_attention(folded, key, value, mask, scale=scale).view(rows, heads, length, d)
