"""The errors that a user can mend; the command line prints them in one line and without a traceback."""

import difflib
from collections.abc import Iterable

_LONGEST = 1000  # characters of a line; the longest of ours lists names and has some 900


class UserError(Exception):
    """Bad input. The text says where, what, what would be right, and what to type next.

    It may quote what came in, so what a terminal would act on is written out, and what is endless is cut.
    """

    def __init__(self, *lines: str) -> None:
        """One line, or several where there are several errors."""
        super().__init__("\n".join(map(_printable, lines)))


class VideoError(UserError):
    """A video that cannot be used: missing, damaged, hanging its decoder, or examined; its row is set aside."""


def suggest(name: str, known: Iterable[str]) -> str:
    """A half sentence that names the nearest known name, or all of them."""
    names = list(known)
    near = difflib.get_close_matches(name, names, n=1)
    return f"did you mean '{near[0]}'?" if near else f"known: {', '.join(names)}"


def _printable(text: str) -> str:
    """One line without control characters, line breaks or halves of a character, at most as long as people read."""
    cut = text if len(text) <= _LONGEST else f"{text[: _LONGEST // 2]} ... {text[-_LONGEST // 2 :]}"
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in cut)
