"""What one pytest session holds: configuration, extensions, settings, lab."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date
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
    rules = ("alpha", "limit", "margin", "on-inconclusive")
    return settings.Settings(
        cache=default_folder(),
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
