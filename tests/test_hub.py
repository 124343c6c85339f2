"""Fetching from the Hub, by its real client and from a server that speaks its protocol and fails on command.

Each fetch ends whole and verified, or with one line that says what to do, and then nothing stands under a final name.
"""

import errno
import hashlib
import io
import json
import os
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from hub_server import HubServer, point_client_at
from huggingface_hub import constants
from support import copy_of_the_tree

from stgrpo.__main__ import main
from stgrpo.data import downloads, hub
from stgrpo.data.hub import HubFile
from stgrpo.files import read_json, write_json

REPOSITORY = "owner/corpus"
TOKEN = "hf_secret0123456789"
RECORDS = b'[{"id": 1}]'
VIDEO = bytes(range(256)) * 12_000  # 3 MB


def packed(members: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in members.items():
            archive.writestr(zipfile.ZipInfo(name), content)
    return buffer.getvalue()


ARCHIVE = packed({"v/a.mp4": VIDEO})
FILES = {"clips/a.zip": ARCHIVE, "records.json": RECORDS}  # in LFS, and not
ALL = {**FILES, "clips/v/a.mp4": VIDEO}


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[HubServer]:
    """A Hub with one repository; in it also a file that nobody asks for."""
    for path, content in {**FILES, "huge.bin": b"not wanted"}.items():
        (tmp_path / "hub" / REPOSITORY / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "hub" / REPOSITORY / path).write_bytes(content)
    with HubServer(tmp_path / "hub") as running:
        point_client_at(running, monkeypatch)
        yield running


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Seconds that would have been waited between two attempts."""
    slept: list[float] = []
    monkeypatch.setattr(hub, "time", SimpleNamespace(sleep=slept.append))
    return slept


def words(folder: Path, **row: object) -> list[str]:
    source = {"name": "corpus", "repository": REPOSITORY, "type": "dataset", "licence": "MIT"}
    source |= {"patterns": ["records.json", "clips/*.zip"], **row}
    lock, out = folder / "locks/corpus.json", folder / "got/corpus.json"
    return ["fetch", "--source", json.dumps(source), "--lock", str(lock), "--out", str(out)]


@pytest.fixture
def refused(tmp_path: Path, capsys: pytest.CaptureFixture) -> Callable[..., str]:
    """The one line that a fetch ends with; nothing is there that is not whole."""

    def run(**row: object) -> str:
        capsys.readouterr()
        assert main(words(tmp_path, **row)) == 2
        error = capsys.readouterr().err
        assert error.count("\n") == 1
        assert not (tmp_path / "got/corpus.json").exists()
        there = contents(tmp_path)
        assert there == {path: ALL[path] for path in there}
        return error.removeprefix("fetch: ").removesuffix("\n")

    return run


def contents(folder: Path) -> dict[str, bytes]:
    """What stands under a final name."""
    root = folder / "got/corpus"
    found = [path for path in root.rglob("*") if path.is_file() and downloads.STATE not in path.parts]
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in found}


def parts(folder: Path) -> list[Path]:
    """What stands half."""
    state = folder / "got/corpus" / downloads.STATE
    return [path for path in state.iterdir() if path.name not in ("lock", "key.json")]


def locked(folder: Path) -> dict:
    return read_json(folder / "locks/corpus.json")


def fetched(folder: Path, **row: object) -> None:
    """All of it, whole."""
    assert main(words(folder, **row)) == 0
    assert contents(folder) == ALL
    assert parts(folder) == []
    assert all(len(entry["sha256"]) == 64 for entry in locked(folder)["files"])


# What goes well.


def test_the_first_fetch_writes_a_lock_and_says_what_it_will_be(server, tmp_path: Path, capsys):
    fetched(tmp_path)
    lines = capsys.readouterr().out.splitlines()
    size = len(ARCHIVE) + len(RECORDS)
    commit = server.commit(REPOSITORY)
    assert lines[0] == f"{REPOSITORY} at {commit[:12]}: 0 files, 0 B are there; to fetch: 2 files, 3.07 MB"
    assert lines[-1] == f"{tmp_path / 'got/corpus'}: 2 files, 3.07 MB, checked"
    files = [
        {"path": path, "size": len(FILES[path]), "sha256": hashlib.sha256(FILES[path]).hexdigest()}
        for path in ("clips/a.zip", "records.json")
    ]
    assert locked(tmp_path) == {
        "source": "corpus",
        "repository": REPOSITORY,
        "type": "dataset",
        "commit": commit,
        "patterns": ["records.json", "clips/*.zip"],
        "files": files,
    }
    found = read_json(tmp_path / "got/corpus.json")
    assert (found["commit"], found["files"]) == (commit, files)
    assert server.sent() == size


def test_a_second_fetch_asks_the_hub_for_nothing(server, tmp_path: Path, capsys):
    fetched(tmp_path)
    before = len(server.requests)
    times = {path: (tmp_path / "got/corpus" / path).stat().st_mtime_ns for path in ALL}
    fetched(tmp_path)
    assert len(server.requests) == before
    assert {path: (tmp_path / "got/corpus" / path).stat().st_mtime_ns for path in ALL} == times
    assert "2 files, 3.07 MB are there; to fetch: 0 files, 0 B" in capsys.readouterr().out


def test_only_what_is_missing_or_damaged_comes_again(server, tmp_path: Path):
    fetched(tmp_path)
    (tmp_path / "got/corpus/records.json").write_bytes(b"X" * len(RECORDS))
    server.requests.clear()
    fetched(tmp_path)
    assert server.sent() == len(RECORDS)


def test_models_have_other_addresses(server, tmp_path: Path):
    fetched(tmp_path, type="model")
    assert server.requests[0].url == f"/api/models/{REPOSITORY}?blobs=true"


def test_more_patterns_keep_the_commit(server, tmp_path: Path):
    first = server.commit(REPOSITORY)
    fetched(tmp_path)
    server.change(REPOSITORY, "huge.bin", b"changed")
    assert main(words(tmp_path, patterns=["*.json", "clips/*.zip", "*.bin"])) == 0
    assert locked(tmp_path)["commit"] == first
    assert contents(tmp_path) == {**ALL, "huge.bin": b"not wanted"}


def test_a_range_of_a_file(server, waits):
    snapshot = hub.open_snapshot(REPOSITORY, "dataset")
    files = {file.path: file for file in snapshot.files}
    assert snapshot.read(files["clips/a.zip"], 1000, 2_000_000) == ARCHIVE[1000:2_000_000]
    assert snapshot.read(files["records.json"], 2, 6) == RECORDS[2:6]
    assert snapshot.read(files["records.json"], 2, 2) == b""
    server.requests.clear()
    server.fail(f"{REPOSITORY}/clips/a.zip", cut=700_000)
    assert snapshot.read(files["clips/a.zip"], 1000, 2_000_000) == ARCHIVE[1000:2_000_000]
    assert server.sent() == 1_999_000
    assert waits == [1, 1]


# What is interrupted.


def test_a_killed_fetch_goes_on_with_the_same_commit_and_the_bytes_it_has(server, tmp_path: Path):
    first = server.commit(REPOSITORY)
    server.fail(f"{REPOSITORY}/clips/a.zip", pause=0.02)
    process = subprocess.Popen([sys.executable, "-m", "stgrpo", *words(tmp_path)], env=environment(server, tmp_path))
    while server.sent(f"{REPOSITORY}/clips/a.zip") < 1_000_000:
        time.sleep(0.01)
    process.kill()
    process.wait()
    assert "clips/a.zip" not in contents(tmp_path)
    (part,) = [path for path in parts(tmp_path) if path.name.endswith("a.zip")]
    kept = part.stat().st_size
    assert kept > 500_000
    assert ARCHIVE.startswith(part.read_bytes())
    server.heal()
    server.requests.clear()
    server.change(REPOSITORY, "clips/a.zip", packed({"v/a.mp4": b"another video"}))
    fetched(tmp_path)
    assert locked(tmp_path)["commit"] == first
    assert server.sent(f"{REPOSITORY}/clips/a.zip") == len(ARCHIVE) - kept


def test_what_an_earlier_run_left_damaged_comes_again(server, tmp_path: Path):
    leave(tmp_path, b"X" * 1000)
    fetched(tmp_path)
    assert server.sent(f"{REPOSITORY}/clips/a.zip") == 2 * len(ARCHIVE) - 1000


def test_what_was_left_of_another_content_is_not_gone_on_with(server, tmp_path: Path):
    leave(tmp_path, ARCHIVE[:1000], sha256="0" * 64)
    fetched(tmp_path)
    assert server.sent(f"{REPOSITORY}/clips/a.zip") == len(ARCHIVE)


def leave(folder: Path, content: bytes, sha256: str = hashlib.sha256(ARCHIVE).hexdigest()) -> Path:
    """As a killed fetch leaves the archive."""
    state = folder / "got/corpus" / downloads.STATE
    write_json(state / "key.json", {"key": "fetch"})
    part = downloads._part(state, HubFile("clips/a.zip", len(ARCHIVE), sha256))
    part.write_bytes(content)
    return part


@pytest.mark.parametrize("reset", [False, True], ids=["ended", "reset"])
def test_a_connection_that_is_cut_again_and_again(server, tmp_path: Path, waits, reset: bool):
    server.fail(f"{REPOSITORY}/clips/a.zip", cut=400_000, reset=reset)
    fetched(tmp_path)
    if not reset:  # what was on its way when a connection is reset comes again
        assert server.sent(f"{REPOSITORY}/clips/a.zip") == len(ARCHIVE)
        assert waits == [1] * 7


def test_a_server_that_says_nothing_for_too_long_is_asked_again(server, tmp_path: Path, waits, monkeypatch):
    monkeypatch.setattr(constants, "HF_HUB_DOWNLOAD_TIMEOUT", 0.3)
    server.fail(f"{REPOSITORY}/clips/a.zip", pause=1.0, times=1)
    fetched(tmp_path)
    assert waits == [1]


@pytest.mark.parametrize(
    "headers", [{"Retry-After": "7"}, {"RateLimit": '"resolvers";r=0;t=6'}], ids=["seconds", "the Hub's own"]
)
def test_too_many_requests_wait_as_long_as_the_server_asks(server, tmp_path: Path, waits, capsys, headers: dict):
    server.fail(f"{REPOSITORY}/clips/a.zip", status=429, headers=headers, times=2)
    fetched(tmp_path)
    assert waits == [7, 7]
    assert f"{REPOSITORY}/clips/a.zip: HTTP 429; goes on in 7 s\n" in capsys.readouterr().out


@pytest.mark.parametrize("where", [REPOSITORY, f"{REPOSITORY}/clips/a.zip", f"{REPOSITORY}/records.json"])
def test_errors_of_the_server_pass(server, tmp_path: Path, waits, where: str):
    server.fail(where, status=500, times=3)
    fetched(tmp_path)
    assert waits == [1, 2, 4]


def test_errors_of_the_second_address_pass(server, tmp_path: Path, waits):
    server.fail(f"{REPOSITORY}/clips/a.zip", status=503, times=1, cdn=True)
    fetched(tmp_path)
    assert waits == [1]


def test_errors_that_do_not_pass_end_it_and_what_has_come_stays(server, tmp_path: Path, waits, refused):
    server.fail(f"{REPOSITORY}/clips/a.zip", status=500)
    assert (
        refused() == f"{REPOSITORY}/clips/a.zip: the Hub answers with HTTP 500; run again later, it goes on from there"
    )
    assert waits == [1, 2, 4, 8, 16]
    server.heal()
    fetched(tmp_path)


# What differs.


def test_a_file_that_changed_upstream_comes_as_it_was_locked(server, tmp_path: Path):
    fetched(tmp_path)
    lock = locked(tmp_path)
    server.change(REPOSITORY, "clips/a.zip", packed({"v/a.mp4": b"another video"}))
    (tmp_path / "got/corpus/clips/a.zip").unlink()
    fetched(tmp_path)
    assert locked(tmp_path) == lock


def test_deleting_the_lock_accepts_what_the_hub_has_now(server, tmp_path: Path):
    fetched(tmp_path)
    changed = server.change(REPOSITORY, "records.json", b"[]")
    (tmp_path / "locks/corpus.json").unlink()
    assert main(words(tmp_path)) == 0
    assert contents(tmp_path) == {**ALL, "records.json": b"[]"}
    assert locked(tmp_path)["commit"] == changed


@pytest.mark.parametrize("whole", [True, False], ids=["whole", "interrupted"])
def test_a_locked_commit_that_is_gone(server, tmp_path: Path, refused, whole: bool):
    fetched(tmp_path)
    (tmp_path / "got/corpus.json").unlink()
    path, first = tmp_path / "locks/corpus.json", server.commit(REPOSITORY)
    if not whole:
        lock = locked(tmp_path)
        del lock["files"][1]["sha256"]
        write_json(path, lock)
    server.change(REPOSITORY, "records.json", b"[]")
    server.forget(REPOSITORY, first)
    if whole:  # nothing has to be asked
        fetched(tmp_path)
        (tmp_path / "got/corpus.json").unlink()
        (tmp_path / "got/corpus/records.json").unlink()
    assert refused() == (
        f"{path}: {REPOSITORY} no longer has commit {first[:12]}; delete the lock to accept the repository as it is now"
    )


def test_a_file_that_is_not_the_locked_one(server, tmp_path: Path, refused):
    fetched(tmp_path)
    path, lock = tmp_path / "locks/corpus.json", locked(tmp_path)
    (tmp_path / "got/corpus.json").unlink()
    lock["files"][1]["sha256"] = "0" * 64  # of records.json, whose hash only the lock knows
    write_json(path, lock)
    found = hashlib.sha256(RECORDS).hexdigest()[:12]
    assert refused() == (
        f"{REPOSITORY}/records.json: not what it should be (sha256 {found}..., expected 11 bytes of sha256 "
        f"{'0' * 12}...); run again; if it stays so, delete {path} to accept what the Hub has now"
    )
    del lock["files"][1]["sha256"]
    lock["files"][0]["sha256"] = "0" * 64  # of the archive, which the Hub lists
    write_json(path, lock)
    found, size = hashlib.sha256(ARCHIVE).hexdigest()[:12], len(ARCHIVE)
    assert refused() == (
        f"{REPOSITORY}/clips/a.zip: {size} bytes (sha256 {found}...) at commit {lock['commit'][:12]}, but {size} bytes "
        f"(sha256 {'0' * 12}...) in {path}; delete the lock to accept what the Hub has now"
    )


@pytest.mark.parametrize("name", FILES)
def test_a_wrong_hash(server, tmp_path: Path, refused, name: str):
    """By the SHA-256 of a file in LFS, by git's own hash of another."""
    server.fail(f"{REPOSITORY}/{name}", spoil=True)
    spoilt = FILES[name][:-1] + bytes([FILES[name][-1] ^ 1])
    blob = subprocess.run(["git", "hash-object", "--stdin"], input=FILES[name], capture_output=True, check=True).stdout
    wanted = "sha256 " + hashlib.sha256(ARCHIVE).hexdigest() if name == "clips/a.zip" else "git blob " + blob.decode()
    assert refused() == (
        f"{REPOSITORY}/{name}: not what it should be (sha256 {hashlib.sha256(spoilt).hexdigest()[:12]}..., expected "
        f"{len(FILES[name])} bytes of {wanted[:19]}...); run again; if it stays so, delete "
        f"{tmp_path / 'locks/corpus.json'} to accept what the Hub has now"
    )
    assert name not in contents(tmp_path)
    assert [path for path in parts(tmp_path) if path.name.endswith(Path(name).name)] == []
    server.heal()
    fetched(tmp_path)


def test_a_body_that_is_truncated_once_is_completed(server, tmp_path: Path, waits):
    server.fail(f"{REPOSITORY}/clips/a.zip", short=1_000_000, times=1)
    fetched(tmp_path)
    assert server.sent(f"{REPOSITORY}/clips/a.zip") == len(ARCHIVE)


def test_a_file_that_is_shorter_than_listed(server, tmp_path: Path, refused, waits):
    server.fail(f"{REPOSITORY}/clips/a.zip", short=1_000_000)
    assert refused() == f"{REPOSITORY}/clips/a.zip: shorter than the Hub's list says (416); run again later"
    server.heal()
    fetched(tmp_path)


# What is not given.


def test_401_without_and_with_a_token(server, refused, monkeypatch):
    page = f"{server.url}/datasets/{REPOSITORY}"
    server.fail(REPOSITORY, status=401)
    assert refused() == f"{REPOSITORY}: private, or no such dataset (401); see {page}, or export HF_TOKEN=..."
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    assert refused() == (
        f"{REPOSITORY}: the Hub does not know the token in HF_TOKEN (401); set one of "
        "https://huggingface.co/settings/tokens"
    )


@pytest.mark.parametrize("status", [401, 403])
def test_what_is_gated_names_the_page_and_the_variable(server, tmp_path: Path, refused, status: int):
    """The Hub lists such a repository to everybody; only its files are kept back."""
    server.fail(f"{REPOSITORY}/clips/a.zip", status=status, code="GatedRepo")
    assert refused() == (
        f"{REPOSITORY}/clips/a.zip: gated ({status}); accept its terms at {server.url}/datasets/{REPOSITORY}, "
        "export HF_TOKEN=... (of that account) and run again"
    )
    server.heal()
    fetched(tmp_path)


def test_403_without_and_with_a_token(server, refused, monkeypatch):
    server.fail(f"{REPOSITORY}/records.json", status=403)
    page = f"{server.url}/datasets/{REPOSITORY}"
    assert refused() == f"{REPOSITORY}/records.json: forbidden for who sends no HF_TOKEN (403); see {page}"
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    assert refused() == f"{REPOSITORY}/records.json: forbidden for the account of HF_TOKEN (403); see {page}"


def test_no_such_repository(server, refused, monkeypatch):
    page = f"{server.url}/datasets/owner/corpse"
    line = refused(repository="owner/corpse")
    assert line == f"owner/corpse: private, or no such dataset (401); see {page}, or export HF_TOKEN=..."
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    assert refused(repository="owner/corpse") == (
        "owner/corpse: no such dataset, or a private one (404); correct workflow/resources/sources.csv"
    )
    assert refused(repository="not a name").startswith("not a name: Repo id must use alphanumeric chars")


def test_no_such_file(server, refused):
    server.fail(f"{REPOSITORY}/records.json", status=404, code="EntryNotFound")
    page = f"{server.url}/datasets/{REPOSITORY}/tree/main"
    assert refused() == f"{REPOSITORY}/records.json: no such file (404); see {page}"


def test_patterns_that_match_nothing(server, refused):
    commit = server.commit(REPOSITORY)[:12]
    assert refused(patterns=["records.json", "*.parquet"]) == f"{REPOSITORY} at {commit}: no file matches *.parquet"


def test_a_list_that_points_outside_its_folder(server, tmp_path: Path, refused):
    server.change(REPOSITORY, "../../evil.json", b"evil")
    assert refused(patterns=["*.json"]) == (
        f"{REPOSITORY}: '../../evil.json' points outside its folder; report it to its owner"
    )
    assert list(tmp_path.rglob("evil.json")) == []


def test_no_network(server, refused, waits, monkeypatch):
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    assert refused() == (
        f"{REPOSITORY}: http://127.0.0.1:9 cannot be reached ([Errno 111] Connection refused); check the network, its "
        "proxy and HF_ENDPOINT"
    )
    assert len(waits) == 5


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ALL_PROXY", "socks5://user:secret@127.0.0.1:1"),
        ("ALL_PROXY", "gopher://user:secret@127.0.0.1:1"),
        ("HTTPS_PROXY", "http://user:secret#word@127.0.0.1:1"),
        ("SSL_CERT_FILE", "/nonexistent.pem"),
        ("SSL_CERT_FILE", __file__),
    ],
    ids=["needs a package", "no such protocol", "no address", "no certificates", "no certificates in it"],
)
@pytest.mark.parametrize("known", [False, True], ids=["unlocked", "locked"])
def test_a_proxy_or_certificates_that_cannot_be_used(server, tmp_path: Path, name: str, value: str, known: bool):
    """The first fetch asks for a list, one with a whole lock for files at once. No password is shown."""
    if known:
        fetched(tmp_path)
        (tmp_path / "got/corpus/records.json").unlink()
    around = environment(server, tmp_path, **{name: value})
    done = subprocess.run(
        [sys.executable, "-m", "stgrpo", *words(tmp_path)], env=around, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (
        2,
        "fetch: the proxy or the certificates that are set cannot be used; correct or unset ALL_PROXY, HTTPS_PROXY, "
        "HTTP_PROXY, NO_PROXY, SSL_CERT_FILE or SSL_CERT_DIR (proxies: http://... or https://...)\n",
    )
    assert "secret" not in done.stdout


def test_an_address_that_is_none(server, refused, monkeypatch):
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:x")
    assert refused() == (
        f"{REPOSITORY}: http://127.0.0.1:x cannot be reached (no valid address); check the network, its proxy and "
        "HF_ENDPOINT"
    )


def test_a_network_that_was_switched_off(server, refused, monkeypatch):
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert refused() == f"{REPOSITORY}: HF_HUB_OFFLINE or TRANSFORMERS_OFFLINE is set; unset both to fetch"


@pytest.mark.parametrize(
    ("text", "what"),
    [("[]", "as a whole: Input should be"), ('{"source": "corpus"}', "repository: Field required")],
    ids=["no object", "half"],
)
def test_a_lock_that_is_none(server, tmp_path: Path, refused, text: str, what: str):
    path = tmp_path / "locks/corpus.json"
    path.parent.mkdir()
    path.write_text(text)
    line = refused()
    assert line.startswith(f"{path}: no lock of a source ({what}")
    assert line.endswith("); restore it, or delete it to fetch anew")


def test_a_lock_of_another_repository(server, tmp_path: Path, refused):
    fetched(tmp_path)
    (tmp_path / "got/corpus.json").unlink()
    assert refused(repository="owner/other") == (
        f"{tmp_path / 'locks/corpus.json'}: locks the dataset {REPOSITORY}, the table of sources names the dataset "
        "owner/other; delete the lock to fetch that"
    )


# The disk.


def test_what_will_not_fit_is_refused_before_it_comes(server, tmp_path: Path, refused, monkeypatch):
    usage = downloads.shutil.disk_usage(tmp_path)._replace(free=2_000_000)
    monkeypatch.setattr(downloads.shutil, "disk_usage", lambda _: usage)
    assert refused() == (
        f"{tmp_path / 'got/corpus'}: 3.07 MB are to come, 2 MB are free; free some, "
        "or make resources/ a link to a larger disk"
    )
    assert server.sent() == 0


def test_a_disk_that_fills_up(server, tmp_path: Path, refused):
    part = leave(tmp_path, b"")
    part.unlink()
    part.symlink_to("/dev/full")
    assert refused() == f"{tmp_path / 'got/corpus/clips/a.zip'}: no space left on the disk; free some and run again"
    part.unlink()
    fetched(tmp_path)


@pytest.mark.parametrize("name", ["locks", "got"])
def test_a_folder_that_cannot_be_made_is_named(server, tmp_path: Path, refused, name: str):
    (tmp_path / name).write_text("a file")
    line = refused()
    assert line.startswith(f"{tmp_path / name}")
    assert line.endswith("; see that it can be read and written, and run again")
    (tmp_path / name).unlink()
    fetched(tmp_path)


def test_a_folder_that_may_not_be_written_is_named(server, tmp_path: Path, refused, monkeypatch):
    """Even root may write nowhere in some; here mkdir says what it says there."""

    def mkdir(path: Path, *_: object, **__: object) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))

    with monkeypatch.context() as patched:
        patched.setattr(Path, "mkdir", mkdir)
        assert (
            refused() == f"{tmp_path / 'locks'}: Permission denied; see that it can be read and written, and run again"
        )
    fetched(tmp_path)


