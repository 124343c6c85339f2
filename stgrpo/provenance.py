"""Where a result comes from: the block that every JSON carries."""

import hashlib
import json
import os
import platform
import socket
import subprocess
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from stgrpo import __version__
from stgrpo.errors import UserError

_PACKAGES = (
    *("torch", "transformers", "tokenizers", "safetensors", "trl", "accelerate", "deepspeed", "peft", "datasets"),
    *("decord", "av", "pillow", "numpy", "pandas", "pyarrow", "scipy", "statsmodels", "rouge-score", "jiwer"),
    *("snakemake",),
)
_SLURM = ("SLURM_JOB_ID", "SLURM_JOB_NODELIST", "SLURM_JOB_PARTITION", "SLURMD_NODENAME")
_DECIDES = ("stgrpo", "envs", "workflow", ":(exclude)workflow/resources/locks")
COMMIT, DIRTY = "STGRPO_COMMIT", "STGRPO_DIRTY"
IMAGE, IMAGE_FILE = "STGRPO_IMAGE", "STGRPO_IMAGE_FILE"  # its hash, and what tells its file from another one


_NOTHING: Mapping[str, str] = {}


def provenance(
    spec: str,
    *,
    seed: int | None = None,
    device: str = "cpu",
    data: Mapping[str, str] = _NOTHING,
    inputs: Mapping[str, str] = _NOTHING,
    outputs: Mapping[str, str] = _NOTHING,
    **more: Any,
) -> dict[str, Any]:
    """Commit, image, package versions, machine and time, with whatever else identifies the result.

    Args:
        spec: hash of the spec that made it.
        seed: that the result, or the weights that answered, were made with; None where none decides it.
        device: that computed it.
        data: `lock_hash` of every source that it was made from, by the source's name.
        inputs: SHA-256 of the files that it was made from, by their paths from the root of the project.
        outputs: SHA-256 of the files made, by their paths from where this block stands.
        more: what only some results have, such as `resolved`, the spec in full.
    """
    return {
        "spec": spec,
        "seed": seed,
        "device": device,
        "data": dict(data),
        "inputs": dict(inputs),
        "outputs": dict(outputs),
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


def lock_hash(files: Iterable[Mapping[str, Any]]) -> str:
    """Sixteen hexadecimal digits that stand for a source's files: the SHA-256 of their paths, sizes and SHA-256s."""
    listed = sorted((file["path"], file["size"], file["sha256"]) for file in files)
    return digest_of(json.dumps(listed, separators=(",", ":")))


def digest_of(text: str) -> str:
    """Sixteen hexadecimal digits of a text's SHA-256."""
    return hashlib.sha256(text.encode()).hexdigest()[:16]


@cache
def commit() -> dict[str, Any]:
    """Git commit of the code, and whether what decides results differs from it; both null outside a clone.

    A verb asks as it starts, for what is committed while it runs is not what it has read. The locks of sources are
    written by `fetch`, and config.yaml is everybody's own: specs and data say what was in them.
    The image has no git; there the workflow says it, which reads it before it enters the image (`stgrpo.image`).
    """
    root = Path(__file__).parent.parent

    def git(*words: str) -> str | None:
        done = subprocess.run(["git", "-C", str(root), *words], capture_output=True, text=True, check=False)
        return done.stdout.strip() if done.returncode == 0 else None

    if COMMIT in os.environ:
        return {"commit": os.environ[COMMIT] or None, "dirty": {"1": True, "0": False}.get(os.environ[DIRTY])}
    try:
        sha, changes = git("rev-parse", "HEAD"), git("status", "--porcelain", "--", *_DECIDES)
    except FileNotFoundError:  # no git
        sha = changes = None
    return {"commit": sha, "dirty": None if changes is None else bool(changes)}


@cache
def image() -> dict[str, str | None] | None:
    """The image that this process runs in, null outside one.

    A verb asks as it starts: the hash was taken when the run began, and does not hold for what replaced the file since.
    Where the file cannot be seen from inside, it is taken for the same.

    Raises:
        UserError: it is another file by now.
    """
    if path := os.environ.get("APPTAINER_CONTAINER"):
        said = os.environ.get(IMAGE_FILE)
        if said and Path(path).exists() and image_file(Path(path)) != said:
            raise UserError(
                f"{path}: another image than when this run began; type the same again, so that results name the image "
                "that makes them"
            )
        return {"path": path, "sha256": os.environ.get(IMAGE) or None}
    return None


def image_file(path: Path) -> str:
    """What tells a file from another one that takes its place: its size and time."""
    stat = path.stat()
    return f"{stat.st_size} bytes of {stat.st_mtime_ns}"


def _versions() -> dict[str, str]:
    found = {}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found
