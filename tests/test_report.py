"""What the report picks and counts, by hand."""

from pathlib import Path

import numpy as np
import pytest
from results_folder import PER_BENCHMARK, write_lines, write_results
from support import ROOT, experiment

from stgrpo.__main__ import main
from stgrpo.errors import UserError
from stgrpo.files import read_json, write_json
from stgrpo.loading import load_experiment
from stgrpo.records import Graded, Group, Rollout, SetAside
from stgrpo.report.costs import costs
from stgrpo.report.deviations import TRAINER, deviations
from stgrpo.report.failures import by_reason, failures
from stgrpo.report.findings import Difference, differences, findings, on_average
from stgrpo.report.frame_scores import Scored, taken
from stgrpo.report.frames import thumbnail, thumbnails
from stgrpo.report.page import between, duration, minus, numbered, shown
from stgrpo.report.report_spec import report_spec
from stgrpo.report.results import read_results
from stgrpo.report.rounding import half_up, signed
from stgrpo.report.side_by_side import choose, counted, outcomes
from stgrpo.report.table_views import table_view
from stgrpo.statistics import Estimate
from stgrpo.video import FrameReader


def graded(name: str, credits: dict[str, float], weight: float = 0.5) -> list[Graded]:
    return [Graded(name, id, "v", "", weight, credit, "A") for id, credit in credits.items()]


def estimate(value: float, low: float | None, high: float | None, seeds: int = 1) -> Estimate:
    p = None if low is None or high is None else 0.01 if low > 0 or high < 0 else 0.5
    return Estimate(value, None if low is None else 1.0, low, high, p, 100, 50, seeds)


def test_outcomes_count_a_question_as_right_from_half_of_its_credit_and_leave_out_what_does_not_count():
    first = graded("a", {"1": 1.0, "2": 0.5, "3": 0.4}) + graded("b", {"1": 0.0}) + graded("a", {"9": 1.0}, weight=0)
    other = graded("a", {"1": 0.0, "2": 1.0, "3": 0.0}) + graded("b", {"1": 0.0}) + graded("a", {"9": 0.0}, weight=0)
    found = outcomes([first, other])
    assert found == {
        ("a", "1"): (True, False),
        ("a", "2"): (True, True),
        ("a", "3"): (False, False),
        ("b", "1"): (False, False),
    }
    assert counted(found, ["a", "b"]) == {
        (True, True): {"a": 1, "b": 0},
        (True, False): {"a": 1, "b": 0},
        (False, True): {"a": 0, "b": 0},
        (False, False): {"a": 1, "b": 1},
    }


def test_questions_are_taken_from_the_benchmarks_in_turn_first_where_the_cells_differ():
    same, differ = (True, True), (True, False)
    found = choose({("b", "1"): same, ("b", "2"): differ, ("a", "3"): same, ("a", "4"): same, ("c", "5"): differ}, 4)
    assert [name for name, _ in found] == ["a", "b", "c", "a"]
    assert found[1] == ("b", "2")
    assert {found[0], found[3]} == {("a", "3"), ("a", "4")}
    # of equals the one whose name has the least SHA-256: "4" has 4b22, "3" has 4e07
    assert found[0] == ("a", "4")


def test_set_aside_rows_are_counted_by_their_reason_without_the_file():
    rows = [SetAside("1", "resources/x/1.mp4: no such file"), SetAside("2", "resources/x/2.mp4: no such file")]
    found = by_reason("train", [SetAside("0", "no answer"), *rows])
    assert [(one.reason, one.rows, one.example) for one in found] == [
        ("…: no such file", 2, "1"),
        ("no answer", 1, "0"),
    ]