# The token.


def environment(server: HubServer, home: Path, **more: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "TRANSFORMERS_"))}
    root = Path(__file__).parent.parent
    return kept | {"HOME": str(home), "HF_ENDPOINT": server.url, "PYTHONPATH": str(root)} | more


def test_the_token_goes_to_the_hub_and_nowhere_else(server, tmp_path: Path):
    """In the client's wordiest mode, with an error at the end: no output, file or process list has it, nor the CDN."""
    server.fail(f"{REPOSITORY}/clips/a.zip", cut=1_000_000, times=1)
    server.fail(f"{REPOSITORY}/records.json", status=403, code="GatedRepo")
    home = tmp_path / "home"
    home.mkdir()
    wordy = environment(server, home, HF_TOKEN=TOKEN + "\n", HF_DEBUG="1")
    with (tmp_path / "log").open("w") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "stgrpo", *words(tmp_path)], env=wordy, stdout=log, stderr=log
        )
        shown = []
        while process.poll() is None:
            for path in Path("/proc").glob("[0-9]*/cmdline"):
                try:
                    shown.append(path.read_bytes())
                except (FileNotFoundError, ProcessLookupError):
                    continue
            time.sleep(0.02)
    assert process.returncode == 2
    assert any(b"stgrpo" in line for line in shown)
    assert not any(TOKEN.encode() in line for line in shown)
    text = (tmp_path / "log").read_text()
    assert "export HF_TOKEN=..." in text
    assert "<TOKEN>" in text  # the client did tell its requests
    for path in tmp_path.rglob("*"):
        assert not (path.is_file() and TOKEN.encode() in path.read_bytes()), path
    assert list(home.rglob("*")) == []  # no cache, no token
    told = {request.address: request.headers.get("authorization") for request in server.requests}
    assert told == {"hub": f"Bearer {TOKEN}", "cdn": None}
    assert all("torch" not in request.headers["user-agent"] for request in server.requests)
    asked = (f"/api/datasets/{REPOSITORY}?", f"/datasets/{REPOSITORY}/resolve/")
    assert all(request.url.startswith(asked) for request in server.requests)  # no telemetry


