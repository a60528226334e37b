"""Which pages can be read: those of which a detection sees neither a thread nor an ocean."""

from __future__ import annotations

LONGEST = 2000
"""RapidOCR reduces a page's longer side to so many pixels before anything else."""

WIDE = 8
"""A page that is wider than so many times its height gets margins above and below: RapidOCR's."""

STEP = 32
"""Sides are rounded to multiples of it; less than half of it leaves nothing."""

MOST = 8_000_000
"""Pixels that a detection is given at once; PP-OCRv6 small takes about a gigabyte for them."""


def problem(width: int, height: int, limit_side_len: int) -> str:
    """Say why a page cannot be read, or nothing.

    Args:
        width: of the page, in pixels.
        height: likewise.
        limit_side_len: what the shorter side is enlarged to.
    """
    reduced = min(1.0, LONGEST / max(width, height))
    if reduced < 1 and min(width, height) * reduced < STEP / 2:
        return (
            f"{width} × {height} pixels: with its longer side reduced to {LONGEST}, as it is read, "
            "nothing is left of the other; cut it into several"
        )
    wide, high = width * reduced, height * reduced
    if wide > WIDE * high:
        high = 2 * wide / WIDE
    enlarged = max(1.0, limit_side_len / min(wide, high))
    if wide * high * enlarged**2 > MOST:
        return (
            f"{width} × {height} pixels become {wide * enlarged:.0f} × {high * enlarged:.0f} with "
            f"the shorter side enlarged to limit_side_len = {limit_side_len}, and a detection is "
            f"given at most {MOST / 1e6:.0f} million; cut it into several, or declare a smaller "
            "limit_side_len"
        )
    return ""
