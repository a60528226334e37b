"""Rows of a batch whose keys and values stay where they are while others come and go."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from pytest_modellab.engines.language.transfer import to_device

NAME = "modellab_slots"
"""What transformers knows this attention by; it has no mask function, so that no mask is made."""

_CHOICE = "_attn_implementation"
"""Where a configuration says which attention its layers use, as transformers reads it."""

_MORE = ("s_aux", "position_bias", "head_mask")
"""What some models hand to attention, and what is not computed here."""

_in_use: list[Any] = []


class Unusable(Exception):
    """A model asks its attention for more than this, or its cache."""


@dataclasses.dataclass(frozen=True)
class Prompts:
    """Tokens of several rows in one, without padding between them.

    Attributes:
        row: the slot of each token.
        place: where it stands in its row, the shared prefix left out.
        gather: of each row, padded, which token; the last one again where a row is shorter.
        scatter: of each token, where it stands in ``gather``.
    """

    row: Any
    place: Any
    gather: Any
    scatter: Any

    @classmethod
    def of(cls, slots: Sequence[int], lengths: Sequence[int], device: Any) -> Prompts:
        """Lay out rows of some lengths."""
        import numpy as np

        sizes = np.array(lengths)
        column = np.arange(sizes.max())
        starts = sizes.cumsum() - sizes
        there = column < sizes[:, None]
        inner = np.stack(
            [
                np.repeat(slots, sizes),
                np.broadcast_to(column, there.shape)[there],
                there.ravel().nonzero()[0],
            ]
        )
        gather = starts[:, None] + np.minimum(column, sizes[:, None] - 1)
        row, place, scatter = to_device(inner, device)
        return cls(row, place, to_device(gather, device), scatter)


class Prefix:
    """What all rows begin with; its keys and values are computed once.

    Args:
        tokens: of it.
        layers: of the model.
    """

    def __init__(self, tokens: Sequence[int], layers: int) -> None:
        self.tokens = tuple(tokens)
        self.kept: list[Any] = [None] * layers
        self.known = not self.tokens


class Memory:
    """Keys and values of a fixed number of rows, and the attention that reads them.

    A row's tokens lie without a gap from the left, so that a sliding window counts them rightly;
    what all rows begin with is kept once. Everything has the same shape in each step, so that a
    step can be captured as a CUDA graph.

    Args:
        windows: of each layer, how many tokens back it sees, or None for all.
        rows: how many.
        length: tokens of a row, the shared prefix left out.
        prefix: what all rows begin with.
        kernel: the module :mod:`.step_kernel`, or None for torch's own attention.
    """

    def __init__(
        self,
        windows: Sequence[int | None],
        rows: int,
        length: int,
        prefix: Prefix,
        kernel: Any = None,
    ) -> None:
        self.windows = tuple(windows)
        self.rows = rows
        self.length = length
        self.prefix = len(prefix.tokens)
        self._keys: list[Any] = [None] * len(windows)
        self._values: list[Any] = [None] * len(windows)
        self._shared = prefix.kept
        self._kernel = kernel
        self.caps = True
        """Whether scores are capped where a model has it; transformers' "sdpa" never does."""
        self._pending: int | None = None
        self._attend: Callable[..., Any] = _nothing
        self._write: Callable[[int, Any, Any], None] = _nothing

    @property
    def made(self) -> bool:
        """Whether there is room for every layer, so that a step can be captured."""
        return all(kept is not None for kept in self._keys)

    @property
    def cache(self) -> Any:
        """What a model of transformers is given as its cache."""
        cache = _cache_type()(layers=[])
        cache.memory = self
        return cache

    # --- what is computed next ---

    def share(self) -> None:
        """Take the next forward pass for what all rows begin with."""
        self._next(self._share, self._first)

    def take(self, prompts: Prompts) -> None:
        """Take the next forward pass for the prompts of new rows."""
        self._next(
            functools.partial(self._put, prompts.row, prompts.place),
            functools.partial(self._prompts, prompts, {}),
        )

    def step(self, rows: int, width: int, place: Any) -> None:
        """Take the next forward pass for one token of each of the first rows.

        Args:
            rows: how many.
            width: how much of a row is looked at.
            place: of each token in its row.
        """
        self._next(self._make, functools.partial(self._step, rows, width, place, {}))

    def rest(self) -> None:
        """Let go of the last pass, so that nothing outlives who holds this."""
        self._write = self._attend = _nothing

    def _next(self, write: Callable[[int, Any, Any], None], attend: Callable[..., Any]) -> None:
        self._write, self._attend, self._pending = write, attend, None

    def move(self, rows: Sequence[int], to: Sequence[int]) -> None:
        """Move some rows to where others were."""
        for layer in (*self._keys, *self._values):
            layer[to] = layer[rows]

    def wipe(self, row: int) -> None:
        """Forget a row with NaN in it, which would go through any mask."""
        for layer in (*self._keys, *self._values):
            layer[row] = 0

    # --- what the model calls ---

    def update(self, key: Any, value: Any, layer: int) -> tuple[Any, Any]:
        """Keep new keys and values of a layer, and hand them on to :meth:`attend`.

        Raises:
            Unusable: the layer before has not attended.
        """
        if self._pending is not None:
            raise Unusable(f"layer {self._pending} has an attention of its own")
        self._pending = layer
        self._write(layer, key, value)
        return key, value

    def attend(
        self,
        module: Any,
        query: Any,
        key: Any,
        value: Any,
        attention_mask: Any = None,
        **more: Any,
    ) -> tuple[Any, None]:
        """Attend, as transformers' AttentionInterface asks for it.

        Raises:
            Unusable: more than this is asked for.
        """
        layer, self._pending = self._pending, None
        if layer is None or layer != getattr(module, "layer_idx", layer):
            raise Unusable("a layer attends to keys that are not its own")
        wanted = [name for name in _MORE if more.get(name) is not None]
        if attention_mask is not None or wanted:
            raise Unusable(f"attention with {', '.join(wanted) or 'a mask of its own'}")
        scale = more.get("scaling")
        scale = query.shape[-1] ** -0.5 if scale is None else scale
        cap = more.get("softcap") if self.caps else None
        # some models take a view of it
        return self._attend(layer, query, key, value, scale, cap).contiguous(), None

    # --- the three passes ---

    def _share(self, layer: int, key: Any, value: Any) -> None:
        self._shared[layer] = (key, value)

    def _make(self, layer: int, key: Any, value: Any) -> None:
        for kept, new in ((self._keys, key), (self._values, value)):
            if kept[layer] is None:  # zeros: what is not seen yet is multiplied, by nought
                shape = (self.rows, new.shape[1], self.length, new.shape[3])
                kept[layer] = new.new_zeros(shape)

    def _put(self, row: Any, place: Any, layer: int, key: Any, value: Any) -> None:
        self._make(layer, key, value)
        self._keys[layer][row, :, place] = key.transpose(1, 2).flatten(0, 1)
        self._values[layer][row, :, place] = value.transpose(1, 2).flatten(0, 1)

    def _first(
        self, layer: int, query: Any, key: Any, value: Any, scale: float, cap: float | None
    ) -> Any:
        mask = _causal(query, self.windows[layer], 0)
        return _dense(query, key, value, mask, scale, cap).transpose(1, 2)

    def _prompts(
        self,
        prompts: Prompts,
        masks: dict[int | None, Any],
        layer: int,
        query: Any,
        key: Any,
        value: Any,
        scale: float,
        cap: float | None,
    ) -> Any:
        import torch

        query, key, value = (
            part[0].transpose(0, 1)[prompts.gather].transpose(1, 2) for part in (query, key, value)
        )
        window = self.windows[layer]
        if window not in masks:
            masks[window] = _causal(query, window, self.prefix)
        if self.prefix:
            shared = self._shared[layer]
            key, value = (
                torch.cat([one.expand(len(own), -1, -1, -1), own], dim=2)
                for one, own in zip(shared, (key, value), strict=True)
            )
        out = _dense(query, key, value, masks[window], scale, cap)
        return out.transpose(1, 2).flatten(0, 1)[prompts.scatter][None]

    def _step(
        self,
        rows: int,
        width: int,
        place: Any,
        masks: dict[int | None, Any],
        layer: int,
        query: Any,
        key: Any,
        value: Any,
        scale: float,
        cap: float | None,
    ) -> Any:
        """Attend with the heads of a group as if they were tokens: keys are not repeated."""
        import torch

        window, shared = self.windows[layer], self._shared[layer]
        kept = self._keys[layer], self._values[layer]
        if self._kernel is not None and self._kernel.fits(query, key, value):
            return self._kernel.attend(
                query, key, value, kept, shared, place, window=window, scale=scale, cap=cap
            )
        self._put(torch.arange(rows, device=place.device), place, layer, key, value)
        if window not in masks:
            column = torch.arange(-self.prefix, width, device=place.device)
            seen = _visible(column, place[:, None], window)[:, None, None]
            masks[window] = _additive(seen, query.dtype)
        keys, values = (one[:rows, :, :width] for one in kept)
        groups, wide = key.shape[1], value.shape[-1]
        heads = query.view(rows, groups, -1, query.shape[-1])
        if not self.prefix:
            out = _attention(heads, keys, values, masks[window], scale, cap)
            return out.reshape(rows, 1, -1, wide)
        first, its = (one[0] for one in shared)
        together = heads.transpose(0, 1).flatten(1, 2)  # group by group, all rows at once
        ahead = (together @ first.mT).view(groups, rows, -1, self.prefix).transpose(0, 1)
        scores = torch.cat([ahead, heads @ keys.mT], dim=-1)
        weights = _weights(scores, masks[window], scale, cap)
        ahead, own = weights.split([self.prefix, width], dim=-1)
        out = (ahead.transpose(0, 1).flatten(1, 2) @ its).view(groups, rows, -1, wide)
        return (out.transpose(0, 1) + own @ values).reshape(rows, 1, -1, wide)


