"""Frames of a video: which ones, at what size, decoded where a stuck decoder can be killed.

The sampling and size rules are those of the vendored qwen_vl_utils in Video-R1 (`vision_process.py`), on which the
paper's appendix rests: at most 16 frames, first and last always among them, about 128*28*28 pixels each.
"""

import math
import multiprocessing
import os
import re
import resource
import signal
from collections import deque
from collections.abc import Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import ExitStack, suppress
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from queue import SimpleQueue

import numpy as np

from stgrpo.errors import VideoError
from stgrpo.rules import FrameRule

# decord puts them before its reason, which would then differ from run to run
_CLOCK_AND_PLACE = re.compile(r"\[\d\d:\d\d:\d\d\] \S+: ")
_CHECK = re.compile(r"Check failed: .* \([-\d]+ vs\. [-\d]+\) ")  # the condition in decord's source that did not hold
_FAREWELL = 2.0  # seconds that a child has to end by itself
_PATIENCE = 0.1  # seconds until a child that was just being started is there to be ended
_AHEAD = 8  # videos that may lie decoded before they are asked for: 36 MB at the paper's size, 150 MB in its evaluation

_DECODED = 256 << 20  # bytes of frames that lie there before they are resized; a clip of ours at 1080p has 100 MB
_MEMORY = 4 << 30  # bytes of a child: a frame of 8K is resized in 1.3 GB; a header may claim any number and any size
_LARGEST = 7680 * 4320  # pixels of a frame; whether larger ones fit would hang on the decoder's threads
_HEAD = 16  # bytes of a file that are shown where it does not decode

FRAME_FACTOR = 2  # Qwen2.5-VL joins two frames into one step of its time grid
SIZE_FACTOR = 28  # patch of 14 px, merged two by two
MAX_RATIO = 200  # of a frame's sides: one more would get more pixels than the rule allows


