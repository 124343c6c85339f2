"""The page for extenders, followed to the letter in a copy of the tree."""

import csv
import re
import shlex
import subprocess
from pathlib import Path

import pytest
from support import ROOT, copy_of_the_tree

PAGE = (ROOT / "docs/extending.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(diff|console)\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


def apply(folder: Path, block: str) -> None:
    """One block of the page: lines that go, come, or say where; without the last two, at the end of a file."""
    name, *changes = (line or " " for line in block.splitlines())
    path = folder / name
    assert path.parent.is_dir(), name
    before = [line[1:] for line in changes if line[0] in "- "]
    after = [line[1:] for line in changes if line[0] in "+ "]
    lines = path.read_text().splitlines() if path.exists() else []
    if before:
        places = [i for i in range(len(lines)) if lines[i : i + len(before)] == before]
        assert len(places) == 1, f"{name}: {before} stands there {len(places)} times"
        lines[places[0] : places[0] + len(before)] = after
    else:
        lines += after
    path.write_text("\n".join(lines) + "\n")


@pytest.fixture(scope="module")
def said(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    """The copy after all of the page, and what each command said."""
    folder, texts = copy_of_the_tree(tmp_path_factory.mktemp("extended")), {}
    for kind, block in BLOCKS:
        if kind == "diff":
            apply(folder, block)
            continue
        for command in block.splitlines():
            words = shlex.split(command)
            done = subprocess.run(words, cwd=folder, capture_output=True, text=True, check=False, timeout=600)
            texts[command] = done.stdout + done.stderr
            assert done.returncode == 0, f"{command}\n{texts[command]}"
    return folder, texts


@pytest.mark.workflow
def test_the_new_cell_stands_in_the_new_table_of_the_new_scale(said):
    folder, _ = said
    with (folder / "results/mini/table7.csv").open(newline="") as lines:
        rows = list(csv.DictReader(lines))
    assert [(row["cell"], row["column"], row["n"]) for row in rows] == [
        ("base", "motion", "6"),
        ("st-grpo-parts", "motion", "6"),
    ]
    assert "% scale: mini" in (folder / "results/table7.tex").read_text()


@pytest.mark.workflow
def test_the_new_grouping_shows_consecutive_parts(said):
    """Variant 0 of two the first half of 16 frames, variant 1 the second."""
    folder, _ = said
    rollouts = (folder / "results/mini/cells/st-grpo-parts/seed0/rollouts.jsonl").read_text()
    frames = {re.search(r'"frames": \[(.*?)\]', line)[1] for line in rollouts.splitlines()}
    assert frames == {", ".join(map(str, range(8))), ", ".join(map(str, range(8, 16)))}


@pytest.mark.workflow
def test_the_new_policy_is_planned(said):
    _, texts = said
    plan = texts["python -m stgrpo plan --scale paper"]
    assert "3,755 million parameters" in plan
    assert re.search(r"^qwen2.5-vl-3b +7.5 ", plan, re.MULTILINE)


@pytest.mark.workflow
def test_what_the_page_adds_is_clean(said):
    folder, _ = said
    done = subprocess.run(["ruff", "check", "stgrpo"], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    done = subprocess.run(
        ["ruff", "format", "--check", "stgrpo"], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout


def test_every_file_that_the_page_names_exists():
    for name in re.findall(r"\]\(\.\./([^)]+)\)", PAGE):
        assert (ROOT / name).exists(), name
