"""GPTQ and AWQ checkpoints as plain weights: logits are those of what the packing means."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from packed_files import write

from pytest_modellab import testing
from pytest_modellab.engines.language.torch_model import TransformersEngine
from pytest_modellab.errors import ModelError
from pytest_modellab.models import convert, locate, packed, quantization
from pytest_modellab.records.declared import ModelSource
from pytest_modellab.variants import loading
from pytest_modellab.variants.plan import Plan
from pytest_modellab.variants.prompt import Prompt

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

AUTO_ROUND = {
    "quant_method": "auto-round",
    "packing_format": "auto_round:auto_gptq",
    "data_type": "int",
}
PLAIN = "take the same model in plain weights, or as GGUF"


@pytest.fixture(scope="module")
def wide(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Wide enough that every layer fills whole numbers with weights of any bits."""
    return testing.write_random_model(tmp_path_factory.mktemp("wide") / "m", hidden_size=64)


def opened(folder: Path, cache: Path) -> Any:
    source = ModelSource("m", str(folder))
    plan = Plan(model=source, prompt=Prompt("{% block user %}{{ input }}{% endblock %}"))
    files = locate.locate(source, cache)
    assert loading.fingerprint(plan, files).settings["converter"] == packed.VERSION
    engine = loading.load(plan, files, cache)
    assert isinstance(engine, TransformersEngine)
    return engine.model


def logits(model: Any) -> Any:
    with torch.no_grad():
        return model(torch.arange(40)[None]).logits


def meant(plain: Path, tensors: dict[str, Any]) -> Any:
    model = transformers.AutoModelForCausalLM.from_pretrained(plain, dtype=torch.float32)
    model.load_state_dict(tensors, strict=False)
    return logits(model.eval())


@pytest.mark.parametrize(
    ("method", "changes"),
    [
        ("gptq", {}),
        ("gptq", {"bits": 2}),
        ("gptq", {"bits": 3, "group_size": 32}),
        ("gptq", {"bits": 8, "group_size": -1}),
        ("gptq", {"symmetric": False}),
        ("gptq", {"symmetric": False, "bits": 3}),
        ("gptq", {"act_order": True}),
        ("gptq", {"act_order": True, "symmetric": False}),
        ("gptq", {"file": "quantize_config.json"}),
        ("gptq_v2", {}),
        ("gptq_v2", {"symmetric": False}),
        (
            "gptq_v2",
            {"said": {"checkpoint_format": "gptq"}},
        ),  # says the first layout, holds the second
        ("gptq", {"said": AUTO_ROUND}),
        ("gptq", {"only": ""}),  # the head, too
        ("awq", {"symmetric": False}),
        ("awq", {"symmetric": False, "group_size": -1}),
        ("awq", {"symmetric": False, "file": "quant_config.json"}),
        ("awq", {}),
    ],
)
def test_logits_are_those_of_what_is_meant(
    wide: Path, tmp_path: Path, method: str, changes: dict[str, Any]
) -> None:
    if method == "awq":
        pytest.importorskip("compressed_tensors")
    folder = tmp_path / "q"
    if changes.get("only") == "":
        changes = {**changes, "only": "lm_head"}
    tensors = write(wide, folder, method, **changes)
    model = opened(folder, tmp_path / "cache")
    torch.testing.assert_close(logits(model), meant(wide, tensors), rtol=1e-5, atol=1e-5)
    assert not torch.allclose(logits(model), meant(wide, {}), rtol=1e-3, atol=1e-3)


def test_what_is_written(wide: Path, tmp_path: Path) -> None:
    folder = tmp_path / "q"
    write(wide, folder, "gptq", file="quantize_config.json")
    (folder / "README.md").touch()
    files = locate.locate(ModelSource("m", str(folder)), tmp_path)
    made = convert.folder(files, tmp_path / "cache")
    assert made.parent == tmp_path / "cache" / "models"
    assert convert.folder(files, tmp_path / "cache") == made
    assert quantization.find(made) is None
    assert {path.name for path in made.iterdir() if path.suffix != ".manifest"} >= {
        "config.json",
        "model-00001.safetensors",
        "model.safetensors.index.json",
        "tokenizer.json",
    }
    assert not (made / "README.md").exists()
    assert convert.folder(locate.locate(ModelSource("m", str(wide)), tmp_path), tmp_path) == wide


