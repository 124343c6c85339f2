"""Whether the jobs of a scale fit into the memory of its GPUs, before one of them starts."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

from stgrpo.config import Experiment, Need, Scale
from stgrpo.planning.dimensions import Dimensions, dimensions_of
from stgrpo.planning.findings import Finding, Setting, ask, visible
from stgrpo.planning.memory import Engine, Load, Memory, plan_evaluation, plan_training
from stgrpo.planning.text import size
from stgrpo.rules import FrameRule
from stgrpo.video import FRAME_FACTOR, SIZE_FACTOR, frame_size

_TEXT = 512  # tokens of a prompt beside its clip, more than the benchmarks' longest questions take
# Height and width of videos from 21:9 to 9:16, small ones, which are enlarged, and large ones.
_SHAPES = [(lines, lines * wide // high) for lines in (180, 240, 360, 720, 1080) for wide, high in
           ((21, 9), (16, 9), (4, 3), (1, 1), (3, 4), (9, 16))]  # fmt: skip
_MERGED = 4  # patches that become one token
_TODO: dict[Need, str] = {
    "train": "stgrpo plan shows the parts; set sharding: zero3 and more processes, or use larger GPUs",
    "evaluate": "stgrpo plan shows the parts; lower evaluation.rows, or set evaluation.precision: bf16",
}


@dataclass(frozen=True)
class Fit:
    """What a kind of job takes of a GPU, and what a GPU has.

    Attributes:
        load: what it was reckoned for.
        how: the engine, in words.
        given: bytes of the smallest GPU that it takes of this machine, or as config.yaml says; None where no one says.
    """

    kind: Need
    load: Load
    how: str
    memory: Memory
    given: int | None

    @property
    def job(self) -> str:
        """In words."""
        return "a training" if self.kind == "train" else "an evaluation"

    @property
    def fits(self) -> bool:
        """Whether it does, as far as is known."""
        return self.given is None or self.memory.peak <= self.given


def fits(experiment: Experiment, local: bool = False, cells: Collection[str] = ()) -> list[Fit]:
    """Of trainings and evaluations that ask for GPUs; none until the policy's dimensions are known.

    Args:
        experiment: the configuration.
        local: whether the jobs run on this machine, whose GPUs are then asked for their memory.
        cells: what is to be trained, of which the largest counts; without any, a training of all weights.
    """
    scale, model = experiment.active, dimensions_of(experiment)
    if model is None:
        return []
    found, plans = _of_this_machine() if local else [], []
    if scale.needs["train"].gpus:
        load = training_load(scale)
        engines = [engine(scale, model, experiment.cell(cell).lora) for cell in cells] or [engine(scale, model)]
        plan = max((plan_training(model, load, how) for how in engines), key=lambda memory: memory.peak)
        words = f"{scale.sharding} over {scale.ranks}, {load.rows} answers at a time, {scale.micro_rows} in a pass"
        plans.append(Fit("train", load, words, plan, _given(scale, "train", found)))
    if scale.needs["evaluate"].gpus:
        load = evaluation_load(scale)
        given = _given(scale, "evaluate", found)
        words = f"{scale.evaluation.precision}, {load.rows} answers at a time"
        plans.append(Fit("evaluate", load, words, plan_evaluation(model, load), given))
    return plans


def memory(setting: Setting) -> Iterator[Finding]:
    """Memory of the GPUs, against the plan of what is to be done."""
    needs = setting.work.needs
    cells = {cell for cell, _ in setting.work.trainings}
    for fit in fits(setting.experiment, setting.executor == "local", cells):
        if fit.kind not in needs or not needs[fit.kind].gpus:
            continue
        wanted = f"{fit.job} takes {size(fit.memory.peak)} of each at its peak ({fit.memory.largest})"
        if fit.given is None:
            yield Finding("note", "GPU memory", wanted, f"say what one has: needs.{fit.kind}.gpu_memory_gb")
        elif fit.fits:
            yield Finding("ok", "GPU memory", f"{wanted}, one has {size(fit.given)}")
        else:
            yield Finding("missing", "GPU memory", f"{wanted}, one has {size(fit.given)}", _TODO[fit.kind])


def training_load(scale: Scale) -> Load:
    """One GPU's answers of a step, all generated at a time; every clip has all frames that a rule allows."""
    training, rows = scale.training, scale.training.answers_per_step // scale.ranks
    tokens = video_tokens(training.frames)
    return Load(
        rows=rows,
        prompt=tokens + _TEXT,
        answer=training.max_tokens,
        clips=rows,
        patches=_MERGED * tokens,
        bf16=training.precision == "bf16",
    )


def engine(scale: Scale, model: Dimensions, rank: int | None = None) -> Engine:
    """How a training of the scale spreads over its GPUs, with adapters of a rank or of all weights."""
    trained = None if rank is None else model.adapters(rank)
    reference = scale.training.beta > 0 and rank is None  # the policy without adapters is their reference
    return Engine(scale.ranks, scale.sharding, scale.micro_rows, reference, trained)


def evaluation_load(scale: Scale) -> Load:
    """One pass; every question has a video of its own, as in MMVU."""
    evaluation = scale.evaluation
    tokens = video_tokens(evaluation.frames)
    return Load(
        rows=evaluation.rows,
        prompt=tokens + _TEXT,
        answer=evaluation.max_tokens,
        clips=evaluation.rows,
        patches=_MERGED * tokens,
        bf16=evaluation.precision == "bf16",
    )


def video_tokens(rule: FrameRule) -> int:
    """Tokens of a clip at most, over the usual shapes of videos."""
    pairs = -(-rule.max_frames // FRAME_FACTOR)
    return pairs * max(tall * wide for tall, wide in (frame_size(*shape, rule) for shape in _SHAPES)) // SIZE_FACTOR**2


def _given(scale: Scale, kind: Need, found: Sequence[int]) -> int | None:
    """Bytes of the smallest GPU that a job takes: of those found the largest, else as config.yaml says."""
    need = scale.needs[kind]
    if found:
        return sorted(found, reverse=True)[: need.gpus][-1]
    return need.gpu_memory_gb << 30 if need.gpu_memory_gb else None


def _of_this_machine() -> list[int]:
    """Bytes of its GPUs that jobs may use; none where nvidia-smi does not say."""
    answer = ask("nvidia-smi", "--query-gpu=memory.total", "--format=csv,noheader,nounits")
    lines = answer.text.split() if answer and answer.good else []
    return [int(lines[i]) << 20 for i in visible(len(lines))] if all(map(str.isdecimal, lines)) else []
