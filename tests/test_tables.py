"""Tables as LaTeX for people and as CSV for programs."""

import csv
from io import StringIO

import pytest
from support import answers

from stgrpo.config import Row
from stgrpo.errors import UserError
from stgrpo.records import Graded
from stgrpo.report.comparisons import Answers, comparisons, scores
from stgrpo.report.contents import Column, TableSpec
from stgrpo.report.csv_twin import CSV_COLUMNS, Origin, to_csv
from stgrpo.report.latex import escape
from stgrpo.report.tables import to_latex


def column(name: str, title: str) -> Column:
    return Column(name=name, title=title, over=[name])


TABLE = TableSpec(
    name="table2",
    scale="demo",
    comparable=False,
    rendered=True,
    caption="Groups & gains.",
    rows=[Row(cell="grpo", label="GRPO"), Row(cell="st-grpo", label="ST-GRPO (100%)", baseline="grpo")],
    columns=[column("tempcompass", "TempCompass"), column("mmvu", "MMVU_mc")],
    omitted=[],
    specs={"grpo/seed0": "aaaa", "st-grpo/seed0": "bbbb"},
)
GRADED = {
    ("grpo", 0): answers("tempcompass", 360, 600) + answers("mmvu", 320, 625),
    ("st-grpo", 0): answers("tempcompass", 375, 600) + answers("mmvu", 306, 625),
}
ORIGINS = {
    ("grpo", 0): Origin("aaaa", "a0a0", ("c0ffee",)),
    ("st-grpo", 0): Origin(
        *("bbbb", "b0b0", ("c0ffee",), "false", ("51f0",), ("torch=2", "trl=1"), ("NVIDIA H100 80GB HBM3",)),
        data=("mmvu=d1",),
    ),
}

# Errors: sqrt(p (1 - p) / (n - 1)). Of ST-GRPO's answers 15 of 600 are right where GRPO's are wrong, so 2.5 ± 1.96393 *
# sqrt((0.025 - 0.025²) / 599), and 14 of 625 are the other way round, -2.24 ± 1.96376 * sqrt((0.0224 - 0.0224²) / 624).
GOLDEN = r"""% scale: demo
\begin{table*}
\centering
\caption{Groups \& gains. Scale 'demo': rendered videos and tiny models, not the paper's data. Percent, $\pm$ standard error clustered by video; one seed, so no error tells of another training; below, differences on the same questions with 95 \% intervals; questions (videos): TempCompass 600 (600), MMVU\_mc 625 (625). Of 2 differences 2 are resolved ({*}: the interval leaves out 0); chance alone would give 0.1.}
\label{tab:table2}
\medskip
\resizebox{\linewidth}{!}{%
\begin{tabular}{lcc}
\toprule
Method & TempCompass & MMVU\_mc \\
\midrule
GRPO & 60.0 {\scriptsize$\pm$2.0} & 51.2 {\scriptsize$\pm$2.0} \\
ST-GRPO (100\%) & 62.5 {\scriptsize$\pm$2.0} & 49.0 {\scriptsize$\pm$2.0} \\
\midrule
ST-GRPO (100\%) $-$ GRPO & +2.5$^{*}$ {\scriptsize{[}+1.2, +3.8{]}} & $-$2.2$^{*}$ {\scriptsize{[}$-$3.4, $-$1.1{]}} \\
\bottomrule
\end{tabular}}
\end{table*}
"""  # noqa: E501


def changed(**more) -> TableSpec:
    return TABLE.model_copy(update=more)


def measured(*values: tuple[str, int, int], questions: int = 100) -> dict[tuple[str, int], list[Graded]]:
    """Answers on one benchmark: (cell, seed, how many of 100 are right)."""
    return {(cell, seed): answers("tempcompass", right, questions) for cell, seed, right in values}


ONE_COLUMN = changed(columns=[column("tempcompass", "TempCompass")], comparable=True)  # where the best is bold


def body(table: TableSpec, graded: Answers) -> list[str]:
    """The rows of scores."""
    lines = to_latex(table, graded).splitlines()
    return lines[lines.index(r"\midrule") + 1 :][: len(table.rows)]


def differences(table: TableSpec, graded: Answers) -> list[str]:
    """The rows of differences."""
    lines = to_latex(table, graded).splitlines()
    return lines[lines.index(r"\midrule") + 2 + len(table.rows) : lines.index(r"\bottomrule")]


