"""`stgrpo verify` on the results of a real run: all match, and each of many planted alterations is named."""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from stgrpo.__main__ import main
from stgrpo.files import read_json, write_json

pytestmark = pytest.mark.workflow
GRPO, DR_GRPO, ST_GRPO = (f"smoke/cells/{name}/seed0" for name in ("grpo", "dr-grpo", "st-grpo"))


@pytest.fixture
def results(clone: Path, tmp_path: Path) -> Path:
    """A copy of the run's results, and of what its sources are, to alter."""
    shutil.copytree(clone / "results", tmp_path / "results", ignore=shutil.ignore_patterns("state"))
    for listing in (clone / "resources/smoke").glob("*.json"):
        (tmp_path / "resources/smoke").mkdir(parents=True, exist_ok=True)
        shutil.copy(listing, tmp_path / "resources/smoke")
    return tmp_path / "results"


def verified(results: Path, capsys: pytest.CaptureFixture[str]) -> list[str]:
    """What does not match, a line each; the last line, which counts, is checked here."""
    capsys.readouterr()
    try:
        status = main(["verify", str(results)])
    except SystemExit as end:
        status = end.code
    *lines, last = capsys.readouterr().out.splitlines()
    assert status == (1 if lines else 0)
    assert last.endswith(f"{len(lines)} mismatches" if lines else "all match")
    return lines


def test_a_run_verifies_wherever_it_lies(results: Path, capsys):
    assert verified(results, capsys) == []
    assert verified(results.rename(results.with_name("moved")), capsys) == []


def edit(name: str, change: Callable[[str], str]) -> Callable[[Path], list[str]]:
    """An alteration of one text file; that file has to be named."""

    def alter(results: Path) -> list[str]:
        before = (results / name).read_text(encoding="utf-8")
        after = change(before)
        assert after != before, "nothing was altered"
        (results / name).write_text(after, encoding="utf-8")
        return [name]

    return alter


def edit_json(name: str, change: Callable[[Any], object]) -> Callable[[Path], list[str]]:
    """An alteration of one JSON; that file has to be named."""

    def alter(results: Path) -> list[str]:
        found = read_json(results / name)
        change(found)
        write_json(results / name, found)
        return [name]

    return alter


def another_line(text: str, number: int, change: Callable[[dict], object]) -> str:
    """JSON lines of which one is changed."""
    lines = text.splitlines(keepends=True)
    row = json.loads(lines[number])
    change(row)
    lines[number] = json.dumps(row, ensure_ascii=False) + "\n"
    return "".join(lines)


def flip(name: str) -> Callable[[Path], list[str]]:
    """One bit of a binary file."""

    def alter(results: Path) -> list[str]:
        found = bytearray((results / name).read_bytes())
        found[-9] ^= 1
        (results / name).write_bytes(found)
        return [name]

    return alter


def swap(one: str, other: str) -> Callable[[Path], list[str]]:
    """Two files or folders with their names exchanged; one inside of each has to be named."""

    def alter(results: Path) -> list[str]:
        (results / one).rename(results / "between")
        (results / other).rename(results / one)
        (results / "between").rename(results / other)
        return [one, other]

    return alter


def remove(name: str) -> Callable[[Path], list[str]]:
    def alter(results: Path) -> list[str]:
        (results / name).unlink()
        return [name]

    return alter


def move(old: str, new: str) -> Callable[[Path], list[str]]:
    def alter(results: Path) -> list[str]:
        (results / old).rename(results / new)
        return [new]

    return alter


def right_answer(text: str) -> str:
    """Predictions of which the first one is of another letter."""
    return re.sub(r"<answer> ([A-D])", lambda m: "<answer> " + ("B" if m[1] == "A" else "A"), text, count=1)


def first_digit(text: str) -> str:
    """A table in which one digit of its first number after a column separator is another one."""
    return re.sub(r"& (\d)(\d\.\d)", lambda m: f"& {(int(m[1]) + 1) % 10}{m[2]}", text, count=1)


def relabel(value: str) -> Callable[[dict], None]:
    return lambda found: found["provenance"].update(commit=value)


