"""The repository's config.yaml, what is said about broken ones, and the specs that come of it."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from stgrpo import specs
from stgrpo.commands.schema import schema
from stgrpo.config import Experiment
from stgrpo.errors import UserError
from stgrpo.loading import load_experiment
from stgrpo.rules import Controls, FrameRule, Training

ROOT = Path(__file__).parent.parent
RAW = yaml.safe_load((ROOT / "config.yaml").read_text(encoding="utf-8"))
DELETE = object()


def mutated(*changes: tuple[str, Any]) -> dict[str, Any]:
    """The repository's configuration with values set at dotted places; a list's places are numbers."""
    raw = json.loads(json.dumps(RAW))  # a deep copy in which YAML's anchors are no longer one object
    for place, value in changes:
        *path, last = [int(part) if part.isdigit() else part for part in place.split(".")]
        inner = raw
        for part in path:
            inner = inner[part]
        if value is DELETE:
            del inner[last]
        else:
            inner[last] = value
    return raw


def loaded(*changes: tuple[str, Any]) -> Experiment:
    return load_experiment(mutated(*changes))


def errors(*changes: tuple[str, Any]) -> list[str]:
    """The lines that a user sees."""
    with pytest.raises(UserError) as caught:
        loaded(*changes)
    return str(caught.value).splitlines()


def test_the_repository_s_own_configuration_loads():
    experiment = load_experiment(RAW)
    assert experiment.scale == "demo"
    assert {"grpo", "st-grpo"} <= set(experiment.trainable)
    assert "base" not in experiment.trainable


def test_a_cell_takes_over_what_its_parents_say_and_changes_only_its_own():
    experiment = loaded(
        ("cells.grandchild", {"from": "child", "generations": 16}), ("cells.child", {"from": "grpo", "steps": 250})
    )
    child, grandchild = experiment.cell("child"), experiment.cell("grandchild")
    assert (child.algorithm, child.variants, child.generations, child.steps) == ("grpo", 1, 8, 250)
    assert (grandchild.variants, grandchild.generations, grandchild.steps) == (1, 16, 250)


LATE = [  # what would otherwise fail only after the trainings, or never
    (
        ("benchmarks.mvbench", {"title": "MVBench", "source": "mvbench"}),
        "config.yaml: benchmarks: unknown benchmark 'mvbench'; did you mean 'vsibench'?",
    ),
    (
        ("benchmarks.mmvu.source", "mmvuu"),
        "config.yaml: scales.smoke.world: unknown source 'mmvuu'; did you mean 'mmvu'?",
    ),
    (
        ("figures.figure3.metric", "reward_sdt"),
        "config.yaml: figures.figure3.metric: unknown metric 'reward_sdt'; did you mean 'reward_std'?",
    ),
    (
        ("scales.smoke.cells", ["base", "grpo", "grpo"]),
        "config.yaml: scales.smoke.cells: grpo stands twice; once is enough",
    ),
    (
        ("tables.table4.averages", [{"title": "Avg.", "over": ["mmvu", "mmvu"]}]),
        "config.yaml: tables.table4.averages: mmvu stands twice; once is enough",
    ),
    (
        ("scales.demo.cells", ["base", "grpo-1000", "st-grpo-1000"]),
        "config.yaml: scales.demo.figures: 'figure3' shows none of this scale's cells; add one of grpo, st-grpo, "
        "dr-grpo, st-dr-grpo to scales.demo.cells",
    ),
    (
        ("cells.grpo.selection", "top"),
        "config.yaml: cells.grpo: selection 'top' with grouping 'none', which selects nothing; leave it out, or choose "
        "an importance grouping",
    ),
    (
        ("scales.demo.cells.0", "video-r1"),
        "config.yaml: scales.demo.cells: 'video-r1' is video-r1-7b, but nothing is fetched at this scale; leave it out",
    ),
    (
        ("cells.video-r1.train", True),
        "config.yaml: cells.video-r1: model 'video-r1-7b' with a training, which starts from the scale's own policy; "
        "leave one of them out (train: null)",
    ),
    (
        ("scales.demo.comparable", True),
        "config.yaml: scales.demo: comparable = true, but no rendered video compares with the paper's; leave it out",
    ),
    (
        ("scales.smoke.sharding", "zero3"),
        "config.yaml: scales.smoke: sharding = zero3 needs processes = 2 or more, found 1",
    ),
    (
        ("scales.smoke.needs.train.gpus", 2),
        "config.yaml: scales.smoke: needs.train.gpus = 2, but processes = 1; there is one a GPU",
    ),
    (
        ("scales.smoke.needs.fetch.gpus", 1),
        "config.yaml: scales.smoke: needs.fetch.gpus = 1, but it uses none; leave it out",
    ),
]


@pytest.mark.parametrize(("change", "expected"), LATE, ids=[change[0] for change, _ in LATE])
def test_what_would_fail_late_is_refused_at_once(change: tuple[str, Any], expected: str):
    assert expected in errors(change)


IDLE = [  # knobs without an effect, or without a meaning: the cell, then what is said after its name
    (
        {"from": "grpo", "selection": "uniform"},
        "selection 'uniform' with grouping 'none', which selects nothing; leave it out, or choose an importance "
        "grouping",
    ),
    (
        {"from": "st-grpo-top", "score_temperature": 0.02},
        "score_temperature = 0.02 with grouping 'importance+spatial' and selection 'top', which weigh no scores; leave "
        "it out, or choose an importance grouping and 'weighted'",
    ),
    (
        {"from": "st-grpo-stochastic", "score_temperature": 0.02},
        "score_temperature = 0.02 with grouping 'stochastic' and selection 'weighted', which weigh no scores; leave it "
        "out, or choose an importance grouping and 'weighted'",
    ),
    (
        {"from": "grpo", "identity": True},
        "identity with variants = 1, which is the plain video already; leave it out",
    ),
    (
        {"from": "grpo", "condition": "original"},
        "condition with variants = 1, which is the plain video already; leave it out",
    ),
    (
        {"from": "st-grpo", "variants": 8, "generations": 1, "pool": "variant"},
        "pool = variant with variants = 8 and generations = 1; it needs two or more of both",
    ),
    (
        {"from": "grpo", "pool": "variant"},
        "pool = variant with variants = 1 and generations = 8; it needs two or more of both",
    ),
    (
        {"from": "dr-grpo", "ratio": "sequence"},
        "ratio = sequence with algorithm 'dr_grpo', which is about the ratios of tokens; choose algorithm 'grpo'",
    ),
]


@pytest.mark.parametrize(("cell", "expected"), IDLE, ids=[" ".join(map(str, cell.values())) for cell, _ in IDLE])
@pytest.mark.parametrize("place", ["cells", "on_request"])
def test_a_knob_that_turns_nothing_is_refused_wherever_its_cell_stands(place: str, cell: dict[str, Any], expected: str):
    cells = {"cells": ["base", "grpo", "odd"], "on_request": {"cells": ["odd"]}}[place]
    assert errors(("cells.odd", cell), (f"scales.smoke.{place}", cells)) == [f"config.yaml: cells.odd: {expected}"]


ON_REQUEST = [
    (
        ("scales.smoke.on_request.cells", ["st-grpo-unform"]),
        "config.yaml: scales.smoke.on_request.cells: unknown cell 'st-grpo-unform'; did you mean 'st-grpo-uniform'?",
    ),
    (
        ("scales.smoke.on_request.tables", ["table66"]),
        "config.yaml: scales.smoke.on_request.tables: unknown table 'table66'; did you mean 'table6'?",
    ),
    (
        ("scales.smoke.on_request.cells", ["grpo"]),
        "config.yaml: scales.smoke.cells: grpo stands twice; once is enough",
    ),
    (
        ("scales.smoke.on_request.tables", ["table2"]),
        "config.yaml: scales.smoke.tables: table2 stands twice; once is enough",
    ),
    (
        ("scales.smoke.on_request.tablez", []),
        "config.yaml: scales.smoke.on_request.tablez: unknown key; did you mean 'tables'?",
    ),
]


@pytest.mark.parametrize(("change", "expected"), ON_REQUEST, ids=[expected[13:] for _, expected in ON_REQUEST])
def test_what_is_made_on_request_is_checked_like_the_rest(change: tuple[str, Any], expected: str):
    assert errors(change) == [expected]


def test_the_controls_are_the_cells_of_table_6_as_they_are_described():
    """Each row of the description is one change to a cell of the paper's."""
    described = re.findall(r"^\s+\| (\w+): (\S+) +\| ([a-z-]+) ", Controls.__doc__ or "", re.MULTILINE)
    rows = {row["cell"] for row in RAW["tables"]["table6"]["rows"]}
    assert {cell for _, _, cell in described} == set(RAW["scales"]["demo"]["on_request"]["cells"])
    assert {cell for _, _, cell in described} == rows - {"grpo", "st-grpo", "dr-grpo"}
    for knob, value, cell in described:
        parent = "grpo" if cell == "dr-grpo-no-std" else "st-grpo"
        assert RAW["cells"][cell] == {"from": parent, knob: yaml.safe_load(value)}


