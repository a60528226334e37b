"""Modules get the names that a diagnosis prints."""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True)
class Leaf:
    """A module that holds parameters and none of whose children do, or one that gives rotations.

    Attributes:
        path: in the base model, as ``get_submodule`` takes it.
        site: its name in reports; the path where no pattern fits.
        kind: what it has peers by: ``q_proj`` … ``down_proj``, ``input_norm``, ``post_norm``,
            ``final_norm``, ``embedding``, ``lm_head``, ``rope``; else the path's last part.
        layer: its number, or None outside of the layers.
        branch: ``attention``, ``mlp``, or empty.
    """

    path: str
    site: str
    kind: str
    layer: int | None
    branch: str = ""
