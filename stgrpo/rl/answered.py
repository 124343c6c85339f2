"""The answers of one training step as the records that are kept of them."""

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from stgrpo.records import Group, Rollout
from stgrpo.rl.rewards import COMPONENTS
from stgrpo.rl.rollouts import Row

_ACCURACY = list(COMPONENTS).index("accuracy")


@dataclass(frozen=True)
class Answered:
    """What a step's answers were, and what they were given. Letters: R rows of this rank, N of all ranks, in order.

    Attributes:
        rows: of this rank (R,).
        texts: of this rank (R,).
        first: position of this rank's first row among all.
        questions: id of every row (N,).
        components: reward components (N, C), in the order of `COMPONENTS`.
        advantages: those that the loss takes (N,).
    """

    rows: Sequence[Row]
    texts: Sequence[str]
    first: int
    questions: Sequence[str]
    components: Tensor
    advantages: Tensor

    def rollouts(self, step: int) -> list[Rollout]:
        """The answers of this rank, readable."""
        mine = slice(self.first, self.first + len(self.rows))
        components, advantages = self.components[mine].tolist(), self.advantages[mine].tolist()
        return [
            Rollout(
                step=step,
                question=row.question.id,
                variant=row.number,
                frames=row.variant.frames,
                spatial=row.variant.spatial is not None,
                text=text,
                truth=row.question.answer,
                rewards=dict(zip(COMPONENTS, given, strict=True)),
                advantage=advantage,
            )
            for row, text, given, advantage in zip(self.rows, self.texts, components, advantages, strict=True)
        ]

    def groups(self, step: int, size: int) -> list[Group]:
        """The numbers of all ranks' groups, each of `size` adjacent rows."""
        correct, rewards = self.components[:, _ACCURACY].tolist(), self.components.sum(1).tolist()
        advantages = self.advantages.tolist()
        found = []
        for first in range(0, len(self.questions), size):
            part = slice(first, first + size)
            (question,) = set(self.questions[part])
            found.append(Group(step, question, tuple(correct[part]), tuple(rewards[part]), tuple(advantages[part])))
        return found
