"""What each token of a row sees, as masks that models of transformers take.

A row holds texts that do not see each other: behind a prefix that all share, contexts, and behind
each context its options. A token sees the prefix, its own context and its own option, each up to
itself. :class:`Layout` says so; :class:`Dense` and :class:`Blocks` are its two forms.
"""

from __future__ import annotations

import contextlib
import dataclasses
import math
import warnings
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from pytest_modellab.engines.language.arrays import spans
from pytest_modellab.engines.language.transfer import to_device

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Places = NDArray[np.int64]

Windows = Mapping[str, int | None]
"""How far back layers see, by what transformers calls their kind; "" where all see as far."""

FULL: Windows = {"": None}
"""All layers see all of a text."""

FLEX = "flex_attention"
"""What transformers calls the attention that takes :class:`Blocks`."""

BLOCK = 64
"""Queries and keys in a block of a block mask: with the 128 of torch four times as slow, as texts
are no longer than that."""

PACKED = "modellab_packed"
"""What transformers knows the attention by that rows are computed with."""

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


class Blocks:
    """Masks that name the blocks of keys that hold something for a block of queries.

    For flex_attention (Dong et al. 2024), which transformers has for most models: nothing is made
    that has an entry for each pair of tokens.

    Args:
        device: of torch.
    """

    def __init__(self, device: Any) -> None:
        self._device = device
        self._of: Any = None
        self._configs: list[Any] = []

    def room(self, prefix: int) -> float:
        """Return that there is no limit."""
        return math.inf

    def length(self, tokens: int) -> int:
        """Return the number of tokens in whole blocks, and those in fours, for aligned tables."""
        return -(-tokens // (4 * BLOCK)) * 4 * BLOCK

    def of(self, layout: Layout, windows: Windows) -> Any:
        """Return the mask, or one for each kind of layers."""
        from torch.nn.attention.flex_attention import BlockMask

        def make(window: int | None) -> Any:
            kept = _kept(layout.prefix, window)
            found = held(layout, window)
            sent = to_device(_joined(found), self._device).split([one.size for one in found])
            columns = -(-(kept + len(layout)) // BLOCK)
            tensors = [
                _widened(tensor.view(one.shape), columns)[None, None]
                for tensor, one in zip(sent, found, strict=True)
            ]
            return BlockMask.from_kv_blocks(
                *tensors,
                BLOCK_SIZE=BLOCK,
                mask_mod=_rule(layout, window, self._device),
                seq_lengths=(len(layout), kept + len(layout)),
                compute_q_blocks=False,  # only gradients need them
            )

        return _by_kind(windows, make)

    @contextlib.contextmanager
    def used_by(self, model: Any) -> Iterator[None]:
        """Have a model compute by flex_attention within the context."""
        import torch.compiler.config
        from transformers import AttentionInterface

        AttentionInterface.register(PACKED, _attend)
        if self._of is None or self._of() is not model:  # its modules are looked through once
            owners = (getattr(module, "config", None) for module in model.modules())
            named = [one for one in owners if hasattr(one, "_attn_implementation")]
            self._of, self._configs = (
                weakref.ref(model),
                list({id(one): one for one in named}.values()),
            )
        before = [config._attn_implementation for config in self._configs]
        for config in self._configs:
            config._attn_implementation = PACKED
        try:
            # several models of a session may each need some; beyond the limit nothing is compiled,
            # and what is not compiled makes an entry for each pair of tokens
            with torch.compiler.config.patch(recompile_limit=64), warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of libraries, while they compile
                yield
        finally:
            for config, name in zip(self._configs, before, strict=True):
                config._attn_implementation = name


def _attend(
    module: Any, query: Any, key: Any, value: Any, attention_mask: Any, **options: Any
) -> Any:
    """Compute as transformers does by flex_attention, in tiles that fit the mask and the GPU."""
    from transformers.integrations.flex_attention import flex_attention_forward

    wide = query.shape[-1] * query.element_size()  # bytes of a head
    tiles = {
        "BLOCK_M": BLOCK,
        "BLOCK_N": BLOCK if wide <= _WIDE else BLOCK // 2,
        "num_warps": 4,
        "num_stages": 2 if wide <= 2 * _WIDE else 1,
    }
    if query.device.type == "cuda":
        options["kernel_options"] = tiles
    return flex_attention_forward(module, query, key, value, attention_mask, **options)


_WIDE = 256
"""Bytes of a head up to which whole blocks fit a GPU's shared memory, twice."""


def held(layout: Layout, window: int | None) -> tuple[Places, Places, Places, Places]:
    """Return which blocks of keys hold something for each block of queries.

    Args:
        layout: of a row of whole blocks.
        window: how far back a layer sees, or None.

    Returns:
        Of blocks that are seen in part, how many each block of queries has, and which; and the same
        of those that all of its queries see all of.
    """
    import numpy as np

    kept, order, count = _kept(layout.prefix, window), np.arange(len(layout)), len(layout) // BLOCK
    columns = -(-(kept + len(layout)) // BLOCK)
    # tokens of one context or option in one block of queries see what its first and last see
    first = np.flatnonzero((np.diff(layout.branch, prepend=-1) != 0) | (order % BLOCK == 0))
    last = np.append(first[1:], len(layout)) - 1
    start, branch = layout.start[first], layout.branch[first]
    least = layout.positions[first] - (window or len(layout) + layout.prefix) + 1
    begins = (
        np.maximum(-kept, least - layout.prefix),
        start + np.maximum(0, least - layout.prefix),
        branch + np.maximum(0, least - layout.positions[branch]),
    )
    ends = (np.full_like(last, -1), np.minimum(layout.stop[first] - 1, last), last)
    low = (np.concatenate(begins) + kept) // BLOCK
    sizes = (np.concatenate(ends) + kept) // BLOCK - low + 1
    sizes[np.concatenate(begins) > np.concatenate(ends)] = 0
    rows = np.repeat(np.tile(first // BLOCK, 3), sizes)
    pairs = np.unique(rows * columns + spans(low, sizes))
    row, column = pairs // columns, pairs % columns
    # all of a block is seen by all of one context's or option's tokens that stand behind it
    head, tail = row * BLOCK, row * BLOCK + BLOCK - 1
    left = column * BLOCK - kept
    right = left + BLOCK - 1
    full = (right < 0) | (right <= head) & (
        (layout.start[head] == layout.start[tail])
        & (left >= layout.start[head])
        & (right < layout.stop[head])
        | (layout.branch[head] == layout.branch[tail]) & (left >= layout.branch[head])
    )
    if window is not None and layout.positions.max(initial=0) >= window:
        full[:] = False
    return (
        *_table(row[~full], column[~full], count),
        *_table(row[full], column[full], count),
    )


def _table(rows: Places, columns: Places, count: int) -> tuple[Places, Places]:
    """Return how many columns each row has, and which, filled up with zeros."""
    import numpy as np

    sizes = np.bincount(rows, minlength=count)
    table = np.zeros((count, -(-int(sizes.max(initial=1)) // 4) * 4), np.int64)  # aligned
    table[rows, np.arange(len(rows)) - np.repeat(np.cumsum(sizes) - sizes, sizes)] = columns
    return sizes, table


def _widened(table: Any, columns: int) -> Any:
    """Return a table as wide as there are blocks of keys, as torch makes it; kernels rely on it."""
    if table.ndim == 1 or table.shape[1] >= columns:
        return table
    wide = table.new_zeros(table.shape[0], columns)
    wide[:, : table.shape[1]] = table
    return wide


def _joined(arrays: Sequence[NDArray[Any]]) -> NDArray[np.int32]:
    import numpy as np

    return np.concatenate([one.ravel() for one in arrays]).astype(np.int32)


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
    first = np.zeros_like(order)
    rows = np.stack([order, layout.start, layout.stop, layout.branch, first]) + kept
    last, start, stop, branch, head = to_device(rows.astype(np.int32), device)

    def sees(_batch: Any, _head: Any, query: Any, key: Any) -> Any:
        own = (key < head[query]) | (key >= start[query]) & (key < stop[query])
        return (key <= last[query]) & (own | (key >= branch[query]))

    if window is None:
        return sees
    before = np.arange(layout.prefix - kept, layout.prefix)
    stands = to_device(np.concatenate([before, layout.positions]).astype(np.int32), device)
    least = to_device((layout.positions - window + 1).astype(np.int32), device)

    def near(batch: Any, head: Any, query: Any, key: Any) -> Any:
        return sees(batch, head, query, key) & (stands[key] >= least[query])

    return near
