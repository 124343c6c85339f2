"""The benchmarks: one module each, rows -> questions and predictions -> score. No judge model anywhere."""

from stgrpo.benchmarks import tempcompass

BENCHMARKS = {"tempcompass": tempcompass}
