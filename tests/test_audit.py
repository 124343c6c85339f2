"""The paper by its own numbers, against sums done by hand."""

import math
from decimal import Decimal
from pathlib import Path

import pytest
from support import ROOT

from stgrpo.__main__ import main
from stgrpo.errors import UserError
from stgrpo.report import audit

ROWS = audit.read_paper(ROOT / "workflow/resources/reported.csv")
FIVE = ("videomme", "vsibench", "tempcompass", "videommmu", "mmvu")


def test_averages_that_are_truncated_or_do_not_follow_are_found():
    """By hand: 339.9 / 6 = 56.65, 346.6 / 6 = 57.77, 338.1 / 6 = 56.35, 347.8 / 6 = 57.97, 279.8 / 5 = 55.96."""
    odd = {(a.row.table, a.row.name): a.verdict for a in audit.averages(ROWS) if a.verdict != "rounded"}
    assert odd == {
        ("table1", "Qwen2.5-VL-7B-SFT"): "truncated",
        ("table1", "Arrow RL*"): "truncated",
        ("table1", "Qwen2.5-VL-7B"): "truncated",
        ("table1", "Video-R1"): "does not follow",
        ("table1", "+ GRPO"): "does not follow",
        ("table3", "ST-Dr.GRPO"): "truncated",
        ("table4", "M=4 G=2"): "truncated",
    }


def test_the_average_of_grpo_in_table_1_is_58_98():
    """61.1 + 35.9 + 67.7 + 75.1 + 49.5 + 64.6 = 353.9, over six; the table prints 58.4."""
    (found,) = [a for a in audit.averages(ROWS) if (a.row.table, a.row.name) == ("table1", "+ GRPO")]
    assert found.mean == Decimal("353.9") / 6
    assert found.row.average == Decimal("58.4")


def test_tables_4_and_5_average_five_columns_and_no_other_set_explains_them():
    assert {a.columns for a in audit.averages(ROWS) if a.row.table in ("table4", "table5")} == {FIVE}
    assert audit.explanations([row for row in ROWS if row.table in ("table4", "table5")]) == [FIVE]
    assert audit.explanations([row for row in ROWS if row.table == "table2"]) == [
        (*FIVE[:2], "perceptiontest", *FIVE[2:])
    ]
    assert audit.explanations([row for row in ROWS if row.table == "table1"]) == []


def test_a_difference_is_held_against_its_error():
    """At 1000 steps: PerceptionTest 69.4 - 67.7 of 19,140 questions each is 3.6 errors; the mean is 1.1."""
    found = {d.column: d for d in audit.differences(ROWS) if (d.row.table, d.row.name) == ("table1", "+ ST-GRPO")}
    error = math.sqrt((69.4 * 30.6 + 67.7 * 32.3) / 19140)
    assert found["perceptiontest"].error == pytest.approx(error)
    assert found["perceptiontest"].value == pytest.approx(1.7)
    assert [name for name, d in found.items() if d.resolved] == ["perceptiontest"]
    assert found["mean"].value == pytest.approx((0.6 + 0.7 + 1.7 + 0.0 + 0.6 + 0.8) / 6)
    errors = [found[name].error for name in found if name != "mean"]
    assert found["mean"].error == pytest.approx(math.sqrt(sum(e * e for e in errors)) / 6)


def test_every_row_is_compared_with_its_own_baseline():
    pairs = {(d.row.table, d.row.name): d.baseline.name for d in audit.differences(ROWS)}
    assert pairs["table1", "+ GRPO"] == "Qwen2.5-VL-7B"
    assert pairs["table3", "ST-Dr.GRPO"] == "Dr.GRPO"
    assert pairs["table5", "ST-GRPO (Top-Score Selection)"] == "GRPO Baseline"
    assert ("table1", "Video-R1") not in pairs
    assert len(pairs) == 2 + 4 + 3 + 2 + 2


def test_claims_that_the_tables_do_not_bear_out_are_named_with_the_benchmarks():
    """TempCompass ties at 75.1; without importance, PerceptionTest rises by 0.1 and VideoMMMU by 0.3;
    ST-Dr.GRPO loses 1.7 on VideoMME."""
    contrary = [audit.against(claim, ROWS) for claim in audit.CLAIMS]
    assert contrary == [
        {"tempcompass": Decimal("0.0")},
        {"perceptiontest": Decimal("0.1"), "videommmu": Decimal("0.3")},
        {},
        {"videomme": Decimal("-1.7")},
    ]


@pytest.mark.parametrize("spread", [0.1, 2.0])
def test_the_entropy_of_two_frames_is_that_of_their_softmax(spread: float):
    """Eight segments of two: weights 1 / (1 + exp(spread)) and the rest."""
    low = 1 / (1 + math.exp(spread))
    by_hand = -(low * math.log(low) + (1 - low) * math.log(1 - low)) / math.log(2)
    assert audit.entropy(spread, 8) == pytest.approx(by_hand)


def test_a_column_that_is_no_benchmark_is_one_line(tmp_path: Path):
    (tmp_path / "r.csv").write_text("table,row,column,value\ntable1,GRPO,videomm,1\n")
    with pytest.raises(UserError, match=r"r.csv: no benchmark 'videomm'; known: videomme, .*, average$"):
        audit.read_paper(tmp_path / "r.csv")


def test_the_verb_prints_it_all(capsys: pytest.CaptureFixture):
    assert main(["audit"]) == 0
    said = capsys.readouterr().out
    assert max(map(len, said.splitlines())) <= 115
    assert "table4, over 5 columns, without perceptiontest" in said
    assert "+ GRPO                                  58.4   58.98  does not follow" in said
    assert '"consistently outperforms GRPO" (table1, + ST-GRPO)\n    not on tempcompass +0.0\n' in said


def test_what_several_tables_print_counts_once():
    """ST-GRPO against GRPO stands in Tables 2, 3, 4 and 5: of 13 comparisons with baselines 10 are left."""
    single = [one for one in audit.differences(ROWS) if one.column != "mean"]
    assert (len(single), len(audit.distinct(single))) == (13 * 6, 10 * 6)
