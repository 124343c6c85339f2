"""A Qwen2.5-VL of about 0.6 M parameters with a tokenizer for the rendered world, untrained."""

import torch
from tokenizers import AddedToken, Regex, Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast, Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration

from stgrpo.demo import world
from stgrpo.policy.model import Policy

SPECIAL = (
    "<|endoftext|>",
    "<|im_start|>",
    "<|im_end|>",
    "<|vision_start|>",
    "<|vision_end|>",
    "<|image_pad|>",
    "<|video_pad|>",
)
# Ordinary tokens, not special ones: decoding drops special tokens, and the format reward would be 0 for ever.
TAGS = ("<think>", "</think>", "<answer>", "</answer>")
_WORDS = (
    *("What", "is", "the", "of", "?", "Options", ":", "A", "B", "C", "D", "E", "user", "assistant"),
    *("Is", "yes", "no", "Which", "caption", "Option", "shape", "moves", "first", "cross"),
    *("How", "many", "frames", "show", "size", "distance", "between", "and", "room", "count"),
    *map(str, range(81)),
)
CHAT = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n"
    "{% for c in m['content'] %}{% if c['type'] == 'video' %}<|vision_start|><|video_pad|><|vision_end|>"
    "{% else %}{{ c['text'] }}{% endif %}{% endfor %}<|im_end|>\n"
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def make_tokenizer() -> PreTrainedTokenizerFast:
    """One token a word; blanks and full stops only part words."""
    world_words = (*world.FAMILIES, *world.SHAPES, *world.COLOURS, *world.DIRECTIONS)
    vocabulary = dict.fromkeys((*SPECIAL, *TAGS, "<unk>", *_WORDS, *world_words))
    core = Tokenizer(models.WordLevel({word: i for i, word in enumerate(vocabulary)}, unk_token="<unk>"))
    core.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Split(Regex(r"[\s.]+"), "removed"), pre_tokenizers.Punctuation("isolated")]
    )
    core.add_tokens([AddedToken(tag, normalized=False) for tag in TAGS])
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=core, eos_token="<|im_end|>", pad_token="<|endoftext|>", unk_token="<unk>", padding_side="left"
    )
    tokenizer.add_special_tokens({"additional_special_tokens": list(SPECIAL[1:])})
    tokenizer.chat_template = CHAT
    return tokenizer


def make_policy(seed: int) -> Policy:
    """Random weights. `initializer_range` 0.08: with the default 0.02 so small a model learns nothing for long."""
    tokenizer = make_tokenizer()
    token = tokenizer.get_vocab()
    hidden, heads, vision = 96, 4, 64
    half = hidden // heads // 2
    config = Qwen2_5_VLConfig(
        text_config={
            "vocab_size": len(tokenizer),
            "hidden_size": hidden,
            "intermediate_size": 3 * hidden,
            "num_hidden_layers": 3,
            "num_attention_heads": heads,
            "num_key_value_heads": 2,
            "max_position_embeddings": 2048,
            "initializer_range": 0.08,
            "bos_token_id": token["<|endoftext|>"],
            "eos_token_id": token["<|im_end|>"],
            "pad_token_id": token["<|endoftext|>"],
            "tie_word_embeddings": False,
            "rope_parameters": {
                "rope_type": "default",
                "rope_theta": 10000.0,
                "mrope_section": [half - 2 * (half // 3), half // 3, half // 3],
            },
        },
        vision_config={
            "depth": 2,
            "hidden_size": vision,
            "intermediate_size": 2 * vision,
            "num_heads": 2,
            "out_hidden_size": hidden,
            "fullatt_block_indexes": [1],
            "window_size": 112,
            "tokens_per_second": 2,
            "initializer_range": 0.08,
        },
        image_token_id=token["<|image_pad|>"],
        video_token_id=token["<|video_pad|>"],
        vision_start_token_id=token["<|vision_start|>"],
        vision_end_token_id=token["<|vision_end|>"],
        tie_word_embeddings=False,
    )
    torch.manual_seed(seed)
    model = Qwen2_5_VLForConditionalGeneration(config)
    model.generation_config.eos_token_id = token["<|im_end|>"]
    return Policy(model, tokenizer)
