"""Bring one source's files, check each by size and hash, and unpack its archives.

From the Hub, the first fetch writes LOCK: the commit, and path, size and SHA-256 of every file. Later ones bring the
same, or say what differs; to accept another state, delete LOCK. The token is read from HF_TOKEN.

With DRAW, archives stay on the Hub: the videos of the records that the draw may look at are read out of them.

Writes: OUT (what was fetched), the files beside it in a folder of OUT's stem, and LOCK.
"""

import json
from argparse import ArgumentParser, Namespace
from collections.abc import Callable
from pathlib import Path
from typing import Any

from stgrpo.commands import out_of_space
from stgrpo.config import Questions
from stgrpo.data.sources import Source, fetch
from stgrpo.errors import UserError
from stgrpo.files import write_json
from stgrpo.progress import amount
from stgrpo.provenance import digest_of, lock_hash, provenance
from stgrpo.state import only_writer


def register(parser: ArgumentParser) -> None:
    """Arguments of the verb."""
    parser.add_argument("--source", required=True, metavar="JSON", help="a row of the table of sources")
    origin = parser.add_mutually_exclusive_group(required=True)
    origin.add_argument("--hub", type=Path, help="folder of repositories to fetch from")
    origin.add_argument("--lock", type=Path, help="fetch from the Hub, what this JSON says; the first fetch writes it")
    parser.add_argument(
        "--draw", metavar="JSON", help="of training questions: bring only the videos that it may look at, beside --lock"
    )
    parser.add_argument("--out", type=Path, required=True, help="JSON to write: OUT's stem names the folder")


def _pick(draw: str) -> Callable[[Path], list[str]]:
    """The videos of a draw."""
    from stgrpo.data import video_r1

    rule = Questions.model_validate_json(draw)
    return lambda folder: video_r1.choose(folder, rule).videos(folder)


def run(args: Namespace) -> None:
    """Fetch, and say what is there.

    Raises:
        UserError: what was to come cannot be had, or cannot be written.
    """
    try:
        with only_writer(args.lock or args.out):  # a lock is every scale's
            _run(args)
    except OSError as error:
        if out_of_space(error):
            raise
        where, why = error.filename or args.out, error.strerror or type(error).__name__
        raise UserError(f"{where}: {why}; see that it can be read and written, and run again") from None


def _run(args: Namespace) -> None:
    row = json.loads(args.source)
    source, folder = Source(**row | {"patterns": tuple(row["patterns"])}), args.out.with_suffix("")
    found: dict[str, Any] = {}
    if args.hub:
        found["files"] = fetch(source, args.hub, folder)
    else:
        from stgrpo.data.fetching import fetch_locked

        lock = fetch_locked(source, args.lock, folder, _pick(args.draw) if args.draw else None)
        files = [file for file in lock.files if not (args.draw and file.path.endswith(".zip"))]
        found = {"commit": lock.commit, "files": [file.model_dump() for file in (*files, *lock.members)]}
    size = sum(entry["size"] for entry in found["files"])
    block = {"source": source.name, "repository": source.repository, "licence": source.licence}
    asked = json.dumps([row, args.draw], sort_keys=True)
    origin = provenance(digest_of(asked), data={source.name: lock_hash(found["files"])}, resolved=row, draw=args.draw)
    write_json(args.out, block | found | {"provenance": origin})
    print(f"{folder}: {len(found['files'])} files, {amount(size)}, checked")
