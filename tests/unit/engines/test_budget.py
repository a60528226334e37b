"""The token budget that a device's memory and a model's sizes give."""

from __future__ import annotations

import dataclasses
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_modellab.engines import budget
from pytest_modellab.engines.budget import DEFAULT_BUDGET, LARGEST, LARGEST_DENSE, Sizes, fitting
from pytest_modellab.engines.language.reasoning import Reasoning, Thinking

GIB = 1 << 30

SMOL = Sizes(
    hidden=576,
    inner=1536,
    layers=30,
    queries=576,
    keys=192,
    heads=9,
    vocabulary=49_152,
    width=2,
)
"""SmolLM2-135M in bfloat16."""

LLAMA = Sizes(
    hidden=4096,
    inner=14_336,
    layers=32,
    queries=4096,
    keys=1024,
    heads=32,
    vocabulary=128_256,
    width=2,
)
"""Llama 3 8B in bfloat16."""


def test_what_a_token_takes_is_counted_by_hand() -> None:
    sizes = Sizes(hidden=8, inner=16, layers=3, queries=8, keys=4, heads=2, vocabulary=10, width=2)
    assert sizes.cached == 2 * 3 * 4 * 2
    layer, norms, logits = 2 * (24 + 16 + 8 + 48), 2 * 8 * 4, 10 * (2 + 8)
    assert sizes.scored == layer + norms + 48 + logits
    assert sizes.taken(5, dense=False) == max(5 * sizes.scored, 5 * 8 * 2 * 48)
    assert sizes.taken(500, dense=True) == 500 * sizes.scored + 500**2 * 8
    assert sizes.taken(500, dense=True, eager=True) == 500 * sizes.scored + 3 * 500**2 * 8


@pytest.mark.parametrize(
    ("sizes", "gib", "found"),
    [
        (SMOL, 138, LARGEST),
        (SMOL, 24, 16_384),
        (SMOL, 8, 4096),
        (SMOL, 0.1, DEFAULT_BUDGET),
        (LLAMA, 138 - 16, LARGEST // 4),
        (LLAMA, 80 - 16, 16_384),
        (LLAMA, 24 - 16, 2048),
    ],
)
def test_the_budget_is_what_half_of_the_free_memory_holds(
    sizes: Sizes, gib: float, found: int
) -> None:
    assert fitting(int(gib * GIB), sizes, dense=False) == found


def test_a_mask_that_is_written_out_allows_fewer_tokens() -> None:
    assert fitting(138 * GIB, SMOL, dense=True) == LARGEST_DENSE
    weights = fitting(12 * GIB, SMOL, dense=True, eager=True)
    assert weights < fitting(12 * GIB, SMOL, dense=True) == 8192


@given(
    free=st.integers(0, 200 * GIB),
    more=st.integers(0, GIB),
    layers=st.integers(1, 80),
    vocabulary=st.integers(1, 300_000),
    dense=st.booleans(),
)
def test_more_memory_never_gives_less(
    free: int, more: int, layers: int, vocabulary: int, dense: bool
) -> None:
    sizes = dataclasses.replace(LLAMA, layers=layers, vocabulary=vocabulary)
    less = fitting(free, sizes, dense=dense)
    assert less & (less - 1) == 0, "a power of two, so that a little memory changes nothing"
    assert DEFAULT_BUDGET <= less <= fitting(free + more, sizes, dense=dense) <= LARGEST


class Config:
    """A configuration with some names."""

    def __init__(self, **values: Any) -> None:
        vars(self).update(values)

    def get_text_config(self) -> Config:
        return self


def model(**values: Any) -> Any:
    return SimpleNamespace(config=Config(**values), dtype=SimpleNamespace(itemsize=2))


def test_sizes_are_read_from_the_configuration() -> None:
    smol = model(
        hidden_size=576,
        intermediate_size=1536,
        num_hidden_layers=30,
        num_attention_heads=9,
        num_key_value_heads=3,
        vocab_size=49_152,
        head_dim=None,
    )
    assert budget.sizes_of(smol) == SMOL
    gpt2 = budget.sizes_of(model(n_embd=768, n_layer=12, n_head=12, n_inner=None, vocab_size=50))
    assert (gpt2.inner, gpt2.layers, gpt2.keys, gpt2.heads) == (4 * 768, 12, 768, 12)


def test_experts_of_a_token_count_together() -> None:
    sizes = budget.sizes_of(
        model(
            hidden_size=64, intermediate_size=10, moe_intermediate_size=100, num_experts_per_tok=4
        )
    )
    assert sizes.inner == 400


def test_an_engine_that_says_nothing_gets_the_default() -> None:
    silent: Any = object()
    assert budget.budget_of(silent) == DEFAULT_BUDGET
    says: Any = SimpleNamespace(token_budget=lambda: 2048)
    assert budget.budget_of(says) == 2048
    assert budget.budget_of(Reasoning(says, Thinking(tokens=4))) == 2048
    assert budget.budget_of(Reasoning(silent, Thinking(tokens=4))) == DEFAULT_BUDGET


@pytest.mark.parametrize("workers", ["1", "4"])
def test_a_gpu_s_free_memory_decides_for_any_number_of_workers(
    workers: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch = pytest.importorskip("torch")
    monkeypatch.setenv("PYTEST_XDIST_WORKER_COUNT", workers)
    size = 2 * 8192 * SMOL.scored
    told = {
        "mem_get_info": (size // 2, 80 * GIB),
        "memory_reserved": size,
        "memory_allocated": size // 2,  # the rest of it is torch's to give again
    }
    for name, value in told.items():
        monkeypatch.setattr(torch.cuda, name, lambda device, value=value: value)
    loaded = model(
        hidden_size=576,
        intermediate_size=1536,
        num_hidden_layers=30,
        num_attention_heads=9,
        num_key_value_heads=3,
        vocab_size=49_152,
    )
    loaded.device = SimpleNamespace(type="cuda")
    assert budget.device_budget(loaded, dense=False) == 8192
    loaded.device = SimpleNamespace(type="cpu")
    assert budget.device_budget(loaded, dense=False) == DEFAULT_BUDGET
