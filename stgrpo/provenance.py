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

_PACKAGES = ("torch", "transformers", "trl", "accelerate", "deepspeed", "decord", "pandas", "snakemake")
_SLURM = ("SLURM_JOB_ID", "SLURM_JOB_NODELIST", "SLURM_JOB_PARTITION", "SLURMD_NODENAME")
COMMIT, DIRTY, IMAGE = "STGRPO_COMMIT", "STGRPO_DIRTY", "STGRPO_IMAGE"


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

    The image has no git; there the workflow says it, which reads it before it enters the image (`stgrpo.image`).
    """
    root = Path(__file__).parent

    def git(*words: str) -> str | None:
        done = subprocess.run(["git", "-C", str(root), *words], capture_output=True, text=True, check=False)
        return done.stdout.strip() if done.returncode == 0 else None

    if COMMIT in os.environ:
        return {"commit": os.environ[COMMIT] or None, "dirty": {"1": True, "0": False}.get(os.environ[DIRTY])}
    try:
        sha, changes = git("rev-parse", "HEAD"), git("status", "--porcelain", "--", str(root))
    except FileNotFoundError:  # no git
        sha = changes = None
    return {"commit": sha, "dirty": None if changes is None else bool(changes)}


def image() -> dict[str, str | None] | None:
    """The image that this process runs in, null outside one."""
    if path := os.environ.get("APPTAINER_CONTAINER"):
        return {"path": path, "sha256": os.environ.get(IMAGE) or None}
    return None


def _versions() -> dict[str, str]:
    found = {}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found
