"""`config.yaml` as types: one experiment (cells, benchmarks, tables) at several scales.

Nothing below the workflow reads `config.yaml`: it is checked as a whole (`stgrpo.loading`) and resolved into one frozen
spec a job (`stgrpo.specs`).

Defaults are the paper's values and never change: a spec leaves out what equals its default, so a changed default would
not rerun what it decides. What the paper does not know (the demo's world and tiny models) has no default.
"""

from typing import Annotated, Literal, Self, get_args

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

Algorithm = Literal["grpo", "dr_grpo"]
Grouping = Literal["none", "deterministic", "stochastic", "importance", "importance+spatial"]
Selection = Literal["weighted", "top"]
Sharding = Literal["ddp", "zero2", "zero3"]
Name = Annotated[str, StringConstraints(pattern=r"^[a-z0-9-]+$")]  # what a person types in a target
Need = Literal["world", "fetch", "prepare", "warm", "score", "train", "evaluate"]

BENCHMARKS = ("videomme", "vsibench", "perceptiontest", "tempcompass", "videommmu", "mmvu")  # each has a module
METRICS = (  # columns of train.jsonl
    *("loss", "grad_norm", "reward", "accuracy", "format", "reward_std", "between_variants", "within_variants"),
    *("flat_groups", "variant_frames", "weight_entropy", "kl", "token_entropy", "answer_tokens", "cut_answers"),
    "seconds",
)


class Frozen(BaseModel):
    """Immutable; unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)


def _in_order(rule: Frozen, least: str, most: str) -> None:
    if getattr(rule, least) > getattr(rule, most):
        raise ValueError(f"{least} = {getattr(rule, least)} is more than {most} = {getattr(rule, most)}")


class FrameRule(Frozen):
    """Which frames of a video are taken, and their size. Defaults: the paper's appendix and Video-R1's constants."""

    rate: float = Field(default=2.0, gt=0, description="frames taken a second of video")
    min_frames: int = Field(default=4, ge=2, description="even; a short video gives at least so many")
    max_frames: int = Field(default=16, ge=2, description="even; a long video gives at most so many")
    min_pixels: int = Field(default=128 * 28 * 28, ge=28 * 28, description="least area of a frame")
    max_pixels: int = Field(default=128 * 28 * 28, ge=28 * 28, description="largest area of a frame")

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        _in_order(self, "min_frames", "max_frames")
        _in_order(self, "min_pixels", "max_pixels")
        return self


class SpatialRule(Frozen):
    """Colour jitter and affine map of a variant, one draw for all its frames (paper section 4)."""

    probability: float = Field(default=0.5, ge=0, le=1, description="of a variant being transformed at all")
    brightness: float = Field(default=0.2, ge=0, le=1, description="factor drawn from 1 - x to 1 + x")
    contrast: float = Field(default=0.2, ge=0, le=1, description="factor drawn from 1 - x to 1 + x")
    saturation: float = Field(default=0.2, ge=0, le=1, description="factor drawn from 1 - x to 1 + x")
    hue: float = Field(default=0.05, ge=0, le=0.5, description="turns of the colour circle, drawn from -x to x")
    rotation: float = Field(default=10.0, ge=0, le=180, description="degrees, drawn from -x to x")
    translation: float = Field(default=0.1, ge=0, le=1, description="share of the side, drawn from -x to x")
    zoom: float = Field(default=0.1, ge=0, lt=1, description="scale drawn from 1 - x to 1 + x")


class TemporalRule(Frozen):
    """Crop and stride in time of a stochastic variant (paper section 4)."""

    probability: float = Field(default=0.5, ge=0, le=1, description="of a variant being cut at all")
    shortest: float = Field(default=0.6, gt=0, le=1, description="least share of the frames that a crop keeps")
    longest: float = Field(default=0.9, gt=0, le=1, description="largest share")
    max_stride: int = Field(default=3, ge=1, description="every first to every so many-th frame of the crop is taken")

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        _in_order(self, "shortest", "longest")
        return self


class VariantRule(Frozen):
    """How the M variants of a video are drawn (paper section 4)."""

    min_frames: int = Field(default=2, ge=1, description="least number K of frames of an importance variant")
    max_frames: int = Field(default=6, ge=1, description="largest K")
    temporal: TemporalRule = TemporalRule()
    spatial: SpatialRule = SpatialRule()

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        _in_order(self, "min_frames", "max_frames")
        return self


class Training(Frozen):
    """What decides the weights beside the cell. Defaults: the paper's appendix [P:324], then Video-R1's scripts."""

    answers_per_step: int = Field(default=32, ge=1, description="questions * variants * generations")
    learning_rate: float = Field(default=1e-6, gt=0)
    weight_decay: float = Field(default=0.01, ge=0)
    max_grad_norm: float = Field(default=5.0, gt=0)
    beta: float = Field(default=0.04, ge=0, description="weight of the KL term")
    epsilon: float = Field(default=0.2, gt=0, description="clip range of the ratio; inert with one update a rollout")
    temperature: float = Field(default=1.0, gt=0)
    top_p: float = Field(default=0.95, gt=0, le=1)
    max_tokens: int = Field(default=768, ge=1, description="length of an answer at most")
    precision: Literal["fp32", "bf16"] = Field(default="bf16", description="of the arithmetic; weights are always fp32")
    frames: FrameRule = FrameRule()
    variant: VariantRule = VariantRule()


class Evaluation(Frozen):
    """How a policy is examined: greedily, with the prompt and the parser of the rewards."""

    max_tokens: int = Field(default=1024, ge=1, description="length of an answer at most")
    frames: FrameRule = Field(description="the paper: up to 32 frames of up to 256*28*28 pixels")
    parts: dict[str, list[str]] = Field(description="jobs of a cell's evaluation and the benchmarks of each")


class Questions(Frozen):
    """The training questions."""

    source: str = Field(description="a name in workflow/resources/sources.csv")
    count: int = Field(ge=1, description="questions drawn from the corpus")
    seed: int = Field(ge=0, description="of that draw")


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


class Resources(Frozen):
    """What a job asks the cluster for."""

    gpus: int = Field(default=0, ge=0)
    cpus: int = Field(default=1, ge=1)
    mem_mb: int = Field(default=2000, ge=1000)
    runtime: int = Field(default=30, ge=1, description="minutes")


class Scale(Frozen):
    """How large everything is."""

    cells: list[str] = Field(min_length=1, description="cells that run at this scale")
    seeds: list[int] = Field(min_length=1)
    step_ratio: float = Field(default=1.0, gt=0, le=1, description="steps here for one step of the paper")
    prompt: str = Field(description="user turn; {question} is replaced, {demand} too")
    questions: Questions
    training: Training = Training()
    evaluation: Evaluation
    tables: list[str] = Field(description="tables that are made at this scale")
    figures: list[str] = Field(default=[], description="figures that are made at this scale")
    processes: int = Field(default=1, ge=1, description="of one training, one a GPU")
    sharding: Sharding = Field(default="ddp", description="how several processes share a training")
    micro_rows: int = Field(default=8, ge=1, description="answers in one forward and backward pass of a process")
    save_steps: int = Field(default=100, ge=1, description="steps between two checkpoints")
    world: dict[str, Corpus] = Field(description="the corpora that are rendered, by source")
    warm: Warm
    needs: dict[Need, Resources]

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if missing := [need for need in get_args(Need) if need not in self.needs]:
            raise ValueError(f"needs: no entry for {', '.join(missing)}")
        for need in ("world", "fetch", "prepare"):
            if self.needs[need].gpus:
                raise ValueError(f"needs.{need}.gpus = {self.needs[need].gpus}, but it uses none; leave it out")
        if "{question}" not in self.prompt:
            raise ValueError("prompt: must contain {question}")
        return self

    @model_validator(mode="after")
    def _shared(self) -> Self:
        """How a training's processes share its rows and the machine."""
        if self.training.answers_per_step % (self.micro_rows * self.processes):
            raise ValueError(
                f"micro_rows = {self.micro_rows} times processes = {self.processes} does not divide "
                f"{self.training.answers_per_step} answers a step"
            )
        if self.sharding != "ddp" and self.processes < 2:
            raise ValueError(f"sharding = {self.sharding} needs processes = 2 or more, found {self.processes}")
        need = self.needs.get("train", Resources())
        if need.gpus not in (0, self.processes):
            raise ValueError(f"needs.train.gpus = {need.gpus}, but processes = {self.processes}; there is one a GPU")
        if need.cpus % self.processes:
            raise ValueError(f"needs.train.cpus = {need.cpus} is no multiple of processes = {self.processes}")
        return self


