"""Render the demo's world and write its corpora, in the originals' formats, as a hub of repositories.

Writes: HUB/Video-R1/Video-R1-data and HUB/lmms-eval/TempCompass, each with a manifest of its files.
"""

from argparse import ArgumentParser, Namespace
from pathlib import Path

from stgrpo.commands import add_spec
from stgrpo.specs import WorldSpec


def register(parser: ArgumentParser) -> None:
    """Arguments of the verb."""
    add_spec(parser)
    parser.add_argument("--hub", type=Path, required=True, help="folder to write")


def run(args: Namespace) -> None:
    """Write both corpora."""
    from stgrpo.demo.corpora import write_tempcompass, write_training_corpus

    rule = WorldSpec.parse(args.spec).world
    write_training_corpus(args.hub, rule)
    write_tempcompass(args.hub, rule)
    print(f"{args.hub}: {rule.train_videos} training and {rule.test_videos} test videos")
