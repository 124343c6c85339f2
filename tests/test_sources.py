"""Fetching from a hub and unpacking: what is right appears, what is wrong leaves nothing behind."""

import hashlib
import json
import shutil
import struct
import zipfile
from pathlib import Path
from types import SimpleNamespace

import pytest

from stgrpo.data.sources import Source, choose, fetch, read_source, unpack
from stgrpo.errors import UserError

SOURCE = Source("corpus", "owner/corpus", "dataset", ("records.json", "clips/*.zip"), "MIT")
RECORDS = b'[{"id": 1}]'
MEMBERS = {"videos/a.mp4": b"first video", "videos/b.mp4": b"second video, longer"}


def write_zip(path: Path, members: dict[str, bytes], compression: int = zipfile.ZIP_STORED) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, content in members.items():
            archive.writestr(zipfile.ZipInfo(name), content, compression)


def write_manifest(repository: Path) -> None:
    """As a hub lists its files; hashed here with hashlib."""
    listed = []
    for path in sorted(p for p in repository.rglob("*") if p.is_file() and p.name != "manifest.json"):
        content = path.read_bytes()
        name, sha256 = path.relative_to(repository).as_posix(), hashlib.sha256(content).hexdigest()
        listed.append({"path": name, "size": len(content), "sha256": sha256})
    (repository / "manifest.json").write_text(json.dumps({"files": listed}), encoding="utf-8")


@pytest.fixture
def hub(tmp_path: Path) -> Path:
    """One repository: a file, a zip in a folder, and a file that nobody asks for."""
    repository = tmp_path / "hub" / "owner" / "corpus"
    write_zip(repository / "clips" / "part1.zip", MEMBERS)
    (repository / "records.json").write_bytes(RECORDS)
    (repository / "huge.bin").write_bytes(b"not wanted")
    write_manifest(repository)
    return tmp_path / "hub"


