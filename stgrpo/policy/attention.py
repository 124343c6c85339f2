"""Attention that may be told what a query sees by an object instead of a mask.

transformers hands whatever stands for the mask through to the attention function, which it looks up by name.
"""

from typing import Any, Protocol

from torch import Tensor
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

_NAME = "stgrpo"


class Layout(Protocol):
    """Where tokens lie, and what each of them sees."""

    def attend(self, layer: int, query: Tensor, key: Tensor, value: Tensor, scale: float) -> Tensor:
        """(B, heads, S, d) queries, (B, h, S, d) keys and values of a layer's new tokens -> (B, S, heads, d)."""
        ...


def take_layouts(model: Any) -> None:
    """Let the language model of a Qwen2.5-VL take a `Layout` for a mask; masks and None work as under "sdpa"."""
    model.model.language_model.config._attn_implementation = _NAME


def _attend(
    module: Any, query: Tensor, key: Tensor, value: Tensor, attention_mask: Any, scaling: float, **others: Any
) -> tuple[Tensor, Tensor | None]:
    if attention_mask is None or isinstance(attention_mask, Tensor):
        return sdpa_attention_forward(module, query, key, value, attention_mask, scaling=scaling, **others)
    return attention_mask.attend(module.layer_idx, query, key, value, scaling), None


AttentionInterface.register(_NAME, _attend)
AttentionMaskInterface.register(_NAME, sdpa_mask)
