"""What libraries are is no garbage, and is not looked through for it again and again."""

from __future__ import annotations

import gc


def freeze() -> None:
    """Have later collections look at what is made from now on.

    An engine that is let go collects garbage; with torch, transformers and thousands of collected
    tests in memory each time takes half a second.
    """
    gc.collect()
    gc.freeze()
