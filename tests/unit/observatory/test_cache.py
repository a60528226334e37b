"""A cache that gives back something else is found, and its first layer named."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import tiny

from pytest_modellab.observatory import cache
from pytest_modellab.observatory.cache import CacheResult
from pytest_modellab.observatory.subject import Subject
from pytest_modellab.records.diagnosis import Lines, Side

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

WINDOWS = [[(7 * i + j * j) % 270 for j in range(32)] for i in range(6)]


@pytest.fixture(scope="module")
def model() -> Any:
    return tiny.llama()


@pytest.fixture(scope="module")
def examine(model: Any) -> Callable[..., CacheResult]:
    """Examine a kind of cache, the base having the usual one or another."""

    def examined(make: Any, base: Any = None) -> CacheResult:
        return cache.examine(
            Subject(Side("base"), model, None, base),
            Subject(Side("candidate"), model, None, make),
            WINDOWS,
        )

    return examined


def _wrong(change: Callable[[Any, Any], tuple[Any, Any]], *layers: int) -> Callable[[Any], Any]:
    """A cache some of whose layers return something else."""

    def make(config: Any) -> Any:
        made = transformers.DynamicCache(config=config)
        for layer in layers:
            update = made.layers[layer].update
            made.layers[layer].update = lambda k, v, *a, update=update: change(*update(k, v, *a))
        return made

    return make


def test_the_usual_cache_gives_back_what_it_was_given(examine: Callable[..., CacheResult]) -> None:
    found = examine(None)

    assert (found.findings, found.layer, found.picture) == ((), None, None)
    assert found.damage < 1e-6
    assert found.weight(0.1) == 0


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda k, v: (k, v.roll(1, -2)), "layer 2 gives its keys back 0.0% off and its values 1"),
        (lambda k, v: (k.roll(1, -1), v), "layer 2 gives its keys back 1"),
        (lambda k, v: (v, k), "layer 2 gives its keys back 1"),
        (lambda k, v: (k, v * 0), "layer 2 gives its keys back 0.0% off and its values 100.0% off"),
        (lambda k, v: (k * math.nan, v), "answers behind the cache are not finite; layer 2"),
    ],
)
def test_a_layer_that_returns_something_else_is_named(
    examine: Callable[..., CacheResult], change: Any, said: str
) -> None:
    found = examine(_wrong(change, 2))

    (finding,) = found.findings
    assert (finding.site, finding.fault, found.layer) == ("kv_cache", "kv_cache", 2)
    assert said in finding.detail
    assert finding.likely == "the cache of layer 2 is written or read wrongly"
    assert found.weight(damage=1e-9) == pytest.approx(1)


def test_of_several_wrong_layers_the_first_is_named(examine: Callable[..., CacheResult]) -> None:
    assert examine(_wrong(lambda k, v: (k, v * 0.5), 1, 3)).layer == 1


def test_wrong_positions_at_decoding_are_told_from_a_wrong_cache(
    examine: Callable[..., CacheResult],
) -> None:
    def make(config: Any) -> Any:
        made = transformers.DynamicCache(config=config)
        length = made.get_seq_length
        made.get_seq_length = lambda *args, **named: length() + 3 * (length() > 0)
        return made

    (finding,) = examine(make).findings

    assert (
        "the cache gives back what it was given, but the first layer's new keys" in finding.detail
    )
    assert finding.likely.startswith("new tokens get wrong positions")


def test_a_quantized_cache_loses_more_with_fewer_bits(examine: Callable[..., CacheResult]) -> None:
    def rounding(levels: int) -> Callable[[Any], Any]:
        def rounded(*both: Any) -> Any:
            sizes = [one.abs().amax() / levels for one in both]
            return tuple((one / size).round() * size for one, size in zip(both, sizes, strict=True))

        return _wrong(rounded, 0, 1, 2, 3)

    coarse, fine = examine(rounding(4)), examine(rounding(32))

    assert coarse.damage > 4 * fine.damage > 0
    assert coarse.layer is None
    (finding,) = coarse.findings
    assert "every layer gives keys or values back up to" in finding.detail
    assert finding.likely == "the cache holds too few bits: take more bits, or smaller groups"
    assert coarse.picture is not None
    keys, answers = coarse.picture.panels
    assert isinstance(keys, Lines)
    assert isinstance(answers, Lines)
    assert (len(keys.x), len(answers.x)) == (4, 16)


def test_what_the_bases_cache_costs_too_is_no_finding(examine: Callable[..., CacheResult]) -> None:
    wrong = _wrong(lambda k, v: (k, v * 0.5), 1)

    found = examine(wrong, wrong)

    assert found.findings == ()
    assert "the base's is no yardstick: it costs" in found.notes[0]


def test_a_cache_that_does_not_run_is_told(examine: Callable[..., CacheResult]) -> None:
    found = examine(_wrong(lambda k, v: (k[..., :-1, :], v), 0))

    assert "the model cannot run through its cache: RuntimeError" in found.findings[0].detail
    assert found.weight(5.0) == 1


def test_a_library_that_is_missing_is_nobodys_fault(examine: Callable[..., CacheResult]) -> None:
    def make(config: Any) -> Any:
        raise ImportError("no module named hqq")

    found = examine(make)

    assert found.findings == ()
    assert found.notes == ("the cache was not examined: ImportError: no module named hqq",)
