"""The sizes of a Qwen2.5-VL that its memory and disk follow from, known before its weights are fetched."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from stgrpo.config import Experiment
from stgrpo.errors import UserError
from stgrpo.files import read_json
from stgrpo.planning.sources import row

_PATCH = 3 * 2 * 14 * 14  # numbers of a patch: colours, two frames, 14 x 14 pixels
_MERGED = 4  # patches that become one token


@dataclass(frozen=True)
class Dimensions:
    """Widths and depths, named as in config.json: of the language model, then of the vision tower.

    Attributes:
        tied: whether the last projection shares the embedding's weights.
    """

    hidden: int
    layers: int
    heads: int
    kv_heads: int
    intermediate: int
    vocabulary: int
    tied: bool
    vision_hidden: int
    vision_layers: int
    vision_intermediate: int

    @classmethod
    def read(cls, config: Path) -> Self:
        """From a config.json: flat as the Hub has it, or with the nested text_config that save_pretrained writes.

        Raises:
            UserError: the file is no configuration of a Qwen2.5-VL.
        """
        raw: dict[str, Any] = read_json(config)
        try:
            text, vision = {**raw, **raw.get("text_config", {})}, raw["vision_config"]
            return cls(
                hidden=text["hidden_size"],
                layers=text["num_hidden_layers"],
                heads=text["num_attention_heads"],
                kv_heads=text["num_key_value_heads"],
                intermediate=text["intermediate_size"],
                vocabulary=text["vocab_size"],
                tied=text["tie_word_embeddings"],
                vision_hidden=vision["hidden_size"],
                vision_layers=vision["depth"],
                vision_intermediate=vision["intermediate_size"],
            )
        except KeyError as error:
            raise UserError(
                f"{config}: no {error}, so no Qwen2.5-VL; expected a config.json as save_pretrained writes it"
            ) from None

    @property
    def embedding(self) -> int:
        """Numbers in the embedding, and in the last projection too."""
        return self.vocabulary * self.hidden

    @property
    def kv_width(self) -> int:
        """Width of the keys of a token in one layer, and of its values."""
        return self.hidden // self.heads * self.kv_heads

    @property
    def layer(self) -> int:
        """Numbers in one layer of the language model."""
        d, kv = self.hidden, self.kv_width
        return d * d + d + 2 * (d * kv + kv) + d * d + 3 * d * self.intermediate + 2 * d  # q; k, v; o; MLP; norms

    def adapters(self, rank: int) -> int:
        """Numbers in adapters of this rank on every linear layer of the language model (`stgrpo.rl.adapters`)."""
        d, kv, i = self.hidden, self.kv_width, self.intermediate
        return rank * self.layers * (2 * (d + d) + 2 * (d + kv) + 3 * (d + i))  # q, o; k, v; gate, up, down

    @property
    def vision(self) -> int:
        """Numbers in the vision tower with its merger."""
        d, i, merged = self.vision_hidden, self.vision_intermediate, _MERGED * self.vision_hidden
        layer = (3 * d * d + 3 * d) + (d * d + d) + (3 * d * i + 2 * i + d) + 2 * d  # qkv; o; MLP; norms
        merger = d + (merged * merged + merged) + (merged * self.hidden + self.hidden)
        return _PATCH * d + self.vision_layers * layer + merger

    @property
    def parameters(self) -> int:
        """All of them."""
        text = self.embedding * (1 if self.tied else 2) + self.layers * self.layer + self.hidden
        return text + self.vision


# The public configurations, by repository: a policy's memory is known before a byte of it is fetched.
KNOWN = {
    "Qwen/Qwen2.5-VL-7B-Instruct": Dimensions(3584, 28, 28, 4, 18944, 152064, False, 1280, 32, 3420),
    "Qwen/Qwen2.5-VL-3B-Instruct": Dimensions(2048, 36, 16, 2, 11008, 151936, True, 1280, 32, 3420),
}


def dimensions_of(experiment: Experiment) -> Dimensions | None:
    """Of the policy that the active scale starts from; None while only its weights could say them.

    Raises:
        UserError: its config.json is damaged, or no source is called like it.
    """
    config = Path("results") / experiment.scale / "policy" / "config.json"
    if config.is_file():
        return Dimensions.read(config)
    models = experiment.active.models
    return KNOWN.get(row(models.policy)["repository"]) if models else None
