"""What a server should answer is said by its model in this process, or by a file."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from embedding_server import Counter
from scripted_server import scripted
from small_bert import sentence_encoder

from pytest_modellab.config import read
from pytest_modellab.engines.encoders import sentence
from pytest_modellab.errors import ConfigError, VariantLoadError
from pytest_modellab.lab import proved, referred
from pytest_modellab.lab.lab import Lab
from pytest_modellab.lab.settings import Settings
from pytest_modellab.records.canary import Canary

pytest.importorskip("httpx2")
pytest.importorskip("torch")
pytest.importorskip("sentence_transformers")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model")
    made = sentence_encoder(layers=2)
    made.prompts = {"query": "two: ", "document": "first: "}
    made.save_pretrained(str(folder))
    return folder


class Project:
    """A served variant of which the model is declared."""

    def __init__(self, folder: Path, model: Path, stack: ExitStack) -> None:
        self.folder, self.model, self._stack = folder, model, stack

    def examined(self, pooling: str = "mean", more: str = "") -> Canary:
        """Ask a server that pools in some way."""
        encoder = sentence_encoder(layers=2, pooling=pooling)

        def embed(text: str) -> list[float]:
            found: list[float] = encoder.encode([text])[0].tolist()
            return found

        url = self._stack.enter_context(scripted(Counter(embed=embed)))
        file = self.folder / "modellab.toml"
        file.write_text(
            f'[models.m]\nsource = "{self.model}"\n[variants.v]\nkind = "embedding"\n'
            f'url = "{url}"\nserved_model = "counter"\n{more}'
        )
        cache = self.folder / "cache"
        source = Lab(read.load(file), Settings(cache=cache)).variant("v").source
        engine = source.open(cache)
        self._stack.callback(engine.close)
        (server,) = source.plan.servers
        return proved.examine(source, engine, cache, server)


@pytest.fixture
def project(tmp_path: Path, model: Path) -> Iterator[Project]:
    with ExitStack() as stack:
        yield Project(tmp_path, model, stack)


def test_the_declared_model_says_what_its_server_should(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = project.examined(more='model = "m"')
    assert (found.findings, found.unchecked) == ((), ())
    assert "pooling" in found.checked

    def load(*_: Any, **__: Any) -> Any:
        raise AssertionError("loaded again")

    monkeypatch.setattr(sentence, "load", load)
    assert project.examined(more='model = "m"').findings == ()


def test_another_pooling_is_called_by_its_name(project: Project) -> None:
    (one,) = project.examined("cls", 'model = "m"').findings
    assert one.name == "other pooling"
    assert "it is that of cls pooling (cosine 1.0000)" in one.seen
    # the server is right, and the declaration is not what the model's folder says
    assert project.examined("cls", 'model = "m"\npooling = "cls"').findings == ()


def test_another_prefix_is_another_vector(project: Project) -> None:
    found = project.examined(more='model = "m"\npassage_prompt = ""')
    assert found.findings == ()  # asked and made without, alike


def test_a_file_says_it_in_place_of_a_model(project: Project) -> None:
    text = "a boat on the sea"
    vector = sentence_encoder(layers=2).encode([text])[0].tolist()
    file = project.folder / "boat.json"
    file.write_text(json.dumps({"text": text, "vector": vector, "words": 20}))
    found = project.examined(more='reference = "boat.json"')
    assert (found.findings, "pooling" in found.checked) == ((), True)
    file.write_text(json.dumps({"text": "a train", "vector": vector, "words": 20}))
    (one,) = project.examined(more='reference = "boat.json"').findings
    assert one.name == "other vectors"


def test_without_the_library_it_is_not_checked(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(name: str) -> str:
        raise VariantLoadError(f"{name} is not installed: pip install it")

    monkeypatch.setattr(referred, "required", missing)
    (one,) = project.examined(more='model = "m"').unchecked
    assert one.why == "the model cannot be run here: torch is not installed: pip install it"


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("[", "a reference is a JSON object with text, a document, and vector, its numbers"),
        ('{"text": "a"}', "vector: missing; a reference is"),
        ('{"text": "a", "vector": ["b"]}', "vector[0]: 'b': expected a finite number; a reference"),
        ('{"text": "a", "vector": [NaN]}', "vector[0]: "),
        ('{"text": "", "vector": [1.0]}', "its text or its vector is empty; a reference is"),
        ('{"text": "a", "vector": [1.0], "dim": 1}', "dim: unknown key"),
    ],
)
def test_what_is_no_reference(tmp_path: Path, content: str, told: str) -> None:
    file = tmp_path / "r.json"
    file.write_text(content)
    with pytest.raises(ConfigError) as caught:
        referred.read(file)
    assert str(caught.value).startswith(f"reference: {file}")
    assert told in str(caught.value)
