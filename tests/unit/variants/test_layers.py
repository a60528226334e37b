"""A base with some of its layers left out: the right ones stay, and the cache fits them."""

from __future__ import annotations

import dataclasses
import functools
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_modellab import testing
from pytest_modellab.engines.interface import GenerationRequest, ScoringRequest
from pytest_modellab.engines.language.torch_model import TransformersEngine
from pytest_modellab.engines.tokens import encode
from pytest_modellab.errors import ConfigError, VariantLoadError
from pytest_modellab.models import locate
from pytest_modellab.records.declared import ModelSource
from pytest_modellab.records.runs import Output
from pytest_modellab.variants import loading
from pytest_modellab.variants.plan import Plan
from pytest_modellab.variants.prompt import Prompt
from pytest_modellab.variants.steps import layers

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

DEPTH = 5
IDS = [[7, 3, 99, 5, 12, 40, 3, 8]]
SIZES = {
    "vocab_size": 128,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": DEPTH,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "initializer_range": 0.3,
    "bos_token_id": 1,
    "eos_token_id": None,
    "pad_token_id": 0,
}
KEPT = st.sets(st.integers(0, DEPTH - 1), min_size=1).map(sorted)


@functools.cache
def deep(kind: str = "Llama", **changes: Any) -> Any:
    """A model whose layers all differ; whoever cuts it makes it anew with ``deep.__wrapped__``."""
    with torch.random.fork_rng():
        torch.manual_seed(3)
        config = getattr(transformers, f"{kind}Config")(**{**SIZES, **changes})
        return getattr(transformers, f"{kind}ForCausalLM")(config).eval()


def cut(kept: list[int], kind: str = "Llama", **changes: Any) -> Any:
    return layers.keep_layers(deep.__wrapped__(kind, **changes), kept)


def logits(model: Any) -> Any:
    with torch.no_grad():
        return model(torch.tensor(IDS), use_cache=False).logits


def by_hand(kept: list[int]) -> Any:
    """Embedding, the kept layers one after another, norm and head, of the uncut model."""
    model = deep()
    inner, ids = model.model, torch.tensor(IDS)
    with torch.no_grad():
        hidden = inner.embed_tokens(ids)
        places = torch.arange(ids.shape[1])[None]
        turned = inner.rotary_emb(hidden, places)
        for number in kept:
            hidden = inner.layers[number](hidden, position_ids=places, position_embeddings=turned)
        return model.lm_head(inner.norm(hidden))


@settings(max_examples=20)
@given(KEPT)
def test_the_right_layers_are_kept(kept: list[int]) -> None:
    model = cut(kept)
    assert model.config.num_hidden_layers == len(model.model.layers) == len(kept)
    places = [layer.self_attn.layer_idx for layer in model.model.layers]
    assert places == list(range(len(kept))), "their places in the cache"
    for layer, number in zip(model.model.layers, kept, strict=True):
        old = deep().model.layers[number].state_dict()
        new = layer.state_dict()
        assert list(old) == list(new)
        assert all(torch.equal(old[name], new[name]) for name in old)
    assert torch.allclose(logits(model), by_hand(kept), atol=1e-4)


def greedy(model: Any, count: int) -> list[int]:
    """Tokens that are each the likeliest after a whole forward pass without a cache."""
    ids = torch.tensor(IDS)
    with torch.no_grad():
        for _ in range(count):
            last = model(ids, use_cache=False).logits[:, -1]
            ids = torch.cat([ids, last.argmax(-1, keepdim=True)], dim=1)
    return list(ids[0, len(IDS[0]) :].tolist())


def cached(model: Any, count: int) -> list[int]:
    ids = torch.tensor(IDS)
    with torch.no_grad():
        out = model.generate(
            ids,
            attention_mask=torch.ones_like(ids),
            do_sample=False,
            max_new_tokens=count,
            use_cache=True,
        )
    return list(out[0, ids.shape[1] :].tolist())


@settings(max_examples=10)
@given(KEPT)
def test_generation_with_the_cache(kept: list[int]) -> None:
    model = cut(kept)
    assert cached(model, 6) == greedy(model, 6)


@pytest.mark.parametrize(
    ("kind", "changes"),
    [
        ("Qwen3", {"layer_types": ("sliding_attention", "full_attention"), "head_dim": 8}),
        ("SmolLM3", {"no_rope_layers": (1, 1, 0, 1, 0)}),
    ],
)
def test_what_is_set_for_each_layer_is_cut_too(
    kind: str, changes: dict[str, Any], tmp_path: Path
) -> None:
    """Saved and loaded again, as before a quantization, it says the same."""
    changes = {name: list(v) if isinstance(v, tuple) else v for name, v in changes.items()}
    kept = [0, 2, 4]
    if kind == "Qwen3":
        pattern = changes["layer_types"]
        changes |= {"layer_types": [*pattern, *pattern, pattern[0]], "sliding_window": 3}
        changes |= {"use_sliding_window": True}
    model = cut(kept, kind, **changes)
    for name in set(changes) & set(layers.PER_LAYER):
        assert getattr(model.config, name) == [changes[name][number] for number in kept]
    model.save_pretrained(tmp_path)
    again = transformers.AutoModelForCausalLM.from_pretrained(tmp_path)
    assert torch.allclose(logits(again), logits(model), atol=1e-5)
    assert cached(model, 6) == greedy(model, 6)


