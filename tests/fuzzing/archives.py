"""Zips, damaged: what comes out of one is whole and inside its folder, or nothing comes and one line says why."""

import io
import tempfile
import zipfile
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from fuzzing import Surface, one_line
from fuzzing.bytes_of import damaged
from stgrpo.data.remote_zip import RemoteZip
from stgrpo.data.sources import unpack
from stgrpo.errors import UserError

_CONTENTS = [bytes(range(256)) * 3, b"video" * 40, b""]


def _zip(compression: int, comment: bytes = b"") -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as archive:
        archive.comment = comment
        for number, content in enumerate(_CONTENTS):
            archive.writestr(zipfile.ZipInfo(f"videos/{number}.mp4"), content, compression)
    return buffer.getvalue()


_ZIPS = [_zip(zipfile.ZIP_STORED), _zip(zipfile.ZIP_DEFLATED, b"PK\x05\x06")]
_DAMAGED = st.one_of([damaged(content) for content in _ZIPS])


@st.composite
def _named(draw: Any) -> bytes:
    """A whole zip whose members have names that somebody chose, and are what somebody chose."""
    buffer = io.BytesIO()
    names = st.one_of(
        st.sampled_from(["../x", "/x", "a/../../x", "..\\x", "C:\\x", "a//b", ".", "./x", "a/", "x" * 300, "a\x00b"]),
        st.text(min_size=1, max_size=12),
    )
    with zipfile.ZipFile(buffer, "w") as archive:
        for name in draw(st.lists(names, min_size=1, max_size=3, unique=True)):
            try:
                member = zipfile.ZipInfo(name)
                member.external_attr = draw(st.sampled_from([0, 0o100644, 0o120777, 0o040755, 0o010644])) << 16
                archive.writestr(member, draw(st.sampled_from(_CONTENTS)))
            except (UnicodeEncodeError, ValueError):  # no zip can hold it
                continue
    return buffer.getvalue()


def _check_unpack(content: bytes) -> None:
    with tempfile.TemporaryDirectory() as place:
        archive = Path(place, "in", "part.zip")
        archive.parent.mkdir()
        archive.write_bytes(content)
        try:
            unpack(archive, archive.parent)
        except UserError as error:
            one_line(error)
        _nothing_odd(Path(place), archive)


def _check_remote(content: bytes) -> None:
    with tempfile.TemporaryDirectory() as place:
        target = Path(place, "in")
        try:
            remote = RemoteZip("owner/name", "part.zip", len(content), lambda start, stop: content[start:stop])
            for path in remote.members:
                try:
                    list(remote.extract([path], target, {}))
                except UserError as error:
                    one_line(error)
        except UserError as error:
            one_line(error)
        _nothing_odd(Path(place), None)


def _nothing_odd(place: Path, archive: Path | None) -> None:
    """Every file is one of the contents, and stands in the folder."""
    for path in place.rglob("*"):
        assert not path.is_symlink() and (path.is_file() or path.is_dir()), path
        assert path.is_relative_to(place / "in") or path == place / "in", path
        if path.is_file() and path != archive:
            assert path.read_bytes() in _CONTENTS, path
    assert {path.name for path in place.iterdir()} <= {"in"}


SURFACES = [
    Surface("archives", st.one_of(_DAMAGED, _named()), _check_unpack, 100),
    Surface("archives-remote", st.one_of(_DAMAGED, _named()), _check_remote, 100),
]
