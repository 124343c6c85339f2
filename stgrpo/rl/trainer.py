"""GRPO over the M x G answers to one question, on TRL 1.16 (pinned: the methods overridden here are private).

Deviations from the paper and readings of what it leaves open, as built; the numbers are those of the README:
 1. A response is conditioned on its own variant in generation, policy and reference pass (Eq. 3 prints the original v).
 2. Ratios are per token with a mean over tokens and answers, as in Video-R1 (Eq. 1 and 3 print sequence ratios).
 3. One pool of M * G rewards per question, standard deviation with ddof = 1, plus 1e-4 (Eq. 4).
 4. All M variants are draws, none is the original; M = 1 is the plain video.
 5. An importance variant has K frames, K uniform in 2..6, one of each equal segment; an odd last frame is repeated.
 6. Eq. 5 without a temperature; the entropy of its weights is logged, since raw cosines make it nearly uniform.
 7. The picture of a variant is changed with probability 0.5; magnitudes are ours (`rules.SpatialRule`).
 8. Constant learning rate, AdamW, weight decay 0.01, gradient norm clipped at 5, no warm-up, as Video-R1 in effect.
 9. Weights are kept in float32 and computed with in bf16; bf16 weights would hardly move at a learning rate of 1e-6.
10. Sampling with keyed Gumbel noise instead of a generator: same distribution, same noise on any split of the batch.
11. `second_per_grid_ts` is 1.0 in every pass; Video-R1 drops it in the log-prob pass only.
12. z_f is the mean over all cells before the 2x2 video pooling, z_q the mean over the raw question's tokens.
13. The prompt's wording is ours.
14. A stochastic variant is cut in time with probability 0.5 and, independently, changed in its picture as in 7.
15. Dr.GRPO drops the division by the standard deviation and divides by a constant length, as its own paper does (the
    paper names the first only); the weight of the KL term stays 0.04.
16. Every answer is rewarded by its own question's type, and numbers are compared as numbers ("42.0" is 42): Video-R1
    reads the first type of a batch, and gives such an answer nothing.
17. Benchmarks are scored without a judge model: TempCompass is the micro average of its three configurations that need
    none, VSI-Bench the mean of its eight tasks, VideoMMMU the micro average of its three tracks, MMVU its multiple
    choice by bare letters. Of an answer without tags all that follows the thinking is read; Video-R1 reads the whole.
18. A training question that shows a video of PerceptionTest's validation set is not used: the benchmark is examined.
19. Evaluation is greedy and, at scale paper, with weights rounded to bf16; every model gets our prompt, public
    checkpoints too, and 32 frames of up to 256 * 28 * 28 pixels in all tables.

The controls of Table 6 turn some of these around, one a cell: `rules.Controls`.

Overridden, and why:
- `_prepare_inputs`: leaves the rows in their order, which TRL shuffles, so that a micro-batch holds whole groups.
- `_generate_and_score_completions`: gives every row the clip that it is judged on, and pools by variant if asked to.
- `_calculate_rewards`: logs the spread inside the groups.
- `_get_per_token_logps_and_entropies`: stock TRL computes log-probabilities without the video, and says nothing.
- `_compute_loss`: picks up the clips of the micro-batch.
- `_load_from_checkpoint`: the stock method loads nothing for Qwen2.5-VL and only warns.
- `_save_checkpoint`: marks a checkpoint as complete, so that a kill while it is written is noticed.
- `create_model_card`: writes none.
Generation goes through TRL's `rollout_func`.
"""

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from accelerate.utils import gather_object
from datasets import Dataset
from torch import Tensor
from transformers import PrinterCallback, ProgressCallback
from trl.trainer.grpo_config import GRPOConfig
from trl.trainer.grpo_trainer import GRPOTrainer
from trl.trainer.utils import split_tensor_dict