def test_several_files(wide: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packed, "SHARD", 100_000)
    tensors = write(wide, tmp_path / "q", "gptq")
    model = opened(tmp_path / "q", tmp_path / "cache")
    (made,) = (tmp_path / "cache" / "models").glob("*-v1")
    assert len(list(made.glob("model-*.safetensors"))) > 1
    torch.testing.assert_close(logits(model), meant(wide, tensors), rtol=1e-5, atol=1e-5)


def test_biases(wide: Path, tmp_path: Path) -> None:
    """AutoGPTQ gives every layer one; those that a model lacks are zeros, and left out."""
    from safetensors.torch import load_file, save_file

    config = transformers.Qwen2Config(
        vocab_size=256, hidden_size=64, intermediate_size=64, num_hidden_layers=1,
        num_attention_heads=4, num_key_value_heads=2, bos_token_id=0, eos_token_id=1,
    )  # fmt: skip
    torch.manual_seed(0)
    plain = tmp_path / "plain"
    model = transformers.Qwen2ForCausalLM(config)
    torch.nn.init.normal_(model.model.layers[0].self_attn.q_proj.bias)
    model.save_pretrained(plain)
    transformers.AutoTokenizer.from_pretrained(wide).save_pretrained(plain)
    tensors = write(plain, tmp_path / "q", "gptq")
    file = tmp_path / "q" / "model.safetensors"
    save_file(
        {**load_file(file), "model.layers.0.mlp.up_proj.bias": torch.zeros(64)},
        file,
        metadata={"format": "pt"},
    )
    made = opened(tmp_path / "q", tmp_path / "cache")
    torch.testing.assert_close(logits(made), meant(plain, tensors), rtol=1e-5, atol=1e-5)


def test_layers_that_hold_inputs_first(wide: Path, tmp_path: Path) -> None:
    """GPT-2's, of which one is square."""
    config = transformers.GPT2Config(vocab_size=256, n_embd=32, n_layer=1, n_head=2, n_positions=64)
    torch.manual_seed(0)
    plain = tmp_path / "plain"
    transformers.GPT2LMHeadModel(config).save_pretrained(plain)
    transformers.AutoTokenizer.from_pretrained(wide).save_pretrained(plain)
    from safetensors.torch import load_file, save_file

    file = plain / "model.safetensors"
    turned = {
        name: tensor.T.contiguous() if "c_" in name and tensor.ndim == 2 else tensor
        for name, tensor in load_file(file).items()
    }
    save_file(turned, file, metadata={"format": "pt"})
    tensors = write(plain, tmp_path / "q", "gptq", only="c_")
    tensors = {n: t.T if "c_" in n and t.ndim == 2 else t for n, t in tensors.items()}
    save_file({n: t.contiguous() for n, t in tensors.items()}, file, metadata={"format": "pt"})
    made = opened(tmp_path / "q", tmp_path / "cache")
    torch.testing.assert_close(logits(made), meant(plain, {}), rtol=1e-5, atol=1e-5)


def test_awq_is_what_compressed_tensors_makes_of_it(wide: Path, tmp_path: Path) -> None:
    """Converted by the library into its own format, and unpacked by it."""
    pytest.importorskip("compressed_tensors")
    from compressed_tensors.compressors.pack_quantized.helpers import unpack_from_int32
    from compressed_tensors.entrypoints.convert import AutoAWQConverter
    from safetensors.torch import load_file

    write(wide, tmp_path / "q", "awq", symmetric=False)
    converter = AutoAWQConverter.from_pretrained(str(tmp_path / "q"))
    theirs = converter.process(load_file(tmp_path / "q" / "model.safetensors"))
    ours = opened(tmp_path / "q", tmp_path / "cache").state_dict()
    layers = [name.removesuffix(".weight_packed") for name in theirs if "packed" in name]
    assert len(layers) == 14
    for layer in layers:
        shape, scale = theirs[f"{layer}.weight_shape"], theirs[f"{layer}.weight_scale"].float()
        values = unpack_from_int32(theirs[f"{layer}.weight_packed"], 4, shape)
        zeros = unpack_from_int32(
            theirs[f"{layer}.weight_zero_point"], 4, scale.shape, packed_dim=0
        )
        groups = torch.arange(int(shape[1])) // 16
        wanted = (values.float() - zeros.float()[:, groups]) * scale[:, groups]
        assert torch.equal(ours[f"{layer}.weight"], wanted)


ONE_KIND = f"is made for one kind of processor: {PLAIN}"
ONE_CHECKPOINT = "config and weights are not of one checkpoint"
LAYER = "model.layers.0.mlp.down_proj"


