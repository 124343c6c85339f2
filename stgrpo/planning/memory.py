"""Memory of one GPU by arithmetic: what a process holds in each phase of a training or an evaluation, in bytes.

Nothing is measured here. What stays (weights, gradients, moments, copies, cache) is counted from the dimensions; what
comes and goes inside a layer is an estimate of the tensors that torch keeps alive there, at the longest prompts and
answers. Read off TRL 1.16, transformers 5.17 and DeepSpeed 0.19.8; where that is not plain, a comment says what.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from stgrpo.config import Sharding
from stgrpo.planning.dimensions import Dimensions

_FP32, _BF16 = 4, 2  # bytes
_PIXELS = 3 * 2 * 14 * 14 * _FP32  # bytes of a patch before the vision tower
_LIVE = 10**9  # numbers that ZeRO-3 keeps gathered, and that it updates at a time (both DeepSpeed's defaults)
_BUCKET = 2 * 5 * 10**8  # numbers in ZeRO-2's two buckets of gradients on their way (DeepSpeed's default)
_CHOOSING = 40  # bytes a token of the vocabulary while one is chosen: logits, sorted, cumulated, with noise
_TILE = (4096, 32768)  # tokens and vocabulary that TRL's fused projection holds the logits of
_CONTEXT = 1536 << 20  # CUDA's context, cuBLAS's and NCCL's buffers: an allowance
_LOST = 0.05  # share of the rest that fragmentation costs: an allowance


@dataclass(frozen=True)
class Load:
    """What one GPU is given. Lengths are the longest.

    Attributes:
        rows: answers that it generates at a time.
        prompt: tokens of a prompt, its clip's included.
        answer: tokens of an answer.
        clips: different clips among those rows.
        patches: of one clip, four to a token.
        bf16: whether products are computed in bf16.
    """

    rows: int
    prompt: int
    answer: int
    clips: int
    patches: int
    bf16: bool = True

    @property
    def length(self) -> int:
        """Tokens of a prompt and its answer."""
        return self.prompt + self.answer


@dataclass(frozen=True)
class Engine:
    """How a training spreads over its GPUs.

    Attributes:
        ranks: its processes, one a GPU.
        micro_rows: answers in one forward and backward pass; with gradient checkpointing, as on every GPU.
        reference: whether there is a reference model; none where beta is 0, or adapters are trained.
        trained: numbers that are trained, None for all.
    """

    ranks: int = 1
    sharding: Sharding = "ddp"
    micro_rows: int = 2
    reference: bool = True
    trained: int | None = None


@dataclass(frozen=True)
class Memory:
    """Bytes by phase and part."""

    phases: Mapping[str, Mapping[str, int]]

    def total(self, phase: str) -> int:
        """Of one phase."""
        return sum(self.phases[phase].values())

    @property
    def largest(self) -> str:
        """The phase at the peak."""
        return max(self.phases, key=self.total)

    @property
    def peak(self) -> int:
        """Of the largest phase."""
        return self.total(self.largest)


def plan_training(model: Dimensions, load: Load, engine: Engine) -> Memory:
    """The phases of one step: answers, reference log-probabilities, forward, backward, optimizer."""
    trained = model.parameters if engine.trained is None else engine.trained
    held = _held(model, engine, trained)
    gradients = {"gradients": _FP32 * trained // (engine.ranks if engine.sharding != "ddp" else 1)}
    # Under ZeRO-3 they stand in a buffer that is never given back, elsewhere they go with the step.
    always = gradients if engine.sharding == "zero3" else {}
    part = Load(engine.micro_rows, load.prompt, load.answer, engine.micro_rows, load.patches, load.bf16)
    gathered = {"gathered weights": _gathered(model, engine)}
    copies = {"bf16 copies": _BF16 * model.layer if load.bf16 else 0}  # of the layer at work; no pass keeps them
    tile = {"logits": _tile(model, part)}
    inputs = {"layers' inputs": _inputs(model, part)}
    return _allow(
        {
            "answers": held | always | _answering(model, load, engine),
            "reference": held | always | gathered | copies | tile | {"one layer": _largest_layer(model, part, False)},
            "forward": held | gradients | gathered | copies | tile | inputs | {"one layer": _passing(model, part)},
            "backward": held
            | gradients
            | gathered
            | copies
            | tile
            | inputs
            | {"one layer": _largest_layer(model, part, True), "gradients on their way": _on_way(model, engine)},
            "optimizer": held | gradients | {"gradients on their way": _flat(trained, engine)},
        }
    )


def plan_evaluation(model: Dimensions, load: Load) -> Memory:
    """One pass of an evaluation; the weights are computed with as they are loaded."""
    wide = _BF16 if load.bf16 else _FP32
    return _allow({"answers": {"weights": wide * model.parameters} | _generation(model, load)})


def _allow(phases: Mapping[str, Mapping[str, int]]) -> Memory:
    """With the allowance; parts of no size are left out."""
    made = {}
    for name, parts in phases.items():
        kept = {part: size for part, size in parts.items() if size}
        made[name] = kept | {"allowance": _CONTEXT + round(_LOST * sum(kept.values()))}
    return Memory(made)


def _held(model: Dimensions, engine: Engine, trained: int) -> dict[str, int]:
    """What stands in every phase.

    ZeRO-3 updates fp32 weights in place (`_create_fp32_partitions`); ZeRO-2 clones its share of them. TRL gives the
    reference to ZeRO-3 as well, and to no other stage (`prepare_deepspeed`).
    """
    whole, share = _FP32 * model.parameters, _FP32 * trained // engine.ranks
    spread = whole // engine.ranks if engine.sharding == "zero3" else whole
    return {
        "weights": spread,
        "masters": share if engine.sharding == "zero2" else 0,
        "moments": 2 * (_FP32 * trained if engine.sharding == "ddp" else share),
        "reference": spread if engine.reference else 0,
    }


def _answering(model: Dimensions, load: Load, engine: Engine) -> dict[str, int]:
    """Under ZeRO-3 a whole copy answers, the matrices in bf16; elsewhere autocast keeps bf16 copies of them."""
    # Autocast keeps no copy of what is not trained.
    matrices = _BF16 * (model.parameters - (0 if model.tied else model.embedding))  # norms and biases: some thousandths
    if engine.sharding == "zero3":
        copy = {"whole copy": matrices + _FP32 * model.embedding if load.bf16 else _FP32 * model.parameters}
    else:
        copy = {"bf16 copies": matrices if load.bf16 and engine.trained is None else 0}
    return copy | _generation(model, load)


def _generation(model: Dimensions, load: Load) -> dict[str, int]:
    """Every row has its own copy of its prompt's keys and values, and room for a whole answer from the start."""
    wide = _BF16 if load.bf16 else _FP32
    prefill = Load(load.rows, load.prompt, 0, load.clips, load.patches, load.bf16)
    return {
        "key-value cache": load.rows * load.length * model.layers * model.kv_width * 2 * wide,
        "logits": load.rows * model.vocabulary * _CHOOSING,
        "one layer": _largest_layer(model, prefill, False),
    }


