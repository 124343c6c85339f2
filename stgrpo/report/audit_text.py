"""The audit for people: plain text of about a hundred columns."""

from collections.abc import Iterator, Sequence
from math import exp

from stgrpo.config import QUESTIONS
from stgrpo.report.audit import (
    CLAIMS,
    COUNTS,
    SPREADS,
    Average,
    Difference,
    PaperRow,
    against,
    averages,
    differences,
    distinct,
    entropy,
)

_SHORT = {"videomme": "MME", "vsibench": "VSI", "perceptiontest": "PT", "tempcompass": "TC", "videommmu": "MMMU"}


def audit(rows: Sequence[PaperRow]) -> str:
    """All of it."""
    parts = (_averages(list(averages(rows))), _differences(list(differences(rows))), _claims(rows), _entropies())
    return "\n".join(line for part in parts for line in [*part, ""]).rstrip()


def _averages(found: Sequence[Average]) -> Iterator[str]:
    yield "Averages as printed, and the mean of the columns that explain most averages of their table"
    for table in dict.fromkeys(one.row.table for one in found):
        own = [one for one in found if one.row.table == table]
        yield f"  {table}, over {_named(own[0].columns)}"
        for one in own:
            note = "" if one.verdict == "rounded" else f"  {one.verdict}"
            yield f"    {one.row.name:38} {one.row.average:>5}  {one.mean:6.2f}{note}".rstrip()


def _named(columns: Sequence[str]) -> str:
    left_out = [name for name in QUESTIONS if name not in columns]
    return f"all {len(columns)} columns" if not left_out else f"{len(columns)} columns, without {', '.join(left_out)}"


def _differences(found: Sequence[Difference]) -> Iterator[str]:
    yield "Differences in points; those in parentheses are within 1.96 standard errors of zero, as if both rows had"
    yield "answered questions of their own. Paired, errors would be smaller; the trainings' seeds add to them."
    columns = [*QUESTIONS, "mean"]
    yield f"  {'':46}" + "".join(f"{_SHORT.get(name, name.upper() if name == 'mmvu' else name):>9}" for name in columns)
    for row in dict.fromkeys((one.row.table, one.row.name) for one in found):
        own = [one for one in found if (one.row.table, one.row.name) == row]
        name = f"{row[0]} {row[1].removeprefix('ST-GRPO ')} - {own[0].baseline.name}"
        yield f"  {name:46.46}" + "".join(f"{_shown(one):>9}" for one in own)
    single = [one for one in found if one.column != "mean"]
    once = distinct(single)
    yield (
        f"  {sum(one.resolved for one in single)} of {len(single)} differences on one benchmark are resolved; "
        f"without repeats of other tables, {sum(one.resolved for one in once)} of {len(once)}"
    )


def _shown(one: Difference) -> str:
    text = f"{one.value:+.2f}" if one.column == "mean" else f"{one.value:+.1f}"
    return text if one.resolved else f"({text})"


def _claims(rows: Sequence[PaperRow]) -> Iterator[str]:
    yield "What the text says, against the tables"
    for claim in CLAIMS:
        contrary = ", ".join(f"{name} {value:+}" for name, value in against(claim, rows).items())
        yield f'  "{claim.words}" ({claim.table}, {claim.row})'
        yield f"    not on {contrary}" if contrary else "    holds"


def _entropies() -> Iterator[str]:
    yield "Entropy of Eq. 5's weights (1 is uniform sampling), cosines evenly spread inside a segment of 16 frames"
    yield "  spread  largest ratio  " + "  ".join(f"K = {count}" for count in COUNTS)
    for spread in SPREADS:
        shares = "  ".join(f"{entropy(spread, count):.3f}" for count in COUNTS)
        yield f"  {spread:6.2f}  {exp(spread):13.2f}  {shares}"