def test_golden_table():
    assert to_latex(TABLE, GRADED) == GOLDEN


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
    ("[x] *", "{[}x{]} {*}"),
    ("a\nb\tc\u00a0d", "a b c d"),
    ("--- ?`", r"-{}-{}- ?\textasciigrave{}"),
    ("naïve Ångström", r"na\"{i}ve \r{A}ngstr\"{o}m"),
    ("“1–2”", r"\textquotedblleft{}1\textendash{}2\textquotedblright{}"),
    ("^^5cinput", r"\textasciicircum{}\textasciicircum{}5cinput"),
    ("中", "{[}U+4E2D{]}"),
    ("\x1b\u202e", "{[}U+001B{]}{[}U+202E{]}"),
]


@pytest.mark.parametrize(("text", "expected"), ESCAPES)
def test_escape(text: str, expected: str):
    assert escape(text) == expected


def test_every_text_of_a_table_is_escaped():
    """A column's title stands in the caption too."""
    table = changed(caption="a_1", rows=[Row(cell="grpo", label="b_2")], columns=[column("tempcompass", "c_3")])
    text = to_latex(table, GRADED)
    assert [text.count(escaped) for escaped in (r"a\_1", r"b\_2", r"c\_3")] == [1, 1, 2]


@pytest.mark.parametrize("scale", ["demo", "smoke", "paper"])
def test_the_first_line_names_the_scale(scale: str):
    assert to_latex(changed(scale=scale), GRADED).splitlines()[0] == f"% scale: {scale}"


def test_only_a_comparable_scale_has_no_warning():
    assert "Scale 'demo': rendered videos and tiny models, not the paper's data." in to_latex(TABLE, GRADED)
    own = changed(scale="own", rendered=False)  # with models and videos that are fetched, yet other settings
    assert "Scale 'own': not the paper's setting." in to_latex(own, GRADED)
    assert "Scale" not in to_latex(changed(comparable=True), GRADED)


TWO_SEEDS = measured(("grpo", 0, 60), ("grpo", 1, 63), ("st-grpo", 0, 50), ("st-grpo", 1, 51))


def test_two_seeds_show_their_mean_and_an_error_of_both_ways():
    """0.6 and 0.63, mean 0.615: squares by video 22.9275 of 100², by seed 2 * 1.5² of 200², by both 47.355 of 200².

    Twice 0.00229275 + 0.0001125 - 0.001183875, for the factor of two seeds: 0.049424².
    """
    assert body(ONE_COLUMN, TWO_SEEDS) == [
        r"GRPO & \textbf{61.5} {\scriptsize$\pm$4.9} \\",
        r"ST-GRPO (100\%) & 50.5 {\scriptsize$\pm$5.0} \\",
    ]
    text = to_latex(ONE_COLUMN, TWO_SEEDS)
    assert "clustered by video and seed; mean over 2 seeds; two seeds are too few for intervals of 95 " in text


def test_a_row_of_one_seed_among_others_is_named():
    """An untrained cell is the same for all; of three seeds the intervals hold what they say, nearly."""
    third = measured(("grpo", 2, 62), ("st-grpo", 2, 49), ("base", 0, 40))
    table = ONE_COLUMN.model_copy(update={"rows": [Row(cell="base", label="Before"), *TABLE.rows]})
    assert "; mean over 3 seeds; one seed of Before; below, " in to_latex(table, {**TWO_SEEDS, **third})


def test_the_order_of_the_scores_is_no_matter():
    backwards = {run: GRADED[run][::-1] for run in reversed(GRADED)}
    assert to_latex(TABLE, backwards) == GOLDEN
    assert to_csv(TABLE, backwards, ORIGINS) == to_csv(TABLE, GRADED, ORIGINS)


def test_what_is_printed_alike_is_best_alike():
    """60.04 and 60.01 are both 60.0 on paper."""
    rows = body(ONE_COLUMN, measured(("grpo", 0, 6004), ("st-grpo", 0, 6001), questions=10000))
    assert [r"\textbf{60.0}" in row for row in rows] == [True, True]


