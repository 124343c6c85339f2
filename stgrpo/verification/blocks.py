"""The chain of hashes: every block of provenance, the files that it says it is made from, and those that it made."""

import hashlib
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stgrpo.errors import UserError
from stgrpo.files import read_json
from stgrpo.provenance import lock_hash, provenance
from stgrpo.verification.tree import Hashes, Mismatch, guarded, walk

ENDING = ".provenance.json"
MADE_BY = "made_by.json"
_KEYS = tuple(provenance(""))  # what every block says
_NEVER_EMPTY = ("spec", "device", "stgrpo", "python", "host", "finished")  # words; a commit is null outside a clone
_BLOCKS = ("train.json", MADE_BY, "metrics.json")
_MADE = (".jsonl", ".tex", ".csv", ".pdf", ".png", ".html", ".parquet", ".safetensors")  # what some block must know


@dataclass(frozen=True)
class Block:
    """A block of provenance and the JSON that it stands in.

    Attributes:
        path: of the JSON.
        scale: folder of its scale's results.
    """

    path: Path
    scale: Path
    block: Mapping[str, Any]
    around: Mapping[str, Any]

    @property
    def place(self) -> tuple[str, ...]:
        """Path below the results of its scale, in parts."""
        return self.path.relative_to(self.scale).parts

    @property
    def made(self) -> dict[Path, str]:
        """Hashes of the files that it vouches for."""
        weights = self.around.get("weights", {}) if self.path.name != "metrics.json" else {}
        outputs = self.block.get("outputs", {}) | {f"model/{name}": digest for name, digest in weights.items()}
        # What a training says stands in the folder of its weights too, in the same words.
        home = self.path.parent.parent if weights and self.path.name == MADE_BY else self.path.parent
        return {home / name: digest for name, digest in outputs.items()}


def is_block(path: Path) -> bool:
    """Whether a file is one that holds provenance."""
    return path.name.endswith(ENDING) or path.name in _BLOCKS


def read_blocks(scale: Path, files: Iterable[Path]) -> tuple[list[Block], list[Mismatch]]:
    """Every block among the files of a scale, and those that cannot be read or leave something out."""
    found: list[Block] = []
    broken: list[Mismatch] = []
    for path in filter(is_block, files):
        broken += guarded(path, _read(path, scale, found))
    return found, broken


def _read(path: Path, scale: Path, found: list[Block]) -> Iterator[Mismatch]:
    if not path.is_file():
        raise UserError(f"{path}: is no file, or a link that leads nowhere")
    around = read_json(path)
    if not isinstance(around, dict) or not isinstance(block := around.get("provenance", around), dict):
        raise UserError(f"{path}: holds no provenance")
    if missing := [key for key in _KEYS if key not in block]:
        yield Mismatch(path, f"does not say its {', '.join(missing)}; made by older code, make it again")
        return
    for name in ("data", "inputs", "outputs", "packages"):
        if not isinstance(block[name], dict) or not all(isinstance(value, str) for value in block[name].values()):
            raise UserError(f"{path}: its {name} are no names with texts")
    if not isinstance(around.get("weights", {}), dict):
        raise UserError(f"{path}: its weights are no names with hashes")
    found.append(Block(path, scale, block, around))


def fingerprint(results: Path, paths: Iterable[Path]) -> str:
    """Sixteen hexadecimal digits that stand for all blocks: of the SHA-256 of their paths and hashes."""
    hashes, digest = Hashes(), hashlib.sha256()
    for path in sorted(path for path in paths if path.is_file() and os.access(path, os.R_OK)):
        digest.update(os.fsencode(path.relative_to(results)) + f" {hashes[path]}\n".encode())
    return digest.hexdigest()[:16]


def check_chain(block: Block, root: Path, hashes: Hashes) -> Iterator[Mismatch]:
    """What a block leaves empty, and files that are not what it says."""
    unsaid = [key for key in _NEVER_EMPTY if not (block.block[key] and isinstance(block.block[key], str))]
    if not block.block["packages"]:
        unsaid.append("packages")
    if unsaid:
        yield Mismatch(block.path, f"says nothing for its {', '.join(unsaid)}")
    if block.block["inputs"] and not block.block["data"]:
        yield Mismatch(block.path, "is made from files, but says no data")
    yield from _files(block.made, hashes, f"since {block.path.name} was written")
    yield from _files(_inputs(block, root), hashes, f"since {block.path} was made from it")
    scale = block.scale.name
    strange = [name for name in block.block["inputs"] if Path(name).parts[0] == "results" and not _inside(name, scale)]
    if strange:
        yield Mismatch(block.path, f"is made from {strange[0]}, stands in the results of scale {scale}")


def check_known(scale: Path, files: Iterable[Path], blocks: Iterable[Block]) -> Iterator[Mismatch]:
    """Files that no block knows: what looks like a result, and anything in a model's folder."""
    blocks = list(blocks)
    known = {path for block in blocks for path in block.made}
    models = {block.path.parent for block in blocks if block.path.name == MADE_BY}
    for path in files:
        if path in known or path.name.startswith(".") or path.name == MADE_BY:
            continue
        if path.suffix in _MADE or any(folder in models for folder in path.parents):
            yield Mismatch(path, "nothing says where it comes from")


def check_data(scale: Path, root: Path, blocks: Iterable[Block]) -> Iterator[Mismatch]:
    """Lock hashes: of one source everywhere the same, and that of the files that its listing names."""
    told: dict[str, Block] = {}
    for one in sorted(blocks, key=lambda one: "questions" not in one.place):
        for source, found in one.block["data"].items():
            first = told.setdefault(source, one)
            if found != (other := first.block["data"][source]):
                yield Mismatch(one.path, f"says data {source}@{found}, {first.path} says {source}@{other}")
    for source, one in told.items():
        listing = root / "resources" / scale.name / f"{source}.json"
        if listing.exists():
            yield from guarded(listing, _listed(listing, source, one))


def _listed(listing: Path, source: str, one: Block) -> Iterator[Mismatch]:
    if (found := lock_hash(read_json(listing)["files"])) != (said := one.block["data"][source]):
        yield Mismatch(one.path, f"says data {source}@{said}, {listing} is {source}@{found}")


def weights_of(folder: Path) -> list[Path]:
    """Files of a model's weights."""
    return sorted(path for path in walk(folder) if path.suffix == ".safetensors")


def _inside(name: str, scale: str) -> bool:
    return Path(name).parts[:2] == ("results", scale)


def _inputs(one: Block, root: Path) -> dict[Path, str]:
    """What a block was made from; of what lies outside the results, what is there."""
    found = {}
    for name, digest in one.block["inputs"].items():
        inside = _inside(name, one.scale.name)
        path = one.scale.joinpath(*Path(name).parts[2:]) if inside else root / name
        if inside or path.exists():
            found[path] = digest
    return found


def _files(files: Mapping[Path, str], hashes: Hashes, since: str) -> Iterator[Mismatch]:
    for path, digest in files.items():
        if not path.is_file():
            yield Mismatch(path, "is gone" if not path.exists() else "is no file")
        elif hashes[path] != digest:
            yield Mismatch(path, f"changed {since}")
