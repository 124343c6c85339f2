"""The model that answers: the trained one or, where ZeRO-3 spreads its weights, a whole copy while it answers.

TRL would gather the weights as they are: at 7 B parameters in float32 33 GB on every GPU, beside 17 GB of autocast's
bf16 copies of them. The copy here holds what autocast would make anyway, the matrices in bf16, and the rest as it is:
18 GB, and the same numbers. With adapters TRL's way is taken: no gradients, moments and reference of the weights stand
beside them.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from peft import PeftModel
from torch import nn
from transformers.initialization import no_init_weights
from transformers.integrations.deepspeed import set_hf_deepspeed_config, unset_hf_deepspeed_config
from trl.models.utils import unwrap_model_for_generation

from stgrpo.policy.model import adapt

_PRODUCTS = (nn.Linear, nn.Conv3d)  # what autocast computes in bf16


@contextmanager
def whole_model(wrapped: Any, accelerator: Any, bf16: bool) -> Iterator[Any]:
    """A model that answers, on every rank.

    Args:
        wrapped: as the trainer trains it.
        accelerator: of the trainer.
        bf16: whether products are computed in bf16.
    """
    plugin, core = accelerator.state.deepspeed_plugin, accelerator.unwrap_model(wrapped)
    if plugin is not None and plugin.hf_ds_config.is_zero3() and not isinstance(core, PeftModel):
        yield _copy(core, plugin.hf_ds_config, bf16)
        return
    unwrapped: Any = unwrap_model_for_generation(wrapped, accelerator)  # switches gradient checkpointing off meanwhile
    with unwrapped as model:
        yield model


@torch.no_grad()
def _copy(core: Any, config: Any, bf16: bool) -> Any:
    """Module by module, so that no more than one is gathered beside the copy."""
    import deepspeed

    copy = _skeleton(core, config)
    for name, module in core.named_modules():
        place = copy.get_submodule(name)
        own = dict(module.named_parameters(recurse=False))
        with deepspeed.zero.GatheredParameters(list(own.values())):
            for key, value in own.items():
                kind = torch.bfloat16 if bf16 and isinstance(module, _PRODUCTS) else value.dtype
                setattr(place, key, nn.Parameter(value.to(kind, copy=True), requires_grad=False))
        for key, value in module.named_buffers(recurse=False):
            place.register_buffer(key, value, persistent=False)
    adapt(copy)
    return copy.eval()


def _skeleton(core: Any, config: Any) -> Any:
    """The same architecture without weights; transformers would spread them if it still knew of ZeRO-3."""
    unset_hf_deepspeed_config()
    try:
        with torch.device("meta"), no_init_weights():
            return type(core)(core.config)
    finally:
        set_hf_deepspeed_config(config)