def test_the_best_is_that_of_the_table_s_own_rows():
    """A cell of another table does not take the bold face away."""
    rows = body(ONE_COLUMN, measured(("grpo", 0, 60), ("st-grpo", 0, 50), ("grpo-1000", 0, 99)))
    assert [r"\textbf" in row for row in rows] == [True, False]


def test_one_video_has_a_score_without_an_error():
    one = [Graded("tempcompass", f"q{i}", "v", "", 0.25, 1.0, "A") for i in range(4)]
    graded = {("grpo", 0): one, ("st-grpo", 0): one}
    assert body(ONE_COLUMN, graded)[0] == r"GRPO & \textbf{100.0} \\"
    assert differences(ONE_COLUMN, graded) == [r"ST-GRPO (100\%) $-$ GRPO & 0.0 \\"]


MEAN = Column(name="Avg.", title="Avg.", over=["tempcompass", "mmvu"])
WITH_MEAN = changed(columns=[*TABLE.columns, MEAN])


def test_a_mean_is_recomputed_from_its_columns():
    """(60 + 51.2) / 2 = 55.6, of 600 + 625 questions.

    Its variance is a quarter of both columns': (0.24 / 599 + 0.249856 / 624) / 4.
    """
    estimate = scores(WITH_MEAN, GRADED)["grpo", "Avg."]
    assert estimate.error == pytest.approx(((0.24 / 599 + 0.249856 / 624) / 4) ** 0.5)
    assert body(WITH_MEAN, GRADED)[0].endswith(r"& 55.6 {\scriptsize$\pm$1.4} \\")
    line = parsed(WITH_MEAN, GRADED)[2]
    assert (line["column"], line["value"], line["n"], line["videos"]) == ("Avg.", "55.6000", "1225", "1225")
    assert "Avg.: unweighted mean of 2 columns." in to_latex(WITH_MEAN, GRADED)


def test_half_a_tenth_is_rounded_up():
    """56.65 is printed as 56.7; the paper's own tables cut it off."""
    table = changed(columns=[MEAN], rows=TABLE.rows[:1])
    graded = {("grpo", 0): answers("tempcompass", 566, 1000) + answers("mmvu", 567, 1000)}
    assert body(table, graded)[0].startswith("GRPO & 56.7 ")


def test_rows_that_are_not_here_are_named():
    text = to_latex(changed(omitted=["GPT-4o", "Video-R1-7B"]), GRADED)
    assert "Rows of the paper that are not here: GPT-4o, Video-R1-7B." in text
    assert "not here" not in to_latex(TABLE, GRADED)


# Differences.


def test_a_difference_is_that_of_the_same_questions():
    """Right are others of the same 100 questions: no difference, yet an error of sqrt((0.5 + 0.5) / 99)."""
    half = answers("tempcompass", 50)
    other = [Graded(g.benchmark, g.question, g.video, "", g.weight, 1 - g.credit, "B") for g in half]
    (found,) = comparisons(ONE_COLUMN, {("grpo", 0): half, ("st-grpo", 0): other})
    assert (found.row.cell, found.baseline.cell, found.column.name) == ("st-grpo", "grpo", "tempcompass")
    assert found.estimate.value == pytest.approx(0)
    assert found.estimate.error == pytest.approx((1 / 99) ** 0.5)


def test_over_seeds_each_is_held_against_its_own():
    """Differences of -10 and -12 points, by seed: their mean."""
    (found,) = comparisons(ONE_COLUMN, TWO_SEEDS)
    assert (found.estimate.value, found.estimate.seeds) == (pytest.approx(-0.11), 2)


def test_an_untrained_baseline_has_one_seed_for_all():
    graded = {run: found for run, found in TWO_SEEDS.items() if run != ("grpo", 1)}
    (found,) = comparisons(ONE_COLUMN, graded)
    assert (found.estimate.value, found.estimate.seeds) == (pytest.approx(-0.095), 2)


def test_a_row_whose_baseline_is_not_here_is_not_compared():
    table = changed(rows=TABLE.rows[1:])
    assert comparisons(table, GRADED) == []
    text = to_latex(table, {("st-grpo", 0): GRADED["st-grpo", 0]})
    assert "difference" not in text and text.count(r"\midrule") == 1


