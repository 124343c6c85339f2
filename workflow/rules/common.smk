# All Python of the workflow: the typed configuration, patterns of wildcards, and the functions that rules ask for
# inputs and params. No rules.
import json
import os
import re
import shlex
import sys
from dataclasses import asdict
from pathlib import Path

# The package runs from the clone, installed or not.
sys.path.insert(0, str(Path(workflow.basedir).parent))

from snakemake.settings.types import DeploymentMethod

from stgrpo import image, specs
from stgrpo.data.sources import read_source
from stgrpo.errors import UserError, suggest
from stgrpo.files import read_json
from stgrpo.loading import load_experiment
from stgrpo.planning import checks
from stgrpo.provenance import digest_of
from stgrpo.report import contents, report_spec
from stgrpo.report.reported import read_reported

SOURCES_TABLE = str(Path(workflow.basedir) / "resources" / "sources.csv")
REPORTED_TABLE = (
    "workflow/resources/reported.csv"  # an input, so named as it is in any clone
)

try:
    EXPERIMENT = load_experiment(config)
    MODELS = EXPERIMENT.active.models  # none where everything is rendered
    SOURCES = sorted(
        {*EXPERIMENT.active.questions.sources}
        | {benchmark.source for benchmark in EXPERIMENT.benchmarks.values()}
        | set(EXPERIMENT.fetched_models)
    )
    REPOSITORIES = {
        read_source(Path(SOURCES_TABLE), name).repository: name for name in SOURCES
    }
    # A row without the paper's numbers is found before the trainings, not after them.
    for table in (
        EXPERIMENT.active.known_tables if EXPERIMENT.active.comparable else []
    ):
        read_reported(Path(REPORTED_TABLE), contents.table_spec(EXPERIMENT, table))
    for word in sys.argv[1:]:
        cell = re.match(r"results/[^/]+/cells/([^/]+)/", word)
        if cell and cell[1] not in EXPERIMENT.active.known_cells:
            raise UserError(
                f"{word}: scale '{EXPERIMENT.scale}' has no cell '{cell[1]}'; "
                + suggest(cell[1], EXPERIMENT.active.known_cells)
            )
except UserError as error:
    raise WorkflowError(str(error)) from None

HUB = f"resources/{EXPERIMENT.scale}/hub"  # params know no path variables
TRAINED = EXPERIMENT.trainable
# Not a list of all cells: Snakemake reads patterns through for every job, which takes long where there are a thousand.
# A name that is none is refused above.
CELL = "[a-z0-9-]+"
DEPLOYMENT = workflow.deployment_settings
IN_IMAGE = DeploymentMethod.APPTAINER in DEPLOYMENT.deployment_method


def enter_image():
    """Let everything that this process starts know what cannot be seen from inside the image."""
    if IN_IMAGE:
        told = image.environment(Path(EXPERIMENT.container), EXPERIMENT.scale)
        os.environ.update(told)


if workflow.remote_exec:  # a job; where Snakemake was typed, onstart does it
    enter_image()


def refuse_what_cannot_run():
    """The lines of `stgrpo doctor` that say what is missing, if any; of other executors than these it knows nothing."""
    on_slurm = "slurm" in type(workflow.executor_settings).__module__
    if workflow.local_exec or on_slurm:
        executor = "slurm" if on_slurm else "local"
        try:
            checks.refuse(EXPERIMENT, executor, IN_IMAGE, workflow.dag.needrun_jobs())
        except UserError as error:
            # Behind a WorkflowError Snakemake would name lines of this file; it lets its lock go either way.
            logger.error(str(error))
            sys.exit(1)


def one_of(names):
    """The pattern of a wildcard that takes these values only; without any it takes none."""
    return "|".join(re.escape(str(name)) for name in names) or "(?!)"


def trained_cell():
    """The pattern of a cell that is trained, told by those that are not: they are few."""
    others = [cell for cell in EXPERIMENT.active.known_cells if cell not in TRAINED]
    return f"(?!(?:{one_of(others)})/){CELL}"


def need(rule, what):
    """What a job of this rule asks the cluster for."""
    return getattr(EXPERIMENT.active.needs[rule], what)


def memory(rule):
    """Grows with the attempt; beside GPUs a node's memory is known, and running out of it is no accident."""
    size = need(rule, "mem_mb")
    return size if need(rule, "gpus") else lambda wildcards, attempt: size * attempt


def tasks_per_node():
    """Processes of a training that Slurm starts on a node: on one node it starts the verb, which starts the others."""
    return EXPERIMENT.active.processes if EXPERIMENT.active.nodes > 1 else 1


def nodes_and_gpus():
    """A training's nodes, tasks and GPUs, in the words of Snakemake's Slurm plugin."""
    nodes, gpus = EXPERIMENT.active.nodes, need("train", "gpus")
    if nodes == 1:
        return {"nodes": 1, "gpu": gpus}
    several = {"nodes": nodes, "tasks_per_node": tasks_per_node(), "mpi": "srun"}
    return several | ({"gres": f"gpu:{gpus}"} if gpus else {})


def launcher(wildcards, threads, resources):
    """What stands before a training's verb: the ranks' start on several nodes, and the image that they run in.

    Not Snakemake's own use of the image, because srun is no part of it.
    """
    words = []
    if EXPERIMENT.active.nodes > 1:
        words += ["srun", "--kill-on-bad-exit=1", f"--nodes={resources.nodes}"]
        words += [f"--ntasks-per-node={resources.tasks_per_node}"]
        words += [f"--cpus-per-task={threads}"]
        words += [f"--gres={resources.gres}"] if "gres" in resources.keys() else []
    if IN_IMAGE:
        words += ["apptainer", "exec", "--home", os.getcwd()]
        words += [*shlex.split(DEPLOYMENT.apptainer_args), EXPERIMENT.container]
    return words


