"""What a Slurm job costs before its verb's first line, beyond an empty workflow's job that runs `true`.

Usage: python scripts/job_overhead.py CLONE [REPEATS], where scale smoke has run with --profile slurm.

Both jobs go through the same profile, plugin and image. Two parts are measured and added: from the job's log appearing
to the rule's log appearing (both Snakemakes of a job have read the workflow, the image is entered), and from entering
the image to the verb having read its arguments.
"""

import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

PROFILE = ["--profile", "slurm", "--slurm-init-seconds-before-status-checks", "3"]
OURS = "results/smoke/questions/train.jsonl"
EMPTY = """
rule nothing:
    output: touch("done")
    log: "rule.log"
    container: "{image}"
    resources: mem_mb=1000, runtime=10
    shell: "true > {{log}}"
"""


def born(path: Path) -> float:
    """When a file was made, in seconds since 1970."""
    return float(subprocess.run(["stat", "-c", "%.9W", path], capture_output=True, text=True, check=True).stdout)


def until_the_shell(folder: Path, rule: str, log: str, words: list[str]) -> float:
    """Seconds from a job's start to its shell command's."""
    (folder / log).unlink(missing_ok=True)
    known = set(folder.glob(f"logs/slurm/rule_{rule}/**/*.log"))
    subprocess.run(["snakemake", *words, *PROFILE], cwd=folder, check=True, capture_output=True)
    (new,) = set(folder.glob(f"logs/slurm/rule_{rule}/**/*.log")) - known
    return born(folder / log) - born(new)


def inside(image: Path, *words: str) -> float:
    """Seconds that a command takes in the image."""
    start = time.perf_counter()
    subprocess.run(["apptainer", "exec", image, *words], check=True, capture_output=True)
    return time.perf_counter() - start


def main() -> None:
    """Measure side by side, one of each in turn."""
    clone, repeats = Path(sys.argv[1]).resolve(), int(sys.argv[2]) if len(sys.argv) > 2 else 5
    image, ours, empty, verb, true = clone / "containers/stgrpo.sif", [], [], [], []
    with tempfile.TemporaryDirectory(dir=clone) as folder:
        toy = Path(folder)
        (toy / "Snakefile").write_text(EMPTY.format(image=image))
        (toy / "slurm").symlink_to(clone / "slurm")
        for _ in range(repeats):
            empty.append(until_the_shell(toy, "nothing", "rule.log", ["--forceall"]))
            words = [OURS, "-R", "prepare", "--config", "scale=smoke"]
            ours.append(until_the_shell(clone, "prepare", "results/smoke/logs/prepare-train.log", words))
            true.append(inside(image, "true"))
            verb.append(inside(image, "python", "-m", "stgrpo", "prepare", "--help"))
    for name, values in (("ours", ours), ("empty", empty), ("verb", verb), ("true", true)):
        print(f"{name:6} median {statistics.median(values):5.2f} s  {' '.join(f'{value:.2f}' for value in values)}")
    more = statistics.median(ours) - statistics.median(empty) + statistics.median(verb) - statistics.median(true)
    print(f"beyond an empty job: {more:.2f} s")


if __name__ == "__main__":
    main()
