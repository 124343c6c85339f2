"""Two specs of a training, compared field by field."""

import json
from collections.abc import Mapping
from os.path import commonprefix
from typing import Any

from pydantic import ValidationError

from stgrpo.specs import TrainSpec

_INPUTS = {
    "policy": "the policy to start from",
    "questions": "the training questions",
    "scores": "the frame scores",
}
_LONGEST = 32  # characters of a value


def differences(recorded: Mapping[str, Any], wanted: TrainSpec) -> tuple[str, ...]:
    """Every field that differs, as `field old -> new`; an input is a name with the hash of what made it.

    Args:
        recorded: the spec in a train.json, as an older version of the code may have written it.
        wanted: what the configuration asks for.
    """
    old, new = _flat(_with_defaults(recorded)), _flat(wanted.model_dump(mode="json"))
    changed = [name for name in {**old, **new} if old.get(name) != new.get(name)]
    return tuple(_line(name, old.get(name), new.get(name)) for name in changed)


def _with_defaults(recorded: Mapping[str, Any]) -> Mapping[str, Any]:
    """With the fields that were added since; as it is if some were taken away."""
    try:
        return TrainSpec.model_validate(recorded).model_dump(mode="json")
    except ValidationError:
        return recorded


def _flat(values: Mapping[str, Any], above: str = "") -> dict[str, Any]:
    """Nested fields by their dotted names."""
    found = {}
    for name, value in values.items():
        found |= _flat(value, f"{above}{name}.") if isinstance(value, Mapping) else {above + name: value}
    return found


def _line(name: str, old: Any, new: Any) -> str:
    before, after = _shown(old), _shown(new)
    if len(shared := commonprefix([before, after])) > _LONGEST // 2:  # long texts are told apart by where they differ
        before, after = (f"...{text[len(shared) - 8 :]}" for text in (before, after))
    what = f" ({_INPUTS[name]})" if name in _INPUTS else ""
    return f"{name} {_short(before)} -> {_short(after)}{what}"


def _shown(value: Any) -> str:
    if value is None:
        return "none"
    return value if _plain(value) else json.dumps(value)


def _plain(value: Any) -> bool:
    """A text that needs no quotes."""
    return isinstance(value, str) and value.isascii() and value.isprintable() and " " not in value


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST else text[: _LONGEST - 3] + "..."
