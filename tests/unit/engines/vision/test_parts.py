"""What models with images consist of, on several families; parts of two models are exchanged."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import sight

from pytest_modellab.engines.vision import parts
from pytest_modellab.errors import VariantLoadError

for library in ("torch", "transformers", "PIL"):
    pytest.importorskip(library, reason="parts are modules of torch")

FOUND = {
    "gemma3": ("model.vision_tower", "model.multi_modal_projector", "model.language_model"),
    "idefics3": ("model.vision_model", "model.connector", "model.text_model"),
    "llava": ("model.vision_tower", "model.multi_modal_projector", "model.language_model"),
    "smolvlm": ("model.vision_model", "model.connector", "model.text_model"),
}


@pytest.mark.parametrize("family", sight.FAMILIES)
def test_every_weight_belongs_to_one_part(family: str) -> None:
    model = sight.model(family)
    found = parts.find(model)
    vision, connector, language = FOUND[family]
    assert found == {
        "vision": (vision,),
        "connector": (connector,),
        "language": (language, "lm_head"),
    }
    belongs = {name: parts.part_of(name, found) for name, _ in model.named_parameters()}
    assert set(belongs.values()) == {"vision", "connector", "language"}
    assert parts.part_of("model", found) == ""


def test_what_joins_the_two_may_lie_inside_the_encoder() -> None:
    """So it does in Qwen2-VL."""
    ours, theirs = nested(1.0), nested(2.0)
    found = parts.find(ours)
    assert found["vision"] == ("visual",)
    assert found["connector"] == ("visual.merger",)
    assert parts.part_of("visual.merger", found) == "connector"
    assert parts.part_of("visual.blocks", found) == "vision"
    parts.exchange(ours, theirs, "vision")
    assert values(ours) == {"visual.blocks": 2, "visual.merger": 1, "language_model": 1}
    assert values(theirs) == {"visual.blocks": 1, "visual.merger": 2, "language_model": 2}
    parts.exchange(ours, theirs, "connector")
    assert values(ours) == {"visual.blocks": 2, "visual.merger": 2, "language_model": 1}


def nested(value: float) -> Any:
    import torch
    from transformers import PretrainedConfig

    model: Any = torch.nn.Module()
    model.config = PretrainedConfig()
    model.visual = torch.nn.Module()
    model.visual.blocks, model.visual.merger = torch.nn.Linear(1, 1), torch.nn.Linear(1, 1)
    model.language_model = torch.nn.Linear(1, 1)
    for parameter in model.parameters():
        parameter.data.fill_(value)
    return model


def values(model: Any) -> dict[str, float]:
    return {
        name.removesuffix(".weight"): float(parameter.detach())
        for name, parameter in model.named_parameters()
        if name.endswith("weight")
    }


def test_a_part_that_does_not_fit() -> None:
    ours = sight.model("idefics3")
    with pytest.raises(VariantLoadError) as caught:
        parts.exchange(ours, sight.model("llava"), "vision")
    assert str(caught.value) == (
        "vision: of a LlavaForConditionalGeneration, which does not fit into a "
        "Idefics3ForConditionalGeneration"
    )
    theirs = sight.model("idefics3")
    theirs.config.vision_config.hidden_size = 128
    for part in ("vision", "connector"):
        with pytest.raises(VariantLoadError) as caught:
            parts.exchange(ours, theirs, part)
        assert str(caught.value) == f"{part}: hidden_size of vision is 64 here, 128 in the other"
    parts.exchange(ours, theirs, "language")


def test_a_model_of_which_a_part_is_not_known() -> None:
    with pytest.raises(VariantLoadError) as caught:
        parts.paths(nested(1.0), "connector", {"vision": ("visual",)})
    assert str(caught.value).startswith(
        "connector: no module of Module is known as that part; known names are aligner, connector, "
    )


def test_the_folder_is_not_needed(tmp_path: Path) -> None:
    """On the meta device, as quantization asks before weights are read."""
    import torch
    from transformers import AutoConfig, AutoModelForImageTextToText

    config = AutoConfig.from_pretrained(sight.write(tmp_path))
    with torch.device("meta"):
        model = AutoModelForImageTextToText.from_config(config)
    assert set(parts.find(model)) == {"vision", "connector", "language"}