def frame_indices(total: int, fps: float, rule: FrameRule) -> list[int]:
    """Indices of the frames that are taken from a video of `total` frames: evenly spaced, both ends included.

    Raises:
        ValueError: the video has fewer than two frames, or no frame rate.
    """
    if not 0 < fps < math.inf:
        raise ValueError(f"its frame rate is {fps}, not above 0")
    most = min(rule.max_frames, total) // FRAME_FACTOR * FRAME_FACTOR
    least = math.ceil(rule.min_frames / FRAME_FACTOR) * FRAME_FACTOR
    wanted = min(max(total / fps * rule.rate, least), most, total)
    count = int(wanted // FRAME_FACTOR * FRAME_FACTOR)
    if count < FRAME_FACTOR:
        raise ValueError(f"the video has {total} frame(s); at least {FRAME_FACTOR} are needed")
    return np.linspace(0, total - 1, count).round().astype(int).tolist()


def frame_size(height: int, width: int, rule: FrameRule) -> tuple[int, int]:
    """Height and width, multiples of 28, of a frame after resizing, the aspect ratio kept as nearly as they allow.

    Raises:
        ValueError: one side is more than 200 times the other, or it has more pixels than 8K.
    """
    if height * width > _LARGEST:
        raise ValueError(f"its frames are {width} x {height}; at most {_LARGEST} pixels are read, those of 7680 x 4320")
    if max(height, width) > MAX_RATIO * min(height, width):
        raise ValueError(f"its frames are {width} x {height}; one side may be {MAX_RATIO} times the other at most")
    most = max(rule.max_pixels, int(rule.min_pixels * 1.05))
    tall = max(SIZE_FACTOR, round(height / SIZE_FACTOR) * SIZE_FACTOR)
    wide = max(SIZE_FACTOR, round(width / SIZE_FACTOR) * SIZE_FACTOR)
    if tall * wide > most:
        shrink = math.sqrt(height * width / most)
        tall, wide = (math.floor(side / shrink / SIZE_FACTOR) * SIZE_FACTOR for side in (height, width))
    elif tall * wide < rule.min_pixels:
        grow = math.sqrt(rule.min_pixels / (height * width))
        tall, wide = (math.ceil(side * grow / SIZE_FACTOR) * SIZE_FACTOR for side in (height, width))
    return max(SIZE_FACTOR, tall), max(SIZE_FACTOR, wide)


def resize(frames: np.ndarray, height: int, width: int) -> np.ndarray:
    """Bicubic with antialias, as Video-R1 does it; (T, H, W, 3) uint8 -> (T, height, width, 3) uint8."""
    if frames.shape[1:3] == (height, width):
        return frames
    import torch  # late: a decoder that never resizes starts without it

    resized = np.empty((len(frames), height, width, 3), np.uint8)
    for frame, place in zip(frames, resized, strict=True):  # one by one: a whole clip as floats is 400 MB at 1080p
        x = torch.from_numpy(frame).permute(2, 0, 1)[None].float()  # (1, 3, H, W)
        x = torch.nn.functional.interpolate(x, (height, width), mode="bicubic", antialias=True)
        place[:] = x[0].round().clamp(0, 255).byte().permute(1, 2, 0).numpy()
    return resized


def _decode(path: str, rule: FrameRule) -> np.ndarray:
    import decord

    decord.logging.set_level(decord.logging.QUIET)  # or a damaged video writes a line a frame into the log
    reader = decord.VideoReader(path, num_threads=1)
    indices = frame_indices(len(reader), float(reader.get_avg_fps()), rule)
    frames = reader.get_batch(indices[:1]).asnumpy()
    height, width = frame_size(frames.shape[1], frames.shape[2], rule)
    resized, step = [resize(frames, height, width)], max(1, _DECODED // frames.nbytes)
    for at in range(1, len(indices), step):
        resized.append(resize(reader.get_batch(indices[at : at + step]).asnumpy(), height, width))
    return np.concatenate(resized)


def _serve(pipe: Connection) -> None:
    """The child: answers every request with frames or with the reason why there are none."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the parent too, which ends this one
    hard = resource.getrlimit(resource.RLIMIT_DATA)[1]
    resource.setrlimit(resource.RLIMIT_DATA, (_MEMORY if hard < 0 else min(_MEMORY, hard), hard))  # -1: without limit
    os.environ["OMP_NUM_THREADS"] = "1"  # of torch, if it resizes: other children decode beside this one
    with suppress(EOFError, ConnectionError):  # the parent was killed, perhaps before it read an answer
        while (request := pipe.recv()) is not None:
            pipe.send(_answer(*request))


def _answer(path: str, rule: FrameRule) -> tuple[np.ndarray | None, str | None]:
    try:
        return _decode(path, rule), None
    except Exception as error:  # decord raises undocumented types; the parent names the file and the reason
        return None, _reason(error, path)


def _reason(error: Exception, path: str) -> str:
    """What the decoder says of a video; where that is not much, what the file begins with tells a page from a clip."""
    if isinstance(error, ValueError):  # our own
        return f"{type(error).__name__}: {error}"
    said = _CHECK.sub("", _CLOCK_AND_PLACE.sub("", str(error)).split("\n")[0])
    with Path(path).open("rb") as stream:
        head, size = stream.read(_HEAD), os.fstat(stream.fileno()).st_size
    return f"{type(error).__name__}: {said}; it has {size} bytes, the first are {head!r}"


def _check_file(path: str) -> None:
    """Say what is there in place of a file with something in it.

    By os.path, for those of Path raise for a name that is too long.

    Raises:
        VideoError: it is missing, empty, or a thing that may never end.
    """
    if os.path.isfile(path):  # noqa: PTH113
        what = None if os.path.getsize(path) else "an empty file"  # noqa: PTH202
    elif os.path.isdir(path):  # noqa: PTH112
        what = "a folder, not a file"
    elif os.path.islink(path):  # noqa: PTH114
        what = "a link to no file"
    else:
        what = "a pipe or a device, not a file" if os.path.exists(path) else "no such file"  # noqa: PTH110
    if what:
        raise VideoError(f"{path}: {what}")


class _KilledError(VideoError):
    """The decoder was killed, by nobody here."""


class FrameReader:
    """Decodes in a child process, because decord can deadlock on a damaged file while it holds the interpreter's lock.

    Use it as a context manager. A decode that takes longer than `timeout` seconds is killed with its child; the next
    one starts a fresh child. A child that somebody else kills costs nothing the first time: the video is tried again.
    """

    def __init__(self, timeout: float = 60.0) -> None:
        self.timeout = timeout
        self._child: BaseProcess | None = None
        self._pipe: Connection | None = None
        self._abandoned = False

    def __enter__(self) -> "FrameReader":
        return self

    def __exit__(self, *_: object) -> None:
        self._stop()

    def read(self, path: str | Path, rule: FrameRule) -> np.ndarray:
        """The frames that `rule` takes: (T, H, W, 3) uint8, T even, H and W multiples of 28.

        Raises:
            VideoError: the file is missing or none, does not decode, or took longer than the timeout.
        """
        _check_file(str(path))
        try:
            return self._read(path, rule)
        except _KilledError:  # which says nothing about the video, unless it happens again
            if self._abandoned:
                raise
            return self._read(path, rule)

    def _read(self, path: str | Path, rule: FrameRule) -> np.ndarray:
        pipe = self._pipe or self._start()
        try:
            pipe.send((str(path), rule))
            if not pipe.poll(self.timeout):
                self._stop(kill=True)
                raise VideoError(f"{path}: still decoding after {self.timeout:g} s, given up")
            frames, reason = pipe.recv()
        except (EOFError, BrokenPipeError, ConnectionResetError):
            killed = self._was_killed()
            self._stop(kill=True)
            if killed:
                raise _KilledError(f"{path}: the decoder was killed on it twice; short of memory?") from None
            raise VideoError(f"{path}: the decoder crashed on it") from None
        except BaseException:  # interrupted while it waits: the answer must not be taken for the next video's
            self._stop(kill=True)
            raise
        if reason is not None:
            raise VideoError(f"{path}: does not decode ({reason})")
        return frames

    def abandon(self) -> None:
        """End a read that goes on in another thread, which then raises its VideoError soon."""
        self._abandoned = True
        if (child := self._child) is not None:
            child.kill()

    def _was_killed(self) -> bool:
        """Whether the child that has gone was ended by somebody, such as the kernel that lacks memory."""
        if self._child is None:
            return False
        self._child.join(_FAREWELL)
        return self._child.exitcode == -signal.SIGKILL

    def _start(self) -> Connection:
        context = multiprocessing.get_context("spawn")  # a forked copy of a threaded process may deadlock by itself
        ours, theirs = context.Pipe()
        child = context.Process(target=_serve, args=(theirs,), daemon=True)
        child.start()
        theirs.close()
        self._pipe, self._child = ours, child
        return ours

    def _stop(self, kill: bool = False) -> None:
        if self._child is None or self._pipe is None:
            return
        if not kill:
            with suppress(OSError):  # the child may be dead already
                self._pipe.send(None)
            self._child.join(_FAREWELL)
        self._child.kill()
        self._child.join()
        self._pipe.close()
        self._child = self._pipe = None


def usable(found: np.ndarray | VideoError) -> np.ndarray:
    """What `read_ahead` gave, if it is frames.

    Raises:
        VideoError: there are none, for this reason.
    """
    if isinstance(found, VideoError):
        raise found
    return found


def read_ahead(videos: Iterable[str | Path], rule: FrameRule, workers: int) -> Generator[np.ndarray | VideoError]:
    """The frames of each video as `FrameReader.read` gives them, or the reason why there are none, in order.

    Child processes, `workers` of them, decode while the caller is busy with what it has got, and are a few videos
    ahead of it at most. They end with the iterator: exhausted, closed, or dropped. An error's traceback holds on to it:
    where the caller may raise one, use `contextlib.closing`.
    """
    with ExitStack() as stack:
        readers = [stack.enter_context(FrameReader()) for _ in range(workers)]
        free: SimpleQueue[FrameReader] = SimpleQueue()
        for reader in readers:
            free.put(reader)

        def read(video: str | Path) -> np.ndarray | VideoError:
            reader = free.get()
            try:
                return reader.read(video, rule)
            except VideoError as error:
                return error
            finally:
                free.put(reader)

        pool = ThreadPoolExecutor(workers)  # a thread only waits for its child
        waiting: deque[Future[np.ndarray | VideoError]] = deque()
        try:
            for video in videos:
                waiting.append(pool.submit(read, video))
                if len(waiting) == workers + _AHEAD:
                    yield waiting[0].result()
                    waiting.popleft()
            while waiting:
                yield waiting[0].result()
                waiting.popleft()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
            begun = [future for future in waiting if not future.cancelled()]
            while wait(begun, timeout=0).not_done:  # nobody asks for them any more
                for reader in readers:
                    reader.abandon()
                wait(begun, timeout=_PATIENCE)