def test_a_table_on_request_shows_cells_on_request_and_no_other_table_does():
    from stgrpo.report.contents import figure_spec, table_spec

    row = {"cell": "st-grpo-sharp", "label": "sharp"}
    panel = {"title": "ST", "cells": ["st-grpo", "st-grpo-sharp"]}
    experiment = loaded(("tables.table2.rows.4", row), ("figures.figure3.panels.0", panel))
    assert "st-grpo-sharp" in experiment.trainable
    assert "sharp" in table_spec(experiment, "table2").omitted
    assert "st-grpo-sharp/seed0" not in table_spec(experiment, "table2").specs
    assert "st-grpo-sharp/seed0" in table_spec(experiment, "table6").specs
    assert figure_spec(experiment, "figure3").panels[0].cells == ["st-grpo"]


BASELINES = [
    (
        {"cell": "st-grpo", "label": "ST-GRPO", "baseline": "grppo"},
        "'ST-GRPO': its baseline 'grppo' is no cell of the table; did you mean 'grpo'?",
    ),
    (
        {"cell": "st-grpo", "label": "ST-GRPO", "baseline": "base"},
        "'ST-GRPO': its baseline 'base' is no cell of the table; known: grpo, dr-grpo, st-dr-grpo",
    ),
    (
        {"cell": "st-grpo", "label": "ST-GRPO", "baseline": "st-grpo"},
        "'ST-GRPO': is its own baseline; name another cell of the table, or leave it out",
    ),
    (
        {"label": "GPT-4o", "baseline": "grpo"},
        "'GPT-4o': baseline 'grpo', but its numbers are the paper's alone; leave it out",
    ),
]


