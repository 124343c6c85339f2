"""Which frames of a video are taken, at what size, and what happens with videos that cannot be read.

The expected numbers are those of qwen_vl_utils' own rule (shared facts 2.4), not of this code.
"""

import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from stgrpo.demo import mp4
from stgrpo.errors import VideoError
from stgrpo.rules import FrameRule
from stgrpo.video import FrameReader, _decode, _serve, frame_indices, frame_size, read_ahead, resize

EVALUATION = FrameRule(max_frames=32, max_pixels=256 * 28 * 28)
SMALL = FrameRule(min_pixels=56 * 56, max_pixels=56 * 56)  # 56 x 56 stays as it is

COUNTS = [
    (60, 30.0, 4, "2 s: 2 a second, which is also the least"),
    (30, 30.0, 4, "1 s would be 2 frames, but 4 is the least"),
    (153, 30.0, 10, "5.1 s, as CLEVRER's: 10.2"),
    (75, 25.0, 6, "3 s"),
    (105, 30.0, 6, "3.5 s would be 7: rounded down to even"),
    (239, 30.0, 14, "just below 8 s: 15.9 rounded down to even"),
    (240, 30.0, 16, "8 s"),
    (300, 30.0, 16, "10 s: 16 is the cap"),
    (108000, 30.0, 16, "an hour"),
    (16, 2.0, 16, "the demo's clips: every frame"),
    (9, 1.0, 8, "more wanted than there are: 9 rounded down to even"),
    (3, 30.0, 2, "three frames: 2"),
    (2, 30.0, 2, "two frames"),
]


@pytest.mark.parametrize(("total", "fps", "count", "reason"), COUNTS, ids=[row[3] for row in COUNTS])
def test_number_of_frames(total: int, fps: float, count: int, reason: str):
    found = frame_indices(total, fps, FrameRule())
    assert len(found) == count, reason
    assert (found[0], found[-1]) == (0, total - 1), "first and last are always among them"
    steps = np.diff(found)
    assert steps.min() >= 1, "no frame twice"
    assert steps.max() - steps.min() <= 1, "evenly spaced"


def test_indices_by_hand():
    """0, 59 / 3, 2 * 59 / 3, 59 = 0, 19.67, 39.33, 59."""
    assert frame_indices(60, 30.0, FrameRule()) == [0, 20, 39, 59]


def test_evaluation_takes_up_to_32_frames():
    assert len(frame_indices(900, 30.0, EVALUATION)) == 32
    assert len(frame_indices(300, 30.0, EVALUATION)) == 20  # 10 s


@pytest.mark.parametrize("total", [0, 1])
def test_a_video_without_a_second_frame_is_refused(total: int):
    with pytest.raises(ValueError, match=rf"^the video has {total} frame\(s\); at least 2 are needed$"):
        frame_indices(total, 30.0, FrameRule())


@pytest.mark.parametrize("fps", [0.0, -5.0, float("nan"), float("inf")])
def test_a_video_without_a_frame_rate_is_refused(fps: float):
    with pytest.raises(ValueError, match=rf"^its frame rate is {fps}, not above 0$"):
        frame_indices(20, fps, FrameRule())


def test_a_strip_gets_no_more_pixels_than_the_reference_allows():
    """`smart_resize` of qwen_vl_utils refuses more than 200 to 1, too."""
    assert frame_size(10, 2000, SMALL) == (28, 784)  # 2000 / sqrt(10 * 2000 / 3136) = 791.9
    with pytest.raises(ValueError, match="^its frames are 2001 x 10; one side may be 200 times the other at most$"):
        frame_size(10, 2001, SMALL)


@pytest.mark.parametrize("held", [1, 100_000], ids=["frame by frame", "a few at a time"])
def test_a_video_decoded_in_parts_has_the_same_frames(
    reader: FrameReader, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, held: int
):
    """In this process, where the bytes that may lie there can be changed: 90 x 50 pixels are 13.5 kB."""
    path = tmp_path / "v.mp4"
    mp4.write(path, np.random.default_rng(0).integers(0, 255, (40, 50, 90, 3), np.uint8), 10)
    monkeypatch.setattr("stgrpo.video._DECODED", held)
    assert np.array_equal(_decode(str(path), SMALL), reader.read(path, SMALL))


SIZES = [  # width x height -> width x height
    ((1920, 1080), (420, 224), FrameRule()),
    ((1280, 720), (420, 224), FrameRule()),
    ((640, 360), (420, 224), FrameRule()),
    ((640, 480), (364, 280), FrameRule()),
    ((320, 240), (392, 280), FrameRule()),
    ((1280, 720), (588, 336), EVALUATION),
    ((56, 56), (56, 56), SMALL),
]