def test_reasons_that_differ_in_quoted_values_are_one_and_the_rarest_are_summed_up():
    said = (
        "answer 'B' is none of 'A', \"x\"",
        "answer 'it' is none of 'b', \"\"",
        "can't decode data/v/9.mp4: it isn't there",
    )
    assert [(one.reason, one.rows) for one in by_reason("train", [SetAside("0", text) for text in said])] == [
        ("answer … is none of …, …", 2),
        ("can't decode …: it isn't there", 1),
    ]
    many = [SetAside(str(i), f"{'x' * max(i, 1)} rare") for i in range(24)]  # the first two alike
    found = by_reason("train", many)
    assert len(found) == 21
    assert (found[0].reason, found[0].rows) == ("x rare", 2)
    assert (found[-1].reason, found[-1].rows, found[-1].example) == ("3 more reasons", 3, "21")


def test_deviations_are_those_of_the_trainer_all_of_them():
    found = deviations(TRAINER.read_text())
    assert len(found) == 19
    assert found[0].startswith("A response is conditioned on its own variant")
    assert found[16].endswith("Video-R1 reads the whole.")  # over several lines
    source = '"""Text.\n\n 1. one\n    goes on\n 2. two\nand no more\n 4. not the next number\n"""'
    assert deviations(source) == ["one goes on", "two"]


def test_what_variants_took_and_how_their_answers_fared():
    rows = [
        Rollout(1, "q", variant, frames, variant == 1, "", "A", {"accuracy": right, "format": 1.0}, 0.0)
        for variant, frames, right in [(1, (2,), 1.0), (0, (0, 2), 0.0), (0, (0, 2), 1.0), (1, (2,), 1.0)]
    ]
    first, second = taken(rows, 3)
    assert (first.frames, first.spatial, first.right, first.answers) == ([True, False, True], False, 1.0, 2)
    assert (second.frames, second.spatial, second.right, second.answers) == ([False, False, True], True, 2.0, 2)


def test_bars_reach_from_the_least_to_the_largest_score():
    def heights(scores: list[float]) -> list[float]:
        return Scored(question=None, step=1, frames=[], scores=scores, variants=[]).heights  # pyright: ignore

    assert heights([0.2, 0.6, 0.3]) == pytest.approx([0, 1, 0.25])
    assert heights([0.2, 0.2]) == [0.5, 0.5]


def test_frames_are_made_smaller_never_larger_and_none_come_of_a_lost_video(tmp_path: Path):
    import base64
    from io import BytesIO

    from PIL import Image

    def size(address: str) -> tuple[int, int]:
        return Image.open(BytesIO(base64.b64decode(address.removeprefix("data:image/jpeg;base64,")))).size

    assert size(thumbnail(np.zeros((168, 336, 3), np.uint8))) == (112, 56)
    assert size(thumbnail(np.zeros((56, 56, 3), np.uint8))) == (56, 56)
    with FrameReader() as reader:
        assert thumbnails(reader, tmp_path / "gone.mp4", experiment().active.training.frames) == []


def test_every_character_can_be_seen():
    assert shown("a\u202eb\x00\ud800\u200b") == "a[U+202E]b[U+0000][U+D800][U+200B]"
    assert shown("tab\tline\r\nאב é 😀") == "tab\tline\nאב é 😀"
    assert shown(3) == 3


def test_numbers_in_words():
    assert [duration(x) for x in (None, 12.4, 99, 150, 7200)] == ["–", "12 s", "99 s", "3 min", "2.0 h"]
    assert minus("-1.5") == "−1.5"
    assert [numbered(x) for x in ("table2", "figure3", "my-table")] == ["Table 2", "Figure 3", "my-table"]
    assert between(estimate(1, -0.54, 2)) == "−0.5 to 2.0"
    assert between(estimate(1, None, None)) == "no interval"


ROUNDED = [
    (69.25, 1, "69.3", "half, which floats hold exactly"),
    (100 * 0.5665, 1, "56.7", "half, of which floats make less"),
    (-69.25, 1, "-69.3", "away from 0"),
    (-0.04, 1, "0.0", "no minus before 0"),
    (np.float64(0.0005), 3, "0.001", "three decimals, of numpy"),
    (2.5, 0, "3", "none"),
    (1234567.0, 1, "1234567.0", "large"),
]


