"""config.yaml: its tree with a few values changed, and its text damaged. What is accepted can be planned and run."""

import copy
import json
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from hypothesis import strategies as st
from support import ROOT

from fuzzing import Surface
from fuzzing.bytes_of import damaged
from stgrpo import specs
from stgrpo.config import Experiment
from stgrpo.errors import UserError
from stgrpo.loading import load_experiment, read_experiment
from stgrpo.report import contents, report_spec

_TEXT = (ROOT / "config.yaml").read_bytes()
_TREE = yaml.safe_load(_TEXT)
_ODD = st.one_of(
    st.sampled_from(
        [None, True, False, 0, 1, -1, 3, 10**30, 0.5, 1e308, float("nan"), float("inf"), "", " ", "x", "../x", "a/b"]
        + ["$(touch x)", "a\nb", "{cell}", "é\u202e", [], [[]], {}, {"": 1}, [None], "1", "demo", "grpo", "base", "all"]
    ),
    st.integers(),
    st.floats(),
    st.text(max_size=20),
)


def _places(tree: Any, at: tuple = ()) -> Iterator[tuple]:
    """Paths of everything below the root."""
    branches = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    for key, branch in branches:
        yield (*at, key)
        yield from _places(branch, (*at, key))


_PLACES = list(_places(_TREE))


def _branch(tree: Any, place: tuple) -> Any:
    for key in place:
        tree = tree[key]
    return tree


_CHANGES = st.lists(
    st.tuples(
        st.sampled_from(_PLACES),
        st.one_of(
            st.just(("leave out", None)),
            st.tuples(st.just("set"), _ODD),
            st.tuples(st.just("copy"), st.sampled_from(_PLACES)),
            st.tuples(st.just("rename"), _ODD.filter(lambda name: isinstance(name, str | int | float | None))),
        ),
    ),
    min_size=1,
    max_size=3,
)


def _changed(changes: list) -> dict:
    """The file's tree after the changes; one whose place an earlier one took away is left out."""
    tree = copy.deepcopy(_TREE)
    for (*above, key), (how, what) in changes:
        try:
            holder = _branch(tree, tuple(above))
            value = holder[key]
        except (KeyError, IndexError, TypeError):
            continue
        if isinstance(holder, str):  # a character of it
            continue
        if how == "set":
            holder[key] = what
        elif how == "copy":
            holder[key] = copy.deepcopy(_branch(_TREE, what))
        elif how == "leave out":
            del holder[key]
        elif isinstance(holder, dict):
            del holder[key]
            holder[what] = value
    return tree


def _check_tree(changes: list) -> None:
    try:
        experiment = load_experiment(_changed(changes))
    except UserError as error:
        _lines(error)
        return
    try:
        _asked_for(experiment)
    except UserError as error:
        _lines(error)


def _lines(error: UserError) -> None:
    for line in str(error).split("\n"):
        assert line.startswith("config.yaml: "), line
        assert line.isprintable() and len(line) < 1500, line


def _asked_for(experiment: Experiment) -> None:
    """What the workflow asks of a configuration before its first job."""
    scale = experiment.active
    for cell in scale.known_cells:
        for seed in scale.seeds:
            for part in scale.evaluation.parts:
                specs.eval_spec(experiment, cell, seed, part).canonical()
            if cell in experiment.trainable:
                json.loads(specs.train_spec(experiment, cell, seed).canonical())
                experiment.stem(cell)
    specs.policy_spec(experiment).hash()
    specs.scorer_spec(experiment).hash()
    specs.score_spec(experiment).hash()
    for name in ("train", *experiment.benchmarks):
        specs.prepare_spec(experiment, name).hash()
        specs.sources_of(experiment, name)
    for table in scale.known_tables:
        contents.table_spec(experiment, table).model_dump_json()
    for figure in scale.figures:
        contents.figure_spec(experiment, figure).model_dump_json()
    report_spec.report_spec(experiment).model_dump_json()


def _check_text(content: bytes) -> None:
    here = Path.cwd()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        try:
            Path("config.yaml").write_bytes(content)
            read_experiment()
        except UserError as error:
            _lines(error)
        finally:
            os.chdir(here)


SURFACES = [
    Surface("config", _CHANGES, _check_tree, 60),
    Surface("config-text", damaged(_TEXT), _check_text, 15),
]
