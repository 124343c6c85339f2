"""Feed random input to the project's readers until a time is over or something is found.

    python scripts/fuzz.py config --seconds 600
    python scripts/fuzz.py archives-remote --seconds 600 --guided

`--guided` lets libFuzzer choose the input by the code that it reaches (`pip install atheris`). A finding is printed,
made as small as it gets, and ends the run with status 1.
"""

import argparse
import importlib
import itertools
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, Phase, given, seed, settings

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

_ROUND = 500  # inputs; each round has a seed of its own


def main() -> None:
    """Run until the time is over; says how many inputs were tried."""
    args = _arguments()
    if args.guided:
        atheris: Any = importlib.import_module("atheris")
        with atheris.instrument_imports(include=["stgrpo", "zipfile", "json"]):
            surface = _surfaces()[args.surface]
        limits = [f"-max_total_time={args.seconds}", "-max_len=4096", "-rss_limit_mb=4096", "-print_final_stats=1"]
        atheris.Setup([sys.argv[0], *limits], _test(surface, args.seed, []).hypothesis.fuzz_one_input)
        atheris.Fuzz()
    tried: list[float] = []
    surface, end = _surfaces()[args.surface], time.monotonic() + args.seconds
    for number in itertools.count(args.seed):
        if time.monotonic() >= end:
            break
        _test(surface, number, tried, end)()
    print(f"{surface.name}: {len(tried)} inputs in {args.seconds} s, seeds {args.seed} to {number - 1}, no finding")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("surface")
    parser.add_argument("--seconds", type=int, default=600)
    parser.add_argument("--seed", type=int, default=0, help="of the first round")
    parser.add_argument("--guided", action="store_true", help="by coverage, with atheris")
    return parser.parse_args()


def _surfaces() -> dict[str, Any]:
    return {surface.name: surface for surface in importlib.import_module("test_fuzz").SURFACES}


def _test(surface: Any, number: int, tried: list[float], end: float = float("inf")) -> Callable[..., Any]:
    """Hypothesis' test of one round; it tries nothing once the time is over."""

    @seed(number)
    @settings(
        max_examples=_ROUND,
        deadline=None,
        database=None,
        phases=[Phase.generate, Phase.shrink],
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much],
        print_blob=True,
    )
    @given(surface.inputs)
    def holds(drawn: object) -> None:
        if (now := time.monotonic()) < end:
            tried.append(now)
            surface.check(drawn)

    return holds


if __name__ == "__main__":
    main()
