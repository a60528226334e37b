"""What one pytest session holds: configuration, extensions, settings, lab."""

from __future__ import annotations

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
    from pytest_modellab.lab.settings import Settings
    from pytest_modellab.variants.plan import Kind

TODAY: pytest.StashKey[str] = pytest.StashKey()


TODAY_SENT = "modellab_today"
"""Under which a worker is told."""


COMPARED_SENT = "modellab_compared"
"""Under which a worker is told repository and commit: a branch may move meanwhile."""


def settings_of(config: pytest.Config, compare_to: Committed | None) -> Settings:
    """Return what the user asked of this session.

    Args:
        config: the session's.
        compare_to: the commit whose accepted runs are compared with, or None.
    """
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


def compared_with(config: pytest.Config, declared: LabConfig) -> Committed | None:
    """Find the commit whose accepted runs are compared with, or None for the working tree's.

    A worker takes the controller's, for all configurations of that repository.

    Args:
        config: the session's.
        declared: the configuration, which says where the accepted runs are.
    """
    ref = option(config, "compare-to")
    if ref is None:
        return None
    from pytest_modellab.baselines import committed
    from pytest_modellab.errors import ModellabError

    sent = getattr(config, "workerinput", {}).get(COMPARED_SENT, {})
    try:
        at = committed.at(declared.baselines, ref, sent)
    except ModellabError as error:
        raise pytest.UsageError(f"{said(config, 'compare-to')}: {error}") from error
    return at


def today_of(config: pytest.Config) -> str:
    """Return the day that the session began on; a worker's is the controller's."""
    if TODAY not in config.stash:
        sent = getattr(config, "workerinput", {}).get(TODAY_SENT)
        config.stash[TODAY] = sent or date.today().isoformat()  # noqa: DTZ011 - of this place
    return config.stash[TODAY]


def load_first(config: pytest.Config) -> LabConfig | None:
    """Read the configuration that is chosen, or the first beside, above or below the tests."""
    path = path_option(config, "config")
    if path is None:
        from pytest_modellab.config.find import below, find

        places = [config.invocation_params.dir / arg.split("::")[0] for arg in config.args]
        path = find(places, config.rootpath)
        path = path or below(places, config.getini("norecursedirs"))
    return None if path is None else load(path)


def load(path: Path) -> LabConfig:
    """Read a configuration.

    Raises:
        pytest.UsageError: it cannot be read.
    """
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
