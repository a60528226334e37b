"""What the ini file and its ``addopts`` decide, on both sides."""

from __future__ import annotations

import configparser
import dataclasses
import re
import shlex
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pytest_modellab.config.lab_config import LabConfig
from pytest_modellab.records.reading import decimal
from pytest_modellab.review.asked.suite import Patterns
from pytest_modellab.review.changes import Change, Kind, higher, samples
from pytest_modellab.review.files import Files, above, joined

ALPHA = 0.05


ON_INCONCLUSIVE = ("pass", "warn", "fail")
"""From the weakest to the strictest."""


NAMES = ("pytest.toml", ".pytest.toml", "pytest.ini", ".pytest.ini", "pyproject.toml", "tox.ini")
"""Ini files in the order in which pytest takes one; setup.cfg comes last."""


_SELECT = {
    "-m": "-m",
    "-k": "-k",
    "--deselect": "--deselect",
    "--ignore": "--ignore",
    "--ignore-glob": "--ignore-glob",
    "-p": "-p",
    "-c": "-c",
    "--config-file": "-c",
    "-o": "-o",
    "--override-ini": "-o",
    "--rootdir": "--rootdir",
    "--confcutdir": "--confcutdir",
}
"""Options with a value that say what is run."""


_FLAGS = (
    *("--noconftest", "--collect-only", "--co", "--lf", "--last-failed", "--sw", "--stepwise"),
    *("--sw-skip", "--stepwise-skip", "--nf", "--setup-only", "--setup-plan", "--runxfail"),
)
"""Options without one that say what is run."""


@dataclasses.dataclass(frozen=True)
class Ini:
    """What is set for every run.

    Attributes:
        path: of the ini file, or empty where there is none.
        options: what ``modellab_NAME`` or ``--modellab-NAME`` sets, by name with ``-``.
        selects: options that say what is run, with their values.
        settings: the ini options that say what is collected.
    """

    path: str = ""
    options: Mapping[str, str] = dataclasses.field(default_factory=dict)
    selects: tuple[str, ...] = ()
    settings: Mapping[str, tuple[str, ...]] = dataclasses.field(default_factory=dict)

    @property
    def margin(self) -> float | None:
        """What takes the place of the margins of all task sets, or None."""
        return number(self.options.get("margin"))

    @property
    def patterns(self) -> Patterns:
        """What pytest collects."""
        known = {
            name: self.settings[f"python_{name}"]
            for name in ("files", "functions", "classes")
            if f"python_{name}" in self.settings
        }
        if "norecursedirs" in self.settings:
            known["not_in"] = self.settings["norecursedirs"]
        return Patterns(**known)

    @property
    def deselected(self) -> frozenset[str]:
        """Names of marks that runs leave out: ``slow``, and what ``-m`` says with ``not``."""
        named = (re.findall(r"\bnot\s+(\w+)", one) for one in self.selects if one.startswith("-m "))
        return frozenset({"slow", *(name for names in named for name in names)})


def number(text: str | None) -> float | None:
    """Return a text as a number, None where it is none."""
    try:
        return None if text is None else decimal(text)
    except ValueError:
        return None


def read(files: Files, folder: str) -> Ini:
    """Read the ini file that a run of a folder finds.

    Args:
        files: of one side.
        folder: of modellab.toml, from the top.
    """
    for place in above(folder):
        for name in (*NAMES, "setup.cfg"):
            path = joined(place, name)
            text = files.text(path)
            found = None if text is None else _table(name, text)
            if found is not None:
                return _ini(path, found)
    return Ini()


def _table(name: str, text: str) -> Mapping[str, Any] | None:
    """The options of a file, None where it has none for pytest."""
    if name.endswith(".toml"):
        try:
            data = tomllib.loads(text)
        except (ValueError, RecursionError):
            return None
        if name != "pyproject.toml":
            table = data.get("pytest")
            return table if isinstance(table, dict) else {}
        tool = data.get("tool", {})
        pytest = tool.get("pytest", {}) if isinstance(tool, dict) else {}
        options = pytest.get("ini_options") if isinstance(pytest, dict) else None
        if isinstance(options, dict):
            return options
        return pytest if isinstance(pytest, dict) and pytest else None
    parser = configparser.RawConfigParser(strict=False, allow_no_value=True)
    try:
        parser.read_string(text)
    except configparser.Error:
        return None
    section = "tool:pytest" if name == "setup.cfg" else "pytest"
    if not parser.has_section(section):
        return {} if name.endswith("pytest.ini") else None
    return dict(parser.items(section))


def _ini(path: str, table: Mapping[str, Any]) -> Ini:
    options = {
        key.removeprefix("modellab_").replace("_", "-"): str(value)
        for key, value in table.items()
        if key.startswith("modellab_")
    }
    settings = {
        key: tuple(_words(table[key]))
        for key in ("python_files", "python_functions", "python_classes")
        if key in table
    }
    for key in ("norecursedirs", "usefixtures"):
        if key in table:
            settings[key] = tuple(_words(table[key]))
    given, selects, overrides = parse(_words(table.get("addopts", "")))
    for override in overrides:
        key, _, value = override.partition("=")
        if key.startswith("modellab_"):
            options[key.removeprefix("modellab_").replace("_", "-")] = value
        else:
            selects = (*selects, f"-o {override}")
    return Ini(path, {**options, **given}, selects, settings)


def _words(value: Any) -> list[str]:
    if isinstance(value, list):
        return [str(one) for one in value]
    try:
        return shlex.split(str(value or ""))
    except ValueError:
        return str(value).split()


