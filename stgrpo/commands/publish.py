"""Copy a result of the active scale to the top of results/, where the README looks for it.

Writes: OUT.
"""

import shutil
from argparse import ArgumentParser, Namespace
from pathlib import Path

from stgrpo.files import replacing


def register(parser: ArgumentParser) -> None:
    """Arguments of the verb."""
    parser.add_argument("--scale", required=True)
    parser.add_argument("--result", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)


def run(args: Namespace) -> None:
    """Copy."""
    with replacing(args.out) as temporary:
        shutil.copyfile(args.result, temporary)
    print(f"{args.out}: from scale {args.scale}")
