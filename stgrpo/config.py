"""`config.yaml` as types: one experiment (cells, benchmarks, tables) at several scales.

Nothing below the workflow reads `config.yaml`: it is checked as a whole (`stgrpo.loading`) and resolved into one frozen
spec a job (`stgrpo.specs`).

What the paper does not know (the demo's world and tiny models) has no default; see `stgrpo.rules` for what has.
"""

from functools import cache
from typing import Annotated, Literal, Self, get_args

from pydantic import Field, StringConstraints, model_validator

from stgrpo.rules import Algorithm, Controls, FrameRule, Frozen, Grouping, Selection, Sharing, Training

Sharding = Literal["ddp", "zero2", "zero3"]
Name = Annotated[str, StringConstraints(pattern=r"^[a-z0-9-]+$")]  # what a person types in a target
Need = Literal["world", "fetch", "prepare", "warm", "score", "train", "evaluate"]

BENCHMARKS = ("videomme", "vsibench", "perceptiontest", "tempcompass", "videommmu", "mmvu")  # each has a module
QUESTIONS = {  # at their sources, as they are asked: TempCompass with captioning, MMVU its multiple choice
    "videomme": 2700,
    "vsibench": 5130,
    "perceptiontest": 19140,
    "tempcompass": 7540,
    "videommmu": 900,
    "mmvu": 625,
}
METRICS = (  # columns of train.jsonl
    *("loss", "grad_norm", "reward", "accuracy", "format", "reward_std", "between_variants", "within_variants"),
    *("flat_groups", "variant_frames", "weight_entropy", "kl", "token_entropy", "answer_tokens", "cut_answers"),
    "seconds",
)


class Evaluation(Frozen):
    """How a policy is examined: greedily, with the prompt and the parser of the rewards."""

    max_tokens: int = Field(default=1024, ge=1, description="length of an answer at most")
    frames: FrameRule = Field(description="the paper: up to 32 frames of up to 256*28*28 pixels")
    precision: Literal["fp32", "bf16"] = Field(default="fp32", description="of the weights, as they are loaded")
    rows: int = Field(
        default=64,
        ge=1,
        description="questions in one pass; decides nothing in fp32, in bf16 a few answers, by rounding",
    )
    parts: dict[str, list[str]] = Field(description="jobs of a cell's evaluation and the benchmarks of each")


class Questions(Frozen):
    """The training questions."""

    source: str = Field(description="a name in workflow/resources/sources.csv")
    count: int = Field(ge=1, description="questions drawn from the corpus")
    seed: int = Field(ge=0, description="of that draw")
    reserve: int | None = Field(
        default=None,
        ge=0,
        description="how many more may be looked at, for those whose videos cannot be used; only these videos are "
        "fetched; null: all",
    )
    apart_from: str | None = Field(
        default=None,
        description="a name in workflow/resources/sources.csv: rows of PerceptionTest's validation set, whose videos "
        "no training question may show",
    )

    @property
    def sources(self) -> list[str]:
        """What they are made from."""
        return [self.source, *([self.apart_from] if self.apart_from else [])]


class Corpus(Frozen):
    """One corpus of the rendered world."""

    videos: int = Field(ge=1)
    seed: int = Field(ge=0)


class WarmPolicy(Frozen):
    """Supervised warm-up of the tiny policy."""

    seed: int = Field(ge=0)
    clips: int = Field(ge=1, description="different clips rendered for it")
    max_steps: int = Field(ge=1)
    stop: float = Field(ge=0, le=1, description="held-out accuracy, sampled, at which it ends")
    floor: float = Field(ge=0, le=1, description="accuracy of each family of questions by then")


class WarmScorer(Frozen):
    """Supervised training of the tiny frame scorer."""

    seed: int = Field(ge=0)
    steps: int = Field(ge=1)


class Warm(Frozen):
    """The tiny models of the scales that need no download."""

    policy: WarmPolicy
    scorer: WarmScorer


class Models(Frozen):
    """The models of the scales that render nothing, by the names of their sources."""

    policy: str = Field(description="from which every training starts")
    scorer: str = Field(description="scores the frames")


class Resources(Frozen):
    """What a job asks the cluster for, on each of its nodes."""

    gpus: int = Field(default=0, ge=0)
    gpu_memory_gb: int | None = Field(
        default=None, ge=1, description="GiB of one GPU, where nvidia-smi cannot be asked"
    )
    cpus: int = Field(default=1, ge=1)
    mem_mb: int = Field(default=2000, ge=1000, description="grows with the attempt where there are no GPUs")
    runtime: int = Field(default=30, ge=1, description="minutes; a training that takes longer goes on in a next job")


class OnRequest(Frozen):
    """What is made only when its file is asked for by name, such as results/table6.tex."""

    cells: list[str] = []
    tables: list[str] = []