def _gathered(model: Dimensions, engine: Engine) -> int:
    return _FP32 * min(model.parameters, _LIVE) if engine.sharding == "zero3" else 0


def _tile(model: Dimensions, load: Load) -> int:
    """Logits of some tokens over some of the vocabulary, and that piece of the projection."""
    tokens, words = min(load.rows * load.answer, _TILE[0]), min(model.vocabulary, _TILE[1])
    return (tokens + model.hidden) * words * (_BF16 if load.bf16 else _FP32)


def _inputs(model: Dimensions, load: Load) -> int:
    """What gradient checkpointing keeps: one input a layer, in fp32, since the embedding is."""
    vision = load.clips * load.patches * model.vision_layers * model.vision_hidden
    return _FP32 * (load.rows * load.length * model.layers * model.hidden + vision)


def _largest_layer(model: Dimensions, load: Load, kept: bool) -> int:
    """The language model's at work, or the vision tower's."""
    return max(_passing(model, load, kept), _vision(model, load, kept))


def _passing(model: Dimensions, load: Load, kept: bool = False) -> int:
    """One layer of the language model over all tokens, with the mask of what answers see.

    Reckoned as if no two rows shared a prompt. Heads that share keys are rows of that mask.
    """
    wide = _BF16 if load.bf16 else _FP32
    mask = load.rows * (model.heads // model.kv_heads) * (load.answer + 1) * load.length * (1 + wide)
    return _work(load.rows * load.length, model.hidden, model.intermediate, wide, kept) + mask


def _vision(model: Dimensions, load: Load, kept: bool) -> int:
    """One layer of the vision tower over all patches, with the pixels."""
    wide, patches = _BF16 if load.bf16 else _FP32, load.clips * load.patches
    return _work(patches, model.vision_hidden, model.vision_intermediate, wide, kept) + patches * _PIXELS


def _work(tokens: int, hidden: int, intermediate: int, wide: int, kept: bool) -> int:
    """Tensors of one layer: three in fp32 (residual stream, norm), and products.

    Where they are kept for the backward pass these are the inputs of q, k, v, gate, up and o, the four of attention,
    and the MLP's gate, its activation, up and their product, with the gradients of three of them.
    """
    products = 10 * hidden + 7 * intermediate if kept else 4 * hidden + 3 * intermediate
    return tokens * (3 * _FP32 * hidden + wide * products)


def _on_way(model: Dimensions, engine: Engine) -> int:
    """Whole gradients before each rank keeps its share: of the largest matrix, and what the buckets hold."""
    if engine.trained is not None:  # adapters are small
        return 0
    largest, whole = _FP32 * model.embedding, _FP32 * model.parameters
    if engine.sharding == "ddp":  # its buckets are a second set of gradients
        return whole if engine.ranks > 1 else 0
    return largest + _FP32 * (min(_BUCKET, 2 * model.parameters) if engine.sharding == "zero2" else model.hidden**2)


def _flat(trained: int, engine: Engine) -> int:
    """A rank's share of the gradients once more, in one piece; AdamW itself is fused and needs none."""
    if engine.sharding == "ddp":
        return 0
    share = trained // engine.ranks
    return _FP32 * (min(share, _LIVE) if engine.sharding == "zero3" else share)
