"""Only what a run reads: the videos of chosen records come out of the zips on a Hub, and no others are asked for."""

import json
import os
import random
import subprocess
import zipfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hub_server import HubServer, point_client_at
from support import copy_of_the_tree

from stgrpo.__main__ import main
from stgrpo.commands.prepare import prepare
from stgrpo.config import Questions
from stgrpo.data import fetching
from stgrpo.data.hub import HubFile, Snapshot
from stgrpo.data.locks import Lock, LockedMember, write_lock
from stgrpo.data.remote_zip import RemoteZip
from stgrpo.data.video_r1 import RECORDS
from stgrpo.files import read_json, read_records
from stgrpo.records import Question
from stgrpo.rules import FrameRule
from stgrpo.specs import PrepareSpec

NAME = "Video-R1/Video-R1-data"
SOURCE = {
    "name": "video-r1",
    "repository": NAME,
    "type": "dataset",
    "patterns": [RECORDS, "*/*.zip"],
    "licence": "Apache-2.0",
}
DRAW = Questions(source="video-r1", count=4, seed=3, reserve=2)
FOLDERS = ("CLEVRER", "NeXT-QA", "PerceptionTest")
VIDEOS = {f"{FOLDERS[i % 3]}/videos/{i}.mp4": i for i in range(24)}
ORDER = list(range(24))
random.Random(DRAW.seed).shuffle(ORDER)
CHOSEN = [list(VIDEOS)[i] for i in ORDER[:6]]


@pytest.fixture
def server(tmp_path: Path, questions: list[Question], monkeypatch: pytest.MonkeyPatch) -> Iterator[HubServer]:
    """Twenty-four videos of three folders, each in two zips, and an archive of images."""
    root = tmp_path / "hub" / NAME
    records = []
    for path, i in VIDEOS.items():
        records.append(
            {
                "problem_id": i,
                "problem": "What moves?",
                "data_type": "video",
                "problem_type": "free-form",
                "options": [],
                "solution": "<answer>a ball</answer>",
                "path": f"./{path}",
                "data_source": path.split("/")[0],
            }
        )
        folder, _, member = path.partition("/")
        (root / folder).mkdir(parents=True, exist_ok=True)
        with zipfile.ZipFile(root / folder / f"{folder}_part{1 + i % 2}.zip", "a") as archive:
            archive.writestr(zipfile.ZipInfo(member), content(i, questions))
    (root / RECORDS).write_text(json.dumps(records))
    (root / "Chart").mkdir()
    with zipfile.ZipFile(root / "Chart/Chart_part1.zip", "w") as archive:
        archive.writestr("0.png", bytes(1000))
    with HubServer(tmp_path / "hub") as running:
        point_client_at(running, monkeypatch)
        monkeypatch.chdir(tmp_path)
        yield running


def content(i: int, questions: list[Question]) -> bytes:
    return Path(questions[i % len(questions)].video).read_bytes()


def fetch(draw: Questions = DRAW) -> int:
    given = ["--source", json.dumps(SOURCE), "--draw", draw.model_dump_json()]
    return main(["fetch", *given, "--lock", "locks/video-r1.json", "--out", "got/video-r1.json"])


def videos() -> dict[str, bytes]:
    root = Path("got/video-r1")
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in sorted(root.rglob("*.mp4"))}


def asked(server: HubServer) -> set[str]:
    return {request.path for request in server.requests if request.sent}


def lock() -> Lock:
    return Lock.model_validate(read_json("locks/video-r1.json"))


def test_the_chosen_videos_come_and_their_archives_stay(
    server: HubServer, questions: list[Question], capsys: pytest.CaptureFixture
):
    assert fetch() == 0
    assert videos() == {path: content(VIDEOS[path], questions) for path in sorted(CHOSEN)}
    assert not list(Path("got").rglob("*.zip"))
    archives = {archive_of(path) for path in CHOSEN}
    assert not any("Chart" in path for path in asked(server))
    told = capsys.readouterr().out
    assert f"0 of 6 videos are there; to fetch: 6 out of {len(archives)} archives, " in told
    assert [member.path for member in lock().members] == CHOSEN
    listed = {entry["path"] for entry in read_json("got/video-r1.json")["files"]}
    assert listed == {RECORDS, *CHOSEN}


