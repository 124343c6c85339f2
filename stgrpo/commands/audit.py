"""Check the paper by its own numbers: averages, differences against their errors, claims, and what Eq. 5 can do.

Everything is recomputed from workflow/resources/reported.csv, which holds what its tables print.
"""

from argparse import ArgumentParser, Namespace
from pathlib import Path

from stgrpo.report.audit import read_paper
from stgrpo.report.audit_text import audit

_REPORTED = Path(__file__).parents[2] / "workflow" / "resources" / "reported.csv"


def register(parser: ArgumentParser) -> None:
    """Arguments of the verb."""
    parser.add_argument("--reported", type=Path, default=_REPORTED, help="the paper's numbers (default: the project's)")


def run(args: Namespace) -> None:
    """Recompute and print."""
    print(audit(read_paper(args.reported)))
