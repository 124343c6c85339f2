"""How long Snakemake plans: python scripts/planning_time.py [CELLS ...] (default: 10 100 1000).

Prints wall-clock seconds, CPU seconds and memory of a dry run in a fresh clone whose scale has so many trained cells,
each examined on six benchmarks by a job of its own, and what each cell adds to the first size's CPU seconds.
"""

import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import yaml

ROOT = Path(__file__).parent.parent
PARTS = ("videomme", "vsibench", "perceptiontest", "tempcompass", "videommmu", "mmvu")


def many_cells(cells: int) -> dict:
    """The project's configuration with a scale of this many cells, alike but for their steps."""
    config = yaml.safe_load((ROOT / "config.yaml").read_text(encoding="utf-8"))
    names = [f"cell-{number}" for number in range(cells)]
    config["cells"] = {name: {"from": "st-grpo", "steps": 500 + number} for number, name in enumerate(names)} | {
        name: config["cells"][name] for name in ("base", "grpo", "st-grpo")
    }
    config["tables"] = {"table1": {"caption": "All.", "rows": [], "columns": list(PARTS)}}
    config["tables"]["table1"]["rows"] = [{"cell": name, "label": name} for name in names]
    scale = config["scales"]["smoke"]
    scale |= {"cells": names, "tables": ["table1"], "figures": [], "on_request": {"cells": [], "tables": []}}
    scale["evaluation"]["parts"] = {name: [name] for name in PARTS}
    return config | {"figures": {}, "report": {}, "scale": "smoke", "scales": {"smoke": scale}}


def planned(cells: int) -> tuple[float, float, float, int]:
    """Wall-clock seconds, CPU seconds, MiB and jobs of one dry run."""
    with tempfile.TemporaryDirectory() as folder:
        clone = Path(folder, "clone")
        for name in ("workflow", "stgrpo", "envs"):
            shutil.copytree(ROOT / name, clone / name)
        (clone / "config.yaml").write_text(yaml.safe_dump(many_cells(cells), sort_keys=False), encoding="utf-8")
        before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
        words = ["snakemake", "--dry-run", "--quiet", "all"]
        done = subprocess.run(words, cwd=clone, capture_output=True, text=True, check=False)
        seconds, after = time.monotonic() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
        if done.returncode:
            sys.exit(done.stdout + done.stderr)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return seconds, cpu, after.ru_maxrss / 1024, 8 * cells


def main() -> None:
    """One line a size."""
    sizes = [int(word) for word in sys.argv[1:]] or [10, 100, 1000]
    print(" cells   jobs  wall s   CPU s     MiB  ms a further cell")
    first = None
    for cells in sizes:
        seconds, cpu, memory, jobs = planned(cells)
        first = first or (cells, cpu)
        more = f"{1000 * (cpu - first[1]) / (cells - first[0]):7.1f}" if cells > first[0] else ""
        print(f"{cells:6} {jobs:6} {seconds:7.1f} {cpu:7.1f} {memory:7.0f}  {more}", flush=True)


if __name__ == "__main__":
    main()
