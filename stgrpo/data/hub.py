"""Repositories of the Hugging Face Hub, at one commit: what is in them, and bytes of it.

The official client does it: its endpoint (HF_ENDPOINT), addresses, headers, session and errors. Files come by plain
HTTP, never by Xet's own protocol, for which the client has another library: zips are read in part by ranges of bytes,
so HTTP has to work anyway, and what is tested is what runs. Nothing is written to the client's caches.

The token is what HF_TOKEN says and nothing else. It travels in a header that the session drops where a redirect leaves
the Hub's own address; no text that is printed here is made from a request or from what the server says of it.
"""

import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeVar

import httpx
from huggingface_hub import HfApi, constants, hf_hub_url
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    OfflineModeIsEnabled,
    RemoteEntryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.hf_api import RepoSibling
from huggingface_hub.utils import build_hf_headers, get_session, hf_raise_for_status, parse_ratelimit_headers

from stgrpo.data.sources import Kind
from stgrpo.errors import UserError

T = TypeVar("T")

_TRIES = 6  # in a row without one byte more; they span a good half minute
_PASSING = (408, 429, 500, 502, 503, 504)  # what may be otherwise in a moment
_LISTING = 60.0  # seconds that the Hub may take to list a repository
_FAILURES = (httpx.HTTPError, httpx.InvalidURL, OfflineModeIsEnabled)  # HfHubHTTPError is an HTTPError
_RESENT = 64 << 20  # bytes that may be received again from a server that knows no ranges


class GoneError(UserError):
    """The commit that was asked for is not in the repository."""


@dataclass(frozen=True)
class HubFile:
    """A file of a repository.

    Attributes:
        path: inside the repository.
        size: bytes.
        sha256: of the content, where it is known before a download: of files in LFS, or from a lock.
        blob: git's hash of the content, of files that are not in LFS.
    """

    path: str
    size: int
    sha256: str | None = None
    blob: str | None = None


@dataclass(frozen=True)
class Snapshot:
    """A repository at one commit."""

    repository: str
    type: Kind
    commit: str
    files: tuple[HubFile, ...]

    def read(self, file: HubFile, start: int, stop: int) -> bytes:
        """Bytes [start, stop) of a file.

        Raises:
            UserError: they cannot be had.
        """
        return b"".join(self.stream(file, start, stop))

    def stream(self, file: HubFile, start: int, stop: int) -> Iterator[bytes]:
        """Bytes [start, stop) of a file, in pieces; where the connection breaks it goes on from there.

        Raises:
            UserError: they cannot be had, for now or at all.
        """
        url = hf_hub_url(self.repository, file.path, repo_type=self.type, revision=self.commit)
        position, patience = start, _Patience(self.repository, self.type, file.path)
        while position < stop:
            asked = {"Range": f"bytes={position}-{stop - 1}", "Accept-Encoding": "identity"}
            timeout = constants.HF_HUB_DOWNLOAD_TIMEOUT
            try:
                with _session().stream("GET", url, headers=_headers() | asked, timeout=timeout) as response:
                    hf_raise_for_status(response)
                    again = 0 if response.status_code == httpx.codes.PARTIAL_CONTENT else position
                    if again > _RESENT:
                        raise UserError(f"{patience.where}: the server ignores ranges of bytes; is a proxy in between?")
                    for received in response.iter_raw():
                        block, again = received[again:][: stop - position], max(0, again - len(received))
                        if block:
                            position += len(block)
                            patience.failures = 0
                            yield block
                        if position == stop:
                            break
                    else:
                        raise httpx.RemoteProtocolError("it ends early")
            except _FAILURES as error:
                patience.wait(error)


def open_snapshot(repository: str, type: Kind, commit: str | None = None) -> Snapshot:
    """A repository at a commit, or as it is now.

    Raises:
        GoneError: it has no such commit.
        UserError: there is no such repository, no leave to read it, or no way to it.
    """
    api = HfApi(token=_token() or False)
    _session()  # what cannot be set up is told here, not as an answer of the Hub

    def look() -> Snapshot:
        # One question for commit and files, with a limit of time; the client's list by pages would wait for ever.
        ask = api.dataset_info if type == "dataset" else api.model_info
        found = ask(repository, revision=commit, files_metadata=True, timeout=_LISTING)
        assert found.sha and found.siblings is not None, "the Hub names the commit and the files of every repository"
        return Snapshot(repository, type, found.sha, tuple(map(_listed, found.siblings)))

    return _patiently(look, repository, type)


def page(repository: str, type: Kind) -> str:
    """Where a person reads about a repository and accepts its terms."""
    return f"{constants.ENDPOINT}/{'datasets/' if type == 'dataset' else ''}{repository}"


class _Patience:
    """Waits longer each time, and gives up after some times in a row; what moves a byte starts it anew."""

    def __init__(self, repository: str, type: Kind, path: str = "") -> None:
        self.repository: str = repository
        self.type: Kind = type
        self.where = f"{repository}/{path}" if path else repository
        self.failures = 0

    def wait(self, error: Exception) -> None:
        """Wait as long as the server asks for, or else twice as long as before.

        Raises:
            UserError: it was the last time, or it would not help.
        """
        self.failures += 1
        if self.failures == _TRIES or not _passes(error):
            raise _refusal(error, self.where, self.repository, self.type) from None
        seconds = _retry_after(error) or 2 ** (self.failures - 1)
        print(f"{self.where}: {_told(error)}; goes on in {seconds} s", flush=True)
        time.sleep(seconds)


