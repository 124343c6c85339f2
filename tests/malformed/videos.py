"""Videos, through `prepare`: set aside with the reason, or decoded to the frames that they hold."""

import json
import os
import signal
from collections.abc import Callable
from fractions import Fraction
from io import BytesIO
from pathlib import Path

import av
import numpy as np

from malformed.given import FRAMES, RECORD, drawn, preparing, video
from malformed.harness import Case
from stgrpo.__main__ import main
from stgrpo.commands import prepare
from stgrpo.demo import world
from stgrpo.video import FrameReader

_GOOD = video()
_FRAMES_AT = _GOOD.index(b"mdat")


def _made(make: Callable[[Path], object]) -> Callable[[Path], int]:
    """A good video and a bad one, each with a record."""

    def run(folder: Path) -> int:
        (folder / "1.mp4").write_bytes(_GOOD)
        make(folder / "2.mp4")
        rows = [RECORD, {**RECORD, "problem_id": 2, "path": "./2.mp4"}]
        (folder / "Video-R1-260k.json").write_text(json.dumps(rows))
        return main(preparing(folder))

    return run


def _of(content: bytes) -> Callable[[Path], int]:
    return _made(lambda path: path.write_bytes(content))


def _flipped(start: int, stop: int) -> bytes:
    return _GOOD[:start] + bytes(byte ^ 0xFF for byte in _GOOD[start:stop]) + _GOOD[stop:]


def _sparse(path: Path) -> None:
    """Ten gigabytes, of which the disk holds nothing but the beginning."""
    path.write_bytes(_GOOD[:64])
    os.truncate(path, 10 << 30)


def _at(*seconds: float) -> bytes:
    """A clip whose frames are shown at these times, the i-th of grey level 10 * i."""
    buffer = BytesIO()
    with av.open(buffer, "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=30)
        stream.height, stream.width, stream.pix_fmt = 56, 84, "yuv420p"
        stream.time_base = stream.codec_context.time_base = Fraction(1, 1000)
        stream.options = {"crf": "1", "x264-params": "cpu-independent=1"}
        for number, second in enumerate(seconds):
            frame = av.VideoFrame.from_ndarray(np.full((56, 84, 3), 10 * number, np.uint8), format="rgb24")
            frame.pts, frame.time_base = round(second * 1000), Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return buffer.getvalue()


def _sound() -> bytes:
    buffer = BytesIO()
    with av.open(buffer, "w", format="mp4") as container:
        stream = container.add_stream("aac", rate=44100)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 4410), np.float32), format="fltp", layout="mono")
        frame.sample_rate = 44100
        container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return buffer.getvalue()


def _webm() -> bytes:
    buffer = BytesIO()
    with av.open(buffer, "w", format="webm") as container:
        stream = container.add_stream("libvpx", rate=10)
        stream.height, stream.width, stream.pix_fmt = 56, 56, "yuv420p"
        for picture in world.scene(0, 0).frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())
    return buffer.getvalue()


def _field(box: bytes, offset: int, *values: int) -> bytes:
    """The good video with 32-bit fields of one of its boxes written over, so far behind the box's name."""
    at = _GOOD.index(box) + len(box) + offset
    new = b"".join(value.to_bytes(4, "big", signed=value < 0) for value in values)
    return _GOOD[:at] + new + _GOOD[at + len(new) :]


def _decoder_is(number: int, timeout: float) -> Callable[[Path], int]:
    """The decoder gets this signal when it has the second video before it."""

    def run(folder: Path) -> int:
        class Hit(FrameReader):
            def read(self, path, rule):
                if Path(path).name == "2.mp4":
                    self.timeout = timeout
                    if self._pipe is None:
                        self._start()
                    assert self._child and self._child.pid
                    os.kill(self._child.pid, number)
                else:
                    self.timeout = 60.0
                return super().read(path, rule)

        prepare.FrameReader = Hit
        return _of(_GOOD)(folder)

    return run


def _duration(value: int) -> bytes:
    """The header says another duration than there is."""
    at = _GOOD.index(b"mvhd") + 20
    return _GOOD[:at] + value.to_bytes(4, "big") + _GOOD[at + 4 :]


