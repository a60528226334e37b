"""``modellab completion``: a script by which a shell completes commands, options and names."""

from __future__ import annotations

import argparse
import dataclasses
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path

from pytest_modellab.cli.common import EXIT_OK, TABLES, Subparsers, table_of
from pytest_modellab.config.find import find
from pytest_modellab.config.read import NAME
from pytest_modellab.errors import ConfigError

_BYTES = 1_000_000
"""Of a modellab.toml that names are taken from, at most: a key was pressed."""


_WORDS = """\
# prints what may follow; arguments: the program, the command, the word before
_modellab_words() {
    local found="" table=""
    case "$2" in
%s    esac
    echo "$found"
    if [ -n "$table" ]; then "$1" completion --names "$table" 2>/dev/null; fi
}
"""


_BASH = """\
_modellab() {
    local cur=${COMP_WORDS[COMP_CWORD]} last=${COMP_WORDS[COMP_CWORD-1]} words=""
    if [ "$cur" = "=" ]; then
        cur=""
    elif [ "$last" = "=" ]; then
        last=${COMP_WORDS[COMP_CWORD-2]}
    fi
    if [ "$COMP_CWORD" -eq 1 ]; then
        words="%s"
    else
        words=$(_modellab_words "${COMP_WORDS[0]/#\\~/$HOME}" "${COMP_WORDS[*]:1:2}" "$last")
    fi
    COMPREPLY=($(compgen -W "$words" -- "$cur"))
}
complete -o default -F _modellab modellab
"""


_ZSH = """\
_modellab() {
    local -a found
    if (( CURRENT == 2 )); then
        found=(%s)
    else
        found=($(_modellab_words "${words[1]/#\\~/$HOME}" "${words[2,3]}" "${words[CURRENT-1]}"))
    fi
    compadd -- $found || _files
}
if [ "$funcstack[1]" = _modellab ]; then _modellab "$@"; else compdef _modellab modellab; fi
"""


@dataclasses.dataclass(frozen=True)
class _Option:
    """An option that takes a value: its choices, or the table that declares what it names."""

    strings: tuple[str, ...]
    choices: str
    table: str


@dataclasses.dataclass(frozen=True)
class _Command:
    """A command with what may come after it: words, and names that a table declares."""

    name: str
    words: str
    table: str
    options: tuple[_Option, ...]


def add(commands: Subparsers) -> None:
    """Declare the command."""
    completion = commands.add_parser(
        "completion",
        help="print a script that completes commands, options and names in a shell",
        description="Prints a script; docs/editors.md says where each shell looks for it. Names of "
        "variants and task sets are those of the modellab.toml that the command would read.",
    )
    completion.add_argument("shell", choices=("bash", "zsh", "fish"), nargs="?")
    completion.add_argument("--names", choices=TABLES, help=argparse.SUPPRESS)  # for the scripts
    completion.set_defaults(run=run, commands=commands)


def run(options: argparse.Namespace) -> int:
    """Run the command; returns its exit code."""
    if options.names is not None:
        print(*names(options.names), sep="\n")
        return EXIT_OK
    if options.shell is None:
        raise ConfigError("completion: for which shell? bash, zsh or fish")
    found = tuple(_commands(options.commands.choices))
    known = " ".join(options.commands.choices)
    if options.shell == "fish":
        print(*_fish(found, known), sep="\n")
        return EXIT_OK
    # the longer name first: `tasks check` before `tasks`
    words = _WORDS % "".join(map(_case, reversed(found)))
    if options.shell == "zsh":
        print(f"#compdef modellab\n{words}{_ZSH % known}", end="")
    else:
        print(words + _BASH % known, end="")
    return EXIT_OK


def names(table: str) -> list[str]:
    """Return the names that the modellab.toml here, or in suites/, declares.

    A shell asks for them at a key press and hands them on to itself: a file that is broken has
    none, and what is no name is left out.

    Args:
        table: one of :data:`TABLES`.
    """
    try:
        path = find([Path.cwd()], Path.cwd())
        if path is None or path.stat().st_size > _BYTES:
            return []
        declared = tomllib.loads(path.read_text(encoding="utf-8")).get(table, {})
    except (OSError, ValueError, RecursionError):
        return []
    given = declared if isinstance(declared, dict) else {}
    return [name for name in given if NAME.fullmatch(name)]


def _commands(
    commands: Mapping[str, argparse.ArgumentParser], before: str = ""
) -> Iterator[_Command]:
    """Each command with what may come after it."""
    for name, parser in commands.items():
        words: list[str] = []
        table = ""
        options = []
        inner: Mapping[str, argparse.ArgumentParser] = {}
        for action in parser._actions:  # noqa: SLF001 - argparse has no other way
            if action.help == argparse.SUPPRESS:
                continue
            if isinstance(action, argparse._SubParsersAction):  # noqa: SLF001
                inner = action.choices
            choices = [str(one) for one in action.choices or ()]
            if not action.option_strings:
                words += choices
                table = table_of(action) or table
            else:
                words += action.option_strings
                if action.nargs != 0:
                    strings = tuple(action.option_strings)
                    options.append(_Option(strings, " ".join(choices), table_of(action)))
        yield _Command(f"{before}{name}", " ".join(words), table, tuple(options))
        yield from _commands(inner, f"{before}{name} ")


def _case(command: _Command) -> str:
    """What may follow a command, as a branch of the script."""
    inner = "".join(
        f"                {'|'.join(one.strings)}) found='{one.choices}' table='{one.table}' ;;\n"
        for one in command.options
    )
    return (
        f"        '{command.name}'|'{command.name} '*)\n"
        f"            found='{command.words}' table='{command.table}'\n"
        + (f'            case "$3" in\n{inner}            esac\n' if inner else "")
        + "            ;;\n"
    )


def _fish(found: tuple[_Command, ...], known: str) -> Iterator[str]:
    """The lines of fish's script."""
    yield f"complete -c modellab -n __fish_use_subcommand -f -a '{known}'"
    for command in found:
        head = f"complete -c modellab -n '__fish_seen_subcommand_from {command.name.split()[-1]}'"
        yield f"{head} -a '{command.words}'"
        if command.table:
            yield f"{head} -a '{_ask(command.table)}'"
        for option in command.options:
            flags = " ".join(
                f"-l {one[2:]}" if one.startswith("--") else f"-s {one[1:]}"
                for one in option.strings
            )
            if values := option.choices or _ask(option.table):
                yield f"{head} {flags} -x -a '{values}'"
            else:
                yield f"{head} {flags} -r"


def _ask(table: str) -> str:
    return f"(modellab completion --names {table} 2>/dev/null)" if table else ""
