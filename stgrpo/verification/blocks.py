"""The chain of hashes: every block of provenance, the files that it says it is made from, and those that it made."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from stgrpo.errors import UserError
from stgrpo.files import read_json, sha256
from stgrpo.provenance import lock_hash, provenance
from stgrpo.specs import Spec

_KEYS = tuple(provenance(""))  # what every block says
_BLOCKS = ("*.provenance.json", "train.json", "made_by.json", "metrics.json")
_MADE = (".jsonl", ".tex", ".csv", ".pdf", ".png", ".html", ".parquet", ".safetensors")  # what some block must know
_UNSAID = {"state", "logs", "timing"}  # folders of what is no result


class _Hashes(dict[Path, str]):
    """SHA-256 of files, each read once."""

    def __missing__(self, path: Path) -> str:
        self[path] = sha256(path)
        return self[path]


@dataclass(frozen=True)
class Mismatch:
    """What does not hold, and in which file."""

    where: Path
    what: str

    def __str__(self) -> str:
        return f"{self.where}: {self.what}"


@dataclass(frozen=True)
class Block:
    """A block of provenance and the JSON that it stands in."""

    path: Path
    block: Mapping[str, Any]
    around: Mapping[str, Any]

    @property
    def made(self) -> dict[Path, str]:
        """Hashes of the files that it vouches for."""
        weights = self.around.get("weights", {}) if self.path.name != "metrics.json" else {}
        outputs = self.block.get("outputs", {}) | {f"model/{name}": digest for name, digest in weights.items()}
        # What a training says stands in the folder of its weights too, in the same words.
        home = self.path.parent.parent if weights and self.path.name == "made_by.json" else self.path.parent
        return {home / name: digest for name, digest in outputs.items()}


def read_blocks(scale: Path) -> tuple[list[Block], list[Mismatch]]:
    """Every block below the results of a scale, and those that cannot be read."""
    found, broken = [], []
    for path in sorted({path for pattern in _BLOCKS for path in scale.rglob(pattern)}):
        if _UNSAID & set(path.relative_to(scale).parts):
            continue
        try:
            around = read_json(path)
            found.append(Block(path, around.get("provenance", around), around))
        except (UserError, AttributeError) as error:
            broken.append(Mismatch(path, str(error).removeprefix(f"{path}: ")))
    return found, broken


def check_blocks(scale: Path, blocks: list[Block]) -> Iterator[Mismatch]:
    """What a block leaves out, files that are not what it says, files that none knows, data that is another."""
    root = scale.parent.parent
    known: set[Path] = set()
    hashes = _Hashes()
    for one in blocks:
        if missing := [key for key in _KEYS if key not in one.block]:
            yield Mismatch(one.path, f"does not say its {', '.join(missing)}; made by older code, make it again")
            continue
        known |= set(one.made)
        yield from _files(one.made, hashes, f"since {one.path.name} was written")
        yield from _files(_inputs(one, scale, root), hashes, f"since {one.path} was made from it")
    for path in sorted(scale.rglob("*")):
        if path.suffix in _MADE and path not in known and not _UNSAID & set(path.relative_to(scale).parts):
            yield Mismatch(path, "nothing says where it comes from")
    yield from _data(scale, root, blocks)


def check_spec(path: Path, kind: type[Spec], resolved: Mapping[str, Any], said: str) -> Iterator[Mismatch]:
    """That a spec, as it stands in `path`, is one of its kind and has the hash that its provenance says."""
    try:
        found = kind.model_validate(resolved).hash()
    except ValidationError as error:
        first = error.errors()[0]
        yield Mismatch(path, f"its spec is none: {'.'.join(map(str, first['loc']))}: {first['msg']}")
        return
    if found != said:
        yield Mismatch(path, f"its spec has hash {found}, its provenance says {said}")


def _inputs(one: Block, scale: Path, root: Path) -> dict[Path, str]:
    """What a block was made from; of what lies outside the results, what is there."""
    found = {}
    for name, digest in one.block["inputs"].items():
        inside = Path(name).parts[:2] == ("results", scale.name)
        path = scale.joinpath(*Path(name).parts[2:]) if inside else root / name
        if inside or path.exists():
            found[path] = digest
    return found


def _files(files: Mapping[Path, str], hashes: _Hashes, since: str) -> Iterator[Mismatch]:
    for path, digest in files.items():
        if not path.is_file():
            yield Mismatch(path, "is gone")
        elif hashes[path] != digest:
            yield Mismatch(path, f"changed {since}")


class _Hashes(dict[Path, str]):
    """SHA-256 of files, each read once."""

    def __missing__(self, path: Path) -> str:
        self[path] = sha256(path)
        return self[path]


def _data(scale: Path, root: Path, blocks: list[Block]) -> Iterator[Mismatch]:
    """Lock hashes: of one source everywhere the same, and that of the files that its listing names."""
    told: dict[str, Block] = {}
    for one in sorted(blocks, key=lambda one: "questions" not in one.path.parts):
        for source, found in one.block.get("data", {}).items():
            first = told.setdefault(source, one)
            if found != (other := first.block["data"][source]):
                yield Mismatch(one.path, f"says data {source}@{found}, {first.path} says {source}@{other}")
    for source, one in told.items():
        listing = root / "resources" / scale.name / f"{source}.json"
        if listing.exists() and (found := lock_hash(read_json(listing)["files"])) != one.block["data"][source]:
            yield Mismatch(one.path, f"says data {source}@{one.block['data'][source]}, {listing} is {source}@{found}")