def _width(value: int) -> bytes:
    """The sample description claims this width and height."""
    at = _GOOD.index(b"avc1") + 28
    return _GOOD[:at] + value.to_bytes(2, "big") * 2 + _GOOD[at + 4 :]


def _two_questions(folder: Path) -> None:
    assert len((folder / "out.jsonl").read_text().splitlines()) == 2


def _one_question(folder: Path) -> None:
    (row,) = (json.loads(line) for line in (folder / "out.jsonl").read_text().splitlines())
    assert row["id"] == "video-r1-1"


def _frames(folder: Path) -> np.ndarray:
    with FrameReader() as reader:
        return reader.read(folder / "2.mp4", FRAMES)


def _has(time: int, height: int, width: int) -> Callable[[Path], None]:
    def right(folder: Path) -> None:
        _two_questions(folder)
        assert _frames(folder).shape == (time, height, width, 3)

    return right


def _upright(folder: Path) -> None:
    """A phone held on its side says so in its header: a quarter to the right, and decord turns the frames."""
    _two_questions(folder)
    with FrameReader() as reader:
        good = reader.read(folder / "1.mp4", FRAMES)
    assert not np.array_equal(good, np.rot90(good, -1, (1, 2)))
    assert np.array_equal(_frames(folder), np.rot90(good, -1, (1, 2)))


def _as_the_good_one(folder: Path) -> None:
    """Its frames are those of the video whose header is right."""
    _two_questions(folder)
    with FrameReader() as reader:
        good = reader.read(folder / "1.mp4", FRAMES)
    assert np.array_equal(_frames(folder), good)


def _steps_of_grey(folder: Path) -> None:
    """First and last frame, and by their number, not by their time: 8 frames of 0, 10, ..., 70."""
    _two_questions(folder)
    levels = _frames(folder).mean((1, 2, 3)).round(-1)
    assert levels[0] == 0 and levels[-1] == 70 and (np.diff(levels) > 0).all()


