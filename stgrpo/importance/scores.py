"""The file of frame scores, read back by training and report."""

import math
from collections.abc import Collection
from pathlib import Path

from stgrpo.errors import UserError

_AGAIN = "score again (snakemake TARGET -R score)"
_ROUNDING = 1e-3  # beyond the 1 that a cosine can be, in half precision


def read_scores(path: Path, questions: Collection[str]) -> dict[str, tuple[float, ...]]:
    """The importance of every candidate frame for some questions, cosines, by the questions' ids.

    Raises:
        UserError: the file is missing or no parquet of scores; a question has none, two, or one that is no cosine.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as parquet:
            if missing := {"question", "scores"} - set(parquet.schema_arrow.names):
                raise UserError(f"{path}: no column {', '.join(sorted(missing))}; {_AGAIN}")
            rows = parquet.read(["question", "scores"]).to_pylist()
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; {_AGAIN}") from None
    except (pa.ArrowException, OSError, ValueError) as error:
        raise UserError(f"{path}: no parquet of frame scores ({error}); {_AGAIN}") from None
    wanted, found = set(questions), dict[str, tuple[float, ...]]()
    for number, row in enumerate(rows):
        name, scores = row.get("question"), row.get("scores")
        if name not in wanted:
            continue
        if name in found:
            raise UserError(f"{path}: row {number}: question '{name}' stands twice; {_AGAIN}")
        if not isinstance(scores, list) or not scores or not all(map(_is_cosine, scores)):
            raise UserError(f"{path}: row {number}: the scores of question '{name}' are no cosines; {_AGAIN}")
        found[name] = tuple(scores)
    if missing := [name for name in questions if name not in found]:
        raise UserError(
            f"{path}: no scores for {len(missing)} of {len(questions)} questions (first: {missing[0]}); {_AGAIN}"
        )
    return found


def _is_cosine(value: object) -> bool:
    return isinstance(value, float) and math.isfinite(value) and abs(value) <= 1 + _ROUNDING
