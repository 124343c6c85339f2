"""One table as LaTeX for people and as CSV, one line a number, for programs."""

import csv
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal
from io import StringIO
from statistics import mean

from stgrpo.config import Row
from stgrpo.report.contents import Column, TableSpec
from stgrpo.report.reported import Reported, compared_with, printed

_SPECIAL = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "$": r"\$",
    "&": r"\&",
    "#": r"\#",
    "%": r"\%",
    "_": r"\_",
    "^": r"\textasciicircum{}",
    "~": r"\textasciitilde{}",
    "±": r"$\pm$",
    "†": r"$^\dagger$",
}
CSV_COLUMNS: tuple[str, ...] = (
    "table",
    "scale",
    "row",
    "column",
    "cell",
    "seed",
    "value",
    "standard_error",
    "n",
    "reported",
    "delta",
    "spec",
    "trained",
    "commit",
    "image",
)
_NOTHING: Reported = {}


@dataclass(frozen=True)
class Measured:
    """One benchmark's score of one cell and seed; where it comes from.

    Attributes:
        spec: hash of the EvalSpec.
        trained: hash of the spec of the weights.
        commit: of the code that trained.
        image: SHA-256 of the image that answered, empty without one.
    """

    cell: str
    seed: int
    benchmark: str
    value: float
    standard_error: float
    n: int
    spec: str
    trained: str
    commit: str
    image: str = ""


def to_csv(table: TableSpec, measured: Sequence[Measured], reported: Reported = _NOTHING) -> str:
    """One line a number; `delta` is ours minus the paper's (`compared_with`). A row of the paper alone has no `value`.

    Where numbers are not comparable with the paper's, none of them are given, and `reported` and `delta` stay empty.
    """
    out = StringIO()
    writer = csv.DictWriter(out, CSV_COLUMNS, lineterminator="\n")
    writer.writeheader()
    for row in table.rows:
        for column in table.columns:
            theirs, held = printed(reported, row, column), compared_with(reported, row, column)
            where = {"table": table.name, "scale": table.scale, "row": row.label, "column": column.name}
            if row.cell is None and theirs:
                writer.writerow({**where, "reported": theirs})
            for m in _numbers(measured, row, column):
                writer.writerow(
                    {
                        **where,
                        "cell": m.cell,
                        "seed": m.seed,
                        "value": f"{m.value:.4f}",
                        "standard_error": f"{m.standard_error:.4f}",
                        "n": m.n,
                        "reported": theirs or "",
                        "delta": "" if held is None else f"{m.value - held:.4f}",
                        "spec": m.spec,
                        "trained": m.trained,
                        "commit": m.commit,
                        "image": m.image,
                    }
                )
    return out.getvalue()


def to_latex(table: TableSpec, measured: Sequence[Measured], reported: Reported = _NOTHING) -> str:
    """A booktabs table to \\input, as wide as the text (booktabs, graphicx); the first line names the scale.

    At a comparable scale the paper's numbers stand beside ours, in parentheses, and the best of ours in a column is
    bold; elsewhere no method is shown as the better one.
    """
    lines = [
        f"% scale: {table.scale}",
        r"\begin{table*}",
        r"\centering",
        rf"\caption{{{escape(table.caption)} {escape(_note(table, measured, reported))}}}",
        rf"\label{{tab:{table.name}}}",
        r"\medskip",
        r"\resizebox{\linewidth}{!}{%",
        rf"\begin{{tabular}}{{l{'c' * len(table.columns)}}}",
        r"\toprule",
        " & ".join(["Method", *(escape(column.title) for column in table.columns)]) + r" \\",
        r"\midrule",
    ]
    best = [_best(table, measured, column) for column in table.columns]
    for row in table.rows:
        label = row.label if row.cell else f"{row.label}†"
        numbers = [_number(measured, reported, row, c, b) for c, b in zip(table.columns, best, strict=True)]
        lines.append(" & ".join([escape(label), *numbers]) + r" \\")
    lines += [r"\bottomrule", r"\end{tabular}}", r"\end{table*}"]
    return "\n".join(lines) + "\n"


def escape(text: str) -> str:
    """Text that LaTeX prints as it stands."""
    return "".join(_SPECIAL.get(letter, letter) for letter in text)


def _note(table: TableSpec, measured: Sequence[Measured], reported: Reported) -> str:
    seeds = len({m.seed for m in measured})
    first = next(row for row in table.rows if row.cell)
    sizes = {column.title: _numbers(measured, first, column)[0].n for column in table.columns}
    singles = [column.title for column in table.columns if len(column.over) == 1]
    parts = [
        "Percent, ± standard error of one evaluation",
        *(["in parentheses what the paper prints, its averages too, while ours are recomputed"] if reported else []),
        f"mean over {seeds} seeds" if seeds > 1 else "one seed",
        "questions: " + ", ".join(f"{title} {sizes[title]}" for title in singles),
        *(f"{c.title}: unweighted mean of {len(c.over)} columns" for c in table.columns if len(c.over) > 1),
    ]
    note = "; ".join(parts) + "."
    if any(row.cell is None for row in table.rows):
        note += " † Not examined here: the paper's numbers alone."
    if table.omitted:
        note += f" Rows of the paper that are not here: {', '.join(table.omitted)}."
    if not table.comparable:
        what = "rendered videos and tiny models, not the paper's data" if table.rendered else "not the paper's setting"
        note = f"Scale '{table.scale}': {what}. {note}"
    return note


def _best(table: TableSpec, measured: Sequence[Measured], column: Column) -> float | None:
    if not table.comparable:
        return None
    return max(_shown(_numbers(measured, row, column)) for row in table.rows if row.cell)


def _number(measured: Sequence[Measured], reported: Reported, row: Row, column: Column, best: float | None) -> str:
    """Ours with its error, then the paper's; a dash where there is neither."""
    shown = []
    if numbers := _numbers(measured, row, column):
        value, error = _shown(numbers), mean(m.standard_error for m in numbers)
        text = rf"\textbf{{{value:.1f}}}" if value == best else f"{value:.1f}"
        shown.append(rf"{text} {{\scriptsize$\pm${error:.1f}}}")
    if theirs := printed(reported, row, column):
        shown.append(rf"{{\scriptsize({theirs})}}")
    return " ".join(shown) or "--"


def _shown(numbers: Sequence[Measured]) -> float:
    """Mean over the seeds, as printed: one decimal, half up."""
    exact = Decimal(repr(mean(m.value for m in numbers)))
    return float(exact.quantize(Decimal("0.1"), ROUND_HALF_UP))


def _numbers(measured: Sequence[Measured], row: Row, column: Column) -> list[Measured]:
    """The numbers of a row's cell in a column, one a seed."""
    return list(_means([m for m in measured if m.cell == row.cell and m.benchmark in column.over], column))


def _means(found: Sequence[Measured], column: Column) -> Iterator[Measured]:
    """The mean over a column's benchmarks of each seed; benchmarks have no question in common, so errors add up."""
    for seed in sorted({m.seed for m in found}):
        parts = [m for m in found if m.seed == seed]
        yield Measured(
            cell=parts[0].cell,
            seed=seed,
            benchmark=column.name,
            value=mean(m.value for m in parts),
            standard_error=math.hypot(*(m.standard_error for m in parts)) / len(parts),
            n=sum(m.n for m in parts),
            spec=parts[0].spec,
            trained=parts[0].trained,
            commit=parts[0].commit,
            image=parts[0].image,
        )
