"""Read a model as save_pretrained wrote it, or say in one line why it is none: no code and no pickle of it runs."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from transformers import AutoTokenizer
from transformers.utils import logging

from stgrpo.errors import UserError
from stgrpo.files import leaves_folder, read_json

_INDEX = "model.safetensors.index.json"
_AGAIN = "fetch or make it again"


def read_model(kind: Any, path: str | Path, change: Callable[[Any], None] | None = None, **options: Any) -> Any:
    """A model with all of its weights, each of them a number.

    Args:
        kind: the class of transformers; its configuration says which models it can be.
        path: folder.
        change: done to its configuration before the weights are read.
        options: of `from_pretrained`.

    Raises:
        UserError: the folder holds no such model, or not all of its weights in safetensors.
    """
    _check(kind, Path(path))
    safe = {"use_safetensors": True, "local_files_only": True, "trust_remote_code": False}
    try:
        with _quiet():  # what is missing or too much would be listed; what is wrong with it is said here
            if change:
                options["config"] = kind.config_class.from_pretrained(path)
                change(options["config"])
            model, info = kind.from_pretrained(
                path, output_loading_info=True, ignore_mismatched_sizes=True, **safe, **options
            )
    except (torch.OutOfMemoryError, MemoryError):
        raise
    except Exception as error:  # transformers, safetensors and their validators raise types of their own
        raise UserError(f"{path}: cannot be read as {kind.__name__} ({_short(error)}); {_AGAIN}") from None
    for names, what in ((info["missing_keys"], "are missing"), (info["mismatched_keys"], "are of another shape")):
        if found := sorted(name if isinstance(name, str) else name[0] for name in names):
            raise UserError(
                f"{path}: {len(found)} weights {what}, the first is {found[0]}; expected a whole {kind.__name__}; "
                f"{_AGAIN}"
            )
    if odd := next((name for name, weight in model.named_parameters() if not weight.isfinite().all()), None):
        raise UserError(f"{path}: weight {odd} holds NaN or infinity; {_AGAIN}")
    return model


def read_tokenizer(path: str | Path) -> Any:
    """The tokenizer beside a model.

    Raises:
        UserError: there is none that can be read.
    """
    try:
        return AutoTokenizer.from_pretrained(path, local_files_only=True, trust_remote_code=False)
    except Exception as error:  # the tokenizers' own parser raises nothing more special
        raise UserError(f"{path}: its tokenizer cannot be read ({_short(error)}); {_AGAIN}") from None


@contextmanager
def _quiet() -> Iterator[None]:
    """Let transformers show only errors; its bar holds a semaphore besides, which a killed process leaves behind."""
    verbosity, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()


def _check(kind: Any, path: Path) -> None:
    """What transformers would only warn of, or would not look at."""
    if not (path / "config.json").is_file():
        raise UserError(f"{path}: no config.json, so no model; expected a folder written by save_pretrained")
    config = read_json(path / "config.json")
    found, wanted = config.get("model_type") if isinstance(config, dict) else None, kind.config_class.model_type
    if found != wanted:
        raise UserError(f"{path}: is a model of type '{found}', expected '{wanted}'; name another folder")
    if (path / _INDEX).exists():
        index = read_json(path / _INDEX)
        parts = index.get("weight_map") if isinstance(index, dict) else None
        if not isinstance(parts, dict) or any(
            not isinstance(part, str) or leaves_folder(part) for part in parts.values()
        ):
            raise UserError(f"{path / _INDEX}: names no files of its folder; {_AGAIN}")


def _short(error: Exception) -> str:
    text = next((line for line in str(error).splitlines() if line.strip()), "")
    return f"{type(error).__name__}: {text[:300]}"
