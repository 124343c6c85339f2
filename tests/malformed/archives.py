"""Zips of a source, through `fetch`: unpacked whole inside their folder, or not at all."""

import io
import json
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

from malformed.harness import Case
from stgrpo.__main__ import main
from stgrpo.files import sha256, write_json

_CONTENT = b"video" * 200
_ENTRY = b"PK\x01\x02"  # of the directory
_END = b"PK\x05\x06"  # the record behind it


def _packed(*members: tuple[str | zipfile.ZipInfo, bytes], compression: int = zipfile.ZIP_STORED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as archive:
        for name, content in members:
            archive.writestr(name, content)
    return buffer.getvalue()


_GOOD = _packed(("videos/Art/0.mp4", _CONTENT), ("videos/Art/1.mp4", _CONTENT))


def fetching(folder: Path, make: Callable[[Path], object], listed: dict | None = None) -> list[str]:
    """The words of `fetch` from a hub with one archive; `listed` is what the hub's manifest says otherwise."""
    repository = folder / "hub/lmms-eval/MMVU"
    repository.mkdir(parents=True)
    archive = repository / "videos.zip"
    make(archive)
    entry = {"path": "videos.zip", "size": archive.stat().st_size, "sha256": sha256(archive)} | (listed or {})
    write_json(repository / "manifest.json", {"files": [entry]})
    source = {"name": "mmvu", "repository": "lmms-eval/MMVU", "type": "dataset", "licence": "none"}
    words = ["fetch", "--source", json.dumps({**source, "patterns": ["*"]}), "--hub", f"{folder}/hub"]
    return [*words, "--out", f"{folder}/resources/mmvu.json"]


def _fetched(content: bytes | Callable[[], bytes], listed: dict | None = None) -> Callable[[Path], int]:
    """`fetch` of an archive that holds this."""

    def make(path: Path) -> None:
        path.write_bytes(content if isinstance(content, bytes) else content())

    return lambda folder: main(fetching(folder, make, listed))


def _named(name: str, mode: int = 0) -> bytes:
    member = zipfile.ZipInfo("x" * len(name))
    member.external_attr = mode << 16
    # Under another name first, for Python would tidy this one up.
    return _packed((member, _CONTENT)).replace(b"x" * len(name), name.encode())


def _spoilt(at: bytes, offset: int, new: bytes) -> bytes:
    """An archive of one member with some bytes written over, so far behind the last place of others."""
    content = _packed(("videos/0.mp4", _CONTENT))
    start = content.rindex(at) + offset
    return content[:start] + new + content[start + len(new) :]


def terabyte() -> bytes:
    """A member of a terabyte, by its ZIP64 field."""
    content = bytearray(_packed(("videos/0.mp4", _CONTENT)))
    at = content.rindex(b"PK\x01\x02")
    name = int.from_bytes(content[at + 28 : at + 30], "little")
    extra = b"\x01\x00\x08\x00" + (10**12).to_bytes(8, "little")
    content[at + 24 : at + 28] = b"\xff" * 4
    content[at + 30 : at + 32] = len(extra).to_bytes(2, "little")
    content[at + 46 + name : at + 46 + name] = extra
    end = content.rindex(_END)
    content[end + 12 : end + 16] = (int.from_bytes(content[end + 12 : end + 16], "little") + len(extra)).to_bytes(
        4, "little"
    )
    return bytes(content)


def _tar() -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        member = tarfile.TarInfo("videos/0.mp4")
        member.size = len(_CONTENT)
        archive.addfile(member, io.BytesIO(_CONTENT))
    return buffer.getvalue()


def _overlapping() -> bytes:
    """A member that holds another one, header and all: each byte of a bomb is unpacked many times."""
    inner = _packed(("videos/1.mp4", _CONTENT))
    start = inner.index(_ENTRY)
    content = bytearray(_packed(("videos/0.mp4", inner[:start])))
    entry = bytearray(inner[start : inner.rindex(_END)])
    entry[42:46] = content.index(inner[:start]).to_bytes(4, "little")
    end = content.rindex(_END)
    content[end:end] = entry
    end += len(entry)
    content[end + 8 : end + 12] = (2).to_bytes(2, "little") * 2
    size = int.from_bytes(content[end + 12 : end + 16], "little") + len(entry)
    content[end + 12 : end + 16] = size.to_bytes(4, "little")
    return bytes(content)


def _ended(offset: int, size: int, value: int) -> bytes:
    """The good archive with a field of its end record written over."""
    at = _GOOD.rindex(_END) + offset
    return _GOOD[:at] + value.to_bytes(size, "little") + _GOOD[at + size :]


def _nothing(folder: Path) -> None:
    """No video, no word that it is done, and nothing beside the folder."""
    assert not list(folder.rglob("*.mp4")) and not (folder / "resources/mmvu.json").exists()
    assert {path.name for path in folder.iterdir()} <= {"hub", "resources", "stdout", "stderr"}


def _one_video(folder: Path) -> None:
    (path,) = folder.rglob("*.mp4")
    assert path == folder / "resources/mmvu/videos/0.mp4" and path.read_bytes() == _CONTENT


_WHERE = r"fetch: FOLDER/resources/mmvu/videos\.zip: "
_DAMAGED = _WHERE + r"damaged archive \(%s\); remove it and run again"
_ODD = _WHERE + r"member '%s' %s; nothing was unpacked; check its origin"
_DIFFERS = r"fetch: FOLDER/hub/lmms-eval/MMVU/videos\.zip: differs from .*; make the hub again"
_CASES = [
    ("an empty file", _fetched(b""), _DAMAGED % "File is not a zip file"),
    ("another kind of archive", _fetched(_tar), _DAMAGED % "File is not a zip file"),
    ("cut in its directory", _fetched(_GOOD[:-30]), _DAMAGED % "File is not a zip file"),
    ("cut in a member", _fetched(_GOOD[:100]), _DAMAGED % "File is not a zip file"),
    ("its beginning cut off", _fetched(_GOOD[200:]), r"fetch: .*videos\.zip: .*"),
    ("a member that leads elsewhere", _fetched(_named("../../evil.mp4")), _ODD % (r"\.\./\.\./evil\.mp4", "points .*")),
    ("a member from the root", _fetched(_named("/tmp/evil.mp4")), _ODD % ("/tmp/evil.mp4", "points .*")),
    ("a member of another system", _fetched(_named("..\\..\\evil.mp4")), _ODD % (r".*evil\.mp4", "points .*")),
    ("a link", _fetched(_named("videos/0.mp4", 0o120777)), _ODD % ("videos/0.mp4", "is a link")),
    ("a name of 300 letters", _fetched(_named("y" * 300)), _ODD % ("y+", "has a name that no file can have")),
    ("a name of nothing but a point", _fetched(_named("./.")), _ODD % (r"\./\.", "has a name that no file can have")),
    ("a wrong checksum", _fetched(_spoilt(b"videovideo", 0, b"odivevideo")), _DAMAGED % "Bad CRC-32 .*"),
    ("a member that is encrypted", _fetched(_spoilt(_ENTRY, 8, b"\x01")), _DAMAGED % ".*encrypted.*"),
    ("a member packed in an unknown way", _fetched(_spoilt(_ENTRY, 10, b"\x63")), _DAMAGED % ".*compression.*"),
    ("a member that claims a gigabyte", _fetched(_spoilt(_ENTRY, 24, bytes([0, 0, 0, 64]))), _DAMAGED % ".*"),
    ("a member that says it is shorter", _fetched(_spoilt(_ENTRY, 24, bytes([9, 0, 0, 0]))), _DAMAGED % ".*"),
    (
        "a member that claims a terabyte",
        _fetched(terabyte),
        _WHERE + r"unpacks to .*, .* are free; nothing was unpacked; .*",
    ),
    ("a file and a folder of one name", _fetched(_packed(("a", _CONTENT), ("a/b.mp4", _CONTENT))), _DAMAGED % ".*"),
    ("two members in one place", _fetched(_overlapping), _ODD % ("videos/1.mp4", "lies in 'videos/0.mp4'")),
    (
        "a member of line breaks",
        _fetched(_named("videos/\n\x1b[2J.mp4/../../x")),
        _ODD % (r".*\\n\\x1b.*", "points .*"),
    ),
    ("a member of no UTF-8", _fetched(_spoilt(_ENTRY, 46, b"\xff\xfe")), r"fetch: .*"),
    (
        "a member of another name in its header",
        _fetched(_GOOD.replace(b"videos/Art/0", b"videos/Art/2", 1)),
        _DAMAGED % ".*",
    ),
    ("a directory of 4 GB", _fetched(_ended(12, 4, 2**32 - 2)), _DAMAGED % ".*"),
    ("a directory behind its end", _fetched(_ended(16, 4, 2**31)), r"fetch: .*"),
    ("another size than listed", _fetched(_GOOD, {"size": 7}), _DIFFERS),
    ("another hash than listed", _fetched(_GOOD, {"sha256": "0" * 64}), _DIFFERS),
    (
        "a listed path that leads elsewhere",
        _fetched(_GOOD, {"path": "../videos.zip"}),
        r"fetch: FOLDER/hub/.*manifest\.json: '\.\./videos\.zip' points outside its folder; make the hub again",
    ),
]
_RIGHT = [
    ("a member whose name goes on behind a NUL", _fetched(_named("videos/0.mp4\0/../../x"))),
    ("a member of several disks", _fetched(_spoilt(_END, 4, b"\7"))),
]
CASES = [
    *(Case("archives", what, run, says, right=_nothing) for what, run, says in _CASES),
    *(Case("archives", what, run, accepted=True, right=_one_video) for what, run in _RIGHT),
]