class Scale(Frozen):
    """How large everything is."""

    cells: list[str] = Field(min_length=1, description="cells that run at this scale")
    seeds: list[int] = Field(min_length=1)
    comparable: bool = Field(default=False, description="its numbers may stand beside the paper's")
    step_ratio: float = Field(default=1.0, gt=0, le=1, description="steps here for one step of the paper")
    prompt: str = Field(description="user turn; {question} is replaced, {demand} too")
    questions: Questions
    training: Training = Training()
    evaluation: Evaluation
    tables: list[str] = Field(description="tables that are made at this scale")
    figures: list[str] = Field(default=[], description="figures that are made at this scale")
    on_request: OnRequest = Field(default=OnRequest(), description="cells and tables beside these, made when asked for")
    nodes: int = Field(default=1, ge=1, description="of one training; several need Slurm")
    processes: int = Field(default=1, ge=1, description="of one training on each node, one a GPU")
    sharding: Sharding = Field(default="ddp", description="how several processes share a training")
    micro_rows: int = Field(default=8, ge=1, description="answers in one forward and backward pass of a process")
    sharing: Sharing = Field(
        default="prefix",
        description="what answers of a pass share: what their prompts begin with, or (plain) the clips' features",
    )
    save_steps: int = Field(default=100, ge=1, description="steps between two checkpoints")
    world: dict[str, Corpus] | None = Field(default=None, description="the corpora that are rendered, by source")
    warm: Warm | None = Field(default=None, description="the tiny models that are trained, beside a world")
    models: Models | None = Field(default=None, description="the models that are fetched, where nothing is rendered")
    needs: dict[Need, Resources]

    @property
    def known_cells(self) -> list[str]:
        """Cells that may be asked for."""
        return [*self.cells, *self.on_request.cells]

    @property
    def known_tables(self) -> list[str]:
        """Tables that may be asked for."""
        return [*self.tables, *self.on_request.tables]

    def shown_in(self, table: str) -> list[str]:
        """Cells that may stand in a table: those on request only where the table is, too, so no other has them made."""
        return self.known_cells if table in self.on_request.tables else self.cells

    @property
    def ranks(self) -> int:
        """Processes of one training, on all its nodes."""
        return self.nodes * self.processes

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if [self.world is None, self.warm is None, self.models is not None] not in ([False] * 3, [True] * 3):
            raise ValueError("give world and warm (everything is rendered), or models (everything is fetched)")
        if self.world and self.comparable:
            raise ValueError("comparable = true, but no rendered video compares with the paper's; leave it out")
        rendered = () if self.world else ("world", "warm")
        if missing := [need for need in get_args(Need) if need not in (*self.needs, *rendered)]:
            raise ValueError(f"needs: no entry for {', '.join(missing)}")
        for need in ("world", "fetch", "prepare"):
            if need in self.needs and self.needs[need].gpus:
                raise ValueError(f"needs.{need}.gpus = {self.needs[need].gpus}, but it uses none; leave it out")
        if "{question}" not in self.prompt:
            raise ValueError("prompt: must contain {question}")
        return self

    @model_validator(mode="after")
    def _shared(self) -> Self:
        """How a training's processes share its rows and the machines."""
        if self.training.answers_per_step % (self.micro_rows * self.ranks):
            raise ValueError(
                f"micro_rows = {self.micro_rows} times nodes * processes = {self.ranks} does not divide "
                f"{self.training.answers_per_step} answers a step"
            )
        if self.sharding != "ddp" and self.ranks < 2:
            raise ValueError(f"sharding = {self.sharding} needs processes = 2 or more, found {self.processes}")
        if self.nodes > 1 and self.processes < 2:
            raise ValueError(f"nodes = {self.nodes} needs processes = 2 or more on each, found {self.processes}")
        need = self.needs.get("train", Resources())
        if need.gpus not in (0, self.processes):
            raise ValueError(f"needs.train.gpus = {need.gpus}, but processes = {self.processes}; there is one a GPU")
        if need.cpus % self.processes:
            raise ValueError(f"needs.train.cpus = {need.cpus} is no multiple of processes = {self.processes}")
        return self


class Cell(Controls):
    """One row of the ablation, as the difference from its parent."""

    parent: str | None = Field(default=None, alias="from", description="whose values hold where this one is silent")
    train: bool | None = Field(default=True, description="null: weights that are examined as they are")
    model: str | None = Field(default=None, description="source of those weights; null: what all trainings start from")
    algorithm: Algorithm = "grpo"
    grouping: Grouping = "none"
    selection: Selection = "weighted"
    variants: int = Field(default=1, ge=1, description="M")
    generations: int = Field(default=8, ge=1, description="G")
    steps: int = Field(default=500, ge=1, description="at the paper's scale")


