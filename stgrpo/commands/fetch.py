"""Bring one source's files from a hub, check each by size and SHA-256, and unpack its archives.

Writes: LOCK (what was fetched), and the files beside it in a folder of the source's name.
"""

import json
from argparse import ArgumentParser, Namespace
from pathlib import Path

from stgrpo.data.sources import Source, fetch
from stgrpo.errors import UserError
from stgrpo.files import write_json
from stgrpo.provenance import provenance


def register(parser: ArgumentParser) -> None:
    """Arguments of the verb."""
    parser.add_argument("--source", required=True, metavar="JSON", help="a row of the table of sources")
    parser.add_argument("--hub", type=Path, help="folder of repositories; without one, the Hub")
    parser.add_argument("--lock", type=Path, required=True, help="JSON to write: LOCK's stem names the folder")


def run(args: Namespace) -> None:
    """Fetch and write the lock."""
    source = Source(**json.loads(args.source))
    if args.hub is None:
        raise UserError(f"{source.repository}: fetching from the Hub is not built yet; the scales demo and smoke run")
    folder = args.lock.with_suffix("")
    files = fetch(source, args.hub, folder)
    size = sum(entry["size"] for entry in files)
    write_json(
        args.lock,
        {"source": source.name, "repository": source.repository, "licence": source.licence, "files": files}
        | {"provenance": provenance(source.name)},
    )
    print(f"{folder}: {len(files)} files, {size / 1e6:.1f} MB, checked")
