"""Tables as LaTeX for people and as CSV for programs."""

import csv
from io import StringIO

import pytest

from stgrpo.config import Row
from stgrpo.report.contents import Column, TableSpec
from stgrpo.report.tables import CSV_COLUMNS, Measured, escape, to_csv, to_latex


def column(name: str, title: str) -> Column:
    return Column(name=name, title=title, over=[name])


TABLE = TableSpec(
    name="table2",
    scale="demo",
    comparable=False,
    rendered=True,
    caption="Groups & gains.",
    rows=[Row(cell="grpo", label="GRPO"), Row(cell="st-grpo", label="ST-GRPO (100%)")],
    columns=[column("tempcompass", "TempCompass"), column("mmvu", "MMVU_mc")],
    omitted=[],
    specs={"grpo/seed0": "aaaa", "st-grpo/seed0": "bbbb"},
)
MEASURED = [
    Measured("grpo", 0, "tempcompass", 60.0, 2.0, 600, "aaaa", "a0a0", "c0ffee"),
    Measured("grpo", 0, "mmvu", 51.26, 1.94, 625, "aaaa", "a0a0", "c0ffee"),
    Measured("st-grpo", 0, "tempcompass", 62.5, 2.04, 600, "bbbb", "b0b0", "c0ffee"),
    Measured("st-grpo", 0, "mmvu", 49.0, 2.16, 625, "bbbb", "b0b0", "c0ffee"),
]

GOLDEN = r"""% scale: demo
\begin{table*}
\centering
\caption{Groups \& gains. Scale 'demo': rendered videos and tiny models, not the paper's data. Percent, $\pm$ standard error of one evaluation; one seed; questions: TempCompass 600, MMVU\_mc 625.}
\label{tab:table2}
\medskip
\resizebox{\linewidth}{!}{%
\begin{tabular}{lcc}
\toprule
Method & TempCompass & MMVU\_mc \\
\midrule
GRPO & 60.0 {\scriptsize$\pm$2.0} & 51.3 {\scriptsize$\pm$1.9} \\
ST-GRPO (100\%) & 62.5 {\scriptsize$\pm$2.0} & 49.0 {\scriptsize$\pm$2.2} \\
\bottomrule
\end{tabular}}
\end{table*}
"""  # noqa: E501


def changed(**more) -> TableSpec:
    return TABLE.model_copy(update=more)


def measured(*values: tuple[str, int, float], error: float = 1.0) -> list[Measured]:
    """Scores on one benchmark: (cell, seed, value)."""
    return [Measured(cell, seed, "tempcompass", value, error, 100, "s", "t", "c") for cell, seed, value in values]


ONE_COLUMN = changed(columns=[column("tempcompass", "TempCompass")], comparable=True)  # where the best is bold


def body(table: TableSpec, scores: list[Measured]) -> list[str]:
    """The rows between the rules."""
    lines = to_latex(table, scores).splitlines()
    return lines[lines.index(r"\midrule") + 1 : lines.index(r"\bottomrule")]


def test_golden_table():
    assert to_latex(TABLE, MEASURED) == GOLDEN


ESCAPES = [
    ("\\", r"\textbackslash{}"),
    ("{", r"\{"),
    ("}", r"\}"),
    ("$", r"\$"),
    ("&", r"\&"),
    ("#", r"\#"),
    ("%", r"\%"),
    ("_", r"\_"),
    ("^", r"\textasciicircum{}"),
    ("~", r"\textasciitilde{}"),
    ("a_b & 5% {x}", r"a\_b \& 5\% \{x\}"),
    (r"\alpha$", r"\textbackslash{}alpha\$"),
    ("plain (M=2, G=4)", "plain (M=2, G=4)"),
    ("1 ± 2", r"1 $\pm$ 2"),
]


@pytest.mark.parametrize(("text", "expected"), ESCAPES)
def test_escape(text: str, expected: str):
    assert escape(text) == expected


def test_every_text_of_a_table_is_escaped():
    """A column's title stands in the caption too."""
    table = changed(caption="a_1", rows=[Row(cell="grpo", label="b_2")], columns=[column("tempcompass", "c_3")])
    text = to_latex(table, MEASURED)
    assert [text.count(escaped) for escaped in (r"a\_1", r"b\_2", r"c\_3")] == [1, 1, 2]


@pytest.mark.parametrize("scale", ["demo", "smoke", "paper"])
def test_the_first_line_names_the_scale(scale: str):
    assert to_latex(changed(scale=scale), MEASURED).splitlines()[0] == f"% scale: {scale}"


def test_only_a_comparable_scale_has_no_warning():
    assert "Scale 'demo': rendered videos and tiny models, not the paper's data." in to_latex(TABLE, MEASURED)
    own = changed(scale="own", rendered=False)  # with models and videos that are fetched, yet other settings
    assert "Scale 'own': not the paper's setting." in to_latex(own, MEASURED)
    assert "Scale" not in to_latex(changed(comparable=True), MEASURED)


def test_two_seeds_show_their_mean():
    scores = measured(("grpo", 0, 60.0), ("grpo", 1, 63.0), ("st-grpo", 0, 50.0), ("st-grpo", 1, 50.4))
    assert body(ONE_COLUMN, scores) == [
        r"GRPO & \textbf{61.5} {\scriptsize$\pm$1.0} \\",
        r"ST-GRPO (100\%) & 50.2 {\scriptsize$\pm$1.0} \\",
    ]
    assert "; mean over 2 seeds; " in to_latex(ONE_COLUMN, scores)


