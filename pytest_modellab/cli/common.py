"""One file a command of ``modellab``; each has ``add(subparsers)`` and ``run(options)``."""

from __future__ import annotations

import argparse
import contextlib
import difflib
import os
import shlex
import sys
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, TypeAlias

from pytest_modellab import visible
from pytest_modellab.config import engine
from pytest_modellab.config import read as configuration
from pytest_modellab.config.find import FILE_NAME, find
from pytest_modellab.config.lab_config import LabConfig
from pytest_modellab.errors import ConfigError, near_misses
from pytest_modellab.store import atomic
from pytest_modellab.visible import CELL, line, shortened

if TYPE_CHECKING:
    from pytest_modellab.lab.registry import Extensions
    from pytest_modellab.lab.settings import Settings

EXIT_OK, EXIT_FOUND, EXIT_USAGE, EXIT_INCONCLUSIVE = 0, 1, 2, 3


_SHOWN = 5
"""Configurations that an error names."""


EXIT_INTERRUPTED = 130  # as shells have it for SIGINT


_TABLE = "modellab_table"


Subparsers: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"  # noqa: SLF001


class Parser(argparse.ArgumentParser):
    """Names the near misses of a command or an option that there is not; subcommands are such.

    An option is never taken for another that begins as it does: more options may come.
    """

    def __init__(self, *args: Any, **settings: Any) -> None:
        super().__init__(*args, **{"allow_abbrev": False, **settings})

    def parse_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Parse all of the arguments, as the base class does."""
        found, unknown = self.parse_known_args(args, namespace)
        if unknown:
            self._refuse(found, unknown)
        return found

    def _refuse(self, found: argparse.Namespace, unknown: Sequence[str]) -> NoReturn:
        """Say which arguments the command does not take, and which it may mean."""
        of = self._command(getattr(found, "command", None))
        known = [name for action in of._actions for name in action.option_strings]  # noqa: SLF001
        said = []
        for one in unknown:
            close = difflib.get_close_matches(one.partition("=")[0], known, n=1)
            hint = f" (did you mean {close[0]}?)" if close and one.startswith("-") else ""
            said.append(f"{line(one, CELL)}{hint}")
        bare = any(not one.startswith("-") for one in unknown)
        named = "a variant is named by --variant; " if bare and "--variant" in known else ""
        of.error(f"unknown: {', '.join(said)}; {named}{of.prog} --help lists what there is")

    def _command(self, name: object) -> argparse.ArgumentParser:
        for action in self._actions:
            if isinstance(action, argparse._SubParsersAction):  # noqa: SLF001
                found: argparse.ArgumentParser = action.choices.get(str(name), self)
                return found
        return self

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        """Refuse a command or a choice that there is not."""
        if action.choices is None or value in action.choices:
            return
        hint = near_misses(str(value), map(str, action.choices))
        said = f"{shortened(str(value), CELL)!r}; {hint}"
        if isinstance(action, argparse._SubParsersAction):  # noqa: SLF001
            raise argparse.ArgumentError(None, f"no command {said}")
        raise argparse.ArgumentError(action, f"unknown {said}")

    def error(self, message: str) -> NoReturn:
        """End with what is wrong, made fit to be shown."""
        if message.endswith("expected one argument"):
            option = message.removeprefix("argument ").split(":")[0].split("/")[-1]
            message += f"; a value that begins with a dash is written {option}=VALUE"
        super().error(visible.message(message))


def say(*lines: str, error: bool = False) -> None:
    """Print whole lines, whatever names and messages stand in them.

    Args:
        lines: without line ends.
        error: whether they belong on the standard error output.
    """
    for text in lines:
        print(line(text), file=sys.stderr if error else sys.stdout)


def save(files: Mapping[Path, str]) -> list[str]:
    """Write files, those that can be written; a command does so before it prints.

    Args:
        files: path → text.

    Returns:
        What could not be written and why; to be raised when the verdict has been printed.
    """
    problems = []
    for path, text in files.items():
        try:
            atomic.write_text(path, text)
        except OSError as error:
            problems.append(f"{path}: cannot be written: {error.strerror}")
    return problems


TABLES = ("variants", "task_sets")
"""Tables of modellab.toml whose names are arguments of commands."""


def complete(parser: argparse.ArgumentParser, *, variants: str = "", task_sets: str = "") -> None:
    """Say which arguments are names that modellab.toml declares; a shell completes them.

    Args:
        parser: of a command, its arguments declared.
        variants: where their values lie, several with blanks between them.
        task_sets: likewise.
    """
    for table, places in zip(TABLES, (variants, task_sets), strict=True):
        for action in parser._actions:  # noqa: SLF001 - argparse has no other way
            if action.dest in places.split():
                setattr(action, _TABLE, table)


def table_of(action: argparse.Action) -> str:
    """Return the table that :func:`complete` was told; empty without one."""
    return str(getattr(action, _TABLE, ""))


def add_config(parser: argparse._ActionsContainer) -> None:
    """Declare the option that names a ``modellab.toml``."""
    parser.add_argument("--config", type=Path, help="the modellab.toml (default: suites/ or here)")


def add_token_budget(parser: argparse._ActionsContainer) -> None:
    """Declare the option that says how many tokens a batch holds."""
    parser.add_argument(
        "--token-budget",
        metavar="N",
        help="most tokens in a batch (default: modellab.toml's, or what the device holds)",
    )


def count(text: str) -> int:
    """Read the value of an option that counts.

    Raises:
        argparse.ArgumentTypeError: it is no whole number of at least 1.
    """
    if not (text.isascii() and text.isdigit() and len(text) < 10) or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of at least 1")
    return int(text)


def token_budget(options: argparse.Namespace) -> int | None:
    """Return what :func:`add_token_budget` was given, or None.

    Raises:
        ConfigError: it is no number of tokens.
    """
    text: str | None = options.token_budget
    return None if text is None else engine.token_budget(text, "--token-budget")


def add_rehash(parser: argparse._ActionsContainer) -> None:
    """Declare the option that believes no hash that is remembered."""
    parser.add_argument(
        "--rehash",
        action="store_true",
        help="read all files of models, whatever hashes are remembered of them",
    )


def add_running(parser: argparse._ActionsContainer) -> None:
    """Declare what every command has that runs variants; :func:`running` reads it."""
    parser.add_argument("--no-cache", action="store_true", help="run anew whatever is stored")
    add_token_budget(parser)
    add_rehash(parser)


def running(options: argparse.Namespace) -> Settings:
    """Return the settings of a command that runs variants.

    Raises:
        ConfigError: an option has a wrong value.
    """
    from pytest_modellab.lab.settings import Settings
    from pytest_modellab.store.place import default_folder

    return Settings(
        cache=default_folder(),
        reuse=not options.no_cache,
        rehash=options.rehash,
        token_budget=token_budget(options),
    )


def find_config(named: Path | None) -> LabConfig | None:
    """Read the named ``modellab.toml``, or the one in or above this folder, or in ``suites/``.

    Raises:
        ConfigError: the file is missing or wrong.
    """
    path = named or find([Path.cwd()], Path.cwd())
    return configuration.load(path) if path is not None else None


def required_config(named: Path | None) -> LabConfig:
    """As :func:`find_config`, where the command cannot do without.

    Raises:
        ConfigError: there is none, or it is wrong.
    """
    found = find_config(named)
    if found is None:
        below = sorted(p for depth in ("*", "*/*") for p in Path().glob(f"{depth}/{FILE_NAME}"))
        which = " or ".join(f"--config {shlex.quote(str(path))}" for path in below[:_SHOWN])
        raise ConfigError(
            f"no {FILE_NAME} here or in suites/; name one: {which or '--config PATH'}"
            + (" …" if len(below) > _SHOWN else "")
        )
    return found


def discover(config: LabConfig | None) -> Extensions:
    """Find the kinds, scorers and recipes that plugins and the configuration's conftest.py add.

    pytest itself looks for them, so that a command knows what a test run knows: it is started on
    the configuration's folder, with the project's ini file but without extra options (addopts),
    and stopped before it configures a session, collects or prints anything.

    Args:
        config: as read, or None for the built-in ones.

    Returns:
        All there are.

    Raises:
        ConfigError: a hook returned something else than it should, or a conftest.py fails.
    """
    from pytest_modellab.lab import registry

    if config is None:
        return registry.BUILT_IN
    import pytest

    found: list[registry.Extensions] = []

    class Ask:
        @pytest.hookimpl(tryfirst=True)
        def pytest_cmdline_main(self, config: pytest.Config) -> int:
            found.append(registry.collect(config.hook))
            return EXIT_OK

    options = "-p modellab -p no:warnings -o addopts= --assert=plain --capture=no".split()
    with _unset("PYTEST_ADDOPTS"), contextlib.redirect_stdout(sys.stderr):  # what conftest prints
        code = pytest.main([str(config.root), *options], plugins=[Ask()])
    if not found:
        raise ConfigError(
            f"{config.root}: pytest cannot be asked what plugins and conftest.py add (exit code "
            f"{int(code)}); what keeps it stands above"
        )
    return found[0]


@contextlib.contextmanager
def _unset(name: str) -> Iterator[None]:
    """Take a variable out of the environment for a while."""
    value = os.environ.pop(name, None)
    try:
        yield
    finally:
        if value is not None:
            os.environ[name] = value


def chosen(what: str, names: Iterable[str], declared: Collection[str]) -> tuple[str, ...]:
    """Check names given on the command line; each once, in the order given.

    Raises:
        ConfigError: one is not declared; the near misses are named.
    """
    found = tuple(dict.fromkeys(names))
    for name in found:
        if name not in declared:
            raise ConfigError(f"unknown {what} {name!r}; {near_misses(name, declared)}")
    return found
