"""One table as LaTeX for people: scores with their errors, and the rows' differences with what is resolved."""

from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal

from stgrpo.config import Row
from stgrpo.report.comparisons import Answers, Comparison, comparisons, scores
from stgrpo.report.contents import Column, TableSpec
from stgrpo.report.latex import escape, label
from stgrpo.report.reported import Reported, printed
from stgrpo.report.rounding import half_up, signed
from stgrpo.statistics import Estimate

_NOTHING: Reported = {}
_Scores = Mapping[tuple[str, str], Estimate]  # by cell and the column's name


def to_latex(table: TableSpec, graded: Answers, reported: Reported = _NOTHING) -> str:
    """A booktabs table to \\input, as wide as the text (booktabs, graphicx); the first line names the scale.

    At a comparable scale the paper's numbers stand beside ours, in parentheses, and the best of ours in a column is
    bold; elsewhere no method is shown as the better one. Below stand the differences of the rows that have a baseline.
    """
    found, compared = scores(table, graded), comparisons(table, graded)
    note = _note(table, found, compared, reported)
    lines = [
        f"% scale: {escape(table.scale)}",
        r"\begin{table*}",
        r"\centering",
        rf"\caption{{{escape(table.caption)} {escape(note)}}}",
        rf"\label{{tab:{label(table.name)}}}",
        r"\medskip",
        r"\resizebox{\linewidth}{!}{%",
        rf"\begin{{tabular}}{{l{'c' * len(table.columns)}}}",
        r"\toprule",
        " & ".join(["Method", *(escape(column.title) for column in table.columns)]) + r" \\",
        r"\midrule",
    ]
    best = [_best(table, found, column) for column in table.columns]
    for row in table.rows:
        name = row.label if row.cell else f"{row.label}†"
        numbers = [_number(found, reported, row, c, b) for c, b in zip(table.columns, best, strict=True)]
        lines.append(" & ".join([escape(name), *numbers]) + r" \\")
    lines += [r"\midrule"] if compared else []
    for start in range(0, len(compared), len(table.columns)):  # a row's comparisons, in the order of the columns
        row = compared[start : start + len(table.columns)]
        name = f"{row[0].row.label} − {row[0].baseline.label}"
        lines.append(" & ".join([escape(name), *(_difference(c.estimate) for c in row)]) + r" \\")
    lines += [r"\bottomrule", r"\end{tabular}}", r"\end{table*}"]
    return "\n".join(lines) + "\n"


def _note(table: TableSpec, found: _Scores, compared: Sequence[Comparison], reported: Reported) -> str:
    note = f"{'; '.join(_measures(table, found, compared, reported))}."
    if compared:
        note += f" {_resolved(table, compared)}"
    if any(row.cell is None for row in table.rows):
        note += " † Not examined here: the paper's numbers alone."
    if table.omitted:
        note += f" Rows of the paper that are not here: {', '.join(table.omitted)}."
    if not table.comparable:
        what = "rendered videos and tiny models, not the paper's data" if table.rendered else "not the paper's setting"
        note = f"Scale '{table.scale}': {what}. {note}"
    return note


def _measures(table: TableSpec, found: _Scores, compared: Sequence[Comparison], reported: Reported) -> list[str]:
    """What the numbers are, and from what."""
    seeds = {row.label: found[row.cell, table.columns[0].name].seeds for row in table.rows if row.cell}
    if not seeds:
        return ["Percent"]
    first = next(row.cell for row in table.rows if row.cell)
    singles = [column for column in table.columns if len(column.over) == 1]
    sizes = [(column.title, found[first, column.name]) for column in singles]
    ways = "by video and seed" if max(seeds.values()) > 1 else "by video"
    return [
        f"Percent, ± standard error clustered {ways}",
        *(["in parentheses what the paper prints, its averages too, while ours are recomputed"] if reported else []),
        *_trainings(seeds),
        *(["below, differences on the same questions with 95 % intervals"] if compared else []),
        "questions (videos): " + ", ".join(f"{title} {size.n} ({size.clusters})" for title, size in sizes),
        *(f"{c.title}: unweighted mean of {len(c.over)} columns" for c in table.columns if len(c.over) > 1),
    ]


def _trainings(seeds: Mapping[str, int]) -> Iterator[str]:
    """How many the rows' numbers are made from, by their labels."""
    most = max(seeds.values())
    if most == 1:
        yield "one seed, so no error tells of another training"
        return
    yield f"mean over {most} seeds"
    if once := [label for label, count in seeds.items() if count == 1]:  # not trained, so alike for all
        yield f"one seed of {', '.join(once)}"
    if most == 2:
        yield "two seeds are too few for intervals of 95 %: where seeds matter most, 90 % hold the truth"


def _resolved(table: TableSpec, compared: Sequence[Comparison]) -> str:
    """How many differences there are, how many chance would give, and which means tell nothing."""
    testable = [c for c in compared if c.estimate.testable]
    said = ["No difference has an interval: nothing can be said of other videos."]
    if testable:
        count, some = sum(c.estimate.resolved for c in testable), " with an interval" * (len(testable) < len(compared))
        said = [
            f"Of {len(testable)} differences{some} {count or 'none'} {'are' if count > 1 else 'is'} resolved (*: the "
            f"interval leaves out 0); chance alone would give {half_up(len(testable) / 20)}."
        ]
    for column in [column for column in table.columns if len(column.over) > 1]:
        of_mean = [c for c in compared if c.column == column]
        names = [f"{c.row.label} − {c.baseline.label}" for c in of_mean if not c.estimate.resolved]
        which = "every one" if len(names) == len(of_mean) else ", ".join(names)
        said.append(f"Not resolved on {column.title}: {which or 'none'}.")
    return " ".join(said)


def _best(table: TableSpec, found: _Scores, column: Column) -> str | None:
    if not table.comparable:
        return None
    return max(
        (_shown(found[row.cell, column.name].value) for row in table.rows if row.cell), key=Decimal, default=None
    )


def _number(found: _Scores, reported: Reported, row: Row, column: Column, best: str | None) -> str:
    """Ours with its error, then the paper's; a dash where there is neither."""
    parts = []
    if row.cell:
        estimate = found[row.cell, column.name]
        value = _shown(estimate.value)
        parts.append(rf"\textbf{{{value}}}" if value == best else value)
        if estimate.error is not None:
            parts.append(rf"{{\scriptsize$\pm${_shown(estimate.error)}}}")
    if theirs := printed(reported, row, column):
        parts.append(rf"{{\scriptsize({theirs})}}")
    return " ".join(parts) or "--"


def _difference(estimate: Estimate) -> str:
    value = _signed(estimate.value) + ("$^{*}$" if estimate.resolved else "")
    if estimate.low is None or estimate.high is None:
        return value
    return rf"{value} {{\scriptsize{{[}}{_signed(estimate.low)}, {_signed(estimate.high)}{{]}}}}"


def _signed(share: float) -> str:
    return signed(100 * share).replace("-", "$-$")


def _shown(share: float) -> str:
    """Percent as printed."""
    return half_up(100 * share)
