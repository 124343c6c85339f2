"""Text in which every character can be seen, so that none hides what others say."""

import re

# Characters that show as nothing, or turn the order of others around: control characters but for tab and line feed,
# directional marks, overrides and isolates, zero widths, tags, halves of surrogate pairs.
_UNSEEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"
    "\ud800-\udfff\U000e0000-\U000e007f]"
)


def visible(text: str) -> str:
    """[U+202E] instead of a character that turns others around."""
    return _UNSEEN.sub(lambda found: f"[U+{ord(found[0]):04X}]", text.replace("\r\n", "\n"))