from stgrpo.errors import UserError
from stgrpo.policy.clips import Clip
from stgrpo.policy.generate import generate, generate_alone
from stgrpo.policy.likelihood import log_probs, log_probs_alone
from stgrpo.policy.model import Policy, adapt
from stgrpo.policy.sampling import KeyedSampler
from stgrpo.policy.weights import read_model
from stgrpo.rl.adapters import LEARNING_RATE, bare, lora
from stgrpo.rl.answered import Answered
from stgrpo.rl.checkpoints import checkpoint_of, layout, mark_complete, resuming
from stgrpo.rl.groups import joint_advantages, spread
from stgrpo.rl.rewards import COMPONENTS
from stgrpo.rl.rollouts import Rollouts, Row
from stgrpo.rl.whole import whole_model
from stgrpo.rules import Sharing
from stgrpo.specs import TrainSpec
from stgrpo.variants.temporal import mean_entropy

# What the rows of a pass share: nothing but the clips' features, or what their prompts begin with too.
_PASSES = {"plain": (generate_alone, log_probs_alone), "prefix": (generate, log_probs)}

# TRL's loss_type and scale_rewards of an algorithm. Dr.GRPO divides by a constant length and not by the spread.
_LOSSES = {"grpo": ("grpo", "group"), "dr_grpo": ("dr_grpo", "none"), "dr_grpo_no_std": ("grpo", "none")}


def trainer_config(
    spec: TrainSpec,
    output: Path,
    micro_rows: int,
    save_steps: int,
    world_size: int = 1,
    deepspeed: Mapping[str, Any] | None = None,
) -> GRPOConfig:
    """TRL's configuration of a spec; several of TRL's defaults are not the paper's.

    Accumulation fills a step up to `answers_per_step`, whatever the number of processes.

    Raises:
        UserError: that many answers cannot be spread evenly.
    """
    training = spec.training
    loss_type, scale_rewards = _LOSSES[spec.algorithm]
    accumulation, rest = divmod(training.answers_per_step, micro_rows * world_size)
    if rest:
        raise UserError(
            f"{training.answers_per_step} answers a step cannot be spread evenly over {world_size} processes with "
            f"{micro_rows} in one pass; choose --processes and --micro-rows whose product divides them"
        )
    config = GRPOConfig(
        output_dir=str(output),
        seed=spec.seed,
        shuffle_dataset=False,  # `Rollouts.order` is
        max_steps=spec.steps,
        num_generations=spec.group,
        per_device_train_batch_size=micro_rows,
        gradient_accumulation_steps=accumulation,
        steps_per_generation=accumulation,
        max_completion_length=training.max_tokens,
        temperature=training.temperature,
        top_p=training.top_p,
        beta=training.beta,
        epsilon=training.epsilon,
        loss_type="luspo" if spec.ratio == "sequence" else loss_type,  # see rules.Controls
        importance_sampling_level=spec.ratio,
        scale_rewards=scale_rewards,
        use_bias_correction_kl=False,
        learning_rate=training.learning_rate * (LEARNING_RATE if spec.lora else 1),
        lr_scheduler_type="constant",
        weight_decay=training.weight_decay,
        max_grad_norm=training.max_grad_norm,
        bf16=False,  # `_autocast` does it, in the same way under every engine
        gradient_checkpointing=torch.cuda.is_available(),
        use_cpu=not torch.cuda.is_available(),
        logging_steps=1,
        logging_nan_inf_filter=False,  # it would hide what `History` refuses
        save_steps=save_steps,
        save_total_limit=2,
        report_to=[],
        disable_tqdm=True,
        ddp_find_unused_parameters=False,  # all are used
        deepspeed=_with_autocast(deepspeed, training.precision) if deepspeed else None,
    )
    if config.use_cpu:  # or it is "cpu:0" in a rank, a place that torch.load does not know when it resumes
        config._setup_devices = torch.device("cpu")
    return config


def _with_autocast(deepspeed: Mapping[str, Any], precision: str) -> dict[str, Any]:
    """DeepSpeed's engine switches off any autocast that it finds on a GPU, so it is told of ours.

    Without the empty list it would send gradients in bf16; one process does not round them either.
    """
    autocast = {"enabled": precision == "bf16", "dtype": "bfloat16", "lower_precision_safe_modules": []}
    return {**deepspeed, "torch_autocast": autocast}


