"""Inline SVG for drawings that no library makes."""

from __future__ import annotations

from pytest_modellab.reports.page.markup import Content, Html, el


def drawing(
    ident: str,
    title: str,
    description: str,
    width: float,
    height: float,
    *content: Content,
    style: str = "",
) -> Html:
    """A drawing with its title and description for who does not see it.

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


def text(x: float, y: float, content: Content, style: str = "", **more: str) -> Html:
    """A text, its baseline at ``y``."""
    return el("text", content, x=at(x), y=at(y), class_=style or None, **more)


def rule(x1: float, y1: float, x2: float, y2: float, style: str) -> Html:
    """A straight line."""
    return el("path", d=f"M{at(x1)} {at(y1)}L{at(x2)} {at(y2)}", class_=style)


def at(value: float) -> str:
    """A coordinate, short."""
    text = f"{value:.1f}"
    return text.removesuffix(".0")
