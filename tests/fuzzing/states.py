"""The state of a training, one of its files damaged: gone on with from what is whole, or refused by one line."""

import json
import tempfile
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from fuzzing import Surface, one_line
from fuzzing.bytes_of import damaged
from stgrpo.errors import UserError
from stgrpo.files import line, read_records
from stgrpo.records import Group, Rollout
from stgrpo.rl.checkpoints import (
    GROUPS,
    METRICS,
    ROLLOUTS,
    check_layout,
    cut_history,
    resume_point,
    step_of,
    write_time,
)

_STEPS = (1, 2, 3)
_ROLLOUTS = [Rollout(step, "q", 0, (0, 1), False, "<answer>A</answer>", "A", {"accuracy": 1.0}, 0.5) for step in _STEPS]
_GROUPS = [Group(step, "q", (1.0, 0.0), (2.0, 1.0), (0.7, -0.7)) for step in _STEPS]
_MARK = {"step": 2, "layout": "whole", "seconds": 0.25}
_FILES = {
    METRICS: "".join(json.dumps({"step": step, "loss": 0.5}) + "\n" for step in _STEPS).encode(),
    ROLLOUTS: "".join(map(line, _ROLLOUTS)).encode(),
    GROUPS: "".join(map(line, _GROUPS)).encode(),
    "checkpoint-2/complete.json": json.dumps(_MARK).encode(),
}
_VALUES = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=4), st.lists(st.none()))


@st.composite
def _states(draw: Any) -> dict[str, bytes]:
    """All files, one of them damaged, or its mark of other values."""
    name = draw(st.sampled_from(sorted(_FILES)))
    if name.endswith(".json") and draw(st.booleans()):
        mark = {key: draw(_VALUES) if draw(st.booleans()) else value for key, value in _MARK.items()}
        return _FILES | {name: json.dumps(mark).encode()}
    return _FILES | {name: draw(damaged(_FILES[name]))}


def _check(files: dict[str, bytes]) -> None:
    """As `train` goes on: after it, nothing of the history is of a later step than the checkpoint."""
    with tempfile.TemporaryDirectory() as place:
        state = Path(place)
        (state / "checkpoint-2").mkdir()
        (state / "checkpoint-2 of yesterday").mkdir()  # nobody's business
        for name, content in files.items():
            (state / name).write_bytes(content)
        try:
            checkpoint = resume_point(state)
            cut_history(state, step_of(checkpoint))
            if checkpoint:
                check_layout(checkpoint, "whole")
                assert write_time(checkpoint) < float("inf")
        except UserError as error:
            one_line(error)
            return
        assert (state / METRICS).read_bytes().count(b"\n") == step_of(checkpoint)
        for name, kind in ((ROLLOUTS, Rollout), (GROUPS, Group)):
            assert all(record.step <= step_of(checkpoint) for record in read_records(state / name, kind))


SURFACES = [Surface("checkpoints", _states(), _check, 100)]
