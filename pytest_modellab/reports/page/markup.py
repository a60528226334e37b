"""HTML from Python values: everything is escaped but what is markup already."""

from __future__ import annotations

import dataclasses
import html
from collections.abc import Iterable, Sequence
from typing import Any, Self

from markupsafe import Markup

from pytest_modellab.visible import LINE, shortened, visible

_VOID = frozenset({"br", "col", "img", "input", "meta"})


class Html(Markup):
    """Text that is markup already; other text that is put into it is escaped."""

    __slots__ = ()

    @classmethod
    def escape(cls, s: Any, /) -> Self:
        """Return markup as it is, and text with control characters made visible, then escaped."""
        if isinstance(s, Markup):
            return cls(s)
        return cls(html.escape(visible(str(s))))  # named references, as the page always had


Content = str | None | Sequence["Content"]
"""What an element holds: text is escaped, :class:`Html` is not, None is nothing."""


@dataclasses.dataclass(frozen=True)
class Cell:
    """A cell of a table.

    Attributes:
        content: what it shows.
        sort: what its column is sorted by, where that is not what it shows.
        style: classes.
    """

    content: Content
    sort: float | None = None
    style: str = ""


def el(tag: str, *children: Content, **attributes: str | float | bool | None) -> Html:
    """An element.

    Args:
        tag: its name.
        children: what it holds.
        attributes: ``class_`` is written as ``class``, ``data_x`` as ``data-x``; True is written
            without a value, False and None are left out.

    Returns:
        The markup.
    """
    written = "".join(
        f" {_name(key)}" if value is True else f' {_name(key)}="{Html.escape(value)}"'
        for key, value in attributes.items()
        if value is not None and value is not False
    )
    if tag in _VOID:
        return Html(f"<{tag}{written}>")
    return Html(f"<{tag}{written}>{join(children)}</{tag}>")


def join(content: Content) -> Html:
    """Content as markup, nothing between its parts."""
    if content is None:
        return Html()
    if isinstance(content, str):
        return Html.escape(content if isinstance(content, Markup) else shortened(content, LINE))
    return Html().join(join(part) for part in content)


def table(
    caption: str,
    head: Sequence[Content],
    rows: Iterable[Sequence[Cell | Content]],
    *,
    left: Iterable[int] = (0,),
    style: str = "",
    show_caption: bool = False,
) -> Html:
    """A table in a box that it scrolls in; the first cell of a row names it.

    Args:
        caption: says what it shows; for screen readers too, which list tables by it.
        head: the columns' names.
        rows: their cells.
        left: columns that are not numbers.
        style: further classes.
        show_caption: whether the caption is seen.

    Returns:
        The markup.
    """
    words = set(left)
    body = []
    for row in rows:
        cells = []
        for i, value in enumerate(row):
            cell = value if isinstance(value, Cell) else Cell(value)
            style_ = f"{cell.style} {'' if i in words else 'n'}".strip() or None
            sort = None if cell.sort is None else f"{cell.sort:.10g}"
            kind = {"scope": "row"} if i == 0 else {}
            cells.append(el("td" if i else "th", cell.content, class_=style_, data_v=sort, **kind))
        body.append(el("tr", cells))
    names = [
        el("th", name, scope="col", class_=None if i in words else "n", data_col=str(i))
        for i, name in enumerate(head)
    ]
    found = el(
        "table",
        el("caption", caption, class_=None if show_caption else "unseen"),
        el("thead", el("tr", names)),
        el("tbody", body),
        class_=style or None,
    )
    return scroll(caption, found)


def scroll(label: str, content: Content, style: str = "") -> Html:
    """A box that wide content scrolls in, by keyboard too."""
    return el(
        "div",
        content,
        class_=f"scroll {style}".strip(),
        tabindex="0",
        role="region",
        aria_label=label,
    )


def details(summary: Content, *content: Content) -> Html:
    """Content that is shown when it is asked for."""
    return el("details", el("summary", summary), content)


def tabs(name: str, label: str, panels: Sequence[tuple[str, Content]]) -> Html:
    """Panels of which one is shown, without a script: radio buttons; print shows all of them.

    Args:
        name: unique on the page.
        label: what is chosen.
        panels: titles and contents, at most five.

    Returns:
        The markup; of a single panel only its content.
    """
    if len(panels) == 1:
        return join(panels[0][1])
    choices = []
    for i, (title, _) in enumerate(panels):
        ident = f"{name}-{i}"
        choices.append(
            el("input", type="radio", name=name, id=ident, checked=i == 0, class_="unseen")
        )
        choices.append(el("label", title, for_=ident))
    shown = [
        el("div", el("p", title, class_="tab-title"), content, class_="panel")
        for title, content in panels
    ]
    return el("fieldset", el("legend", label, class_="unseen"), choices, shown, class_="tabs")


def breakable(name: str) -> Content:
    """A name that may be broken after its underscores."""
    parts: list[Content] = []
    for i, part in enumerate(name.split("_")):
        parts += [Html("_<wbr>"), part] if i else [part]
    return parts


def section(ident: str, title: str, *content: Content, style: str = "part") -> Html:
    """A part of a task set's report, with its heading."""
    return el(
        "section",
        el("h3", title, id=ident),
        content,
        class_=style,
        aria_labelledby=ident,
    )


def document(title: str, style: str, *body: Content) -> str:
    """A page that refers to nothing outside of it.

    Args:
        title: of the window.
        style: the rules.
        body: what is shown.
    """
    page = el(
        "html",
        el(
            "head",
            el("meta", charset="utf-8"),
            el("meta", name="viewport", content="width=device-width, initial-scale=1"),
            el("meta", name="color-scheme", content="light dark"),
            el("title", title),
            el("style", Html(style)),
        ),
        el("body", *body),
        lang="en",
    )
    return f"<!DOCTYPE html>\n{page}\n"


def drawing(
    ident: str,
    title: str,
    description: str,
    width: float,
    height: float,
    *content: Content,
    style: str = "",
) -> Html:
    """Inline SVG with its title and description for who does not see it.

    Args:
        ident: unique on the page.
        title: what it is.
        description: what is seen in it.
        width: in pixels.
        height: in pixels.
        content: what is drawn.
        style: further classes.
    """
    return el(
        "svg",
        el("title", title, id=f"{ident}-t"),
        el("desc", description, id=f"{ident}-d"),
        content,
        viewBox=f"0 0 {width:g} {height:g}",
        width=f"{width:g}",
        height=f"{height:g}",
        role="img",
        aria_labelledby=f"{ident}-t",
        aria_describedby=f"{ident}-d",
        class_=f"chart {style}".strip(),
    )


def _name(key: str) -> str:
    return key.rstrip("_").replace("_", "-")
