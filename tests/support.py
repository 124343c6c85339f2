"""What tests of every kind ask for: the clone, programs of the machine, the project's own configuration."""

import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from stgrpo.config import Experiment
from stgrpo.loading import load_experiment
from stgrpo.records import Graded

ROOT = Path(__file__).parent.parent


def skip(reason: str) -> None:
    """Skip a test for what the machine lacks; where nothing may be skipped, as in CI, fail."""
    pytest.fail(reason) if os.environ.get("STGRPO_NO_SKIPS") else pytest.skip(reason)


def need(program: str) -> None:
    """Skip a test for which the machine lacks a program."""
    if shutil.which(program) is None:
        skip(f"{program} is not installed (make system installs it, as root on Debian)")


def copy_of_the_tree(folder: Path) -> Path:
    """What git tracks or would track, copied into an empty folder."""
    words = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    for name in subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines():
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)
    return folder


def experiment(scale: str = "demo") -> Experiment:
    """The project's own config.yaml at a scale."""
    import yaml

    return load_experiment({**yaml.safe_load((ROOT / "config.yaml").read_text()), "scale": scale})


def answers(benchmark: str, right: int, questions: int = 100, stratum: str = "") -> list[Graded]:
    """Graded answers of a benchmark, one video a question; the first ones are right."""
    return [
        Graded(benchmark, f"q{i}", f"v{i}", stratum, 1 / questions, float(i < right), "A") for i in range(questions)
    ]


def snakemake(folder: Path, *words: str) -> subprocess.CompletedProcess:
    """Snakemake as it is typed in a clone."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        ["snakemake", *words], cwd=folder, capture_output=True, text=True, timeout=600, check=False, env=environment
    )


def generate_with_logits(policy: Any, prompts: Any, clips: Any, sample: Any, max_tokens: int) -> Any:
    """Answers, and the logits (R, T, V) of every token; zero after a row has left."""
    import torch

    from stgrpo.policy.generate import generate

    seen: list[Any] = []

    def noted(logits: Any, position: int, rows: Any = None) -> Any:
        seen.append(logits.new_zeros(len(prompts), logits.shape[1]).index_copy(0, rows, logits))
        return sample(logits, position, rows)

    answers = generate(policy, prompts, clips, noted, max_tokens)
    return answers, torch.stack(seen, 1)
