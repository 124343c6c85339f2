"""Read single members out of a zip that lies elsewhere, by ranges of bytes: its directory first, then what is wanted.

Python's own `zipfile` does the reading, on a file whose bytes are fetched when they are asked for. The members that are
wanted are known before, so their bytes come in parallel, a few pieces ahead.
"""

import hashlib
import io
import zipfile
import zlib
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path, PurePosixPath

from stgrpo.data.locks import LockedMember
from stgrpo.data.sources import LARGEST_DIRECTORY, UNREADABLE, check_apart, check_inside
from stgrpo.errors import UserError
from stgrpo.files import replacing

Read = Callable[[int, int], bytes]  # bytes [start, stop) of the archive

_END = 256 << 10  # read first: the end record and, of a small archive, its whole directory
_PIECE = 8 << 20  # bytes of one request at most
_PARALLEL = 8  # requests at a time, and so pieces in memory
_GAP = 128 << 10  # bytes between two members that cost less than another request
_HEADER = 30 + 2 * 0xFFFF  # bytes before a member's content at most: fixed part, name, extra field


class DamagedError(UserError):
    """A member, or a whole archive by its directory, is not what its zip says.

    Attributes:
        path: of the member or the archive, inside the repository.
        what: the damage, without what to do about it.
    """

    def __init__(self, path: str, what: str) -> None:
        super().__init__(f"{what}; run again, and if it stays so, its origin is broken")
        self.path, self.what = path, what


class RemoteZip:
    """One archive; its members unpack into its own folder, as Video-R1's `unzip.py` does it."""

    def __init__(self, repository: str, archive: str, size: int, read: Read) -> None:
        """Read the directory.

        Args:
            repository: named in errors.
            archive: path of the zip inside the repository.
            size: of the zip, bytes.
            read: gives bytes [start, stop) of it, from any thread.

        Raises:
            DamagedError: the directory is damaged.
            UserError: a member would leave its folder, or lies in another.
        """
        self.where, self.archive, self.file = f"{repository}/{archive}", archive, _Remote(size, read)
        try:
            self.zip = zipfile.ZipFile(self.file)  # pyright: ignore[reportArgumentType]
        except UNREADABLE as error:
            raise DamagedError(archive, f"{self.where}: damaged directory ({error})") from None
        folder = PurePosixPath(archive).parent
        self.members: dict[str, zipfile.ZipInfo] = {}
        for member in self.zip.infolist():
            check_inside(self.where, member)
            if not member.is_dir():
                self.members[str(folder / member.filename)] = member
        check_apart(self.where, self.zip.infolist())
        starts = sorted({member.header_offset for member in self.zip.infolist()} | {self.zip.start_dir})
        self.next = dict(zip(starts, starts[1:], strict=False))

    def span(self, path: str) -> tuple[int, int]:
        """Where a member lies, [start, stop): up to the next one, since the length of its header is not known yet."""
        member = self.members[path]
        start = member.header_offset
        most = min(start + _HEADER + member.compress_size, self.file.size)
        return start, min(self.next.get(start, most), most)

    def length(self, path: str) -> int:
        """Bytes that have to come for a member."""
        start, stop = self.span(path)
        return stop - start

    def extract(
        self, paths: Collection[str], target: Path, locked: Mapping[str, LockedMember]
    ) -> Iterator[LockedMember]:
        """Bring members into `target`; each appears whole and right, or not at all.

        Args:
            paths: keys of `members`.
            target: folder that stands for the root of the repository.
            locked: by path, those that a lock knows.

        Raises:
            DamagedError: a member is damaged; those before it, by their place in the archive, have come.
            UserError: a member is not the one that was locked.
        """
        order = sorted(paths, key=lambda path: self.members[path].header_offset)
        with ThreadPoolExecutor(_PARALLEL) as pool:
            self.file.expect(_pieces(self.span(path) for path in order), pool)
            for path in order:
                yield self._extract(path, target / path, locked.get(path))

    def _extract(self, path: str, file: Path, locked: LockedMember | None) -> LockedMember:
        member, hashed = self.members[path], hashlib.sha256()
        try:
            with replacing(file) as temporary:
                with self.zip.open(member) as packed, temporary.open("wb") as out:
                    while block := packed.read(1 << 20):
                        hashed.update(block)
                        out.write(block)
                if temporary.stat().st_size != member.file_size:
                    raise EOFError(f"{temporary.stat().st_size} bytes, but its directory says {member.file_size}")
                if locked and locked.sha256 != hashed.hexdigest():
                    raise UserError(
                        f"{self.where}: member '{member.filename}' has sha256 {hashed.hexdigest()[:12]}..., but "
                        f"{str(locked.sha256)[:12]}... in the lock; delete the lock to accept what the Hub has now"
                    )
        except UNREADABLE as error:
            raise DamagedError(path, f"{self.where}: member '{member.filename}' is damaged ({error})") from None
        return self._member(path, hashed.hexdigest())

    def _member(self, path: str, sha256: str) -> LockedMember:
        member = self.members[path]
        return LockedMember(archive=self.archive, path=path, size=member.file_size, crc32=member.CRC, sha256=sha256)

    def present(self, path: str, target: Path) -> LockedMember | None:
        """A member that stands in `target` already, right by size and CRC-32; None where it does not."""
        member, file = self.members[path], target / path
        if not file.is_file() or file.stat().st_size != member.file_size:
            return None
        value, hashed = 0, hashlib.sha256()
        with file.open("rb") as stream:
            while block := stream.read(1 << 20):
                value = zlib.crc32(block, value)
                hashed.update(block)
        return self._member(path, hashed.hexdigest()) if value == member.CRC else None


