"""LoRA: adapters that are trained in place of the weights, and whole weights again at the end.

They stand on all linear layers of the language model; its head, the embeddings and the vision tower with its merger
stay as they are, as VLM-R1's recipe for the same architecture has it (`freeze_vision_modules`; rank 64, alpha 128). No
dropout, which would part the policy from what sampled. Steps are ten times as long: with full training's, adapters
hardly move (Schulman et al. 2025, "LoRA Without Regret"; VLM-R1's adapters learn at 1e-5 likewise).

While they are trained, weights and adapters are rounded to bf16 apart; what is published is their sum in float32, and
an evaluation in bf16 rounds that. Of a small change much is lost there, which full training does not know.
"""

import shutil
from pathlib import Path
from typing import Any

from peft import LoraConfig, PeftModel
from torch import float32
from transformers import Qwen2_5_VLForConditionalGeneration

from stgrpo.policy.weights import read_model, read_tokenizer

LEARNING_RATE = 10  # times that of full training
_ALPHA = 2  # times the rank: an adapter adds alpha / rank * B A
_LAYERS = r".*language_model.*\.(q|k|v|o|gate|up|down)_proj"


def lora(rank: int | None) -> LoraConfig | None:
    """What TRL wraps the policy with; its reference is then the policy without adapters, no second copy."""
    if rank is None:
        return None
    return LoraConfig(r=rank, lora_alpha=_ALPHA * rank, target_modules=_LAYERS)


def bare(model: Any) -> Any:
    """The policy itself, whose layers hold the adapters."""
    return model.get_base_model() if isinstance(model, PeftModel) else model


def merge_adapters(policy: Path, checkpoint: Path, folder: Path) -> None:
    """Whole weights and tokenizer into `folder`: those of `policy`, with a checkpoint's adapters added to them.

    On the CPU, since the ranks may still hold the GPUs.
    """
    shutil.rmtree(folder, ignore_errors=True)
    before = read_model(Qwen2_5_VLForConditionalGeneration, policy, dtype=float32)
    whole = PeftModel.from_pretrained(before, str(checkpoint))
    whole.merge_and_unload().save_pretrained(folder)
    read_tokenizer(policy).save_pretrained(folder)
