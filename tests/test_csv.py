"""No cell of a CSV is a formula for a spreadsheet, and a number stays a number (OWASP, CSV injection)."""

import csv
import random
from io import StringIO
from pathlib import Path

import pytest

from stgrpo.commands.prepare import _write_aside
from stgrpo.files import inert_cell
from stgrpo.records import SetAside

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
