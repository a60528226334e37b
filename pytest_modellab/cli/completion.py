"""``modellab completion``: a script by which a shell completes commands and their options."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping

from pytest_modellab.cli.common import EXIT_OK, Subparsers

_BASH = """\
_modellab() {
    local cur=${COMP_WORDS[COMP_CWORD]} words=""
    case "${COMP_WORDS[1]}${COMP_WORDS[2]:+ ${COMP_WORDS[2]}}" in
%s    esac
    [ "$COMP_CWORD" -eq 1 ] && words="%s"
    COMPREPLY=($(compgen -W "$words" -- "$cur"))
}
complete -o default -F _modellab modellab
"""


_ZSH = """\
#compdef modellab
autoload -U +X bashcompinit && bashcompinit
"""


def add(commands: Subparsers) -> None:
    """Declare the command."""
    completion = commands.add_parser(
        "completion",
        help="print a script that completes commands and options in a shell",
        description="Prints a script; docs/editors.md says where each shell looks for it.",
    )
    completion.add_argument("shell", choices=("bash", "zsh", "fish"))
    completion.set_defaults(run=run, commands=commands)


def run(options: argparse.Namespace) -> int:
    """Run the command; returns its exit code."""
    words = dict(_words(options.commands.choices))
    names = " ".join(options.commands.choices)
    if options.shell == "fish":
        print(f"complete -c modellab -n __fish_use_subcommand -f -a '{names}'")
        for name, found in words.items():
            first = name.partition(" ")[0]
            print(f"complete -c modellab -n '__fish_seen_subcommand_from {first}' -a '{found}'")
        return EXIT_OK
    # the longer name first: `tasks check` before `tasks`
    cases = (f'        "{name}"*) words="{found}" ;;\n' for name, found in reversed(words.items()))
    head = _ZSH if options.shell == "zsh" else ""
    print(head + _BASH % ("".join(cases), names), end="")
    return EXIT_OK


def _words(
    commands: Mapping[str, argparse.ArgumentParser], before: str = ""
) -> Iterator[tuple[str, str]]:
    """Each command with what may come after it."""
    for name, parser in commands.items():
        found: list[str] = []
        inner: Mapping[str, argparse.ArgumentParser] = {}
        for action in parser._actions:  # noqa: SLF001 - argparse has no other way
            if isinstance(action, argparse._SubParsersAction):  # noqa: SLF001
                inner = action.choices
            found += action.option_strings or map(str, action.choices or ())
        yield f"{before}{name}", " ".join(found)
        yield from _words(inner, f"{before}{name} ")