@pytest.mark.parametrize(("row", "text"), BASELINES, ids=["misspelt", "not in the table", "itself", "no cell"])
def test_a_baseline_is_another_cell_of_the_table(row: dict[str, str], text: str):
    assert errors(("tables.table3.rows.1", row)) == [f"config.yaml: tables.table3.rows: {text}"]


def test_every_trained_row_but_the_first_has_a_baseline_and_no_public_checkpoint_does():
    for name, table in load_experiment(RAW).tables.items():
        without = [row.cell for row in table.rows if row.cell and row.baseline is None]
        assert without == (["qwen-sft", "arrow-rl", "video-r1", "base"] if name == "table1" else ["grpo"])


def test_metrics_and_benchmarks_that_may_be_named_are_those_that_there_are():
    from stgrpo.benchmarks import BENCHMARKS as MODULES
    from stgrpo.config import BENCHMARKS, METRICS
    from stgrpo.rl.train import _COLUMNS

    assert set(METRICS) == set(_COLUMNS.values())
    assert set(BENCHMARKS) == set(MODULES)


ONE_ERROR = [
    (
        "an unknown key of a cell",
        ("cells.grpo.groupings", "none"),
        "config.yaml: cells.grpo.groupings: unknown key; did you mean 'grouping'?",
    ),
    (
        "an unknown key at the top",
        ("tablez", {}),
        "config.yaml: tablez: unknown key; did you mean 'tables'?",
    ),
    (
        "an unknown key deep inside, past a name of the user's",
        ("scales.smoke.training.frames.max_frame", 8),
        "config.yaml: scales.smoke.training.frames.max_frame: unknown key; did you mean 'max_frames'?",
    ),
    (
        "an unknown key inside a list",
        ("tables.table2.rows.0.labell", "x"),
        "config.yaml: tables.table2.rows.0.labell: unknown key; did you mean 'label'?",
    ),
    (
        "an unknown key like no other names those that exist",
        ("tables.table2.rows.0.zzz", "x"),
        "config.yaml: tables.table2.rows.0.zzz: unknown key; known: cell, label, reported, baseline",
    ),
    (
        "the alias, not the field's name, is suggested",
        ("cells.st-grpo.frm", "grpo"),
        "config.yaml: cells.st-grpo.frm: unknown key; did you mean 'from'?",
    ),
    (
        "a cell's table row",
        ("tables.table2.rows.1.cell", "grppo"),
        "config.yaml: tables.table2.rows: unknown cell 'grppo'; did you mean 'grpo'?",
    ),
    (
        "a table's column",
        ("tables.table2.columns.0", "tempcompas"),
        "config.yaml: tables.table2.columns: unknown benchmark 'tempcompas'; did you mean 'tempcompass'?",
    ),
    (
        "a scale's cell",
        ("scales.smoke.cells.2", "st-grop"),
        "config.yaml: scales.smoke.cells: unknown cell 'st-grop'; did you mean 'st-grpo'?",
    ),
    (
        "a part of an evaluation",
        ("scales.demo.evaluation.parts.all.0", "tempcompas"),
        "config.yaml: scales.demo.evaluation.parts.all: unknown benchmark 'tempcompas'; did you mean 'tempcompass'?",
    ),
    (
        "the active scale",
        ("scale", "smok"),
        "config.yaml: scale: unknown scale 'smok'; did you mean 'smoke'?",
    ),
    (
        "a parent",
        ("cells.odd", {"from": "gpro"}),
        "config.yaml: cells.odd.from: unknown cell 'gpro'; did you mean 'grpo'?",
    ),
    (
        "a cell that is its own parent",
        ("cells.odd", {"from": "odd"}),
        "config.yaml: cells.odd.from: goes round in a circle: odd -> odd",
    ),
    (
        "a number where a number cannot be read",
        ("scales.smoke.step_ratio", "half"),
        "config.yaml: scales.smoke.step_ratio: Input should be a valid number, unable to parse string as a number "
        "(found 'half')",
    ),
    (
        "a number out of its bounds",
        ("cells.grpo.steps", 0),
        "config.yaml: cells.grpo.steps: Input should be greater than or equal to 1 (found 0)",
    ),
    (
        "a list where a name stands",
        ("benchmarks.tempcompass.title", ["TempCompass"]),
        "config.yaml: benchmarks.tempcompass.title: Input should be a valid string (found ['TempCompass'])",
    ),
    (
        "a missing key",
        ("benchmarks.tempcompass.source", DELETE),
        "config.yaml: benchmarks.tempcompass.source: missing",
    ),
]