class Benchmark(Frozen):
    """One column of a table."""

    title: str
    source: str = Field(description="a name in workflow/resources/sources.csv")


class Row(Frozen):
    """One row of a table: a cell's numbers beside the paper's, or the paper's alone."""

    cell: str | None = Field(default=None, description="null: known from the paper only, and shown where comparable")
    label: str
    reported: str | None = Field(default=None, description="its label in reported.csv, if that is another one")
    baseline: str | None = Field(default=None, description="a cell of the same table that this one is compared with")


class Average(Frozen):
    """One more column: the unweighted mean of some benchmarks."""

    title: str
    over: list[str] = Field(min_length=1)
    reported: str | None = Field(default=None, description="its column in reported.csv, if the paper prints it")


class Table(Frozen):
    """One table: which cells, which benchmarks, which means of them."""

    caption: str
    rows: list[Row]
    columns: list[str]
    averages: list[Average] = []


class Panel(Frozen):
    """One of a figure's coordinate systems: the cells whose curves it compares."""

    title: str
    cells: list[str] = Field(min_length=1, max_length=4, description="as many as there are colours")


class Figure(Frozen):
    """A training metric of some cells over the steps."""

    metric: str = Field(description="a column of train.jsonl")
    label: str = Field(description="what stands at the axis")
    panels: list[Panel] = Field(min_length=1)


class Report(Frozen):
    """What the report page shows beside all tables and figures of the scale."""

    side_by_side: list[str] = Field(default=[], description="cells whose answers to a question stand side by side")
    questions: int = Field(default=6, ge=0, description="questions that are shown with these answers")
    videos: int = Field(default=3, ge=0, description="training videos that are shown with the scores of their frames")


class Experiment(Frozen):
    """The whole of `config.yaml`."""

    scale: str
    # Snakemake puts it into a shell's line as it is.
    container: str = Field(
        pattern=r"^[A-Za-z0-9._/][A-Za-z0-9._/:@+~-]*$",
        description="image that rules run in where Snakemake is told to use Apptainer",
    )
    scales: dict[str, Scale]
    cells: dict[Name, Cell]
    benchmarks: dict[str, Benchmark]
    tables: dict[str, Table]
    figures: dict[str, Figure] = {}
    report: Report = Report()

    @property
    def active(self) -> Scale:
        """The scale that this run uses."""
        return self.scales[self.scale]

    def __hash__(self) -> int:
        """By identity, so that what follows from it can be remembered."""
        return id(self)

    def cell(self, name: str) -> Cell:
        """A cell with everything that it takes over from its parents."""
        return _resolved(self, name)

    def steps(self, name: str) -> int:
        """Optimizer steps of a cell at the active scale."""
        return max(1, round(self.cell(name).steps * self.active.step_ratio))

    def stem(self, name: str) -> str | None:
        """The cell from whose last step a training goes on: the `from` cell, if it does the same but for fewer steps.

        No other cell is looked at, so that a cell that is added retrains none that is there.
        """
        return _stems(self).get(name)

    def is_stem(self, name: str) -> bool:
        """Whether the training of a known cell goes on from the last step of this one."""
        return name in _used_stems(self)

    @property
    def trainable(self) -> dict[str, Cell]:
        """Cells of the active scale that are trained, those on request too, in their order."""
        return _trained(self)

    @property
    def fetched_models(self) -> list[str]:
        """Sources of the active scale's models: to start from, to score frames with, to examine as they are."""
        models = self.active.models
        examined = [model for name in self.active.known_cells if (model := self.cell(name).model)]
        return list(dict.fromkeys([*([models.policy, models.scorer] if models else []), *examined]))


@cache
def _resolved(experiment: Experiment, name: str) -> Cell:
    delta = experiment.cells[name]
    if delta.parent is None:
        return delta
    own = delta.model_dump(exclude_unset=True, exclude={"parent"})
    return Cell.model_validate({**_resolved(experiment, delta.parent).model_dump(exclude={"parent"}), **own})


@cache
def _trained(experiment: Experiment) -> dict[str, Cell]:
    cells = {name: _resolved(experiment, name) for name in experiment.active.known_cells}
    return {name: cell for name, cell in cells.items() if cell.train}


@cache
def _stems(experiment: Experiment) -> dict[str, str]:
    """The stems of those cells that have one."""
    trained, found = _trained(experiment), {}
    for name, cell in trained.items():
        parent = experiment.cells[name].parent
        if parent in trained and experiment.steps(parent) < experiment.steps(name):
            shorter = trained[parent].model_copy(update={"steps": cell.steps, "parent": cell.parent})
            found |= {name: parent} if shorter == cell else {}
    return found


@cache
def _used_stems(experiment: Experiment) -> frozenset[str]:
    return frozenset(_stems(experiment).values())
