"""An evaluation that was interrupted is the one that was not, pass by pass."""

from pathlib import Path

import pytest
from conftest import OWN_SIZE

from stgrpo.benchmarks import answering
from stgrpo.policy.model import load_policy
from stgrpo.records import Question
from stgrpo.specs import EvalSpec

ROWS = 5


@pytest.mark.parametrize(
    ("kept", "asked"),
    [(0, [5, 5, 2]), (7, [5, 2]), (10, [2]), (12, [])],
    ids=["nothing", "a part of a pass", "whole passes", "everything"],
)
def test_it_goes_on_after_its_last_whole_pass(
    tmp_path: Path, policy_path: Path, questions: list[Question], monkeypatch, kept: int, asked: list[int]
):
    spec = EvalSpec(policy="random", prompt="{question}", max_tokens=3, frames=OWN_SIZE, benchmarks={})
    policy, stock, sizes = load_policy(policy_path), answering._answer, []
    pairs = [("videomme", question) for question in questions]
    whole = tmp_path / "whole.jsonl"
    expected = answering.answer_all(spec, policy, pairs, whole, ROWS)

    def noted(spec, policy, batch, reader):
        sizes.append(len(batch))
        return stock(spec, policy, batch, reader)

    monkeypatch.setattr(answering, "_answer", noted)
    cut = tmp_path / "cut.jsonl"
    half = '{"benchmark": "vid' if kept < len(questions) else ""
    cut.write_text("".join(whole.read_text().splitlines(keepends=True)[:kept]) + half)
    assert answering.answer_all(spec, policy, pairs, cut, ROWS) == expected
    assert sizes == asked
    assert cut.read_bytes() == whole.read_bytes()