@pytest.mark.parametrize(("change", "expected"), [row[1:] for row in ONE_ERROR], ids=[row[0] for row in ONE_ERROR])
def test_one_error_one_line(change: tuple[str, Any], expected: str):
    assert errors(change) == [expected]


def test_parents_in_a_circle_are_shown_from_where_one_stands():
    found = errors(("cells.one", {"from": "two"}), ("cells.two", {"from": "one"}))
    assert found == [
        "config.yaml: cells.one.from: goes round in a circle: one -> two -> one",
        "config.yaml: cells.two.from: goes round in a circle: two -> one -> two",
    ]


def test_a_wrong_parent_is_reported_once():
    found = errors(("cells.child", {"from": "gpro"}), ("cells.grandchild", {"from": "child"}))
    assert found == ["config.yaml: cells.child.from: unknown cell 'gpro'; did you mean 'grpo'?"]


def run_by_smoke(**cell: Any) -> tuple[tuple[str, Any], ...]:
    """The changes that let the scale `smoke` run a cell `odd`."""
    return ("cells.odd", cell), ("scales.smoke.cells", ["base", "odd"])


def test_a_group_must_divide_the_step():
    """Three answers to the plain video: 32 is no multiple of 3."""
    assert errors(*run_by_smoke(variants=1, generations=3)) == [
        "config.yaml: cells.odd: variants * generations = 3, but a step of scale 'smoke' holds 32 answers; "
        "use a product that divides 32"
    ]