@pytest.mark.parametrize(("value", "digits", "text", "reason"), ROUNDED, ids=[case[3] for case in ROUNDED])
def test_half_is_rounded_up_as_in_the_tables(value: float, digits: int, text: str, reason: str):
    assert half_up(value, digits) == text


def test_a_sign_stands_before_all_but_0():
    assert [signed(x) for x in (1.25, -1.25, 0.04, -0.04)] == ["+1.3", "-1.3", "0.0", "0.0"]
    assert between(estimate(1, 0.25, 69.25)) == "0.3 to 69.3"


def test_costs_add_up_over_seeds_and_leave_out_what_was_not_measured(tmp_path: Path):
    """By `results_folder`: a training took 12.5 s and 20 s of CPU, an evaluation 0.4 s, its CPU time unknown."""
    spec = write_results(experiment("smoke"), tmp_path / "smoke", ["text"])
    found = {cost.cell: cost for cost in costs(read_results(spec, tmp_path / "smoke"))}
    assert (found["grpo"].training, found["grpo"].cpu, found["grpo"].memory) == (12.5, 20.0, 700.25)
    step = found["grpo"].step  # run number 1
    assert step and [step.least, step.median, step.most] == pytest.approx([(0.1 + 0.2 + 0.3) / 3 + 0.01] * 3)
    assert (found["base"].training, found["base"].evaluation, found["base"].attempts) == (None, None, 0)
    assert (found["all"].training, found["all"].evaluation) == (37.5, pytest.approx(1.2))
    assert (found["all"].attempts, found["all"].gpu) == (6, 0.0)


def test_steps_that_were_taken_over_are_named_and_the_time_is_the_jobs_own(tmp_path: Path):
    """By `results_folder`: three steps; of a job that went on from the second, Snakemake measured its own time."""
    spec = write_results(experiment("smoke"), tmp_path / "smoke", ["text"])
    made = tmp_path / "smoke" / "cells" / "grpo" / "seed0" / "train.json"
    told = read_json(made)
    told["provenance"]["continued"] = {"from": "results/smoke/cells/x/seed0/train.json", "step": 2}
    write_json(made, told)
    found = {cost.cell: cost for cost in costs(read_results(spec, tmp_path / "smoke"))}
    assert (found["grpo"].steps, found["grpo"].taken, found["grpo"].training) == (3, 2, 12.5)
    assert [found[cell].taken for cell in ("base", "st-grpo", "all")] == [0, 0, 0]


def test_failures_are_counted_over_all_runs(tmp_path: Path):
    """By `results_folder`: 3 rows aside a file; run number k has k unparsed answers a benchmark; 2 attempts each."""
    spec = write_results(experiment("smoke"), tmp_path / "smoke", ["no answer"])
    found = failures(read_results(spec, tmp_path / "smoke"))
    assert found.rows_aside == 3 * 7
    assert found.unparsed == 6 * (0 + 1 + 2 + 3)
    assert found.asked == 4 * 6 * PER_BENCHMARK
    assert (len(found.restarts), found.trainings) == (3, 3)
    assert found.restarts[0].attempts == [
        "on no answer: from step 0 to 2, died (no answer)",
        "on no answer: from step 0 to 2, finished",
    ]


def test_a_table_shows_percent_and_points(tmp_path: Path):
    """By `results_folder`: of four questions, run number k answers those right whose number is -k modulo 3."""
    spec = write_results(experiment("smoke"), tmp_path / "smoke", ["text"])
    results = read_results(spec, tmp_path / "smoke")
    table = next(table for table in spec.tables if table.name == "table3")
    view = table_view(table, {(run.cell, run.seed): run.graded for run in results.runs}, {})
    values = {label: [number.ours.value for number in numbers if number.ours] for label, numbers in view.rows}
    assert values == {"GRPO": [25.0] * 7, "ST-GRPO": [25.0] * 7, "Dr.GRPO": [50.0] * 7}
    assert {(one.label, one.baseline): one.differences["mmvu"].value for one in view.compared} == {
        ("ST-GRPO", "GRPO"): 0.0,
        ("Dr.GRPO", "GRPO"): 25.0,
    }
    found = differences([view, view])
    assert len(found) == 2 * 7  # once, though two tables have them
    assert [(one.cell, one.baseline) for one in on_average(found)] == [("st-grpo", "grpo"), ("dr-grpo", "grpo")]


