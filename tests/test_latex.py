"""The tables of config.yaml compile, and the pages show what was measured."""

import random
import re
import subprocess
from pathlib import Path

import pytest
from support import ROOT, answers, experiment, need

from stgrpo.report.comparisons import Answers, comparisons, scores
from stgrpo.report.contents import TableSpec, table_spec
from stgrpo.report.reported import Reported, read_reported
from stgrpo.report.tables import to_latex

DOCUMENT = r"""\documentclass{article}
\usepackage[T1]{fontenc}
\usepackage{booktabs,graphicx}
\begin{document}
%s
\end{document}
"""
HOSTILE = r"\input{/etc/passwd} 100% of $x_1^2$ & {more} #1 ~ \end{table} ±"
WORSE = [
    r"[5pt] an option of the row before",
    r"* a star of the row before",
    r"\\[1cm] & & & & & & & & & &",
    "\n\n\n paragraphs \r and \u2028 lines \x0b\x0c",
    "^^5cinput{/etc/passwd} ^^M ^^@ ^^7f",
    "".join(map(chr, range(32))) + "\x7f\x80\x9f",
    "中文 αβγ ∑ → ≤ 🦜 עברית \u202ertl\u202c a\u0301 \ufeff \ufffd \U0010ffff",
    "naïve Ångström ǅ ŋ ẽ ő ı ß Æ € ¿ « »",
    "% \n\\end{document}",
    r"}}}\end{tabular}\end{table*}\end{document}\write18{touch pwned}",
    r"\csname input\endcsname{/etc/passwd}\catcode`\%=12 \def\x{} \loop\iftrue\repeat",
    "--- `` '' ?` !` << >> ,, | \" -",
    "",
]


def page(table: TableSpec, graded: Answers, folder: Path, reported: Reported | None = None, fits: bool = True) -> str:
    """The text of the compiled page; LaTeX stops at its first error."""
    need("pdflatex")
    need("pdftotext")
    (folder / "t.tex").write_text(DOCUMENT % to_latex(table, graded, reported or {}))
    words = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "t.tex"]
    done = subprocess.run(words, cwd=folder, capture_output=True, text=True, check=False, errors="replace")
    assert done.returncode == 0, done.stdout[-2000:]
    assert "Overfull" not in done.stdout or not fits
    return subprocess.run(
        ["pdftotext", "-layout", "t.pdf", "-"], cwd=folder, capture_output=True, text=True, check=True
    ).stdout


def made_up(table: TableSpec) -> Answers:
    """10, 11, ... percent right in the order of rows and columns."""
    names = [column.name for column in table.columns if len(column.over) == 1]
    cells = [row.cell for row in table.rows if row.cell]
    return {
        (cell, 0): [g for c, name in enumerate(names) for g in answers(name, 10 + (len(names) * r + c) % 80)]
        for r, cell in enumerate(cells)
    }


@pytest.mark.parametrize("name", ["table1", "table2", "table3", "table4", "table5"])
def test_table_compiles_and_shows_every_number(tmp_path: Path, name: str):
    table = table_spec(experiment(), name)
    graded = made_up(table)
    text = page(table, graded, tmp_path)
    for row in table.rows:
        assert row.label in text
    for estimate in scores(table, graded).values():
        assert f"{100 * estimate.value + 1e-9:.1f}" in text
    for difference in comparisons(table, graded):
        assert f"{abs(100 * difference.estimate.value) + 1e-9:.1f}" in text
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


@pytest.mark.parametrize("text", WORSE, ids=range(len(WORSE)))
def test_worse_text_compiles_and_does_nothing(tmp_path: Path, text: str):
    """As a label, a title, a caption, the name of an omitted row, of the table and of the scale."""
    table = table_spec(experiment(), "table3")
    rows = [row.model_copy(update={"label": text}) for row in table.rows]
    columns = [column.model_copy(update={"title": text}) for column in table.columns]
    update = {"rows": rows, "columns": columns, "caption": text, "omitted": [text], "name": text, "scale": text}
    printed = page(table.model_copy(update=update), made_up(table), tmp_path, fits=False)
    assert "root:" not in printed
    assert not (tmp_path / "pwned").exists()
    assert "Percent" in printed and len(re.findall("±", printed)) >= 28


def test_random_text_compiles(tmp_path: Path):
    """Every letter of the alphabet of LaTeX beside every other, and many that have no glyph."""
    rng = random.Random(0)
    letters = [*map(chr, range(128)), *"äéñřΩж中🦜±†–—‘’“”×−\u200b\u202e\ufeff\u0301"]
    table = table_spec(experiment(), "table3")
    rows = [row.model_copy(update={"label": "".join(rng.choices(letters, k=40))}) for row in [table.rows[0]] * 100]
    page(table.model_copy(update={"rows": rows, "columns": table.columns[:1]}), made_up(table), tmp_path, fits=False)


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
