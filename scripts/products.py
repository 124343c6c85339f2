"""How many multiplications a pass has, from its tokens: with everything shared computed once, and row by row."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from stgrpo.planning.dimensions import Dimensions


@dataclass(frozen=True)
class Shown:
    """What a row is about: its clip (rows with the same object share it), tokens of its prompt, patches of its clip."""

    clip: Any
    prompt: int
    patches: int


@dataclass(frozen=True)
class Work:
    """What a pass goes over.

    Attributes:
        tokens: of the language model.
        pairs: of a token and one that it sees, itself among them.
        scored: tokens at which the vocabulary's logits are computed.
        patches: of the vision tower.
    """

    tokens: int
    pairs: int
    scored: int
    patches: int

    def language(self, model: Dimensions) -> int:
        """Multiplications in the language model's forward pass; a backward pass has twice as many."""
        layers = model.layers * (model.layer * self.tokens + 2 * model.hidden * self.pairs)
        return layers + model.embedding * self.scored

    def tower(self, model: Dimensions) -> int:
        """Multiplications with the tower's weights; its attention, inside windows mostly, is left out."""
        merged = 4 * model.vision_hidden  # four patches become one token at its end
        merger = merged * merged + merged * model.hidden
        return self.patches * (model.vision - merger) + self.patches // 4 * merger


def row_by_row(rows: Sequence[Shown], answer: int) -> Work:
    """A pass over whole rows with answers of so many tokens; of prompts, to begin answers, if that is 0."""
    lengths = [row.prompt + answer for row in rows]
    scored = sum(lengths) if answer else len(rows)
    return Work(sum(lengths), sum(map(_triangle, lengths)), scored, sum(row.patches for row in rows))


def once(rows: Sequence[Shown], answer: int) -> Work:
    """The same pass without repetition.

    Prompts but for their last token once a clip, then for each row that token and its answer but for the last one.
    """
    clips = {id(row.clip): row for row in rows}.values()
    own = max(answer, 1)
    shared = sum(_triangle(row.prompt - 1) for row in clips)
    return Work(
        tokens=sum(row.prompt - 1 for row in clips) + len(rows) * own,
        pairs=shared + sum(own * (row.prompt - 1) + _triangle(own) for row in rows),
        scored=len(rows) * own,
        patches=sum(row.patches for row in clips),
    )


def _triangle(n: int) -> int:
    return n * (n + 1) // 2
