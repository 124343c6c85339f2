"""config.yaml, through `plan`, which starts nothing."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml
from support import ROOT

from malformed.harness import Case, pinned
from stgrpo.__main__ import main

_TEXT = (ROOT / "config.yaml").read_text(encoding="utf-8")


def _with(content: str | bytes) -> Callable[[Path], int]:
    def run(folder: Path) -> int:
        (folder / "config.yaml").write_bytes(content if isinstance(content, bytes) else content.encode())
        return main(["plan"])

    return run


def _replaced(old: str, new: str) -> Callable[[Path], int]:
    assert _TEXT.count(old) == 1, old
    return _with(_TEXT.replace(old, new))


def _set(value: Any, *place: str) -> Callable[[Path], int]:
    """The file with another value at a place."""
    tree = yaml.safe_load(_TEXT)
    *above, last = place
    branch = tree
    for key in above:
        branch = branch[key]
    branch[last] = value
    return _with(yaml.safe_dump(tree))


def _baseline() -> Callable[[Path], int]:
    return _replaced(
        "- {cell: st-grpo-m4g2, label: M=4 G=2, baseline: grpo}", "- {cell: grpo, label: x, baseline: grpo}"
    )


def _no_file(folder: Path) -> int:
    return main(["plan"])


_BOMB = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{new}: &{new} [{', '.join([f'*{old}'] * 9)}]\n" for old, new in zip("abcdefgh", "bcdefghi", strict=True)
)
_GRPO = "{algorithm: grpo, grouping: none, variants: 1, generations: 8, steps: 500}"
_ST = "{from: grpo, grouping: importance+spatial, selection: weighted, variants: 2, generations: 4}"

_CASES = [
    ("no file", _no_file),
    ("an empty file", _with("")),
    ("a list", _with("- a\n- b\n")),
    ("a bracket that is not closed", _with(_TEXT.replace("seeds: [0]", "seeds: [0", 1))),
    ("a tab for blanks", _with("scale: demo\ncells:\n\tbase: {}\n")),
    ("no UTF-8", _with(_TEXT.encode().replace(b"scale: demo", b"scale: d\xe9mo", 1))),
    ("control characters", _with(_TEXT.replace("scale: demo", "scale: de\x07mo", 1))),
    ("a hundred thousand brackets", _with("a: " + "[" * 100_000)),
    ("aliases that multiply to 10^9", _with(_BOMB)),
    ("an object of Python", _with("scale: !!python/object/apply:os.system ['touch pwned']\n")),
    ("a date that is none", _with("scale: 2026-99-99\n")),
    ("half of the file", _with(_TEXT[: len(_TEXT) // 2])),
    ("another scale than there are", _replaced("scale: demo\n", "scale: dmo\n")),
    ("a key misspelt", _replaced("generations: 8, steps: 500}", "generation: 8, steps: 500}")),
    ("a part left out", _set({}, "scales")),
    ("a text for a number", _replaced("generations: 8, steps: 500}", "generations: 8, steps: many}")),
    ("negative steps", _replaced("generations: 8, steps: 500}", "generations: 8, steps: -500}")),
    ("half a step", _replaced("generations: 8, steps: 500}", "generations: 8, steps: 0.5}")),
    ("a learning rate that is no number", _replaced("learning_rate: 5.0e-5", "learning_rate: .nan")),
    ("an infinite ratio", _set(float("inf"), "scales", "demo", "step_ratio")),
    ("a list for a mapping", _set(["grpo"], "cells")),
    ("null for a cell", _set(None, "cells", "grpo")),
    (
        "an unknown parent",
        _replaced("st-grpo-deterministic: {from: st-grpo,", "st-grpo-deterministic: {from: st-grop,"),
    ),
    ("a circle of parents", _replaced(f"grpo: {_GRPO}", "grpo: {from: st-grpo, steps: 500}")),
    ("a name that is a command", _set({"train": None}, "cells", "$(touch pwned)")),
    ("a name that leads elsewhere", _set({"train": None}, "cells", "../../etc")),
    (
        "a group that divides no step",
        _replaced(f"st-grpo: {_ST}", f"st-grpo: {_ST.replace('generations: 4', 'generations: 3')}"),
    ),
    (
        "variants without a grouping",
        _replaced(f"grpo: {_GRPO}", f"grpo: {_GRPO.replace('variants: 1', 'variants: 2')}"),
    ),
    ("an unknown grouping", _set("by-importance", "cells", "st-grpo", "grouping")),
    ("a cell twice", _set(["base", "grpo", "grpo"], "scales", "demo", "cells")),
    ("a benchmark that there is not", _set(["videome"], "scales", "demo", "evaluation", "parts", "all")),
    ("a column that nothing evaluates", _set(["mmvu"], "scales", "demo", "evaluation", "parts", "all")),
    ("a row that is its own baseline", _baseline()),
    ("ranks that divide no step", _set(3, "scales", "demo", "processes")),
    ("a prompt that asks nothing", _set("Answer!", "scales", "demo", "prompt")),
    ("ten thousand digits", _replaced("generations: 8, steps: 500}", f"generations: 8, steps: {'9' * 10_000}}}")),
]
CASES = [Case("config", what, run, pinned(f"config: {what}")) for what, run in _CASES]