def test_no_other_token_than_the_variables_is_sent(server, tmp_path: Path):
    (tmp_path / "huggingface").mkdir()
    (tmp_path / "huggingface/token").write_text(TOKEN)
    around = environment(server, tmp_path, HF_HOME=str(tmp_path / "huggingface"))
    assert subprocess.run([sys.executable, "-m", "stgrpo", *words(tmp_path)], env=around, check=False).returncode == 0
    assert contents(tmp_path) == ALL
    assert [request for request in server.requests if "authorization" in request.headers] == []


@pytest.mark.parametrize("token", ["hf_a\nhf_b", "hf_a b", "hf_…"], ids=["lines", "words", "letters"])
def test_a_token_that_is_none_is_not_shown(server, refused, monkeypatch, token: str):
    monkeypatch.setenv("HF_TOKEN", token)
    assert refused() == "HF_TOKEN: holds characters that no token has; copy it again"
    assert server.requests == []


# The demo's hub.


def test_the_demos_hub_comes_the_same_from_a_folder_and_from_the_server(tmp_path: Path, monkeypatch):
    from stgrpo.config import Corpus
    from stgrpo.demo.corpora import WRITERS

    WRITERS["mmvu"](tmp_path / "hub", Corpus(videos=3, seed=0))
    row = {"repository": "lmms-eval/MMVU", "patterns": ["data/*.parquet", "videos.zip"]}
    with HubServer(tmp_path / "hub") as server:
        point_client_at(server, monkeypatch)
        assert main(words(tmp_path, **row)) == 0
    served = contents(tmp_path)
    source = words(tmp_path, **row)[2]
    out = tmp_path / "again/got/corpus.json"
    assert main(["fetch", "--source", source, "--hub", str(tmp_path / "hub"), "--out", str(out)]) == 0
    assert contents(tmp_path / "again") == served
    assert read_json(out)["files"] == read_json(tmp_path / "got/corpus.json")["files"]


