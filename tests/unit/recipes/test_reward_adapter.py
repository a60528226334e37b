"""A reward model whose adapter is not whole judges nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pytest_modellab.engines.language import torch_model
from pytest_modellab.errors import ConfigError
from pytest_modellab.recipes import reward

peft = pytest.importorskip("peft")


@pytest.fixture(scope="module")
def base(model_folder: Path) -> Any:
    return torch_model.load(model_folder)


@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated")  # PEFT's
@pytest.mark.parametrize(
    ("lost", "said"),
    [
        ("score", "'base_model.model.score.weight'"),
        ("layers.1", "Found missing adapter keys while loading the checkpoint: ["),
    ],
)
def test_an_adapter_that_is_not_whole(base: Any, tmp_path: Path, lost: str, said: str) -> None:
    from safetensors.torch import load_file, save_file

    config = peft.LoraConfig(r=2, task_type="SEQ_CLS", target_modules=["q_proj"])
    judge = peft.get_peft_model(reward.classifier(base.model, base.tokenizer), config)
    judge.save_pretrained(tmp_path)
    assert reward.load(base.model, base.tokenizer, tmp_path).num_labels == 1
    file = tmp_path / "adapter_model.safetensors"
    kept = {name: tensor for name, tensor in load_file(file).items() if lost not in name}
    save_file(kept, file, metadata={"format": "pt"})
    with pytest.raises(ConfigError) as caught:
        reward.load(base.model, base.tokenizer, tmp_path)
    text = str(caught.value)
    assert text.startswith(f"recipe.reward.adapter: {tmp_path} cannot be loaded: {said}")
    assert text.endswith("; remove the folder, and it is built again")
