"""Show what of the active scale is done, running, stale (and why) or missing, what the rest costs, and how to run it.

Costs are GB to fetch, hours of GPUs, room on the disk and memory of a GPU, each with what it is reckoned from.

Reads config.yaml and results/ in the working directory; changes nothing, starts nothing.
"""

from argparse import ArgumentParser, Namespace

from stgrpo.commands import add_scale
from stgrpo.loading import read_experiment
from stgrpo.planning import cost, disk, downloads, gpu, standing, text, text_size


def register(parser: ArgumentParser) -> None:
    """Arguments of the verb."""
    add_scale(parser)


def run(args: Namespace) -> None:
    """Look and print."""
    experiment = read_experiment(args.scale)
    runs = standing.all_runs(experiment)
    left = cost.what_is_left(experiment, runs)
    fetched, trained = downloads.downloads(experiment), disk.disk(experiment, runs)
    lines = [
        text.heading(experiment, runs),
        "",
        *text.matrix(experiment, runs, left),
        *text.notes(runs),
        *text_size.fetching(fetched),
        *text.cost(experiment, left),
        *text.room(trained, sum(job.steps is not None for job in left)),
        *text_size.storing(fetched, trained),
        *text_size.gpus(gpu.fits(experiment)),
        *text.what_to_type(experiment, runs, f" --config scale={args.scale}" if args.scale else ""),
    ]
    print("\n".join(lines))
