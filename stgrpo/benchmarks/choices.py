"""Find the letter that an answer in words chooses, as lmms-eval 0.7.3 does (`_task_utils/mcq_extract.py:66-158`)."""

_CUES = (
    *(f"{lead}answer is" for lead in ("", "the ", "correct ", "the correct ", "best ", "the best ", "my ")),
    *(f"{lead}option is" for lead in ("correct ", "the correct ", "best ", "the best ")),
    *(f"{lead}choice is" for lead in ("", "the ", "correct ", "the correct ", "my ")),
    *("i choose", "i select", "i pick"),
    *("옵션", "정답은", "답은", "답:", "答案是", "答案为", "选", "答えは"),
)
_FORMS = ("({})", "{}.", "{}:", "{})", "{} ", "{}")  # the more it looks like a choice, the earlier


def pick_letter(text: str, letters: str) -> str:
    """The upper-case letter that an answer means; empty if there is none.

    In this order: a letter that starts the text, one that ends it, one after a phrase such as "the answer is", and
    then by its form, from "(B)" down to a B anywhere. Of several letters of one form the last counts.

    Args:
        text: an extracted answer.
        letters: those of the options, such as "ABCD".
    """
    text = text.strip()
    for mark in ",.!?;:'\"":
        text = text.strip(mark)
    if not (text := text.strip()):
        return ""
    if text[:1] in letters and not text[1:2].isalpha():
        return text[:1]
    if text[-1:] in letters and not text[-2:-1].isalpha():
        return text[-1:]
    return _after_cue(text, letters) or _by_form(f"{text} ", letters)


def _after_cue(text: str, letters: str) -> str:
    """Of the first B, C, ... after the first of every cue, the one that stands last."""
    lower, found = text.lower(), []
    for cue in _CUES:
        if (at := lower.find(cue)) >= 0:
            found += [(text.find(letter, at + len(cue)), letter) for letter in letters]
    place, letter = max(found, default=(-1, ""))
    return letter if place >= 0 else ""


def _by_form(text: str, letters: str) -> str:
    for form in _FORMS:
        place, letter = max((text.rfind(form.format(letter)), letter) for letter in letters)
        if place >= 0:
            return letter
    return ""
