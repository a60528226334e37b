"""A model that answers the same question differently is found without another model."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import tiny

from pytest_modellab.observatory import selfcheck
from pytest_modellab.observatory.subject import Subject
from pytest_modellab.records.diagnosis import Side

torch = pytest.importorskip("torch")

WINDOWS = [[(7 * i + j * j) % 270 for j in range(32)] for i in range(4)]


def _check(model: Any, cache: Any = None) -> selfcheck.Checks:
    return selfcheck.check(Subject(Side("one"), model, None, cache), WINDOWS)


def _patched(change: Any) -> Any:
    """A model whose attentions get another mask; ``change`` makes it of the one that is right."""
    model = tiny.llama()
    model.set_attn_implementation("eager")
    for layer in model.model.layers:
        layer.self_attn.register_forward_pre_hook(
            lambda _module, args, kwargs: (
                args,
                {**kwargs, "attention_mask": change(kwargs["attention_mask"])},
            ),
            with_kwargs=True,
        )
    return model


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_a_right_model_is_what_it_is(dtype: str) -> None:
    found = _check(tiny.llama().to(getattr(torch, dtype)))

    assert [one.name for one in found.checks] == ["cached", "padded", "causal", "batched"]
    assert (found.findings, found.notes) == ((), ())


def test_a_mask_that_shows_what_comes_later() -> None:
    def open_(mask: Any) -> Any:
        mask = mask.clone()
        rows, columns = mask.shape[-2:]
        places = torch.arange(min(rows, columns) - 1)
        mask[..., places, places + 1] = 0  # each token sees the next one
        return mask

    found = {one.name: one for one in _check(_patched(open_)).checks}

    assert found["causal"].failed
    assert (found["causal"].site, found["causal"].fault) == ("attention_mask", "not_causal")


def test_padding_that_is_seen() -> None:
    def causal(mask: Any) -> Any:
        rows, columns = mask.shape[-2:]
        hidden = torch.ones(rows, columns, dtype=torch.bool).triu(1 + columns - rows)
        return torch.zeros_like(mask).masked_fill(hidden, torch.finfo(mask.dtype).min)

    (finding,) = _check(_patched(causal)).findings

    assert (finding.site, finding.fault) == ("attention_mask", "code")
    assert finding.detail.startswith("with 5 tokens of padding on the left: the model differs from")
    assert finding.evidence["check"] == "padded"


def test_padding_that_is_seen_is_named_where_probes_show_nothing() -> None:
    from pytest_modellab.observatory import diagnose

    def causal(mask: Any) -> Any:
        rows, columns = mask.shape[-2:]
        hidden = torch.ones(rows, columns, dtype=torch.bool).triu(1 + columns - rows)
        return torch.zeros_like(mask).masked_fill(hidden, torch.finfo(mask.dtype).min)

    base = tiny.llama()
    base.set_attn_implementation("eager")
    found = diagnose(base, _patched(causal), pictures=False)

    assert (found.culprit, found.fault) == ("attention_mask", "code")
    assert found.damage == pytest.approx(0, abs=1e-6)
    usual = diagnose(_patched(causal), _patched(causal), pictures=False)
    assert usual.culprit is None  # the base does so, too


def test_rows_that_influence_each_other() -> None:
    model = tiny.llama()
    down = model.model.layers[1].mlp.down_proj
    down.register_forward_hook(lambda _module, _args, output: output - 0.3 * output.mean(0))

    sites = {one.site: one for one in _check(model).findings}

    assert sites["batching"].detail.startswith("a row alone and in a batch")
    assert sites["batching"].fault == "code"


def test_a_cache_that_is_wrong_and_one_of_its_own_kind() -> None:
    from transformers import DynamicCache

    model = tiny.llama()
    model.model.layers[2].self_attn.register_forward_pre_hook(
        lambda _module, args, kwargs: (args, {**kwargs, "past_key_values": None}), with_kwargs=True
    )

    (note,) = _check(model).notes
    assert "self-check 'cached' was not made: RuntimeError" in note

    own = _check(tiny.llama(), cache=lambda config: DynamicCache(config=config))
    assert own.notes == (
        "self-check 'cached' was not made: the cache is of its own kind, and judged by itself",
    )


def test_a_wrong_position_behind_the_cache() -> None:
    model = tiny.llama()
    model.model.rotary_emb.register_forward_pre_hook(
        lambda _module, args, kwargs: (
            args,
            {
                **kwargs,
                "position_ids": kwargs["position_ids"] + 3 * (kwargs["position_ids"][:, :1] > 0),
            },
        ),
        with_kwargs=True,
    )

    (finding,) = _check(copy.deepcopy(model)).findings

    assert (finding.site, finding.fault) == ("kv_cache", "kv_cache")
    assert finding.likely.startswith("positions, mask or contents of the cache are wrong")


def test_windows_that_are_too_short_are_not_asked() -> None:
    assert selfcheck.check(Subject(Side("one"), tiny.llama(), None), [[1, 2, 3]]).checks == ()