def test_the_error_is_the_mean_of_the_seeds_errors():
    scores = measured(("grpo", 0, 60.0), error=1.0) + measured(("grpo", 1, 60.0), ("st-grpo", 0, 1.0), error=2.0)
    assert body(ONE_COLUMN, scores)[0] == r"GRPO & \textbf{60.0} {\scriptsize$\pm$1.5} \\"


def test_the_order_of_the_scores_is_no_matter():
    assert to_latex(TABLE, MEASURED[::-1]) == GOLDEN
    assert to_csv(TABLE, MEASURED[::-1]) == to_csv(TABLE, MEASURED)


def test_what_is_printed_alike_is_best_alike():
    """60.04 and 60.01 are both 60.0 on paper."""
    rows = body(ONE_COLUMN, measured(("grpo", 0, 60.04), ("st-grpo", 0, 60.01)))
    assert [r"\textbf{60.0}" in row for row in rows] == [True, True]


def test_the_best_is_that_of_the_table_s_own_rows():
    """A cell of another table does not take the bold face away."""
    rows = body(ONE_COLUMN, measured(("grpo", 0, 60.0), ("st-grpo", 0, 50.0), ("grpo-1000", 0, 99.0)))
    assert [r"\textbf" in row for row in rows] == [True, False]


def parsed(table: TableSpec, scores: list[Measured]) -> list[dict[str, str]]:
    return list(csv.DictReader(StringIO(to_csv(table, scores))))


def test_csv_columns():
    names = "table,scale,row,column,cell,seed,value,standard_error,n,reported,delta,spec,trained,commit,image"
    assert to_csv(TABLE, MEASURED).splitlines()[0] == names
    assert ",".join(CSV_COLUMNS) == names


def test_csv_has_one_line_a_number_row_by_row():
    found = [(line["cell"], line["column"], line["value"]) for line in parsed(TABLE, MEASURED)]
    assert found == [
        ("grpo", "tempcompass", "60.0000"),
        ("grpo", "mmvu", "51.2600"),
        ("st-grpo", "tempcompass", "62.5000"),
        ("st-grpo", "mmvu", "49.0000"),
    ]


def test_a_line_of_csv_says_where_its_number_comes_from():
    assert parsed(TABLE, MEASURED)[2] == {
        "table": "table2",
        "scale": "demo",
        "row": "ST-GRPO (100%)",
        "column": "tempcompass",
        "cell": "st-grpo",
        "seed": "0",
        "value": "62.5000",
        "standard_error": "2.0400",
        "n": "600",
        "reported": "",
        "delta": "",
        "spec": "bbbb",
        "trained": "b0b0",
        "commit": "c0ffee",
        "image": "",
    }


def test_csv_keeps_every_seed():
    scores = measured(("grpo", 0, 60.0), ("grpo", 1, 63.0), ("st-grpo", 0, 50.0))
    assert [(line["seed"], line["value"]) for line in parsed(ONE_COLUMN, scores)] == [
        ("0", "60.0000"),
        ("1", "63.0000"),
        ("0", "50.0000"),
    ]


def test_csv_holds_any_label():
    label = 'with "quotes", a comma\nand a new line'
    table = changed(rows=[Row(cell="grpo", label=label)])
    assert [line["row"] for line in parsed(table, MEASURED)] == [label, label]


def test_csv_leaves_out_cells_of_other_tables():
    assert [line["cell"] for line in parsed(ONE_COLUMN, MEASURED + measured(("grpo-1000", 0, 1.0)))] == [
        "grpo",
        "st-grpo",
    ]


MEAN = Column(name="Avg.", title="Avg.", over=["tempcompass", "mmvu"])


def test_a_mean_is_recomputed_from_its_columns():
    """(60 + 51.26) / 2 = 55.63; sqrt(2^2 + 1.94^2) / 2 = 1.3932; 600 + 625 questions."""
    table = changed(columns=[*TABLE.columns, MEAN])
    assert body(table, MEASURED)[0].endswith(r"& 55.6 {\scriptsize$\pm$1.4} \\")
    line = parsed(table, MEASURED)[2]
    assert (line["column"], line["value"], line["standard_error"], line["n"]) == ("Avg.", "55.6300", "1.3932", "1225")
    assert "Avg.: unweighted mean of 2 columns." in to_latex(table, MEASURED)


def test_half_a_tenth_is_rounded_up():
    """56.65 is printed as 56.7; the paper's own tables cut it off."""
    scores = [Measured("grpo", 0, b, v, 1.0, 9, "s", "t", "c") for b, v in (("tempcompass", 56.6), ("mmvu", 56.7))]
    table = changed(columns=[MEAN], rows=TABLE.rows[:1])
    assert body(table, scores)[0].startswith("GRPO & 56.7 ")


def test_rows_that_are_not_here_are_named():
    text = to_latex(changed(omitted=["GPT-4o", "Video-R1-7B"]), MEASURED)
    assert "Rows of the paper that are not here: GPT-4o, Video-R1-7B." in text
    assert "not here" not in to_latex(TABLE, MEASURED)
