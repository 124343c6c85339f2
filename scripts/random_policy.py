"""A Qwen2.5-VL of given dimensions with random weights and the demo's tokenizer, written to a folder."""

from pathlib import Path

import torch
from transformers import Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration

from stgrpo.demo.policy import make_tokenizer
from stgrpo.planning.dimensions import KNOWN, Dimensions

SIZES = {
    "tiny": Dimensions(128, 2, 4, 2, 256, 4096, True, 64, 2, 128),
    "13m": Dimensions(384, 6, 4, 2, 1152, 256, False, 192, 4, 384),
    "3b": KNOWN["Qwen/Qwen2.5-VL-3B-Instruct"],
    "7b": KNOWN["Qwen/Qwen2.5-VL-7B-Instruct"],
}
_VISION_HEAD = {"tiny": 32, "13m": 96, "3b": 80, "7b": 80}  # width of one of the tower's heads


def make_weights(size: str, folder: Path, dtype: torch.dtype = torch.bfloat16, spread: float = 0.02) -> int:
    """Write weights, on disk in bf16 as the Hub has them, and the tokenizer; returns the number of parameters.

    Args:
        size: one of `SIZES`.
        folder: is made.
        dtype: of the weights on disk.
        spread: standard deviation of the random weights.
    """
    tokenizer = make_tokenizer()
    token = tokenizer.get_vocab()
    given = SIZES[size]
    half, depth = given.hidden // given.heads // 2, given.vision_layers
    config = Qwen2_5_VLConfig(
        text_config={
            "vocab_size": given.vocabulary,
            "hidden_size": given.hidden,
            "intermediate_size": given.intermediate,
            "num_hidden_layers": given.layers,
            "num_attention_heads": given.heads,
            "num_key_value_heads": given.kv_heads,
            "max_position_embeddings": 128000,
            "initializer_range": spread,
            "bos_token_id": token["<|endoftext|>"],
            "eos_token_id": token["<|im_end|>"],
            "pad_token_id": token["<|endoftext|>"],
            "tie_word_embeddings": given.tied,
            "rope_parameters": {
                "rope_type": "default",
                "rope_theta": 1e6,
                "mrope_section": [half // 4, half // 8 * 3, half // 8 * 3],
            },
        },
        vision_config={
            "depth": depth,
            "hidden_size": given.vision_hidden,
            "intermediate_size": given.vision_intermediate,
            "num_heads": given.vision_hidden // _VISION_HEAD[size],
            "out_hidden_size": given.hidden,
            "fullatt_block_indexes": list(range(7, depth, 8)) or [depth - 1],
            "window_size": 112,
            "tokens_per_second": 2,
            "initializer_range": spread,
        },
        image_token_id=token["<|image_pad|>"],
        video_token_id=token["<|video_pad|>"],
        vision_start_token_id=token["<|vision_start|>"],
        vision_end_token_id=token["<|vision_end|>"],
        tie_word_embeddings=given.tied,
        dtype=str(dtype).removeprefix("torch."),
    )
    torch.manual_seed(0)
    with torch.device("cuda" if torch.cuda.is_available() else "cpu"):
        model = Qwen2_5_VLForConditionalGeneration._from_config(config, dtype=dtype)
    model.generation_config.eos_token_id = token["<|im_end|>"]
    model.save_pretrained(folder, max_shard_size="4GB")
    tokenizer.save_pretrained(folder)
    return sum(p.numel() for p in model.parameters())
