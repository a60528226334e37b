"""What each token of a row sees, as masks that models of transformers take.

A row holds texts that do not see each other: behind a prefix that all share, contexts, and behind
each context its options. A token sees the prefix, its own context and its own option, each up to
itself. :class:`Layout` says so; :class:`Dense` and :class:`Blocks` are its two forms.
"""

from __future__ import annotations

import contextlib
import dataclasses
import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Protocol

from pytest_modellab.engines.language.transfer import to_device

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Places = NDArray[np.int64]

Windows = Mapping[str, int | None]
"""How far back layers see, by what transformers calls their kind; "" where all see as far."""

FULL: Windows = {"": None}
"""All layers see all of a text."""

BLOCK = 128
"""Queries and keys in a block of a block mask."""

ENTRIES = 1 << 26
"""Most entries of a dense mask: 8,192 tokens that see each other, 256 MB in float32."""


@dataclasses.dataclass(frozen=True, eq=False)
class Layout:
    """Where the tokens of a row stand; places count from the row's first token.

    Attributes:
        prefix: tokens that stand before the row, and are seen by all of it.
        positions: of each token, where it stands in its own text.
        start: of each, where its context begins.
        stop: of each, where its context ends.
        branch: of each, where its option begins; of a context's, where the context does.
    """

    prefix: int
    positions: Places
    start: Places
    stop: Places
    branch: Places

    def __len__(self) -> int:
        return len(self.positions)

    def padded(self, length: int) -> Layout:
        """Return the layout of a row that is filled up by a text of its own."""
        import numpy as np

        more, here = length - len(self), np.full(length - len(self), len(self))
        return Layout(
            self.prefix,
            np.concatenate([self.positions, self.prefix + np.arange(more)]),
            np.concatenate([self.start, here]),
            np.concatenate([self.stop, here + more]),
            np.concatenate([self.branch, here]),
        )

    def sees(self) -> NDArray[np.bool_]:
        """Return whether each token (row) sees each one of the row (column)."""
        import numpy as np

        order = np.arange(len(self))
        own = (order >= self.start[:, None]) & (order < self.stop[:, None])
        return (order <= order[:, None]) & (own | (order >= self.branch[:, None]))


class Masks(Protocol):
    """Makes what a model takes as ``attention_mask`` of layouts."""

    def room(self, prefix: int) -> float:
        """Return how many tokens a row may have behind so many shared ones."""

    def length(self, tokens: int) -> int:
        """Return how many tokens a row of so many is filled up to."""

    def of(self, layout: Layout, windows: Windows) -> Any:
        """Return the mask, or one for each kind of layers."""

    def used_by(self, model: Any) -> contextlib.AbstractContextManager[None]:
        """Have a model take these masks within the context."""


class Dense:
    """Masks with an entry for each token and each that it may see: every model takes them.

    Args:
        device: of torch.
        dtype: of the model's activations.
    """

    def __init__(self, device: Any, dtype: Any) -> None:
        self._device, self._dtype = device, dtype

    def room(self, prefix: int) -> float:
        """Return how many tokens a row may have behind so many shared ones."""
        return (math.isqrt(prefix * prefix + 4 * ENTRIES) - prefix) // 2

    def length(self, tokens: int) -> int:
        """Return the number of tokens: nothing is filled up."""
        return tokens

    def of(self, layout: Layout, windows: Windows) -> Any:
        """Return the mask, or one for each kind of layers."""
        import torch

        def make(window: int | None) -> Any:
            kept = _kept(layout.prefix, window)
            sees = _rule(layout, window, self._device)
            queries = torch.arange(len(layout), device=self._device)
            keys = torch.arange(kept + len(layout), device=self._device)
            found = sees(None, None, queries[:, None], keys[None, :])
            mask = torch.zeros(found.shape, dtype=self._dtype, device=self._device)
            return mask.masked_fill_(~found, torch.finfo(self._dtype).min)[None, None]

        return _by_kind(windows, make)

    def used_by(self, model: Any) -> contextlib.AbstractContextManager[None]:
        """Do nothing: every attention takes them."""
        return contextlib.nullcontext()


def _by_kind(windows: Windows, make: Callable[[int | None], Any]) -> Any:
    made = {kind: make(window) for kind, window in windows.items()}
    return made.get("", made)


def _kept(prefix: int, window: int | None) -> int:
    """Return how many tokens of the prefix a layer's cache holds."""
    return prefix if window is None else min(prefix, window - 1)


def _rule(layout: Layout, window: int | None, device: Any) -> Callable[..., Any]:
    """Return what tells of a query and a key, keys of the prefix counted in, whether it sees it."""
    import numpy as np

    kept = _kept(layout.prefix, window)
    order = np.arange(len(layout))
    rows = [order, layout.start, layout.stop, layout.branch]
    last, start, stop, branch = to_device(np.stack(rows) + kept, device)
    head = to_device(np.full(len(layout), kept), device)

    def sees(_batch: Any, _head: Any, query: Any, key: Any) -> Any:
        own = (key < head[query]) | (key >= start[query]) & (key < stop[query])
        return (key <= last[query]) & (own | (key >= branch[query]))

    if window is None:
        return sees
    before = np.arange(layout.prefix - kept, layout.prefix)
    stands = to_device(np.concatenate([before, layout.positions]), device)
    least = to_device(layout.positions - window + 1, device)

    def near(batch: Any, head: Any, query: Any, key: Any) -> Any:
        return sees(batch, head, query, key) & (stands[key] >= least[query])

    return near