@functools.cache
def kernel_on(device: str) -> Any:
    """Return what attends in one kernel on a device, or None where that is not to be had.

    Args:
        device: its type.
    """
    if device != "cuda":
        return None
    try:
        from pytest_modellab.engines.language import step_kernel
    except ImportError:
        return None
    return step_kernel if step_kernel.runs() else None


@contextlib.contextmanager
def attending(model: Any, memory: Memory) -> Iterator[None]:
    """Let a model attend through a memory."""
    from transformers import AttentionInterface

    AttentionInterface.register(NAME, _attend)
    configs = {id(one.config): one.config for one in model.modules() if hasattr(one, "config")}
    before = [(one, getattr(one, _CHOICE)) for one in configs.values() if hasattr(one, _CHOICE)]
    memory.caps = all(name != "sdpa" for _, name in before)
    _in_use.append(memory)
    try:
        for config, _ in before:
            setattr(config, _CHOICE, NAME)
        yield
    finally:
        for config, name in before:
            setattr(config, _CHOICE, name)
        _in_use.pop().rest()


@functools.cache
def _cache_type() -> Any:
    from transformers.cache_utils import Cache

    class Slots(Cache):  # type: ignore[misc] # transformers is Any here
        memory: Memory

        def update(self, key: Any, value: Any, layer: int, *_: Any, **__: Any) -> Any:
            return self.memory.update(key, value, layer)

        def get_seq_length(self, layer_idx: int = 0) -> int:
            return 0  # positions are given, and masks are not made

    return Slots


