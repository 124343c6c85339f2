"""Where a result comes from: the block that every JSON carries."""

import os
import platform
import socket
import subprocess
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from stgrpo import __version__
from stgrpo.files import sha256, write_text

_PACKAGES = ("torch", "transformers", "trl", "accelerate", "deepspeed", "decord", "pandas", "snakemake")
_SLURM = ("SLURM_JOB_ID", "SLURM_JOB_NODELIST", "SLURM_JOB_PARTITION", "SLURMD_NODENAME")
_COMMIT, _DIRTY, _IMAGE = "STGRPO_COMMIT", "STGRPO_DIRTY", "STGRPO_IMAGE"


def provenance(spec: str, **more: Any) -> dict[str, Any]:
    """Commit, spec hash, package versions, machine and time, with whatever else identifies the result."""
    return {
        "spec": spec,
        **more,
        "stgrpo": __version__,
        **commit(),
        "image": image(),
        "python": platform.python_version(),
        "packages": _versions(),
        "host": socket.gethostname(),
        "slurm": {name: os.environ[name] for name in _SLURM if name in os.environ},
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
    }


@cache
def commit() -> dict[str, Any]:
    """Git commit of the code, and whether the working tree differs from it; both null outside a clone.

    The image has no git; there the workflow says it, which reads it before it enters the image (`handed_over`).
    """
    root = Path(__file__).parent

    def git(*words: str) -> str | None:
        done = subprocess.run(["git", "-C", str(root), *words], capture_output=True, text=True, check=False)
        return done.stdout.strip() if done.returncode == 0 else None

    if _COMMIT in os.environ:
        return {"commit": os.environ[_COMMIT] or None, "dirty": {"1": True, "0": False}.get(os.environ[_DIRTY])}
    try:
        sha, changes = git("rev-parse", "HEAD"), git("status", "--porcelain", "--", str(root))
    except FileNotFoundError:  # no git
        sha = changes = None
    return {"commit": sha, "dirty": None if changes is None else bool(changes)}


def image() -> dict[str, str | None] | None:
    """The image that this process runs in, null outside one."""
    if path := os.environ.get("APPTAINER_CONTAINER"):
        return {"path": path, "sha256": os.environ.get(_IMAGE)}
    return None


def handed_over(container: Path) -> dict[str, str]:
    """Environment variables that tell a verb inside an image what it cannot see from there."""
    found, mark = commit(), hash_file(container)
    return {
        _COMMIT: found["commit"] or "",
        _DIRTY: {True: "1", False: "0", None: ""}[found["dirty"]],
        _IMAGE: mark.read_text(encoding="utf-8").split()[0] if mark.exists() else "",
    }


def hash_file(container: Path) -> Path:
    """Where an image's SHA-256 stands, as `sha256sum` writes it."""
    return container.with_name(container.name + ".sha256")


def seal(container: Path) -> None:
    """Write an image's hash beside it, unless one stands there that is as new as the image: gigabytes are read once."""
    mark = hash_file(container)
    if not mark.exists() or mark.stat().st_mtime < container.stat().st_mtime:
        write_text(mark, f"{sha256(container)}  {container.name}\n")


def _versions() -> dict[str, str]:
    found = {}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found
