"""Members of a zip that lies elsewhere: only what is wanted moves, and what is wrong is named and leaves nothing."""

import io
import threading
import zipfile
import zlib
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
from hub_server import HubServer, point_client_at

from stgrpo.data.hub import open_snapshot
from stgrpo.data.locks import LockedMember
from stgrpo.data.members import bring_members
from stgrpo.data.remote_zip import RemoteZip
from stgrpo.errors import UserError

REPOSITORY, ARCHIVE = "owner/corpus", "clips/part1.zip"
WHERE = f"{REPOSITORY}/{ARCHIVE}"
MEMBERS = {f"videos/{i}.mp4": np.random.default_rng(i).bytes(1000 + i) for i in range(20)}
ONCE_MORE = "run again, and if it stays so, its origin is broken"


class Remote:
    """A file that counts what is read of it."""

    def __init__(self, content: bytes | Path) -> None:
        self.stream = io.BytesIO(content) if isinstance(content, bytes) else content.open("rb")
        self.size, self.lock = self.stream.seek(0, 2), threading.Lock()
        self.moved: list[tuple[int, int]] = []

    def read(self, start: int, stop: int) -> bytes:
        assert 0 <= start <= stop <= self.size
        self.moved.append((start, stop))
        with self.lock:
            self.stream.seek(start)
            return self.stream.read(stop - start)

    @property
    def bytes(self) -> int:
        return sum(stop - start for start, stop in self.moved)


def packed(members: dict[str, bytes], compression: int = zipfile.ZIP_STORED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as archive:
        for name, content in members.items():
            archive.writestr(zipfile.ZipInfo(name), content, compression)
    return buffer.getvalue()


def opened(content: bytes | Path) -> RemoteZip:
    remote = Remote(content)
    return RemoteZip(REPOSITORY, ARCHIVE, remote.size, remote.read)


def extracted(
    archive: RemoteZip, names: list[str], target: Path, locked: dict[str, LockedMember] | None = None
) -> list[LockedMember]:
    return list(archive.extract([f"clips/{name}" for name in names], target, locked or {}))


def locked(name: str, **change: str) -> LockedMember:
    content = MEMBERS[name]
    values = {"crc32": zlib.crc32(content), "sha256": sha256(content).hexdigest()} | change
    return LockedMember(archive=ARCHIVE, path=f"clips/{name}", size=len(content), **values)


def contents(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED], ids=["stored", "deflated"])
def test_wanted_members_appear_beside_their_archive_as_they_were(tmp_path: Path, compression: int):
    wanted = ["videos/3.mp4", "videos/4.mp4", "videos/17.mp4"]
    found = extracted(opened(packed(MEMBERS, compression)), wanted[::-1], tmp_path)
    assert contents(tmp_path) == {f"clips/{name}": MEMBERS[name] for name in wanted}
    assert found == [locked(name) for name in wanted]


class Sparse(io.FileIO):
    """A file in which zeros take no space; it keeps the number of what it wrote."""

    def write(self, data) -> int:
        view = memoryview(data)
        if len(view) > 4096 and not any(view[:64]) and bytes(view).count(0) == len(view):
            self.seek(len(view), io.SEEK_CUR)
            return len(view)
        return super().write(view)


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, bytes]]:
    """A zip of more than 2 GB, nearly all of it zeros, and its 400 members that are none."""
    path, real = tmp_path_factory.mktemp("large") / "part1.zip", {}
    zeros = bytes(1 << 20)
    with Sparse(path, "w+") as stream, zipfile.ZipFile(stream, "w") as archive:  # pyright: ignore[reportArgumentType]
        for i in range(400):
            real[f"videos/{i}.mp4"] = np.random.default_rng(i).bytes(200_000 + i)
            archive.writestr(zipfile.ZipInfo(f"videos/{i}.mp4"), real[f"videos/{i}.mp4"])
            with archive.open(zipfile.ZipInfo(f"filler/{i}.mp4"), "w") as filler:
                for _ in range(5):
                    filler.write(zeros)
    return path, real


