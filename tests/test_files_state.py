"""Files that are whole or not there, and the folder in which a job resumes."""

import errno
import fcntl
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from stgrpo.errors import UserError
from stgrpo.files import hashes, read_json, read_records, replacing, write_json, write_records, write_text
from stgrpo.records import Question, SetAside
from stgrpo.state import job_key, prune, state_folder, whole_lines

ROWS = [SetAside("a[0]", "größer"), SetAside("a[1]", "no video")]


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


# Files.


def test_nobody_sees_a_file_that_is_being_written(tmp_path: Path):
    path = tmp_path / "deep" / "x.txt"
    with replacing(path) as temporary:
        temporary.write_text("half", encoding="utf-8")
        assert not path.exists()
        assert temporary.parent == path.parent  # a rename is atomic on one file system only
    assert path.read_text(encoding="utf-8") == "half"
    assert names(path.parent) == ["x.txt"]


def test_an_exception_keeps_the_old_file_and_leaves_nothing_beside_it(tmp_path: Path):
    path = tmp_path / "x.txt"
    write_text(path, "old")
    with pytest.raises(KeyboardInterrupt), replacing(path) as temporary:
        temporary.write_text("half of the n", encoding="utf-8")
        raise KeyboardInterrupt
    assert path.read_text(encoding="utf-8") == "old"
    assert names(tmp_path) == ["x.txt"]


