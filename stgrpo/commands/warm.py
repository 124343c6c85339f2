"""Make a tiny model of a real architecture and train it, supervised, in the demo's world.

Writes: OUT, a folder as save_pretrained writes it, with made_by.json (spec, curve, provenance).
"""

import shutil
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from stgrpo.commands import MADE_BY, add_spec, add_threads, importing, model_files
from stgrpo.files import flush_tree, sha256, write_json
from stgrpo.provenance import provenance
from stgrpo.specs import WarmPolicySpec, WarmScorerSpec
from stgrpo.state import only_writer


def register(parser: ArgumentParser) -> None:
    """Arguments of the verb."""
    add_spec(parser)
    add_threads(parser)
    parser.add_argument("--model", choices=_MAKERS, required=True)
    parser.add_argument("--out", type=Path, required=True, help="folder to write")


def run(args: Namespace) -> None:
    """Train the chosen model, then put its folder in place."""
    with importing():
        import torch

    torch.set_num_threads(args.threads)
    kind, make = _MAKERS[args.model]
    with only_writer(args.out):
        _warm(kind.parse(args.spec), make, args.out)


def _warm(spec: Any, make: Callable[[Any, Path], Iterator[dict[str, Any]]], out: Path) -> None:
    unfinished = out.with_name(f".{out.name}.unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    curve = []
    for point in make(spec, unfinished):
        curve.append(point)
        print(", ".join(f"{name} {value:.3f}" for name, value in point.items()), flush=True)
    made = {file.name: sha256(file) for file in model_files(unfinished)}
    origin = provenance(spec.hash(), seed=spec.warm.seed, device="cpu", outputs=made)
    block = {"spec": spec.model_dump(), "curve": curve, "provenance": origin}
    write_json(unfinished / MADE_BY, block)
    flush_tree(unfinished)
    shutil.rmtree(out, ignore_errors=True)
    unfinished.rename(out)
    print(f"wrote {out}")


def _policy(spec: WarmPolicySpec, out: Path) -> Iterator[dict[str, Any]]:
    with importing():
        from stgrpo.demo.policy import make_policy
        from stgrpo.demo.warm_policy import warm_policy

    policy = make_policy(spec.warm.seed)
    for progress in warm_policy(policy, spec.warm, spec.prompt):
        row = asdict(progress)
        yield {**{name: row[name] for name in ("step", "loss", "accuracy")}, **row["by_family"]}
    policy.model.save_pretrained(out)
    policy.tokenizer.save_pretrained(out)


def _scorer(spec: WarmScorerSpec, out: Path) -> Iterator[dict[str, Any]]:
    with importing():
        from stgrpo.demo.scorer import make_scorer, warm_scorer

    scorer = make_scorer(spec.warm.seed)
    for step, loss in warm_scorer(scorer, spec.warm.steps, spec.warm.seed):
        yield {"step": step, "loss": loss}
    scorer.model.save_pretrained(out)
    scorer.tokenizer.save_pretrained(out)


_MAKERS = {"policy": (WarmPolicySpec, _policy), "scorer": (WarmScorerSpec, _scorer)}
