"""Fixtures: small real things; mp4 files, questions about them, a random tiny policy on disk."""

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from slurm_cluster import image, slurm, smoke  # noqa: F401  # fixtures too
from support import copy_of_the_tree, snakemake

from stgrpo.demo import mp4, world
from stgrpo.files import write_json
from stgrpo.prompts import LETTERS, lettered
from stgrpo.records import Question
from stgrpo.rules import FrameRule, Training
from stgrpo.specs import TrainSpec

OWN_SIZE = FrameRule(min_pixels=56 * 56, max_pixels=56 * 56)


@pytest.fixture(scope="session")
def questions(tmp_path_factory: pytest.TempPathFactory) -> list[Question]:
    """Twelve questions about twelve rendered videos."""
    folder, made = tmp_path_factory.mktemp("videos"), []
    for i in range(12):
        scene, family = world.scene(i, seed=5), world.FAMILIES[i % 2]
        mp4.write(folder / f"{i}.mp4", scene.frames, world.FPS)
        words = world.options(family, np.random.default_rng(i))
        letter = LETTERS[words.index(scene.truth(family))]
        text = world.question_text(family, scene.shape)
        options = tuple(lettered(words))
        made.append(Question(f"q{i}", str(folder / f"{i}.mp4"), text, options, "multiple choice", letter, "test"))
    return made


@pytest.fixture(scope="session")
def scores(questions: list[Question]) -> dict[str, tuple[float, ...]]:
    """Frame scores between 0 and 1."""
    rng = np.random.default_rng(0)
    return {q.id: tuple(rng.random(world.FRAMES).tolist()) for q in questions}


@pytest.fixture(scope="session")
def policy_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random tiny Qwen2.5-VL with its tokenizer, as save_pretrained writes them."""
    from stgrpo.demo.policy import make_policy

    folder = tmp_path_factory.mktemp("policy")
    policy = make_policy(seed=0)
    policy.model.save_pretrained(folder)
    policy.tokenizer.save_pretrained(folder)
    write_json(folder / "made_by.json", {"provenance": {"spec": "fixture"}})
    return folder


@pytest.fixture(scope="session")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of what git tracks or would track, in an empty folder, with scale smoke run to its end."""
    folder = copy_of_the_tree(tmp_path_factory.mktemp("clone"))
    config = folder / "config.yaml"
    config.write_text(config.read_text().replace("\nscale: demo\n", "\nscale: smoke\n"))
    who = ["-c", "user.name=tests", "-c", "user.email=tests"]
    for words in (["init", "-q"], ["add", "."], [*who, "commit", "-qm", "As it is"]):  # results name a commit
        subprocess.run(["git", *words], cwd=folder, check=True)
    done = snakemake(folder)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Callable[[str], Path]]:
    """A file system of its own; call it to set its size.

    Skipped where none may be mounted, as in a container without privileges, even if nothing else may be skipped: the
    tests that use /dev/full run everywhere.
    """
    disk = tmp_path / "disk"
    disk.mkdir()

    def size(text: str) -> Path:
        subprocess.run(["mount", "-o", f"remount,size={text}", str(disk)], check=True)
        return disk

    done = subprocess.run(["mount", "-t", "tmpfs", "tmpfs", str(disk)], capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"a full disk needs a small file system, and mounting one failed: {done.stderr.strip()}")
    yield size
    subprocess.run(["umount", str(disk)], check=True)


def spec_of(grouping: str = "importance+spatial", variants: int = 2, generations: int = 4, **more) -> TrainSpec:
    """A short training run on the fixtures; `training` fields and spec fields may be given by name."""
    chosen = {"learning_rate": 1e-3, "max_tokens": 8, "precision": "fp32", "frames": OWN_SIZE, "answers_per_step": 16}
    training = Training(**(chosen | {k: more.pop(k) for k in list(more) if k in Training.model_fields}))
    given = {
        "policy": "random@fixture",
        "questions": "fixture",
        "scores": "fixture" if variants > 1 else None,
        "prompt": "{question}",
        "seed": 0,
        "algorithm": "grpo",
        "grouping": grouping,
        "variants": variants,
        "generations": generations,
        "steps": 4,
    }
    return TrainSpec(**(given | more), training=training)
