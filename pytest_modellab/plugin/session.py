"""What one pytest session holds: configuration, extensions, settings, lab."""

from __future__ import annotations

import dataclasses
import os
import shlex
from collections.abc import Iterable
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pytest_modellab.plugin.options import (
    ON_INCONCLUSIVE,
    choice,
    count,
    number,
    option,
    path_option,
    said,
    token_budget,
)

if TYPE_CHECKING:
    from pytest_modellab.baselines.committed import Committed
    from pytest_modellab.config.lab_config import LabConfig
    from pytest_modellab.lab.lab import Lab
    from pytest_modellab.lab.registry import Extensions
    from pytest_modellab.lab.settings import Settings
    from pytest_modellab.variants.plan import Kind

CONFIG: pytest.StashKey[LabConfig | None] = pytest.StashKey()


EXTENSIONS: pytest.StashKey[Extensions] = pytest.StashKey()


SOURCES: pytest.StashKey[tuple[str, ...]] = pytest.StashKey()


LAB: pytest.StashKey[Lab] = pytest.StashKey()


TODAY: pytest.StashKey[str] = pytest.StashKey()


TODAY_SENT = "modellab_today"
"""Under which a worker is told."""


COMPARED: pytest.StashKey[Committed | None] = pytest.StashKey()


COMPARED_SENT = "modellab_compared"
"""Under which a worker is told the commit: a branch may move meanwhile."""


def settings_of(config: pytest.Config) -> Settings:
    """Return what the user asked of this session."""
    from pytest_modellab.lab import settings
    from pytest_modellab.store.place import default_folder

    alpha = number(config, "alpha", zero=False)
    on_inconclusive: Any = choice(
        config, "on-inconclusive", ON_INCONCLUSIVE, default=settings.ON_INCONCLUSIVE
    )
    flags = {name: bool(option(config, name)) for name in ("update", "churn", "sequential")}
    for name in ("update", "churn"):
        if flags["sequential"] and flags[name]:
            raise pytest.UsageError(
                f"--modellab-sequential and --modellab-{name} exclude each other: an accepted run, "
                "and one that is run twice, is complete; leave one out (one that is set in an ini "
                "file: -o modellab_sequential=false)"
            )
    limit = count(config, "limit")
    if limit is not None and flags["update"]:
        raise pytest.UsageError(
            "--modellab-limit and --modellab-update exclude each other: an accepted run has all "
            "samples that are declared; leave one out, or declare a limit in modellab.toml"
        )
    compare_to = compared_with(config)
    if compare_to is not None and flags["update"]:
        raise pytest.UsageError(
            "--modellab-compare-to and --modellab-update exclude each other: what is accepted is "
            "compared with the working tree's accepted run, which it replaces; leave one out (one "
            "that is set in an ini file: -o modellab_compare_to=)"
        )
    rules = ("alpha", "compare-to", "limit", "margin", "on-inconclusive")
    return settings.Settings(
        cache=default_folder(),
        compare_to=compare_to,
        alpha=settings.ALPHA if alpha is None else alpha,
        limit=limit,
        margin=number(config, "margin", zero=True),
        on_inconclusive=on_inconclusive,
        reuse=not option(config, "no-cache"),
        rehash=bool(option(config, "rehash")),
        today=today_of(config),
        token_budget=token_budget(config),
        said={name: how for name in rules if (how := said(config, name)) is not None},
        **flags,
    )


def compared_with(config: pytest.Config) -> Committed | None:
    """Return the commit whose accepted runs are compared with, or None for the working tree's."""
    if COMPARED not in config.stash:
        config.stash[COMPARED] = _compared_with(config)
    return config.stash[COMPARED]


def _compared_with(config: pytest.Config) -> Committed | None:
    ref, found = option(config, "compare-to"), config.stash[CONFIG]
    if ref is None or found is None:
        return None
    from pytest_modellab.baselines import committed
    from pytest_modellab.errors import ModellabError

    sent = getattr(config, "workerinput", {}).get(COMPARED_SENT)
    try:
        at = committed.at(found.baselines, sent or ref)
    except ModellabError as error:
        raise pytest.UsageError(f"{said(config, 'compare-to')}: {error}") from error
    return dataclasses.replace(at, ref=ref)