@pytest.mark.parametrize(
    ("method", "changes", "said"),
    [
        ("gptq", {"checkpoint_format": "marlin"}, f"the layout 'marlin' {ONE_KIND}"),
        ("gptq", {"is_marlin_format": True}, f"the layout 'marlin' {ONE_KIND}"),
        ("awq", {"version": "GEMV"}, f"the layout 'gemv' {ONE_KIND}"),
        ("gptq", {"bits": 5}, f"5 bits are not known of gptq: {PLAIN}"),
        ("awq", {"bits": 8}, f"8 bits are not known of awq: {PLAIN}"),
        ("gptq", {"group_size": 0}, "group_size is 0, neither a size nor -1"),
        ("gptq", {"bits": 8}, f"{LAYER} holds 4 bits a weight, not the 8 that it says"),
        (
            "awq",
            {"group_size": 8},
            f"{LAYER} has 8 groups for 128 inputs in groups of 8: {ONE_CHECKPOINT}",
        ),
        (
            "awq",
            {"group_size": 32},
            f"{LAYER} has 8 groups for 128 inputs in groups of 32: {ONE_CHECKPOINT}",
        ),
        (
            "gptq",
            {"sym": True},
            f"it says that zeros are the middle of the range, those of {LAYER} are not: quantize "
            "it anew, or say what it is (sym, zero_point)",
        ),
    ],
)
def test_refused(
    wide: Path, tmp_path: Path, method: str, changes: dict[str, Any], said: str
) -> None:
    folder = tmp_path / "q"
    write(wide, folder, method, symmetric=False, said=changes)
    assert refusal(folder) == f"{folder / 'config.json'}: quantization_config: {said}"


def test_tensors_that_do_not_fit(wide: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    folder = tmp_path / "q"
    write(wide, folder, "awq", symmetric=False)
    file, where = folder / "model.safetensors", f"{folder / 'config.json'}: quantization_config: "
    tensors = load_file(file)
    more = {"model.layers.0.mlp.act.scales": torch.ones(8)}
    save_file({**tensors, **more}, file, metadata={"format": "pt"})
    assert refusal(folder) == (
        f"{where}model.layers.0.mlp.act.scales belongs to no packed weight (AWQ scales the "
        f"activations of some architectures): {PLAIN}"
    )
    less = {name: tensor for name, tensor in tensors.items() if name != f"{LAYER}.qzeros"}
    save_file(less, file, metadata={"format": "pt"})
    assert refusal(folder) == (
        f"{where}{LAYER} has no qzeros or no scales; copy or download the folder again"
    )
    save_file(tensors, file, metadata={"format": "pt"})
    save_file({"a": torch.ones(1), f"{LAYER}.scales": torch.ones(1)}, folder / "z.safetensors")
    assert refusal(folder) == (
        f"{where}{LAYER}.scales is in z.safetensors and in another file; leave one of them"
    )


def refusal(folder: Path) -> str:
    files = locate.locate(ModelSource("m", str(folder)), folder)
    with pytest.raises(ModelError) as caught:
        convert.folder(files, folder.parent / "cache")
    return str(caught.value).removeprefix(f"model 'm' (source = '{folder}'): ")


def test_layers_of_other_bits(wide: Path, tmp_path: Path) -> None:
    """GPTQModel's ``dynamic`` gives some layers bits of their own."""
    folder = tmp_path / "q"
    tensors = write(wide, folder, "gptq", said={"bits": 8, "dynamic": {"+:.*proj": {"bits": 4}}})
    model = opened(folder, tmp_path / "cache")
    torch.testing.assert_close(logits(model), meant(wide, tensors), rtol=1e-5, atol=1e-5)


def test_a_zip_is_unpacked_by_hand(wide: Path, tmp_path: Path) -> None:
    write(wide, tmp_path / "q", "gptq")
    shutil.make_archive(str(tmp_path / "m"), "zip", tmp_path / "q")
    source = ModelSource("m", str(tmp_path / "m.zip"))
    plan = Plan(model=source, prompt=Prompt("{% block user %}{{ input }}{% endblock %}"))
    with pytest.raises(ModelError) as caught:
        loading.load(plan, locate.locate(source, tmp_path), tmp_path / "cache")
    assert str(caught.value).endswith(
        "/config.json: quantization_config: gptq in a zip: unpack it, and name the folder as source"
    )