def _nothing(*_: Any) -> Any:
    raise Unusable("a pass that nobody has announced")


def _attend(module: Any, *tensors: Any, **more: Any) -> Any:
    return _in_use[-1].attend(module, *tensors, **more)


def _visible(column: Any, place: Any, window: int | None) -> Any:
    """Return which columns a token at a place sees."""
    seen = column <= place
    return seen if window is None else seen & (column > place - window)


def _additive(visible: Any, dtype: Any) -> Any:
    import torch

    mask = torch.zeros(visible.shape, dtype=dtype, device=visible.device)
    return mask.masked_fill_(~visible, float("-inf"))


def _causal(query: Any, window: int | None, past: int) -> Any:
    """Return the mask of rows behind some past, or None where it is the plain triangle."""
    import torch

    width = query.shape[2]
    if not past and (window is None or window >= width):
        return None
    place = torch.arange(width, device=query.device)
    column = torch.arange(-past, width, device=query.device)
    return _additive(_visible(column, place[:, None], window), query.dtype)


def _dense(query: Any, key: Any, value: Any, mask: Any, scale: float, cap: float | None) -> Any:
    """Attend to rows from their beginning; no mask is the plain triangle."""
    import torch

    again = query.shape[1] // key.shape[1]
    if cap is None and mask is None:
        half = query.is_cuda and query.dtype in (torch.float16, torch.bfloat16)
        if again > 1 and not half:  # kernels for other types do not know of groups
            key, value = (part.repeat_interleave(again, dim=1) for part in (key, value))
        return torch.nn.functional.scaled_dot_product_attention(
            query, key, value, is_causal=True, scale=scale, enable_gqa=again > 1 and half
        )
    if again > 1:
        key, value = (part.repeat_interleave(again, dim=1) for part in (key, value))
    if mask is None:
        width = query.shape[2]
        place = torch.arange(width, device=query.device)
        mask = _additive(_visible(place, place[:, None], None), query.dtype)
    return _attention(query, key, value, mask, scale, cap)


def _attention(query: Any, key: Any, value: Any, mask: Any, scale: float, cap: float | None) -> Any:
    import torch

    if cap is None:
        return torch.nn.functional.scaled_dot_product_attention(
            query, key, value, attn_mask=mask, scale=scale
        )
    return _weights(query @ key.mT, mask, scale, cap) @ value


def _weights(scores: Any, mask: Any, scale: float, cap: float | None) -> Any:
    import torch

    scores = scores * scale
    if cap is not None:
        scores = torch.tanh(scores / cap) * cap
    return torch.softmax(scores + mask, dim=-1, dtype=torch.float32).to(scores.dtype)
