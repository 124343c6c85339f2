"""Checkpoints and models, through `evaluate` and `train`: read whole, and nothing of them run, or refused."""

import json
import os
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from malformed.given import evaluating, training
from malformed.harness import Case
from stgrpo.__main__ import main

WEIGHTS = "policy/model.safetensors"


class _Trap:
    """What unpickles to a file that nobody should find."""

    def __reduce__(self) -> Any:
        return Path.write_text, (Path("pwned"), "x")


def _asked(change: Callable[[Path], None]) -> Callable[[Path], int]:
    """Evaluate with a policy that was changed."""

    def run(folder: Path) -> int:
        words = evaluating(folder)
        change(folder)
        return main(words)

    return run


def _rewritten(name: str, change: Callable[[bytes], bytes]) -> Callable[[Path], int]:
    def edit(folder: Path) -> None:
        (folder / name).write_bytes(change((folder / name).read_bytes()))

    return _asked(edit)


def _config(**values: Any) -> Callable[[Path], int]:
    def edit(folder: Path) -> None:
        path = folder / "policy/config.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | values))

    return _asked(edit)


def _tensors(change: Callable[[dict], None]) -> Callable[[Path], int]:
    def edit(folder: Path) -> None:
        from safetensors.torch import load_file, save_file

        tensors = load_file(folder / WEIGHTS)
        change(tensors)
        save_file(tensors, folder / WEIGHTS, {"format": "pt"})

    return _asked(edit)


def _first(tensors: dict) -> str:
    return sorted(name for name in tensors if "norm" in name)[0]


def _pickled(folder: Path) -> None:
    (folder / WEIGHTS).unlink()
    (folder / "policy/pytorch_model.bin").write_bytes(pickle.dumps(_Trap()))


def _index(where: str) -> Callable[[Path], int]:
    def edit(folder: Path) -> None:
        (folder / WEIGHTS).rename(folder / "policy/part.safetensors")
        index = {"metadata": {}, "weight_map": {"lm_head.weight": where}}
        (folder / "policy/model.safetensors.index.json").write_text(json.dumps(index))

    return _asked(edit)


def _remote_code(folder: Path) -> None:
    path = folder / "policy/config.json"
    trap = {"auto_map": {"AutoConfig": "trap.Trap", "AutoModel": "trap.Trap"}}
    path.write_text(json.dumps(json.loads(path.read_text()) | trap))
    (folder / "policy/trap.py").write_text("open('pwned', 'w')\nclass Trap: pass\n")


def _remote_tokenizer(folder: Path) -> None:
    path = folder / "policy/tokenizer_config.json"
    trap = {"auto_map": {"AutoTokenizer": ["trap.Trap", None]}, "tokenizer_class": "Trap"}
    path.write_text(json.dumps(json.loads(path.read_text()) | trap))
    (folder / "policy/trap.py").write_text("open('pwned', 'w')\nclass Trap: pass\n")


def _nothing_ran(folder: Path) -> None:
    assert not (folder / "pwned").exists()
    assert not (folder / "eval/all.jsonl").exists() and not (folder / "out/train.json").exists()


def _code_stays(folder: Path) -> None:
    """The tokenizer is read as what it is; its code isn't run."""
    assert not (folder / "pwned").exists() and (folder / "eval/all.jsonl").exists()


def _resumed(change: Callable[[Path], None]) -> Callable[[Path], int]:
    """A training of one step, its checkpoint changed, gone on with to the second."""

    def run(folder: Path) -> int:
        words = training(folder)
        state = folder / "state"
        _until_first_checkpoint(words)
        change(state / "checkpoint-1")
        return main(words)

    return run


def _until_first_checkpoint(words: list[str]) -> None:
    """In a child that ends itself when the first checkpoint is whole."""
    child = os.fork()
    if child == 0:
        from stgrpo.rl import trainer

        whole = trainer.mark_complete

        def and_end(*given: Any) -> None:
            whole(*given)
            os._exit(0)

        trainer.mark_complete = and_end
        main(words)
        os._exit(1)
    assert os.waitpid(child, 0)[1] == 0


