"""Drawings as SVG that stands in an HTML page: text as text, nothing that reaches out of its own drawing."""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from io import StringIO
from typing import Any
from xml.etree import ElementTree

from stgrpo.report.visible import visible

NAMESPACE, _XLINK = "http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"
_FONTS = "'DejaVu Sans', Verdana, sans-serif"  # about equally wide
_COORDINATES, _LONG = {"d", "x", "y", "transform"}, re.compile(r"-?\d+\.\d{3,}")  # points; two decimals are enough
_REFERENCE = re.compile(r"(?<=url\(#)[^)]+")
# Of Okabe and Ito, for people with any colour vision; these four are of different lightness, too.
_COLOURS = ("#000000", "#d55e00", "#0072b2", "#e69f00")
_DASHES = ("-", "--", "-.", ":")
_MARKERS = ("o", "s", "^", "D")


@contextmanager
def drawing(width: float, height: float, columns: int = 1) -> Iterator[tuple[Any, Sequence[Any]]]:
    """A figure of `width` x `height` inches with its axes side by side, closed in the end.

    Text is printed as it stands: nothing between two dollars is read as a formula.
    """
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot, rc_context

    with rc_context({"text.parse_math": False, "font.family": "DejaVu Sans", "axes.unicode_minus": True}):
        figure, axes = pyplot.subplots(
            1, columns, figsize=(width, height), sharey=True, squeeze=False, layout="constrained"
        )
        for axis in axes[0]:
            axis.spines[["top", "right"]].set_visible(False)
        try:
            yield figure, list(axes[0])
        finally:
            pyplot.close(figure)


def line_style(position: int) -> dict[str, str]:
    """Colour and dashes of the line at this position; neighbours differ in both, and sixteen in one of them."""
    turn, place = divmod(position, len(_COLOURS))
    return {"color": _COLOURS[place], "linestyle": _DASHES[(place + turn) % len(_DASHES)]}


def marker(position: int) -> str:
    """Shape of the points of the line at this position; four look different."""
    return _MARKERS[position % len(_MARKERS)]


def to_svg(figure: Any, name: str, title: str) -> str:
    """An <svg> element as wide as what it stands in allows.

    Args:
        figure: matplotlib's.
        name: unique in the page: it stands before every id, so that no drawing points into another one.
        title: what a reader hears who does not see it.
    """
    from matplotlib import rc_context
    from matplotlib.text import Text

    for text in figure.findobj(Text):  # XML has no control characters
        text.set_text(visible(text.get_text()))
    out = StringIO()
    nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": name}):  # equal data give equal bytes
        figure.savefig(out, format="svg", metadata=nothing, transparent=True)
    root = ElementTree.fromstring(out.getvalue())
    _keep_to_itself(root, name)
    width = root.attrib.pop("width")
    del root.attrib["height"]
    style = f"max-width: {width}; width: 100%; stroke-linejoin: round; font-family: {_FONTS}"
    root.attrib |= {"xmlns": NAMESPACE, "role": "img", "aria-label": visible(title), "style": style}
    return ElementTree.tostring(root, encoding="unicode")


def _keep_to_itself(root: ElementTree.Element, name: str) -> None:
    """Ids get a prefix, or go where nothing points to them; the style sheet, which would be the page's, goes, and
    so does the font of every text for that of the drawing; coordinates are rounded."""
    link = f"{{{_XLINK}}}href"
    for parent in list(root.iter()):
        for child in parent.findall(f"{{{NAMESPACE}}}style"):
            parent.remove(child)
    text = [value for element in root.iter() for value in element.attrib.values()]
    used = {found for value in text for found in _REFERENCE.findall(value)}
    used |= {element.attrib[link].removeprefix("#") for element in root.iter() if link in element.attrib}
    for element in root.iter():
        element.tag = element.tag.removeprefix(f"{{{NAMESPACE}}}")  # the root names it for all
        given = element.attrib
        if link in given:
            given["href"] = "#" + name + "-" + given.pop(link).removeprefix("#")
        if "id" in given and given["id"] in used:
            given["id"] = f"{name}-{given['id']}"
        else:
            given.pop("id", None)
        if "style" in given:
            given["style"] = re.sub(r"font-family: [^;]+;? ?", "", given["style"])
        for key in _COORDINATES & given.keys():
            given[key] = _LONG.sub(lambda found: f"{float(found[0]):.2f}", given[key])
        for key, value in given.items():
            given[key] = _REFERENCE.sub(lambda found: f"{name}-{found[0]}", value)
