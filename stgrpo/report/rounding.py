"""Numbers as tables and the page print them: half is rounded up, away from 0, as people do and as floats do not."""

from decimal import ROUND_HALF_UP, Decimal


def half_up(value: float, digits: int = 1) -> str:
    """With so many decimals; what is rounded to 0 has no sign.

    100 * 0.5665 is 56.65, not the 56.64999... that floats make of it, so the 9th decimal is as far as they are trusted.
    """
    exact = Decimal(repr(round(float(value), 9)))
    return f"{exact.quantize(Decimal(1).scaleb(-digits), ROUND_HALF_UP) + 0:f}"  # + 0 makes -0 a 0


def signed(value: float, digits: int = 1) -> str:
    """As `half_up`, with its sign, plus too; 0 has none."""
    text = half_up(value, digits)
    return text if text.startswith("-") or not float(text) else f"+{text}"
