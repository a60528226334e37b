"""Inline SVG for drawings that no library makes."""

from __future__ import annotations

from pytest_modellab.reports.page.markup import Content, Html, el


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
