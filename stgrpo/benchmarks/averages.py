"""How the parts of a benchmark make its one score."""

import math
from collections.abc import Mapping, Sequence


def micro(sizes: Mapping[str, int]) -> dict[str, float]:
    """Every question counts the same: a part weighs its share of them."""
    total = sum(sizes.values())
    return {part: size / total for part, size in sizes.items()}


def mean(credits: Sequence[float]) -> float:
    """Arithmetic mean."""
    return math.fsum(credits) / len(credits)