def today_of(config: pytest.Config) -> str:
    """Return the day that the session began on; a worker's is the controller's."""
    if TODAY not in config.stash:
        sent = getattr(config, "workerinput", {}).get(TODAY_SENT)
        config.stash[TODAY] = sent or date.today().isoformat()  # noqa: DTZ011 - of this place
    return config.stash[TODAY]


def load_config(config: pytest.Config) -> LabConfig | None:
    """Read the configuration beside or above the tests, or None."""
    from pytest_modellab.config.find import find

    path = path_option(config, "config")
    if path is None:
        places = [config.invocation_params.dir / arg.split("::")[0] for arg in config.args]
        path = find(places, config.rootpath)
    if path is None:
        return None
    from pytest_modellab.config import read as configuration
    from pytest_modellab.errors import ConfigError

    try:
        return configuration.load(path)
    except ConfigError as error:
        raise pytest.UsageError(str(error)) from error


def check_nearest(config: pytest.Config, file: Path) -> None:
    """Refuse a test that would be judged by another configuration than the one nearest above it.

    Args:
        config: the session's.
        file: the test's.

    Raises:
        pytest.UsageError: a session has one configuration, and it is not this file's.
    """
    from pytest_modellab.config.find import find

    if path_option(config, "config") is not None:  # which judges all
        return
    own, found = find([file], config.rootpath), config.stash[CONFIG]
    if own is None or (found is not None and own == found.path):
        return
    from pytest_modellab.plugin.nodeids import from_here

    test, mine = from_here(str(file), config), from_here(str(own), config)
    within = file.resolve().is_relative_to(own.parent)  # else it is rootdir/suites, for those apart
    alone = shlex.quote(os.path.dirname(mine) or "." if within else test)  # noqa: PTH120 - text
    if found is None:
        why = "but none lies in or above what pytest was called with; run them"
        how = alone
    else:
        judging = from_here(str(found.path), config)
        why = f"but this session judges by {judging}, and a session has one; run them apart"
        how = f"{alone}, and the others without it (--ignore={alone})"
    raise pytest.UsageError(
        f"{test}: its configuration is {mine}, {why}: pytest {how}; or choose one for all: "
        "--modellab-config PATH"
    )


def declare_markers(config: pytest.Config, kinds: Iterable[Kind]) -> None:
    """Declare the markers by which ``-m`` selects variants, as far as they are not declared."""
    known = {marker.split(":")[0].split("(")[0] for marker in config.getini("markers")}
    names: dict[str, list[str]] = {}
    for kind in kinds:
        names.setdefault(kind.marker, []).append(kind.name)
    for marker in sorted(names.keys() - known):
        of = ", ".join(names[marker])
        config.addinivalue_line("markers", f"{marker}: tests of variants of kind {of}")


def extensions_of(config: pytest.Config) -> Extensions:
    """Return what plugins and conftest files add; asked once, when the first test is collected."""
    if EXTENSIONS not in config.stash:
        from pytest_modellab.errors import ConfigError
        from pytest_modellab.lab import registry

        try:
            found = registry.collect(config.hook)
        except ConfigError as error:
            raise pytest.UsageError(str(error)) from error
        declare_markers(config, found.kinds.values())
        config.stash[EXTENSIONS] = found
        config.stash[SOURCES] = registry.sources(config.hook)
    return config.stash[EXTENSIONS]


def required_config(config: pytest.Config) -> LabConfig:
    """Return the configuration, its kinds checked."""
    from pytest_modellab.errors import ConfigError

    found = config.stash[CONFIG]
    if found is None:
        raise pytest.UsageError(
            "no modellab.toml found beside or above the tests; write one: modellab init, or "
            "name it: --modellab-config PATH"
        )
    try:
        return found.with_kinds(extensions_of(config).kinds)
    except ConfigError as error:
        raise pytest.UsageError(str(error)) from error


def lab_of(config: pytest.Config) -> Lab:
    """Return the session's lab, made when it is first asked for."""
    if LAB not in config.stash:
        from pytest_modellab.lab.lab import Lab
        from pytest_modellab.plugin.progress import progress_of

        config.stash[LAB] = Lab(
            required_config(config), settings_of(config), progress_of(config), extensions_of(config)
        )
    return config.stash[LAB]
