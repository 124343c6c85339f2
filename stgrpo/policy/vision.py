"""Two spots of Qwen2.5-VL's vision tower that are slow on a CPU, computed exactly but faster.

The strided Conv3d is a matrix product, and attention inside windows of one size is one batched call instead of one call
a window. On the demo's clips the tower is 1.5 times as fast (scripts/vision_speed.py); on a GPU the stock code stays.
"""

import types
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import linear, scaled_dot_product_attention
from transformers.models.qwen2_5_vl.modeling_qwen2_5_vl import apply_rotary_pos_emb_vision


def speed_up_on_cpu(model: Any) -> None:
    """Replace the two forwards on this instance; parameters, names and results stay (to float order)."""
    if torch.cuda.is_available():
        return
    visual = model.model.visual
    projection = visual.patch_embed.proj  # ZeRO-3 gathers weights for the module that owns them, and for no other
    projection.forward = types.MethodType(_project_patches, projection)
    for block in visual.blocks:
        block.attn.stock_forward = block.attn.forward
        block.attn.forward = types.MethodType(_attend_in_windows, block.attn)


def _project_patches(self: Any, hidden_states: Tensor) -> Tensor:
    return linear(hidden_states.flatten(1), self.weight.flatten(1))  # (patches, 1176) -> (patches, d)


def _attend_in_windows(
    self: Any, hidden_states: Tensor, cu_seqlens: Tensor, position_embeddings: Any = None, **kwargs: Any
) -> Tensor:
    lengths = torch.diff(cu_seqlens)
    if not bool((lengths == lengths[0]).all()):
        return self.stock_forward(hidden_states, cu_seqlens, position_embeddings=position_embeddings, **kwargs)
    n, windows = len(hidden_states), len(lengths)
    q, k, v = self.qkv(hidden_states).reshape(n, 3, self.num_heads, -1).permute(1, 0, 2, 3).unbind(0)  # (n, heads, d)
    q, k = apply_rotary_pos_emb_vision(q, k, *position_embeddings)
    q, k, v = (x.view(windows, -1, self.num_heads, x.shape[-1]).transpose(1, 2) for x in (q, k, v))
    out = scaled_dot_product_attention(q, k, v, scale=self.scaling)  # (windows, heads, n / windows, d)
    return self.proj(out.transpose(1, 2).reshape(n, -1))
