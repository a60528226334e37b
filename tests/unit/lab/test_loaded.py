"""One variant is held at a time, and loading it twice gives the same model."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from loras import write_adapter

from pytest_modellab import variants
from pytest_modellab.engines import state
from pytest_modellab.errors import ModelError, VariantLoadError
from pytest_modellab.lab.loaded import Loaded
from pytest_modellab.models import locate
from pytest_modellab.records.declared import ModelSource, VariantSpec
from pytest_modellab.store import attempts
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


# --- a device that workers share ---------------------------------------------------------------


def test_a_device_is_held_as_long_as_a_model_is_on_it(
    model_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(attempts.SESSION, "a session")
    model = ModelSource("tiny", str(model_folder))
    files = locate.locate(model, tmp_path)

    def source(device: str, opened: Callable[..., Any] = lambda *_: Stateful({})) -> Loadable:
        return Loadable(Plan(model, Prompt(""), device=device, open=opened, packages=()), files)

    def refuses(*_: object) -> Any:
        raise ModelError("no such model")

    def held() -> bool:
        return loaded._turns.held

    on_it, on_cpu, loaded = source("mps"), source("cpu"), Loaded(tmp_path)
    for _ in range(2):
        loaded.engine(on_it)
        assert held()
        loaded.release()
        assert not held()
    loaded.engine(on_it)
    engine = loaded.engine(on_cpu)
    assert not held(), "another model took its place"
    loaded.pass_on()
    assert loaded.engine(on_cpu) is engine, "nobody waits for the processor"
    with pytest.raises(ModelError, match="no such model"):
        loaded.engine(source("mps", refuses))
    assert not held()
    with loaded.turn([on_it, on_cpu]):
        engine = loaded.engine(on_it)
        loaded.pass_on()
        assert held(), "what is at work has it"
        assert loaded.engine(on_it) is not engine
        loaded.release()
    assert not held()


# --- variants that share a model ------------------------------------------------------------------


@pytest.fixture
def adapted(model_folder: Path, tmp_path: Path) -> Callable[..., Loadable]:
    """Declare a variant of the small model, with an adapter of a rank: ``adapted(rank)``."""
    peft = pytest.importorskip("peft")
    source = ModelSource("tiny", str(model_folder))
    files = locate.locate(source, tmp_path)
    base = Plan(model=source, prompt=Prompt("{% block user %}{{ input }}{% endblock %}"))

    def go(rank: int = 0, **options: Any) -> Loadable:
        if not rank:
            return Loadable(base, files)
        folder = tmp_path / f"rank{rank}"
        if not folder.exists():
            config = peft.LoraConfig(r=rank, target_modules=["q_proj"], task_type="CAUSAL_LM")
            write_adapter(folder, model_folder, seed=rank, config=config)
        spec = VariantSpec("v", "lora", "x", base="b", options={"adapter": folder.name, **options})
        toml = tmp_path / "modellab.toml"
        return Loadable(variants.make_plan(variants.KINDS["lora"], spec, base, source, toml), files)

    return go


@pytest.fixture
def loads(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The folders that transformers has loaded a model from."""
    transformers = pytest.importorskip("transformers")
    found: list[Path] = []
    original = transformers.AutoModelForCausalLM.from_pretrained

    def noted(folder: Path, **options: Any) -> Any:
        found.append(folder)
        return original(folder, **options)

    monkeypatch.setattr(transformers.AutoModelForCausalLM, "from_pretrained", noted)
    return found


def test_eight_adapters_and_their_base_load_the_base_once(
    adapted: Callable[..., Loadable], loads: list[Path], tmp_path: Path
) -> None:
    sources = [adapted(rank) for rank in range(9)]
    loads.clear()
    loaded = Loaded(tmp_path)
    held, told = [], []
    for source in (*sources, sources[0]):
        engine = loaded.engine(source)
        assert loaded.engine(source) is engine
        held.append(engine.parameter_bytes())
        told.append(state.of(engine))
    assert len(loads) == 1
    assert max(held) <= 1.3 * held[0]
    assert told[-1] == told[0]
    assert len({str(sorted(one.items())) for one in told}) == len(sources)
    loaded.release()


def test_another_model_takes_the_place_of_a_shared_one(
    adapted: Callable[..., Loadable], loads: list[Path], tmp_path: Path
) -> None:
    loaded, other, one = Loaded(tmp_path), Opened([{"a": "1"}]), adapted(1, merge=True)
    loads.clear()
    stale = loaded.engine(adapted())
    loaded.engine(other)
    with pytest.raises(ModelError, match="this engine was let go"):
        stale.parameter_bytes()
    merged = loaded.engine(one)
    assert len(loads) == 2, "a merged one is a model of its own"
    loaded.engine(adapted())
    assert len(loads) == 3
    with pytest.raises(ModelError, match="this engine was let go"):
        merged.parameter_bytes()
    loaded.release()
    loaded.release()


def test_what_is_measured_has_no_other_variants_model(
    adapted: Callable[..., Loadable], loads: list[Path], tmp_path: Path
) -> None:
    one, two, loaded = adapted(1), adapted(2), Loaded(tmp_path)
    loads.clear()
    engine = loaded.engine(one)
    loaded.keep(one)
    assert loaded.engine(one) is engine
    loaded.keep(two)
    loaded.engine(two)
    assert len(loads) == 2, "it was not loaded for another one"
    loaded.release()


def test_a_shared_model_is_loaded_anew_where_that_is_asked_for(
    adapted: Callable[..., Loadable], loads: list[Path], tmp_path: Path
) -> None:
    one, two, loaded = adapted(1), adapted(2), Loaded(tmp_path)
    loads.clear()
    loaded.engine(one)
    loaded.engine(two)
    assert state.of(loaded.again(two)) == state.of(loaded.engine(two))
    assert len(loads) == 2
    loaded.release()


def test_a_broken_adapter_takes_its_base_along(
    adapted: Callable[..., Loadable], loads: list[Path], tmp_path: Path
) -> None:
    good, broken, loaded = adapted(1), adapted(2), Loaded(tmp_path)
    (tmp_path / "rank2" / "adapter_model.safetensors").write_bytes(b"\x08")
    loads.clear()
    before = state.of(loaded.engine(good))
    with pytest.raises(VariantLoadError, match=r"the adapter .*rank2 cannot be loaded"):
        loaded.engine(broken)
    assert state.of(loaded.engine(good)) == before
    assert len(loads) == 2, "half an adapter may be left on the first"
    loaded.release()


def test_an_adapter_that_writes_to_its_base_takes_it_along(
    adapted: Callable[..., Loadable], loads: list[Path], tmp_path: Path
) -> None:
    base, loaded = adapted(), Loaded(tmp_path)
    writes = Step("shaken", {}, _shaken, attach=lambda model: (_shaken(model), lambda: None))
    loads.clear()
    before = state.of(loaded.engine(base))
    loaded.engine(dataclasses.replace(base, plan=base.plan.with_step(writes)))
    assert state.of(loaded.engine(base)) == before
    assert len(loads) == 2
    loaded.release()
