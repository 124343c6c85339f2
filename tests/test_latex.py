"""The tables of config.yaml compile, and the pages show what was measured."""

import re
import subprocess
from pathlib import Path

import pytest
from support import ROOT, experiment, need

from stgrpo.report.contents import TableSpec, table_spec
from stgrpo.report.reported import Reported, read_reported
from stgrpo.report.tables import Measured, to_latex

DOCUMENT = r"""\documentclass{article}
\usepackage[T1]{fontenc}
\usepackage{booktabs,graphicx}
\begin{document}
%s
\end{document}
"""
HOSTILE = r"\input{/etc/passwd} 100% of $x_1^2$ & {more} #1 ~ \end{table} ±"


def page(table: TableSpec, measured: list[Measured], folder: Path, reported: Reported | None = None) -> str:
    """The text of the compiled page; LaTeX stops at its first error."""
    need("pdflatex")
    need("pdftotext")
    (folder / "t.tex").write_text(DOCUMENT % to_latex(table, measured, reported or {}))
    words = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "t.tex"]
    done = subprocess.run(words, cwd=folder, capture_output=True, text=True, check=False, errors="replace")
    assert done.returncode == 0, done.stdout[-2000:]
    assert "Overfull" not in done.stdout
    return subprocess.run(
        ["pdftotext", "-layout", "t.pdf", "-"], cwd=folder, capture_output=True, text=True, check=True
    ).stdout


def made_up(table: TableSpec) -> list[Measured]:
    """10.0, 11.0, ... in the order of rows and columns."""
    names = [column.name for column in table.columns if len(column.over) == 1]
    return [
        Measured(cell, 0, name, 10.0 + len(names) * r + c, 1.5, 60, "s", "t", "c")
        for r, cell in enumerate(row.cell for row in table.rows if row.cell)
        for c, name in enumerate(names)
    ]


@pytest.mark.parametrize("name", ["table1", "table2", "table3", "table4", "table5"])
def test_table_compiles_and_shows_every_number(tmp_path: Path, name: str):
    table = table_spec(experiment(), name)
    measured = made_up(table)
    text = page(table, measured, tmp_path)
    for row in table.rows:
        assert row.label in text
    for m in measured:
        assert f"{m.value:.1f}" in text
    assert "tiny models" in " ".join(text.split())


@pytest.mark.parametrize("name", ["table1", "table2", "table3", "table4", "table5"])
def test_the_paper_s_numbers_stand_beside_ours(tmp_path: Path, name: str):
    """As printed, in their order; row by row, so that none stands in another row."""
    table = table_spec(experiment("paper"), name)
    reported = read_reported(ROOT / "workflow/resources/reported.csv", table)
    lines = page(table, made_up(table), tmp_path, reported).splitlines()
    body = lines[next(i for i, line in enumerate(lines) if line.strip().startswith("Method")) :]
    for row in table.rows:
        line = next(line for line in body if line.strip().startswith(row.label))
        theirs = [value for (label, _), value in reported.items() if label == (row.reported or row.label)]
        assert re.findall(r"\(([\d.]+)\)", line.split("±", 1)[-1] if row.cell else line) == theirs, line
        assert ("†" in line) == (row.cell is None)
        missing = 0 if row.cell else len(table.columns) - len(theirs)
        assert len(re.findall("[–\x15]", line)) == missing  # a dash, in the font's own code where it names none
    text = " ".join(" ".join(lines).split())
    assert ("† Not examined here" in text) == (name == "table1")
    assert "tiny models" not in text


def test_hostile_text_is_printed_as_it_stands(tmp_path: Path):
    table = table_spec(experiment(), "table1")
    rows = [table.rows[0].model_copy(update={"label": HOSTILE})]
    text = page(table.model_copy(update={"rows": rows, "caption": HOSTILE}), made_up(table), tmp_path)
    assert text.count("passwd} 100% of $x") == 2
    assert "root:" not in text


def test_means_of_tables_4_and_5_leave_perceptiontest_out():
    """FACTS 5.1: the paper's averages of Tables 4 and 5 are over five columns."""
    for name in ("table4", "table5"):
        means = [column for column in table_spec(experiment(), name).columns if len(column.over) > 1]
        assert [len(column.over) for column in means] == [6, 5]
        assert set(means[0].over) - set(means[1].over) == {"perceptiontest"}


def test_table_1_names_the_rows_that_it_omits():
    assert "Gemini-1.5-Pro" in to_latex(table_spec(experiment(), "table1"), made_up(table_spec(experiment(), "table1")))


def test_rows_without_a_cell_at_the_scale_are_named():
    table = table_spec(experiment("smoke"), "table2")
    assert [row.cell for row in table.rows] == ["grpo", "st-grpo"]
    assert table.omitted == [
        "ST-GRPO (Deterministic Temporal)",
        "ST-GRPO (Stochastic)",
        "ST-GRPO (Importance-Based)",
    ]
