"""`python -m stgrpo VERB`: every rule of the workflow calls exactly one verb."""

import argparse
import os
import sys
from collections.abc import Sequence
from io import TextIOWrapper

from stgrpo.commands import VERBS, disk_trouble, load_verb
from stgrpo.errors import UserError
from stgrpo.provenance import commit, image


def main(argv: Sequence[str] | None = None) -> int:
    """Run a verb; what a user can mend is one line and exit status 2, anything else a bug that keeps its traceback."""
    parser = argparse.ArgumentParser(prog="stgrpo", description="SpatioTemporal-GRPO, reproduced.")
    verbs = parser.add_subparsers(metavar="VERB", required=True)
    chosen = next((word for word in (argv or sys.argv[1:]) if word in VERBS), None)
    for name, summary in VERBS.items():
        verb = verbs.add_parser(name, help=summary)
        if name == chosen:  # the other verbs' modules stay unread: starting `grade` must not cost what `train` costs
            module = load_verb(name)
            verb.description = module.__doc__
            verb.formatter_class = argparse.RawDescriptionHelpFormatter
            module.register(verb)
            verb.set_defaults(run=module.run)
    args = parser.parse_args(argv)
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(line_buffering=True)  # a verb that is killed has said what it said
    if chosen not in ("fetch", "doctor"):  # nodes that compute may have no way out, and nothing may be fetched unseen
        os.environ["HF_HUB_OFFLINE"] = "1"
    os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
    if "threads" in args:
        os.environ["OMP_NUM_THREADS"] = str(args.threads)  # before torch is read; results must not hang on the machine
    commit()
    try:
        image()
        args.run(args)
    except UserError as error:
        print(f"{chosen}: {error}", file=sys.stderr)
        return 2
    except Exception as error:
        if (trouble := disk_trouble(error)) is None:
            raise
        given = vars(args)
        where = getattr(error, "filename", None) or given.get("out") or given.get("hub", "one of its files")
        print(f"{chosen}: {UserError(f'{where}: {trouble}')}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