def contents(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def times(folder: Path) -> dict[str, int]:
    return {p.relative_to(folder).as_posix(): p.stat().st_mtime_ns for p in folder.rglob("*")}


def test_wanted_files_arrive_and_archives_unpack_beside_themselves(hub: Path, tmp_path: Path):
    listed = fetch(SOURCE, hub, tmp_path / "got")
    archive = (hub / "owner/corpus/clips/part1.zip").read_bytes()
    assert contents(tmp_path / "got") == {
        "records.json": RECORDS,
        "clips/part1.zip": archive,
        "clips/videos/a.mp4": MEMBERS["videos/a.mp4"],
        "clips/videos/b.mp4": MEMBERS["videos/b.mp4"],
    }
    assert [(entry["path"], entry["size"]) for entry in listed] == [
        ("clips/part1.zip", len(archive)),
        ("records.json", len(RECORDS)),
    ]


def test_a_second_fetch_touches_nothing(hub: Path, tmp_path: Path):
    first = fetch(SOURCE, hub, tmp_path / "got")
    before = times(tmp_path / "got")
    assert fetch(SOURCE, hub, tmp_path / "got") == first
    assert times(tmp_path / "got") == before


def test_a_damaged_file_is_brought_again(hub: Path, tmp_path: Path):
    fetch(SOURCE, hub, tmp_path / "got")
    path = tmp_path / "got" / "records.json"
    path.unlink()  # it may be a hard link; the hub's own stays whole
    path.write_bytes(b"X" * len(RECORDS))  # the size is right, the hash is not
    fetch(SOURCE, hub, tmp_path / "got")
    assert path.read_bytes() == RECORDS


def test_a_file_that_differs_from_its_manifest_is_refused_and_removed(hub: Path, tmp_path: Path):
    origin = hub / "owner/corpus/records.json"
    origin.write_bytes(b"X" * len(RECORDS))
    with pytest.raises(UserError) as caught:
        fetch(SOURCE, hub, tmp_path / "got")
    assert str(caught.value) == (
        f"{origin}: differs from {hub / 'owner/corpus/manifest.json'} (expected {len(RECORDS)} bytes, "
        f"sha256 {hashlib.sha256(RECORDS).hexdigest()[:12]}...); make the hub again"
    )
    assert not (tmp_path / "got" / "records.json").exists()


def test_a_listed_file_that_is_not_there_is_named(hub: Path, tmp_path: Path):
    origin = hub / "owner/corpus/records.json"
    origin.unlink()
    with pytest.raises(UserError) as caught:
        fetch(SOURCE, hub, tmp_path / "got")
    assert str(caught.value) == f"{origin}: listed in the manifest but missing; make the hub again"


def test_patterns_that_match_nothing_are_an_error(hub: Path, tmp_path: Path):
    source = Source("corpus", "owner/corpus", "dataset", ("*.parquet", "x/*.json"), "MIT")
    with pytest.raises(UserError) as caught:
        fetch(source, hub, tmp_path / "got")
    assert str(caught.value) == f"{hub / 'owner/corpus'}: no file matches *.parquet x/*.json"
    source = Source("corpus", "owner/corpus", "dataset", ("records.json", "*.parquet"), "MIT")
    with pytest.raises(UserError, match=r"no file matches \*\.parquet$"):
        fetch(source, hub, tmp_path / "got")


def test_a_hub_without_the_repository_is_an_error_of_one_line(tmp_path: Path):
    with pytest.raises(UserError) as caught:
        fetch(SOURCE, tmp_path, tmp_path / "got")
    assert str(caught.value) == f"{tmp_path / 'owner/corpus/manifest.json'}: no such file"


def test_a_manifest_cannot_write_outside_its_folder(hub: Path, tmp_path: Path):
    (hub / "owner" / "evil.json").write_bytes(RECORDS)
    listed = {"path": "../evil.json", "size": len(RECORDS), "sha256": hashlib.sha256(RECORDS).hexdigest()}
    (hub / "owner/corpus/manifest.json").write_text(json.dumps({"files": [listed]}), encoding="utf-8")
    with pytest.raises(UserError):
        fetch(Source("corpus", "owner/corpus", "dataset", ("*.json",), "MIT"), hub, tmp_path / "got" / "corpus")
    assert not (tmp_path / "got" / "evil.json").exists()


@pytest.mark.parametrize(
    "name", ["../evil.txt", "videos/../../evil.txt", "/evil.txt", "..\\evil.txt"], ids=["up", "down, up", "root", "DOS"]
)
def test_a_member_outside_the_folder_is_refused_and_nothing_is_written(tmp_path: Path, name: str):
    archive = tmp_path / "evil.zip"
    write_zip(archive, {"good.txt": b"good", name: b"evil"})
    (tmp_path / "inside").mkdir()
    with pytest.raises(UserError) as caught:
        unpack(archive, tmp_path / "inside")
    shown = zipfile.ZipFile(archive).namelist()[1]
    assert str(caught.value) == (
        f"{archive}: member '{shown}' points outside its folder; nothing was unpacked; check its origin"
    )
    assert set(contents(tmp_path)) == {"evil.zip"}


def test_a_member_that_is_a_link_is_refused_and_nothing_is_written(tmp_path: Path):
    archive = tmp_path / "evil.zip"
    write_zip(archive, {"good.txt": b"good"})
    with zipfile.ZipFile(archive, "a") as opened:
        link = zipfile.ZipInfo("link")
        link.external_attr = 0o120777 << 16  # lrwxrwxrwx, as `zip --symlinks` stores it
        opened.writestr(link, "/etc/passwd")
    (tmp_path / "inside").mkdir()
    with pytest.raises(UserError) as caught:
        unpack(archive, tmp_path / "inside")
    assert str(caught.value) == f"{archive}: member 'link' is a link; nothing was unpacked; check its origin"
    assert list((tmp_path / "inside").iterdir()) == []


def test_folders_and_names_with_two_dots_inside_are_fine(tmp_path: Path):
    write_zip(tmp_path / "x.zip", {"a..b/..c.mp4": b"video", "empty/": b""})
    unpack(tmp_path / "x.zip", tmp_path / "inside")
    assert contents(tmp_path / "inside") == {"a..b/..c.mp4": b"video"}


@pytest.mark.parametrize("left", [0, 10, -30], ids=["empty", "its beginning", "all but its table of contents"])
def test_a_truncated_archive_is_named_and_nothing_is_written(tmp_path: Path, left: int):
    archive = tmp_path / "x.zip"
    write_zip(archive, MEMBERS)
    archive.write_bytes(archive.read_bytes()[:left])
    (tmp_path / "inside").mkdir()
    with pytest.raises(UserError) as caught:
        unpack(archive, tmp_path / "inside")
    assert str(caught.value) == f"{archive}: damaged archive (File is not a zip file); remove it and run again"
    assert list((tmp_path / "inside").iterdir()) == []


def damage(archive: Path, content: bytes) -> None:
    """Spoil the first byte of the first member's content; the table of contents stays whole."""
    data = bytearray(archive.read_bytes())
    start = 30 + len("a.mp4")  # a local header is 30 bytes and the name
    assert data[start : start + len(content)] == content
    data[start] = 0xFF
    archive.write_bytes(data)


def test_a_stored_member_with_a_wrong_checksum_does_not_appear(tmp_path: Path):
    archive = tmp_path / "x.zip"
    write_zip(archive, {"a.mp4": b"video"})
    damage(archive, b"video")
    with pytest.raises(UserError) as caught:
        unpack(archive, tmp_path / "inside")
    assert str(caught.value) == (f"{archive}: damaged archive (Bad CRC-32 for file 'a.mp4'); remove it and run again")
    assert contents(tmp_path / "inside") == {}


def test_a_deflated_member_that_does_not_inflate_does_not_appear(tmp_path: Path):
    archive = tmp_path / "x.zip"
    write_zip(archive, {"a.mp4": b"video " * 100}, zipfile.ZIP_DEFLATED)
    damage(archive, b"")  # 0xFF announces a block of type 3, which deflate does not have
    with pytest.raises(UserError) as caught:
        unpack(archive, tmp_path / "inside")
    assert str(caught.value).startswith(f"{archive}: damaged archive (")
    assert contents(tmp_path / "inside") == {}


def declare(archive: Path, size: int) -> None:
    """Let the table of contents of an archive of one member say another size for it."""
    data = bytearray(archive.read_bytes())
    entry = data.index(b"PK\x01\x02")
    data[entry + 24 : entry + 28] = struct.pack("<I", size)  # uncompressed size, after 24 bytes of other fields
    archive.write_bytes(data)


def test_a_member_that_is_larger_than_it_says_does_not_appear(tmp_path: Path):
    archive = tmp_path / "bomb.zip"
    write_zip(archive, {"a.mp4": b"0" * 10_000_000}, zipfile.ZIP_DEFLATED)
    declare(archive, 1000)
    with pytest.raises(UserError) as caught:
        unpack(archive, tmp_path / "inside")
    assert str(caught.value) == f"{archive}: damaged archive (Bad CRC-32 for file 'a.mp4'); remove it and run again"
    assert contents(tmp_path / "inside") == {}


def test_an_archive_that_is_larger_than_the_disk_is_refused_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    archive = tmp_path / "bomb.zip"
    write_zip(archive, {"small.mp4": b"video", "bomb.mp4": b"0" * 10_000_000}, zipfile.ZIP_DEFLATED)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=5_000_000))
    with pytest.raises(UserError) as caught:
        unpack(archive, tmp_path / "inside")
    assert str(caught.value) == (
        f"{archive}: unpacks to 10 MB, 5 MB are free; nothing was unpacked; free some, or make resources/ a link to a "
        "larger disk"
    )
    assert contents(tmp_path / "inside") == {}


