"""Results to alter, and what `stgrpo verify` says of them."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from stgrpo.__main__ import main
from stgrpo.files import read_json, sha256, write_json


def copy_results(clone: Path, folder: Path) -> Path:
    """A copy of a run's results, of the lists of its sources and of the paper's numbers."""
    shutil.copytree(clone / "results", folder / "results", ignore=shutil.ignore_patterns("state"))
    (folder / "resources/smoke").mkdir(parents=True)
    for listing in (clone / "resources/smoke").glob("*.json"):
        shutil.copy(listing, folder / "resources/smoke")
    (folder / "workflow/resources").mkdir(parents=True)
    shutil.copy(clone / "workflow/resources/reported.csv", folder / "workflow/resources")
    return folder / "results"


def verified(results: Path, capsys: pytest.CaptureFixture[str]) -> tuple[list[str], str]:
    """What does not match, a line each, and the fingerprint; the last line, which counts, is checked here."""
    capsys.readouterr()
    try:
        status = main(["verify", str(results)])
    except SystemExit as end:
        status = end.code
    *lines, last = capsys.readouterr().out.splitlines()
    assert status == (1 if lines else 0)
    counted, _, fingerprint = last.rpartition("; fingerprint ")
    assert counted.endswith(f"{len(lines)} mismatches" if lines else "all match")
    assert len(fingerprint) == 16
    return lines, fingerprint


def altered(path: Path, change: Callable[[Any], object]) -> None:
    """A JSON with a change."""
    found = read_json(path)
    change(found)
    write_json(path, found)


def rehash(results: Path) -> None:
    """What a forger does last: every hash, and every copy of a block, is made to match again."""
    scale = results / "smoke"
    paths = [
        p for name in ("*.provenance.json", "train.json", "made_by.json", "metrics.json") for p in scale.rglob(name)
    ]
    before = None
    while before != (before := {path: path.read_bytes() for path in paths}):
        for path in paths:
            altered(path, lambda found, path=path: _rehash(found, path, results))


def _rehash(found: dict[str, Any], path: Path, results: Path) -> None:
    block, folder = found.get("provenance", found), path.parent
    if path.name == "made_by.json" and (folder.parent / "train.json").exists():
        found.update(read_json(folder.parent / "train.json"))
        return
    if path.name == "metrics.json":
        trained = folder / "train.json"
        found["weights"] = read_json(trained if trained.exists() else results / "smoke/policy/made_by.json")[
            "provenance"
        ]
        found["evaluations"] = {"all": read_json(folder / "eval/all.provenance.json")}
    for hashes, root in ((block.get("inputs"), results.parent), (block.get("outputs"), folder)):
        for name in hashes or {}:
            hashes[name] = sha256(root / name)
