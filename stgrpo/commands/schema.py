"""Write the JSON schema of config.yaml, generated from the types; an editor can check the file against it.

Writes: OUT.
"""

import json
from argparse import ArgumentParser, Namespace
from pathlib import Path

from stgrpo.config import Experiment
from stgrpo.files import write_text


def register(parser: ArgumentParser) -> None:
    """Arguments of the verb."""
    parser.add_argument("--out", type=Path, default=Path("workflow/schemas/config.schema.json"))


def run(args: Namespace) -> None:
    """Generate and write."""
    write_text(args.out, schema())
    print(f"wrote {args.out}")


def schema() -> str:
    """The schema's text."""
    return json.dumps(Experiment.model_json_schema(by_alias=True), indent=2, sort_keys=True) + "\n"