_CODEC = r"FOLDER/2\.mp4: does not decode \(%s; it has %s bytes, the first are b['\"]%s.*['\"]\)"
_OWN = r"FOLDER/2\.mp4: does not decode \(ValueError: %s\)"
_MP4 = r"\\x00\\x00\\x00.{1,4}ftypisom"
_READING, _SOURCE = r"RuntimeError: Error reading FOLDER/2\.mp4\.\.\.", "DECORDError: Cannot create buffer source"
_STREAM = "DECORDError: ERROR cannot find video stream with wanted index: -1"
_ZEROS = r"\\x00\\x00\\x00\\x00"
_ASIDE = [
    ("an empty file", _of(b""), r"FOLDER/2\.mp4: an empty file"),
    ("zeros", _of(bytes(10_000)), _CODEC % (_READING, 10_000, _ZEROS)),
    ("cut in its header", _of(_GOOD[:40]), _CODEC % (_READING, 40, _MP4)),
    ("cut in the middle", _of(_GOOD[: len(_GOOD) // 2]), _CODEC % (_READING, len(_GOOD) // 2, _MP4)),
    ("cut before its end", _of(_GOOD[:-100]), _CODEC % (_READING, len(_GOOD) - 100, _MP4)),
    (
        "bits flipped in its index",
        _of(_flipped(len(_GOOD) - 300, len(_GOOD) - 200)),
        _CODEC % (_SOURCE, len(_GOOD), _MP4),
    ),
    (
        "bits flipped in its frames",
        _of(_flipped(_FRAMES_AT + 800, _FRAMES_AT + 2600)),
        _CODEC % (r"DECORDError: Thread worker: Error sending packet\.", len(_GOOD), _MP4),
    ),
    ("ten gigabytes of nothing", _made(_sparse), _CODEC % (_READING, 10 << 30, _MP4)),
    ("a picture", _of(b"\x89PNG\r\n\x1a\n" + bytes(500)), _CODEC % (_SOURCE, 508, r"\\x89PNG")),
    (
        "a page of the web",
        _of(b"<!DOCTYPE html><html><body>404</body></html>"),
        _CODEC % (_READING, 44, "<!DOCTYPE html>"),
    ),
    ("a text", _of(b"version https://git-lfs.github.com/spec/v1\noid"), _CODEC % (_READING, 46, "version https://")),
    ("sound only", _of(_sound()), _CODEC % (_STREAM, r"\d+", _MP4)),
    ("an unknown codec", _of(_GOOD.replace(b"avc1", b"xxxx")), _CODEC % (_STREAM, len(_GOOD), _MP4)),
    (
        "no parameters of its codec",
        _of(_GOOD.replace(b"avcC", b"yyyy")),
        _CODEC % (r"DECORDError: ERROR getting stream info of fileFOLDER/2\.mp4", len(_GOOD), _MP4),
    ),
    ("an index of no frames", _of(_field(b"stsz", 8, 0)), _CODEC % (_SOURCE, len(_GOOD), _MP4)),
    ("an index of 10^8 frames", _of(_field(b"stsz", 4, 1, 10**8)), _CODEC % (_SOURCE, len(_GOOD), _MP4)),
    ("frames behind its end", _of(_field(b"stco", 8, 2**31)), _CODEC % (_SOURCE, len(_GOOD), _MP4)),
    ("frames that take no time", _of(_field(b"stts", 12, 0)), _OWN % "its frame rate is nan, not above 0"),
    ("one frame", _of(video(0, 1)), _OWN % r"the video has 1 frame\(s\); at least 2 are needed"),
    (
        "frames 4 pixels high and 1000 wide",
        _of(drawn(4, 1000)),
        _OWN % "its frames are 1000 x 4; one side may be 200 times the other at most",
    ),
    ("no file", _made(lambda path: None), r"FOLDER/2\.mp4: no such file"),
    ("a folder", _made(lambda path: path.mkdir()), r"FOLDER/2\.mp4: a folder, not a file"),
    ("a link to itself", _made(lambda path: path.symlink_to(path)), r"FOLDER/2\.mp4: a link to no file"),
    ("a pipe", _made(os.mkfifo), r"FOLDER/2\.mp4: a pipe or a device, not a file"),
    ("a device that never ends", _made(lambda path: path.symlink_to("/dev/zero")), r"FOLDER/2\.mp4: a link to no file"),
    ("a link to nothing", _made(lambda path: path.symlink_to("/nowhere/2.mp4")), r"FOLDER/2\.mp4: a link to no file"),
    (
        "what hangs the decoder",
        _decoder_is(signal.SIGSTOP, 1.0),
        r"FOLDER/2\.mp4: still decoding after 1 s, given up",
    ),
    ("what crashes the decoder", _decoder_is(signal.SIGSEGV, 60.0), r"FOLDER/2\.mp4: the decoder crashed on it"),
]
_RIGHT = [
    ("a decoder that was killed once, as for memory", _decoder_is(signal.SIGKILL, 60.0), _as_the_good_one),
    ("frames 4 pixels high", _of(drawn(4, 400)), _has(4, 28, 560)),
    ("frames of odd sizes", _of(drawn(90, 50)), _has(4, 56, 28)),
    ("frames that lie on their side", _of(_field(b"tkhd", 40, 0, 1 << 16, 0, -1 << 16, 0)), _upright),
    ("something behind its end", _of(_GOOD + bytes(5000)), _as_the_good_one),
    ("a header of 0 x 0", _of(_field(b"tkhd", 76, 0, 0)), _as_the_good_one),
    ("another container", _of(_webm()), _two_questions),
    ("frames at odd times", _of(_at(0, 0.1, 0.2, 0.3, 5, 5.1, 9, 10)), _steps_of_grey),
    ("a duration of nothing", _of(_duration(0)), _as_the_good_one),
    ("a duration of days", _of(_duration(2**31)), _as_the_good_one),
    ("a header of 60000 x 60000", _of(_width(60000)), _as_the_good_one),
]
CASES = [
    *(Case("videos", what, run, says, set_aside=1, right=_one_question) for what, run, says in _ASIDE),
    *(Case("videos", what, run, accepted=True, right=right) for what, run, right in _RIGHT),
]
