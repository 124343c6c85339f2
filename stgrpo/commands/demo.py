"""Render the demo's world and write one corpus, in the original's format, as a repository of a hub.

Writes: HUB/<owner>/<name>, laid out as the original's repository, with a manifest of its files, and PROVENANCE.
"""

from argparse import ArgumentParser, Namespace
from pathlib import Path

from stgrpo.commands import add_spec
from stgrpo.files import write_json
from stgrpo.provenance import provenance
from stgrpo.specs import WorldSpec
from stgrpo.state import only_writer


def register(parser: ArgumentParser) -> None:
    """Arguments of the verb."""
    add_spec(parser)
    parser.add_argument("--hub", type=Path, required=True, help="folder to write")
    parser.add_argument("--provenance", type=Path, required=True, help="JSON to write, outside of what is fetched")


def run(args: Namespace) -> None:
    """Write the corpus that the spec names."""
    from stgrpo.demo.corpora import WRITERS

    spec = WorldSpec.parse(args.spec)
    with only_writer(args.provenance):
        WRITERS[spec.source](args.hub, spec.corpus)
        block = provenance(spec.hash(), seed=spec.corpus.seed, resolved=spec.model_dump(mode="json"))
        write_json(args.provenance, block)
    print(f"{args.hub}: {spec.corpus.videos} videos for {spec.source}")