def test_deflated_members_unpack(tmp_path: Path):
    write_zip(tmp_path / "x.zip", {"a.mp4": b"video " * 100}, zipfile.ZIP_DEFLATED)
    unpack(tmp_path / "x.zip", tmp_path / "inside")
    assert contents(tmp_path / "inside") == {"a.mp4": b"video " * 100}


def test_a_half_extracted_member_is_repaired_and_its_neighbour_left_alone(tmp_path: Path):
    write_zip(tmp_path / "x.zip", MEMBERS)
    unpack(tmp_path / "x.zip", tmp_path / "inside")
    before = times(tmp_path / "inside")["videos/a.mp4"]
    (tmp_path / "inside/videos/b.mp4").write_bytes(MEMBERS["videos/b.mp4"][:4])
    unpack(tmp_path / "x.zip", tmp_path / "inside")
    assert contents(tmp_path / "inside") == MEMBERS
    assert times(tmp_path / "inside")["videos/a.mp4"] == before


def test_a_member_that_went_missing_is_unpacked_again(hub: Path, tmp_path: Path):
    fetch(SOURCE, hub, tmp_path / "got")
    (tmp_path / "got/clips/videos/a.mp4").unlink()
    fetch(SOURCE, hub, tmp_path / "got")
    assert (tmp_path / "got/clips/videos/a.mp4").read_bytes() == MEMBERS["videos/a.mp4"]