def parse(
    arguments: Sequence[str],
) -> tuple[dict[str, str], tuple[str, ...], tuple[str, ...]]:
    """Read a command line of pytest.

    Returns:
        What it sets of modellab, what it says of what is run, and ini options it sets.
    """
    options: dict[str, str] = {}
    selects, overrides = [], []
    waiting = list(arguments)
    while waiting:
        word = waiting.pop(0)
        name, equals, value = word.partition("=")
        if name.startswith("--modellab-"):
            key = name.removeprefix("--modellab-")
            if key in ("update", "churn", "sequential", "no-cache", "rehash"):
                options[key] = "true"
            else:
                options[key] = value if equals or not waiting else waiting.pop(0)
            continue
        if not word.startswith("--") and word[:2] in _SELECT and len(word) > 2:
            name, value, equals = word[:2], word[2:], "="
        if name in _SELECT:
            value = value if equals or not waiting else waiting.pop(0)
            if _SELECT[name] == "-o":
                overrides.append(value)
            elif _SELECT[name] != "-p" or _is_ours(value):
                selects.append(f"{_SELECT[name]} {value}")
        elif name in _FLAGS:
            selects.append(name)
    return options, tuple(selects), tuple(overrides)


def _is_ours(plugin: str) -> bool:
    """Whether ``-p`` takes this plugin out, or puts another in, which may change it."""
    return plugin.startswith("no:modellab") or not plugin.startswith("no:")


def compare(old: Ini, new: Ini, was: LabConfig, now: LabConfig) -> list[Change]:
    """Compare what is set for every run."""
    where = new.path or old.path
    found = weighed(old.options, new.options, was, now, where, "ini ")
    found += _selects(old.selects, new.selects, where)
    before, after = (one.settings.get("usefixtures", ()) for one in (old, new))
    if before != after:  # what the other settings leave out is told test by test
        values = " ".join(before) or "none", " ".join(after) or "none"
        found.append(Change("unweighed", "ini usefixtures", values[0], values[1], where))
    return found


def _selects(old: Sequence[str], new: Sequence[str], where: str) -> Iterable[Change]:
    note = "what it leaves out is not judged"
    for one in sorted({*new} - {*old}):
        yield Change("unweighed", f"ini addopts {one}", "not given", "given", where, note)
    for one in sorted({*old} - {*new}):
        yield Change("stronger", f"ini addopts {one}", "given", "not given", where)


def weighed(
    old: Mapping[str, str],
    new: Mapping[str, str],
    was: LabConfig,
    now: LabConfig,
    where: str,
    what: str,
) -> list[Change]:
    """Compare options of the whole session."""
    found: list[Change] = []
    before, after = number(old.get("margin")), number(new.get("margin"))
    if before != after:
        found.append(_margin(before, after, was, now, f"{what}modellab_margin", where))
    refs = [one.get("compare-to") or "none" for one in (old, new)]
    if refs[0] != refs[1]:
        note = "accepted runs of another commit decide"
        rule = f"{what}modellab_compare_to"
        found.append(Change("unweighed", rule, refs[0], refs[1], where, note))
    limits = [number(one.get("limit")) for one in (old, new)]
    found += samples(f"{what}modellab_limit", limits[0], limits[1], where)
    alphas = [ALPHA if (a := number(one.get("alpha"))) is None else a for one in (old, new)]
    choices = [one.get("on-inconclusive", "warn") for one in (old, new)]
    later = "a drop shows later"
    for change in higher(f"{what}modellab_alpha", alphas[0], alphas[1], where, later):
        if change.kind == "stronger" and choices[1] == "fail":
            note = "it blocks sooner, and it passes sooner where inconclusive fails"
            change = dataclasses.replace(change, kind="unweighed", note=note)
        found.append(change)
    if choices[0] != choices[1]:
        ranks = [ON_INCONCLUSIVE.index(one) if one in ON_INCONCLUSIVE else 0 for one in choices]
        kind: Kind = "weaker" if ranks[1] < ranks[0] else "stronger"
        rule = f"{what}modellab_on_inconclusive"
        found.append(Change(kind, rule, choices[0], choices[1], where))
    updates = [_true(one.get("update")) for one in (old, new)]
    if updates[0] != updates[1]:
        note = "each run becomes its own baseline" if updates[1] else ""
        was_on, is_on = ("true" if one else "false" for one in updates)
        kind = "weaker" if updates[1] else "stronger"
        found.append(Change(kind, f"{what}modellab_update", was_on, is_on, where, note))
    if old.get("config", "") != new.get("config", ""):
        one, other = (given.get("config", "none") for given in (old, new))
        found.append(Change("unweighed", f"{what}modellab_config", one, other, where))
    return found


def _true(text: str | None) -> bool:
    return (text or "").strip().lower() in ("1", "true", "yes", "on")


def _margin(
    before: float | None,
    after: float | None,
    was: LabConfig,
    now: LabConfig,
    what: str,
    where: str,
) -> Change:
    """The margin in the place of those of all task sets: weaker where it is more than one was."""
    wider = False
    for name, task_set in was.task_sets.items():
        other = now.task_sets.get(name, task_set)
        for one, two in (
            (task_set.margin, other.margin),
            (task_set.capability_margin, other.capability_margin),
        ):
            wider |= (two if after is None else after) > (one if before is None else before)
    values = ["none" if one is None else f"{one:.12g}" for one in (before, after)]
    kind: Kind = "weaker" if wider else "stronger"
    note = "in place of the margins of all task sets"
    return Change(kind, what, values[0], values[1], where, note)
