"""What is known of a declared variant before it is weighed."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_modellab.config import read
from pytest_modellab.lab import survey
from pytest_modellab.lab.lab import Lab
from pytest_modellab.lab.settings import Settings

for library in ("jinja2", "torch", "transformers", "gguf", "xllamacpp"):
    pytest.importorskip(library, reason="a fingerprint has its version")

TOML = """
[models.tiny]
source = "./tiny"
[variants.bm25]
kind = "lexical"
[variants.plain]
kind = "prompted"
model = "tiny"
prompt = "p.jinja"
[variants.q4]
kind = "quantized"
base = "plain"
method = "gguf"
file = "q4.gguf"
[variants.reworded]
kind = "prompted"
base = "q4"
prompt = "p.jinja"
"""


@pytest.mark.parametrize(
    ("variant", "size"), [("bm25", None), ("plain", 500.0), ("q4", 120.0), ("reworded", 120.0)]
)
def test_bytes_on_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variant: str, size: float | None
) -> None:
    """Of the files that a variant is shipped as; none lies in the working folder."""
    tiny, elsewhere = tmp_path / "tiny", tmp_path / "elsewhere"
    for folder in (tiny, elsewhere):
        folder.mkdir()
        (folder / "model.safetensors").write_bytes(bytes(300))
    (tiny / "head").mkdir()
    (tiny / "head" / "model.safetensors").write_bytes(bytes(200))
    (tiny / "modules.json").write_text('[{"path": ""}, {"path": "head"}]')
    (tiny / "config.json").write_text("{}")
    (tiny / "tokenizer.json").write_text("{}")
    (tmp_path / "q4.gguf").write_bytes(bytes(120))
    (tmp_path / "p.jinja").write_text("{% block user %}{{ input }}{% endblock %}")
    (tmp_path / "modellab.toml").write_text(TOML)
    monkeypatch.chdir(elsewhere)
    lab = Lab(read.load(tmp_path / "modellab.toml"), Settings(cache=tmp_path / "cache"))
    assert survey._disk(lab, lab.variant(variant)) == size
