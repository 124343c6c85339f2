"""From the credits of a benchmark's parts to its one score and the standard error of that."""

import math
from collections.abc import Mapping, Sequence


def micro(sizes: Mapping[str, int]) -> dict[str, float]:
    """Every question counts the same: a part weighs its share of them."""
    total = sum(sizes.values())
    return {part: size / total for part, size in sizes.items()}


def mean(credits: Sequence[float]) -> float:
    """Arithmetic mean."""
    return math.fsum(credits) / len(credits)


def score(credits: Mapping[str, Sequence[float]], weights: Mapping[str, float]) -> float:
    """Weighted mean of the parts' mean credits."""
    return math.fsum(weights[part] * mean(given) for part, given in credits.items())


def standard_error(credits: Mapping[str, Sequence[float]], weights: Mapping[str, float]) -> float:
    """Standard error of `score`, from independent samples of questions.

    Where all questions weigh the same, as in a micro average, they are one sample: sqrt(var / n). Otherwise each part
    is a sample of its own, as in any stratified mean: sqrt(sum of W² var / n). Parts that weigh nothing add nothing.
    """
    samples = [list(given) for part, given in credits.items() if weights[part]]
    each = [weights[part] / len(given) for part, given in credits.items() if weights[part]]  # of one question
    if math.isclose(min(each), max(each)):
        samples, each = [[credit for given in samples for credit in given]], each[:1]
    return math.sqrt(math.fsum(w**2 * _squares(given) for w, given in zip(each, samples, strict=True)))


def _squares(credits: Sequence[float]) -> float:
    """Sum of squared deviations from the mean."""
    centre = mean(credits)
    return math.fsum((credit - centre) ** 2 for credit in credits)
