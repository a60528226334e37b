"""One variant is held at a time, and loading it twice gives the same model."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from pytest_modellab.engines import state
from pytest_modellab.errors import VariantLoadError
from pytest_modellab.lab.loaded import Loaded
from pytest_modellab.models import locate
from pytest_modellab.records.declared import ModelSource
from pytest_modellab.variants.loading import Loadable
from pytest_modellab.variants.plan import Plan, Step
from pytest_modellab.variants.prompt import Prompt


class Stateful:
    def __init__(self, told: Mapping[str, str]) -> None:
        self.state = lambda: told

    def close(self) -> None:
        pass


@dataclasses.dataclass
class Opened:
    """A source whose engines have one state after the other."""

    states: list[Mapping[str, str]]
    opened: int = 0

    def open(self, cache: Path) -> Any:
        self.opened += 1
        return Stateful(self.states[(self.opened - 1) % len(self.states)])


def test_a_model_is_compared_once_with_how_it_is_loaded_anew(tmp_path: Path) -> None:
    source, loaded = Opened([{"a": "1", "b": "2"}]), Loaded(tmp_path)
    first = loaded.engine(source)
    second = loaded.again(source)
    assert second is not first
    assert loaded.again(source) is second
    assert source.opened == 2


def test_an_engine_that_tells_no_state_is_not_loaded_twice(tmp_path: Path) -> None:
    source, loaded = Opened([{}]), Loaded(tmp_path)
    assert loaded.engine(source) is loaded.again(source)
    assert source.opened == 1


@pytest.mark.parametrize(
    ("second", "said"),
    [
        ({"a": "1", "b": "3"}, "'b' of 2 tensors differ"),
        ({"a": "1"}, "'b' of 2 tensors differ"),
        ({"a": "2", "b": "3", "c": "4"}, "'a' and 2 more of 2 tensors differ"),
    ],
)
def test_another_model_is_refused(tmp_path: Path, second: dict[str, str], said: str) -> None:
    loaded = Loaded(tmp_path)
    with pytest.raises(VariantLoadError) as caught:
        loaded.again(Opened([{"a": "1", "b": "2"}, second]))
    assert str(caught.value) == (
        f"loaded twice, it is not the same model: {said}. A part of it is drawn at random, or "
        "computed anew, whenever it is loaded: save the whole model as it is to be judged, and "
        "declare that"
    )


def _shaken(model: Any) -> Any:
    import torch

    with torch.no_grad():
        model.lm_head.weight.add_(torch.randn_like(model.lm_head.weight))
    return model


def test_a_real_model_with_a_part_at_random(model_folder: Path, tmp_path: Path) -> None:
    source = ModelSource("tiny", str(model_folder))
    plan = Plan(model=source, prompt=Prompt("{% block user %}{{ input }}{% endblock %}"))
    files, loaded = locate.locate(source, tmp_path), Loaded(tmp_path)
    names = state.of(loaded.again(Loadable(plan, files)))
    assert "model.layers.1.mlp.down_proj.weight" in names
    shaken = plan.with_step(Step("shaken", {}, _shaken))
    with pytest.raises(VariantLoadError, match=r"it is not the same model: 'lm_head.weight'"):
        loaded.again(Loadable(shaken, files))
    loaded.release()
