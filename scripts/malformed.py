"""Run the corpus of malformed input (tests/malformed) and write docs/malformed.md: how each of them ends.

    python scripts/malformed.py

Ends with status 1, and leaves the page as it was, if one does not end as it must.
"""

import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

_PAGE = ROOT / "docs" / "malformed.md"
_LONGEST = 160  # characters of a line that the page shows
_HEAD = """# Malformed input, and how each ends

Written by `python scripts/malformed.py`; `tests/test_malformed.py` holds the same. Each input is fed to a verb as the
workflow calls it. FOLDER stands for the folder that it lies in; s are of one run.

"""


Ended = list[tuple[Any, Any]]  # Case and Outcome of tests/malformed/harness.py


def main() -> None:
    """Run all, then write or complain."""
    # Not above: a decoder is a new process, which reads this file again, and the corpus brings torch.
    from malformed import ALL
    from malformed.harness import check, outcome

    from stgrpo.files import write_text

    ended: Ended = []
    wrong: list[str] = []
    for case in ALL:
        with tempfile.TemporaryDirectory(prefix="malformed-") as name:
            folder = Path(name)
            found = outcome(case, folder)
            ended.append((case, found))
            try:
                check(case, folder, found)
            except (AssertionError, OSError, ValueError) as error:  # the last two: `right` finds no file, or no JSON
                wrong.append(f"{case.name}: {error}")
    for line in wrong:
        print(line, file=sys.stderr)
    print(f"{len(ended)} inputs, {len(wrong)} do not end as they must")
    if wrong:
        sys.exit(1)
    write_text(_PAGE, _HEAD + "\n".join([*_counts(ended), "", *_table(ended)]) + "\n")


def _counts(ended: Ended) -> list[str]:
    """Inputs and distinct lines of every surface."""
    by_surface = Counter(case.surface for case, _ in ended)
    said = {surface: {_said(c, f) for c, f in ended if c.surface == surface} for surface in by_surface}
    rows = [f"| {surface} | {count} | {len(said[surface])} |" for surface, count in by_surface.items()]
    return ["| surface | inputs | distinct ends |", "|---|---|---|", *rows, f"| all | {len(ended)} | |"]


def _table(ended: Ended) -> list[str]:
    rows = [
        f"| {case.surface} | {_cell(case.what)} | {_cell(_said(case, found))} | {found.seconds:.1f} |"
        for case, found in ended
    ]
    return ["| surface | what is wrong | how it ends | s |", "|---|---|---|---|", *rows]


def _said(case: Any, found: Any) -> str:
    if case.accepted:
        return f"handled, {found.handled}"
    return f"set aside: {found.aside[0]}" if case.set_aside else found.line


def _cell(text: str) -> str:
    """One cell of Markdown, cut in its middle."""
    line = " / ".join(text.splitlines())
    cut = line if len(line) <= _LONGEST else f"{line[: _LONGEST // 2]} ... {line[-_LONGEST // 2 :]}"
    return cut.replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;").replace("*", "\\*")


if __name__ == "__main__":
    main()
