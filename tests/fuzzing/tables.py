"""Tables that people keep, and scores that travel as parquet, damaged: read right, or refused by one line."""

import io
import tempfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import yaml
from support import ROOT

from fuzzing import Surface, one_line
from fuzzing.bytes_of import damaged
from stgrpo.data.sources import read_source
from stgrpo.errors import UserError
from stgrpo.importance.scores import read_scores
from stgrpo.loading import load_experiment
from stgrpo.report import contents
from stgrpo.report.reported import compared_with, printed, read_reported

_FOLDER = ROOT / "workflow" / "resources"
_TABLE = contents.table_spec(
    load_experiment({**yaml.safe_load((ROOT / "config.yaml").read_text()), "scale": "paper"}), "table1"
)
_IDS = ["q0", "q1", "q2"]


def _parquet() -> bytes:
    table = pa.table({"question": _IDS, "scores": [[0.25, 0.5]] * len(_IDS)})
    buffer = io.BytesIO()
    pq.write_table(table, buffer, compression="none")
    return buffer.getvalue()


def _check_reported(content: bytes) -> None:
    with tempfile.TemporaryDirectory() as place:
        path = Path(place, "reported.csv")
        path.write_bytes(content)
        try:
            reported = read_reported(path, _TABLE)
        except UserError as error:
            one_line(error)
            return
        for row in _TABLE.rows:
            for column in _TABLE.columns:
                shown, value = printed(reported, row, column), compared_with(reported, row, column)
                assert value is None or shown is None or 0.0 <= value <= 100.0, (shown, value)


def _check_sources(content: bytes) -> None:
    with tempfile.TemporaryDirectory() as place:
        path = Path(place, "sources.csv")
        path.write_bytes(content)
        for name in ("video-r1", "mmvu"):
            try:
                source = read_source(path, name)
            except UserError as error:
                one_line(error)
            else:
                assert source.name == name and source.repository and source.patterns


def _check_scores(content: bytes) -> None:
    with tempfile.TemporaryDirectory() as place:
        path = Path(place, "train.parquet")
        path.write_bytes(content)
        try:
            found = read_scores(path, _IDS)
        except UserError as error:
            one_line(error)
        else:
            assert all(-1.01 <= score <= 1.01 for name in _IDS for score in found[name]), found


SURFACES = [
    Surface("reported", damaged((_FOLDER / "reported.csv").read_bytes()), _check_reported, 60),
    Surface("sources", damaged((_FOLDER / "sources.csv").read_bytes()), _check_sources, 60),
    Surface("scores", damaged(_parquet()), _check_scores, 60),
]
