"""A Hub of one's own: a folder of repositories, served as the Hugging Face Hub serves them to its official client.

    with HubServer(folder) as server:           # <folder>/<owner>/<name>/..., as the demo writes its hub
        point_client_at(server, monkeypatch)    # or HF_ENDPOINT=server.url in the environment of a new process
        server.fail("owner/name/file.zip", cut=1000)

or, for a person: `python tests/hub_server.py FOLDER --port 8000`, then HF_ENDPOINT=http://127.0.0.1:8000.

What it speaks: a repository's commit and list of files; the files by `resolve`, with the Hub's headers, ranges, and a
redirect to a second address for those in LFS, where no token may arrive. The wanted misbehaviour is named path by path.
"""

import argparse
import json
import re
import socket
import struct
import sys
import threading
import time
from dataclasses import dataclass, field
from functools import cached_property
from hashlib import file_digest, sha1, sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO
from urllib.parse import quote, unquote, urlsplit

import pytest

LFS = {".zip", ".mp4", ".parquet", ".safetensors", ".bin", ".png"}  # and whatever is larger than:
SMALL = 1_000_000
MANIFEST = "manifest.json"  # the demo's own list, which the Hub does not have
_BLOCK = 1 << 16
_API = re.compile(r"/api/(?:models|datasets)/([^/]+/[^/]+)(?:/revision/([^/]+))?")
_FILE = re.compile(r"/(datasets/)?([^/]+/[^/]+)/resolve/([^/]+)/(.+)")


@dataclass
class Content:
    """A file at a commit: on the disk, or, where a test changed it, in memory."""

    origin: Path | bytes

    def open(self) -> BinaryIO:
        return BytesIO(self.origin) if isinstance(self.origin, bytes) else self.origin.open("rb")

    @cached_property
    def size(self) -> int:
        return len(self.origin) if isinstance(self.origin, bytes) else self.origin.stat().st_size

    @cached_property
    def sha256(self) -> str:
        with self.open() as stream:
            return file_digest(stream, "sha256").hexdigest()

    @cached_property
    def blob(self) -> str:
        """As git hashes it."""
        with self.open() as stream:
            return sha1(b"blob %d\0" % self.size + stream.read()).hexdigest()


@dataclass
class Fault:
    """What goes wrong with a path, and how many times it does.

    Attributes:
        status: the answer, with `code` as X-Error-Code and other `headers`.
        cdn: it is the second address that answers so.
        cut: bytes of a body after which the connection ends, whatever was announced; `reset` ends it rudely.
        short: bytes that the file has, less than its list says.
        spoil: the file's last byte is another one.
        pause: seconds before each block of 64 KiB.
    """

    status: int = 0
    code: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    cdn: bool = False
    cut: int | None = None
    reset: bool = False
    short: int | None = None
    spoil: bool = False
    pause: float = 0
    times: float = float("inf")


@dataclass
class Request:
    """What was asked and answered: `path` as `fail` takes it, `sent` bytes of a file."""

    address: str  # hub or cdn
    method: str
    url: str
    path: str
    headers: dict[str, str]
    status: int = 0
    sent: int = 0

    @property
    def range(self) -> str | None:
        return self.headers.get("range")


@dataclass
class Repository:
    """Its commits, oldest first, each a tree of files."""

    commits: dict[str, dict[str, Content]] = field(default_factory=dict)

    @property
    def head(self) -> str:
        return next(reversed(self.commits))

    def add(self, tree: dict[str, Content]) -> str:
        listed = json.dumps([(path, tree[path].size, tree[path].sha256) for path in sorted(tree)])
        commit = sha1(f"{len(self.commits)} {listed}".encode()).hexdigest()
        self.commits[commit] = tree
        return commit