def _pieces(spans: Iterable[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """Sorted spans, neighbours joined, cut into what one request brings."""
    joined: list[tuple[int, int]] = []
    for start, stop in spans:
        if joined and start - joined[-1][1] <= _GAP:
            joined[-1] = (joined[-1][0], max(stop, joined[-1][1]))
        else:
            joined.append((start, stop))
    for start, stop in joined:
        for at in range(start, stop, _PIECE):
            yield at, min(at + _PIECE, stop)


class _Remote(io.RawIOBase):
    """A file elsewhere. One piece of it is held; a read beyond that waits for an expected piece, or fetches its own."""

    def __init__(self, size: int, read: Read) -> None:
        self.size, self.fetch, self.position = size, read, 0
        self.start = max(0, size - _END)
        self.held = read(self.start, size)
        self.coming: deque[tuple[int, int, Future[bytes]]] = deque()
        self.later: Iterator[tuple[int, int]] = iter(())

    def expect(self, pieces: Iterator[tuple[int, int]], pool: ThreadPoolExecutor) -> None:
        """Fetch pieces in this order, a few at a time, as long as they are read; what is held may be damaged."""
        self.coming.clear()
        self.held = b""
        self.later, self.pool = pieces, pool
        self._ask()

    def _ask(self) -> None:
        while len(self.coming) < _PARALLEL and (piece := next(self.later, None)):
            self.coming.append((*piece, self.pool.submit(self.fetch, *piece)))

    def read(self, size: int = -1) -> bytes:
        """Bytes from the position on, fewer only at the end of the file."""
        stop = self.size if size < 0 else min(self.position + size, self.size)
        parts = []
        while self.position < stop:
            self._hold(stop)
            parts.append(self.held[self.position - self.start : stop - self.start])
            self.position += len(parts[-1])
        return b"".join(parts)

    def _hold(self, stop: int) -> None:
        """Hold a piece that covers the position."""
        if self.start <= self.position < self.start + len(self.held):
            return
        while self.coming and self.coming[0][1] <= self.position:
            self.coming.popleft()[2].cancel()
            self._ask()
        if self.coming and self.coming[0][0] <= self.position:
            self.start, _, piece = self.coming[0]
            self.held = piece.result()
        elif stop - self.position > LARGEST_DIRECTORY:
            raise zipfile.BadZipFile(f"it would be {(stop - self.position) / 1e6:.0f} MB long")
        else:
            self.start, self.held = self.position, self.fetch(self.position, stop)

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """As every file."""
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self.position, io.SEEK_END: self.size}[whence]
        if base + offset < 0:
            raise OSError("before the start of the file")  # what zipfile expects of a file that is too short
        self.position = base + offset
        return self.position

    def tell(self) -> int:
        """As every file."""
        return self.position

    def seekable(self) -> bool:
        """It is."""
        return True
