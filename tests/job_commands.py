"""The jobs of a finished run as the workflow starts them, to be started again by hand with other places to write to."""

import errno
import re
import shlex
from collections.abc import Mapping
from pathlib import Path

from support import snakemake

WRITTEN = {  # the options that name what a verb writes
    *("--out", "--aside", "--tex", "--csv", "--pdf", "--png", "--state", "--provenance"),
}


def commands(clone: Path) -> dict[str, list[str]]:
    """The words of one job of each verb, after `python -m stgrpo`, with paths from the clone."""
    done = snakemake(clone, "-n", "-p", "--forceall")
    assert done.returncode == 0, done.stderr
    found: dict[str, list[str]] = {}
    for text in re.findall(r"python -m stgrpo (.*?)(?: > \S+ 2>&1)?$", done.stdout + done.stderr, re.MULTILINE):
        words = shlex.split(text)
        found.setdefault(words[0], words)
    return found


def written_to(folder: Path, words: list[str], **others: str) -> list[str]:
    """The same job writing below `folder`; `others` replaces the values of options by their names."""
    moved = list(words)
    for i, word in enumerate(words[:-1]):
        if word in WRITTEN or (words[0], word) == ("grade", "--graded"):
            moved[i + 1] = str(folder / words[i + 1])
        elif word.removeprefix("--") in others:
            moved[i + 1] = others[word.removeprefix("--")]
    return moved


def content(folder: Path) -> Mapping[str, bytes]:
    """Every file below a folder, but for states; what tells a run from its repetition in provenance is blotted out."""
    dated = re.compile(rb'"(finished|began|commit)": "[^"]*"|"(seconds|process|dirty)": [0-9.a-z-]+')
    return {
        str(path.relative_to(folder)): dated.sub(b"", path.read_bytes())
        for path in sorted(folder.rglob("*"))
        if path.is_file() and "state" not in path.relative_to(folder).parts and path.name != "lock"
    }


def fill(disk: Path, free: int) -> Path:
    """Leave `free` bytes of a disk."""
    ballast = disk / "ballast"
    with ballast.open("wb", buffering=0) as out:
        try:
            while True:
                out.write(bytes(1 << 12))
        except OSError as error:
            assert error.errno == errno.ENOSPC
        out.truncate(out.tell() - free // 4096 * 4096)
    return ballast
