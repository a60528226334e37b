"""Inline SVG, drawn by matplotlib, whose colours are the page's own variables."""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Callable
from typing import Any
from xml.etree import ElementTree as ET

from pytest_modellab.errors import ModellabError
from pytest_modellab.reports.page.markup import Html, drawing, el, join
from pytest_modellab.visible import visible

SERIES = 8
"""How many strategies have a colour and a marker of their own."""


MARKERS = ("o", "s", "^", "D", "v", (4, 1, 0), "*", "p")


GLYPHS = ("●", "■", "▲", "◆", "▼", "✦", "★", "⬟")


NARROW, WIDE = 356, 820
"""Widths of a chart for a phone, and for everything wider."""


_TOKENS = (
    *("ink", "soft", "line", "paper", "bad", "good", "accent"),
    *(f"s{i}" for i in range(SERIES)),
)


_SENTINEL = re.compile("#0a0b([0-9a-f]{2})")


_FONT = re.compile(r"font-family:[^;]*;? ?")


_SHORT_FONT = re.compile(r"font: (?:(bold|\d+) )?([\d.]+px) [^;]*")  # of older releases


_REFERENCE = re.compile(r"#([A-Za-z0-9_.-]+)")


def colour(token: str) -> str:
    """The colour that stands for one of the page's variables in a drawing."""
    return f"#0a0b{_TOKENS.index(token):02x}"


def series(index: int) -> str:
    """The colour of a strategy."""
    return colour(f"s{index % SERIES}")


def require() -> None:
    """Say what the page needs, before anything is measured for it.

    Raises:
        ModellabError: matplotlib is not installed.
    """
    try:
        import matplotlib.backends.backend_svg  # noqa: F401
    except ImportError as error:
        raise ModellabError(
            f"the trade-off page needs matplotlib ({error}): pip install 'pytest-modellab[report]'"
        ) from error


def svg(
    draw: Callable[[Any], None],
    *,
    ident: str,
    title: str,
    description: str,
    width: float,
    height: float,
    style: str = "",
) -> Html:
    """Draw a figure and return it as inline SVG.

    Args:
        draw: is given the figure; a unit is a pixel, 72 to the inch.
        ident: unique on the page; ids in the drawing start with it.
        title: what it is.
        description: what is seen in it.
        width: in pixels.
        height: in pixels.
        style: further classes.

    Returns:
        The element: no outside names, no own styles, nothing that depends on the day.

    Raises:
        ModellabError: matplotlib is not installed.
    """
    require()
    import matplotlib as mpl
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    settings = {
        "svg.fonttype": "none",
        "svg.hashsalt": ident,
        "text.parse_math": False,  # names are text, whatever is in them
        "text.color": colour("ink"),
        "font.size": 12,
        "axes.labelcolor": colour("soft"),
        "axes.edgecolor": colour("line"),
        "axes.facecolor": "none",
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.axisbelow": True,
        "figure.facecolor": "none",
        "grid.color": colour("line"),
        "grid.linewidth": 0.8,
        "xtick.color": colour("line"),
        "ytick.color": colour("line"),
        "xtick.labelcolor": colour("soft"),
        "ytick.labelcolor": colour("soft"),
        "xtick.labelsize": 11,
        "ytick.labelsize": 11,
    }
    text = io.StringIO()
    with mpl.rc_context(settings), warnings.catch_warnings():
        # the reader's browser has the glyphs; matplotlib only measures with its own font
        warnings.filterwarnings("ignore", message="Glyph .* missing from", category=UserWarning)
        figure = Figure(figsize=(width / 72, height / 72), dpi=72)
        FigureCanvasSVG(figure)
        draw(figure)
        figure.savefig(text, format="svg", metadata={"Date": None}, transparent=True)
    root = ET.fromstring(text.getvalue())  # noqa: S314 - written by matplotlib above
    return _inline(root, ident, title, description, width, height, style)


def shortened(name: str, most: int) -> str:
    """A name for a label: visible characters, an ellipsis in place of the rest."""
    text = visible(name)
    return text if len(text) <= most else f"{text[: most - 1]}…"


def _inline(
    root: ET.Element,
    ident: str,
    title: str,
    description: str,
    width: float,
    height: float,
    style: str,
) -> Html:
    used = {
        name
        for element in root.iter()
        for key, value in element.attrib.items()
        if _local(key) in ("href", "clip-path", "style")
        for name in _REFERENCE.findall(value)
    }
    body = [_written(child, ident, used) for child in root if _local(child.tag) != "metadata"]
    return drawing(ident, title, description, width, height, body, style=style)


def _written(element: ET.Element, ident: str, used: set[str]) -> Html:
    """An element and what is in it, without namespaces, its ids made unique."""
    tag = _local(element.tag)
    if tag == "style":  # matplotlib's rule for every element; a page has more of them
        return Html()
    inner = join([_written(child, ident, used) for child in element])
    if tag in ("g", "defs") and not inner:
        return Html()
    found = {}
    for key, value in element.attrib.items():
        key = _local(key)
        if key == "id":
            if value not in used:
                continue
            value = f"{ident}-{value}"
        elif key in ("href", "clip-path"):
            value = value.replace("#", f"#{ident}-")
        elif key == "style":
            value = _SHORT_FONT.sub(
                lambda m: f"font-size: {m[2]}" + (f"; font-weight: {m[1]}" if m[1] else ""), value
            )
            value = _FONT.sub("", value)
            value = _SENTINEL.sub(lambda m: f"var(--{_TOKENS[int(m[1], 16)]})", value)
        elif key == "transform" and value.startswith("rotate(-0 "):
            continue
        elif key == "d":
            value = " ".join(value.split())
        found[key] = value
    if tag == "g" and not found:
        return inner
    return el(tag, element.text if tag == "text" else None, inner, **found)


def _local(name: str) -> str:
    return name.rpartition("}")[2]