def test_what_is_there_is_not_asked_for_again(server: HubServer, questions: list[Question]):
    fetch()
    before, files = lock(), read_json("got/video-r1.json")["files"]
    server.requests.clear()
    assert fetch() == 0 and server.requests == []
    assert (lock(), read_json("got/video-r1.json")["files"]) == (before, files)
    lost, spoiled = (Path("got/video-r1") / path for path in CHOSEN[:2])
    lost.unlink()
    spoiled.write_bytes(bytes(spoiled.stat().st_size))
    assert fetch() == 0
    assert videos() == {path: content(VIDEOS[path], questions) for path in sorted(CHOSEN)}
    assert lock() == before


def test_a_video_that_is_not_the_locked_one_is_refused(server: HubServer, capsys: pytest.CaptureFixture):
    """Whether it comes anew or stands there from before."""
    fetch()
    (Path("got/video-r1") / CHOSEN[1]).unlink()
    right = lock()
    for i, path in enumerate(CHOSEN[:2]):
        wrong = right.members[i].model_copy(update={"sha256": "0" * 64})
        write_lock(Path("locks/video-r1.json"), right.model_copy(update={"members": (wrong, *right.members[2:])}))
        capsys.readouterr()
        assert fetch() == 2
        assert capsys.readouterr().err == (
            f"fetch: {NAME}/{archive_of(path)}: member 'videos/{VIDEOS[path]}.mp4' has sha256 "
            f"{str(right.members[i].sha256)[:12]}..., but 000000000000... in the lock; delete the lock to accept what "
            "the Hub has now\n"
        )


def test_another_choice_brings_the_others_and_keeps_the_commit(server: HubServer, questions: list[Question]):
    fetch()
    commit = lock().commit
    server.change(NAME, "README.md", b"new")
    assert fetch(DRAW.model_copy(update={"reserve": 5})) == 0
    more = [list(VIDEOS)[i] for i in ORDER[:9]]
    assert videos() == {path: content(VIDEOS[path], questions) for path in sorted(more)}
    assert (lock().commit, [member.path for member in lock().members]) == (commit, more)


def test_the_lock_keeps_what_another_draw_fetched(server: HubServer, monkeypatch: pytest.MonkeyPatch):
    """Of another seed or scale, before this fetch or beside it; what was fetched for this one is told alone."""
    fetch()
    first = lock().members
    other = DRAW.model_copy(update={"seed": 4})
    bring, beside = fetching.bring_members, first[0].model_copy(update={"path": "CLEVRER/videos/beside.mp4"})

    def meanwhile(*given: Any) -> tuple[LockedMember, ...]:
        write_lock(Path("locks/video-r1.json"), lock().model_copy(update={"members": (*first, beside)}))
        return bring(*given)

    monkeypatch.setattr(fetching, "bring_members", meanwhile)
    assert fetch(other) == 0
    order = list(range(24))
    random.Random(other.seed).shuffle(order)
    chosen = [list(VIDEOS)[i] for i in order[:6]]
    assert set(chosen) - set(CHOSEN)
    assert lock().members[:7] == (*first, beside)
    assert {member.path for member in lock().members} == {*CHOSEN, beside.path, *chosen}
    assert {entry["path"] for entry in read_json("got/video-r1.json")["files"]} == {RECORDS, *chosen}


def test_an_interrupted_fetch_goes_on(server: HubServer, questions: list[Question], monkeypatch: pytest.MonkeyPatch):
    whole = RemoteZip._extract
    came = []

    def interrupted(self: RemoteZip, path: str, *rest: Any) -> LockedMember:
        if len(came) == 3:
            raise KeyboardInterrupt
        came.append(path)
        return whole(self, path, *rest)

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(RemoteZip, "_extract", interrupted)
        fetch()
    first = {path: (Path("got/video-r1") / path).stat().st_mtime_ns for path in came}
    assert set(videos()) == set(came) and lock().members == ()
    assert fetch() == 0
    assert videos() == {path: content(VIDEOS[path], questions) for path in sorted(CHOSEN)}
    assert {path: (Path("got/video-r1") / path).stat().st_mtime_ns for path in came} == first


