"""A corpus of malformed input: a module a surface, each with its cases."""

from malformed import (
    archives,
    benchmarks,
    checkpoints,
    config,
    not_numbers,
    outputs,
    predictions,
    profiles,
    records,
    scores,
    tables,
    videos,
)

_SURFACES = (
    *(config, records, benchmarks, archives, videos, scores, checkpoints, predictions, tables, profiles, outputs),
    not_numbers,
)
ALL = [case for surface in _SURFACES for case in surface.CASES]
