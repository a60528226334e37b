"""JSON schemas of the files that a user writes, made of the settings that read them.

Those of the built-in kinds lie in the package, too, for editors: ``python -m
pytest_modellab.lab.schema`` writes them again, and a test holds them equal.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_modellab.config import read as configuration
from pytest_modellab.records import json_schema

if TYPE_CHECKING:
    from pytest_modellab.variants.plan import Kind

FOLDER = Path(__file__).parents[1] / "schemas"
"""Where the package has them."""


_DIALECT = "https://json-schema.org/draft/2020-12/schema"


def modellab(kinds: Mapping[str, Kind]) -> dict[str, Any]:
    """Return the schema of ``modellab.toml``.

    Args:
        kinds: all there are, by name; those that only a plugin knows stay possible.
    """
    tables = {
        "models": json_schema.table(configuration.MODEL),
        "task_sets": json_schema.table(configuration.TASK_SET),
        "variants": _variant(kinds),
        "prices": json_schema.table(configuration.PRICE),
        # what a scenario leaves out is the built-in one's of its name
        "scenarios": {**json_schema.table(configuration.SCENARIO), "required": []},
    }
    named = {"type": "object", "propertyNames": {"pattern": f"^{configuration.NAME.pattern}$"}}
    whole = json_schema.table(configuration.FILE)
    for key, one in tables.items():
        whole["properties"][key] = {**named, "additionalProperties": one}
    reasons = {"type": "object", "additionalProperties": {"type": "string"}}
    whole["properties"]["acknowledged"] = reasons
    return {"$schema": _DIALECT, "title": "modellab.toml", **whole}


def task_set() -> dict[str, Any]:
    """Return the schema of ``task_set.toml``: the keys of all formats, and those of each apart."""
    from pytest_modellab.tasksets import header

    whole = json_schema.table(header.HEADER, others=True)
    words = {"type": "object", "properties": {"description": {"type": "string"}}}
    whole["properties"]["capabilities"] = {"type": "object", "additionalProperties": words}
    whole["required"] = ["name", "version"]
    return {"$schema": _DIALECT, "title": "task_set.toml", **whole}


def text(schema: Mapping[str, Any]) -> str:
    """Return a schema as a file's text."""
    return json.dumps(schema, indent=2) + "\n"


def shipped() -> dict[str, str]:
    """Return the files that lie in :data:`FOLDER`: name → text."""
    from pytest_modellab.variants import KINDS

    return {"modellab.json": text(modellab(KINDS)), "task_set.json": text(task_set())}


def _variant(kinds: Mapping[str, Kind]) -> dict[str, Any]:
    """A variant's keys, with the options of its kind where that says which it has."""
    found = json_schema.table(configuration.VARIANT, others=True)
    own = found["properties"]
    own["kind"] = {"anyOf": [{"enum": sorted(kinds)}, {"type": "string"}]}
    found["allOf"] = [
        {
            "if": {"properties": {"kind": {"const": name}}, "required": ["kind"]},
            "then": _of_kind(kind, own),
        }
        for name, kind in sorted(kinds.items())
        if kind.options is not None
    ]
    return found


def _of_kind(kind: Kind, own: Mapping[str, Any]) -> dict[str, Any]:
    found = json_schema.table(kind.options or {})
    names = {key: {"type": "string"} for key in kind.models}
    found["properties"] = {**dict.fromkeys(own, True), **found["properties"], **names}
    return found


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for name, content in shipped().items():
        (FOLDER / name).write_text(content, encoding="utf-8", newline="\n")