def test_a_group_may_be_odd_in_a_cell_that_no_scale_runs():
    assert loaded(("cells.odd", {"from": "grpo", "generations": 3})).cell("odd").generations == 3


@pytest.mark.parametrize(
    ("grouping", "variants", "reason"),
    [("none", 2, "several variants, all alike"), ("importance+spatial", 1, "one variant is the video itself")],
)
def test_grouping_and_variants_must_fit(grouping: str, variants: int, reason: str):
    assert errors(*run_by_smoke(grouping=grouping, variants=variants, generations=4)) == [
        f"config.yaml: cells.odd: grouping '{grouping}' with variants = {variants}; "
        "grouping 'none' goes with exactly one variant, every other grouping with two or more"
    ], reason


def test_all_errors_of_form_are_reported_at_once():
    found = errors(("tablez", {}), ("cells.grpo.steps", 0), ("scales.demo.seeds", []))
    places = sorted(text.split(": ")[1] for text in found)
    assert places == ["cells.grpo.steps", "scales.demo.seeds", "tablez"]


def test_all_errors_of_reference_are_reported_at_once():
    found = errors(
        *run_by_smoke(generations=3),
        ("tables.table2.rows.0.cell", "bse"),
        ("tables.table2.columns.0", "tempcompas"),
    )
    assert [text.split("; ")[0] for text in found] == [
        "config.yaml: cells.odd: variants * generations = 3, but a step of scale 'smoke' holds 32 answers",
        "config.yaml: tables.table2.rows: unknown cell 'bse'",
        "config.yaml: tables.table2.columns: unknown benchmark 'tempcompas'",
    ]


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (("scales.smoke.prompt", "Answer."), "config.yaml: scales.smoke: prompt: must contain {question}"),
        (("scales.smoke.needs.train", DELETE), "config.yaml: scales.smoke: needs: no entry for train"),
        (
            ("scales.smoke.micro_rows", 12),
            "config.yaml: scales.smoke: micro_rows = 12 times nodes * processes = 1 does not divide 32 answers a step",
        ),
    ],
    ids=["a prompt without a question", "a rule without needs", "rows that do not fill a step"],
)
def test_a_scale_must_be_complete(change: tuple[str, Any], expected: str):
    (line,) = errors(change)
    assert line.startswith(expected)


def test_the_file_s_own_name_stands_in_the_error():
    with pytest.raises(UserError, match=r"^mine\.yaml: scale: unknown scale 'x'"):
        load_experiment(mutated(("scale", "x")), source="mine.yaml")


