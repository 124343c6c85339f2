"""Malformed input: each ends in one line, or in one counted row set aside (all of it: docs/malformed.md)."""

from collections import Counter
from pathlib import Path

import pytest
from malformed import ALL
from malformed.harness import Case, check, outcome


@pytest.mark.parametrize("case", ALL, ids=lambda case: case.name)
def test_ends_in_one_line(case: Case, tmp_path: Path):
    check(case, tmp_path, outcome(case, tmp_path))


def test_there_are_many_and_of_every_surface():
    by_surface = Counter(case.surface for case in ALL)
    assert len({case.name for case in ALL}) == len(ALL) >= 150
    assert min(by_surface.values()) >= 12, by_surface