class Cell(Frozen):
    """One row of the ablation, as the difference from its parent."""

    parent: str | None = Field(default=None, alias="from", description="whose values hold where this one is silent")
    train: bool | None = Field(default=True, description="null: the untrained policy")
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
    """One row of a table."""

    cell: str
    label: str


class Average(Frozen):
    """One more column: the unweighted mean of some benchmarks."""

    title: str
    over: list[str] = Field(min_length=1)


class Table(Frozen):
    """One table: which cells, which benchmarks, which means of them."""

    caption: str
    rows: list[Row]
    columns: list[str]
    averages: list[Average] = []
    omitted: list[str] = Field(default=[], description="rows of the paper's table that no cell stands for")


class Panel(Frozen):
    """One of a figure's coordinate systems: the cells whose curves it compares."""

    title: str
    cells: list[str] = Field(min_length=1, max_length=4, description="as many as there are colours")


class Figure(Frozen):
    """A training metric of some cells over the steps."""

    metric: str = Field(description="a column of train.jsonl")
    label: str = Field(description="what stands at the axis")
    panels: list[Panel] = Field(min_length=1)


class Experiment(Frozen):
    """The whole of `config.yaml`."""

    scale: str
    container: str = Field(description="image that rules run in where Snakemake is told to use Apptainer")
    scales: dict[str, Scale]
    cells: dict[Name, Cell]
    benchmarks: dict[str, Benchmark]
    tables: dict[str, Table]
    figures: dict[str, Figure] = {}

    @property
    def active(self) -> Scale:
        """The scale that this run uses."""
        return self.scales[self.scale]

    def cell(self, name: str) -> Cell:
        """A cell with everything that it takes over from its parents."""
        delta = self.cells[name]
        if delta.parent is None:
            return delta
        own = delta.model_dump(exclude_unset=True, exclude={"parent"})
        return Cell.model_validate({**self.cell(delta.parent).model_dump(exclude={"parent"}), **own})

    @property
    def trainable(self) -> list[str]:
        """Cells of the active scale that are trained."""
        return [name for name in self.active.cells if self.cell(name).train]
