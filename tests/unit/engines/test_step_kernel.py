"""The kernel of a decoding step against plain attention, row by row."""

from __future__ import annotations

from typing import Any

import pytest

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")

ROWS, LENGTH = 3, 150


def plain(
    query: Any,
    new: tuple[Any, Any],
    kept: tuple[Any, Any],
    shared: tuple[Any, Any] | None,
    place: Any,
    window: int | None,
    cap: float | None,
) -> Any:
    """Attend in float32, with keys repeated."""
    _, heads, _, width = query.shape
    rows = []
    for row in range(ROWS):
        seen = []
        for k in (0, 1):
            parts = [kept[k][row, :, : int(place[row])], new[k][row]]
            parts = [*([shared[k][0]] if shared else []), *parts]
            every = torch.cat(parts, dim=1).float()[:, -(window or 10**6) :]
            seen.append(every.repeat_interleave(heads // every.shape[0], dim=0))
        scores = query[row].float() @ seen[0].mT * width**-0.5
        if cap is not None:
            scores = torch.tanh(scores / cap) * cap
        rows.append((scores.softmax(-1) @ seen[1]).transpose(0, 1))
    return torch.stack(rows)


@pytest.mark.parametrize("cap", [None, 3.0])
@pytest.mark.parametrize("window", [None, 5, 90])
@pytest.mark.parametrize("prefix", [0, 70])
@pytest.mark.parametrize(
    ("width", "heads", "groups"), [(16, 4, 4), (64, 6, 2), (80, 4, 4), (256, 40, 2)]
)
def test_it_attends_as_plain_attention(
    width: int, heads: int, groups: int, prefix: int, window: int | None, cap: float | None
) -> None:
    from pytest_modellab.engines.language import step_kernel

    torch.manual_seed(width + heads + prefix)
    for dtype, close in ((torch.float32, 1e-5), (torch.float16, 4e-3), (torch.bfloat16, 3e-2)):

        def some(*shape: int, dtype: Any = dtype) -> Any:
            return torch.randn(shape, device="cuda").to(dtype)

        query = some(ROWS, 1, heads, width).transpose(1, 2)
        new = some(ROWS, groups, 1, width), some(ROWS, 1, groups, width).transpose(1, 2)
        kept = some(ROWS + 1, groups, LENGTH, width), some(ROWS + 1, groups, LENGTH, width)
        shared = (some(1, groups, prefix, width), some(1, groups, prefix, width))
        place = torch.tensor([0, LENGTH - 1, 64], device="cuda")
        before = [one.clone() for one in kept]
        assert step_kernel.fits(query, *new)
        found = step_kernel.attend(
            query,
            *new,
            kept,
            shared if prefix else None,
            place,
            window=window,
            scale=width**-0.5,
            cap=cap,
        )
        wanted = plain(query, new, kept, shared if prefix else None, place, window, cap)
        assert found.dtype == dtype
        assert torch.allclose(found.float(), wanted, atol=close, rtol=close)
        for old, one, its in zip(before, kept, new, strict=True):
            for row in range(ROWS):
                old[row, :, int(place[row])] = its[row, :, 0]
            assert torch.equal(one, old), "nothing but the new token is written"


def test_what_it_cannot_do() -> None:
    from pytest_modellab.engines.language import step_kernel

    head = torch.zeros(1, 2, 1, 64, device="cuda")
    assert step_kernel.fits(head, head, head)
    assert not step_kernel.fits(head, head, head[..., :32])
    assert not step_kernel.fits(head.cpu(), head.cpu(), head.cpu())
    assert not step_kernel.fits(head[..., :8], head[..., :8], head[..., :8])
    assert not step_kernel.fits(head.half(), head, head)
