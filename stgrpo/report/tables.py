"""One table as LaTeX for people and as CSV, one line a number, for programs."""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal
from io import StringIO
from statistics import mean

from stgrpo.config import Frozen, Row

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
}
CSV_COLUMNS = (
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
)


class TableSpec(Frozen):
    """A table of the active scale: rows of cells, columns of (benchmark, title), EvalSpec hashes by "cell/seedK"."""

    name: str
    scale: str
    caption: str
    rows: list[Row]
    columns: list[tuple[str, str]]
    specs: dict[str, str]


@dataclass(frozen=True)
class Measured:
    """One benchmark's score of one cell and seed; hashes of its EvalSpec and its weights' spec, commit that trained."""

    cell: str
    seed: int
    benchmark: str
    value: float
    standard_error: float
    n: int
    spec: str
    trained: str
    commit: str


def to_csv(table: TableSpec, measured: Sequence[Measured]) -> str:
    """One line a number. Below paper scale `reported` and `delta` stay empty: such numbers are not comparable."""
    out = StringIO()
    writer = csv.DictWriter(out, CSV_COLUMNS, lineterminator="\n")
    writer.writeheader()
    for row in table.rows:
        for benchmark, _ in table.columns:
            for m in _of(measured, row.cell, benchmark):
                writer.writerow(
                    {
                        "table": table.name,
                        "scale": table.scale,
                        "row": row.label,
                        "column": benchmark,
                        "cell": m.cell,
                        "seed": m.seed,
                        "value": f"{m.value:.4f}",
                        "standard_error": f"{m.standard_error:.4f}",
                        "n": m.n,
                        "reported": "",
                        "delta": "",
                        "spec": m.spec,
                        "trained": m.trained,
                        "commit": m.commit,
                    }
                )
    return out.getvalue()


def to_latex(table: TableSpec, measured: Sequence[Measured]) -> str:
    """A booktabs table to \\input; the first line names the scale.

    At paper scale the best value of a column is bold; below it no method is shown as the better one.
    """
    best = {
        benchmark: max(_shown(measured, row.cell, benchmark) for row in table.rows) if table.scale == "paper" else None
        for benchmark, _ in table.columns
    }
    lines = [
        f"% scale: {table.scale}",
        r"\begin{table}",
        r"\centering",
        rf"\caption{{{escape(table.caption)} {escape(_note(table, measured))}}}",
        rf"\label{{tab:{table.name}}}",
        rf"\begin{{tabular}}{{l{'c' * len(table.columns)}}}",
        r"\toprule",
        " & ".join(["Method", *(escape(title) for _, title in table.columns)]) + r" \\",
        r"\midrule",
    ]
    for row in table.rows:
        numbers = [_number(measured, row.cell, benchmark, best[benchmark]) for benchmark, _ in table.columns]
        lines.append(" & ".join([escape(row.label), *numbers]) + r" \\")
    lines += [r"\bottomrule", r"\end{tabular}", r"\end{table}"]
    return "\n".join(lines) + "\n"


def escape(text: str) -> str:
    """Text that LaTeX prints as it stands."""
    return "".join(_SPECIAL.get(letter, letter) for letter in text)


def _note(table: TableSpec, measured: Sequence[Measured]) -> str:
    seeds = len({m.seed for m in measured})
    sizes = ", ".join(f"{title}: {max(m.n for m in measured if m.benchmark == b)}" for b, title in table.columns)
    mean_over = f"mean over {seeds} seeds" if seeds > 1 else "one seed"
    note = f"Percent, ± standard error of one evaluation; {mean_over}; questions: {sizes}."
    if table.scale != "paper":
        note = f"Scale '{table.scale}': rendered videos and tiny models, not the paper's data. " + note
    return note


def _number(measured: Sequence[Measured], cell: str, benchmark: str, best: float | None) -> str:
    value = _shown(measured, cell, benchmark)
    error = mean(m.standard_error for m in _of(measured, cell, benchmark))
    text = rf"{value:.1f} {{\scriptsize$\pm${error:.1f}}}"
    return rf"\textbf{{{value:.1f}}} {{\scriptsize$\pm${error:.1f}}}" if value == best else text


def _shown(measured: Sequence[Measured], cell: str, benchmark: str) -> float:
    """Mean over the seeds, as printed: one decimal, half up."""
    exact = Decimal(repr(mean(m.value for m in _of(measured, cell, benchmark))))
    return float(exact.quantize(Decimal("0.1"), ROUND_HALF_UP))


def _of(measured: Sequence[Measured], cell: str, benchmark: str) -> list[Measured]:
    return [m for m in measured if m.cell == cell and m.benchmark == benchmark]
