"""The verbs: one module each, with `register(parser)` and `run(args)`; its docstring is the help text."""

import errno
import gc
import os
import socket
from argparse import ArgumentParser
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

from stgrpo.errors import UserError
from stgrpo.files import NO_SPACE, hashes, read_json, sha256, write_json
from stgrpo.provenance import provenance
from stgrpo.specs import Spec

_FORBIDDEN = (errno.EROFS, errno.EACCES, errno.EPERM)
MADE_BY = "made_by.json"  # in a model's folder: spec and provenance

VERBS = {
    "demo": "render the demo's world in the corpora's original formats",
    "warm": "make and train the demo's tiny models",
    "fetch": "bring a source's files, checked and unpacked",
    "adopt": "put a fetched model where the cells look for theirs",
    "prepare": "turn a corpus or a benchmark into questions",
    "score": "score the frames of the training questions",
    "train": "train one cell",
    "evaluate": "answer the benchmarks' questions with a cell",
    "grade": "score a cell's answers",
    "tabulate": "make a table from the cells' scores",
    "figure": "draw a figure from the trainings' metrics",
    "report": "make the page that shows what a scale's cells left",
    "publish": "put the active scale's results at the top of results/",
    "schema": "write the JSON schema of config.yaml",
    "plan": "show what is done, running, stale or missing, and what the rest costs",
    "doctor": "say what this machine and configuration lack for a scale",
    "launch": "submit the training of one cell, outside of Snakemake",
    "verify": "check results by themselves: hashes, specs, every number again from the predictions",
    "audit": "check the paper by its own numbers",
}


def load_verb(name: str) -> ModuleType:
    """The module of a verb, read only when it runs."""
    return import_module(f"stgrpo.commands.{name}")


@contextmanager
def importing() -> Iterator[None]:
    """Around imports of torch and what stands on it, to make them a sixth shorter.

    They make a million objects, all of which stay, so that looking for garbage among them is in vain.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


def add_spec(parser: ArgumentParser) -> None:
    """The resolved spec, as the workflow hands it over."""
    parser.add_argument("--spec", required=True, metavar="JSON", help="the job's resolved spec (stgrpo.specs)")


def add_scale(parser: ArgumentParser) -> None:
    """Which scale of config.yaml a person asks about."""
    parser.add_argument("--scale", help="another scale than the one that config.yaml chooses")


def add_threads(parser: ArgumentParser) -> None:
    """The number of threads is set, never guessed."""
    parser.add_argument("--threads", type=int, default=1, help="threads of the arithmetic (default: 1)")


def model_files(folder: Path) -> list[Path]:
    """Everything in a model's folder but what we say about it; weights first.

    Raises:
        UserError: there are no weights.
    """
    weights = sorted(folder.glob("*.safetensors"))
    if not weights:
        raise UserError(f"{folder}: no weights (*.safetensors); expected a folder written by save_pretrained")
    others = [path for path in sorted(folder.iterdir()) if path.is_file() and path not in weights]
    return [*weights, *(path for path in others if path.name != MADE_BY and not path.name.startswith("."))]


def made_by(folder: Path, wanted: str) -> dict[str, Any]:
    """The provenance of a model, which must be of the spec that is `wanted` ("name@hash").

    Raises:
        UserError: the model was made by another spec, or says nothing of its origin.
    """
    block = origin_of_model(folder)
    if block["spec"] != wanted.partition("@")[2]:
        raise UserError(
            f"{folder}: made by spec {block['spec']}, the configuration asks for {wanted}; make it again "
            "(snakemake TARGET -R train, or -R warm_policy for the policy to start from)"
        )
    return block


def origin_of_model(folder: Path) -> dict[str, Any]:
    """The provenance of a model.

    Raises:
        UserError: it says nothing of its origin.
    """
    made = read_json(folder / MADE_BY)
    block = made.get("provenance") if isinstance(made, dict) else None
    if not isinstance(block, dict) or not isinstance(block.get("spec"), str):
        raise UserError(f"{folder / MADE_BY}: holds no provenance; make the model again, or adopt it (stgrpo adopt)")
    return block


def inherited(*origins: Path) -> tuple[dict[str, str], dict[str, str]]:
    """What is taken over from the provenance of inputs; from what was made by hand, and has none, nothing.

    Returns:
        Lock hashes by source of all data behind it; hashes of the files that say so, for the chain not to end there.
    """
    said = [origin for origin in origins if origin.exists()]
    data: dict[str, str] = {}
    for origin in said:
        block = read_json(origin)
        if not isinstance(block, dict):
            raise UserError(f"{origin}: no provenance, a {type(block).__name__}; remove it and run again")
        block = block.get("provenance", block)
        if not isinstance(block, dict) or not isinstance(block.get("data", {}), dict):
            raise UserError(f"{origin}: holds no provenance; remove it and run again")
        data |= block.get("data", {})
    return data, hashes(said)


def refuse_lost_gpus() -> None:
    """Refuse to compute on CPUs what Slurm has given GPUs for; it would take months.

    Raises:
        UserError: torch sees none of them.
    """
    import torch

    given = os.environ.get("SLURM_GPUS_ON_NODE")
    if given and not torch.cuda.is_available():
        raise UserError(
            f"Slurm gave this job {given} GPUs on {socket.gethostname()}, but torch sees none; see that nvidia-smi "
            "works there, and in the image (apptainer-args: --nv), and run again"
        )


def device_name() -> str:
    """What torch computes on here: "cpu", or the GPU's name."""
    import torch

    return torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu"


def origin_of(path: Path) -> Path:
    """Where the provenance of a result stands that is no JSON itself."""
    return path.with_suffix(".provenance.json")


def vouch(spec: Spec, inputs: Sequence[Path], *outputs: Path) -> None:
    """Provenance of a table, a figure or the report: its whole spec, and hashes of all that it was made from.

    It stands beside the first of the outputs.
    """
    made = {path.name: sha256(path) for path in outputs}
    data, _ = inherited(*(path for path in inputs if path.suffix == ".json"))
    block = provenance(spec.hash(), data=data, inputs=hashes(inputs), outputs=made)
    write_json(origin_of(outputs[0]), {"spec": spec.model_dump(mode="json"), "provenance": block})


def disk_trouble(error: Exception) -> str | None:
    """What to do about a disk that is full, read-only or somebody else's; None if the error is of another kind."""
    if out_of_space(error):
        return "no space left on the disk; free some and run again"
    if isinstance(error, OSError) and error.errno in _FORBIDDEN:
        return f"{os.strerror(error.errno)}; see that it can be read and written, and run again"
    return None


def out_of_space(error: Exception) -> bool:
    """Whether an error says that a disk is full or a quota spent: by its number, or, in safetensors', by its words."""
    if isinstance(error, OSError) and error.errno in NO_SPACE:
        return True
    return any(os.strerror(number) in str(error) for number in NO_SPACE)