@pytest.mark.parametrize(("given", "expected", "rule"), SIZES, ids=str)
def test_size_of_a_frame(given: tuple[int, int], expected: tuple[int, int], rule: FrameRule):
    width, height = given
    assert frame_size(height, width, rule) == expected[::-1]
    assert frame_size(width, height, rule) == expected, "lying on its side"


def test_resize_keeps_what_has_the_size_already():
    frames = np.random.default_rng(0).integers(0, 256, (2, 28, 56, 3), np.uint8)
    assert resize(frames, 28, 56) is frames


def test_resize_keeps_places_and_levels():
    """Left half black, right half white: after halving still so, with a soft edge of a few pixels."""
    frames = np.zeros((2, 56, 112, 3), np.uint8)
    frames[:, :, 56:] = 255
    found = resize(frames, 28, 56)
    assert (found.shape, found.dtype) == ((2, 28, 56, 3), np.uint8)
    assert found[:, :, :25].max() <= 2
    assert found[:, :, 31:].min() >= 253


# Reading.


def level(frame: int) -> int:
    """Brightness that encodes a frame's number: 5 grey levels apart, coding errs by about 1."""
    return 20 + 5 * frame


def write_numbered(path: Path, count: int, fps: int) -> Path:
    frames = np.empty((count, 56, 56, 3), np.uint8)
    frames[:] = np.array([level(f) for f in range(count)])[:, None, None, None]
    mp4.write(path, frames, fps)
    return path


def numbers(frames: np.ndarray) -> list[int]:
    """Frame numbers from brightness."""
    return [round((mean - 20) / 5) for mean in frames.mean((1, 2, 3))]


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_numbered(tmp_path_factory.mktemp("good") / "good.mp4", 16, 2)


@pytest.fixture(scope="module")
def reader() -> Iterator[FrameReader]:
    with FrameReader() as opened:
        yield opened


def test_a_reader_gives_every_frame_of_a_clip_at_two_a_second(reader: FrameReader, good: Path):
    frames = reader.read(good, SMALL)
    assert (frames.shape, frames.dtype) == ((16, 56, 56, 3), np.uint8)
    assert numbers(frames) == list(range(16))


@pytest.mark.parametrize(
    ("count", "fps", "expected"),
    [
        # 10 s: k * 39 / 15 for k = 0..15 is 0, 2.6, 5.2, 7.8, ...
        (40, 4, [0, 3, 5, 8, 10, 13, 16, 18, 21, 23, 26, 29, 31, 34, 36, 39]),
        # 3 s: k * 29 / 5 is 0, 5.8, 11.6, 17.4, 23.2, 29
        (30, 10, [0, 6, 12, 17, 23, 29]),
        # 1 s: the least, k * 7 / 3 is 0, 2.33, 4.67, 7
        (8, 8, [0, 2, 5, 7]),
    ],
)
def test_a_reader_is_exact_to_the_frame(reader: FrameReader, tmp_path: Path, count: int, fps: int, expected: list[int]):
    assert numbers(reader.read(write_numbered(tmp_path / "x.mp4", count, fps), SMALL)) == expected


def test_a_reader_resizes_by_the_rule(reader: FrameReader, good: Path):
    """56 x 56 is enlarged to 128 * 28 * 28 pixels: a side of 316.8, upwards to the multiple of 28."""
    assert reader.read(good, FrameRule()).shape == (16, 336, 336, 3)


def truncated(path: Path, good: Path) -> None:
    path.write_bytes(good.read_bytes()[:-200])


