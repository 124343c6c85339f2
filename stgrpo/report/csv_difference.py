"""Whether two tables' CSVs say the same: libraries of other versions differ in the last decimals of an interval."""

import csv
import math
from io import StringIO

_MEASURED = (
    *("value", "standard_error", "low", "high", "delta", "difference", "difference_low", "difference_high"),
    "p",
)
_CLOSE, _CLOSE_P = 2e-4, 1e-4  # percent, of which four decimals are written
_CLOSE_RATIO_P = 1e-2  # p has four digits, and its tail is far more sensitive than the interval


def csv_difference(found: str, again: str) -> str | None:
    """The first cell of a table's CSV that is not as it should be, in words; None where there is none.

    Percents may differ by 0.0002, p by 0.0001 or a hundredth of it; all other cells not at all.

    Args:
        found: the text of the file.
        again: the same table made again.
    """
    theirs = list(csv.reader(StringIO(again, newline="")))
    try:
        ours = list(csv.reader(StringIO(found, newline="")))
    except csv.Error as error:
        return f"no CSV: {error}"
    for number, (one, other) in enumerate(zip(ours, theirs, strict=False), 1):
        if len(one) != len(other):
            return f"line {number} has {len(one)} cells, should have {len(other)}"
        for name, cell, wanted in zip(theirs[0], one, other, strict=True):
            if cell != wanted and not (number > 1 and name in _MEASURED and _close(name, cell, wanted)):
                return f"line {number} has {name} '{cell}', should have '{wanted}'"
    return None if len(ours) == len(theirs) else f"{len(ours)} lines, should be {len(theirs)}"


def _close(name: str, cell: str, wanted: str) -> bool:
    try:
        one, other = float(cell), float(wanted)
    except ValueError:  # nothing can be said of one of them
        return False
    if name == "p":
        return math.isclose(one, other, rel_tol=_CLOSE_RATIO_P, abs_tol=_CLOSE_P)
    return math.isclose(one, other, rel_tol=0, abs_tol=_CLOSE * (1 + 1e-6))  # of decimals that floats cannot hold