def test_findings_say_what_is_resolved_and_what_is_not(tmp_path: Path):
    over = ("a", "b")
    compared = [
        Difference("x", "y", over, estimate(2.04, 1.0, 3.1, seeds=5)),
        Difference("z", "y", over, estimate(-1.5, -4.0, 1.0)),
        Difference("w", "y", over, estimate(-3, -4.0, -2.0)),
        *(Difference("x", "y", (name,), estimate(1, 0.5, 1.5)) for name in "ab"),
    ]
    failed = failures(read_results(write_results(experiment("smoke"), tmp_path / "smoke", ["x"]), tmp_path / "smoke"))
    found = [(one.badge, one.tone, one.text) for one in findings(compared, [], None, failed)]
    start = "Mean over 2 benchmarks, in points: "
    assert set(found[:3]) == {
        ("resolved", "up", f"{start}x is 2.0 above y [1.0, 3.1]."),
        ("resolved", "down", f"{start}w is 3.0 below y [−4.0, −2.0]."),
        ("not resolved", "mid", f"{start}z is 1.5 below y [−4.0, 1.0]."),
    }
    assert found[3][2].startswith("On single benchmarks 2 of 2 differences")


def test_a_report_holds_what_its_scale_makes():
    spec = report_spec(experiment("smoke"))
    assert spec.cells == ["base", "grpo", "st-grpo", "dr-grpo"]
    assert list(spec.evaluated) == ["base/seed0", "grpo/seed0", "st-grpo/seed0", "dr-grpo/seed0"]
    assert list(spec.trained) == ["grpo/seed0", "st-grpo/seed0", "dr-grpo/seed0"]
    assert spec.by_importance == ["st-grpo"]
    assert [table.name for table in spec.tables] == ["table2", "table3"]
    assert spec.side_by_side == ["base", "grpo", "st-grpo"]
    without = experiment("smoke").model_copy(update={"scale": "smoke"})
    scale = without.active.model_copy(update={"cells": ["grpo", "st-grpo"]})
    assert report_spec(without.model_copy(update={"scales": {"smoke": scale}})).side_by_side == ["grpo", "st-grpo"]


def test_an_unknown_cell_side_by_side_is_refused():
    import yaml

    raw = yaml.safe_load((ROOT / "config.yaml").read_text())
    raw["report"]["side_by_side"] = ["base", "st-gpo", "base"]
    with pytest.raises(UserError) as caught:
        load_experiment(raw)
    assert str(caught.value).splitlines() == [
        "config.yaml: report.side_by_side: unknown cell 'st-gpo'; did you mean 'st-grpo'?",
        "config.yaml: report.side_by_side: base stands twice; once is enough",
    ]


def test_a_page_of_trainings_that_learned_nothing_is_made(tmp_path: Path):
    """All groups flat: no ratio, no pull, and drawings without points."""
    folder = tmp_path / "smoke"
    spec = write_results(experiment("smoke"), folder, ["text"])
    for name in spec.trained:
        flat = [Group(1, f"train-{i}", (0.0,) * 8, (1.0,) * 8, (0.0,) * 8) for i in range(PER_BENCHMARK)]
        write_lines(folder / "cells" / name / "groups.jsonl", flat)
    words = ["report", "--spec", spec.model_dump_json(), "--results", str(folder), "--out", str(tmp_path / "page.html")]
    assert main([*words, "--reported", str(ROOT / "workflow/resources/reported.csv")]) == 0
    text = (tmp_path / "page.html").read_text()
    section = text[text.index('id="bias"') : text.index('id="answers"')]
    assert section.count("<td>100.0 %") == 3 * 3  # flat, all wrong, and the share of groups with none right
    assert "nan" not in section.lower()
