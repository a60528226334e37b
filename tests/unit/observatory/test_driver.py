"""A damaged part is named, whatever it is, and the models are left as they were."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable
from typing import Any

import pytest

from pytest_modellab.errors import DiagnosisError, OutOfTime
from pytest_modellab.observatory import diagnose, driver
from pytest_modellab.observatory.verdict import Verdict

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

WINDOWS = [[(7 * i + 3 * j * j + i * j) % 120 for j in range(24)] for i in range(5)]


@pytest.fixture(scope="module")
def base() -> Any:
    """A random Llama of four layers in which every part matters."""
    config = transformers.LlamaConfig(
        vocab_size=128,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=4,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=256,
    )
    model = transformers.LlamaForCausalLM(config).eval()
    draw = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, one in model.named_parameters():
            noise = torch.randn(one.shape, generator=draw)
            size = 1.0 if "embed" in name else 1.5 / one.shape[-1] ** 0.5
            one.copy_(torch.exp(0.3 * noise) if one.dim() == 1 else noise * size)
    return model


def _noise(weight: Any) -> None:
    noise = torch.randn(weight.shape, generator=torch.Generator().manual_seed(1))
    weight.data += 0.5 * weight.data.std() * noise


def _projection(model: Any) -> None:
    model.model.layers[1].mlp.down_proj.weight.data *= 0.5


def _head(model: Any) -> None:
    model.model.layers[2].self_attn.o_proj.weight.data[:, 8:16] = 0


def _attention(model: Any) -> None:
    for name in ("q_proj", "k_proj", "v_proj", "o_proj"):
        _noise(getattr(model.model.layers[1].self_attn, name).weight)


def _swapped(model: Any) -> None:
    layers = model.model.layers
    layers[1], layers[3] = layers[3], layers[1]


def _kind(model: Any) -> None:
    for layer in model.model.layers:
        layer.self_attn.q_proj.weight.data = layer.self_attn.q_proj.weight.data.flip(0)


def _rows(model: Any) -> None:
    model.model.embed_tokens.weight.data[::4] = 0


def _not_a_number(model: Any) -> None:
    model.model.layers[2].self_attn.v_proj.weight.data[3, 5] = float("nan")


def _scale(model: Any) -> None:
    for layer in model.model.layers:
        layer.self_attn.scaling *= 3


def _window(model: Any) -> None:
    def give(_module: Any, args: Any, kwargs: Any) -> Any:
        width = kwargs["hidden_states"].shape[1]
        places = torch.arange(width)
        seen = (places[None] <= places[:, None]) & (places[None] > places[:, None] - 4)
        return args, {**kwargs, "attention_mask": seen[None, None]}

    model.model.layers[2].self_attn.register_forward_pre_hook(give, with_kwargs=True)


def _rope(model: Any) -> None:
    model.model.rotary_emb.inv_freq *= 0.4


def _activation(model: Any) -> None:
    for layer in model.model.layers:
        layer.mlp.act_fn = torch.nn.Tanh()


def _gate(model: Any) -> None:
    for layer in model.model.layers:
        layer.mlp.forward = lambda x, mlp=layer.mlp: mlp.down_proj(
            torch.relu(mlp.gate_proj(x)) * mlp.up_proj(x)
        )


def _mlp_code(model: Any) -> None:
    mlp = model.model.layers[1].mlp
    mlp.forward = lambda x: mlp.down_proj(mlp.gate_proj(x) * mlp.act_fn(mlp.up_proj(x)))


def _eps(model: Any) -> None:
    for module in model.modules():
        if hasattr(module, "variance_epsilon"):
            module.variance_epsilon = 0.5


def _residual(model: Any) -> None:
    for layer in model.model.layers:
        layer.self_attn.register_forward_hook(lambda _m, _a, out: (0.4 * out[0], *out[1:]))
        layer.mlp.register_forward_hook(lambda _m, _a, out: 0.4 * out)


def _logits(model: Any) -> None:
    def scale(_module: Any, _args: Any, output: Any) -> Any:
        output.logits = 2 * output.logits
        return output

    model.register_forward_hook(scale)


def _bypassed(model: Any) -> None:
    model.model.layers[2].forward = lambda hidden_states, **_: hidden_states


def _fewer_layers(model: Any) -> None:
    del model.model.layers[1]
    model.config.num_hidden_layers = 3


def _no_mlp(model: Any) -> None:
    model.model.layers[2].mlp = torch.nn.Identity()


@pytest.mark.parametrize(
    ("break_", "site", "fault"),
    [
        (_projection, "layer.1.mlp.down_proj", "scaled(0.5)"),
        (_head, "layer.2.attention.head.1", "zeroed"),
        (_attention, "layer.1.attention", "noise(0.5)"),
        (_swapped, "layer.1+layer.3", "swapped"),
        (_kind, "all.q_proj", "permuted"),
        (_rows, "embedding", "rows_damaged(32)"),
        (_not_a_number, "layer.2.attention.v_proj", "nonfinite"),
        (_scale, "attention_scale", "attention_scale(3)"),
        (_window, "layer.2.attention.core", "window(4)"),
        (_rope, "rope", "rope"),
        (_activation, "activation", "activation"),
        (_gate, "activation", "activation"),
        (_mlp_code, "layer.1.mlp.core", "code"),
        (_eps, "norm_eps", "norm_eps"),
        (_residual, "residual_scale", "residual_scale"),
        (_logits, "logit_scale", "logit_scale(2)"),
        (_bypassed, "layer.2", "bypassed"),
        (_fewer_layers, "layer.1", "bypassed"),
        (_no_mlp, "layer.2.mlp", "bypassed"),
    ],
)
def test_a_fault_is_named_and_proved(
    base: Any, break_: Callable[[Any], None], site: str, fault: str
) -> None:
    broken = copy.deepcopy(base)
    break_(broken)

    said = diagnose(base, broken, WINDOWS, pictures=False)

    assert (said.culprit, said.restored) == (site, pytest.approx(1, abs=1e-3))
    assert said.fault.partition("(")[0] == fault.partition("(")[0]
    assert said.culprits[0] == said.findings[0].site == site


def test_a_healed_student_with_half_of_the_layers_is_no_adapter(base: Any) -> None:
    student = copy.deepcopy(base)
    del student.model.layers[1:3]
    student.config.num_hidden_layers = 2
    draw = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for layer in student.model.layers:
            for module in layer.modules():
                if isinstance(module, torch.nn.Linear):
                    rows, columns = module.weight.shape
                    left, right = (torch.randn(n, generator=draw) for n in (rows, columns))
                    module.weight += 1.5 * torch.outer(left, right) / columns**0.5

    said = diagnose(base, student, WINDOWS)

    assert (said.culprit, said.fault) == (None, "unexplained")
    assert said.headline == (
        "2 of the base's 4 layers are left out, and none of them alone, put back, restores half"
    )
    assert said.remedy is not None
    assert said.remedy.paste == ""
    assert said.remedy.sentence == "keep more layers, or train what is left for longer"
    assert {"layer.1", "layer.2"} <= {one.site for one in said.findings}
    assert not any("AttributeError" in note for note in said.notes)


def test_models_are_left_as_they_were(base: Any) -> None:
    broken = copy.deepcopy(base)
    _projection(broken)
    _window(broken)
    modules = [dict(one.named_modules()) for one in (base, broken)]
    state = [{name: one.clone() for name, one in m.state_dict().items()} for m in (base, broken)]
    hooks = [len(one._forward_pre_hooks) + len(one._forward_hooks) for one in broken.modules()]

    first, again = (diagnose(base, broken, WINDOWS) for _ in range(2))

    assert dataclasses.replace(first, seconds={}) == dataclasses.replace(again, seconds={})
    for model, there, before in zip((base, broken), modules, state, strict=True):
        assert all(dict(model.named_modules())[name] is one for name, one in there.items())
        assert all(torch.equal(before[name], one) for name, one in model.state_dict().items())
        assert all(one.requires_grad and one.grad is None for one in model.parameters())
    assert hooks == [
        len(one._forward_pre_hooks) + len(one._forward_hooks) for one in broken.modules()
    ]


def test_an_interrupted_examination_leaves_the_models_as_they_were(
    base: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = copy.deepcopy(base)
    _head(broken)
    there = dict(broken.named_modules())
    calls = []

    def interrupted(*_: Any) -> Any:
        calls.append(dict(broken.named_modules()) != there)
        raise KeyboardInterrupt

    monkeypatch.setattr("pytest_modellab.observatory.proof.running.left", interrupted)
    with pytest.raises(KeyboardInterrupt):
        diagnose(base, broken, WINDOWS, pictures=False)

    assert dict(broken.named_modules()) == there
    assert all(one.requires_grad for one in broken.parameters())
    assert all(not one._forward_hooks for one in (*base.modules(), *broken.modules()))


def test_several_faults_are_told_in_the_order_of_what_they_restore(base: Any) -> None:
    broken = copy.deepcopy(base)
    _noise(broken.model.layers[0].mlp.up_proj.weight)
    _head(broken)

    said = diagnose(base, broken, WINDOWS, pictures=False)

    assert set(said.culprits) == {"layer.0.mlp.up_proj", "layer.2.attention.head.1"}
    assert said.restored is not None
    assert said.restored < 1


def _equal(model: Any) -> None:
    assert model is not None


def _neurons(model: Any) -> None:
    """The same function: neurons in another order, and a norm folded into what reads it."""
    layer = model.model.layers[1]
    order = torch.randperm(64, generator=torch.Generator().manual_seed(2))
    for name in ("gate_proj", "up_proj"):
        part = getattr(layer.mlp, name)
        part.weight.data = part.weight.data[order] * layer.post_attention_layernorm.weight.data
    layer.mlp.down_proj.weight.data = layer.mlp.down_proj.weight.data[:, order]
    layer.post_attention_layernorm.weight.data[:] = 1


def _half(model: Any) -> None:
    model.to(torch.bfloat16)


def _in_training(model: Any) -> None:
    """No dropout; but a checkpoint for gradients keeps no cache."""
    getattr(model, "activation_checkpointing_enable", model.gradient_checkpointing_enable)()
    model.train()


@pytest.mark.parametrize(
    ("change", "fault"),
    [(_equal, "none"), (_neurons, "rewritten"), (_half, "none"), (_in_training, "none")],
)
def test_what_is_no_fault_has_no_name(base: Any, change: Callable[[Any], None], fault: str) -> None:
    other = copy.deepcopy(base)
    change(other)

    said = diagnose(base, other, WINDOWS, pictures=False)

    assert (said.culprit, said.culprits) == (None, ())
    assert said.fault in (fault, "uniform")


def test_other_widths_are_compared_by_what_comes_out(base: Any) -> None:
    config = copy.deepcopy(base.config)
    config.hidden_size = 48
    other = transformers.LlamaForCausalLM(config).eval()

    said = diagnose(base, other, WINDOWS, pictures=False)

    assert (said.level, said.culprit) == ("outputs", None)
    assert "modules were not compared: its width is 48, the base's is 32" in said.notes
    assert said.headline == (
        "it differs, and no part of it could be exchanged for the base's: its width is 48, the "
        "base's is 32"
    )


def test_what_cannot_be_examined_is_told(base: Any) -> None:
    with pytest.raises(DiagnosisError, match="base: a str is no model that transformers runs"):
        diagnose("smollm2", "nf4")
    with pytest.raises(DiagnosisError, match="hold token 500, and its vocabulary ends at 127"):
        diagnose(base, base, [[1, 2, 500]])
    broken = copy.deepcopy(base)
    broken.model.layers[0].mlp.down_proj = torch.nn.Identity()
    with pytest.raises(DiagnosisError, match="candidate: it does not run on token ids"):
        diagnose(base, broken, WINDOWS)


def test_time_that_is_up_is_no_answer(base: Any) -> None:
    candidate = copy.deepcopy(base)
    draw = torch.Generator().manual_seed(2)
    for layer in candidate.model.layers:
        for kind in ("q_proj", "k_proj", "v_proj", "o_proj"):
            weight = layer.self_attn.get_submodule(kind).weight.data
            left, right = (torch.randn(one, 1, generator=draw) for one in weight.shape)
            weight += 0.1 * left @ right.T
    passes = []

    def limited(*_: Any) -> None:
        passes.append(0)
        if len(passes) > most:
            raise OutOfTime("the time was up")

    most = 10**6
    candidate.register_forward_pre_hook(limited)
    assert diagnose(base, candidate, WINDOWS, pictures=False).fault == "adapter"
    most = len(passes) - 1
    passes.clear()
    cut = diagnose(base, candidate, WINDOWS, pictures=False)
    assert cut.culprit == "adapter"
    assert "the time was up: the step 'cache' is left out" in cut.notes


def test_what_was_not_asked_for_lack_of_time_is_said() -> None:
    said = Verdict(None, "unexplained", "it is damaged, and nothing restores it")
    late = "it is damaged, and the time was up before a part could be named"
    assert driver._headline(said, None, far=False, late=True) == late
    assert driver._headline(said, None, far=False, late=False) == said.headline
