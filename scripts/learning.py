"""What the demo's runs learned: python scripts/learning.py (after a run of scale seeds).

Prints, per cell: the mean of the six benchmarks for every seed, its mean gain over the untrained policy with the
standard error over the seeds, and the spread of rewards inside a group (Figure 3) by thirds of the training.
"""

import json
import statistics
from pathlib import Path

RESULTS = Path("results/seeds/cells")


def accuracy(cell: Path) -> float:
    """Unweighted mean of the benchmarks, in percent."""
    return statistics.mean(score["value"] for score in json.loads((cell / "metrics.json").read_text())["scores"])


def thirds(runs: list[list[dict]], column: str) -> list[float]:
    """Mean of a metric over all runs in the first, second and last third of the steps."""
    steps = len(runs[0])
    cuts = [0, steps // 3, 2 * steps // 3, steps]
    parts = [[row[column] for run in runs for row in run[a:b]] for a, b in zip(cuts, cuts[1:], strict=False)]
    return [statistics.mean(part) for part in parts]


def main() -> None:
    """Print one block a cell."""
    base = accuracy(RESULTS / "base" / "seed0")
    print(f"before RL: {base:.1f}")
    for cell in sorted(path for path in RESULTS.iterdir() if path.name != "base"):
        seeds = sorted(seed for seed in cell.glob("seed*") if (seed / "metrics.json").exists())
        found = [accuracy(seed) for seed in seeds]
        gains = [value - base for value in found]
        error = statistics.stdev(gains) / len(gains) ** 0.5 if len(gains) > 1 else float("nan")
        runs = [[json.loads(text) for text in (seed / "train.jsonl").read_text().splitlines()] for seed in seeds]
        print(f"{cell.name}: {', '.join(f'{value:.1f}' for value in found)}")
        print(f"  gain {statistics.mean(gains):+.2f} ± {error:.2f} points over {len(seeds)} seed(s)")
        for column in ("accuracy", "reward_std", "between_variants", "within_variants", "flat_groups", "seconds"):
            values = thirds(runs, column)
            shown = ", ".join(f"{value:.3f}" for value in values)
            print(f"  {column}: {shown} by thirds, mean {statistics.mean(values):.3f}")


if __name__ == "__main__":
    main()
