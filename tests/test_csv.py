"""No cell of a CSV is a formula for a spreadsheet, and a number stays a number (OWASP, CSV injection)."""

import csv
import random
from io import StringIO
from pathlib import Path

import pytest

from stgrpo.commands.prepare import _write_aside
from stgrpo.files import inert_cell
from stgrpo.records import SetAside
from stgrpo.report.csv_difference import csv_difference

FORMULAS = [
    "=1+1",
    "+1+1",
    "-1+1",
    "@SUM(A1)",
    "\t=1",
    "\r=1",
    "\n=1",
    " =1",
    "\ufeff=1",
    "\ufeff \u00a0=1",
    "\u200b=1",
    "\x00=1",
    "＝1+1",
    '=HYPERLINK("http://x","y")',
    "-inf",
    "+-1",
    "-1 ",
    "- a list",
    "-",
    "\ttext",
]
PLAIN = [
    "",
    "-1",
    "+1.5",
    "-2.2400",
    "1e-05",
    "-1.5E+3",
    "0",
    "GRPO",
    "a=b",
    "+".join("ab"),
    "'=1",
    "−1",
    "ST-GRPO - GRPO",
]


@pytest.mark.parametrize("text", FORMULAS, ids=ascii)
def test_a_formula_gets_an_apostrophe(text: str):
    assert inert_cell(text) == f"'{text}"


@pytest.mark.parametrize("text", PLAIN, ids=ascii)
def test_other_text_and_numbers_stay(text: str):
    assert inert_cell(text) == text


def test_numbers_are_written_as_they_are():
    assert [inert_cell(value) for value in (-3, -0.5, 7)] == ["-3", "-0.5", "7"]


def test_random_text_comes_back_from_a_csv_and_never_starts_a_formula():
    rng = random.Random(0)
    letters = "=+-@\t\r\n ,;\"'1.5e\ufeff\u200b\x00x"
    for _ in range(5000):
        text = "".join(rng.choices(letters, k=rng.randrange(8)))
        out = StringIO()
        csv.writer(out).writerow([inert_cell(text), "end"])
        (cells,) = csv.reader(StringIO(out.getvalue(), newline=""))
        assert cells in ([text, "end"], [f"'{text}", "end"])
        shown = cells[0].lstrip("\ufeff\u200b\x00 \t\r\n")
        if shown[:1] in tuple("=+-@") and shown:
            float(cells[0])  # or it would be a formula


def test_rows_set_aside_start_no_formula(tmp_path: Path):
    """Their ids and reasons quote the source."""
    _write_aside(tmp_path / "aside.csv", [SetAside("=cmd|' /C calc'!A0", "@x: no option")])
    with (tmp_path / "aside.csv").open(newline="") as lines:
        assert list(csv.reader(lines)) == [["row", "reason"], ["'=cmd|' /C calc'!A0", "'@x: no option"]]


# A table's CSV against the same made again.

NAMES = "row,column,n,value,low,difference_low,p,spec"
LINE = "GRPO,mmvu,100,51.2000,47.2000,-1.2345,0.0312,1234e5"
ALIKE = [
    ("GRPO,mmvu,100,51.2002,47.1999,-1.2346,0.0313,1234e5", "the last decimals of an interval"),
    ("GRPO,mmvu,100,51.2,47.20,-1.2345,0.0315,1234e5", "a hundredth of p"),
]
OTHERS = [
    ("GRPO,mmvu,100,51.2003,47.2000,-1.2345,0.0312,1234e5", "value '51.2003', should have '51.2000'"),
    ("GRPO,mmvu,100,51.2000,,-1.2345,0.0312,1234e5", "low '', should have '47.2000'"),
    ("GRPO,mmvu,100,51.2000,nan,-1.2345,0.0312,1234e5", "low 'nan', should have '47.2000'"),
    ("GRPO,mmvu,100,51.2000,47.2000,-1.2345,0.0316,1234e5", "p '0.0316', should have '0.0312'"),
    ("GRPO,mmvu,100.0,51.2000,47.2000,-1.2345,0.0312,1234e5", "n '100.0', should have '100'"),
    ("GRPO,mmvu,100,51.2000,47.2000,-1.2345,0.0312,123400000", "spec '123400000', should have '1234e5'"),
]


@pytest.mark.parametrize(("line", "reason"), ALIKE, ids=[case[1] for case in ALIKE])
def test_what_another_library_rounds_is_no_difference(line: str, reason: str):
    assert csv_difference(f"{NAMES}\n{line}\n", f"{NAMES}\n{LINE}\n") is None, reason


@pytest.mark.parametrize(("line", "said"), OTHERS, ids=[case[1] for case in OTHERS])
def test_the_first_difference_is_told(line: str, said: str):
    found = csv_difference(f"{NAMES}\n{LINE}\n{line}\n", f"{NAMES}\n{LINE}\n{LINE}\n")
    assert found == f"line 3 has {said}"


def test_lines_and_cells_are_counted():
    once, twice = f"{NAMES}\n{LINE}\n", f"{NAMES}\n{LINE}\n{LINE}\n"
    assert csv_difference(once, twice) == "2 lines, should be 3"
    assert csv_difference(twice, once) == "3 lines, should be 2"
    assert csv_difference("", once) == "0 lines, should be 2"
    assert csv_difference(f"{NAMES}\n{LINE},1\n", once) == "line 2 has 9 cells, should have 8"
    assert csv_difference("x" * 200_000, once) == "no CSV: field larger than field limit (131072)"
    other = once.replace("value", "Value")
    assert csv_difference(other, once) == "line 1 has value 'Value', should have 'value'"


def test_a_small_p_is_held_by_its_distance():
    """2e-5 and 9e-5 are both next to nothing."""
    assert csv_difference("p\n2e-5\n", "p\n9e-5\n") is None
    assert csv_difference("p\n2e-5\n", "p\n2e-4\n") == "line 2 has p '2e-5', should have '2e-4'"
