"""Where the demo's CPU seconds go: python scripts/demo_time.py CLONE [SNAKEMAKE'S WORDS ...]

Runs Snakemake in the clone, by default with no further words, and prints one line a verb: how many processes, their CPU
seconds with those of their children, and how many of these went into starting, before the first line of their work. In
front of `python` stands a line of bash for it that writes down what each process took. What verbs with a model take
beyond their start counts as the models': passes, optimizer and sampling, and the decoding and rendering for them.
"""

import os
import resource
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path

# By verb, or by the kind of model that is warmed, what is imported before the work begins.
STARTS = {
    "warm policy": "stgrpo.demo.warm_policy",
    "warm scorer": "stgrpo.demo.scorer",
    "score": "stgrpo.importance.scoring, stgrpo.importance.scorer",
    "train": "stgrpo.rl.train",
    "evaluate": "stgrpo.benchmarks.answering, stgrpo.policy.model",
}
# `time` counts what the process has waited for, too: decoders, ranks.
WRAPPER = """#!/bin/bash
TIMEFORMAT="%U %S"
echo "$@" > {folder}/$$.words
{{ time {python} "$@" 2>&3; }} 3>&2 2> {folder}/$$.seconds
"""


def own_seconds() -> float:
    """CPU seconds of all children so far."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def start_of(clone: Path, name: str) -> float:
    """CPU seconds that a process takes until its work begins."""
    words = ["-m", "stgrpo", name, "--help"]
    if name in STARTS:
        words = ["-c", f"import stgrpo.__main__, {STARTS[name]}"]
    seconds = []
    for _ in range(3):
        before = own_seconds()
        subprocess.run([sys.executable, *words], cwd=clone, check=True, capture_output=True)
        seconds.append(own_seconds() - before)
    return sorted(seconds)[1]


def measured(clone: Path, words: list[str]) -> tuple[dict[str, list[float]], float, float]:
    """CPU seconds of each process by its name, those of all that ran, and the wall clock's."""
    with tempfile.TemporaryDirectory() as folder:
        wrapper = Path(folder, "python")
        wrapper.write_text(WRAPPER.format(folder=folder, python=sys.executable), encoding="utf-8")
        wrapper.chmod(0o755)
        path = f"{folder}:{Path(sys.executable).parent}:{os.environ['PATH']}"
        before, start = own_seconds(), time.monotonic()
        done = subprocess.run(["snakemake", *words], cwd=clone, env=os.environ | {"PATH": path}, check=False)
        if done.returncode:
            sys.exit("Snakemake failed, so nothing was counted; mend what it says, remove results/ and run again")
        wall, everything = time.monotonic() - start, own_seconds() - before
        found = defaultdict(list)
        for file in Path(folder).glob("*.words"):
            said = file.read_text(encoding="utf-8").split()
            name = " ".join(said[2:3] + (said[4:5] if said[2] == "warm" else []))
            found[name].append(sum(map(float, file.with_suffix(".seconds").read_text(encoding="utf-8").split())))
    return found, everything, wall


def main() -> None:
    """Measure a run, then what starts cost, and print the table."""
    clone, words = Path(sys.argv[1]).resolve(), sys.argv[2:]
    found, everything, wall = measured(clone, words)
    print(f"{'verb':12} {'processes':>9} {'CPU s':>7} {'starting':>9} {'models':>7}")
    models = starting = 0.0
    for name, seconds in sorted(found.items(), key=lambda pair: -sum(pair[1])):
        took, start = sum(seconds), len(seconds) * start_of(clone, name)
        inside = took - start if name in STARTS else 0.0
        models, starting = models + inside, starting + start
        print(f"{name:12} {len(seconds):9} {took:7.1f} {start:9.1f} {inside:7.1f}")
    verbs = sum(map(sum, found.values()))
    print(f"{'snakemake':12} {1:9} {everything - verbs:7.1f}")
    print(f"{'all':12} {sum(map(len, found.values())) + 1:9} {everything:7.1f} {starting:9.1f} {models:7.1f}")
    print(f"in models {models / everything:.0%}, starting {starting / everything:.0%}; wall clock {wall:.0f} s")


if __name__ == "__main__":
    main()