class HubServer:
    """Serves until the block ends; faults and requests may be set and read while it does."""

    def __init__(self, folder: Path, port: int = 0) -> None:
        self.folder = Path(folder)
        self.requests: list[Request] = []
        self.faults: dict[str, Fault] = {}
        self._repositories: dict[str, Repository] = {}
        self._lock = threading.Lock()
        self._servers = [Server(("127.0.0.1", p), _handler(self, name)) for name, p in (("hub", port), ("cdn", 0))]
        self.url = f"http://127.0.0.1:{self._servers[0].server_port}"
        self.cdn = f"http://localhost:{self._servers[1].server_port}"  # another host, as for the real one

    def __enter__(self) -> "HubServer":
        for server in self._servers:
            threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        for server in self._servers:
            server.shutdown()
            server.server_close()

    def fail(self, path: str, **what: Any) -> Fault:
        """Make `owner/name/file`, or the list of `owner/name`, misbehave: see Fault."""
        self.faults[path] = Fault(**what)
        return self.faults[path]

    def heal(self) -> None:
        """All is well again."""
        self.faults.clear()

    def commit(self, name: str) -> str:
        """The newest commit of `owner/name`."""
        return self.repository(name).head

    def change(self, name: str, path: str, content: bytes | None) -> str:
        """A new commit in which a file has another content, or, without one, is gone; the folder stays as it is."""
        repository = self.repository(name)
        tree = dict(repository.commits[repository.head])
        tree.pop(path, None)
        return repository.add(tree if content is None else tree | {path: Content(content)})

    def forget(self, name: str, commit: str) -> None:
        """As if the history had been rewritten."""
        del self.repository(name).commits[commit]

    def sent(self, path: str = "") -> int:
        """Bytes of a file, or of all files, that left."""
        return sum(request.sent for request in self.requests if path in ("", request.path))

    def repository(self, name: str) -> Repository:
        """Raises KeyError where there is none."""
        with self._lock:
            if name not in self._repositories:
                root = self.folder / name
                files = [path for path in sorted(root.rglob("*")) if path.is_file() and path != root / MANIFEST]
                if not files:
                    raise KeyError(name)
                self._repositories[name] = made = Repository()
                made.add({path.relative_to(root).as_posix(): Content(path) for path in files})
            return self._repositories[name]

    def fault(self, path: str, wanted: str, cdn: bool = False) -> Fault | None:
        """The fault of a path, if it is of this kind and still to happen; asking counts."""
        with self._lock:
            fault = self.faults.get(path)
            if fault is None or not getattr(fault, wanted) or fault.times <= 0 or fault.cdn > cdn:
                return None
            fault.times -= 1
            return fault


