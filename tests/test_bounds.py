"""What malformed input may take of the memory and the disk; the figures are printed (pytest -s)."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
import pytest
from malformed import given
from malformed.archives import fetching
from support import ROOT
from test_figures import FIGURE, runs

from stgrpo.data.record_list import read_list
from stgrpo.errors import UserError
from stgrpo.files import read_json, read_rows
from stgrpo.video import FrameReader

# A child's ru_maxrss begins with what its parent had when it forked, VmHWM does not.
_MEASURE = """
import json, re, resource, sys
from stgrpo.__main__ import main

status = main(sys.argv[1:])
own = int(re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1])
print(json.dumps([status, own // 1024, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss // 1024]))
"""
_LONG = 500 << 20


@pytest.fixture(scope="module")
def long_line(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A list of one record, in one line of 500 MB."""
    path = tmp_path_factory.mktemp("long") / "line.json"
    block = b"x" * (1 << 20)
    with path.open("wb") as out:
        out.write(b'[{"problem": "')
        for _ in range(_LONG // len(block)):
            out.write(block)
        out.write(b'"}]\n')
    yield path
    path.unlink()


def _on_disk(folder: Path) -> int:
    """Bytes that the disk holds of a folder, holes left out."""
    return sum(path.lstat().st_blocks for path in folder.rglob("*")) * 512


def measured(words: list[str], folder: Path) -> tuple[int, str, int]:
    """A verb in a process of its own: its exit status, what it says, and MiB of memory, its children's too.

    Nothing is left that the disk would feel.
    """
    before = _on_disk(folder)
    ran = subprocess.run(
        [sys.executable, "-c", _MEASURE, *words],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    status, own, children = json.loads(ran.stdout.splitlines()[-1])
    print(f"{words[0]}: {own} MiB, a child {children} MiB: {ran.stderr.strip()[-300:]}")
    assert _on_disk(folder) - before < 1 << 20
    return status, ran.stderr, max(own, children)


@pytest.mark.slow
def test_a_record_of_500_megabytes(tmp_path: Path, long_line: Path):
    os.link(long_line, tmp_path / "Video-R1-260k.json")
    status, said, memory = measured(given.preparing(tmp_path), tmp_path)
    assert (status, said) == (
        2,
        f"prepare: {tmp_path}/Video-R1-260k.json: record 0 is longer than 64 MB, no record is; remove it and fetch the "
        "source again (snakemake TARGET -R fetch)\n",
    )
    assert memory < 400


@pytest.mark.slow
@pytest.mark.parametrize("name", ["all.jsonl", "mmvu.jsonl"], ids=["predictions", "questions"])
def test_a_line_of_500_megabytes(tmp_path: Path, long_line: Path, name: str):
    words = given.grading(tmp_path)
    (tmp_path / name).unlink()
    os.link(long_line, tmp_path / name)
    status, said, memory = measured(words, tmp_path)
    assert (status, said) == (
        2,
        f"grade: {tmp_path}/{name}:1: longer than 64 MB, no line is; remove the file and run again\n",
    )
    assert memory < 400


@pytest.mark.slow
def test_a_metric_of_500_megabytes(tmp_path: Path, long_line: Path):
    trainings = runs(tmp_path)
    metrics = Path(trainings[1]) / "train.jsonl"
    metrics.unlink()
    os.link(long_line, metrics)
    words = ["figure", "--spec", FIGURE.model_dump_json(), "--runs", *trainings]
    status, said, memory = measured([*words, "--pdf", "f.pdf", "--png", "f.png"], tmp_path)
    assert (status, said) == (2, f"figure: {metrics}:1: longer than 64 MB, no line is; remove the file and run again\n")
    assert memory < 400


@pytest.mark.slow
def test_an_origin_of_500_megabytes(tmp_path: Path, long_line: Path):
    words = given.grading(tmp_path)
    (tmp_path / "policy/made_by.json").unlink()
    os.link(long_line, tmp_path / "policy/made_by.json")
    status, said, memory = measured(words, tmp_path)
    assert (status, said) == (
        2,
        "grade: policy/made_by.json: 500 MB long, no JSON here has more than 128 MB; remove it and run again\n",
    )
    assert memory < 400


def _records(folder: Path) -> None:
    rows = [given.RECORD, {**given.RECORD, "problem_id": 2, "path": "./2.mp4"}]
    (folder / "Video-R1-260k.json").write_text(json.dumps(rows))


def _ten_gigabytes(path: Path) -> None:
    """A good video between whose frames and whose index lie ten gigabytes of nothing, as its boxes say."""
    good = given.video()
    start = good.index(b"mdat") - 4
    size = int.from_bytes(good[start : start + 4], "big")
    index = bytearray(good[start + size :])
    at = index.index(b"stco") + 12
    index[at : at + 4] = (int.from_bytes(index[at : at + 4], "big") + 8).to_bytes(4, "big")
    with path.open("wb") as out:
        out.write(good[:start] + (1).to_bytes(4, "big") + b"mdat" + (10 << 30).to_bytes(8, "big"))
        out.write(good[start + 8 : start + size])
        out.seek(start + (10 << 30))
        out.write(index)


@pytest.mark.slow
def test_a_video_of_ten_gigabytes_of_nothing(tmp_path: Path):
    (tmp_path / "1.mp4").write_bytes(given.video())
    _ten_gigabytes(tmp_path / "2.mp4")
    assert (tmp_path / "2.mp4").stat().st_size > 10 << 30
    _records(tmp_path)
    status, _, memory = measured(given.preparing(tmp_path), tmp_path)
    assert status == 0 and memory < 1000
    assert len((tmp_path / "out.jsonl").read_text().splitlines()) == 2
    with FrameReader() as reader:
        one, other = (reader.read(tmp_path / name, given.FRAMES) for name in ("1.mp4", "2.mp4"))
    assert np.array_equal(one, other)


def _drawn(path: Path, height: int, width: int) -> None:
    """Sixteen grey frames."""
    with av.open(str(path), "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=10)
        stream.height, stream.width, stream.pix_fmt = height, width, "yuv420p"
        stream.options = {
            "preset": "ultrafast",
            "threads": "1",
            "x264-params": "cpu-independent=1:rc-lookahead=0:ref=1",
        }
        frame = av.VideoFrame(width, height, "yuv420p")
        for plane in frame.planes:
            np.frombuffer(plane, np.uint8)[:] = 100  # pyright: ignore[reportArgumentType, reportCallIssue]
        for number in range(16):
            frame.pts = number
            container.mux(stream.encode(frame))
        container.mux(stream.encode())


def _kept_beside(folder: Path, height: int, width: int) -> int:
    """Questions that are left of one about a good video and one about a video of such frames."""
    (folder / "1.mp4").write_bytes(given.video())
    _drawn(folder / "2.mp4", height, width)
    _records(folder)
    status, _, memory = measured(given.preparing(folder), folder)
    assert status == 0 and memory < 4200
    return len((folder / "out.jsonl").read_text().splitlines())


@pytest.mark.slow
def test_a_video_of_huge_frames(tmp_path: Path):
    """Of 200 MB each, in a file of 200 kB: more pixels than are read, perhaps more than a decoder may hold (4 GiB)."""
    assert _kept_beside(tmp_path, 8192, 8192) == 1
    assert "2.mp4" in (tmp_path / "aside.csv").read_text().splitlines()[1]


@pytest.mark.slow
def test_a_video_of_the_largest_frames(tmp_path: Path):
    """8K, of 100 MB each."""
    assert _kept_beside(tmp_path, 4320, 7680) == 2


def _all_directory(path: Path) -> None:
    """A zip of three gigabytes of nothing, and an end record that says all of it is its directory."""
    with path.open("wb") as out:
        out.truncate(3 << 30)
        out.seek(3 << 30)
        out.write(b"PK\x05\x06" + bytes(8) + (3 << 30).to_bytes(4, "little") + bytes(6))


@pytest.mark.slow
def test_a_zip_that_is_all_directory(tmp_path: Path):
    words = fetching(tmp_path, _all_directory)
    status, said, memory = measured(words, tmp_path)
    assert (status, said) == (
        2,
        f"fetch: {tmp_path}/resources/mmvu/videos.zip: damaged archive (its directory would be 3221 MB long); remove "
        "it and run again\n",
    )
    assert memory < 400


@pytest.mark.slow
def test_a_zip_that_claims_a_terabyte(tmp_path: Path):
    from malformed.archives import terabyte

    status, said, memory = measured(fetching(tmp_path, lambda path: path.write_bytes(terabyte())), tmp_path)
    assert status == 2 and "unpacks to 1000 GB" in said
    assert memory < 400


def test_what_is_nested_without_end_takes_no_memory(tmp_path: Path):
    path = tmp_path / "deep.json"
    path.write_text("[" * 100_000)
    for read in (read_json, read_rows):
        with pytest.raises(UserError, match=r"(nested without end|recursion)"):
            read(path)
    path.write_text('[{"a": ' + "[" * 100_000 + "]" * 100_000 + ', "b": 1}, 2]')
    first, second = read_list(path)
    assert (first["b"], second) == (1, 2)