def test_a_variant_of_at_least_seven_and_at_most_six_frames_is_refused():
    (line,) = errors(("scales.demo.training.variant.min_frames", 7))  # the largest K is 6 by default
    assert line.startswith("config.yaml: scales.demo.training.variant")


def test_a_group_of_one_answer_is_refused():
    (line,) = errors(*run_by_smoke(variants=1, generations=1))
    assert line.startswith("config.yaml: cells.odd")


def test_the_schema_on_disk_is_that_of_the_types():
    written = (ROOT / "workflow/schemas/config.schema.json").read_text(encoding="utf-8")
    assert written == schema(), "out of step with stgrpo/config.py: run `python -m stgrpo schema` and commit its file"


# Specs.


def train_hashes(experiment: Experiment) -> dict[str, str]:
    return {cell: specs.train_spec(experiment, cell, 0).hash() for cell in experiment.trainable}


def flat(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    found = {}
    for name, value in values.items():
        found |= flat(value, f"{prefix}{name}.") if isinstance(value, dict) else {prefix + name: value}
    return found


def test_the_canonical_form_omits_defaults_at_every_depth():
    spec = specs.ScoreSpec(scorer="s", questions="q", frames=FrameRule(max_frames=8, min_frames=4))  # 4 is the default
    assert spec.canonical() == '{"frames":{"max_frames":8},"questions":"q","scorer":"s"}'
    assert specs.PrepareSpec(name="n", frames=FrameRule(), draw=None).canonical() == '{"frames":{},"name":"n"}'


def test_the_canonical_form_is_read_back():
    experiment = loaded()
    for spec in (specs.train_spec(experiment, "st-grpo", 3), specs.eval_spec(experiment, "st-grpo", 3, "all")):
        assert type(spec).parse(spec.canonical()) == spec


class LaterFrameRule(FrameRule):
    crop: str = "none"


class LaterTraining(Training):
    momentum: float = 0.9
    frames: LaterFrameRule = LaterFrameRule()


class LaterTrainSpec(specs.TrainSpec):
    """As next year's version might have it: a new field at every depth, each with a default."""

    training: LaterTraining
    entropy_bonus: float = 0.0


def test_a_field_added_later_changes_no_hash():
    spec = specs.train_spec(loaded(), "st-grpo", 0)
    later = LaterTrainSpec.parse(spec.canonical())
    assert (later.entropy_bonus, later.training.momentum, later.training.frames.crop) == (0.0, 0.9, "none")
    assert later.hash() == spec.hash()


@pytest.mark.parametrize(
    "change",
    [{"entropy_bonus": 0.1}, {"training": {"momentum": 0.5}}, {"training": {"frames": {"crop": "centre"}}}],
    ids=["top", "nested", "nested twice"],
)
def test_a_field_added_later_changes_the_hash_once_it_is_used(change: dict[str, Any]):
    spec = specs.train_spec(loaded(), "st-grpo", 0)
    assert LaterTrainSpec.parse(json.dumps(json.loads(spec.canonical()) | change)).hash() != spec.hash()


def test_hash_is_the_beginning_of_the_canonical_form_s_sha256():
    """From the shell: printf '%s' '{"frames":...}' | sha256sum."""
    spec = specs.ScoreSpec.parse('{"frames":{"max_frames":8},"questions":"q","scorer":"s"}')
    assert spec.hash() == "5357a2bcd1eb7aeb"


# Of the demo, as it was trained before there were controls: a knob that is added since must leave every one as it is.
PINNED = {
    "grpo": "9aa9ed5fe8f9ede8",
    "st-grpo": "f69cac13b23e8490",
    "st-grpo-deterministic": "b4cf3f1ffd3ffaa6",
    "st-grpo-stochastic": "f0433b0c826046ce",
    "st-grpo-importance": "2ed1bd0db1170e76",
    "st-grpo-top": "08b3aa024f0fbf6b",
    "st-grpo-m4g2": "bf8c98941bd0c3d5",
    "dr-grpo": "ee32239875cf8b41",
    "st-dr-grpo": "2483523ad4a4fb2a",
    "grpo-1000": "e3f91389de7ec1ed",
    "st-grpo-1000": "3cd3a64ecc407310",
}
PINNED_AT_PAPER = {  # and the paper's
    "grpo": "9769f5ac2cd5b24f",
    "st-grpo": "e8b772908f1f189d",
    "st-grpo-deterministic": "7e47122ba5637706",
    "st-grpo-stochastic": "fb5c57cd4001c1b0",
    "st-grpo-importance": "81ff1a4c6d747bfa",
    "st-grpo-top": "d76ba80cdce2e664",
    "st-grpo-m4g2": "e7473b224fb0d65b",
    "dr-grpo": "5784a32143da7079",
    "st-dr-grpo": "89c3b8fefbbd7afb",
    "grpo-1000": "aba44c1eb311b641",
    "st-grpo-1000": "097ae238399074cc",
}
PINNED_AT_SMOKE = {"grpo": "c96130f65c0b7a17", "st-grpo": "f941f391c3d04386", "dr-grpo": "0a53e536c6437039"}


@pytest.mark.parametrize(
    ("scale", "pinned"), [("demo", PINNED), ("paper", PINNED_AT_PAPER), ("smoke", PINNED_AT_SMOKE)]
)
def test_the_trainings_of_the_paper_s_cells_are_what_they_were(scale: str, pinned: dict[str, str]):
    experiment = loaded(("scale", scale))
    found = train_hashes(experiment)
    assert {cell: found[cell] for cell in experiment.active.cells if experiment.cell(cell).train} == pinned
    assert len(set(found.values())) == len(found), "every control is another training"


def test_evaluation_frames_touch_the_evaluation_and_no_training():
    before, after = loaded(), loaded(("scales.demo.evaluation.frames", {"max_frames": 8}))
    assert train_hashes(after) == train_hashes(before)
    for cell in RAW["scales"]["demo"]["cells"]:
        assert specs.eval_spec(after, cell, 0, "all").hash() != specs.eval_spec(before, cell, 0, "all").hash()


def test_training_and_evaluation_questions_are_checked_with_their_own_frames():
    """Frames at which a video must decode, and at which it is shown."""
    experiment = loaded(("scales.demo.evaluation.frames", {"max_frames": 8}))
    assert specs.eval_spec(experiment, "grpo", 0, "all").frames == FrameRule(max_frames=8)
    assert specs.prepare_spec(experiment, "tempcompass").frames == FrameRule(max_frames=8)
    own = FrameRule(**RAW["scales"]["demo"]["training"]["frames"])
    assert specs.prepare_spec(experiment, "train").frames == own
    assert specs.score_spec(experiment).frames == own
    assert specs.train_spec(experiment, "grpo", 0).training.frames == own


def test_a_cell_s_knob_touches_this_cell_only():
    runs = ("scales.demo.cells", ["base", "grpo", "st-grpo", "leaf"])
    before, after = (loaded(runs, ("cells.leaf", {"from": "st-grpo", "steps": steps})) for steps in (250, 100))
    changed = {cell for cell in before.trainable if train_hashes(after)[cell] != train_hashes(before)[cell]}
    assert changed == {"leaf"}


def test_a_parent_s_knob_touches_its_children_too():
    before, after = loaded(), loaded(("cells.grpo.steps", 250))
    changed = {cell for cell in before.trainable if train_hashes(after)[cell] != train_hashes(before)[cell]}
    assert {"grpo", "st-grpo"} <= changed


@pytest.mark.parametrize("change", [("scales.demo.micro_rows", 8), ("scales.demo.save_steps", 7)])
def test_what_does_not_decide_the_weights_is_no_part_of_the_spec(change: tuple[str, Any]):
    assert train_hashes(loaded(change)) == train_hashes(loaded())


@pytest.mark.parametrize(
    ("place", "value"),
    [
        ("world.video-r1.seed", 7),
        ("warm.policy.seed", 7),
        ("questions.seed", 7),
        ("training.learning_rate", 0.5),
        ("training.frames.max_frames", 8),
        ("prompt", "Hm? {question}"),
    ],
)
def test_what_decides_the_weights_changes_every_training(place: str, value: Any):
    before, after = train_hashes(loaded()), train_hashes(loaded((f"scales.demo.{place}", value)))
    assert [cell for cell in before if before[cell] == after[cell]] == []


def test_the_scorer_decides_the_weights_of_importance_cells_only():
    before, after = train_hashes(loaded()), train_hashes(loaded(("scales.demo.warm.scorer.seed", 7)))
    assert after["grpo"] == before["grpo"]
    assert after["st-grpo"] != before["st-grpo"]


def test_grpo_and_st_grpo_differ_in_the_grouping_and_nothing_else():
    experiment = loaded()
    grpo, st_grpo = (flat(specs.train_spec(experiment, cell, 0).model_dump()) for cell in ("grpo", "st-grpo"))
    different = {name: (grpo[name], st_grpo[name]) for name in grpo.keys() | st_grpo if grpo[name] != st_grpo[name]}
    scores = different.pop("scores")
    assert scores[0] is None
    assert scores[1].startswith("scores@")
    assert different == {
        "grouping": ("none", "importance+spatial"),
        "variants": (1, 2),
        "generations": (8, 4),
    }


def test_a_step_holds_as_many_questions_as_groups_fit():
    """32 answers a step in groups of 8: four questions, as the paper's four GPUs."""
    experiment = loaded()
    found = {cell: specs.train_spec(experiment, cell, 0) for cell in ("grpo", "st-grpo")}
    assert {cell: (spec.group, spec.questions_per_step) for cell, spec in found.items()} == {
        "grpo": (8, 4),
        "st-grpo": (8, 4),
    }


def test_steps_follow_the_scale_and_are_never_none():
    assert specs.train_spec(loaded(("scales.demo.step_ratio", 0.12)), "grpo", 0).steps == 60  # of 500
    assert specs.train_spec(loaded(("scales.demo.step_ratio", 0.0001)), "grpo", 0).steps == 1


def test_a_checkpoint_is_examined_by_its_own_name_and_with_the_prompt_of_all():
    experiment = loaded(("scale", "paper"))
    asked = {cell: specs.eval_spec(experiment, cell, 0, "mmvu") for cell in ("base", "video-r1", "arrow-rl")}
    assert {cell: spec.policy.partition("@")[0] for cell, spec in asked.items()} == {
        "base": "qwen2.5-vl-7b",
        "video-r1": "video-r1-7b",
        "arrow-rl": "arrow-rl-7b",
    }
    assert asked["video-r1"].policy == f"video-r1-7b@{specs.model_spec('video-r1-7b').hash()}"
    assert len({spec.model_copy(update={"policy": ""}).hash() for spec in asked.values()}) == 1


def test_the_models_of_a_scale_are_those_that_it_starts_from_scores_with_and_examines():
    assert loaded().fetched_models == []
    paper = loaded(("scale", "paper"))
    assert paper.fetched_models == [
        *("qwen2.5-vl-7b", "llava-onevision-0.5b", "qwen2.5-vl-7b-sft", "video-r1-7b", "arrow-rl-7b")
    ]
    assert not {"qwen-sft", "video-r1", "arrow-rl"} & set(paper.trainable)


def test_an_untrained_cell_is_the_same_for_every_seed_and_a_trained_one_is_not():
    experiment = loaded()
    hashes = {(c, s): specs.eval_spec(experiment, c, s, "all").hash() for c in ("base", "grpo") for s in (0, 1)}
    assert hashes["base", 0] == hashes["base", 1]
    assert hashes["grpo", 0] != hashes["grpo", 1]
