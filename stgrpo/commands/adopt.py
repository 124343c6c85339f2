"""Put a fetched model where a scale's cells look for theirs, as hard links where there are any.

Writes OUT, with made_by.json, which says what was asked for and which files came.
"""

import shutil
from argparse import ArgumentParser, Namespace
from pathlib import Path

from stgrpo.commands import MADE_BY, add_spec, inherited, model_files
from stgrpo.errors import UserError
from stgrpo.files import link_or_copy, read_json, write_json
from stgrpo.provenance import provenance
from stgrpo.specs import ModelSpec


def register(parser: ArgumentParser) -> None:
    """Arguments of the verb."""
    add_spec(parser)
    parser.add_argument(
        "--fetched", type=Path, required=True, help="what fetch wrote of the source; its files lie beside it"
    )
    parser.add_argument("--out", type=Path, required=True, help="folder of the model")


def run(args: Namespace) -> None:
    """Link every file of the source, and say where they come from.

    Raises:
        UserError: the source holds no weights or no tokenizer.
    """
    spec = ModelSpec.parse(args.spec)
    fetched = read_json(args.fetched, "files", "repository")
    folder = args.fetched.with_suffix("")
    shutil.rmtree(args.out, ignore_errors=True)
    for entry in fetched["files"]:
        link_or_copy(folder / entry["path"], args.out / entry["path"])
    model_files(args.out)  # refuses a source without weights
    if not (args.out / "tokenizer_config.json").exists():
        raise UserError(
            f"{args.out}: no tokenizer_config.json in {fetched['repository']}; "
            f"see the files of {spec.source} in workflow/resources/sources.csv"
        )
    made = {entry["path"]: entry["sha256"] for entry in fetched["files"]}
    data, listing = inherited(args.fetched)
    origin = provenance(spec.hash(), data=data, inputs=listing, outputs=made)
    write_json(args.out / MADE_BY, {"spec": spec.model_dump(), "files": fetched["files"], "provenance": origin})
    print(f"{args.out}: {fetched['repository']}, {len(fetched['files'])} files")
