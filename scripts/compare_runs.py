"""Compare the results of two runs of one scale, byte for byte, but for times and for what names a job or a machine.

    python scripts/compare_runs.py CLONE OTHER_CLONE

Prints every file that differs, and ends with status 1 if one does.
"""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

# Of a JSON: when, by which process and on which machine something was made, and how often a training was interrupted.
_NOT_COMPARED = {"finished", "began", "host", "slurm", "attempts"}
_OF_A_STEP = {"seconds"}  # of a line of train.jsonl
_HASHES = {"inputs", "outputs"}  # of files; those of files that hold such fields differ with them
# What only says when and how: Snakemake's logs and timings, what is left of states, and the page that shows times.
_FOLDERS = {"logs", "timing", "state"}
_FILES = {"report.html", ".snakemake_timestamp"}


def main() -> int:
    """Compare and print."""
    first, second = (Path(word) for word in sys.argv[1:3])
    found = list(differences(first, second))
    print("\n".join(found) or f"{len(results(first))} files are equal")
    return int(bool(found))


def differences(first: Path, second: Path) -> Iterator[str]:
    """One line a file that only one of two clones has, or that differs."""
    one, other = results(first), results(second)
    for name in sorted(one.keys() | other.keys()):
        if name not in one or name not in other:
            yield f"{name}: only in {first if name in one else second}"
        elif content(one[name]) != content(other[name]):
            yield f"{name}: differs"


def results(clone: Path) -> dict[str, Path]:
    """Files of results that are compared, by their paths in the clone."""
    found = {}
    for path in (clone / "results").rglob("*"):
        name = path.relative_to(clone)
        if path.is_file() and not _FOLDERS & set(name.parts) and path.name not in _FILES:
            found[str(name)] = path
    return found


def content(path: Path) -> Any:
    """What must be equal of a file."""
    if path.suffix == ".json":
        return _lasting(json.loads(path.read_text(encoding="utf-8")))
    if path.name == "train.jsonl" and path.parent.name != "questions":
        rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        return [{key: value for key, value in row.items() if key not in _OF_A_STEP} for row in rows]
    return path.read_bytes()


def _lasting(value: Any) -> Any:
    if isinstance(value, list):
        return [_lasting(one) for one in value]
    if not isinstance(value, dict):
        return value
    kept = {key: _lasting(one) for key, one in value.items() if key not in _NOT_COMPARED}
    if set(kept) == {"path", "sha256"} and kept["path"].endswith(".sif"):  # an image, wherever it lies
        return kept["sha256"]
    for key in _HASHES & kept.keys():
        kept[key] = {name: _if_lasting(name, digest) for name, digest in kept[key].items()}
    return kept


def _if_lasting(name: str, digest: str) -> str:
    told = name.endswith((".json", ".html")) or Path(name).name == "train.jsonl" and "questions" not in name
    return "holds times" if told else digest


if __name__ == "__main__":
    sys.exit(main())
