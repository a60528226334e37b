# mypy: disable-error-code="no-untyped-def, untyped-decorator"
"""Attention of one token a row, as a kernel of Triton; imported where a GPU and Triton are there.

It reads of each row what the row has, where torch's attention reads the longest row's columns of
all, with a mask, and it keeps the new key and value on the way.
"""

from __future__ import annotations

from subprocess import CalledProcessError
from typing import Any

import triton
import triton.language as tl
from triton.errors import TritonError

_COLUMNS = 64
"""Keys that are looked at together."""


@triton.jit
def _seen(
    query, keys, values, key_step, value_step, begin, end, top, total, out, scale, cap,
    capped: tl.constexpr, width: tl.constexpr, wide: tl.constexpr, columns: tl.constexpr,
):  # fmt: skip
    """Add the columns from begin to end to a softmax that is made on the way."""
    number = tl.arange(0, wide)
    inside = number < width
    for first in range(begin // columns * columns, end, columns):
        column = first + tl.arange(0, columns)
        there = (column >= begin) & (column < end)
        both = there[:, None] & inside[None, :]
        place = column.to(tl.int64)[:, None]
        key = tl.load(keys + place * key_step + number[None, :], mask=both, other=0.0)
        scores = tl.dot(query, tl.trans(key), input_precision="ieee") * scale
        if capped:
            scores = cap * (2.0 / (1.0 + tl.exp(-2.0 * scores / cap)) - 1.0)
        scores = tl.where(there[None, :], scores, float("-inf"))
        new = tl.maximum(top, tl.max(scores, axis=1))
        weights = tl.exp(scores - new[:, None])
        shrunk = tl.exp(top - new)
        value = tl.load(values + place * value_step + number[None, :], mask=both, other=0.0)
        total = total * shrunk + tl.sum(weights, axis=1)
        out = out * shrunk[:, None] + tl.dot(weights.to(value.dtype), value, input_precision="ieee")
        top = new
    return top, total, out


@triton.jit(do_not_specialize=["prefix", "window"])
def _step(
    query, key, value, keys, values, first_keys, first_values, place, out,
    query_row, query_head, key_row, key_head, value_row, value_head,
    kept_row, kept_head, kept_place, first_head, first_place, prefix, window, scale, cap,
    capped: tl.constexpr, shared: tl.constexpr, group: tl.constexpr, tall: tl.constexpr,
    width: tl.constexpr, wide: tl.constexpr, columns: tl.constexpr,
):  # fmt: skip
    """Attend with one row's heads of one key."""
    row = tl.program_id(0).to(tl.int64)
    head = tl.program_id(1).to(tl.int64)
    groups = tl.num_programs(1)
    here = tl.load(place + row).to(tl.int32)
    number = tl.arange(0, wide)
    inside = number < width
    member = tl.arange(0, tall)
    both = (member < group)[:, None] & inside[None, :]

    new_key = tl.load(key + row * key_row + head * key_head + number, mask=inside, other=0.0)
    new_value = tl.load(
        value + row * value_row + head * value_head + number, mask=inside, other=0.0
    )
    keys += row * kept_row + head * kept_head
    values += row * kept_row + head * kept_head
    tl.store(keys + here.to(tl.int64) * kept_place + number, new_key, mask=inside)
    tl.store(values + here.to(tl.int64) * kept_place + number, new_value, mask=inside)

    start = query + row * query_row + head * group * query_head
    heads = tl.load(start + member[:, None] * query_head + number[None, :], mask=both, other=0.0)
    # the new token itself, which is always seen
    top = tl.sum(heads.to(tl.float32) * new_key.to(tl.float32)[None, :], axis=1) * scale
    if capped:
        top = cap * (2.0 / (1.0 + tl.exp(-2.0 * top / cap)) - 1.0)
    total = tl.full([tall], 1.0, tl.float32)
    sums = tl.zeros([tall, wide], tl.float32) + new_value.to(tl.float32)[None, :]

    oldest = here - window + 1
    top, total, sums = _seen(
        heads, keys, values, kept_place, kept_place, tl.maximum(oldest, 0), here,
        top, total, sums, scale, cap, capped, width, wide, columns,
    )  # fmt: skip
    if shared:
        top, total, sums = _seen(
            heads, first_keys + head * first_head, first_values + head * first_head,
            first_place, first_place, tl.maximum(oldest + prefix, 0), prefix,
            top, total, sums, scale, cap, capped, width, wide, columns,
        )  # fmt: skip
    ends = out + ((row * groups + head) * group + member[:, None]) * width + number[None, :]
    tl.store(ends, (sums / total[:, None]).to(out.dtype.element_ty), mask=both)


def runs() -> bool:
    """Whether Triton can compile for this GPU: it needs a C compiler, too."""
    import torch

    one, kept = torch.zeros(1, 1, 1, 16, device="cuda"), torch.zeros(1, 1, 8, 16, device="cuda")
    place = torch.zeros(1, dtype=torch.long, device="cuda")
    try:
        attend(one, one, one, (kept, kept), None, place, window=None, scale=1.0, cap=None)
    except (TritonError, CalledProcessError, OSError, RuntimeError):
        return False
    return True


def fits(query: Any, key: Any, value: Any) -> bool:
    """Whether the kernel can do with such heads."""
    return bool(
        query.is_cuda
        and key.shape == value.shape
        and query.dtype == key.dtype == value.dtype
        and 16 <= query.shape[-1] <= 256
        and query.stride(-1) == key.stride(-1) == value.stride(-1) == 1
    )


def attend(
    query: Any,
    key: Any,
    value: Any,
    kept: tuple[Any, Any],
    shared: tuple[Any, Any] | None,
    place: Any,
    *,
    window: int | None,
    scale: float,
    cap: float | None,
) -> Any:
    """Keep each row's new key and value, and attend to all that the row sees.

    Args:
        query: of rows × heads × 1 × width.
        key: of rows × groups × 1 × width.
        value: like the key.
        kept: keys and values, rows × groups × places × width; the new ones are put at ``place``.
        shared: keys and values of what stands before each row, 1 × groups × places × width.
        place: of the new token in each row.
        window: how many tokens back are seen, the new one counted; None for all.
        scale: of the scores.
        cap: of the scores, by tanh; None for none.

    Returns:
        Rows × 1 × heads × width.
    """
    import torch

    rows, heads, _, width = query.shape
    groups = key.shape[1]
    out = torch.empty((rows, 1, heads, width), dtype=query.dtype, device=query.device)
    keys, values = kept
    first = shared or kept
    _step[(rows, groups)](
        query, key, value, keys, values, *first, place, out,
        query.stride(0), query.stride(1), key.stride(0), key.stride(1),
        value.stride(0), value.stride(1), keys.stride(0), keys.stride(1), keys.stride(2),
        first[0].stride(1), first[0].stride(2), first[0].shape[2] if shared else 0,
        1 << 30 if window is None else window, scale, cap or 1.0,
        capped=cap is not None,
        shared=shared is not None,
        group=heads // groups,
        tall=max(16, triton.next_power_of_2(heads // groups)),
        width=width,
        wide=triton.next_power_of_2(width),
        columns=_COLUMNS if width <= 128 else _COLUMNS // 2,
        num_warps=4,
    )  # fmt: skip
    return out
