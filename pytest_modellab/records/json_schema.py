"""Settings as a JSON schema, by which an editor completes and checks a TOML file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pytest_modellab.records.setting import REQUIRED, Setting

_NAMES: Mapping[type, str] = {
    str: "string",
    int: "integer",
    float: "number",
    bool: "boolean",
    list: "array",
    dict: "object",
}


def table(settings: Mapping[str, Setting], *, others: bool = False) -> dict[str, Any]:
    """Return the schema of a table.

    Args:
        settings: its keys.
        others: True where it may have other keys.
    """
    required = [key for key, one in settings.items() if one.default is REQUIRED]
    found: dict[str, Any] = {
        "type": "object",
        "properties": {key: value(one) for key, one in settings.items()},
    }
    if required:
        found["required"] = required
    return found if others else {**found, "additionalProperties": False}


def value(setting: Setting) -> dict[str, Any]:
    """Return the schema of one key's value; a rule that only words tell is its description."""
    declared = setting.type if setting.editor is None else setting.editor
    types = declared if isinstance(declared, tuple) else (declared,)
    if types == (dict,) and setting.fields is not None:
        return table(setting.fields)
    found: dict[str, Any] = {}
    names = sorted({_NAMES[one] for one in types if one in _NAMES})
    if "number" in names:
        names = [name for name in names if name != "integer"]
    if names:
        found["type"] = names[0] if len(names) == 1 else names
    if "array" in names and setting.items is str:
        found["items"] = {"type": "string"}
    if setting.choices:
        found["enum"] = sorted(setting.choices)
    if words := setting.rule or setting.missing:
        found["description"] = words
    if isinstance(setting.default, str | int | float) and setting.default != "":
        found["default"] = setting.default
    return found
