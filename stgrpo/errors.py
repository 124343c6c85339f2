"""The errors that a user can mend; the command line prints them in one line and without a traceback."""

import difflib
from collections.abc import Iterable


class UserError(Exception):
    """Bad input. The text says where, what, what would be right, and what to type next."""


class VideoError(UserError):
    """A video that cannot be used: missing, damaged, hanging its decoder, or examined; its row is set aside."""


def suggest(name: str, known: Iterable[str]) -> str:
    """A half sentence that names the nearest known name, or all of them."""
    names = list(known)
    near = difflib.get_close_matches(name, names, n=1)
    return f"did you mean '{near[0]}'?" if near else f"known: {', '.join(names)}"
