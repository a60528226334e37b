"""Of two sentence encoders the damaged part is named, pooling and normalization among them."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
from small_bert import sentence_encoder

from pytest_modellab.errors import DiagnosisError
from pytest_modellab.observatory import diagnose, encoding
from pytest_modellab.observatory.driver import subject
from pytest_modellab.reports import diagnosed

torch = pytest.importorskip("torch")
pytest.importorskip("sentence_transformers")


@pytest.fixture(scope="module")
def base() -> Any:
    """A random BERT."""
    return sentence_encoder()


def _layer(model: Any, number: int) -> Any:
    return model[0].auto_model.encoder.layer[number]


def _head(model: Any) -> None:
    _layer(model, 3).attention.output.dense.weight.data[:, 8:16] = 0


def _rounded(model: Any) -> None:
    weight = _layer(model, 2).intermediate.dense.weight.data
    size = weight.abs().amax(1, keepdim=True)
    weight.copy_((weight / size).round() * size)


def _scale(model: Any) -> None:
    for layer in model[0].auto_model.encoder.layer:
        layer.attention.self.scaling *= 2


def _activation(model: Any) -> None:
    for layer in model[0].auto_model.encoder.layer:
        layer.intermediate.intermediate_act_fn = torch.nn.ReLU()


def _swapped(model: Any) -> None:
    layers = model[0].auto_model.encoder.layer
    layers[1], layers[2] = layers[2], layers[1]


def _pooling(model: Any) -> None:
    model[1].pooling_mode = "cls"


def _lengths(model: Any) -> None:
    del model[2]


@pytest.mark.parametrize(
    ("damage", "site", "fault"),
    [
        (_head, "layer.3.attention.head.1", "zeroed"),
        (_rounded, "layer.2.mlp.up_proj", "rounded(2)"),
        (_scale, "attention_scale", "attention_scale(2)"),
        (_activation, "activation", "activation"),
        (_swapped, "layer.1+layer.2", "swapped"),
        (_pooling, "pooling", "pooling(cls)"),
        (_lengths, "normalization", "normalization(none)"),
    ],
)
def test_the_damaged_part_is_named(
    base: Any, damage: Callable[[Any], None], site: str, fault: str
) -> None:
    """By its name in a language model where it has one, and proved by putting it back."""
    candidate = copy.deepcopy(base)
    damage(candidate)
    found = diagnose(base, candidate, pictures=False)
    assert (found.culprit, found.fault, found.measure) == (site, fault, "cosine")
    assert found.restored is not None
    assert found.restored > 0.99
    assert not [one for one in found.notes if "failed" in one]


def test_what_enters_adds_up_to_the_damage(base: Any) -> None:
    """The shares of a small error are the distance itself."""
    candidate = copy.deepcopy(base)
    draw = torch.Generator().manual_seed(1)
    for one in candidate.parameters():
        one.data += 0.02 * one.data.std() * torch.randn(one.shape, generator=draw)
    found = diagnose(base, candidate, pictures=False)
    assert found.damage is not None
    assert sum(one.nats for one in found.nodes) == pytest.approx(found.damage, rel=0.25)
    assert found.culprit is None


def test_what_was_trained_further_everywhere_has_no_culprit(base: Any) -> None:
    """It differs, and a note says in which layers most of it enters."""
    candidate = copy.deepcopy(base)
    draw = torch.Generator().manual_seed(2)
    for name, one in candidate.named_parameters():
        if one.dim() == 2 and "embeddings" not in name:
            one.data += 0.3 * one.data.std() * torch.randn(one.shape, generator=draw)
    found = diagnose(base, candidate)
    assert (found.culprit, found.fault) == (None, "uniform")
    assert found.headline == "it differs everywhere, and no part is named"
    assert any(
        one.startswith("of what enters in layers, most does in layer") for one in found.notes
    )
    pictures = {one.name: one for one in found.pictures}
    assert "of cosine distance" in pictures["where_it_enters"].sentence


def test_lengths_count_only_where_the_base_gives_vectors_of_length_one(base: Any) -> None:
    """Else it is the cosine, which a factor leaves alone."""
    one = copy.deepcopy(base)
    del one[2]
    assert diagnose(one, copy.deepcopy(base), pictures=False).culprit is None


def test_equal_encoders_are_told_so_in_words_of_their_own(base: Any) -> None:
    """Nothing is named, and texts are counted."""
    found = diagnose(base, copy.deepcopy(base))
    assert (found.culprit, found.fault) == (None, "none")
    assert diagnosed.damage_words(found) == (
        f"under 0.001 of cosine distance on {found.tokens} texts"
    )
    assert all(one.name in ("where_it_enters", "what_changed") for one in found.pictures)


def test_padding_that_is_seen_is_a_finding(base: Any) -> None:
    """Such an encoder gives a text another vector in every batch."""
    candidate = copy.deepcopy(base)
    body = candidate[0].auto_model
    forward = body.forward
    body.forward = lambda **given: forward(
        **{**given, "attention_mask": torch.ones_like(given["attention_mask"])}
    )
    found = diagnose(base, candidate, pictures=False)
    assert (found.culprit, found.fault) == ("attention_mask", "code")


def test_what_is_no_pooled_transformer_is_refused(base: Any) -> None:
    """The message lists what it is made of."""
    candidate = copy.deepcopy(base)
    del candidate[1]
    with pytest.raises(DiagnosisError, match="candidate: its modules are Transformer, Normalize;"):
        diagnose(base, candidate)


def test_encoders_of_other_sizes_are_refused(base: Any) -> None:
    """The message says which size, and what to compare."""
    candidate = copy.deepcopy(base)
    candidate[0].auto_model.config.hidden_size = 48
    with pytest.raises(DiagnosisError, match=r"of other sizes than base \(its width is 48, the"):
        diagnose(base, candidate)


def test_vectors_are_those_that_the_model_gives(base: Any) -> None:
    """The modules are taken as they are."""
    made = encoding.model_of(base, "base")
    ids = base.tokenizer(["the boat"], return_tensors="pt")["input_ids"]
    with torch.no_grad():
        found = made(input_ids=ids).logits[0, 0]
    assert torch.allclose(found, torch.tensor(base.encode("the boat")), atol=1e-6)
    assert subject(base, "base").tokenizer is base.tokenizer
