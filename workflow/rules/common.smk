# All Python of the workflow: the typed configuration, patterns of wildcards, and the functions that rules ask for
# inputs and params. No rules.
import json
import re
import sys
from dataclasses import asdict
from pathlib import Path

# The package runs from the clone, installed or not.
sys.path.insert(0, str(Path(workflow.basedir).parent))

from stgrpo import specs
from stgrpo.data.sources import read_source
from stgrpo.errors import UserError, suggest
from stgrpo.loading import load_experiment
from stgrpo.report import contents

SOURCES_TABLE = str(Path(workflow.basedir) / "resources" / "sources.csv")

try:
    EXPERIMENT = load_experiment(config)
    SOURCES = sorted(
        {EXPERIMENT.active.questions.source}
        | {benchmark.source for benchmark in EXPERIMENT.benchmarks.values()}
    )
    REPOSITORIES = {
        read_source(Path(SOURCES_TABLE), name).repository: name for name in SOURCES
    }
    for word in sys.argv[1:]:
        cell = re.match(r"results/[^/]+/cells/([^/]+)/", word)
        if cell and cell[1] not in EXPERIMENT.active.cells:
            raise UserError(
                f"{word}: scale '{EXPERIMENT.scale}' has no cell '{cell[1]}'; "
                + suggest(cell[1], EXPERIMENT.active.cells)
            )
except UserError as error:
    raise WorkflowError(str(error)) from None

HUB = f"resources/{EXPERIMENT.scale}/hub"  # params know no path variables
TRAINED = EXPERIMENT.trainable


def one_of(names):
    """The pattern of a wildcard that takes these values only."""
    return "|".join(re.escape(str(name)) for name in names)


def need(rule, what):
    """What a job of this rule asks the cluster for."""
    return getattr(EXPERIMENT.active.needs[rule], what)


def source(name):
    """A row of the table of sources."""
    return read_source(Path(SOURCES_TABLE), name)


def hub_manifest(wildcards):
    """The manifest of the repository that a source comes from."""
    return f"resources/<scale>/hub/{source(wildcards.source).repository}/manifest.json"


def source_spec(wildcards):
    """The row itself is a param: a row added to the table refetches nothing."""
    return json.dumps(asdict(source(wildcards.source)))


def lock_of_questions(wildcards):
    """The lock of the source that a file of questions is made from."""
    return f"resources/<scale>/{specs.source_of(EXPERIMENT, wildcards.questions)}.json"


# Specs are JSON, whose braces only functions keep from being taken for wildcards.
def world_spec(wildcards):
    return specs.world_spec(EXPERIMENT, REPOSITORIES[wildcards.repository]).canonical()


def warm_policy_spec(wildcards):
    return specs.warm_policy_spec(EXPERIMENT).canonical()


def warm_scorer_spec(wildcards):
    return specs.warm_scorer_spec(EXPERIMENT).canonical()


def score_spec(wildcards):
    return specs.score_spec(EXPERIMENT).canonical()


def prepare_spec(wildcards):
    return specs.prepare_spec(EXPERIMENT, wildcards.questions).canonical()


def train_spec(wildcards):
    return specs.train_spec(EXPERIMENT, wildcards.cell, int(wildcards.seed)).canonical()


def scores_of_cell(wildcards):
    """Frame scores, for the cells that draw frames by importance."""
    if specs.needs_scores(EXPERIMENT.cell(wildcards.cell).grouping):
        return {"scores": "results/<scale>/scores/train.parquet"}
    return {}


def eval_spec(wildcards):
    return specs.eval_spec(
        EXPERIMENT, wildcards.cell, int(wildcards.seed), wildcards.part
    ).canonical()


def policy_of_cell(wildcards):
    """A cell's own weights; for an untrained one those that the others start from."""
    if wildcards.cell in TRAINED:
        return "results/<scale>/cells/{cell}/seed{seed}/model"
    return "results/<scale>/policy"


def questions_of_part(wildcards):
    """The files of questions that one part of an evaluation answers."""
    return collect(
        "results/<scale>/questions/{name}.jsonl",
        name=EXPERIMENT.active.evaluation.parts[wildcards.part],
    )


def eval_hashes(wildcards):
    return contents.eval_hashes(EXPERIMENT, wildcards.cell, int(wildcards.seed))


def examined():
    """Every benchmark that the active scale evaluates."""
    parts = EXPERIMENT.active.evaluation.parts.values()
    return [name for part in parts for name in part]


def runs():
    """Every cell and seed of the active scale."""
    return contents.runs_of(EXPERIMENT, EXPERIMENT.active.cells)


def metrics_of_table(wildcards):
    return [
        f"results/<scale>/cells/{run}/metrics.json"
        for run in contents.table_spec(EXPERIMENT, wildcards.table).specs
    ]


def table_spec(wildcards):
    return contents.table_spec(EXPERIMENT, wildcards.table).model_dump_json()


def trainings_of_figure(wildcards):
    return [
        f"results/<scale>/cells/{run}/{name}"
        for run in contents.figure_spec(EXPERIMENT, wildcards.figure).specs
        for name in ("train.json", "train.jsonl")
    ]


def figure_spec(wildcards):
    return contents.figure_spec(EXPERIMENT, wildcards.figure).model_dump_json()
