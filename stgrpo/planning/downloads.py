"""What a scale fetches: how many GB, and on what that number rests."""

from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from stgrpo.config import Experiment, Questions
from stgrpo.files import read_json
from stgrpo.planning.sources import row
from stgrpo.planning.work import sources_of

LOCKS = Path("workflow/resources/locks")  # of the working directory, as where a fetch writes them
_PARTS = ".fetching"  # `STATE` of stgrpo.data.downloads, which reads the Hub's client
_GB = 1e9

# Of Video-R1-data only the videos of the chosen questions are fetched, and the file of records.
_CORPUS = "Video-R1/Video-R1-data"
_RECORDS_GB = 0.176
_VIDEO_RECORDS = 116_248  # of Video-R1-260k.json; the images count as if they were video, so the mean is a little high


@dataclass(frozen=True)
class Download:
    """One source; sizes in bytes.

    Attributes:
        size: of what is fetched; None where no one knows.
        there: the part of it that lies on the disk.
        unpacked: what its archives hold, which lies beside them.
        beside: the part of that which lies on the disk.
        basis: what the size rests on.
    """

    name: str
    size: int | None
    there: int
    unpacked: int
    beside: int
    basis: str

    @property
    def lacking(self) -> int:
        """Bytes that are still to come, fetched or unpacked."""
        return (self.size or 0) - self.there + max(self.unpacked - self.beside, 0)


def downloads(experiment: Experiment) -> list[Download]:
    """Everything that the active scale fetches; nothing where all is rendered.

    Raises:
        UserError: a lock is damaged, or a source is not in the table.
    """
    if experiment.active.world is not None:
        return []
    return [_download(experiment, name) for name in sources_of(experiment)]


def _download(experiment: Experiment, name: str) -> Download:
    told, lock = row(name), LOCKS / f"{name}.json"
    folder = Path("resources") / experiment.scale / name
    chosen = told["repository"] == _CORPUS
    locked = read_json(lock) if lock.exists() else None
    if chosen:
        size, basis = _chosen(experiment.active.questions, float(told["gigabytes"]), locked)
    elif locked:
        size, basis = _sum(locked["files"]), "its lock"
    elif told["gigabytes"]:
        size, basis = round(float(told["gigabytes"]) * _GB), "the Hub's pages (sources.csv)"
    else:
        size, basis = None, "unknown until its first fetch: sources.csv has no gigabytes"
    # Chosen videos come out of their archives one by one; models have none.
    packed = size if size and not chosen and ".zip" in told["files"] else 0
    present, beside = _present(folder, ["*"] if chosen else told["files"].split())
    return Download(name, size, min(present, size or present), packed, beside, basis)


def _chosen(questions: Questions, corpus: float, lock: dict[str, Any] | None) -> tuple[int, str]:
    """Bytes of the records, and of the chosen videos: as locked, else so many at the mean size of the corpus.

    The lock lists the archives too, which stay on the Hub.
    """
    whole = [file for file in lock["files"] if not file["path"].endswith(".zip")] if lock else []
    if lock and "members" in lock:  # an interrupted first fetch has left none
        return _sum([*whole, *lock["members"]]), "its lock"
    videos = _VIDEO_RECORDS if questions.reserve is None else questions.count + questions.reserve
    mean = corpus / _VIDEO_RECORDS
    basis = f"{videos:,} videos of {1000 * mean:.1f} MB, the mean of all {corpus:g} GB, and the records"
    return round(videos * mean * _GB) + (_sum(whole) if lock else round(_RECORDS_GB * _GB)), basis


def _sum(files: Sequence[dict[str, Any]]) -> int:
    return sum(file["size"] for file in files)


def _present(folder: Path, patterns: list[str]) -> tuple[int, int]:
    """Bytes of the files in it that were fetched, with parts of those that are coming, and of the others, unpacked."""
    sizes = {str(path.relative_to(folder)): path.stat().st_size for path in folder.rglob("*") if path.is_file()}
    origins = (f"{_PARTS}/*", *patterns)
    fetched = sum(size for name, size in sizes.items() if any(fnmatch(name, pattern) for pattern in origins))
    return fetched, sum(sizes.values()) - fetched
