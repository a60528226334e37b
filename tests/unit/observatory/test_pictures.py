"""A planted fault is seen where it is, in every picture, and models are left as they were."""

from __future__ import annotations

import copy
import dataclasses
import math
from collections.abc import Callable
from typing import Any

import pytest

from pytest_modellab.observatory import driver, forced, sites
from pytest_modellab.observatory import run as running
from pytest_modellab.observatory.examination import Examination
from pytest_modellab.observatory.groups import Group
from pytest_modellab.observatory.pictures import (
    activations,
    answer,
    attention,
    draw,
    drawn,
    gradients,
    lens,
    put_back,
    shapes,
    streams,
    unpacked,
)
from pytest_modellab.observatory.pictures.view import LeftOut, View
from pytest_modellab.records.diagnosis import Finding, Heat, Lines, Picture, WeightChange

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

SIZES = {
    "vocab_size": 96,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 128,
    "initializer_range": 0.2,
}


@pytest.fixture(scope="module")
def base() -> Any:
    """A random Llama of four layers."""
    torch.manual_seed(0)
    return transformers.LlamaForCausalLM(transformers.LlamaConfig(**SIZES)).eval()


@pytest.fixture
def other(base: Any) -> Any:
    """The same model, to be damaged."""
    return copy.deepcopy(base)


@pytest.fixture(scope="module")
def windows() -> tuple[tuple[int, ...], ...]:
    """Three short windows and a long one."""
    generator = torch.Generator().manual_seed(1)
    return tuple(
        tuple(torch.randint(0, 96, (width,), generator=generator).tolist())
        for width in (16, 16, 16, 40)
    )


@pytest.fixture
def see(base: Any, windows: Any) -> Callable[..., View]:
    """Look at a candidate: ``see(other, field=…)``."""

    def look(candidate: Any, **changes: Any) -> View:
        return View(base, candidate, sites.leaves(base), windows, "t{}".format, **changes)

    return look


def damaged(model: Any) -> Any:
    """Head 1 of layer 2 is pruned."""
    with torch.no_grad():
        model.model.layers[2].self_attn.o_proj.weight[:, 8:16] = 0
    return model


def test_layers_light_up_from_the_fault_on(see: Any, other: Any) -> None:
    picture = lens.picture(see(damaged(other), culprit="layer.2.attention.head.1"))
    (heat,) = picture.panels

    assert isinstance(heat, Heat)
    assert heat.rows == ("embedding", "layer 0", "layer 1", "layer 2", "layer 3", "output")
    dark, lit = heat.values[:3], heat.values[3:]
    assert {value for row in dark for value in row} == {-6.0}
    assert all(value is not None and value > -3 for row in lit for value in row)
    assert {row for row, _ in heat.framed} == {3}
    assert picture.sentence.startswith("KL is below 1e-4 up to layer 1 and ")


def test_the_lens_ends_at_what_the_model_says(see: Any, other: Any) -> None:
    view = see(damaged(other))
    ours, theirs = view.base_streams, view.candidate_streams
    norm, head = view.base.model.norm, view.base.lm_head

    with torch.no_grad():
        read = streams.divergence(head(norm(ours.states[-1])), head(norm(theirs.states[-1])))

    assert torch.allclose(read, view.divergence, atol=1e-5)


def test_putting_back_is_a_step_at_the_fault(see: Any, other: Any) -> None:
    findings = (Finding("layer.2.attention.o_proj", "zeroed(0.25, columns)", "", 0.1, 1.0),)
    picture = put_back.picture(
        see(damaged(other), findings=findings, culprit="layer.2.attention.o_proj")
    )
    by_part, behind = picture.panels

    assert isinstance(by_part, Lines)
    assert isinstance(behind, Lines)
    assert by_part.framed == (0,)
    measured = dict(zip(behind.x, behind.series[0].values, strict=True))
    assert measured["layer 1"] == pytest.approx(0, abs=1e-5)
    assert measured["layer 2"] == pytest.approx(1, abs=1e-5)
    assert behind.x[behind.framed[0]] == "layer 2"
    assert picture.sentence == (
        "The base's stream behind layer 1 restores 0 % and behind layer 2 100 %: "
        "the damage enters in layer 2."
    )