ALTERATIONS = {
    "an answer is another letter": edit(f"{GRPO}/eval/all.jsonl", right_answer),
    "an answer has one more space": edit(
        f"{GRPO}/eval/all.jsonl", lambda text: another_line(text, 3, lambda row: row.update(text=row["text"] + " "))
    ),
    "an answer is missing": edit(f"{GRPO}/eval/all.jsonl", lambda text: text.split("\n", 1)[1]),
    "an answer stands twice": edit(f"{GRPO}/eval/all.jsonl", lambda text: text.split("\n", 1)[0] + "\n" + text),
    "the truth of a question": edit(
        "smoke/questions/perceptiontest.jsonl",
        lambda text: another_line(text, 0, lambda row: row.update(answer="B" if row["answer"] == "A" else "A")),
    ),
    "a question is missing": edit("smoke/questions/mmvu.jsonl", lambda text: text.split("\n", 1)[1]),
    "a digit of a table": edit("smoke/table3.tex", first_digit),
    "a digit of a published table": edit("table3.tex", first_digit),
    "an error in a table": edit(
        "smoke/table2.tex", lambda text: re.sub(r"pm\$(\d)", lambda m: f"pm${(int(m[1]) + 1) % 10}", text, count=1)
    ),
    "a p in a CSV": edit("smoke/table3.csv", lambda text: re.sub(r",0\.(\d{3,4}),", r",0.0\1,", text, count=1)),
    "a commit in a CSV": edit("smoke/table2.csv", lambda text: re.sub(r"[0-9a-f]{40}", "0" * 40, text, count=1)),
    "a table's caption": edit("smoke/table2.tex", lambda text: text.replace("one seed", "five seeds")),
    "a bit of the weights": flip(f"{GRPO}/model/model.safetensors"),
    "weights swapped": swap(f"{GRPO}/model", f"{DR_GRPO}/model"),
    "weights files swapped": swap(f"{GRPO}/model/model.safetensors", f"{DR_GRPO}/model/model.safetensors"),
    "cells swapped": swap("smoke/cells/grpo", "smoke/cells/dr-grpo"),
    "answers swapped": swap(f"{GRPO}/eval", f"{DR_GRPO}/eval"),
    "a seed's folder relabelled": move(GRPO, "smoke/cells/grpo/seed1"),
    "a seed relabelled in the spec": edit_json(f"{GRPO}/train.json", lambda found: found["spec"].update(seed=1)),
    "a seed relabelled in the scores": edit_json(f"{GRPO}/metrics.json", lambda found: found.update(seed=1)),
    "a cell renamed in the scores": edit_json(f"{GRPO}/metrics.json", lambda found: found.update(cell="dr-grpo")),
    "a learning rate": edit_json(
        f"{GRPO}/train.json", lambda found: found["spec"]["training"].update(learning_rate=1e-6)
    ),
    "a score": edit_json(f"{GRPO}/metrics.json", lambda found: found["scores"][0].update(value=99.0)),
    "an error of a score": edit_json(
        f"{GRPO}/metrics.json", lambda found: found["scores"][1].update(standard_error=0.1)
    ),
    "a credit": edit(
        f"{GRPO}/graded.jsonl",
        lambda text: another_line(text, 0, lambda row: row.update(credit=1.0 - row["credit"])),
    ),
    "a step of Figure 3": edit(
        f"{GRPO}/train.jsonl", lambda text: another_line(text, 2, lambda row: row.update(reward_std=9.0))
    ),
    "a step is missing": edit(f"{GRPO}/train.jsonl", lambda text: text.split("\n", 1)[1]),
    "an advantage": edit(
        f"{ST_GRPO}/groups.jsonl", lambda text: another_line(text, 0, lambda row: row.update(advantages=[0.0] * 8))
    ),
    "a rollout": edit(f"{ST_GRPO}/rollouts.jsonl", lambda text: another_line(text, 0, lambda row: row.update(step=5))),
    "a frame score": flip("smoke/scores/train.parquet"),
    "a figure": flip("smoke/figure3.png"),
    "the policy to start from": flip("smoke/policy/model.safetensors"),
    "the report": edit("smoke/report.html", lambda text: text.replace("</h1>", "!</h1>", 1)),
    "a commit in a training": edit_json(f"{GRPO}/train.json", relabel("0" * 40)),
    "an image of an evaluation": edit_json(
        f"{GRPO}/eval/all.provenance.json", lambda found: found.update(image={"path": "x", "sha256": "0" * 64})
    ),
    "a device of the weights": edit_json(
        f"{GRPO}/metrics.json", lambda found: found["weights"].update(device="NVIDIA H100")
    ),
    "the data of a training": edit_json(
        f"{GRPO}/train.json", lambda found: found["provenance"]["data"].update({"video-r1": "0" * 16})
    ),
    "the data of the questions": edit_json(
        "smoke/questions/mmvu.provenance.json", lambda found: found["data"].update(mmvu="0" * 16)
    ),
    "provenance is gone": remove("smoke/table3.provenance.json"),
    "a package is not said": edit_json(f"{GRPO}/train.json", lambda found: found["provenance"].pop("packages")),
    "half a JSON": edit(f"{GRPO}/train.json", lambda text: text[: len(text) // 2]),
}


@pytest.mark.parametrize("alteration", ALTERATIONS.values(), ids=ALTERATIONS)
def test_an_alteration_is_named(alteration, results: Path, capsys):
    """By the altered file, or by one in the altered folder; removed provenance, by a file that it spoke for."""
    touched = [str(results / name) for name in alteration(results)]
    lines = verified(results, capsys)
    spoken_for = [path.removesuffix(".provenance.json") for path in touched]
    assert any(line.startswith(path) for line in lines for path in spoken_for), "\n".join(lines)


def test_a_folder_without_results_is_one_line(tmp_path: Path, capsys):
    assert main(["verify", str(tmp_path)]) == 2
    assert capsys.readouterr().err.startswith(f"verify: {tmp_path}: holds no scale's cells")
