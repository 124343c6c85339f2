"""TRL's own flow with the video made to work, and nothing shared: what the trainer is measured against.

As TRL 1.16 stands, a video reaches generation only: log-probabilities are computed on bare placeholders, without a
word. Here it reaches all passes, in the way TRL does it for images: `model.generate` on left-padded rows with every
row's pixels, and passes over whole rows, padded, that encode the clip of every row; the rows of a step are shuffled.
The model is transformers' as it is. All else is the trainer's: rows, rewards, loss, accumulation, optimizer. Tokens
are sampled with keys here too, so that the flows answer alike and the same work is measured.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor
from transformers import (
    AutoTokenizer,
    GenerationConfig,
    LogitsProcessor,
    LogitsProcessorList,
    Qwen2_5_VLForConditionalGeneration,
)
from trl.models.utils import unwrap_model_for_generation
from trl.trainer.grpo_trainer import GRPOTrainer

from stgrpo.policy.clips import Clip
from stgrpo.policy.model import SECONDS_PER_GRID, Policy, load_policy, pad_left
from stgrpo.policy.sampling import KeyedSampler, Sampler
from stgrpo.rl.rollouts import Rollouts, Row
from stgrpo.rl.trainer import STGRPOTrainer, trainer_config
from stgrpo.specs import TrainSpec

FLOWS = ("stock", "plain", "prefix")  # stock, and ours by what its passes share


def make_trainer(flow: str, spec: TrainSpec, policy: Policy, rollouts: Rollouts, output: Path, rows: int) -> Any:
    """A trainer of one of the `FLOWS`, `rows` answers in one pass; the policy is that of `load`."""
    config = trainer_config(spec, output, rows, save_steps=spec.steps + 1)
    config.save_strategy = "no"  # pyright: ignore[reportAttributeAccessIssue]
    if flow == "stock":
        return StockTrainer(spec, policy, rollouts, config)
    return STGRPOTrainer(spec, policy, rollouts, config, flow)  # pyright: ignore[reportArgumentType]


def load(flow: str, folder: Path) -> Policy:
    """The policy as the flow computes with it."""
    if flow != "stock":
        return load_policy(folder)
    kind: Any = Qwen2_5_VLForConditionalGeneration
    model = kind.from_pretrained(folder, dtype=torch.float32, attn_implementation="sdpa")
    return Policy(model.to("cuda" if torch.cuda.is_available() else "cpu"), AutoTokenizer.from_pretrained(folder))


@contextmanager
def flow_of_train(flow: str) -> Iterator[None]:
    """Let `stgrpo.rl.train` train by the stock flow, or leave it as it is."""
    if flow != "stock":
        yield
        return

    def trainer(spec: TrainSpec, policy: Policy, rollouts: Rollouts, config: Any, _: str) -> StockTrainer:
        return StockTrainer(spec, policy, rollouts, config)

    with (
        patch("stgrpo.rl.train.load_policy", partial(load, flow)),
        patch("stgrpo.rl.train.STGRPOTrainer", trainer),
    ):
        yield


class StockTrainer(STGRPOTrainer):
    """See the module's text."""

    def __init__(self, spec: TrainSpec, policy: Policy, rollouts: Rollouts, config: Any) -> None:
        with patch("stgrpo.rl.trainer.adapt"):  # the reference stays as it is too
            super().__init__(spec, policy, rollouts, config, "plain")

    def _prepare_inputs(self, generation_batch: Any) -> Any:
        return GRPOTrainer._prepare_inputs(self, generation_batch)

    def answer(self, rows: Sequence[Row]) -> list[list[int]]:
        """Sample one answer a row from the current weights."""
        device, end = self.accelerator.device, self.policy.tokenizer.eos_token_id
        sampler = KeyedSampler([row.key for row in rows], self.spec.training.temperature, self.spec.training.top_p)
        ids, mask = (x.to(device) for x in pad_left([row.prompt for row in rows], self.policy.tokenizer.pad_token_id))
        config = GenerationConfig(
            max_new_tokens=self.spec.training.max_tokens,
            do_sample=False,  # the processor below leaves one token
            suppress_tokens=self.policy.banned,
            eos_token_id=end,
            pad_token_id=self.policy.tokenizer.pad_token_id,
            disable_compile=True,
        )
        wrapped: Any = self.model_wrapped
        unwrapped: Any = unwrap_model_for_generation(wrapped, self.accelerator, generation_kwargs=config.to_diff_dict())
        with unwrapped as model, torch.no_grad(), self._autocast(reuse=True):
            found = model.generate(
                **self._inputs(ids, mask, [row.clip for row in rows]),
                generation_config=config,
                logits_processor=LogitsProcessorList([_Keyed(sampler, ids.shape[1])]),
            )
        answers = found[:, ids.shape[1] :].tolist()
        return [row[: row.index(end) + 1] if end in row else row for row in answers]

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
        labels = input_ids.masked_fill(attention_mask == 0, -100)
        labels[:, :-logits_to_keep] = -100
        logps, entropies = [], []
        for part in torch.arange(len(input_ids), device=input_ids.device).split(batch_size or len(input_ids)):
            clips = self._clips[int(part[0]) : int(part[-1]) + 1]
            with self._autocast():
                inputs = self._inputs(input_ids[part], attention_mask[part], clips)
                found = model(**inputs, labels=labels[part], fused_lm_head=True)
            logps.append(found.log_probs[:, -logits_to_keep:])  # (rows, T)
            entropies.append(found.entropy[:, -logits_to_keep:] if compute_entropy else None)
        return torch.cat(logps), torch.cat(entropies) if compute_entropy else None, None

    def _inputs(self, ids: Tensor, mask: Tensor, clips: Sequence[Clip]) -> dict[str, Tensor]:
        """The model's keywords for rows (R, L): pixels of every row, (R * patches, 1176)."""
        return {
            "input_ids": ids,
            "attention_mask": mask,
            "mm_token_type_ids": 2 * (ids == self.policy.video_token).long(),
            "pixel_values_videos": torch.cat([clip.pixels for clip in clips]).to(ids.device),
            "video_grid_thw": torch.stack([clip.grid for clip in clips]).to(ids.device),
            "second_per_grid_ts": torch.full((len(clips),), SECONDS_PER_GRID),
        }


class _Keyed(LogitsProcessor):
    """Leaves the token that the sampler chooses."""

    def __init__(self, sampler: Sampler, prompt: int) -> None:
        self.sampler, self.prompt = sampler, prompt

    def __call__(self, input_ids: Any, scores: Any) -> Any:
        chosen = self.sampler(scores, input_ids.shape[1] - self.prompt)  # (R,)
        return torch.full_like(scores, -torch.inf).scatter(1, chosen[:, None], 0.0)
