"""What decides a training: frames, variants, optimisation. Defaults are the paper's values and never change.

A spec leaves out what equals its default, so a changed default would not rerun what it decides.
"""

from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

Algorithm = Literal["grpo", "dr_grpo", "dr_grpo_no_std"]
Grouping = Literal["none", "deterministic", "stochastic", "importance", "importance+spatial"]
Selection = Literal["weighted", "top", "uniform"]
Sharing = Literal["plain", "prefix"]


class Frozen(BaseModel):
    """Immutable; unknown keys are errors, and so are NaN and infinity."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True, allow_inf_nan=False)


def first_flaw(error: ValidationError) -> str:
    """Where and what the first of pydantic's errors is, for one line."""
    first = error.errors()[0]
    return f"{'.'.join(map(str, first['loc'])) or 'as a whole'}: {first['msg']}"


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


class Controls(Frozen):
    """What a cell may do otherwise than the others, one knob a cell: Table 6. Defaults: what the paper's cells do.

    With the reading (its number in the list of `stgrpo.rl.trainer`) that each turns around:

    | knob                      | cell                | no. | what then holds                                          |
    | ------------------------- | ------------------- | --- | -------------------------------------------------------- |
    | selection: uniform        | st-grpo-uniform     | 6   | Eq. 5 without scores: all frames are as likely           |
    | score_temperature: 0.02   | st-grpo-sharp       | 6   | Eq. 5's weights are softmax(cosine / 0.02)               |
    | identity: true            | st-grpo-identity    | 4   | variant 0 is the plain video, the others draws as before |
    | condition: original       | st-grpo-original    | 1   | Eq. 3 as printed: answers are judged on the plain video  |
    | ratio: sequence           | st-grpo-sequence    | 2   | Eq. 1 and 3 as printed: one ratio an answer, no 1/length |
    | pool: variant             | st-grpo-per-variant | 3   | an advantage is relative to its variant's own G rewards  |
    | algorithm: dr_grpo_no_std | dr-grpo-no-std      | 15  | not divided by the standard deviation; GRPO's mean       |
    | lora: 64                  | st-grpo-lora        | -   | adapters instead of all weights: `stgrpo.rl.adapters`    |

    The temperature. Between the 16 frames of a clip, cosines of the demo's scorer have a standard deviation of 0.38,
    those of a released model perhaps 0.02 to 0.03 (they span 0.1 or less). At 0.02 the entropy of the weights is 0.49
    of the largest possible in the demo and 0.7 to 0.8 for such a model, where raw cosines have 0.98 and 1.00: in both
    the draw is neither uniform nor the top score.

    The condition. An answer is sampled from its variant; policy and reference give its probability on the plain
    video. So it is off-policy, and nothing corrects for that: the ratio is to the policy's own value on the plain
    video, 1 with one update a rollout.

    The ratio of an answer is the product of its tokens'. With one update a rollout it is 1 and never clipped, and its
    gradient is the sum of those of its tokens' log pi. The KL term is summed likewise: the KL between distributions
    of answers is the expected sum of their tokens'. So the gradient is that of the mean over answers of the sum over
    tokens of A * log pi - beta * KL. TRL's loss `luspo`, length times GSPO's length-normalised ratio, has exactly
    this gradient; its value, which is logged, holds -A * length instead of -A. A sum over tokens is larger than their
    mean by the length, so `max_grad_norm` cuts most gradients where answers are long.
    """

    score_temperature: float = Field(
        default=1.0, gt=0, description="Eq. 5's weights are softmax(scores / this); below 1 they are sharper"
    )
    identity: bool = Field(default=False, description="variant 0 is the plain video instead of a draw")
    condition: Literal["variant", "original"] = Field(
        default="variant",
        description="the video on which policy and reference judge an answer: its own variant, or (Eq. 3 as printed) "
        "the plain one, wherever it was sampled",
    )
    ratio: Literal["token", "sequence"] = Field(
        default="token", description="one ratio a token, mean over them; or (Eq. 1 and 3 as printed) one an answer"
    )
    pool: Literal["group", "variant"] = Field(
        default="group", description="the rewards that an advantage is relative to: M * G, or the G of its own variant"
    )
    lora: int | None = Field(
        default=None, ge=1, description="rank of adapters that are trained in place of the weights; null: all weights"
    )
