from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

import pytest

from pytest_modellab import cli
from pytest_modellab.config.read import NAME
from pytest_modellab.lab import schema
from pytest_modellab.variants import KINDS

SUITES = Path(__file__).parents[3] / "suites"
jsonschema = pytest.importorskip("jsonschema")


def problems(found: dict[str, Any], data: object) -> list[str]:
    validator = jsonschema.Draft202012Validator
    validator.check_schema(found)
    return [one.message for one in validator(found).iter_errors(data)]


def test_the_suites_are_valid() -> None:
    data = tomllib.loads((SUITES / "modellab.toml").read_text("utf-8"))
    assert problems(schema.modellab(KINDS), data) == []
    headers = sorted(SUITES.glob("tasks/*/task_set.toml"))
    assert len(headers) > 5
    for header in headers:
        assert problems(schema.task_set(), tomllib.loads(header.read_text("utf-8"))) == [], header


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[variants.a]\nknd = 'prompted'", "'kind' is a required property"),
        ("[variants.a]\nkind = 'prompted'\nprompt = 1", "1 is not of type 'string'"),
        ("[variants.a]\nkind = 'prompted'", "'prompt' is a required property"),
        ("[variants.a]\nkind = 'lora'\nadaptor = 'x'", "('adaptor' was unexpected)"),
        ("[variants.a]\nkind = 'quantized'\nmethod = 'nf5'", "'nf5' is not one of"),
        ("[task_sets.t]\npath = 't'\nmargn = 0.1", "('margn' was unexpected)"),
        ("[models.'a-b']\nsource = 'x'", "'a-b' does not match"),
        ("[enginee]", "('enginee' was unexpected)"),
    ],
)
def test_what_is_wrong_is_refused(text: str, told: str) -> None:
    (said,) = problems(schema.modellab(KINDS), tomllib.loads(text))
    assert told in said


def test_a_kind_that_a_plugin_adds_may_have_any_option() -> None:
    data = tomllib.loads("[variants.a]\nkind = 'theirs'\nanything = [1]")
    assert problems(schema.modellab(KINDS), data) == []


def test_every_built_in_kind_tells_its_options() -> None:
    assert [name for name, kind in KINDS.items() if kind.options is None] == []


def test_a_header_needs_a_name() -> None:
    assert problems(schema.task_set(), {"version": "1"}) == ["'name' is a required property"]


@pytest.mark.parametrize("name", ["modellab", "task_set"])
def test_the_package_has_it_as_a_file(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["schema", name, "--path"]) == 0
    path = Path(capsys.readouterr().out.strip())
    assert path.read_text(encoding="utf-8") == schema.shipped()[f"{name}.json"], (
        "write it again: python -m pytest_modellab.lab.schema"
    )


def test_the_command_prints_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert cli.main(["schema"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found == json.loads(json.dumps(schema.modellab(KINDS)))
    assert NAME.pattern in found["properties"]["models"]["propertyNames"]["pattern"]
    assert cli.main(["schema", "task_set"]) == 0
    assert json.loads(capsys.readouterr().out)["title"] == "task_set.toml"