def test_videos_in_no_archive_are_told_and_set_aside_by_prepare(server: HubServer, capsys: pytest.CaptureFixture):
    """And prepare looks at no video beyond the reserve, whatever lies in the folder."""
    path = CHOSEN[1]
    archive = server.folder / NAME / archive_of(path)
    with zipfile.ZipFile(archive) as opened:
        kept = {name: opened.read(name) for name in opened.namelist() if not path.endswith(name)}
    with zipfile.ZipFile(archive, "w") as written:
        for name, data in kept.items():
            written.writestr(zipfile.ZipInfo(name), data)
    assert fetch() == 0
    assert f"1 videos are in no archive, the first {path}; they will be set aside\n" in capsys.readouterr().out
    spec = PrepareSpec(name="train", frames=FrameRule(), draw=DRAW)
    prepare(spec, Path("got/video-r1"), Path("train.jsonl"), Path("aside.csv"))
    made = [question.video for question in read_records("train.jsonl", Question)]
    assert made == [f"got/video-r1/{one}" for one in (CHOSEN[0], *CHOSEN[2:5])]
    assert Path("aside.csv").read_text().splitlines()[1:] == [
        f"{RECORDS}[{VIDEOS[path]}],got/video-r1/{path}: no such file"
    ]


def spoil(server: HubServer, path: str, questions: list[Question]) -> str:
    """Flip a bit of a video in its archive; returns what a fetch says of it."""
    archive = archive_of(path)
    whole, video = (server.folder / NAME / archive).read_bytes(), content(VIDEOS[path], questions)
    # Members of one archive may be equal: the one whose header names the video.
    at = whole.index(b"videos/%d.mp4" % VIDEOS[path] + video) + len(b"videos/%d.mp4" % VIDEOS[path]) + 50
    server.change(NAME, archive, whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
    member = f"videos/{VIDEOS[path]}.mp4"
    return f"{NAME}/{archive}: member '{member}' is damaged (Bad CRC-32 for file '{member}')"


def set_aside() -> list[str]:
    """Which of the videos chosen `prepare` sets aside, in its own words."""
    spec = PrepareSpec(name="train", frames=FrameRule(), draw=DRAW)
    prepare(spec, Path("got/video-r1"), Path("train.jsonl"), Path("aside.csv"))
    assert len(read_records("train.jsonl", Question)) == DRAW.count
    return [line.partition(",")[2] for line in Path("aside.csv").read_text().splitlines()[1:]]


def test_a_video_that_is_damaged_at_its_origin_is_told_and_set_aside_by_prepare(
    server: HubServer, questions: list[Question], capsys: pytest.CaptureFixture
):
    what = spoil(server, CHOSEN[1], questions)
    assert fetch() == 0
    told = capsys.readouterr().out
    assert f"1 videos are damaged at their origin, the first: {what}; what they hold will be set aside\n" in told
    rest = [path for path in CHOSEN if path != CHOSEN[1]]
    assert videos() == {path: content(VIDEOS[path], questions) for path in sorted(rest)}
    assert [member.path for member in lock().members] == rest
    assert set_aside() == [f"got/video-r1/{CHOSEN[1]}: no such file"]


def test_an_archive_that_is_damaged_at_its_origin_is_told_and_its_videos_set_aside(
    server: HubServer, questions: list[Question], capsys: pytest.CaptureFixture
):
    archive = archive_of(CHOSEN[1])
    server.change(NAME, archive, (server.folder / NAME / archive).read_bytes()[:-30])
    assert fetch() == 0
    assert (
        f"1 archives are damaged at their origin, the first: {NAME}/{archive}: damaged directory (File is not a zip "
        "file); what they hold will be set aside\n"
    ) in capsys.readouterr().out
    rest = [path for path in CHOSEN if archive_of(path) != archive]
    assert videos() == {path: content(VIDEOS[path], questions) for path in sorted(rest)}
    assert f"got/video-r1/{CHOSEN[1]}: no such file" in set_aside()


def test_damage_that_is_gone_when_it_is_read_again_is_none(
    server: HubServer, questions: list[Question], capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
):
    """The end record of each archive, and then a bit of its first video that is wanted."""
    right, reads = Snapshot.read, Counter[str]()

    def read(self: Snapshot, file: HubFile, start: int, stop: int) -> bytes:
        block = right(self, file, start, stop)
        reads[file.path] += 1
        if reads[file.path] == 1:
            return block[:-22] + bytes(22)
        return block[:60] + bytes([block[60] ^ 1]) + block[61:] if reads[file.path] == 3 else block

    monkeypatch.setattr(Snapshot, "read", read)
    assert fetch() == 0
    assert videos() == {path: content(VIDEOS[path], questions) for path in sorted(CHOSEN)}
    assert {reads[archive_of(path)] for path in CHOSEN} == {4}
    assert "damaged" not in capsys.readouterr().out


@pytest.mark.parametrize("cut", [True, False], ids=["archive", "video"])
def test_damage_of_what_was_locked_is_refused(
    server: HubServer, questions: list[Question], capsys: pytest.CaptureFixture, cut: bool
):
    """It was right once: without it the same lock would give other questions."""
    path = CHOSEN[1]
    archive, what = archive_of(path), spoil(server, path, questions)
    if cut:
        server.change(NAME, archive, (server.folder / NAME / archive).read_bytes()[:-30])
        what = f"{NAME}/{archive}: damaged directory (File is not a zip file)"
    fetch()
    member = LockedMember(archive=archive, path=path, size=1, crc32=1, sha256="0" * 64)
    write_lock(Path("locks/video-r1.json"), lock().model_copy(update={"members": (*lock().members, member)}))
    capsys.readouterr()
    assert fetch() == 2
    assert capsys.readouterr().err == f"fetch: {what}; run again, and if it stays so, its origin is broken\n"


@pytest.mark.parametrize("cut", [True, False], ids=["archives", "videos"])
def test_nothing_but_damage_is_an_error(
    server: HubServer, questions: list[Question], capsys: pytest.CaptureFixture, cut: bool
):
    told = [spoil(server, path, questions) for path in CHOSEN]
    for archive in {archive_of(path) for path in VIDEOS} if cut else ():
        server.change(NAME, archive, (server.folder / NAME / archive).read_bytes()[:-30])
    assert fetch() == 2
    error = capsys.readouterr().err
    assert error.endswith("; run again, and if it stays so, its origin is broken\n") and error.count("\n") == 1
    assert "damaged directory" in error if cut else any(what in error for what in told)
    assert videos() == {}


def test_a_repository_of_another_layout_is_an_error(server: HubServer, capsys: pytest.CaptureFixture):
    """Not thousands of videos set aside."""
    for folder in FOLDERS:
        for part in (1, 2):
            server.change(NAME, f"{folder}/{folder}_part{part}.zip", None)
    assert fetch() == 2
    assert capsys.readouterr().err == (
        f"fetch: {NAME} at {server.commit(NAME)[:12]}: none of 6 videos is in an archive, the first: {CHOSEN[0]}; "
        "has its layout changed?\n"
    )


def archive_of(path: str) -> str:
    folder = path.split("/")[0]
    return f"{folder}/{folder}_part{1 + VIDEOS[path] % 2}.zip"


@pytest.mark.workflow
def test_snakemake_fetches_the_choice_and_keeps_the_examined_videos_out(server: HubServer, tmp_path: Path):
    """At scale paper, from an empty clone to the training questions, with no more of PerceptionTest than its rows."""
    rows = server.folder / "lmms-eval/PerceptionTest_Val"
    (rows / "mc_question_val").mkdir(parents=True)
    pd.DataFrame([{"video_name": "2"}]).to_parquet(rows / "mc_question_val/validation-00000-of-00001.parquet")
    (rows / "videos_chunked_01.zip").write_bytes(bytes(1000))
    clone = copy_of_the_tree(tmp_path / "clone")
    environment = {**os.environ, "HF_ENDPOINT": server.url, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(clone)}
    environment.pop("HF_HUB_OFFLINE", None)
    words = ["snakemake", "results/paper/questions/train.jsonl", "--config", "scale=paper"]
    done = subprocess.run(words, cwd=clone, capture_output=True, text=True, check=False, env=environment, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(read_records(clone / "results/paper/questions/train.jsonl", Question)) == len(VIDEOS) - 1
    assert "PerceptionTest/videos/" in (clone / "results/paper/questions/train.aside.csv").read_text()
    assert not list((clone / "resources").rglob("*.zip"))
    assert not any("Chart" in path or "videos_chunked" in path for path in asked(server))
    locks = sorted(path.name for path in (clone / "workflow/resources/locks").iterdir())
    assert locks == ["perceptiontest-rows.json", "video-r1.json"]
