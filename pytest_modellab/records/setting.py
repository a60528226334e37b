"""What a user may declare, key by key: the type, the default and the rule of each value.

Whatever reads a table (modellab.toml, a kind, a recipe, a task set's header) says what it takes as
a mapping of key to :class:`Setting`; :func:`resolve` checks it, and words what is wrong with it.
"""

from __future__ import annotations

import dataclasses
import difflib
import math
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any, TypeAlias

from pytest_modellab.errors import ConfigError, near_misses
from pytest_modellab.visible import visible

REQUIRED: Any = object()
"""The default of a setting that has none."""


_CLOSE = 0.75
"""How alike two keys are of which one is taken for the other, misspelt: of ``difflib``."""


OPTIONAL: Any = object()
"""The default of a setting that stays absent where it is not given: it may be a base's, say."""


NUMBER = (int, float)


Types: TypeAlias = type | tuple[type, ...]


@dataclasses.dataclass(frozen=True)
class Setting:
    """One key of a table.

    Attributes:
        type: ``str``, ``int``, ``float`` (takes an int as well, and makes a float of it), ``bool``,
            ``list`` (of ``items``), ``dict`` (a table, see ``fields``), several, or ``object``.
        default: what an absent key means; ``REQUIRED`` where it must be given, ``OPTIONAL`` where
            it stays absent.
        rule: in words what a value must be, for messages: ``at least 1``.
        check: whether a value of the right type keeps the rule.
        choices: the only values, or empty.
        fields: a table's own settings, or None for any.
        items: ``str``, or ``object`` for a list of anything.
        wrong: what a message says of a value that breaks the rule, with ``value`` and ``rule``.
        missing: what a message asks for where a required key is absent, instead of the rule.
        editor: the type as an editor is told it, where ``type`` is checked by ``check``.
        path: whether a value names a file or folder, from that of the file it is declared in.
    """

    type: Types
    default: Any = REQUIRED
    rule: str = ""
    check: Callable[[Any], bool] = lambda _: True
    choices: Collection[str] = ()
    fields: Mapping[str, Setting] | None = None
    items: Types = str
    wrong: str = "{value!r} is not {rule}"
    missing: str = ""
    path: bool = False
    editor: Types | None = None


def at_least(type_: type, least: float, default: Any = REQUIRED) -> Setting:
    """Return a number's setting with a least value."""
    return Setting(type_, default, f"at least {least}", lambda value: value >= least)


def positive(type_: type, default: Any = REQUIRED) -> Setting:
    """Return the setting of a number above zero."""
    return Setting(type_, default, "above 0", lambda value: value > 0)


def share(default: Any = REQUIRED) -> Setting:
    """Return the setting of a number in [0, 1]."""
    return Setting(float, default, "in [0, 1]", lambda value: 0 <= value <= 1)


def count(default: Any = OPTIONAL, wrong: str = "{value!r} must be at least 1") -> Setting:
    """Return the setting of a whole number of at least 1."""
    return dataclasses.replace(at_least(int, 1, default), wrong=wrong)


def check_options(
    options: Mapping[str, Any], known: Mapping[str, type | Setting]
) -> dict[str, Any]:
    """Check a kind's own settings.

    Args:
        options: key → value as read.
        known: key → type, of a value that may be absent, or setting.

    Returns:
        A value for every key that is given or has a default.

    Raises:
        ConfigError: an unknown key or a wrong value; the message begins with the key.
    """
    settings = {
        key: one if isinstance(one, Setting) else Setting(one, OPTIONAL, items=object)
        for key, one in known.items()
    }
    return resolve(settings, options)


def resolve(
    known: Mapping[str, Setting], given: Mapping[str, Any], where: str = "", *, others: bool = False
) -> dict[str, Any]:
    """Check settings and fill in the defaults.

    Args:
        known: key → setting.
        given: key → value as read.
        where: what stands before a key in messages, for example ``lora.``.
        others: True where unknown keys are somebody else's, and left out of what is returned.

    Returns:
        A value for every known key, but for the absent ones that are ``OPTIONAL``.

    Raises:
        ConfigError: an unknown or missing key, or a wrong value; the message begins with the key.
    """
    unknown = [] if others else [key for key in given if key not in known]
    if unknown:
        key, *more = unknown
        also = f"; as unknown: {', '.join(map(visible, more))}" if more else ""
        raise ConfigError(f"{where}{visible(key)}: unknown key; {near_misses(key, known)}{also}")
    found = {}
    for key, setting in known.items():
        if key in given:
            found[key] = _checked(setting, given[key], f"{where}{key}")
        elif setting.default is REQUIRED:
            if (given_as := misspelt(key, given.keys() - known.keys())) is not None:
                raise ConfigError(f"{where}{visible(given_as)}: unknown key; did you mean {key!r}?")
            raise ConfigError(f"{where}{key}: missing{_wanted(setting)}")
        elif setting.default is not OPTIONAL:
            found[key] = setting.default
    return found


def misspelt(key: str, given: Iterable[str]) -> str | None:
    """Return what was most likely written in place of a key, or None.

    Args:
        key: that is absent.
        given: keys that nobody knows.
    """
    return next(iter(difflib.get_close_matches(key, sorted(given), n=1, cutoff=_CLOSE)), None)


def _wanted(setting: Setting) -> str:
    if setting.choices and not setting.missing:
        return f"; {near_misses('', setting.choices)}"
    wanted = setting.missing or (f"a value is {setting.rule}" if setting.rule else "")
    return f"; {wanted}" if wanted else ""


def _checked(setting: Setting, value: Any, where: str) -> Any:
    _check_sayable(value, where)
    types = setting.type if isinstance(setting.type, tuple) else (setting.type,)
    if types == (float,) and type(value) is int:
        value = float(value)
    if type(value) not in types and types != (object,):
        expected = " or ".join(one.__name__ for one in types)
        raise ConfigError(f"{where}: {value!r} is {type(value).__name__}, expected {expected}")
    if types == (dict,) and setting.fields is not None:
        return resolve(setting.fields, value, f"{where}.")
    if types == (list,) and not all(isinstance(item, setting.items) for item in value):
        raise ConfigError(f"{where}: {value!r}: expected a list of strings")
    if setting.choices and value not in setting.choices:
        raise ConfigError(f"{where}: unknown {value!r}; {near_misses(str(value), setting.choices)}")
    if not setting.check(value):
        raise ConfigError(f"{where}: {setting.wrong.format(value=value, rule=setting.rule)}")
    if isinstance(value, float) and not math.isfinite(value):
        raise ConfigError(f"{where}: {value!r} is not a finite number")
    return value


def _check_sayable(value: Any, where: str) -> None:
    """Refuse what TOML can hold and files, libraries or messages cannot, however deep."""
    if isinstance(value, str) and "\0" in value:
        raise ConfigError(f"{where}: {value!r} holds a NUL character")
    if isinstance(value, int) and not -(2**63) <= value < 2**63:  # repr may fail of a longer one
        raise ConfigError(f"{where}: {value:#x} does not fit into 64 bits")
    if isinstance(value, dict):
        for key, inner in value.items():
            _check_sayable(inner, f"{where}.{visible(key)}")
    elif isinstance(value, list):
        for inner in value:
            _check_sayable(inner, where)
