"""Bring one source's files, check each by size and hash, and unpack its archives.

From the Hub, the first fetch writes LOCK: the commit, and path, size and SHA-256 of every file. Later ones bring the
same, or say what differs; to accept another state, delete LOCK. The token is read from HF_TOKEN.

Writes: OUT (what was fetched), the files beside it in a folder of OUT's stem, and LOCK.
"""

import json
from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import Any

from stgrpo.data.sources import Source, fetch
from stgrpo.files import write_json
from stgrpo.progress import amount
from stgrpo.provenance import provenance


def register(parser: ArgumentParser) -> None:
    """Arguments of the verb."""
    parser.add_argument("--source", required=True, metavar="JSON", help="a row of the table of sources")
    origin = parser.add_mutually_exclusive_group(required=True)
    origin.add_argument("--hub", type=Path, help="folder of repositories to fetch from")
    origin.add_argument("--lock", type=Path, help="fetch from the Hub, what this JSON says; the first fetch writes it")
    parser.add_argument("--out", type=Path, required=True, help="JSON to write: OUT's stem names the folder")


def run(args: Namespace) -> None:
    """Fetch, and say what is there."""
    row = json.loads(args.source)
    source, folder = Source(**row | {"patterns": tuple(row["patterns"])}), args.out.with_suffix("")
    found: dict[str, Any] = {}
    if args.hub:
        found["files"] = fetch(source, args.hub, folder)
    else:
        from stgrpo.data.fetching import fetch_locked

        lock = fetch_locked(source, args.lock, folder)
        found = {"commit": lock.commit, "files": [file.model_dump() for file in lock.files]}
    size = sum(entry["size"] for entry in found["files"])
    block = {"source": source.name, "repository": source.repository, "licence": source.licence}
    write_json(args.out, block | found | {"provenance": provenance(source.name)})
    print(f"{folder}: {len(found['files'])} files, {amount(size)}, checked")
