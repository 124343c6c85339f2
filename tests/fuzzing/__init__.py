"""What is fed at random to the project's readers, and what must hold whatever it is.

A surface is a strategy, which draws inputs, and a check, which raises for a finding. `tests/test_fuzz.py` tries a few
inputs of each, the same ones every time; `scripts/fuzz.py` goes on as long as it is told.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from hypothesis.strategies import SearchStrategy


@dataclass(frozen=True)
class Surface:
    """One place where input comes in.

    Attributes:
        name: as it is typed.
        inputs: what is drawn.
        check: takes one input; whatever it raises is a finding.
        examples: how many the test tries, as many as take a few seconds.
    """

    name: str
    inputs: SearchStrategy[Any]
    check: Callable[[Any], None]
    examples: int


def one_line(error: Exception, most: int = 1010) -> None:
    """An error for people: one line, not endless, without what a terminal would act on."""
    text = str(error)
    assert text and len(text) <= most, f"{len(text)} characters: {text[:most]!r}"
    assert text.isprintable(), f"not one printable line: {text!r}"
