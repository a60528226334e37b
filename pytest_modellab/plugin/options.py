"""The options of the command line and their ini twins."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

ON_INCONCLUSIVE = ("fail", "warn", "pass")


MOST_DIGITS = 18
"""Of a whole number that is taken for meant."""


GITHUB = ("auto", "off")


DIAGNOSE = ("auto", "off", "always")


OPTIONS: dict[str, tuple[dict[str, Any], str]] = {
    "config": ({"metavar": "PATH"}, "the modellab.toml (default: nearest to the tests)"),
    "update": (
        {"action": "store_true"},
        "record missing baselines and accept this run as the new baseline",
    ),
    "compare-to": (
        {"metavar": "REF"},
        "compare with the accepted runs of a git branch, tag or commit, not the working tree's",
    ),
    "alpha": ({"metavar": "RISK"}, "risk of any false block in the whole run (default: 0.05)"),
    "margin": ({"metavar": "DROP"}, "allowed drop, replaces the margins of all task sets"),
    "limit": (
        {"metavar": "N"},
        "ask at most N samples of each task set, for a quick look; replaces their own limits",
    ),
    "on-inconclusive": (
        {"choices": ON_INCONCLUSIVE},
        "what an inconclusive verdict does to its test (default: warn)",
    ),
    "churn": (
        {"action": "store_true"},
        "run every variant a second time and flag one that flips abnormally many samples",
    ),
    "sequential": (
        {"action": "store_true"},
        "ask no more samples than a verdict needs, at the same error rates",
    ),
    "json": ({"metavar": "PATH"}, "write the report as JSON"),
    "markdown": ({"metavar": "PATH"}, "write the report as Markdown, for a pull request"),
    "github": (
        {"choices": GITHUB},
        "annotations and a step summary in a GitHub Actions run (default: auto)",
    ),
    "diagnose": (
        {"choices": DIAGNOSE},
        "which part of a blocked variant is damaged: where there is time for it, never, or however "
        "long it takes (default: auto)",
    ),
    "diagnose-budget": (
        {"metavar": "SECONDS"},
        "what all diagnoses of a session take together, at most (default: 120)",
    ),
    "token-budget": (
        {"metavar": "N"},
        "most tokens in a batch (default: modellab.toml's, or what the device holds)",
    ),
    "traceback": (
        {"action": "store_true"},
        "show where in the code an error of modellab was raised, too, as --full-trace does",
    ),
    "no-cache": ({"action": "store_true"}, "run every selected variant anew"),
    "rehash": (
        {"action": "store_true"},
        "read all files of models, whatever hashes are remembered of them",
    ),
}
"""Name → (argparse settings, help); each has the ini twin ``modellab_NAME``."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Declare every option with its ini twin."""
    group = parser.getgroup("modellab", "pytest-modellab: may this model ship?")
    for name, (settings, help_) in OPTIONS.items():
        dest = f"modellab_{name.replace('-', '_')}"
        group.addoption(f"--modellab-{name}", dest=dest, default=None, help=help_, **settings)
        if settings.get("action") == "store_true":
            parser.addini(dest, help_, type="bool", default=None)
        else:
            parser.addini(dest, help_, type="string", default=None)


def option(config: pytest.Config, name: str) -> Any:
    """Resolve an option: command line, then ini file, then None."""
    dest = f"modellab_{name.replace('-', '_')}"
    given = config.getoption(dest)
    return given if given is not None else (config.getini(dest) or None)


def said(config: pytest.Config, name: str) -> str | None:
    """Say how an option was set, by its name on the command line or in the ini file, or None."""
    dest = f"modellab_{name.replace('-', '_')}"
    if config.getoption(dest) is not None:
        return f"--modellab-{name}"
    return f"ini setting {dest}" if config.getini(dest) else None


def choice(
    config: pytest.Config, name: str, choices: tuple[str, ...], default: str | None = None
) -> str:
    """Resolve an option with choices, the first of which it is unless set."""
    found: str = option(config, name) or default or choices[0]
    if found not in choices:  # argparse has not seen the ini file's value
        dest = f"modellab_{name.replace('-', '_')}"
        raise pytest.UsageError(f"{dest}: {found!r} is none of {', '.join(choices)}")
    return found


def path_option(config: pytest.Config, name: str) -> Path | None:
    """Resolve a path: as called it starts from the working folder, in an ini file from the root."""
    dest = f"modellab_{name}"
    given: str | None = config.getoption(dest)
    if given is not None:
        return config.invocation_params.dir / given
    named: str | None = config.getini(dest)
    return config.rootpath / named if named else None


def number(config: pytest.Config, name: str, *, zero: bool) -> float | None:
    """Return an option as a number of its interval, or None where it was not given."""
    text = option(config, name)
    if text is None:
        return None
    from pytest_modellab.records.reading import decimal

    interval = "[0, 1)" if zero else "(0, 1)"
    try:
        value = decimal(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < 1 or (value == 0 and not zero):
        raise pytest.UsageError(f"--modellab-{name}: {text!r} is not a number in {interval}")
    return value


def count(config: pytest.Config, name: str) -> int | None:
    """Return an option as a whole number of at least 1, or None where it was not given."""
    text = option(config, name)
    if text is None:
        return None
    from pytest_modellab.records.reading import shown

    whole = text.isascii() and text.isdigit() and len(text) <= MOST_DIGITS
    if not whole or int(text) < 1:
        raise pytest.UsageError(f"--modellab-{name}: {shown(text)} is not a whole number, from 1")
    return int(text)


def token_budget(config: pytest.Config) -> int | None:
    """Return the token budget that is asked for, or None."""
    text = option(config, "token-budget")
    if text is None:
        return None
    from pytest_modellab.config import engine
    from pytest_modellab.errors import ConfigError

    try:
        return engine.token_budget(text, said(config, "token-budget") or "")
    except ConfigError as error:
        raise pytest.UsageError(str(error)) from error


def seconds(config: pytest.Config, name: str) -> float | None:
    """Return an option as a number of seconds, or None where it was not given."""
    text = option(config, name)
    if text is None:
        return None
    from pytest_modellab.records.reading import decimal

    try:
        value = decimal(text)
    except ValueError:
        value = -1.0
    if value < 0:
        raise pytest.UsageError(f"--modellab-{name}: {text!r} is not a number of seconds, from 0")
    return value