def half(path: Path, good: Path) -> None:
    content = good.read_bytes()
    path.write_bytes(content[: len(content) // 2])


def text(path: Path, good: Path) -> None:
    path.write_text("404: not found", encoding="utf-8")


def damaged(path: Path, good: Path) -> None:
    """Its table of contents is whole, but half of the pictures are zeros."""
    mp4.write(path, np.random.default_rng(0).integers(0, 256, (16, 56, 56, 3), np.uint8), 2)
    content = path.read_bytes()
    quarter = len(content) // 4
    path.write_bytes(content[:quarter] + bytes(2 * quarter) + content[3 * quarter :])


def one_frame(path: Path, good: Path) -> None:
    write_numbered(path, 1, 2)


@pytest.mark.parametrize("make", [truncated, half, damaged, text, one_frame], ids=lambda make: make.__name__)
def test_a_video_that_does_not_decode_is_named_and_the_next_one_read(
    reader: FrameReader, good: Path, tmp_path: Path, make: Callable[[Path, Path], None]
):
    path = tmp_path / "bad.mp4"
    make(path, good)
    with pytest.raises(VideoError) as caught:
        reader.read(path, SMALL)
    said = str(caught.value)
    assert said.startswith(f"{path}: does not decode (")
    assert "\n" not in said
    assert numbers(reader.read(good, SMALL)) == list(range(16))


def test_the_reason_of_a_single_frame_is_said(reader: FrameReader, tmp_path: Path):
    path = write_numbered(tmp_path / "one.mp4", 1, 2)
    with pytest.raises(VideoError) as caught:
        reader.read(path, SMALL)
    assert str(caught.value) == (
        f"{path}: does not decode (ValueError: the video has 1 frame(s); at least 2 are needed)"
    )


@pytest.mark.parametrize(
    ("name", "what"),
    [("none.mp4", "no such file"), ("", "a folder, not a file"), ("empty.mp4", "an empty file")],
    ids=["no file", "a folder", "an empty file"],
)
def test_a_missing_video_is_named(reader: FrameReader, tmp_path: Path, name: str, what: str):
    (tmp_path / "empty.mp4").touch()
    with pytest.raises(VideoError) as caught:
        reader.read(tmp_path / name, SMALL)
    assert str(caught.value) == f"{tmp_path / name}: {what}"


def test_a_decode_that_takes_too_long_is_given_up_and_the_next_one_read(good: Path, tmp_path: Path):
    """The next read must not get what was still on its way for the first."""
    other = write_numbered(tmp_path / "other.mp4", 8, 8)
    with FrameReader(timeout=0.0) as slow:  # no child starts and decodes in no time
        with pytest.raises(VideoError) as caught:
            slow.read(other, SMALL)
        assert str(caught.value) == f"{other}: still decoding after 0 s, given up"
        slow.timeout = 60.0
        assert numbers(slow.read(good, SMALL)) == list(range(16))


def test_an_interrupted_read_does_not_answer_the_next_one(good: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    other = write_numbered(tmp_path / "other.mp4", 8, 8)
    with FrameReader() as interrupted:
        interrupted.read(good, SMALL)
        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr(type(interrupted._pipe), "poll", interrupt)
            interrupted.read(other, SMALL)
        assert numbers(interrupted.read(good, SMALL)) == list(range(16))


def interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def kill(reader: FrameReader, how: signal.Signals = signal.SIGKILL) -> None:
    """As a machine short of memory, or a decoder that crashes."""
    assert reader._child is not None
    assert reader._child.pid is not None
    os.kill(reader._child.pid, how)
    reader._child.join()


def test_a_killed_child_costs_nothing(good: Path):
    """Else a question would be set aside for good because memory was short for a moment."""
    with FrameReader() as killed:
        killed.read(good, SMALL)
        kill(killed)
        assert numbers(killed.read(good, SMALL)) == list(range(16))


def test_a_child_that_is_killed_twice_on_a_video_is_told(good: Path):
    class Short(FrameReader):
        def _start(self):
            pipe = super()._start()
            kill(self)
            return pipe

    with Short() as killed, pytest.raises(VideoError) as caught:
        killed.read(good, SMALL)
    assert str(caught.value) == f"{good}: the decoder was killed on it twice; short of memory?"


def test_a_child_that_crashes_costs_one_read(good: Path):
    with FrameReader() as crashed:
        crashed.read(good, SMALL)
        kill(crashed, signal.SIGSEGV)
        with pytest.raises(VideoError) as caught:
            crashed.read(good, SMALL)
        assert str(caught.value) == f"{good}: the decoder crashed on it"
        assert numbers(crashed.read(good, SMALL)) == list(range(16))


def test_a_reader_whose_child_is_dead_closes_quietly(good: Path):
    with FrameReader() as killed:
        killed.read(good, SMALL)
        kill(killed)


def test_a_reader_whose_child_hangs_closes(good: Path):
    hanging = FrameReader()
    hanging.read(good, SMALL)
    child = hanging._child
    assert child is not None
    assert child.pid is not None
    os.kill(child.pid, signal.SIGSTOP)
    closing = threading.Thread(target=hanging.__exit__, args=(None, None, None), daemon=True)
    closing.start()
    closing.join(8)
    still = closing.is_alive()
    child.kill()  # ends the wait, whatever the outcome
    closing.join()
    assert not still, "still waiting for its child after 8 s"


def test_a_reader_s_child_ends_with_it(good: Path):
    with FrameReader() as opened:
        opened.read(good, SMALL)
        child = opened._child
    assert child is not None
    assert not child.is_alive()


@pytest.mark.parametrize("answered", [False, True], ids=["that waits", "whose answer nobody read"])
def test_a_child_whose_parent_is_killed_ends_quietly(good: Path, answered: bool):
    ours, theirs = multiprocessing.get_context("spawn").Pipe()
    child = multiprocessing.get_context("spawn").Process(target=_serve, args=(theirs,))
    child.start()
    theirs.close()
    if answered:
        ours.send((str(good), SMALL))
        assert ours.poll(30)
    ours.close()
    child.join(30)
    assert child.exitcode == 0


def test_a_reader_that_read_nothing_closes():
    with FrameReader() as unused:
        assert unused._child is None


# Reading ahead.


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Clip k is 2 (k + 2) frames long at 2 a second, so that all of them are taken."""
    folder = tmp_path_factory.mktemp("clips")
    return [write_numbered(folder / f"{k}.mp4", 2 * (k + 2), 2) for k in range(6)]


@pytest.mark.parametrize("workers", [1, 3])
def test_videos_read_ahead_come_in_order_with_the_reason_where_one_is_broken(
    reader: FrameReader, clips: list[Path], tmp_path: Path, workers: int
):
    broken = tmp_path / "broken.mp4"
    text(broken, clips[0])
    videos: list[str | Path] = [clips[0], str(broken), *clips[1:4], tmp_path / "none.mp4", *clips[4:], clips[0]]
    found = list(read_ahead(iter(videos), SMALL, workers))
    assert len(found) == 9
    for at, count in {0: 4, 2: 6, 3: 8, 4: 10, 6: 12, 7: 14, 8: 4}.items():
        frames = found[at]
        assert isinstance(frames, np.ndarray)
        assert np.array_equal(frames, reader.read(videos[at], SMALL))
        assert len(frames) == count
    assert isinstance(found[1], VideoError)
    assert str(found[1]).startswith(f"{broken}: does not decode (")
    assert isinstance(found[5], VideoError)
    assert str(found[5]) == f"{tmp_path / 'none.mp4'}: no such file"


def test_no_videos_are_read_ahead_quietly():
    assert list(read_ahead([], SMALL, 2)) == []


def test_reading_goes_on_while_the_caller_is_busy_but_not_without_bound(monkeypatch: pytest.MonkeyPatch):
    """Of 100 videos the first is in the caller's hands: two workers have then been asked for nine others."""
    asked: list[str] = []
    nine_more = threading.Event()

    class Instant(FrameReader):
        def read(self, path: str | Path, rule: FrameRule) -> np.ndarray:
            asked.append(str(path))
            if len(asked) == 10:
                nine_more.set()
            return np.full((2, 28, 28, 3), int(str(path)), np.uint8)

    monkeypatch.setattr("stgrpo.video.FrameReader", Instant)
    frames = read_ahead(map(str, range(100)), SMALL, 2)
    first = next(frames)
    assert isinstance(first, np.ndarray)
    assert nine_more.wait(10)
    assert sorted(asked, key=int) == [str(k) for k in range(10)]
    assert first[0, 0, 0, 0] == 0
    del frames
    assert len(asked) == 10


def test_a_reading_ahead_that_ends_early_leaves_no_child(clips: list[Path]):
    before = set(multiprocessing.active_children())
    frames = read_ahead(clips * 5, SMALL, 2)
    next(frames)
    children = set(multiprocessing.active_children()) - before
    assert children
    del frames
    assert not set(multiprocessing.active_children()) - before
    assert not any(child.is_alive() for child in children)


def test_a_reading_ahead_whose_children_hang_ends_at_once(clips: list[Path]):
    before = set(multiprocessing.active_children())
    frames = read_ahead(clips * 5, FrameRule(), 1)
    next(frames)
    for child in set(multiprocessing.active_children()) - before:
        assert child.pid is not None
        os.kill(child.pid, signal.SIGSTOP)
    begun = time.monotonic()
    del frames
    assert time.monotonic() - begun < 8, "a decode may take 60 s; this end must not wait for it"
    assert not set(multiprocessing.active_children()) - before


READS_FOR_EVER = """
import itertools, multiprocessing, sys
from stgrpo.rules import FrameRule
from stgrpo.video import read_ahead

if __name__ == "__main__":
    for number, _ in enumerate(read_ahead(itertools.repeat(sys.argv[1]), FrameRule(), 2)):
        if number == 9:  # both have begun
            print(*(child.pid for child in multiprocessing.active_children()), flush=True)
"""


def test_an_interrupt_leaves_no_child(good: Path, tmp_path: Path):
    """As Ctrl-C does it: the signal reaches the whole group."""
    script = tmp_path / "reads.py"
    script.write_text(READS_FOR_EVER, encoding="utf-8")
    reading = subprocess.Popen(
        [sys.executable, script, good],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert reading.stdout is not None
    children = [int(pid) for pid in reading.stdout.readline().split()]
    assert len(children) == 2
    os.killpg(reading.pid, signal.SIGINT)
    _, said = reading.communicate(timeout=30)
    assert reading.returncode != 0
    assert said.count("Traceback") == 1, "the children say nothing"
    for pid in children:
        assert not Path(f"/proc/{pid}").exists()