def test_forty_members_of_two_gigabytes_move_less_than_a_twentieth(
    large: tuple[Path, dict[str, bytes]], tmp_path: Path
):
    path, real = large
    remote = Remote(path)
    assert remote.size > 2e9
    archive = RemoteZip(REPOSITORY, ARCHIVE, remote.size, remote.read)
    wanted = [f"videos/{i}.mp4" for i in range(0, 400, 10)]
    extracted(archive, wanted, tmp_path)
    assert contents(tmp_path) == {f"clips/{name}": real[name] for name in wanted}
    assert remote.bytes < 0.05 * remote.size
    assert remote.bytes < 1.05 * (sum(len(real[name]) for name in wanted) + (256 << 10))  # and the end of the archive
    assert len(remote.moved) == 41  # one request each, and one for the directory


def test_so_it_is_through_the_hub(
    large: tuple[Path, dict[str, bytes]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    path, real = large
    (tmp_path / "hub/owner/corpus/clips").mkdir(parents=True)
    (tmp_path / "hub/owner/corpus/clips/part1.zip").symlink_to(path)
    wanted = [f"clips/videos/{i}.mp4" for i in range(5, 400, 10)]
    with HubServer(tmp_path / "hub") as server:
        point_client_at(server, monkeypatch)
        snapshot = open_snapshot("owner/corpus", "dataset")
        server.fail(WHERE, cut=150_000, times=9)  # the connection breaks within members
        found = bring_members(snapshot, wanted, tmp_path / "got", ())
        assert server.sent() < 0.05 * path.stat().st_size
    assert [member.path for member in found] == wanted
    assert contents(tmp_path / "got") == {name: real[name.removeprefix("clips/")] for name in wanted}


def test_neighbours_come_in_one_request(tmp_path: Path):
    remote = Remote(packed({f"{i}.mp4": bytes([i]) * 300_000 for i in range(8)}))
    archive = RemoteZip(REPOSITORY, ARCHIVE, remote.size, remote.read)
    extracted(archive, ["2.mp4", "3.mp4", "4.mp4"], tmp_path)
    assert len(remote.moved) == 2
    assert contents(tmp_path) == {f"clips/{i}.mp4": bytes([i]) * 300_000 for i in (2, 3, 4)}


def test_a_member_longer_than_a_request_comes_in_pieces(tmp_path: Path):
    content = np.random.default_rng(0).bytes(20 << 20)
    remote = Remote(packed({"a.mp4": content, "b.mp4": b"b"}))
    archive = RemoteZip(REPOSITORY, ARCHIVE, remote.size, remote.read)
    extracted(archive, ["a.mp4"], tmp_path)
    assert contents(tmp_path) == {"clips/a.mp4": content}
    assert len(remote.moved) == 4  # the directory, and pieces of 8, 8 and 4 MiB


def test_archives_beyond_the_old_limits_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Offsets beyond 4 GiB stand in another place; here from 1000 bytes on."""
    monkeypatch.setattr(zipfile, "ZIP64_LIMIT", 1000)
    content = packed(MEMBERS)
    monkeypatch.undo()
    assert b"PK\x06\x06" in content  # the record of that other place
    extracted(opened(content), ["videos/19.mp4"], tmp_path)
    assert contents(tmp_path) == {"clips/videos/19.mp4": MEMBERS["videos/19.mp4"]}


def test_a_long_directory_and_a_comment_are_read(tmp_path: Path):
    names = [f"{'folder/' * 30}{i}.mp4" for i in range(2000)]  # a directory of half a megabyte
    content = io.BytesIO(packed({name: b"x" for name in names}))
    with zipfile.ZipFile(content, "a") as archive:
        archive.comment = b"made by hand"
    remote = Remote(content.getvalue())
    archive = RemoteZip(REPOSITORY, ARCHIVE, remote.size, remote.read)
    assert list(archive.members) == [f"clips/{name}" for name in names]
    assert len(remote.moved) == 2


def changed(content: bytes, at: int, new: bytes) -> bytes:
    return content[:at] + new + content[at + len(new) :]


WHOLE = packed(MEMBERS)
RECORD = WHOLE.rindex(b"PK\x05\x06")  # the end record; 12 bytes on the directory's length, 16 on its place
ENTRY = WHOLE.index(b"PK\x01\x02")  # the first member's line; 16 bytes on its CRC-32, 24 its length, 42 its place

DIRECTORIES = [
    (WHOLE[:-30], "File is not a zip file", "cut off"),
    (b"", "File is not a zip file", "empty"),
    (b"<html>not found</html>" * 40, "File is not a zip file", "another file"),
    (changed(WHOLE, ENTRY, b"XX"), "Bad magic number for central directory", "a flipped byte"),
    (changed(WHOLE, RECORD + 12, b"\xff\xff\xff\x7f"), "Bad offset for central directory", "a wrong length"),
]


@pytest.mark.parametrize(("content", "why", "case"), DIRECTORIES, ids=[case[2] for case in DIRECTORIES])
def test_a_damaged_directory_is_named(content: bytes, why: str, case: str):
    with pytest.raises(UserError) as caught:
        opened(content)
    assert str(caught.value) == f"{WHERE}: damaged directory ({why}); {ONCE_MORE}", case


def test_a_directory_that_claims_to_be_huge_is_not_read(large: tuple[Path, dict[str, bytes]]):
    remote = Remote(large[0])

    def lies(start: int, stop: int) -> bytes:
        content = remote.read(start, stop)
        record = content.rindex(b"PK\x06\x06")  # of an archive beyond 2 GiB; 40 bytes on its directory's length
        return changed(content, record + 40, (2_000_000_000).to_bytes(8, "little"))

    with pytest.raises(UserError) as caught:
        RemoteZip(REPOSITORY, ARCHIVE, remote.size, lies)
    assert str(caught.value) == f"{WHERE}: damaged directory (it would be 2000 MB long); {ONCE_MORE}"
    assert remote.bytes < 1 << 20


FIRST = WHOLE.index(MEMBERS["videos/0.mp4"])
BAD = "Bad CRC-32 for file 'videos/0.mp4'"
MEMBER_DAMAGE = [
    (changed(WHOLE, FIRST + 5, bytes([WHOLE[FIRST + 5] ^ 1])), BAD, "a flipped bit"),
    (changed(WHOLE, 0, b"XX"), "Bad magic number for file header", "its header"),
    (changed(WHOLE, ENTRY + 16, b"\0\0\0\0"), BAD, "its checksum"),
    (changed(WHOLE, ENTRY + 24, (990).to_bytes(4, "little")), BAD, "too short"),
    (
        changed(WHOLE, ENTRY + 24, (1010).to_bytes(4, "little")),
        "1000 bytes, but its directory says 1010",
        "too long",
    ),
    (changed(WHOLE, ENTRY + 42, (len(WHOLE)).to_bytes(4, "little")), "Truncated file header", "elsewhere"),
    (changed(WHOLE, ENTRY + 10, b"\x63"), "That compression method is not supported", "packed in another way"),
]


@pytest.mark.parametrize(("content", "why", "case"), MEMBER_DAMAGE, ids=[case[2] for case in MEMBER_DAMAGE])
def test_a_damaged_member_is_named_and_does_not_appear(tmp_path: Path, content: bytes, why: str, case: str):
    with pytest.raises(UserError) as caught:
        extracted(opened(content), ["videos/0.mp4"], tmp_path)
    assert str(caught.value) == f"{WHERE}: member 'videos/0.mp4' is damaged ({why}); {ONCE_MORE}", case
    assert contents(tmp_path) == {}


def test_a_deflated_member_that_does_not_inflate_is_named(tmp_path: Path):
    content = packed({"a.mp4": b"video " * 100}, zipfile.ZIP_DEFLATED)
    with pytest.raises(UserError, match=f"^{WHERE}: member 'a.mp4' is damaged \\(.*\\); {ONCE_MORE}$"):
        extracted(opened(changed(content, 35, b"\xff")), ["a.mp4"], tmp_path)  # 0xFF announces a block of no known type
    assert contents(tmp_path) == {}


@pytest.mark.parametrize("name", ["../evil.mp4", "videos/../../evil.mp4", "/evil.mp4"], ids=["up", "down, up", "root"])
def test_a_member_outside_the_folder_is_named_before_anything_is_read(name: str):
    with pytest.raises(UserError) as caught:
        opened(packed(MEMBERS | {name: b"evil"}))
    assert str(caught.value) == (
        f"{WHERE}: member '{name}' points outside its folder; nothing was unpacked; check its origin"
    )


def test_a_link_is_named():
    content = io.BytesIO(packed(MEMBERS))
    with zipfile.ZipFile(content, "a") as archive:
        link = zipfile.ZipInfo("link")
        link.external_attr = 0o120777 << 16  # lrwxrwxrwx, as `zip --symlinks` stores it
        archive.writestr(link, "/etc/passwd")
    with pytest.raises(UserError) as caught:
        opened(content.getvalue())
    assert str(caught.value) == f"{WHERE}: member 'link' is a link; nothing was unpacked; check its origin"


def test_a_member_that_is_not_the_locked_one_does_not_appear(tmp_path: Path):
    wanted = ["videos/0.mp4", "videos/1.mp4"]
    right = {f"clips/{name}": locked(name) for name in wanted}
    extracted(opened(WHOLE), wanted, tmp_path / "right", right)
    assert len(contents(tmp_path / "right")) == 2
    with pytest.raises(UserError) as caught:
        wrong = right | {"clips/videos/1.mp4": locked("videos/1.mp4", sha256="0" * 64)}
        extracted(opened(WHOLE), wanted, tmp_path / "wrong", wrong)
    assert str(caught.value) == (
        f"{WHERE}: member 'videos/1.mp4' has sha256 {sha256(MEMBERS['videos/1.mp4']).hexdigest()[:12]}..., but "
        "000000000000... in the lock; delete the lock to accept what the Hub has now"
    )
    assert contents(tmp_path / "wrong") == {"clips/videos/0.mp4": MEMBERS["videos/0.mp4"]}


def test_what_stands_already_is_known_by_size_and_checksum(tmp_path: Path):
    archive = opened(WHOLE)
    (member,) = extracted(archive, ["videos/0.mp4"], tmp_path)
    file = tmp_path / "clips/videos/0.mp4"
    assert archive.present("clips/videos/0.mp4", tmp_path) == member
    assert archive.present("clips/videos/1.mp4", tmp_path) is None
    for spoiled in (MEMBERS["videos/0.mp4"][:-1], MEMBERS["videos/0.mp4"][:-1] + b"?"):
        file.write_bytes(spoiled)
        assert archive.present("clips/videos/0.mp4", tmp_path) is None


def test_an_error_of_the_network_is_passed_on_and_leaves_whole_members_only(tmp_path: Path):
    remote = Remote(packed({f"{i}.mp4": bytes([i]) * 9_000_000 for i in range(3)}))
    broken = 22_500_000  # inside the third of four requests, which the end of the second member shares

    def read(start: int, stop: int) -> bytes:
        if start < broken < stop:
            raise UserError("the connection breaks")
        return remote.read(start, stop)

    archive = RemoteZip(REPOSITORY, ARCHIVE, remote.size, read)
    with pytest.raises(UserError, match="^the connection breaks$"):
        extracted(archive, ["0.mp4", "1.mp4", "2.mp4"], tmp_path)
    assert contents(tmp_path) == {"clips/0.mp4": bytes(9_000_000)}