@pytest.mark.parametrize(
    ("part", "said"),
    [
        ("embed_tokens", "With the base's embedding 100 % is restored: the damage enters there."),
        (
            "norm",
            "Even the base's stream behind layer 3 restores only 0 %: "
            "the damage enters behind the layers.",
        ),
    ],
)
def test_a_fault_outside_of_the_layers_is_told_so(
    see: Any, other: Any, part: str, said: str
) -> None:
    with torch.no_grad():
        getattr(other.model, part).weight[::2] *= 3

    assert put_back.picture(see(other)).sentence == said


def test_given_right_inputs_only_the_culprit_moves(see: Any, other: Any) -> None:
    picture = activations.picture(see(damaged(other), culprit="layer.2.attention.head.1"))
    distance = picture.panels[0]

    assert isinstance(distance, Lines)
    free, given = (one.values for one in distance.series)
    assert [site for site, value in zip(distance.x, given, strict=True) if value] == [
        "layer.2.attention.o_proj"
    ]
    assert sum(bool(value) for value in free) > 5
    assert "given the base's inputs only layer.2.attention.o_proj is off by" in picture.sentence


def test_a_fault_of_code_is_in_no_leaf(see: Any, other: Any) -> None:
    for layer in other.model.layers:
        layer.self_attn.scaling *= 4

    assert "differ, so what differs lies between them." in activations.picture(see(other)).sentence


def test_dead_channels_are_counted(see: Any, other: Any) -> None:
    with torch.no_grad():
        other.model.layers[1].mlp.up_proj.weight[:7] = 0

    picture = activations.picture(see(other))

    dead = picture.panels[-1]
    assert isinstance(dead, Lines)
    assert [one.values for one in dead.series] == [
        (0, 0, 0, 0),
        (0, 7, 0, 0),
        (0, 7, 0, 0),
    ]
    assert "layer.1.mlp.up_proj is off by" in picture.sentence
    assert ", 7 channels more are dead" in picture.sentence


def test_shapes_are_what_they_are_by_definition() -> None:
    values = torch.tensor([[[3.0, 0.0]], [[-3.0, 0.0]]])

    shape = shapes.shape(values, torch.tensor([[[3.0, 4.0]], [[-3.0, 4.0]]]))

    assert shape.error == pytest.approx(4 / 5)
    assert shape.rms == pytest.approx(math.sqrt(18 / 4))
    assert (shape.largest, shape.dead) == (3.0, 1)
    assert shape.kurtosis == pytest.approx((162 / 4) / (18 / 4) ** 2)


def test_a_cell_in_front_of_the_head_gives_all_of_the_margin_back(see: Any, other: Any) -> None:
    view = see(damaged(other), culprit="layer.2.attention.head.1")
    asked = answer.hardest(view)
    picture = answer.picture(view)
    margins, heat, measured = picture.panels

    assert isinstance(margins, Lines)
    assert isinstance(measured, Lines)
    have, want = margins.series[0].values
    assert have is not None
    assert want is not None
    assert have < want - 0.1
    last = f"layer 3, 't{asked.ids[-1]}' ({len(asked.ids) - 1})"
    assert measured.series[1].values[measured.x.index(last)] == pytest.approx(want - have, rel=1e-3)
    assert isinstance(heat, Heat)
    assert all(abs(value or 0) <= (want - have) * 1.001 for value in measured.series[0].values)
    assert {row for row, _ in heat.framed} == {3}
    assert "the first that gives half of it back is layer 2 at" in picture.sentence


