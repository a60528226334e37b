"""Adapters that others trained: each is the model that was trained, or is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pytest_modellab.errors import VariantLoadError
from pytest_modellab.variants.steps import adapter as adapters
from pytest_modellab.variants.steps import adapter_config, adapter_loading, layers

torch = pytest.importorskip("torch")
peft = pytest.importorskip("peft")
transformers = pytest.importorskip("transformers")
safetensors = pytest.importorskip("safetensors.torch")

pytestmark = [
    # PEFT asks transformers for a name that is on its way out
    pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated"),
    # what it says of embeddings and head that share a matrix
    pytest.mark.filterwarnings("ignore:Model (has|with) `tie_word_embeddings=True`"),
    pytest.mark.filterwarnings("ignore:Input and output embeddings are no longer tied"),
    # what training says of the embeddings that it saves
    pytest.mark.filterwarnings("ignore:Setting `save_embedding_layers`"),
    pytest.mark.filterwarnings("ignore:Could not find a config file"),
]

EXPERTS, WIDTH = 4, 32


def load(folder: Path) -> Any:
    return transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)


def logits(model: Any) -> Any:
    with torch.no_grad():
        return model.eval()(input_ids=torch.arange(20)[None]).logits


def lora(**settings: Any) -> Any:
    usual = {"r": 4, "lora_alpha": 8, "target_modules": ["q_proj", "v_proj"]}
    return peft.LoraConfig(**{**usual, "task_type": "CAUSAL_LM", **settings})


def train(base: Any, config: Any, folder: Path) -> Any:
    """Save an adapter whose numbers have been moved; returns what its model says."""
    made = peft.get_peft_model(base, config)
    with torch.random.fork_rng():
        torch.manual_seed(1)
        for parameter in made.parameters():
            if parameter.requires_grad:
                parameter.data += 0.05 * torch.randn_like(parameter)
    said = logits(made)
    made.save_pretrained(folder)
    return said


def refused(folder: Path, model: Any) -> str:
    with pytest.raises(VariantLoadError) as caught:
        adapters._attach(folder, model)
    return str(caught.value)


def edit(folder: Path, **settings: Any) -> Path:
    file = folder / adapter_loading.CONFIG
    file.write_text(json.dumps({**json.loads(file.read_text()), **settings}))
    return file


@pytest.fixture(scope="module")
def experts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A mixture of experts with random weights."""
    folder = tmp_path_factory.mktemp("experts")
    with torch.random.fork_rng():
        torch.manual_seed(0)
        transformers.MixtralForCausalLM(
            transformers.MixtralConfig(
                vocab_size=64,
                hidden_size=WIDTH,
                intermediate_size=WIDTH,
                num_hidden_layers=1,
                num_attention_heads=2,
                num_key_value_heads=1,
                num_local_experts=EXPERTS,
                initializer_range=0.3,
            )
        ).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def plain(model_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A plain LoRA of the small model, to be edited."""
    folder = tmp_path_factory.mktemp("plain")
    train(load(model_folder), lora(), folder)
    return folder


@pytest.fixture
def own(plain: Path, tmp_path: Path) -> Path:
    for file in plain.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    return tmp_path


# --- loaded exactly -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "targets", [["gate_up_proj", "down_proj"], ["down_proj", "gate_up_proj"], ["down_proj"]]
)
def test_experts_matrices(experts: Path, tmp_path: Path, targets: list[str]) -> None:
    """PEFT nests two wrappers, and calls the inner one ``base_layer``."""
    config = lora(target_parameters=[f"mlp.experts.{name}" for name in targets])
    wanted = train(load(experts), config, tmp_path)
    assert torch.equal(logits(adapters._attach(tmp_path, load(experts))), wanted)
    assert torch.allclose(logits(adapters._merge(tmp_path, load(experts))), wanted, atol=1e-5)
    assert not torch.allclose(logits(load(experts)), wanted, atol=0.01)


def _one_by_one(folder: Path) -> dict[str, Any]:
    """Write a LoRA with the names of transformers 4, which held an expert's matrices apart."""
    folder.mkdir()
    tensors = {}
    with torch.random.fork_rng():
        torch.manual_seed(2)
        for expert in range(EXPERTS):
            for name in ("w1", "w2", "w3"):
                key = f"base_model.model.model.layers.0.block_sparse_moe.experts.{expert}.{name}"
                tensors[f"{key}.lora_A.weight"] = 0.3 * torch.randn(2, WIDTH)
                tensors[f"{key}.lora_B.weight"] = 0.3 * torch.randn(WIDTH, 2)
    safetensors.save_file(tensors, folder / adapter_loading.WEIGHTS)
    config = {"peft_type": "LORA", "r": 2, "lora_alpha": 4, "target_modules": ["w1", "w2", "w3"]}
    (folder / adapter_loading.CONFIG).write_text(json.dumps({**config, "task_type": "CAUSAL_LM"}))
    return tensors


def test_experts_matrices_by_the_names_of_transformers_4(experts: Path, tmp_path: Path) -> None:
    pytest.importorskip("peft.utils.transformers_weight_conversion")
    tensors = _one_by_one(tmp_path / "a")

    def change(expert: int, name: str) -> Any:
        key = f"base_model.model.model.layers.0.block_sparse_moe.experts.{expert}.{name}.lora_"
        return 2 * tensors[f"{key}B.weight"] @ tensors[f"{key}A.weight"]

    by_hand = load(experts)
    own = by_hand.model.layers[0].mlp.experts
    for i in range(EXPERTS):
        own.gate_up_proj.data[i] += torch.cat([change(i, "w1"), change(i, "w3")])
        own.down_proj.data[i] += change(i, "w2")
    found = logits(adapters._attach(tmp_path / "a", load(experts)))
    assert torch.allclose(found, logits(by_hand), atol=1e-4)

    del tensors["base_model.model.model.layers.0.block_sparse_moe.experts.1.w3.lora_A.weight"]
    safetensors.save_file(tensors, tmp_path / "a" / adapter_loading.WEIGHTS)
    assert "cannot be loaded: " in refused(tmp_path / "a", load(experts))


@pytest.mark.parametrize(
    "settings",
    [
        {"init_lora_weights": "pissa"},
        {"init_lora_weights": "olora"},
        {"layer_replication": [(0, 2), (0, 2)]},
        {"modules_to_save": ["lm_head"]},
        {"target_modules": ["embed_tokens"]},
        {"trainable_token_indices": [1, 5]},
    ],
    ids=lambda settings: f"{next(iter(settings))}={next(iter(settings.values()))}",
)
def test_loaded_twice_an_adapter_is_what_was_trained(
    model_folder: Path, tmp_path: Path, settings: dict[str, Any]
) -> None:
    wanted = train(load(model_folder), lora(**settings), tmp_path)
    for _ in range(2):
        assert torch.equal(logits(adapters._attach(tmp_path, load(model_folder))), wanted)


@pytest.fixture(scope="module")
def tied(model_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small model with one matrix for embeddings and head."""
    folder, model = tmp_path_factory.mktemp("tied"), load(model_folder)
    model.config.tie_word_embeddings = True
    model.tie_weights()
    model.save_pretrained(folder)
    return folder


@pytest.mark.parametrize(
    "settings",
    [
        {"target_modules": ["q_proj"]},
        {"target_modules": ["lm_head"]},
        {"target_modules": ["embed_tokens"]},
        {"target_modules": ["embed_tokens", "lm_head"]},
        {"target_modules": ["embed_tokens"], "ensure_weight_tying": True},
        {"modules_to_save": ["lm_head"]},
        {"trainable_token_indices": [1, 5]},
    ],
    ids=str,
)
def test_merged_into_one_matrix_for_embeddings_and_head(
    tied: Path, tmp_path: Path, settings: dict[str, Any]
) -> None:
    wanted = train(load(tied), lora(**settings), tmp_path / "a")
    merged = adapters._merge(tmp_path / "a", load(tied))
    assert torch.allclose(logits(merged), wanted, atol=1e-4)
    merged.save_pretrained(tmp_path / "merged")
    assert torch.allclose(logits(load(tmp_path / "merged")), wanted, atol=1e-4)
    alike = torch.equal(merged.lm_head.weight, merged.model.embed_tokens.weight)
    assert alike or not merged.config.tie_word_embeddings


def test_the_language_model_of_one_that_also_sees(tmp_path: Path) -> None:
    small = {"hidden_size": 16, "intermediate_size": 16, "num_attention_heads": 2}
    words = {"vocab_size": 64, "num_hidden_layers": 2, "num_key_value_heads": 1, "head_dim": 8}
    eyes = {**small, "num_hidden_layers": 1, "image_size": 28, "patch_size": 14}
    config = transformers.Gemma3Config(
        text_config={**small, **words}, vision_config=eyes, mm_tokens_per_image=4
    )
    base = tmp_path / "base"
    transformers.Gemma3ForConditionalGeneration(config).save_pretrained(base)
    targets = r".*language_model.*\.q_proj"
    wanted = train(load(base), lora(target_modules=targets), tmp_path / "a")
    assert torch.allclose(logits(adapters._merge(tmp_path / "a", load(base))), wanted, atol=1e-4)
    cut = layers.keep_layers(load(base), [1])
    assert cut.config.get_text_config().num_hidden_layers == 1
    assert logits(cut).shape == wanted.shape


def test_a_configuration_of_the_first_releases(model_folder: Path, own: Path) -> None:
    wanted = logits(adapters._attach(own, load(model_folder)))
    config = json.loads((own / adapter_loading.CONFIG).read_text())
    old = "base_model_name_or_path bias fan_in_fan_out inference_mode lora_alpha lora_dropout "
    old += "modules_to_save peft_type r target_modules task_type"
    kept = {key: config[key] for key in old.split()}
    more = {"enable_lora": None, "merge_weights": False, "trainer": "of somebody else"}
    (own / adapter_loading.CONFIG).write_text(json.dumps({**kept, **more}))
    assert torch.equal(logits(adapters._attach(own, load(model_folder))), wanted)


def test_a_configuration_from_windows(model_folder: Path, own: Path) -> None:
    file = own / adapter_loading.CONFIG
    file.write_bytes(b"\xef\xbb\xbf" + file.read_bytes().replace(b"\n", b"\r\n"))
    adapters._attach(own, load(model_folder))


def test_names_with_the_adapter_s_own(model_folder: Path, own: Path) -> None:
    """As a trainer saves them that asks the model for its state instead of PEFT."""
    wanted = logits(adapters._attach(own, load(model_folder)))
    file = own / adapter_loading.WEIGHTS
    tensors = safetensors.load_file(file)
    safetensors.save_file(
        {key.replace(".weight", ".default.weight"): tensor for key, tensor in tensors.items()}, file
    )
    assert torch.equal(logits(adapters._attach(own, load(model_folder))), wanted)


# --- refused --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (
            {"task_type": "SEQ_CLS"},
            "was trained on a classifier or reward model (task_type SEQ_CLS in "
            "adapter_config.json): a language model lacks its head, and no variant answers with "
            "it; declare an adapter of task_type CAUSAL_LM",
        ),
        ({"task_type": "TOKEN_CLS"}, "was trained on a model that labels words (task_type TOKEN_C"),
        ({"task_type": "QUESTION_ANS"}, "was trained on a model that marks answers in a text ("),
        ({"task_type": "SEQ_2_SEQ_LM"}, "was trained on an encoder with a decoder (task_type SEQ_"),
        ({"task_type": "FEATURE_EXTRACTION"}, "was trained on an encoder (task_type FEATURE_EXTRA"),
        (
            {"init_lora_weights": "pissa_niter_16"},
            "was saved with init_lora_weights 'pissa_niter_16', which changes the base by numbers "
            "drawn at random: what is loaded is not what was trained; save it with "
            f"path_initial_model_for_weight_conversion, or {adapter_config.MERGE}",
        ),
        ({"init_lora_weights": "corda"}, "'corda', which changes the base by data that are not in"),
        ({"init_lora_weights": "loftq"}, "'loftq', which rounds the base once more: what is loade"),
        ({"init_lora_weights": "lora_ga"}, "'lora_ga', which changed the base by gradients that "),
        (
            {"alora_invocation_tokens": [3, 4]},
            "works from its alora_invocation_tokens [3, 4] on, which PEFT looks for outside of the "
            "model's layers; only adapters that change the model's layers are run",
        ),
        (
            {"megatron_config": {"a": 1}, "megatron_core": "antigravity"},
            "changes layers of Megatron (megatron_config in adapter_config.json), which no variant "
            f"has; {adapter_config.MERGE}",
        ),
        (
            {"peft_type": "POLY"},
            "is of PEFT's method POLY, a part of which works outside of the model's layers; only "
            "adapters that change the model's layers are run",
        ),
    ],
    ids=lambda value: str(next(iter(value.values()))) if isinstance(value, dict) else "",
)
def test_what_no_variant_runs(
    model_folder: Path, own: Path, settings: dict[str, Any], said: str
) -> None:
    config = json.loads(edit(own, **settings).read_text())
    found = refused(own, load(model_folder))
    assert f"the adapter {own} " in found
    assert said in found
    with pytest.raises(VariantLoadError) as caught:  # nor is a stored run of it served
        adapters._check(own, config, [], None)  # type: ignore[arg-type]
    assert str(caught.value) == found


@pytest.mark.parametrize(
    "settings",
    [
        {"rank_pattern": None},
        {"bias": 3},
        {"init_lora_weights": 3},
        {"target_modules": [1]},
        {"trainable_token_indices": 1.5},
    ],
    ids=str,
)
def test_a_value_of_another_type(model_folder: Path, own: Path, settings: dict[str, Any]) -> None:
    edit(own, **settings)
    found = refused(own, load(model_folder))
    assert found.startswith(f"the adapter {own} cannot be loaded: ")


def _resized(model: Any) -> Any:
    model.resize_token_embeddings(model.config.vocab_size + 3)
    return model


@pytest.mark.parametrize(
    "settings",
    [{}, {"modules_to_save": ["embed_tokens"]}, {"target_modules": ["lm_head", "q_proj"]}],
    ids=["resized", "saved", "adapted"],
)
def test_added_tokens(model_folder: Path, tmp_path: Path, settings: dict[str, Any]) -> None:
    base = load(model_folder)
    train(_resized(load(model_folder)), lora(**settings), tmp_path)
    tokens = base.config.vocab_size
    assert refused(tmp_path, base) == (
        f"the adapter {tmp_path} was trained on a model of {tokens + 3} tokens, this base has "
        f"{tokens}; {adapter_config.MERGE}"
    )


def test_a_module_of_its_own_that_the_file_lacks(model_folder: Path, tmp_path: Path) -> None:
    train(load(model_folder), lora(), tmp_path)
    edit(tmp_path, modules_to_save=["lm_head"])
    assert refused(tmp_path, load(model_folder)) == (
        f"the adapter {tmp_path} cannot be loaded: adapter_model.safetensors lacks "
        "'lm_head.weight', which adapter_config.json asks for: the file is damaged, or it was "
        "trained on another model"
    )


def test_a_method_that_the_installed_peft_lacks(model_folder: Path, own: Path) -> None:
    edit(own, peft_type="NEXT")
    assert refused(own, load(model_folder)) == (
        f"the adapter {own} is of the method 'NEXT', which the installed PEFT {peft.__version__} "
        "does not know; pip install -U peft"
    )


@pytest.mark.parametrize(
    ("wrote", "refusal"), [("99.1.0.dev0@abc", True), ("0.1.0", False), (None, False)]
)
def test_what_only_a_newer_peft_knows(
    model_folder: Path, own: Path, wrote: Any, refusal: bool
) -> None:
    edit(own, peft_version=wrote, turns_the_sign=True, unused=None)
    if not refusal:
        adapters._attach(own, load(model_folder))
        return
    assert refused(own, load(model_folder)) == (
        f"{own / adapter_loading.CONFIG}: turns_the_sign: True was written by PEFT 99.1.0.dev0; "
        f"the installed {peft.__version__} does not know it and would leave it out: "
        "pip install 'peft>=99.1.0.dev0'"
    )