def test_a_new_archive_replaces_members_of_equal_size(hub: Path, tmp_path: Path):
    fetch(SOURCE, hub, tmp_path / "got")
    changed = MEMBERS | {"videos/a.mp4": MEMBERS["videos/a.mp4"].upper()}
    (hub / "owner/corpus/clips/part1.zip").unlink()
    write_zip(hub / "owner/corpus/clips/part1.zip", changed)
    write_manifest(hub / "owner/corpus")
    fetch(SOURCE, hub, tmp_path / "got")
    assert (tmp_path / "got/clips/videos/a.mp4").read_bytes() == b"FIRST VIDEO"


@pytest.fixture
def table(tmp_path: Path) -> Path:
    path = tmp_path / "sources.csv"
    path.write_text(
        "name,repository,type,files,licence,gated\ncorpus,owner/corpus,dataset,records.json clips/*.zip,MIT,no\n"
        'other,owner/other,model,*.json,"not stated, ask",yes\n',
        encoding="utf-8",
    )
    return path


def test_a_row_of_the_table_is_a_source(table: Path):
    assert read_source(table, "corpus") == SOURCE
    assert read_source(table, "other").licence == "not stated, ask"


def test_a_row_of_another_type_than_the_hub_has_is_named(table: Path):
    table.write_text(table.read_text().replace("dataset", "datasets"))
    with pytest.raises(UserError) as caught:
        read_source(table, "corpus")
    assert str(caught.value) == f"{table}: source 'corpus' is of type 'datasets'; did you mean 'dataset'?"


@pytest.mark.parametrize(
    ("name", "hint"), [("corpsu", "did you mean 'corpus'?"), ("zzz", "known: corpus, other")], ids=["near", "far"]
)
def test_an_unknown_source_is_named_with_a_hint(table: Path, name: str, hint: str):
    with pytest.raises(UserError) as caught:
        read_source(table, name)
    assert str(caught.value) == f"{table}: no source '{name}'; {hint}"


def test_the_repository_s_own_table_is_read():
    source = read_source(Path(__file__).parent.parent / "workflow/resources/sources.csv", "video-r1")
    assert source.repository == "Video-R1/Video-R1-data"
    assert "Video-R1-260k.json" in source.patterns


HUB = {  # what the repositories hold beside cards and the like, as their pages list it
    "video-r1": (
        ["Video-R1-260k.json", "CLEVRER/CLEVRER_part1.zip", "LLaVA-Video-178K/LLaVA-Video-178K_part1.zip"],
        ["Video-R1-COT-165k.json"],
    ),
    "videomme": (
        ["videomme/test-00000-of-00001.parquet", "videos_chunked_01.zip", "videos_chunked_20.zip"],
        ["subtitle.zip"],
    ),
    "vsibench": (
        ["test-00000-of-00001.parquet", "arkitscenes.zip", "scannet.zip", "scannetpp.zip"],
        ["test_debiased.parquet", "test_pruned.parquet", "test.jsonl", "pruned_ids.txt", "create_pq.py"],
    ),
    "perceptiontest": (
        ["mc_question_val/validation-00000-of-00001.parquet", "videos_chunked_01.zip", "videos_chunked_02.zip"],
        ["valid_audios.zip"],
    ),
    "perceptiontest-rows": (
        ["mc_question_val/validation-00000-of-00001.parquet"],
        ["valid_audios.zip", "videos_chunked_01.zip", "videos_chunked_02.zip"],
    ),
    "mmvu": (["data/validation-00000-of-00001.parquet", "videos.zip"], []),
}


@pytest.mark.parametrize(("name", "files"), HUB.items(), ids=HUB)
def test_the_table_s_patterns_choose_what_is_read_and_nothing_beside_it(name: str, files: tuple[list[str], list[str]]):
    source = read_source(Path(__file__).parent.parent / "workflow/resources/sources.csv", name)
    wanted, others = files
    assert choose([*wanted, *others, "README.md", ".gitattributes"], source, "") == wanted
