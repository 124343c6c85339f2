"""Fetch a source's files, check each by size and SHA-256, and unpack its archives inside its own folder.

A hub is a folder of repositories (`<hub>/<owner>/<name>/...`) with a manifest of its files; the demo writes one. What
was fetched stands in a lock file; a file that is already there and matches is not touched.
"""

import io
import re
import shutil
import struct
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from itertools import pairwise
from pathlib import Path, PurePosixPath
from typing import Any, Literal

from stgrpo.errors import UserError, suggest
from stgrpo.files import leaves_folder, link_or_copy, read_json, read_table, replacing, sha256
from stgrpo.progress import amount

Kind = Literal["dataset", "model"]

MANIFEST = "manifest.json"
UNREADABLE = (  # what reading a damaged zip raises, and what two members of one name, file and folder
    *(zipfile.BadZipFile, zlib.error, struct.error, EOFError, UnicodeDecodeError),
    *(IsADirectoryError, NotADirectoryError, FileExistsError),
    RuntimeError,  # zipfile's word for what is encrypted or packed in another way
)
LARGEST_DIRECTORY = 256 << 20  # bytes, of a zip; that of a million members is half as large
_REPOSITORY = re.compile(r"[A-Za-z0-9._-]+/[A-Za-z0-9._-]+")
_LINK = 0o120000  # file type of a symbolic link in a zip member's Unix mode
_LEAST_HEADER = 30  # bytes before a member's content, without its name
_LONGEST_NAME = 240  # bytes; file systems take 255, and a file being written has a longer name than its own


@dataclass(frozen=True)
class Source:
    """One row of `workflow/resources/sources.csv`."""

    name: str
    repository: str
    type: Kind
    patterns: tuple[str, ...]
    licence: str


def read_source(table: Path, name: str) -> Source:
    """The row called `name`.

    Raises:
        UserError: there is none, or it is of no type that the Hub has.
    """
    rows = {row["name"]: row for _, row in read_table(table, ("name", "repository", "type", "files", "licence"))}
    if name not in rows:
        raise UserError(f"{table}: no source '{name}'; {suggest(name, list(rows))}")
    row = rows[name]
    if not _REPOSITORY.fullmatch(row["repository"]) or not row["files"].split():
        raise UserError(
            f"{table}: source '{name}' names no repository (OWNER/NAME) with files (patterns of their paths)"
        )
    kinds: dict[str, Kind] = {"dataset": "dataset", "model": "model"}
    if row["type"] not in kinds:
        raise UserError(f"{table}: source '{name}' is of type '{row['type']}'; {suggest(row['type'], kinds)}")
    return Source(name, row["repository"], kinds[row["type"]], tuple(row["files"].split()), row["licence"])


def fetch(source: Source, hub: Path, target: Path) -> list[dict[str, Any]]:
    """Bring the source's files into `target` and unpack archives; returns path, size and sha256 of each file.

    Raises:
        UserError: a file is missing in the hub, or does not match its manifest.
    """
    repository = hub / source.repository
    entries = {entry["path"]: entry for entry in read_json(repository / MANIFEST, "files")["files"]}
    listed = [entries[name] for name in choose(list(entries), source, str(repository))]
    for entry in listed:
        if leaves_folder(entry["path"]):
            raise UserError(f"{repository / MANIFEST}: '{entry['path']}' points outside its folder; make the hub again")
        path = target / entry["path"]
        if not _matches(path, entry):
            _copy(repository / entry["path"], path)
            if not _matches(path, entry):
                path.unlink()
                raise UserError(
                    f"{repository / entry['path']}: differs from {repository / MANIFEST} "
                    f"(expected {entry['size']} bytes, sha256 {entry['sha256'][:12]}...); make the hub again"
                )
        if path.suffix == ".zip":
            unpack(path, path.parent)
    return listed


def choose(names: Sequence[str], source: Source, where: str) -> list[str]:
    """The files of a repository that a source wants.

    Raises:
        UserError: one of its patterns matches none.
    """
    idle = [pattern for pattern in source.patterns if not any(fnmatch(name, pattern) for name in names)]
    if idle:
        raise UserError(f"{where}: no file matches {' '.join(idle)}")
    return [name for name in names if any(fnmatch(name, pattern) for pattern in source.patterns)]


