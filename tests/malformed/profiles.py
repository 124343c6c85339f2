"""A profile of one's own, a changed copy of `slurm/`, through Snakemake: its line, before any rule is looked at."""

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from support import ROOT

from malformed.harness import Case, pinned

_GOOD = (ROOT / "slurm" / "config.yaml").read_text(encoding="utf-8")


def _with(key: str, value: str) -> str:
    """The profile with another value of one key."""
    changed, count = re.subn(rf"(?m)^{key}:.*$", f"{key}: {value}", _GOOD)
    assert count == 1, key
    return changed


def _planned(content: str | bytes) -> Callable[[Path], int]:
    """A dry run with this profile. Snakemake shows its usage above what it has to say, which may take several lines."""

    def run(folder: Path) -> int:
        (folder / "mine").mkdir()
        (folder / "mine/config.yaml").write_bytes(content if isinstance(content, bytes) else content.encode())
        words = ["snakemake", "--snakefile", str(ROOT / "workflow/Snakefile"), "-n", "--profile", "mine"]
        ran = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
        text = ran.stderr + ran.stdout
        said = re.search(r"(?m)^(?:snakemake: error|Error): (?s:(.*))\Z", text)
        assert said and ran.returncode in (1, 2) and "Traceback" not in text, (ran.returncode, text)
        print("snakemake:", " ".join(said[1].split()), file=sys.stderr)
        return 2

    return run


_CASES: list[tuple[str, str | bytes]] = [
    ("an empty file", ""),
    ("a list", "- executor\n- slurm\n"),
    ("a bracket that is not closed", f"{_GOOD}\nset-resources: [\n"),
    ("no UTF-8", _GOOD.encode() + b"# \xe9\n"),
    ("a tab for blanks", f"{_GOOD}\n\tretries: 2\n"),
    ("control characters", f"{_GOOD}\nretries: \x07\n"),
    ("a key misspelt", f"{_GOOD}\nretrys: 2\n"),
    ("an executor that there is none of", _with("executor", "slrum")),
    ("another way to bring software", _with("software-deployment-method", "docker")),
    ("jobs in words", _with("jobs", "many")),
    ("less than one job", _with("jobs", "-1 or so")),
    ("cores in words", _with("cores", "half")),
    ("half a try", _with("retries", "2.5")),
    ("perhaps for yes or no", _with("slurm-requeue", "perhaps")),
    ("patience in words", _with("latency-wait", "a while")),
    ("a list for a number", _with("retries", "[1, 2]")),
]
CASES = [Case("profiles", what, _planned(content), pinned(f"profiles: {what}")) for what, content in _CASES]
