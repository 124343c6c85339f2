"""The fuzzers' surfaces, a few inputs each, the same ones every time (longer: scripts/fuzz.py)."""

from collections.abc import Iterator

import pytest
from fuzzing import Surface, archives, clips, configs, files, rows, states, tables, texts
from hypothesis import HealthCheck, given, settings

SURFACES = [
    surface for module in (configs, tables, rows, archives, clips, files, states, texts) for surface in module.SURFACES
]


@pytest.fixture(scope="module", autouse=True)
def _no_decoder_left() -> Iterator[None]:
    yield
    clips.READER.__exit__()


@pytest.mark.parametrize("surface", SURFACES, ids=lambda surface: surface.name)
def test_whatever_comes_in_ends_well(surface: Surface):
    @settings(
        max_examples=surface.examples,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much],
    )
    @given(surface.inputs)
    def holds(drawn: object) -> None:
        surface.check(drawn)

    holds()