def test_the_culprits_exchange_is_measured_on_the_answer(see: Any, base: Any, other: Any) -> None:
    @dataclasses.dataclass
    class Exchanged:
        def __enter__(self) -> Any:
            return base

        def __exit__(self, *_: object) -> None:
            return None

    view = see(damaged(other), culprit="layer.2.attention.o_proj", exchanged=Exchanged)
    margins = answer.picture(view).panels[0]

    assert isinstance(margins, Lines)
    assert margins.x == ("candidate", "with the base's layer.2.attention.o_proj", "base")
    _, mended, want = margins.series[0].values
    assert mended == want


def test_heads_look_elsewhere_only_behind_the_fault(see: Any, other: Any) -> None:
    with torch.no_grad():
        other.model.layers[1].self_attn.q_proj.weight[8:16] *= 40  # one head is sure

    picture = attention.picture(see(other, culprit="layer.1.attention.head.1"))
    drift, ours, theirs = picture.panels

    assert isinstance(drift, Heat)
    assert isinstance(ours, Heat)
    assert isinstance(theirs, Heat)
    changes = [value or 0.0 for row in drift.values for value in row]
    assert changes[:5] == [0, 0, 0, 0, 0]
    assert changes[5] < -0.1
    assert drift.framed == ((1, 1),)
    assert (ours.title, theirs.title) == (
        "layer 1, head 1: base",
        "layer 1, head 1: candidate",
    )
    assert len(ours.rows) == 20  # 40 positions in groups of two
    assert all(
        sum(value or 0 for value in row) == pytest.approx(1, abs=2e-3) for row in ours.values
    )
    assert picture.sentence.startswith("Head 1 of layer 1 differs most: ")
    assert "its entropy falls by" in picture.sentence
    assert "heads up to layer 0 look where the base's look" in picture.sentence


def test_figures_of_heads_that_are_known() -> None:
    even = torch.tril(torch.ones(5, 5)) / torch.arange(1, 6)[:, None]
    first = torch.zeros(5, 5)
    first[:, 0] = 1

    heads = attention.heads(torch.stack([even, first]))

    assert heads.entropy.tolist() == pytest.approx([1, 0])
    assert heads.largest[1] == 1
    assert heads.sink.tolist() == pytest.approx([(1 / 2 + 1 / 3 + 1 / 4 + 1 / 5) / 4, 1])


def test_gradients_are_those_of_the_loss(base: Any, windows: Any) -> None:
    where = streams.layout(base)
    assert where is not None
    kept = []
    ids = torch.tensor(windows[:2])

    def keep(_module: Any, _args: Any, output: Any) -> None:
        output.retain_grad()
        kept.append(output)

    handle = base.model.layers[1].register_forward_hook(keep)
    base(input_ids=ids, labels=ids, use_cache=False).loss.backward()
    handle.remove()
    base.zero_grad()

    assert gradients.norms(base, where, windows[:2])[1] == pytest.approx(
        float(kept[0].grad.norm()), rel=1e-4
    )


def test_a_scaled_head_is_felt_everywhere(see: Any, other: Any) -> None:
    with torch.no_grad():
        other.lm_head.weight.mul_(2)

    picture = gradients.picture(see(other))

    assert picture.sentence.startswith("The gradient differs most behind layer ")
    assert "the slope of its logarithm is " in picture.sentence


def packed(module: Any) -> Any:
    """A linear map in 8 bits, whose kernel lets a backward pass through and gives zeros."""
    weight = module.weight.detach()
    scale = weight.abs().max() / 127
    codes = (weight / scale).round().to(torch.int8)
    module.weight = torch.nn.Parameter(codes, requires_grad=False)

    def forward(given: Any) -> Any:
        return torch.nn.functional.linear(given.detach(), codes * scale) + 0 * given.sum()

    module.forward = forward
    return forward


def test_packed_weights_have_the_gradients_of_what_they_apply(see: Any, other: Any) -> None:
    kernels = [packed(layer.mlp.down_proj) for layer in other.model.layers]

    picture = gradients.picture(see(other))

    assert picture.sentence.startswith("The loss feels every layer as in the base, within 10 %")
    assert [layer.mlp.down_proj.forward for layer in other.model.layers] == kernels