def writing(path: Path) -> subprocess.Popen:
    """A process that is in the middle of writing a file."""
    code = "import sys, time; from stgrpo.files import replacing; w = replacing(sys.argv[1]); "
    code += "w.__enter__().write_text('half of something long'); print('half', flush=True); time.sleep(60)"
    process = subprocess.Popen([sys.executable, "-c", code, str(path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout and process.stdout.readline() == "half\n"
    return process


def test_what_a_killed_writer_left_is_gone_after_the_next_one(tmp_path: Path):
    process = writing(tmp_path / "x.txt")
    process.kill()
    process.wait()
    assert names(tmp_path) == [".x.txt.tmp"]
    write_text(tmp_path / "x.txt", "new")
    assert names(tmp_path) == ["x.txt"]
    assert (tmp_path / "x.txt").read_text(encoding="utf-8") == "new"


def test_two_writers_of_a_file_do_not_mix(tmp_path: Path):
    process = writing(tmp_path / "x.txt")
    write_text(tmp_path / "x.txt", "new")
    assert names(tmp_path) == [".x.txt.tmp", "x.txt"]  # the other one goes on
    assert (tmp_path / "x.txt").read_text(encoding="utf-8") == "new"
    assert (tmp_path / ".x.txt.tmp").read_text(encoding="utf-8") == "half of something long"
    process.kill()
    process.wait()


def test_without_locks_a_file_is_written_all_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def without_locks(*_: object) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", without_locks)
    with replacing(tmp_path / "x.txt") as temporary:
        temporary.write_text("new", encoding="utf-8")
    assert names(tmp_path) == ["x.txt"]
    assert (tmp_path / "x.txt").read_text(encoding="utf-8") == "new"


def test_records_that_break_off_are_not_written(tmp_path: Path):
    def broken() -> Iterator[SetAside]:
        yield ROWS[0]
        raise RuntimeError("no more")

    with pytest.raises(RuntimeError):
        write_records(tmp_path / "x.jsonl", broken())
    assert names(tmp_path) == []


def test_records_come_back_as_they_were(tmp_path: Path):
    question = Question("q", "v.mp4", "é?", ("A. a", "B. b"), "multiple choice", "A", "test", {"dim": "speed"})
    write_records(tmp_path / "x.jsonl", [question])
    assert read_records(tmp_path / "x.jsonl", Question) == [question]


def test_a_record_is_one_readable_line(tmp_path: Path):
    write_records(tmp_path / "x.jsonl", ROWS)
    assert (tmp_path / "x.jsonl").read_text(encoding="utf-8") == (
        '{"row": "a[0]", "reason": "größer"}\n{"row": "a[1]", "reason": "no video"}\n'
    )


NOT_ONE = "not a SetAside: fields missing or unknown: "
BROKEN = [
    ('{"row": "a[1]"', "Expecting ',' delimiter: ", "a line cut off"),
    ("", "Expecting value: ", "an empty line"),
    ('{"row": "a[1]"}', f"{NOT_ONE}reason; remove the file", "a field is missing"),
    ('{"row": "a[1]", "reason": "r", "why": 1}', f"{NOT_ONE}why; remove the file", "a field too many"),
    ('{"rows": "a[1]", "reason": "r"}', f"{NOT_ONE}row, rows; remove the file", "a field by another name"),
]


@pytest.mark.parametrize(("text", "what", "reason"), BROKEN, ids=[row[2] for row in BROKEN])
def test_a_broken_line_is_named_by_file_and_number(tmp_path: Path, text: str, what: str, reason: str):
    path = tmp_path / "x.jsonl"
    whole = '{"row": "a[0]", "reason": "r"}\n'
    path.write_text(f"{whole}{text}\n{whole}", encoding="utf-8")
    with pytest.raises(UserError) as caught:
        read_records(path, SetAside)
    assert str(caught.value).startswith(f"{path}:2: {what}"), reason
    assert str(caught.value).endswith("; remove the file and run again")


@pytest.mark.parametrize("text", ["7", "null", '"row"', "[]", '["row"]', '["row", "reason"]'])
def test_a_line_that_is_json_but_no_record_is_named(tmp_path: Path, text: str):
    path = tmp_path / "x.jsonl"
    path.write_text(text + "\n", encoding="utf-8")
    with pytest.raises(UserError) as caught:
        read_records(path, SetAside)
    assert str(caught.value).startswith(f"{path}:1: ")


def test_a_line_that_is_no_text_is_an_error_of_one_line(tmp_path: Path):
    path = tmp_path / "x.jsonl"
    path.write_bytes(b'{"row": "a[0]", "reason": "\xff\xfe"}\n')
    with pytest.raises(UserError) as caught:
        read_records(path, SetAside)
    assert str(caught.value).startswith(f"{path}:")


def test_missing_files_are_named(tmp_path: Path):
    for read in (read_json, lambda path: read_records(path, SetAside)):
        with pytest.raises(UserError) as caught:
            read(tmp_path / "none.json")
        assert str(caught.value) == f"{tmp_path / 'none.json'}: no such file"


@pytest.mark.parametrize("content", [b"", b"{", b'{"a": 1}}', b'"\xff"'], ids=["empty", "cut off", "too long", "bytes"])
def test_what_is_no_json_says_so(tmp_path: Path, content: bytes):
    path = tmp_path / "x.json"
    path.write_bytes(content)
    with pytest.raises(UserError) as caught:
        read_json(path)
    text = str(caught.value)
    assert text.startswith(f"{path}: not JSON (")
    assert text.endswith("); remove it and run again")


def test_json_is_for_people_too(tmp_path: Path):
    write_json(tmp_path / "x.json", {"b": "ü", "a": [1]})
    text = (tmp_path / "x.json").read_text(encoding="utf-8")
    assert text == '{\n  "b": "ü",\n  "a": [\n    1\n  ]\n}\n'
    assert read_json(tmp_path / "x.json") == {"b": "ü", "a": [1]}


# Histories.

LINES = b'{"a": 1}\n{"a": 2}\n{"a": 3}\n'

CUTS = [
    (LINES, None, 3, LINES, "whole lines stay"),
    (LINES + b'{"a": 4', None, 3, LINES, "half a line goes"),
    (LINES + b'{"a": 4}', None, 3, LINES, "whole JSON without its newline goes: more might have followed"),
    (LINES + b"\x00\x00\n", None, 3, LINES, "a hole that a crashed file system left goes"),
    (LINES[:9] + b"{half}\n" + LINES, None, 1, LINES[:9], "nothing after a broken line can be trusted"),
    (LINES, 2, 2, LINES[:18], "a resumed run keeps the lines up to its checkpoint"),
    (LINES, 0, 0, b"", "or none"),
    (LINES, 3, 3, LINES, "or all"),
    (LINES + b'{"a"', 2, 2, LINES[:18], "half a line beyond is gone too"),
    (LINES + b'{"a"', 9, 3, LINES, "more than there are: what is whole"),
    (b"", None, 0, b"", "an empty file"),
    (b'{"a"', None, 0, b"", "nothing but half a line"),
]


@pytest.mark.parametrize(("content", "keep", "count", "left", "reason"), CUTS, ids=[row[4] for row in CUTS])
def test_whole_lines(tmp_path: Path, content: bytes, keep: int | None, count: int, left: bytes, reason: str):
    path = tmp_path / "history.jsonl"
    path.write_bytes(content)
    assert whole_lines(path, keep) == count, reason
    assert path.read_bytes() == left, reason


def test_no_history_has_no_lines(tmp_path: Path):
    assert whole_lines(tmp_path / "none.jsonl") == 0
    assert names(tmp_path) == []


# The folder of a job that resumes.

HOLD = """
import sys
from stgrpo.state import state_folder
with state_folder(sys.argv[1], "key"):
    print("held", flush=True)
    sys.stdin.read()
"""


@contextmanager
def holder(folder: Path, job: str | None = None) -> Iterator[subprocess.Popen]:
    """Another process that works in the folder until the block ends."""
    environment = {name: value for name, value in os.environ.items() if name != "SLURM_JOB_ID"}
    environment["PYTHONPATH"] = os.pathsep.join(path for path in sys.path if path)
    if job:
        environment["SLURM_JOB_ID"] = job
    command = [sys.executable, "-c", HOLD, str(folder)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, env=environment) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        try:
            yield process
        finally:
            process.kill()


@pytest.mark.parametrize(("job", "more"), [(None, ""), ("4711", ", Slurm job 4711")])
def test_a_second_process_is_refused_and_told_who_works_there(tmp_path: Path, job: str | None, more: str):
    with holder(tmp_path, job) as process, pytest.raises(UserError) as caught, state_folder(tmp_path, "key"):
        pass
    who = f"process {process.pid} on {socket.gethostname()}{more}"
    assert str(caught.value) == f"{tmp_path}: in use by {who}; wait for it, or end it, and run again"


def test_a_killed_holder_holds_nothing(tmp_path: Path):
    with holder(tmp_path) as process:
        process.send_signal(signal.SIGKILL)
        process.wait()
        with state_folder(tmp_path, "key") as folder:
            assert folder == tmp_path


def test_a_refused_process_changes_nothing(tmp_path: Path):
    with holder(tmp_path):
        (tmp_path / "train.jsonl").write_bytes(LINES)
        with pytest.raises(UserError), state_folder(tmp_path, "another key"):
            pass
        assert names(tmp_path) == ["key.json", "lock", "train.jsonl"]


def test_the_same_key_finds_its_state(tmp_path: Path):
    with state_folder(tmp_path / "state", "one") as folder:
        (folder / "train.jsonl").write_bytes(LINES)
    with state_folder(tmp_path / "state", "one") as folder:
        assert (folder / "train.jsonl").read_bytes() == LINES


def leave(folder: Path, key: str, text: str) -> None:
    """What a killed job of this key leaves: a history and a checkpoint."""
    with state_folder(folder, key):
        (folder / "train.jsonl").write_text(text, encoding="utf-8")
        (folder / "checkpoint-20").mkdir()
        (folder / "checkpoint-20" / "weights").write_text(text, encoding="utf-8")


def test_another_key_s_state_is_moved_aside_and_not_resumed(tmp_path: Path, capsys: pytest.CaptureFixture):
    leave(tmp_path, "one", "first")
    with state_folder(tmp_path, "two"):
        assert names(tmp_path) == ["key.json", "lock", "other-one"]
        assert (tmp_path / "other-one" / "train.jsonl").read_text(encoding="utf-8") == "first"
        assert (tmp_path / "other-one" / "checkpoint-20" / "weights").read_text(encoding="utf-8") == "first"
    assert json.loads((tmp_path / "key.json").read_text(encoding="utf-8")) == {"key": "two"}
    told = f"{tmp_path}: holds the state of another spec, input or code; moved to other-one, starting anew\n"
    assert capsys.readouterr().out == told


def test_a_user_may_go_back_and_forth_between_two_specs(tmp_path: Path):
    """The second time, a folder of this name was moved aside before."""
    for key in ("one", "two", "one", "two"):
        leave(tmp_path, key, key)
    with state_folder(tmp_path, "three"):
        assert not (tmp_path / "checkpoint-20").exists()


def test_state_without_a_key_is_nobody_s(tmp_path: Path):
    """A job may be killed while it moves another's state aside, its key first."""
    leave(tmp_path, "one", "first")
    (tmp_path / "key.json").unlink()
    with state_folder(tmp_path, "two"):
        assert not (tmp_path / "checkpoint-20").exists()
        assert not (tmp_path / "train.jsonl").exists()


def test_a_pruned_folder_holds_nothing_but_its_lock(tmp_path: Path):
    leave(tmp_path, "one", "first")
    with state_folder(tmp_path, "one") as folder:
        prune(folder)
        assert names(folder) == ["lock"]


def test_a_job_s_key_is_stable_and_short(tmp_path: Path):
    (tmp_path / "a").write_bytes(b"content")
    found = {job_key("spec", hashes([tmp_path / "a"]).values()) for _ in range(2)}
    assert len(found) == 1
    assert len(found.pop()) == 16


def test_a_job_s_key_follows_spec_and_content_and_no_path(tmp_path: Path):
    for name, content in (("a", b"content"), ("same", b"content"), ("other", b"contend")):
        (tmp_path / name).write_bytes(content)
    key = job_key("spec", hashes([tmp_path / "a"]).values())
    assert job_key("spec", hashes([tmp_path / "same"]).values()) == key
    assert job_key("spec", hashes([tmp_path / "other"]).values()) != key
    assert job_key("spec", []) != key
    assert job_key("spec2", hashes([tmp_path / "a"]).values()) != key


def test_a_job_s_key_follows_the_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("stgrpo.state._CODE", tmp_path)
    (tmp_path / "x.py").write_text("1", encoding="utf-8")
    before = job_key("spec", [])
    (tmp_path / "x.py").write_text("2", encoding="utf-8")
    assert job_key("spec", []) != before
