"""Say what this machine and configuration lack for a scale, a line each, with what to do; nothing is changed.

Ends with status 1 if anything is missing without which a run cannot work.
"""

import sys
from argparse import ArgumentParser, Namespace
from textwrap import TextWrapper

from stgrpo.commands import add_scale
from stgrpo.loading import read_experiment
from stgrpo.planning.checks import diagnose
from stgrpo.planning.findings import Setting
from stgrpo.planning.work import work_of_scale

_LINES = TextWrapper(100, break_long_words=False, break_on_hyphens=False)  # what a person copies stays whole


def register(parser: ArgumentParser) -> None:
    """Arguments of the verb."""
    add_scale(parser)
    parser.add_argument(
        "--executor", choices=("local", "slurm"), default="local", help="where jobs run (default: local)"
    )
    parser.add_argument("--container", action="store_true", help="jobs run in the image, as they always do on Slurm")


def run(args: Namespace) -> None:
    """Check and print."""
    experiment = read_experiment(args.scale)
    container = args.container or args.executor == "slurm"
    findings = diagnose(Setting(experiment, args.executor, container, work_of_scale(experiment)))
    width = max(len(finding.subject) for finding in findings)
    print(f"Scale {experiment.scale}, executor {args.executor}:\n")
    for finding in findings:
        start = f"{finding.level:7}  {finding.subject:{width}}  "
        _LINES.subsequent_indent = " " * len(start)
        print(_LINES.fill(f"{start}{finding}"))
    missing = sum(finding.level == "missing" for finding in findings)
    print(f"\n{missing} missing: it cannot run like this." if missing else "\nNothing is missing.")
    if missing:
        sys.exit(1)