def point_client_at(server: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the client of this process talk to `server`: it read its endpoint when it was imported."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "ENDPOINT", server.url)
    template = server.url + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.delenv("HF_TOKEN", raising=False)


def is_lfs(path: str, content: Content) -> bool:
    return PurePosixPath(path).suffix in LFS or content.size > SMALL


class Server(ThreadingHTTPServer):
    """A thread a connection."""

    def handle_error(self, *where: Any) -> None:
        """A client that leaves is no error."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(*where)


def _handler(server: HubServer, address: str) -> type[BaseHTTPRequestHandler]:
    return type("Handler", (Handler,), {"hub": server, "address": address})


class Handler(BaseHTTPRequestHandler):
    """One connection to the Hub or to its second address."""

    hub: HubServer
    address: str
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_message(self, *_: object) -> None:
        """What was asked stands in `requests`."""

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        path = unquote(urlsplit(self.path).path)
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.request_ = Request(self.address, self.command, self.path, path, headers)
        self.hub.requests.append(self.request_)
        try:
            if api := _API.fullmatch(path):
                self._list(api[1], api[2] or "main")
            elif found := _FILE.fullmatch(path):
                self._file(found[2], found[3], found[4])
            else:
                self._answer(404, {})
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True

    def _list(self, name: str, revision: str) -> None:
        self.request_.path = name
        found = self._tree(name, revision)
        if found is None or self._failed(name):
            return
        commit, tree = found
        listed = [_entry(path, content) for path, content in tree.items()]
        body = json.dumps({"_id": "0", "id": name, "sha": commit, "siblings": listed}).encode()
        self._head(200, {"Content-Type": "application/json", "Content-Length": str(len(body))})
        self.wfile.write(body)

    def _file(self, name: str, revision: str, path: str) -> None:
        self.request_.path = f"{name}/{path}"
        found = self._tree(name, revision)
        if found is None or self._failed(self.request_.path):
            return
        commit, tree = found
        if path not in tree:
            self._answer(404, {"X-Error-Code": "EntryNotFound", "X-Error-Message": "Entry not found"})
            return
        content = tree[path]
        headers = {"X-Repo-Commit": commit, "Accept-Ranges": "bytes"}
        if is_lfs(path, content):
            headers |= {"X-Linked-Size": str(content.size), "X-Linked-Etag": f'"{content.sha256}"'}
            if self.address == "hub":
                signed = f"{self.hub.cdn}{quote(urlsplit(self.path).path)}?Signature=secret"
                self._answer(302, headers | {"Location": signed, "ETag": '"redirect"'})
                return
        self._send(content, headers | {"ETag": f'"{content.sha256 if is_lfs(path, content) else content.blob}"'})

    def _tree(self, name: str, revision: str) -> tuple[str, dict[str, Content]] | None:
        """A commit and its files; None if the answer went out already."""
        try:
            repository = self.hub.repository(name)
        except KeyError:  # to strangers it may as well be private
            status = 404 if "authorization" in self.request_.headers else 401
            self._answer(status, {"X-Error-Code": "RepoNotFound", "X-Error-Message": "Repository not found"})
            return None
        commit = repository.head if revision == "main" else revision
        if commit not in repository.commits:
            self._answer(404, {"X-Error-Code": "RevisionNotFound", "X-Error-Message": f"Invalid rev id: {revision}"})
            return None
        return commit, repository.commits[commit]

    def _failed(self, path: str) -> bool:
        """Whether this request is to go wrong; then it has."""
        fault = self.hub.fault(path, "status", cdn=self.address == "cdn")
        if fault is None:
            return False
        self._answer(fault.status, fault.headers | ({"X-Error-Code": fault.code} if fault.code else {}))
        return True

    def _answer(self, status: int, headers: dict[str, str]) -> None:
        """Without a body."""
        self._head(status, {"Content-Length": "0"} | headers)

    def _head(self, status: int, headers: dict[str, str]) -> None:
        self.request_.status = status
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()

    def _send(self, content: Content, headers: dict[str, str]) -> None:
        """A file or a range of it."""
        path = self.request_.path
        short = self.hub.fault(path, "short")
        size = content.size if short is None or short.short is None else short.short
        start, stop, status = 0, size, 200
        if asked := re.fullmatch(r"bytes=(\d*)-(\d*)", self.request_.range or ""):
            first, last = asked.groups()
            start = int(first) if first else max(0, size - int(last))
            stop = min(size, int(last) + 1) if first and last else size
            if start >= size:
                self._answer(416, {"Content-Range": f"bytes */{size}"})
                return
            status = 206
            headers = headers | {"Content-Range": f"bytes {start}-{stop - 1}/{size}"}
        self._head(status, headers | {"Content-Length": str(stop - start)})
        if self.command == "GET":
            self._body(content, start, stop)

    def _body(self, content: Content, start: int, stop: int) -> None:
        path = self.request_.path
        spoil, cut, slow = (self.hub.fault(path, kind) for kind in ("spoil", "cut", "pause"))
        end = min(stop, start + cut.cut) if cut and cut.cut else stop
        with content.open() as stream:
            stream.seek(start)
            while (position := start + self.request_.sent) < end:
                block = stream.read(min(_BLOCK, end - position))
                if spoil and position + len(block) == content.size:
                    block = block[:-1] + bytes([block[-1] ^ 1])
                if slow:
                    time.sleep(slow.pause)
                self.wfile.write(block)
                self.request_.sent += len(block)
        if end < stop:
            if cut and cut.reset:  # the rest of what lies in the buffers is thrown away
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.close_connection = True


def _entry(path: str, content: Content) -> dict[str, Any]:
    """A file as the Hub lists it; of one in LFS git itself holds a pointer."""
    entry: dict[str, Any] = {"rfilename": path, "size": content.size}
    if not is_lfs(path, content):
        return entry | {"blobId": content.blob}
    lfs = {"sha256": content.sha256, "size": content.size, "pointerSize": 130}
    return entry | {"blobId": sha256(content.sha256.encode()).hexdigest()[:40], "lfs": lfs}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Serve a folder of repositories as the Hugging Face Hub does.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--port", type=int, default=0)
    given = parser.parse_args()
    with HubServer(given.folder, given.port) as running:
        print(f"HF_ENDPOINT={running.url}", flush=True)
        threading.Event().wait()