def test_other_questions_are_refused():
    graded = {**GRADED, ("grpo", 0): answers("tempcompass", 5, 10) + answers("mmvu", 320, 625)}
    with pytest.raises(UserError) as refusal:
        comparisons(TABLE, graded)
    assert str(refusal.value) == (
        "table2: cells 'st-grpo' and 'grpo' did not answer the same questions of tempcompass; "
        "evaluate both again (snakemake TARGET -R evaluate)"
    )


def test_other_seeds_are_refused():
    graded = measured(("grpo", 0, 1), ("grpo", 1, 1), ("st-grpo", 1, 1), ("st-grpo", 2, 1))
    with pytest.raises(UserError) as refusal:
        comparisons(ONE_COLUMN, graded)
    assert str(refusal.value) == (
        "table2: cell 'grpo' has seeds 0, 1, but not 2, which it is compared at; give the scores of the same seeds"
    )


NOTES = [
    (51, "Of 1 differences none is resolved", "Not resolved on Avg.: every one."),
    (60, "Of 1 differences 1 is resolved", "Not resolved on Avg.: none."),
]


def test_what_cannot_be_tested_is_not_counted_and_has_neither_error_nor_star():
    """All 600 answers alike in both: the next video may be otherwise, and 1 / 20 by chance is of the other alone."""
    graded = {**GRADED, ("st-grpo", 0): answers("tempcompass", 600, 600) + answers("mmvu", 320, 625)}
    graded["grpo", 0] = answers("tempcompass", 360, 600) + answers("mmvu", 320, 625)
    text = to_latex(TABLE, graded)
    assert "Of 1 differences with an interval 1 is resolved" in text and "chance alone would give 0.1." in text
    assert body(TABLE, graded)[1].startswith(r"ST-GRPO (100\%) & 100.0 & 51.2 ")
    assert differences(TABLE, graded)[0].endswith(r"{]}} & 0.0 \\")
    line = parsed(TABLE, graded)[3]
    assert [line[name] for name in ("difference", "difference_low", "difference_high", "p")] == ["0.0000", "", "", ""]
    same = {run: graded["grpo", 0] for run in graded}
    assert "No difference has an interval: nothing can be said of other videos." in to_latex(TABLE, same)


def test_a_table_of_the_paper_alone_has_no_numbers_of_ours():
    table = changed(rows=[Row(label="GPT-4o")], comparable=True)
    assert body(table, {}) == [r"GPT-4o$^\dagger$ & -- & -- \\"]
    assert to_csv(table, {}, {}).splitlines() == [",".join(CSV_COLUMNS)]


@pytest.mark.parametrize(("right", "count", "mean"), NOTES, ids=["none", "all"])
def test_the_note_says_what_is_not_resolved(right: int, count: str, mean: str):
    table = changed(columns=[MEAN.model_copy(update={"over": ["tempcompass", "mmvu"]})])
    graded = {
        ("grpo", 0): answers("tempcompass", 50) + answers("mmvu", 50),
        ("st-grpo", 0): answers("tempcompass", right) + answers("mmvu", 50),
    }
    text = to_latex(table, graded)
    assert count in text and mean in text and "chance alone would give 0.1." in text


def test_what_is_not_resolved_is_named():
    rows = [*TABLE.rows, Row(cell="dr-grpo", label="Dr.GRPO", baseline="grpo")]
    graded = {**GRADED, ("dr-grpo", 0): answers("tempcompass", 320, 600) + answers("mmvu", 300, 625)}
    text = to_latex(WITH_MEAN.model_copy(update={"rows": rows}), graded)
    assert r"Not resolved on Avg.: ST-GRPO (100\%) $-$ GRPO.}" in text


# The CSV twin.


def parsed(table: TableSpec, graded: Answers) -> list[dict[str, str]]:
    origins = {run: ORIGINS.get(run, Origin("s", "t", ("c",))) for run in graded}
    return list(csv.DictReader(StringIO(to_csv(table, graded, origins))))


def test_csv_columns():
    names = (
        "table,scale,row,column,cell,seed,value,standard_error,low,high,n,videos,reported,delta,baseline,difference,"
        "difference_low,difference_high,p,spec,trained,commit,dirty,image,packages,device,data"
    )
    assert to_csv(TABLE, GRADED, ORIGINS).splitlines()[0] == names
    assert ",".join(CSV_COLUMNS) == names


