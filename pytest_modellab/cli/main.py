"""The ``modellab`` command. Thin: it reads arguments and calls the command's own file."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Sequence

from pytest_modellab.cli import (
    accept,
    build,
    cache,
    canary,
    card,
    compare,
    completion,
    diagnose,
    diff,
    forecast,
    gate,
    history,
    init,
    plan,
    replay,
    report,
    review,
    run,
    schema,
    tasks,
)
from pytest_modellab.cli.common import EXIT_INTERRUPTED, EXIT_OK, EXIT_USAGE, Parser, say
from pytest_modellab.engines import environment, heavy
from pytest_modellab.errors import BaselineMissing, ModellabError
from pytest_modellab.store import said
from pytest_modellab.version import __version__

COMMANDS = (
    accept,
    build,
    cache,
    canary,
    card,
    compare,
    completion,
    diagnose,
    diff,
    forecast,
    gate,
    history,
    init,
    plan,
    replay,
    report,
    review,
    run,
    schema,
    tasks,
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command.

    Args:
        arguments: without the program's name; None takes ``sys.argv``.

    Returns:
        0 where all is well, 1 where something was found or is blocked, 2 where the call or a file
        is wrong, a file or the output cannot be written, or modellab itself fails, 3 where a
        verdict is inconclusive and that was asked to count, 130 where it was interrupted.
    """
    from pytest_modellab.reports.text.output import guarded

    with guarded() as out:
        code = _run(arguments)
    return EXIT_USAGE if code == EXIT_OK and out.lost is not None else code


def parser() -> Parser:
    """Return what reads the arguments of all commands."""
    found = Parser(prog="modellab", description="The gate for adapted models.")
    found.add_argument("--version", action="version", version=f"modellab {__version__}")
    subparsers = found.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for command in COMMANDS:
        command.add(subparsers)
    return found


def _run(arguments: Sequence[str] | None) -> int:
    options = parser().parse_args(arguments)
    environment.share()
    try:
        with (
            said.listening(lambda text: say(f"note: {text}", error=True)),
            heavy.quiet(),
            heavy.spoken(lambda text: say(text, error=True)),
            said.waiting(lambda text: say(text, error=True)),
        ):
            code: int = options.run(options)
    except (BaselineMissing, ModellabError) as error:
        print(f"modellab: {error}", file=sys.stderr)
        return EXIT_USAGE
    except KeyboardInterrupt:
        print("\nmodellab: interrupted; answers so far are stored", file=sys.stderr)
        return EXIT_INTERRUPTED
    except OSError as error:
        print(f"modellab: {error}", file=sys.stderr)
        return EXIT_USAGE
    except Exception:  # noqa: BLE001 - Python's own exit code would be that of a block
        traceback.print_exc()
        print("modellab: stopped by an error of its own, see above; no verdict", file=sys.stderr)
        return EXIT_USAGE
    return code