def source(name):
    """A row of the table of sources."""
    return read_source(Path(SOURCES_TABLE), name)


def hub_manifest(wildcards):
    """The manifest of the repository that a source comes from, where the hub is rendered."""
    if EXPERIMENT.active.world is None:
        return []
    return f"resources/<scale>/hub/{source(wildcards.source).repository}/manifest.json"


def source_spec(wildcards):
    """The row itself is a param: a row added to the table refetches nothing."""
    return json.dumps(asdict(source(wildcards.source)))


def draw_of_source(wildcards):
    """The draw of the training questions, for the corpus that it is made from: what no draw reads stays on the Hub."""
    draw = EXPERIMENT.active.questions
    if EXPERIMENT.active.world or wildcards.source != draw.source:
        return []
    return [
        "--draw",
        draw.model_dump_json(exclude_defaults=True, exclude={"apart_from"}),
    ]


def sources_of_questions(wildcards):
    """What a file of questions is made from, first its own source."""
    sources = specs.sources_of(EXPERIMENT, wildcards.questions)
    return [f"resources/<scale>/{source}.json" for source in sources]


def folders_of_questions(wildcards, input):
    """Their folders, as the verb's options."""
    source, *others = [path.removesuffix(".json") for path in input]
    return ["--source", source, *(f"--apart-from={folder}" for folder in others)]


# Specs are JSON, whose braces only functions keep from being taken for wildcards.
def world_spec(wildcards):
    return specs.world_spec(EXPERIMENT, REPOSITORIES[wildcards.repository]).canonical()


def policy_spec(wildcards):
    return specs.policy_spec(EXPERIMENT).canonical()


def scorer_spec(wildcards):
    return specs.scorer_spec(EXPERIMENT).canonical()


def model_spec(wildcards):
    return specs.model_spec(wildcards.source).canonical()


def score_spec(wildcards):
    return specs.score_spec(EXPERIMENT).canonical()


def prepare_spec(wildcards):
    return specs.prepare_spec(EXPERIMENT, wildcards.questions).canonical()


def train_spec(wildcards):
    return specs.train_spec(EXPERIMENT, wildcards.cell, int(wildcards.seed)).canonical()


def scores_of_cell(wildcards):
    """Frame scores, for the cells that draw frames by importance."""
    if specs.needs_scores(EXPERIMENT.cell(wildcards.cell)):
        return {"scores": "results/<scale>/scores/train.parquet"}
    return {}


def stem_of_cell(wildcards):
    """The training that a cell goes on from; what was trained without it, as before it was known, stays as it is."""
    cell, seed = wildcards.cell, wildcards.seed
    stem, folder = EXPERIMENT.stem(cell), f"results/{EXPERIMENT.scale}/cells"
    made = Path(folder, cell, f"seed{seed}", "train.json")
    if stem is None or (made.exists() and trained_alone(made, train_spec(wildcards))):
        return {}
    return {"stem": f"{folder}/{stem}/seed{seed}/train.json"}


def trained_alone(made, spec):
    """Whether a train.json is of this spec, and of a training that went on from no other one."""
    block = read_json(made)["provenance"]
    return block["spec"] == digest_of(spec) and not block.get("continued")


def eval_spec(wildcards):
    return specs.eval_spec(
        EXPERIMENT, wildcards.cell, int(wildcards.seed), wildcards.part
    ).canonical()


def policy_of_cell(wildcards):
    """A cell's own weights; for an untrained one the model that it names, or what the others start from."""
    if wildcards.cell in TRAINED:
        return "results/<scale>/cells/{cell}/seed{seed}/model"
    model = EXPERIMENT.cell(wildcards.cell).model
    return f"results/<scale>/models/{model}" if model else "results/<scale>/policy"


def questions_of_part(wildcards):
    """The files of questions that one part of an evaluation answers."""
    return collect(
        "results/<scale>/questions/{name}.jsonl",
        name=EXPERIMENT.active.evaluation.parts[wildcards.part],
    )


def eval_hashes(wildcards):
    return list(contents.eval_hashes(EXPERIMENT, wildcards.cell, int(wildcards.seed)))


def examined():
    """Every benchmark that the active scale evaluates."""
    parts = EXPERIMENT.active.evaluation.parts.values()
    return [name for part in parts for name in part]


def runs():
    """Every cell and seed of the active scale, but for those that are made on request."""
    return contents.runs_of(EXPERIMENT, EXPERIMENT.active.cells)


def files_of_table(wildcards, name):
    return [
        f"results/<scale>/cells/{run}/{name}"
        for run in contents.table_spec(EXPERIMENT, wildcards.table).specs
    ]


def table_spec(wildcards):
    return contents.table_spec(EXPERIMENT, wildcards.table).model_dump_json()


def inputs_of_report(wildcards):
    """Files, but a model as the folder that its rule makes."""
    found = report_spec.report_spec(EXPERIMENT).inputs("results/<scale>")
    made_by = "made_by.json"
    return {
        key: [
            str(Path(name).parent) if name.endswith(made_by) else name for name in names
        ]
        for key, names in found.items()
    }


def spec_of_report(wildcards):
    return report_spec.report_spec(EXPERIMENT).model_dump_json()


def trainings_of_figure(wildcards):
    return [
        f"results/<scale>/cells/{run}/{name}"
        for run in contents.figure_spec(EXPERIMENT, wildcards.figure).specs
        for name in ("train.json", "train.jsonl")
    ]


def figure_spec(wildcards):
    return contents.figure_spec(EXPERIMENT, wildcards.figure).model_dump_json()
