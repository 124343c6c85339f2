"""Kill a run of scale smoke again and again, start it again until it is done, and compare it with an undisturbed one.

    python scripts/kill_campaign.py FOLDER --kills 50
    python scripts/kill_campaign.py FOLDER --kills 20 --executor slurm   # as root, with the tests' Slurm and image

Kills fall at random times, uniform over the time that runs take (a Poisson process), on what is drawn of what is alive:
one process of a verb, Snakemake alone, so that its verbs go on without it, or everything at once; on Slurm one of its
daemons as well, which is started again after three seconds, as a service manager does. Further kills are aimed at the
inside of trainings, of evaluations and of a checkpoint's write, until each was hit as often as `--inside` says. No
other repair than `snakemake --unlock`, and that only where Snakemake itself was killed.
"""

import argparse
import random
import subprocess
import sys
import time
from pathlib import Path

from compare_runs import differences, results
from disturbed import AIMS, Run, Tally
from slurm_daemons import Daemons

ROOT = Path(__file__).parents[1]


def main() -> int:
    """Run the campaign; status 1 where a file of a disturbed run differs, or a run could not be brought to its end."""
    args = _arguments()
    args.folder.mkdir(parents=True)
    daemons = Daemons(ROOT, args.folder / "slurm") if args.executor == "slurm" else None
    tally, different = Tally(), []
    try:
        whole = Run(_clone(args.folder / "undisturbed", args), args, daemons)
        usual = whole.undisturbed()
        print(f"undisturbed: {usual:.0f} s, {len(results(whole.folder))} files of results", flush=True)
        rng = random.Random(args.seed)
        while tally.random < args.kills or any(tally.inside(aim) < args.inside for aim in AIMS):
            number = len(tally.seconds) + 1
            run = Run(_clone(args.folder / f"disturbed{number}", args, whole.folder), args, daemons)
            run.disturbed(tally, rng, usual / args.a_run)
            found = list(differences(whole.folder, run.folder))
            different += [f"{run.folder.name}: {line}" for line in found]
            equal = "all equal" if not found else f"{len(found)} files differ"
            print(f"run {number}: {tally.seconds[-1]:.0f} s, {sum(tally.kills.values())} kills, {equal}", flush=True)
    finally:
        if daemons:
            daemons.stop()
    print(_report(tally, usual, args))
    print("\n".join(different) or "every file of every disturbed run equals the undisturbed one's")
    return int(bool(different))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="to be made, for clones of the repository's last commit")
    parser.add_argument("--kills", type=int, default=50, help="at random times, at least")
    parser.add_argument("--inside", type=int, default=10, help="kills inside each of training, evaluation, checkpoint")
    parser.add_argument("--a-run", type=float, default=5, help="random kills in the time that an undisturbed run takes")
    parser.add_argument("--steps", type=int, default=20, help="of each training")
    parser.add_argument("--videos", type=int, default=6, help="of each benchmark, each asked 1 to 8 questions")
    parser.add_argument("--executor", choices=["local", "slurm"], default="local")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    args.folder = args.folder.resolve()
    return args


def _clone(folder: Path, args: argparse.Namespace, origin: Path = ROOT) -> Path:
    """Of the undisturbed clone, so that all are of one commit."""
    subprocess.run(["git", "clone", "--quiet", str(origin), str(folder)], check=True)
    if args.executor == "slurm":
        (folder / "containers" / "stgrpo.sif").hardlink_to(ROOT / "containers" / "stgrpo.sif")
    return folder


def _report(tally: Tally, usual: float, args: argparse.Namespace) -> str:
    lost = sum(tally.seconds) - usual * len(tally.seconds)
    aimed, all_kills = sum(tally.aimed.values()), sum(tally.kills.values())
    lines = [
        f"{all_kills} kills, {aimed} of them aimed, in {len(tally.seconds)} runs of scale smoke ({args.executor}, "
        f"{args.steps} steps a training, {args.videos} videos a benchmark)",
        f"{tally.starts} restarts, {tally.unlocks} unlocks",
        f"an undisturbed run took {usual:.0f} s, the disturbed ones {sum(tally.seconds):.0f} s: "
        f"{lost / all_kills:.1f} s lost a kill",
        "",
        f"{'killed':<22} {'while in':<22} {'kills':>5} {'aimed':>6}",
    ]
    lines += [
        f"{victim:<22} {where:<22} {count:>5} {tally.aimed[victim, where]:>6}"
        for (victim, where), count in sorted(tally.kills.items())
    ]
    lines += [f"inside {aim}: {tally.inside(aim)}" for aim in AIMS]
    return "\n".join(lines)


if __name__ == "__main__":
    started = time.monotonic()
    status = main()
    print(f"{time.monotonic() - started:.0f} s in all")
    sys.exit(status)
