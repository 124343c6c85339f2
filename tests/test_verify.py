"""`stgrpo verify` on the results of a real run: all match, and each of many planted alterations is named."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from verifying import altered, copy_results, rehash, verified

from stgrpo.__main__ import main

pytestmark = pytest.mark.workflow
GRPO, DR_GRPO, ST_GRPO = (f"smoke/cells/{name}/seed0" for name in ("grpo", "dr-grpo", "st-grpo"))
Alteration = Callable[[Path], list[str]]  # alters results, returns what has to be named


@pytest.fixture
def results(clone: Path, tmp_path: Path) -> Path:
    return copy_results(clone, tmp_path)


def edit(name: str, change: Callable[[str], str]) -> Alteration:
    """An alteration of one text file; that file has to be named."""

    def alter(results: Path) -> list[str]:
        before = (results / name).read_text(encoding="utf-8")
        after = change(before)
        assert after != before, "nothing was altered"
        (results / name).write_text(after, encoding="utf-8")
        return [name]

    return alter


def edit_json(name: str, change: Callable[[Any], object]) -> Alteration:
    """An alteration of one JSON; that file has to be named."""

    def alter(results: Path) -> list[str]:
        altered(results / name, change)
        return [name]

    return alter


def another_line(text: str, number: int, change: Callable[[dict], object]) -> str:
    """JSON lines of which one is changed."""
    lines = text.splitlines(keepends=True)
    row = json.loads(lines[number])
    change(row)
    lines[number] = json.dumps(row, ensure_ascii=False) + "\n"
    return "".join(lines)


def flip(name: str) -> Alteration:
    """One bit of a binary file."""

    def alter(results: Path) -> list[str]:
        found = bytearray((results / name).read_bytes())
        found[-9] ^= 1
        (results / name).write_bytes(found)
        return [name]

    return alter


def swap(one: str, other: str) -> Alteration:
    """Two files or folders with their names exchanged; something in each has to be named."""

    def alter(results: Path) -> list[str]:
        (results / one).rename(results / "between")
        (results / other).rename(results / one)
        (results / "between").rename(results / other)
        return [one, other]

    return alter


def add(name: str) -> Alteration:
    """A file that nothing has made."""

    def alter(results: Path) -> list[str]:
        (results / name).parent.mkdir(parents=True, exist_ok=True)
        (results / name).write_text("{}\n")
        return [name]

    return alter


def remove(*names: str) -> Alteration:
    def alter(results: Path) -> list[str]:
        for name in names:
            (results / name).unlink()
        return [names[0]]

    return alter


def instead(name: str, make: Callable[[Path], object]) -> Alteration:
    """Something else where a file or a folder was."""

    def alter(results: Path) -> list[str]:
        (results / name).rename(results.parent / "aside")
        make(results / name)
        return [name]

    return alter


def forged(name: str, alter: Alteration) -> Alteration:
    """An alteration after which all hashes are made to match; `name` has to be named."""

    def alter_all(results: Path) -> list[str]:
        alter(results)
        rehash(results)
        return [name]

    return alter_all


def move(old: str, new: str) -> Alteration:
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


def of_block(name: str, **values: Any) -> Alteration:
    """A block of provenance that says something else."""
    return edit_json(name, lambda found: found.get("provenance", found).update(values))


def step(**values: float) -> Callable[[str], str]:
    """The second step of a training, with other numbers."""
    return lambda text: another_line(text, 1, lambda row: row.update(values))


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
    "a table is made from nothing": of_block("smoke/table3.provenance.json", inputs={}),
    "a figure is made from nothing": of_block("smoke/figure3.provenance.json", inputs={}),
    "the report is made from less": edit_json(
        "smoke/report.provenance.json", lambda found: found["provenance"]["inputs"].popitem()
    ),
    "a table is made from more": edit_json(
        "smoke/table3.provenance.json", lambda found: found["provenance"]["inputs"].update({"more.csv": "0" * 64})
    ),
    "the scores are made from nothing": of_block("smoke/scores/train.provenance.json", inputs={}),
    "a table has made nothing": of_block("smoke/table3.provenance.json", outputs={}),
    "a table is of no data": of_block("smoke/table3.provenance.json", data={}),
    "a table is by no packages": of_block("smoke/table3.provenance.json", packages={}),
    "the policy is of no commit": of_block("smoke/policy/made_by.json", commit=None),
    "the policy is of another device": forged(
        "smoke/policy/made_by.json", of_block("smoke/policy/made_by.json", device="")
    ),
    "inputs are null": of_block("smoke/scores/train.provenance.json", inputs=None),
    "the spec of the questions": edit_json(
        "smoke/questions/mmvu.provenance.json", lambda found: found["resolved"]["frames"].update(rate=9.0)
    ),
    "other questions": swap("smoke/questions/mmvu.provenance.json", "smoke/questions/vsibench.provenance.json"),
    "the hash of the scores": of_block("smoke/scores/train.provenance.json", spec="0" * 16),
    "the hash of the scorer": of_block("smoke/scorer/made_by.json", spec="0" * 16),
    "the spec of the policy": edit_json(
        "smoke/policy/made_by.json", lambda found: found["spec"]["warm"].update(seed=7)
    ),
    "the spec of the world": edit_json(
        "smoke/world/lmms-eval/MMVU.provenance.json", lambda found: found["resolved"]["corpus"].update(seed=1)
    ),
    "provenance where none is expected": forged(
        "smoke/questions/more/train.json", add("smoke/questions/more/train.json")
    ),
    "a scale renamed": move("smoke", "paper"),
    "weights in another form": add(f"{GRPO}/model/pytorch_model.bin"),
    "an index of weights": add("smoke/policy/model.safetensors.index.json"),
    "how a model answers": edit(f"{GRPO}/model/generation_config.json", lambda text: text.replace("{", '{"a": 1,', 1)),
    "a cell called state": add("smoke/cells/state/seed0/rollouts.jsonl"),
    "a table is gone altogether": remove(
        *(f"smoke/table3.{form}" for form in ("tex", "csv", "provenance.json")), "table3.tex", "table3.csv"
    ),
    "scores are gone": lambda results: [*remove(f"{GRPO}/metrics.json")(results), GRPO + ": is unfinished"],
    "a seed without anything": lambda results: [(results / GRPO).with_name("seed7").mkdir() or GRPO[:-1] + "7"],
    "a folder of no seed": lambda results: [(results / GRPO).with_name("seedX").mkdir() or GRPO[:-1] + "X"],
    "scores that are a list": edit(f"{GRPO}/metrics.json", lambda text: "[]"),
    "scores that are no text": instead(f"{GRPO}/metrics.json", lambda path: path.write_bytes(b"\xff\xfe")),
    "a step that is a number": forged(f"{GRPO}/train.json", edit(f"{GRPO}/train.jsonl", lambda text: "1\n")),
    "a table that is a folder": instead("smoke/table3.tex", Path.mkdir),
    "a model that is a file": instead(f"{GRPO}/model", lambda path: path.write_text("")),
    "provenance that leads nowhere": instead(
        "smoke/scores/train.provenance.json", lambda path: path.symlink_to("nowhere")
    ),
    "a block deeper than can be read": instead(
        "smoke/scorer/made_by.json", lambda path: path.write_text("[" * 100_000)
    ),
    "a copy that leads nowhere": instead("table2.tex", lambda path: path.symlink_to("nowhere")),
    "forged: the spread of a step": forged(
        f"{GRPO}/train.jsonl: step 2: reward_std", edit(f"{GRPO}/train.jsonl", step(reward_std=0.9))
    ),
    "forged: the accuracy of a step": forged(
        f"{GRPO}/train.jsonl: step 2: accuracy", edit(f"{GRPO}/train.jsonl", step(accuracy=0.9))
    ),
    "forged: the flat groups of a step": forged(
        f"{GRPO}/train.jsonl: step 2: flat_groups", edit(f"{GRPO}/train.jsonl", step(flat_groups=0.75))
    ),
    "forged: a group is missing": forged(
        f"{GRPO}/groups.jsonl", edit(f"{GRPO}/groups.jsonl", lambda text: text.split("\n", 1)[1])
    ),
    "forged: a digit of a table": forged("smoke/table3.tex", edit("smoke/table3.tex", first_digit)),
    "forged: a credit": forged(
        f"{GRPO}/graded.jsonl",
        edit(
            f"{GRPO}/graded.jsonl", lambda text: another_line(text, 0, lambda row: row.update(credit=1 - row["credit"]))
        ),
    ),
    "forged: an answer": forged(
        f"{GRPO}/metrics.json", edit(f"{GRPO}/eval/all.jsonl", lambda text: text.replace("<answer>", "<said>"))
    ),
    "forged: a score": forged(
        f"{GRPO}/metrics.json",
        edit_json(f"{GRPO}/metrics.json", lambda found: found["scores"][0].update(value=99.0)),
    ),
}


@pytest.mark.parametrize("alteration", ALTERATIONS.values(), ids=ALTERATIONS)
def test_an_alteration_is_named(alteration: Alteration, results: Path, capsys):
    """Each altered file or folder, or something in it; removed provenance, by a file that it spoke for."""
    touched = [str(results / name).removesuffix(".provenance.json") for name in alteration(results)]
    lines, _ = verified(results, capsys)
    for path in touched:
        assert any(line.startswith(path) for line in lines), "\n".join(lines)


def test_a_folder_without_results_is_one_line(tmp_path: Path, capsys):
    assert main(["verify", str(tmp_path)]) == 2
    assert capsys.readouterr().err.startswith(f"verify: {tmp_path}: holds no scale's cells")
