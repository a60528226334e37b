"""``modellab init``: what it writes works, by the commands that it prints."""

from __future__ import annotations

import contextlib
import importlib
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import starting
from embedding_server import Counter
from scripted_server import scripted
from starting import follow
from talking_server import Talker

from pytest_modellab import cli, testing
from pytest_modellab.starter.kinds import KINDS

Init = Callable[..., list[str]]


@pytest.fixture(scope="session", autouse=True)
def libraries_stay() -> None:
    """Import what cannot be imported twice before any pytester does, which would forget it."""
    for library in ("bitsandbytes", "peft", "sentence_transformers"):
        with contextlib.suppress(ModuleNotFoundError):
            importlib.import_module(library)


@pytest.fixture
def here(
    pytester: pytest.Pytester, tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> pytest.Pytester:
    """A folder with a model in it, and nothing else."""
    monkeypatch.setenv("MODELLAB_CACHE", str(pytester.path / "cache"))
    for name in ("CI", "GITHUB_ACTIONS"):
        monkeypatch.delenv(name, raising=False)
    shutil.copytree(tiny_model, pytester.path / "models" / "base")
    return pytester


@pytest.fixture
def init(here: pytest.Pytester, capsys: pytest.CaptureFixture[str]) -> Init:
    """Writes a suite; returns the commands that it says come next."""

    def init(*arguments: str) -> list[str]:
        capsys.readouterr()
        assert cli.main(["init", *arguments]) == 0
        return starting.commands(capsys.readouterr().out)

    return init


def test_prompted(here: pytest.Pytester, init: Init) -> None:
    commands = init()
    assert 'source = "../models/base"' in (here.path / "suites" / "modellab.toml").read_text()
    follow(here, commands).stdout.fnmatch_lines(
        [
            "*starter: prompting could only pass beside its own baseline, which has nothing right*",
            "PASS: * passed.",
        ]
    )
    assert (here.path / "baselines" / "starter" / "prompting.json").is_file()


def test_quantized_in_another_folder(here: pytest.Pytester, init: Init) -> None:
    pytest.importorskip("bitsandbytes")
    model = testing.write_random_model(here.path / "wide", hidden_size=64)
    follow(here, init("my project", "--kind", "quantized", "--model", str(model)))
    assert (here.path / "my project" / "baselines" / "starter" / "nf4.json").is_file()


def test_lora(here: pytest.Pytester, init: Init) -> None:
    pytest.importorskip("peft")
    from loras import write_adapter

    write_adapter(here.path / "tuned" / "mine", here.path / "models" / "base", scale=0.0)
    follow(here, init("--kind", "lora"))


def test_finetuned(here: pytest.Pytester, init: Init) -> None:
    shutil.copytree(here.path / "models" / "base", here.path / "checkpoint")
    follow(here, init("--kind", "finetuned", "--tuned", "checkpoint"))
    text = (here.path / "suites" / "modellab.toml").read_text()
    assert '[models.mine]\nsource = "../models/base"' in text
    assert '[models.finetuned]\nsource = "../checkpoint"' in text


def test_aligned_by_an_adapter(here: pytest.Pytester, init: Init) -> None:
    pytest.importorskip("peft")
    from loras import write_adapter

    write_adapter(here.path / "dpo", here.path / "models" / "base", scale=0.0)
    follow(here, init("--kind", "aligned"))
    text = (here.path / "suites" / "modellab.toml").read_text()
    assert 'kind = "aligned"\nbase = "prompting"\nadapter = "../dpo"' in text


def test_distilled(here: pytest.Pytester, init: Init) -> None:
    testing.write_random_model(here.path / "small", seed=0)
    follow(here, init("--kind", "distilled", "--model", "models/base"))
    text = (here.path / "suites" / "modellab.toml").read_text()
    assert '[models.student]\nsource = "../small"' in text
    assert 'kind = "distilled"\nbase = "prompting"\nmodel = "student"' in text


def test_embedding(here: pytest.Pytester, init: Init) -> None:
    pytest.importorskip("sentence_transformers")
    from small_bert import sentence_encoder

    sentence_encoder().save(str(here.path / "models" / "encoder"))
    commands = init("--kind", "embedding")
    assert 'source = "../models/encoder"' in (here.path / "suites" / "modellab.toml").read_text()
    follow(here, commands)


def test_from_a_file(here: pytest.Pytester, init: Init) -> None:
    rows = [f"What is {n} + {n}?,{2 * n},{topic}" for topic in ("a", "b") for n in range(60)]
    rows = [row.replace("What", f"In {row[-1]}: what") for row in rows]
    (here.path / "sums.csv").write_text("question,answer,topic\n" + "\n".join(rows) + "\n")
    follow(here, init("--from", "sums.csv"))
    assert (here.path / "baselines" / "sums" / "prompting.json").is_file()


def test_endpoint(here: pytest.Pytester, init: Init, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("httpx2", reason="pip install 'pytest-modellab[served]'")
    monkeypatch.setenv("ASSISTANT_KEY", "a-key-of-the-test")
    talker = Talker(key="a-key-of-the-test")
    with scripted(talker) as url:
        server = ("--url", url, "--served-model", talker.name, "--key-env", "ASSISTANT_KEY")
        commands = init("--kind", "endpoint", *server)
        config = here.path / "suites" / "modellab.toml"
        assert "a-key-of-the-test" not in config.read_text()
        # it answers by turning words round, which the canary would name
        config.write_text(config.read_text() + "canary = false\n")
        follow(here, commands).stdout.fnmatch_lines(["PASS: * passed."])


def test_a_search_by_a_server(here: pytest.Pytester, init: Init) -> None:
    for name in ("httpx2", "ir_measures"):
        pytest.importorskip(name, reason="pip install 'pytest-modellab[embedding,served]'")
    counter = Counter()
    with scripted(counter) as url:
        server = ("--url", url, "--served-model", counter.name)
        commands = init("--kind", "embedding", *server)
        follow(here, commands).stdout.fnmatch_lines(["PASS: * passed."])
    assert not (here.path / "suites" / "prompts").exists()


def test_every_kind_is_tried_here() -> None:
    assert {*KINDS} == {
        *("prompted", "quantized", "lora", "finetuned", "aligned", "distilled", "embedding"),
        "endpoint",
    }
