"""Corpora on disk as the Hub lays them out: stored zips, parquet files, and a manifest that comes last."""

import zipfile
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np

from stgrpo.demo import mp4, world
from stgrpo.files import replacing, sha256, write_json

MANIFEST = "manifest.json"
BROKEN = b"\0\0\0\x18ftypmp42 and then nothing that a decoder knows"  # an mp4 by its first bytes only


def video(frames: np.ndarray, repeat: int = 1) -> bytes:
    """An mp4 of (T, H, W, 3) uint8 frames, each shown `repeat` times."""
    buffer = BytesIO()
    mp4.write(buffer, frames.repeat(repeat, 0), world.FPS)
    return buffer.getvalue()


def write_zip(path: Path, members: Sequence[tuple[str, bytes]]) -> None:
    """Stored, not deflated, and without times: equal members give an equal archive."""
    with replacing(path) as temporary, zipfile.ZipFile(temporary, "w") as archive:
        for name, content in members:
            archive.writestr(zipfile.ZipInfo(name), content)


def write_parquet(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    """One parquet file of all rows."""
    import pandas as pd

    with replacing(path) as temporary:
        pd.DataFrame(list(rows)).to_parquet(temporary, index=False)


def write_manifest(root: Path) -> None:
    """Last, so that a manifest stands only beside a whole corpus."""
    files = sorted(p for p in root.rglob("*") if p.is_file() and p.name != MANIFEST)
    listed = [{"path": str(p.relative_to(root)), "size": p.stat().st_size, "sha256": sha256(p)} for p in files]
    write_json(root / MANIFEST, {"files": listed})