def test_csv_has_one_line_a_number_row_by_row():
    found = [(line["cell"], line["column"], line["value"]) for line in parsed(TABLE, GRADED)]
    assert found == [
        ("grpo", "tempcompass", "60.0000"),
        ("grpo", "mmvu", "51.2000"),
        ("st-grpo", "tempcompass", "62.5000"),
        ("st-grpo", "mmvu", "48.9600"),
    ]


def test_a_line_of_csv_says_how_sure_its_number_is_and_where_it_comes_from():
    """The error is sqrt(0.625 * 0.375 / 599), the difference's 0.637909, t of it 3.919 at 599 degrees."""
    line = parsed(TABLE, GRADED)[2]
    assert [float(line[name]) for name in ("low", "high")] == pytest.approx([62.5 - 3.8848, 62.5 + 3.8848], abs=2e-4)
    assert [float(line[name]) for name in ("difference_low", "difference_high")] == pytest.approx(
        [2.5 - 1.25281, 2.5 + 1.25281], abs=2e-4
    )
    assert float(line["p"]) == pytest.approx(9.91e-5, rel=0.01)
    measured = ("low", "high", "difference_low", "difference_high", "p")
    assert {name: value for name, value in line.items() if name not in measured} == {
        "table": "table2",
        "scale": "demo",
        "row": "ST-GRPO (100%)",
        "column": "tempcompass",
        "cell": "st-grpo",
        "seed": "0",
        "value": "62.5000",
        "standard_error": "1.9781",
        "n": "600",
        "videos": "600",
        "reported": "",
        "delta": "",
        "baseline": "grpo",
        "difference": "2.5000",
        "spec": "bbbb",
        "trained": "b0b0",
        "commit": "c0ffee",
        "dirty": "false",
        "image": "51f0",
        "packages": "torch=2; trl=1",
        "device": "NVIDIA H100 80GB HBM3",
        "data": "mmvu=d1",
    }


def test_csv_keeps_every_seed_and_adds_their_mean():
    graded = {**TWO_SEEDS, ("base", 0): answers("tempcompass", 40)}
    table = ONE_COLUMN.model_copy(update={"rows": [Row(cell="base", label="Before"), *TABLE.rows]})
    assert [(x["cell"], x["seed"], x["value"], x["difference"]) for x in parsed(table, graded)] == [
        ("base", "0", "40.0000", ""),
        ("grpo", "0", "60.0000", ""),
        ("grpo", "1", "63.0000", ""),
        ("grpo", "mean", "61.5000", ""),
        ("st-grpo", "0", "50.0000", "-10.0000"),
        ("st-grpo", "1", "51.0000", "-12.0000"),
        ("st-grpo", "mean", "50.5000", "-11.0000"),
    ]


def test_the_mean_s_line_joins_where_its_numbers_come_from():
    origins = {("grpo", seed): Origin("s", f"t{seed}", ("c",), data=("a=1",)) for seed in (0, 1)}
    graded = {run: found for run, found in TWO_SEEDS.items() if run in origins}
    text = to_csv(ONE_COLUMN.model_copy(update={"rows": TABLE.rows[:1]}), graded, origins)
    assert [(x["seed"], x["spec"], x["trained"], x["data"]) for x in csv.DictReader(StringIO(text))] == [
        ("0", "s", "t0", "a=1"),
        ("1", "s", "t1", "a=1"),
        ("mean", "s", "t0; t1", "a=1"),
    ]


def test_csv_holds_any_label():
    label = 'with "quotes", a comma\nand a new line'
    table = changed(rows=[Row(cell="grpo", label=label)])
    assert [line["row"] for line in parsed(table, GRADED)] == [label, label]


def test_no_label_is_a_formula_and_a_difference_is_a_number():
    table = changed(rows=[TABLE.rows[0], TABLE.rows[1].model_copy(update={"label": "=1+1"})])
    line = parsed(table, GRADED)[3]
    assert (line["row"], line["difference"]) == ("'=1+1", "-2.2400")


def test_csv_leaves_out_cells_of_other_tables():
    graded = {**GRADED, **measured(("grpo-1000", 0, 1))}
    assert [line["cell"] for line in parsed(ONE_COLUMN, graded)] == ["grpo", "st-grpo"]