def test_cut_twice() -> None:
    """The second cut counts what the first has left."""
    assert torch.equal(logits(layers.keep_layers(cut([0, 2, 4]), [1, 2])), logits(cut([2, 4])))


def test_all_layers_are_the_base() -> None:
    assert torch.equal(logits(cut(list(range(DEPTH)))), logits(deep()))


# --- in an engine ---------------------------------------------------------------------------------


@pytest.mark.parametrize("kept", [[0], [1], [0, 1]])
def test_in_an_engine(kept: list[int], model_folder: Path, tmp_path: Path) -> None:
    """A student is what a model of so many layers says, options and replies alike."""
    base = Plan(
        model=ModelSource("tiny", str(model_folder)),
        prompt=Prompt("{% block user %}{{ input }}{% endblock %}"),
    )
    student = base.with_step(layers.step(kept))

    def answers(made: Plan) -> list[Output]:
        engine = loading.load(made, locate.locate(made.model, tmp_path), tmp_path)
        assert isinstance(engine, TransformersEngine)
        assert len(engine.model.model.layers) == (len(kept) if made is student else 2)
        texts = ["x", "What is the capital of the land?", "the other man"]
        contexts = [engine.render([{"role": "user", "content": text}]) for text in texts]
        seen: dict[int, Output] = {}
        options = [ScoringRequest(context, ("the", "an other")) for context in contexts]
        engine.score_options(options, budget=40, skip=set(), done=seen.update)
        replies: dict[int, Output] = {}
        asked = [GenerationRequest(context, 6) for context in contexts]
        engine.generate(asked, budget=40, skip=set(), done=replies.update)
        for k, context in enumerate(contexts):
            ids = torch.tensor([encode(engine.tokenizer, context)])
            alone = engine.model.generate(
                ids,
                attention_mask=torch.ones_like(ids),
                do_sample=False,
                max_new_tokens=6,
                use_cache=False,
            )
            text = engine.tokenizer.decode(alone[0, ids.shape[1] :], skip_special_tokens=True)
            assert replies[k].text == text
        every = [seen[k] for k in range(3)] + [replies[k] for k in range(3)]
        return [dataclasses.replace(output, seconds=0.0) for output in every]

    assert (answers(student) == answers(base)) == (kept == [0, 1])


# --- errors ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "wrong", [[], [1, 0], [0, 0], [-1], [0, True], ["0"], [0.0], [None], [0, [1]]], ids=str
)
def test_wrong_layers(wrong: list[Any]) -> None:
    with pytest.raises(ConfigError) as caught:
        layers.step(wrong)
    assert str(caught.value) == (
        f"layers: {wrong!r}: expected the numbers of the base's layers to keep, from 0, "
        "ascending, each once"
    )


def test_step() -> None:
    step = layers.step([0, 3])
    assert (step.name, dict(step.settings), step.packages) == ("layers", {"kept": [0, 3]}, ())


def test_a_layer_that_is_not_there() -> None:
    model = deep.__wrapped__()
    with pytest.raises(VariantLoadError) as caught:
        layers.keep_layers(model, [0, 5])
    assert str(caught.value) == "layers: 5 is none of the base's 5 layers (0 to 4)"
    assert torch.equal(logits(model), logits(deep())), "the model is as it was"


def test_a_model_that_names_its_layers_otherwise() -> None:
    config = transformers.GPT2Config(n_embd=8, n_layer=2, n_head=2, vocab_size=16)
    with pytest.raises(VariantLoadError) as caught:
        layers.keep_layers(transformers.GPT2LMHeadModel(config), [0])
    assert str(caught.value) == ("layers: GPT2Model holds no list named 'layers'; use another base")


def test_the_random_model_has_two_layers(model_folder: Path, tmp_path: Path) -> None:
    """What is planned without loading is refused when the model is there."""
    base = Plan(model=ModelSource("tiny", str(model_folder)), prompt=Prompt(testing.CHAT_TEMPLATE))
    made = base.with_step(layers.step([2]))
    with pytest.raises(VariantLoadError, match=r"^layers: 2 is none of the base's 2 layers"):
        loading.load(made, locate.locate(made.model, tmp_path), tmp_path)
