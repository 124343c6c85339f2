"""The numbered deviations from the paper, read where they are written down: the text of `stgrpo.rl.trainer`."""

import ast
import re
from pathlib import Path

TRAINER = Path(__file__).parents[1] / "rl" / "trainer.py"  # read, not imported: it would bring torch along
_POINT = re.compile(r"^ ?(\d+)\. +(.*)")


def deviations(source: str) -> list[str]:
    """The points of a module's text that are numbered 1, 2, ..., each in one line."""
    points: list[str] = []
    inside = False
    for line in (ast.get_docstring(ast.parse(source)) or "").splitlines():
        point = _POINT.match(line)
        if point and int(point[1]) == len(points) + 1:
            points.append(point[2])
            inside = True
        elif inside and line.startswith("    ") and line.strip():
            points[-1] += " " + line.strip()
        else:
            inside = False
    return points