def unpack(archive: Path, folder: Path) -> None:
    """Extract every member that is not there yet; a member appears whole or not at all.

    Raises:
        UserError: the archive is damaged or larger than the disk, or a member points outside `folder`.
    """
    try:
        with _Archive(archive) as file, zipfile.ZipFile(file) as opened:
            for member in opened.infolist():  # all are checked before one is written
                check_inside(archive, member)
            check_apart(archive, opened.infolist())
            members = [member for member in opened.infolist() if not member.is_dir()]
            missing = [member for member in members if not _is_there(folder / member.filename, member)]
            _check_room(archive, missing)
            for member in missing:  # no more is read of it than the size that was checked
                path = folder / member.filename
                with replacing(path) as temporary:
                    with opened.open(member) as packed, temporary.open("wb") as out:
                        shutil.copyfileobj(packed, out)
                    if (size := temporary.stat().st_size) != member.file_size:
                        what = f"member '{member.filename}' holds {size} bytes, its directory says {member.file_size}"
                        raise zipfile.BadZipFile(what)
    except UNREADABLE as error:
        raise UserError(f"{archive}: damaged archive ({error}); remove it and run again") from None


class _Archive(io.FileIO):
    """A zip whose directory is not read where it would fill the memory: zipfile asks for it in one piece."""

    def read(self, size: int | None = -1) -> bytes:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Bytes, as of every file."""
        if size is not None and size > LARGEST_DIRECTORY:
            raise zipfile.BadZipFile(f"its directory would be {size / 1e6:.0f} MB long")
        return super().read(size)


def check_inside(archive: Path | str, member: zipfile.ZipInfo) -> None:
    """Refuse an archive with a member that would leave its folder, or that no folder can hold.

    Raises:
        UserError: it points outside, is a link, or has a name that a file cannot have.
    """
    if what := _odd(member):
        raise UserError(f"{archive}: member '{member.filename}' {what}; nothing was unpacked; check its origin")


def check_apart(archive: Path | str, members: Sequence[zipfile.ZipInfo]) -> None:
    """Refuse an archive whose members share bytes, which a bomb unpacks many times; zipfile looks since Python 3.11.8.

    Raises:
        UserError: a member begins before the one in front of it ends.
    """
    for one, other in pairwise(sorted(members, key=lambda member: member.header_offset)):
        if one.header_offset + _LEAST_HEADER + one.compress_size > other.header_offset:
            raise UserError(
                f"{archive}: member '{other.filename}' lies in '{one.filename}'; nothing was unpacked; check its origin"
            )


def _odd(member: zipfile.ZipInfo) -> str | None:
    if (member.external_attr >> 16) & 0o170000 == _LINK:
        return "is a link"
    if leaves_folder(member.filename):
        return "points outside its folder"
    if member.header_offset < 0:
        return "does not lie in it"
    parts = PurePosixPath(member.filename).parts
    if not (parts or member.filename.endswith("/")) or any(len(part.encode()) > _LONGEST_NAME for part in parts):
        return "has a name that no file can have"
    return None


def _is_there(path: Path, member: zipfile.ZipInfo) -> bool:
    return path.is_file() and path.stat().st_size == member.file_size and _crc32(path) == member.CRC


def _check_room(archive: Path, members: Sequence[zipfile.ZipInfo]) -> None:
    needed, free = sum(member.file_size for member in members), shutil.disk_usage(archive.parent).free
    if needed > free:
        raise UserError(
            f"{archive}: unpacks to {amount(needed)}, {amount(free)} are free; nothing was unpacked; free some, "
            "or make resources/ a link to a larger disk"
        )


def _crc32(path: Path) -> int:
    """Size alone would keep another world's video that happens to be as long."""
    value = 0
    with path.open("rb") as stream:
        while block := stream.read(1 << 20):
            value = zlib.crc32(block, value)
    return value


def _matches(path: Path, entry: dict[str, Any]) -> bool:
    return path.is_file() and path.stat().st_size == entry["size"] and sha256(path) == entry["sha256"]


def _copy(origin: Path, path: Path) -> None:
    if not origin.is_file():
        raise UserError(f"{origin}: listed in the manifest but missing; make the hub again")
    link_or_copy(origin, path)
