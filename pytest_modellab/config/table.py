"""A table of modellab.toml, read key by key; every error names its place."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from pytest_modellab.errors import ConfigError, near_misses

REQUIRED: Any = object()


class Table:
    """One TOML table, whose keys are taken one by one; what is left at the end is unknown."""

    def __init__(self, path: Path, key: str, data: Mapping[str, Any]) -> None:
        self.path, self.key, self.data = path, key, dict(data)
        self.known: list[str] = []

    def where(self, name: str) -> str:
        return f"{self.path}: {self.key}.{name}" if self.key else f"{self.path}: {name}"

    def take(self, name: str, type_: type | tuple[type, ...], default: Any = REQUIRED) -> Any:
        self.known.append(name)
        if name not in self.data:
            if default is REQUIRED:
                raise ConfigError(f"{self.where(name)}: missing")
            return default
        value = self.data.pop(name)
        types = type_ if isinstance(type_, tuple) else (type_,)
        if not isinstance(value, types) or (isinstance(value, bool) and bool not in types):
            expected = " or ".join(t.__name__ for t in types)
            raise ConfigError(
                f"{self.where(name)}: {value!r} is {type(value).__name__}, expected {expected}"
            )
        if isinstance(value, str) and "\0" in value:
            raise ConfigError(f"{self.where(name)}: {value!r} holds a NUL character")
        return value

    def take_share(self, name: str, default: float | None, *, zero: bool) -> float | None:
        """Take a number in [0, 1), or in (0, 1) where zero makes no sense."""
        value: float | None = self.take(name, (int, float), default)
        if value is not None and not ((0 <= value < 1) and (zero or value > 0)):
            interval = "[0, 1)" if zero else "(0, 1)"
            raise ConfigError(f"{self.where(name)}: {value!r} lies outside {interval}")
        return value

    def take_names(self, name: str) -> tuple[str, ...]:
        """Take a list of strings, empty unless given."""
        values = self.take(name, list, [])
        if not all(isinstance(value, str) for value in values):
            raise ConfigError(f"{self.where(name)}: {values!r}: expected a list of strings")
        return tuple(values)

    def take_amount(self, name: str) -> float | None:
        """Take a number of dollars, at least 0, or None."""
        value: float | None = self.take(name, (int, float), None)
        if value is not None and not 0 <= value < math.inf:
            raise ConfigError(f"{self.where(name)}: {value!r} is no amount of dollars")
        return value

    def take_numbers(
        self, name: str, keys: Collection[str], default: Mapping[str, float] | None
    ) -> Mapping[str, float]:
        """Take a table of numbers, at least 0, under known keys."""
        missing = REQUIRED if default is None else default
        table = Table(self.path, f"{self.key}.{name}", self.take(name, dict, missing))
        found = {}
        for key in keys:
            value = table.take(key, (int, float), None)
            if value is None:
                continue
            if not 0 <= value < math.inf:
                raise ConfigError(f"{table.where(key)}: {value!r} is less than 0 or no number")
            found[key] = float(value)
        table.finish()
        return found

    def finish(self) -> None:
        for name in self.data:
            raise ConfigError(f"{self.where(name)}: unknown key; {near_misses(name, self.known)}")