def test_packed_weights_that_are_too_large_are_told(
    see: Any, other: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    packed(other.model.layers[1].mlp.down_proj)
    monkeypatch.setattr(unpacked, "LARGEST", 100)

    with pytest.raises(LeftOut, match="packed weights are too large to be unpacked"):
        gradients.picture(see(other))


def test_equal_models_have_nothing_to_be_seen(see: Any, other: Any) -> None:
    told = drawn(see(other, weights=(WeightChange("layer.0.mlp.up_proj", 0.0),)))

    sentences = {picture.name: picture.sentence for picture in told.pictures}
    assert sentences["lens"] == ("No row lights up: KL is 0 at most, which is called no damage.")
    assert sentences["what_changed"] == "Nothing changed: the weights are equal in all 1 places."
    assert sentences["answer"].endswith("in the candidate: the answer is the same.")
    assert sentences["attention"] == (
        "Every head looks where the base's looks: at most 0 % goes elsewhere."
    )
    assert sentences["activations"] == (
        "Given the base's inputs, every leaf gives what the base's gives: "
        "the largest error is 0, of embedding."
    )
    assert sentences["gradients"].startswith("The loss feels every layer as in the base")
    assert told.notes == (
        "picture left out (where_it_enters): what enters was not shared out",
        "picture left out (put_back): the damage on these tokens, 0 nats, is below 0.001: "
        "there is nothing to restore",
    )


def test_what_is_no_number_is_told_and_breaks_nothing(see: Any, other: Any) -> None:
    with torch.no_grad():
        other.model.layers[1].mlp.up_proj.weight[3, 3] = torch.nan

    told = drawn(see(other))

    sentences = {picture.name: picture.sentence for picture in told.pictures}
    assert sentences["lens"] == "From layer 1 on the candidate's state is no number."
    assert sentences["attention"] == "From layer 2 on the candidate's attention is no number."
    assert sentences["activations"] == (
        "Given the base's inputs, layer.1.mlp.up_proj gives values that are no numbers."
    )
    assert sentences["gradients"] == "The candidate's gradients are no numbers."
    assert sentences["answer"].endswith("nan in the candidate: it is no number.")
    assert (
        "picture left out (put_back): the candidate's logits are no numbers, "
        "so nothing can be restored"
    ) in told.notes


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_half_precision_is_looked_at_like_any_other(see: Any, other: Any, dtype: str) -> None:
    told = drawn(see(damaged(other).to(getattr(torch, dtype))))

    assert [picture.name for picture in told.pictures] == [
        "lens",
        "put_back",
        "answer",
        "attention",
        "activations",
        "gradients",
    ]


@pytest.mark.parametrize(
    ("config", "model"),
    [
        (
            transformers.GPT2Config(
                vocab_size=96,
                n_embd=32,
                n_layer=2,
                n_head=2,
                n_positions=64,
                bos_token_id=0,
                eos_token_id=0,
            ),
            transformers.GPT2LMHeadModel,
        ),
        (transformers.Qwen2Config(**SIZES), transformers.Qwen2ForCausalLM),
        (transformers.GemmaConfig(**SIZES, head_dim=8), transformers.GemmaForCausalLM),
    ],
    ids=["gpt2", "qwen2", "gemma"],
)
def test_other_architectures_have_pictures(config: Any, model: Any, windows: Any) -> None:
    torch.manual_seed(0)
    base = model(config).eval()
    candidate = copy.deepcopy(base)
    with torch.no_grad():
        list(candidate.parameters())[4].mul_(3)

    told = drawn(View(base, candidate, sites.leaves(base), windows, str))

    assert {"lens", "answer", "attention", "activations", "gradients"} <= {
        picture.name for picture in told.pictures
    }


def test_layers_that_cannot_be_found_are_a_note(see: Any, base: Any, other: Any) -> None:
    del other.model.layers[3]

    told = drawn(see(other))

    assert told.pictures == ()
    assert told.notes[-1] == (
        "pictures left out (lens, put_back, answer, attention, activations, gradients): "
        "the candidate has no model.layers.3"
    )


def _state(model: Any) -> Any:
    return (
        [
            (len(module._forward_hooks), len(module._forward_pre_hooks), module.training)
            for module in model.modules()
        ],
        [parameter.requires_grad for parameter in model.parameters()],
        model.config._attn_implementation,
        {name: value.clone() for name, value in model.state_dict().items()},
    )


def _same(one: Any, two: Any) -> bool:
    return bool(
        one[:3] == two[:3]
        and one[3].keys() == two[3].keys()
        and all(torch.equal(one[3][name], two[3][name]) for name in one[3])
    )


def test_models_are_left_as_they_were(see: Any, base: Any, other: Any) -> None:
    damaged(other).requires_grad_(False)
    before = _state(base), _state(other)

    first = drawn(see(other))
    second = drawn(see(other))

    assert _same(before[0], _state(base))
    assert _same(before[1], _state(other))
    assert (first.pictures, first.notes) == (second.pictures, second.notes)


def test_models_are_left_as_they_were_when_one_breaks(see: Any, base: Any, other: Any) -> None:
    def broken(*_: Any, **__: Any) -> Any:
        raise RuntimeError("out of\x1b[31m memory")

    other.model.layers[2].mlp.forward = broken
    before = _state(base), _state(other)

    told = drawn(see(other))

    assert told.pictures == ()
    assert told.notes[-1].endswith(r"gradients): RuntimeError('out of\x1b[31m memory')")
    assert _same(before[0], _state(base))
    assert _same(before[1], _state(other))


def test_the_time_that_is_given_is_kept(see: Any, other: Any) -> None:
    told = drawn(see(other), seconds=-1)

    assert told.pictures == ()
    (note,) = told.notes
    assert note.startswith("pictures left out (where_it_enters, what_changed, lens, ")
    assert note.endswith("): -1 seconds were spent")


def test_an_examination_is_drawn(base: Any, other: Any) -> None:
    damaged(other)
    group = Group("layer.2.attention.o_proj", ("model.layers.2.self_attn.o_proj",), "zeroed", "")
    mine, theirs = driver.subject(base, "base"), driver.subject(other, "candidate")
    asked = driver._probes(mine, None, 96, 32)
    run = running.base_run(mine, asked, sites.leaves(base))
    damage = running.damage(run, other)
    passes = forced.leaf_pass(run, damage, other)

    told = draw(
        Examination(
            *(mine, theirs, asked, run.leaves, run, damage, passes, ()),
            culprit=group,
        )
    )

    pictures: dict[str, Picture] = {picture.name: picture for picture in told.pictures}
    assert pictures["where_it_enters"].sentence.startswith(
        "100 % of what enters comes in at layer.2.attention.o_proj ("
    )
    heat = pictures["where_it_enters"].panels[0]
    assert isinstance(heat, Heat)
    assert heat.framed == ((heat.rows.index("layer 2"), heat.columns.index("o_proj")),)
    margins = pictures["answer"].panels[0]
    assert isinstance(margins, Lines)
    assert margins.series[0].values[1] == pytest.approx(margins.series[0].values[2], abs=1e-3)
    assert set(told.seconds) == {
        *("where_it_enters", "what_changed", "lens", "put_back", "answer"),
        *("attention", "activations", "gradients"),
    }


def test_a_model_without_a_stack_is_told(see: Any, other: Any, base: Any) -> None:
    plain = copy.deepcopy(base)
    plain.config.num_hidden_layers = 9

    with pytest.raises(LeftOut, match="the base is no stack of layers that could be found"):
        _ = dataclasses.replace(see(other), base=plain).layout