def _cut(name: str) -> Callable[[Path], None]:
    def change(checkpoint: Path) -> None:
        (checkpoint / name).write_bytes((checkpoint / name).read_bytes()[:100])

    return change


def _trapped(name: str) -> Callable[[Path], None]:
    def change(checkpoint: Path) -> None:
        (checkpoint / name).write_bytes(pickle.dumps(_Trap()))

    return change


_HUGE = (10**12).to_bytes(8, "little")


def _shortened(tensors: dict) -> None:
    name = _first(tensors)
    tensors[name] = tensors[name][:1]


def _no_history(checkpoint: Path) -> None:
    (checkpoint.parent / "train.jsonl").unlink()


def _written(name: str, text: str) -> Callable[[Path], None]:
    """Another content of a file, told from the checkpoint."""
    return lambda checkpoint: (checkpoint / name).write_text(text) and None


_UNREADABLE = r"evaluate: policy: cannot be read as Qwen2_5_VLForConditionalGeneration \(%s\); fetch or make it again"
_WEIGHTS = (
    r"evaluate: policy: 1 weights are %s, the first is model\.\S+layernorm\.weight; expected a whole "
    r"Qwen2_5_VLForConditionalGeneration; fetch or make it again"
)
_NONE = r"evaluate: policy: no weights \(\*\.safetensors\); expected a folder written by save_pretrained"
_TOKENIZER = r"evaluate: policy: its tokenizer cannot be read \(%s\); fetch or make it again"
_TYPE = r"evaluate: policy: is a model of type '%s', expected 'qwen2_5_vl'; name another folder"
_SPOILT = (
    r"train: state/checkpoint-1: cannot be gone on with \(%s\); remove it and run again: the training goes on from an "
    "earlier one, or starts anew"
)
_CASES = [
    (
        "no folder",
        _asked(lambda folder: shutil.rmtree(folder / "policy")),
        r"evaluate: policy/made_by\.json: no such file",
    ),
    ("no weights", _asked(lambda folder: (folder / WEIGHTS).unlink()), _NONE),
    (
        "weights cut in half",
        _rewritten(WEIGHTS, lambda content: content[: len(content) // 2]),
        _UNREADABLE % "SafetensorError: .*file not fully covered",
    ),
    (
        "weights cut in their header",
        _rewritten(WEIGHTS, lambda content: content[:50]),
        _UNREADABLE % "SafetensorError: .*invalid header length",
    ),
    (
        "an empty file of weights",
        _rewritten(WEIGHTS, lambda _: b""),
        _UNREADABLE % "SafetensorError: .*header too small",
    ),
    (
        "a header that claims a terabyte",
        _rewritten(WEIGHTS, lambda content: _HUGE + content[8:]),
        _UNREADABLE % "SafetensorError: .*header too large",
    ),
    (
        "a header that is no JSON",
        _rewritten(WEIGHTS, lambda content: content[:8] + b"x" + content[9:]),
        _UNREADABLE % "SafetensorError: .*invalid JSON in header.*",
    ),
    ("a weight that is missing", _tensors(lambda tensors: tensors.pop(_first(tensors))), _WEIGHTS % "missing"),
    ("a weight of another shape", _tensors(_shortened), _WEIGHTS % "of another shape"),
    ("pickled weights", _asked(_pickled), _NONE),
    (
        "an index that leads elsewhere",
        _index("../elsewhere.safetensors"),
        r"evaluate: policy/model\.safetensors\.index\.json: names no files of its folder; fetch or make it again",
    ),
    (
        "an index of files that are not there",
        _index("model-00001-of-00002.safetensors"),
        _UNREADABLE % "FileNotFoundError: No such file or directory: policy/model-00001-of-00002.safetensors",
    ),
    (
        "no configuration",
        _asked(lambda folder: (folder / "policy/config.json").unlink()),
        r"evaluate: policy: no config\.json, so no model; expected a folder written by save_pretrained",
    ),
    (
        "a configuration that is no JSON",
        _rewritten("policy/config.json", lambda content: content[:-9]),
        r"evaluate: policy/config\.json: not JSON \(.*line \d+ column \d+.*\); remove it and run again",
    ),
    ("a configuration that is a list", _rewritten("policy/config.json", lambda content: b"[]"), _TYPE % "None"),
    ("another kind of model", _config(model_type="llama"), _TYPE % "llama"),
    ("layers of a text", _config(text_config="none"), _UNREADABLE % ".*field 'text_config':"),
    (
        "no tokenizer",
        _asked(lambda folder: (folder / "policy/tokenizer.json").unlink()),
        _TOKENIZER % "ValueError: Couldn't instantiate.*",
    ),
    (
        "a tokenizer cut in half",
        _rewritten("policy/tokenizer.json", lambda content: content[: len(content) // 2]),
        _TOKENIZER % r"JSONDecodeError: .*line \d+ column \d+.*",
    ),
    (
        "made by another spec",
        _rewritten("policy/made_by.json", lambda content: content.replace(b"policy", b"other")),
        r"evaluate: policy: made by spec other, the configuration asks for warm@policy; make it again \(.*\)",
    ),
    (
        "an origin that says nothing",
        _rewritten("policy/made_by.json", lambda content: b"{}"),
        r"evaluate: policy/made_by\.json: holds no provenance; make the model again, or adopt it \(stgrpo adopt\)",
    ),
    (
        "a checkpoint whose weights are cut",
        _resumed(_cut("model.safetensors")),
        r"train: state/checkpoint-1: cannot be read as .*invalid header length\); fetch or make it again",
    ),
    ("a checkpoint whose optimizer is cut", _resumed(_cut("optimizer.pt")), _SPOILT % "RuntimeError: PytorchStream.*"),
    (
        "a checkpoint whose optimizer runs something",
        _resumed(_trapped("optimizer.pt")),
        _SPOILT % "UnpicklingError: Weights only load failed.*",
    ),
    (
        "a checkpoint whose random state runs something",
        _resumed(_trapped("rng_state.pth")),
        _SPOILT % "UnpicklingError: Weights only load failed.*",
    ),
    ("a checkpoint whose history is cut", _resumed(_cut("trainer_state.json")), _SPOILT % "UserError: .*not JSON.*"),
    (
        "a checkpoint whose mark is no JSON",
        _resumed(_written("complete.json", "{")),
        r"train: state/checkpoint-1/complete\.json: not JSON \(.*\); remove it and run again",
    ),
    (
        "a checkpoint whose mark says nothing",
        _resumed(_written("complete.json", '{"step": 1, "seconds": 0.1}')),
        r"train: state/checkpoint-1/complete\.json: does not say its layout; remove it and run again",
    ),
    (
        "a checkpoint whose mark is of other types",
        _resumed(_written("complete.json", '{"step": 1, "layout": "whole", "seconds": [1]}')),
        r"train: state/checkpoint-1/complete\.json: does not say how the checkpoint was written; "
        "remove it and run again",
    ),
    (
        "a state of no key",
        _resumed(_written("../key.json", '{"kee": "x"}')),
        r"train: state/key\.json: does not say its key; remove it and run again",
    ),
    (
        "attempts of other fields",
        _resumed(_written("../attempts.json", '{"attempts": [{"job": "7"}]}')),
        r"train: state/attempts\.json: no attempts \(.*\); remove it and run again",
    ),
    (
        "a history shorter than its checkpoint",
        _resumed(_no_history),
        r"train: state/train\.jsonl: 0 lines, but the checkpoint is of step 1; remove state to start anew",
    ),
]
_TRAPS = [("code of its own", _remote_code), ("a tokenizer with code of its own", _remote_tokenizer)]
CASES = [
    *(Case("checkpoints", what, run, says, right=_nothing_ran) for what, run, says in _CASES),
    *(Case("checkpoints", what, _asked(edit), accepted=True, right=_code_stays) for what, edit in _TRAPS),
]
