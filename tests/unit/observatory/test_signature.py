"""What an attention does wrong is named by where it begins and what computes the same."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from pytest_modellab.observatory import reference, signature
from pytest_modellab.observatory.signature import Inputs, Signature


@pytest.fixture(scope="module")
def inputs() -> Inputs:
    """Four heads in two groups, over 48 positions."""
    rng = np.random.default_rng(3)
    rotation = reference.rotation(8, {"rope_theta": 100.0})
    q, k, v = (rng.normal(size=(heads, 48, 8)) for heads in (4, 2, 2))
    return Inputs(q, k, v, *rotation.tables(np.arange(48)), scale=8**-0.5)


@pytest.fixture(scope="module")
def named(inputs: Inputs) -> Callable[..., Signature]:
    """Name what is wrong with an attention that computes something else."""

    def of(candidate: Any, **options: Any) -> Signature:
        return signature.of(inputs, signature.computed(inputs), candidate, **options)

    return of


@pytest.mark.parametrize(
    ("changes", "fault", "begins"),
    [
        ({"causal": False}, "not_causal", 0),
        ({"window": 1}, "window(1)", 1),
        ({"window": 2}, "window(2)", 2),
        ({"window": 16}, "window(16)", 16),
        ({"window": 47}, "window(47)", 47),
        ({"scale": 0.5}, "attention_scale(0.5)", 1),
        ({"scale": 0.7}, "attention_scale(0.7)", 1),
        ({"scale": 8.0}, "attention_scale(8)", 1),
        ({"rotated": False}, "rope", 1),
        ({"faster": -1.0}, "rope", 1),
        ({"faster": 0.25}, "rope", 1),
        ({"rotate": reference.rotate_neighbours}, "rope", 1),
    ],
)
@pytest.mark.parametrize("noise", [0.0, 2e-3])
def test_faults_that_the_reference_can_compute(
    inputs: Inputs,
    named: Callable[..., Signature],
    changes: dict[str, Any],
    fault: str,
    begins: int,
    noise: float,
) -> None:
    candidate = signature.computed(inputs, **changes)
    candidate = candidate * (1 + noise * np.random.default_rng(0).normal(size=candidate.shape))

    found = named(candidate, rounding=1e-5 + 8 * noise)

    assert (found.fault, found.begins) == (fault, begins)
    assert found.left is not None
    assert found.left < 0.05


def test_one_token_of_the_future_is_enough(inputs: Inputs, named: Callable[..., Signature]) -> None:
    q, k = (reference.rotate(one, inputs.cos, inputs.sin) for one in (inputs.q, inputs.k))
    mask = reference.seen(48, 48) | np.eye(48, k=1, dtype=bool)

    found = named(reference.attention(q, k, inputs.v, inputs.scale, mask))

    assert (found.fault, found.begins) == ("not_causal", 0)
    assert found.detail == "the first token is wrong, so that it sees what comes later"


def test_what_no_hypothesis_explains_is_code(
    inputs: Inputs, named: Callable[..., Signature]
) -> None:
    right = signature.computed(inputs)
    rng = np.random.default_rng(1)

    assert named(right * 0.5).fault == "code"
    assert named(right * 0.5).detail == "what it gives is 0.5 times the base's"
    heads = right.reshape(48, 4, 8)
    other = named(np.roll(heads, 1, axis=1).reshape(48, 32))
    assert (other.fault, other.detail) == (
        "code",
        "the first token is wrong, and no mask makes it so",
    )
    cut = dataclasses.replace(inputs, q=np.clip(inputs.q, -0.4, 0.4))
    assert named(signature.computed(cut)).detail == "no hypothesis explains it"
    later = right.copy()
    later[1:] += rng.normal(size=later[1:].shape)
    assert named(later).detail == "no hypothesis explains it"
    assert named(right).detail == "it is as the base's on this text"
    later[5] = np.nan
    assert named(later).detail == "it is not finite from position 5 on"


def test_a_window_that_was_lost(inputs: Inputs) -> None:
    base = dataclasses.replace(inputs, window=16)

    found = signature.of(base, signature.computed(base), signature.computed(base, window=None))

    assert (found.fault, found.begins) == ("window(none)", 16)
    assert found.detail == "the base sees 16 tokens, it sees all"


@pytest.mark.parametrize(
    ("plant", "fault"),
    [
        (
            lambda attention: setattr(attention, "scaling", attention.scaling * 2),
            "attention_scale(2)",
        ),
        (
            lambda attention: attention.register_forward_pre_hook(
                lambda _module, args, kwargs: (args, {**kwargs, "attention_mask": _window(8)}),
                with_kwargs=True,
            ),
            "window(8)",
        ),
    ],
)
def test_an_attention_of_a_model_is_named_by_the_longest_window(plant: Any, fault: str) -> None:
    pytest.importorskip("torch")
    import tiny

    from pytest_modellab.observatory import probes, run, sites
    from pytest_modellab.observatory.subject import Subject
    from pytest_modellab.records.diagnosis import Side

    base, broken = tiny.llama(), tiny.llama()
    plant(broken.model.layers[2].self_attn)
    asked = probes.drawn(270, tokens=120, long=48)
    traced = run.base_run(Subject(Side("base"), base, None), asked, sites.leaves(base))

    found = signature.examine(traced, broken, "model.layers.2.self_attn")
    assert found.fault == fault
    assert set(found.evidence) == {"first_position", "left_by_hypothesis"}
    assert signature.examine(traced, broken, "model.layers.1.self_attn").fault == "code"


def _window(width: int) -> Any:
    import torch

    hidden = ~torch.from_numpy(reference.seen(48, 48, width))
    return torch.zeros(1, 1, 48, 48).masked_fill(hidden, torch.finfo(torch.float32).min)
