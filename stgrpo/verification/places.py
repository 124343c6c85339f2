"""What a block must be by the place where it stands: its kind of spec, and the files that this implies."""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError

from stgrpo.errors import UserError
from stgrpo.provenance import digest_of
from stgrpo.rules import first_flaw
from stgrpo.specs import ModelSpec, PrepareSpec, ScoreSpec, Spec, WarmPolicySpec, WarmScorerSpec, WorldSpec
from stgrpo.verification.blocks import ENDING, MADE_BY, Block, weights_of
from stgrpo.verification.tree import Mismatch

S = TypeVar("S", bound=Spec)
Blocks = Mapping[tuple[str, ...], Block]  # by place


def check_place(one: Block, blocks: Blocks) -> Iterator[Mismatch]:
    """A block of what comes before the cells, or one that stands where none is expected."""
    match one.place:
        case ("world", *_):
            spec = yield from check_spec(one, WorldSpec, one.block.get("resolved"))
            if one.block["seed"] != spec.corpus.seed:
                yield Mismatch(one.path, f"says seed {one.block['seed']}, its spec says {spec.corpus.seed}")
        case ("questions", name):
            spec = yield from check_spec(one, PrepareSpec, one.block.get("resolved"))
            if spec.name != name.removesuffix(ENDING):
                yield Mismatch(one.path, f"is of the questions called {spec.name}")
        case ("scores", _):
            yield from _scores(one, blocks)
        case ("policy" | "scorer" as name, "made_by.json"):
            warm = WarmPolicySpec if name == "policy" else WarmScorerSpec
            yield from check_spec(one, ModelSpec if "source" in one.around["spec"] else warm, one.around["spec"])
        case ("models", _, "made_by.json"):
            yield from check_spec(one, ModelSpec, one.around["spec"])
        case ("cells", _, _, "train.json" | "metrics.json") | ("cells", _, _, "model", "made_by.json"):
            pass  # by runs.py
        case ("cells", _, _, "eval", _) | (_,):
            pass  # by runs.py and by made.py
        case _:
            yield Mismatch(one.path, "stands where no provenance is expected")


def check_spec(one: Block, kind: type[S], resolved: Any) -> Iterator[Mismatch]:
    """That a spec is one of its kind and has the hash that its provenance says.

    Returns:
        The spec.

    Raises:
        UserError: it is none.
    """
    try:
        spec = kind.model_validate(resolved)
    except ValidationError as error:
        raise UserError(f"{one.path}: its spec is no {kind.__name__}: {first_flaw(error)}") from None
    if (found := spec.hash()) != one.block["spec"]:
        yield Mismatch(one.path, f"its spec has hash {found}, its provenance says {one.block['spec']}")
    return spec


def check_origin(one: Block, named: str, blocks: Blocks, *place: str) -> Iterator[Mismatch]:
    """That what stands at a place is what a spec names ("name@hash")."""
    origin = blocks.get(place)
    if origin is None:
        yield Mismatch(one.path, f"is of {named}, {'/'.join(place)} is not there or cannot be read")
    elif origin.block["spec"] != named.partition("@")[2]:
        yield Mismatch(one.path, f"is of {named}, {origin.path} is of {origin.block['spec']}")


def check_questions(one: Block, named: str, blocks: Blocks) -> Iterator[Mismatch]:
    """That the questions are those that a spec names: hashed are their source, or its world, and their own spec."""
    name, _, wanted = named.partition("@")
    questions = blocks.get(("questions", f"{name}{ENDING}"))
    if questions is None:
        yield Mismatch(one.path, f"is of {named}, these questions are not there or cannot be read")
        return
    origins = set(questions.block["data"])
    origins |= {world.block["spec"] for world in blocks.values() if _world(world) in origins}
    possible = {digest_of(origin + questions.block["spec"]) for origin in origins}
    if wanted not in possible:
        yield Mismatch(one.path, f"is of {named}, {questions.path} is of other questions")


def check_inputs(one: Block, wanted: Iterable[str], more: bool = False) -> Iterator[Mismatch]:
    """That a block is made from these files: exactly, or these among others; provenance of them may be named too."""
    found, needed = set(one.block["inputs"]), set(wanted)
    if missing := sorted(needed - found):
        yield Mismatch(one.path, f"does not say that it is made from {missing[0]}")
    extra = sorted(name for name in found - needed if not name.endswith((ENDING, MADE_BY)))
    if extra and not more:
        yield Mismatch(one.path, f"says that it is made from {extra[0]}, its spec implies no such file")


def named(path: Path, scale: Path) -> str:
    """A file of the results, as blocks name it."""
    return str(Path("results", scale.name) / path.relative_to(scale))


def _world(one: Block) -> str | None:
    """Source of a rendered corpus; None of anything else, or of what does not say it."""
    resolved = one.block.get("resolved")
    return resolved.get("source") if one.place[0] == "world" and isinstance(resolved, Mapping) else None


def _scores(one: Block, blocks: Blocks) -> Iterator[Mismatch]:
    spec = yield from check_spec(one, ScoreSpec, one.block.get("resolved"))
    yield from check_origin(one, spec.scorer, blocks, "scorer", MADE_BY)
    yield from check_questions(one, spec.questions, blocks)
    wanted = [one.scale / "questions" / "train.jsonl", *weights_of(one.scale / "scorer")]
    yield from check_inputs(one, [named(path, one.scale) for path in wanted], more=True)