@pytest.mark.workflow
def test_snakemake_fetches_by_a_lock_that_it_does_not_delete(tmp_path: Path):
    """Fetched, and fetched again after the repository changed: the first commit, and only what is missing."""
    from stgrpo.config import Corpus
    from stgrpo.demo.corpora import WRITERS

    WRITERS["mmvu"](tmp_path / "hub", Corpus(videos=3, seed=0))
    clone = copy_of_the_tree(tmp_path / "clone")
    target, lock = "resources/paper/mmvu.json", clone / "workflow/resources/locks/mmvu.json"
    run = ["snakemake", target, "--cores=2", "--config", "scale=paper", "--forcerun", "fetch"]
    with HubServer(tmp_path / "hub") as server:
        around = environment(server, tmp_path) | {"PYTHONPATH": str(clone)}
        done = subprocess.run(run, cwd=clone, env=around, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        first, commit = read_json(clone / target), read_json(lock)["commit"]
        assert first["commit"] == commit == server.commit("lmms-eval/MMVU")
        assert (clone / "resources/paper/mmvu/videos.zip").is_file()
        server.change("lmms-eval/MMVU", "videos.zip", b"another archive")
        server.requests.clear()
        done = subprocess.run(run, cwd=clone, env=around, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        assert read_json(clone / target)["files"] == first["files"]
        assert [request.path for request in server.requests] == ["/"]  # whether anybody answers