class STGRPOTrainer(GRPOTrainer):
    """See the module's text for what is overridden and why."""

    def __init__(
        self, spec: TrainSpec, policy: Policy, rollouts: Rollouts, config: GRPOConfig, sharing: Sharing = "prefix"
    ) -> None:
        self.spec, self.policy, self.rollouts = spec, policy, rollouts
        self._answers_to, self._log_probs_of = _PASSES[sharing]
        self.last_rows: list[Row] = []
        self.answered: Answered
        self._texts: list[str] = []
        self._components = torch.empty(0)
        self._clips: list[Clip] = []
        self._cores: dict[Any, Any] = {}
        super().__init__(
            model=policy.model,
            reward_funcs=[_reward(name) for name in COMPONENTS],
            args=config,
            train_dataset=Dataset.from_dict({"prompt": rollouts.order}),
            processing_class=policy.tokenizer,
            rollout_func=_rollout,
            peft_config=lora(spec.lora),
        )
        if self.ref_model is not None:
            adapt(self._core(self.ref_model))
        self.remove_callback(PrinterCallback)
        self.remove_callback(ProgressCallback)

    def _prepare_inputs(self, generation_batch: Any) -> Any:
        held, parts = self._buffered_inputs, self.args.gradient_accumulation_steps  # a step's answers, no more
        if self._step % parts == 0 or held is None:
            scored: Any = self._generate_and_score_completions(generation_batch)
            self._buffered_inputs = held = split_tensor_dict(scored, parts)
        return held[self._step % parts]

    def _generate_and_score_completions(self, inputs: list[dict[str, Any]]) -> dict[str, Any]:
        first = self.accelerator.process_index * len(inputs)
        self.last_rows = self.rollouts.rows([row["prompt"] for row in inputs], self.state.global_step, first)
        self._clips = [row.judged_clip for row in self.last_rows]
        scored = [{**given, "question": row.question} for given, row in zip(inputs, self.last_rows, strict=True)]
        output = super()._generate_and_score_completions(scored)
        if self.spec.pool == "variant":
            output["advantages"] = self._within_variants()[first : first + len(inputs)]
        # Gathered and not computed once more, so that what is kept is what the ranks' losses take.
        questions = gather_object([row.question.id for row in self.last_rows])
        advantages: Any = self.accelerator.gather(output["advantages"])
        self.answered = Answered(self.last_rows, self._texts, first, questions, self._components, advantages)
        output["clip"] = self._clips  # a plain list: TRL splits it with the tensors
        return output

    def _within_variants(self) -> Tensor:
        """Advantages (all rows,) relative to the G rewards of an answer's own variant."""
        rewards = self._components.sum(1).view(-1, 1, self.spec.generations)  # (Q * M, 1, G)
        return joint_advantages(rewards, scale=_LOSSES[self.spec.algorithm][1] == "group").flatten()

    def _core(self, model: Any) -> Any:
        """The model without what accelerate and LoRA wrap around it; to find it, accelerate looks at every module."""
        if model not in self._cores:
            self._cores[model] = bare(self.accelerator.unwrap_model(model))
        return self._cores[model]

    def _autocast(self, reuse: bool = False) -> Any:
        """Products in bf16 where the spec wants that; the weights stay in float32.

        With `reuse` their copies in bf16 are kept for the next token; a pass that uses each weight once would only hold
        them all.
        """
        bf16 = self.spec.training.precision == "bf16"
        return torch.autocast(self.accelerator.device.type, torch.bfloat16, enabled=bf16, cache_enabled=reuse)

    def answer(self, rows: Sequence[Row]) -> list[list[int]]:
        """Sample one answer a row from the current weights."""
        sampler = KeyedSampler([row.key for row in rows], self.spec.training.temperature, self.spec.training.top_p)
        bf16 = self.spec.training.precision == "bf16"
        with whole_model(self.model_wrapped, self.accelerator, bf16) as core, self._autocast(reuse=True):
            policy = Policy(bare(core), self.policy.tokenizer)
            prompts, clips = [row.prompt for row in rows], [row.clip for row in rows]
            return self._answers_to(policy, prompts, clips, sampler, self.spec.training.max_tokens)

    def _get_per_token_logps_and_entropies(  # pyright: ignore[reportIncompatibleMethodOverride]
        self,
        model: Any,
        input_ids: Tensor,
        attention_mask: Tensor,
        logits_to_keep: int,
        batch_size: int | None = None,
        compute_entropy: bool = False,
        **_: Any,
    ) -> tuple[Tensor, Tensor | None, None]:
        """Log-probabilities (R, T) of the answers' T tokens, given each row's own clip."""
        core = self._core(model)
        logps, entropies = [], []
        for part in torch.arange(len(input_ids), device=input_ids.device).split(batch_size or len(input_ids)):
            clips = self._clips[int(part[0]) : int(part[-1]) + 1]
            with self._autocast():
                found, entropy = self._log_probs_of(
                    model, core, input_ids[part], attention_mask[part], logits_to_keep, clips
                )
            logps.append(found)
            entropies.append(entropy)
        return torch.cat(logps), torch.cat(entropies) if compute_entropy else None, None

    def _compute_loss(self, model: Any, inputs: dict[str, Any]) -> Tensor:
        self._clips = inputs["clip"]
        return super()._compute_loss(model, inputs)

    def _calculate_rewards(self, inputs: Any, prompts: Any, completions: Any, completion_ids_list: Any) -> Tensor:
        per_component = super()._calculate_rewards(inputs, prompts, completions, completion_ids_list)  # (all rows, C)
        self._texts, self._components = completions, per_component
        rewards = per_component.sum(1).view(-1, self.spec.variants, self.spec.generations)  # (Q, M, G)
        for name, value in spread(rewards).items():
            self._metrics["train"][f"group/{name}"].append(value)
        self._log_variants()
        return per_component

    def _log_variants(self) -> None:
        """Sizes of the variants on this rank, and how far Eq. 5 is from uniform sampling (1 is uniform)."""
        shown = {id(row.clip): row for row in self.last_rows}.values()
        metrics = self._metrics["train"]
        metrics["variants/frames"].append(sum(len(row.variant.frames) for row in shown) / len(shown))
        if self.spec.scores is not None:
            drawn = [row for row in shown if not (self.spec.identity and row.number == 0)]
            scored = [(self.rollouts.scores[row.question.id], len(row.variant.frames)) for row in drawn]
            shares = [mean_entropy(*pair, self.spec.score_temperature) for pair in scored]
            if shares:  # a rank's may all be the plain video
                metrics["variants/entropy"].append(sum(shares) / len(shares))

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        if self.spec.lora:  # adapters keep their names
            super()._load_from_checkpoint(resume_from_checkpoint, model)
            return
        core = self._core(model or self.model)
        saved = read_model(type(core), resume_from_checkpoint, dtype=core.dtype)
        core.load_state_dict(saved.state_dict())

    def _load_optimizer_and_scheduler(self, checkpoint: Any) -> None:
        with resuming(checkpoint):
            super()._load_optimizer_and_scheduler(checkpoint)

    def _load_rng_state(self, checkpoint: Any) -> None:
        with resuming(checkpoint):
            super()._load_rng_state(checkpoint)

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        began = time.monotonic()
        super()._save_checkpoint(model, trial)
        self.accelerator.wait_for_everyone()
        if self.accelerator.is_main_process:
            step = self.state.global_step
            deepspeed: Any = self.args.deepspeed
            how = layout(self.args.world_size, deepspeed)
            mark_complete(checkpoint_of(Path(str(self.args.output_dir)), step), step, how, began)

    def create_model_card(self, *_: Any, **__: Any) -> None:
        """No card: the provenance of a result stands in its train.json."""


def _reward(name: str) -> Any:
    """A component in the form that TRL calls, under the component's name."""
    component = COMPONENTS[name]

    def reward(prompts: list[str], completions: list[str], question: list[Any], **_: Any) -> list[float]:
        return [component(q, text) for q, text in zip(question, completions, strict=True)]

    reward.__name__ = name
    return reward


def _rollout(prompts: list[str], trainer: Any) -> dict[str, Any]:
    """TRL's hook for generation; the rows were laid out before TRL was asked."""
    rows = trainer.last_rows
    completions = trainer.answer(rows)
    return {"prompt_ids": [row.judged_prompt for row in rows], "completion_ids": completions, "logprobs": None}
