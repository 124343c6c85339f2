"""Check results by themselves: every hash, every spec, and every number of a table, made again from the predictions.

Prints what does not match, a line each, and ends with status 1 if anything does not. Nothing is changed, and neither
config.yaml nor a model is read. The last line ends with a fingerprint of all provenance: note it beside a number, and
results that are altered later, and made to match again, are told by another one.
"""

import sys
from argparse import ArgumentParser, Namespace
from pathlib import Path

from stgrpo.verification.results import verify


def register(parser: ArgumentParser) -> None:
    """Arguments of the verb."""
    parser.add_argument("results", type=Path, nargs="?", default=Path("results"), help="folder (default: results)")


def run(args: Namespace) -> None:
    """Check and print."""
    found = verify(args.results)
    for mismatch in found.mismatches:
        print(mismatch)
    wrong = len(found.mismatches)
    print(
        f"files hashed: {found.files}, runs graded again: {found.runs}, tables made again: {found.tables}; "
        + (f"{wrong} mismatches" if wrong else "all match")
        + f"; fingerprint {found.fingerprint}"
    )
    if wrong:
        sys.exit(1)
