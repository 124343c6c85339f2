"""The copy that answers under ZeRO-3 is the model that it was made from (tests/test_distributed.py trains with it)."""

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from support import ROOT, generate_with_logits
from transformers.integrations.deepspeed import HfDeepSpeedConfig, is_deepspeed_zero3_enabled, unset_hf_deepspeed_config

from stgrpo.demo import world
from stgrpo.policy.clips import make_clip
from stgrpo.policy.model import Policy, load_policy
from stgrpo.policy.sampling import greedy
from stgrpo.rl.whole import whole_model


@pytest.fixture
def accelerator() -> Any:
    """As much of one as is asked: which DeepSpeed it is configured for, and how to unwrap."""
    config = HfDeepSpeedConfig(str(ROOT / "envs/zero3.json"))
    plugin = SimpleNamespace(hf_ds_config=config)
    yield SimpleNamespace(state=SimpleNamespace(deepspeed_plugin=plugin), unwrap_model=lambda model: model)
    unset_hf_deepspeed_config()


@pytest.mark.parametrize("bf16", [False, True])
def test_the_copy_answers_as_the_model_does(policy_path, accelerator, bf16: bool):
    unset_hf_deepspeed_config()
    policy = load_policy(policy_path)
    clip = make_clip(world.scene(3, 1).frames)
    prompt = policy.prompt_ids("What is the colour of the square?", clip)

    def logits(core: Any) -> torch.Tensor:
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            return generate_with_logits(Policy(core, policy.tokenizer), [prompt], [clip], greedy, 4)[1]

    expected = logits(policy.model)
    with whole_model(policy.model, accelerator, bf16) as core:
        assert core is not policy.model
        assert is_deepspeed_zero3_enabled()
        kinds = {name: value.dtype for name, value in core.named_parameters()}
        assert torch.equal(logits(core), expected)
    products = torch.bfloat16 if bf16 else torch.float32
    assert kinds["lm_head.weight"] == kinds["model.visual.patch_embed.proj.weight"] == products
    assert (
        kinds["model.language_model.embed_tokens.weight"] == kinds["model.language_model.norm.weight"] == torch.float32
    )
