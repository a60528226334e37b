"""What no configuration declares, as a variant: a folder, an adapter, a GGUF file's weights."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
from gguf_files import write_gguf

from pytest_modellab.errors import ModelError
from pytest_modellab.lab import folders
from pytest_modellab.variants.loading import Loadable


def logits(engine: Any) -> Any:
    import torch

    with torch.no_grad():
        return engine.model(input_ids=torch.tensor([[5, 6, 7]])).logits


def test_a_folder_is_what_it_holds(model_folder: Path, tmp_path: Path) -> None:
    found = folders.resolve(str(model_folder))
    assert (found.name, found.spec.kind) == (str(model_folder), "folder")
    again = folders.resolve(str(model_folder), found)
    assert again.fingerprint == found.fingerprint
    with pytest.raises(ModelError, match="holds no weights"):
        folders.resolve(str(tmp_path))
    assert folders.weights_of(found) is None


def test_a_gguf_files_weights_are_run_with_the_bases_tokenizer(
    model_folder: Path, tmp_path: Path
) -> None:
    pytest.importorskip("gguf")
    base = folders.resolve(str(model_folder))
    file = write_gguf(model_folder, tmp_path / "packed.gguf")
    plan = dataclasses.replace(base.plan, weights=file, open=lambda *_: None)  # type: ignore[arg-type]
    packed = dataclasses.replace(base, source=Loadable(plan, base.files))
    found = folders.weights_of(packed)
    assert found is not None
    assert found.fingerprint == packed.fingerprint
    engine, before = found.source.open(tmp_path / "cache"), base.source.open(tmp_path / "cache")
    chat = [{"role": "user", "content": "one"}]
    assert engine.render(chat) == before.render(chat)
    assert (logits(engine) - logits(before)).abs().max() < 1e-4


@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated")  # by PEFT
def test_an_adapter_is_put_on_the_base(model_folder: Path, tmp_path: Path) -> None:
    peft = pytest.importorskip("peft")
    base = folders.resolve(str(model_folder))
    loaded: Any = base.source.open(tmp_path / "cache")
    settings = peft.LoraConfig(
        r=2, target_modules=["q_proj"], init_lora_weights=False, task_type="CAUSAL_LM"
    )
    peft.get_peft_model(loaded.model, settings).save_pretrained(tmp_path / "adapter")
    found = folders.resolve(str(tmp_path / "adapter"), base)
    assert found.spec.kind == "folder"
    assert found.fingerprint.weights == base.fingerprint.weights
    assert found.fingerprint.settings["steps"][0][0] == "adapter"
    before = base.source.open(tmp_path / "cache")
    after = found.source.open(tmp_path / "cache")
    assert (logits(after) - logits(before)).abs().max() > 1e-3
