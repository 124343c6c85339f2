"""Damage to files."""

from typing import Any, Self

from hypothesis import strategies as st

_PIECES = st.one_of(
    st.sampled_from(
        [b"\x00", b"\xff", bytes(4), b"\xff" * 4, b"\xff" * 8, b"\x7f\xff\xff\xff", b"{", b"}", b'"', b"\n"]
    ),
    st.binary(min_size=1, max_size=8),
)
_LENGTHS = st.integers(1, 256)
_EDITS = st.one_of(
    st.tuples(st.just("cut"), st.none()),
    st.tuples(st.just("flip"), st.integers(0, 7)),
    st.tuples(st.just("overwrite"), _PIECES),
    st.tuples(st.just("insert"), _PIECES),
    st.tuples(st.just("leave out"), _LENGTHS),
    st.tuples(st.just("double"), _LENGTHS),
)


class Damaged(bytes):
    """A file after its damage, shown as what was done to it."""

    done: list

    @classmethod
    def of(cls, original: bytes, edits: list) -> Self:
        """The original after edits, each at a place, what it is, and its size, bit or bytes."""
        content = original
        for at, (how, what) in edits:
            content = _edited(content, min(at, len(content)), how, what)
        made = cls(content)
        made.done = edits
        return made

    def __repr__(self) -> str:
        return f"Damaged({self.done})"


def damaged(original: bytes) -> st.SearchStrategy[Damaged]:
    """The original after one to four of: cut, a bit flipped, written over, put in, left out, doubled."""
    edit = st.tuples(st.integers(0, len(original)), _EDITS)
    return st.lists(edit, min_size=1, max_size=4).map(lambda edits: Damaged.of(original, edits))


def _edited(content: bytes, at: int, how: str, what: Any) -> bytes:
    before, behind = content[:at], content[at:]
    if how == "cut":
        return before
    if how == "flip":
        return before + bytes(byte ^ 1 << what for byte in behind[:1]) + behind[1:]
    if how == "overwrite":
        return before + what + behind[len(what) :]
    if how == "insert":
        return before + what + behind
    if how == "leave out":
        return before + behind[what:]
    return before + behind[:what] + behind