def _patiently(ask: Callable[[], T], repository: str, type: Kind) -> T:
    """What `ask` returns, asked again where that may help."""
    patience = _Patience(repository, type)
    while True:
        try:
            return ask()
        except _FAILURES as error:
            patience.wait(error)
        except HFValidationError as error:
            raise UserError(f"{repository}: {error}; correct workflow/resources/sources.csv") from None
        except ValueError:
            raise UserError(
                f"{repository}: {constants.ENDPOINT} does not answer as the Hub does (no JSON); check HF_ENDPOINT"
            ) from None


def _passes(error: Exception) -> bool:
    """Whether it may be otherwise in a moment."""
    if isinstance(error, HfHubHTTPError):
        return error.response.status_code in _PASSING
    return isinstance(error, httpx.TimeoutException | httpx.NetworkError | httpx.RemoteProtocolError | httpx.ProxyError)


def _told(error: Exception) -> str:
    """What happened, without an address: the Hub signs those that it redirects to."""
    if isinstance(error, HfHubHTTPError):
        return f"HTTP {error.response.status_code}"
    if isinstance(error, httpx.InvalidURL):  # its text quotes what may be half of a password
        return "no valid address"
    return str(error) or type(error).__name__


def _refusal(error: Exception, where: str, repository: str, type: Kind) -> UserError:
    """What happened, and what a person can do about it."""
    if isinstance(error, GatedRepoError):
        todo = f"accept its terms at {page(repository, type)}, export HF_TOKEN=... (of that account) and run again"
        return UserError(f"{where}: gated ({error.response.status_code}); {todo}")
    if isinstance(error, RevisionNotFoundError):
        return GoneError(f"{where}: has no such commit (404), as if its history had been rewritten")
    if isinstance(error, RemoteEntryNotFoundError):
        return UserError(f"{where}: no such file (404); see {page(repository, type)}/tree/main")
    if isinstance(error, HfHubHTTPError):
        return UserError(f"{where}: {_by_status(error.response.status_code, repository, type)}")
    if isinstance(error, OfflineModeIsEnabled):
        return UserError(f"{where}: HF_HUB_OFFLINE or TRANSFORMERS_OFFLINE is set; unset both to fetch")
    if isinstance(error, httpx.RemoteProtocolError | httpx.ReadError):
        return UserError(f"{where}: {_told(error)}, {_TRIES} times in a row; run again later, it goes on from there")
    todo = "check the network, its proxy and HF_ENDPOINT"
    return UserError(f"{where}: {constants.ENDPOINT} cannot be reached ({_told(error)}); {todo}")


def _by_status(status: int, repository: str, type: Kind) -> str:
    if status == httpx.codes.UNAUTHORIZED:
        if _token():
            return (
                "the Hub does not know the token in HF_TOKEN (401); set one of https://huggingface.co/settings/tokens"
            )
        return f"private, or no such {type} (401); see {page(repository, type)}, or export HF_TOKEN=..."
    if status == httpx.codes.FORBIDDEN:
        who = "the account of HF_TOKEN" if _token() else "who sends no HF_TOKEN"
        return f"forbidden for {who} (403); see {page(repository, type)}"
    if status == httpx.codes.NOT_FOUND:
        return f"no such {type}, or a private one (404); correct workflow/resources/sources.csv"
    if status == httpx.codes.REQUESTED_RANGE_NOT_SATISFIABLE:
        return "shorter than the Hub's list says (416); run again later"
    return f"the Hub answers with HTTP {status}; run again later, it goes on from there"


def _retry_after(error: Exception) -> int | None:
    """Seconds that the server asks for: the Hub by the time at which a spent limit is set anew, others plainly."""
    if not isinstance(error, HfHubHTTPError):
        return None
    headers = error.response.headers
    limit = parse_ratelimit_headers(headers)
    if error.response.status_code == httpx.codes.TOO_MANY_REQUESTS and limit and limit.remaining == 0:
        return limit.reset_in_seconds + 1
    asked = headers.get("Retry-After", "")
    return int(asked) if asked.isdigit() else None


def _listed(entry: RepoSibling) -> HubFile:
    if entry.lfs is not None:
        return HubFile(entry.rfilename, entry.lfs.size, sha256=entry.lfs.sha256)
    assert entry.size is not None, "asked for with files_metadata"
    return HubFile(entry.rfilename, entry.size, blob=entry.blob_id)


def _session() -> httpx.Client:
    """The client's session, which reads the variables of proxies and certificates when it is made.

    Raises:
        UserError: one of them cannot be used.
    """
    try:
        return get_session()
    except (ImportError, OSError, ValueError, httpx.InvalidURL):  # their texts may hold the proxy's password
        raise UserError(
            "the proxy or the certificates that are set cannot be used; correct or unset ALL_PROXY, HTTPS_PROXY, "
            "HTTP_PROXY, NO_PROXY, SSL_CERT_FILE or SSL_CERT_DIR (proxies: http://... or https://...)"
        ) from None


def _headers() -> dict[str, str]:
    return build_hf_headers(token=_token() or False)


def _token() -> str | None:
    """HF_TOKEN, checked here: an error about a malformed header would show it.

    Raises:
        UserError: it cannot be one.
    """
    token = os.environ.get("HF_TOKEN", "").strip()
    if not token.isascii() or not token.isprintable() or " " in token:
        raise UserError("HF_TOKEN: holds characters that no token has; copy it again")
    return token or None
