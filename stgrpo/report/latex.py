"""Any text as LaTeX that prints it and does nothing else, with any of its engines and font encodings."""

import re
import unicodedata

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
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    "`": r"\textasciigrave{}",
    "[": "{[}",  # at the start of a row it would be an option of the \\ before it
    "]": "{]}",
    "*": "{*}",  # likewise
    "±": r"$\pm$",
    "×": r"$\times$",
    "−": "$-$",
    "†": r"$^\dagger$",
    "–": r"\textendash{}",
    "—": r"\textemdash{}",
    "‘": r"\textquoteleft{}",
    "’": r"\textquoteright{}",
    "“": r"\textquotedblleft{}",
    "”": r"\textquotedblright{}",
}
_ACCENTS = {
    "\u0300": "`",
    "\u0301": "'",
    "\u0302": "^",
    "\u0303": "~",
    "\u0304": "=",
    "\u0306": "u",
    "\u0307": ".",
    "\u0308": '"',
    "\u030a": "r",
    "\u030b": "H",
    "\u030c": "v",
    "\u0327": "c",
}


def escape(text: str) -> str:
    """Text that LaTeX prints as it stands, on one line.

    A blank of any kind is a space. What may have no glyph (other scripts, control characters) would stop LaTeX and is
    printed by its number, such as [U+4E2D].
    """
    escaped = "".join(map(_letter, text))
    return re.sub("-(?=-)", "-{}", escaped)  # no dashes of hyphens


def label(name: str) -> str:
    """A name as \\label takes it."""
    return re.sub(r"[^A-Za-z0-9_.-]", "-", name)


def _letter(letter: str) -> str:
    if letter in _SPECIAL:
        return _SPECIAL[letter]
    if letter.isspace():
        return " "
    if letter.isascii() and letter.isprintable():
        return letter
    base, *accents = unicodedata.normalize("NFD", letter)
    if base.isascii() and base.isalpha() and len(accents) == 1 and accents[0] in _ACCENTS:
        return rf"\{_ACCENTS[accents[0]]}{{{base}}}"
    return f"{{[}}U+{ord(letter):04X}{{]}}"
