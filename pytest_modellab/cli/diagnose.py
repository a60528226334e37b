"""``modellab diagnose``: which part of a candidate is damaged, and the proof."""

from __future__ import annotations

import argparse
import dataclasses
import json
import shlex
import sys
from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_modellab.cli.common import (
    EXIT_FOUND,
    EXIT_INTERRUPTED,
    EXIT_OK,
    Subparsers,
    add_config,
    add_rehash,
    chosen,
    complete,
    discover,
    find_config,
    save,
    say,
)
from pytest_modellab.errors import DiagnosisError, near_misses
from pytest_modellab.records.diagnosis import LONG, MOST_TOKENS, TOKENS
from pytest_modellab.records.reading import decimal
from pytest_modellab.store import atomic

if TYPE_CHECKING:
    from pytest_modellab.config.lab_config import LabConfig
    from pytest_modellab.lab.diagnosing import Diagnosing
    from pytest_modellab.lab.lab import Lab
    from pytest_modellab.lab.pair import Asked, Pair
    from pytest_modellab.lab.resolved import Resolved
    from pytest_modellab.observatory.tokens import Tokens
    from pytest_modellab.observatory.training import Training
    from pytest_modellab.store.diagnoses import Examined

_DESCRIPTION = """\
Compare a candidate with its base, part by part, name the part that is damaged and prove it by
putting the base's part back. Names are variants of modellab.toml, or folders of models. Exits with
0 where nothing is named, with 1 where a part is, with 2 where the two cannot be examined. How to
read it: docs/observatory.md."""


def add(commands: Subparsers) -> None:
    """Declare the command."""
    diagnose = commands.add_parser(
        "diagnose",
        help="which part of a candidate is damaged, and the proof",
        description=_DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    diagnose.add_argument(
        "base",
        nargs="?",
        metavar="BASE",
        help="a variant or a folder (default: the variant that the candidate adapts)",
    )
    diagnose.add_argument("candidate", nargs="?", metavar="CANDIDATE", help="a variant or a folder")
    diagnose.add_argument(
        "--training",
        type=Path,
        metavar="LOG",
        help="examine a training run in place of models: a folder with trainer_state.json or with "
        "checkpoints, CSV or JSON lines; exits with 1 where something went wrong",
    )
    diagnose.add_argument(
        "--tokenizer",
        type=Path,
        metavar="FOLDER",
        help="measure a tokenizer in place of models, by language and, with --task-set, by "
        "capability; BASE is a folder whose vocabulary is compared",
    )
    asked = diagnose.add_argument_group("what is asked")
    add_config(asked)
    asked.add_argument(
        "--task-set",
        metavar="NAME",
        help="ask the samples that flipped, running what is missing (default: the first task set "
        "that both were run on, else built-in texts)",
    )
    asked.add_argument(
        "--adapter",
        type=Path,
        metavar="FOLDER",
        help="what was merged into BASE to make CANDIDATE, a folder: says whether it is in once",
    )
    asked.add_argument(
        "--tokens", type=_count, default=TOKENS, metavar="N", help=f"in all (default: {TOKENS})"
    )
    asked.add_argument(
        "--long",
        type=_count,
        default=LONG,
        metavar="N",
        help=f"width of the one long window (default: {LONG})",
    )
    asked.add_argument(
        "--budget",
        type=_seconds,
        metavar="SECONDS",
        help="what is not needed for a name is left out after so long",
    )
    asked.add_argument("--no-cache", action="store_true", help="examine anew whatever is stored")
    add_rehash(asked)
    out = diagnose.add_argument_group("reports")
    for name, what in (
        ("html", "write one page with the pictures"),
        ("json", "write every figure as JSON"),
        ("markdown", "write it for a pull request"),
        ("bundle", "write what reproduces it elsewhere, for modellab replay; no weights"),
    ):
        out.add_argument(f"--{name}", type=Path, metavar="FILE", help=what)
    complete(diagnose, variants="base candidate", task_sets="task_set")
    diagnose.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Run the command; returns its exit code.

    Raises:
        ModellabError: the two cannot be examined, or a report cannot be written.
    """
    from pytest_modellab.lab import put_back
    from pytest_modellab.lab.diagnosing import Limits

    if options.training is not None:
        return _training(options)
    if options.tokenizer is not None:
        return _tokenizer(options)
    if options.candidate is None:  # one name alone is the candidate's
        options.base, options.candidate = None, options.base
    if options.candidate is None:
        raise DiagnosisError("name a candidate: modellab diagnose [BASE] CANDIDATE")
    with remembering(rehash=options.rehash):
        lab, pair = _pair(options)
    asked = _asked(options, lab, pair)
    if options.bundle is not None and put_back.parts(pair):
        raise DiagnosisError(
            f"--bundle: {pair.candidate.name} is made of parts, which are put back by the variants "
            "of a modellab.toml: commit that, and run the same command elsewhere"
        )
    limits = Limits(options.budget, reuse=not options.no_cache)
    try:
        found = examining_of(lab).examine(pair, asked, limits)
    except KeyboardInterrupt:
        say("modellab: interrupted; nothing of the diagnosis is kept", error=True)
        return EXIT_INTERRUPTED
    unwritten = _write(options, found)
    if options.bundle is not None:
        unwritten += _bundle(options.bundle, found, pair, asked, lab)
    _print(options, found)
    if unwritten:
        raise DiagnosisError("; ".join(unwritten))
    return EXIT_OK if found.diagnosis.culprit is None else EXIT_FOUND


def _training(options: argparse.Namespace) -> int:
    """Examine the log of a training run."""
    from pytest_modellab.observatory import curve, training
    from pytest_modellab.reports.text import training as words

    if _given(options, "base", "tokenizer", "task_set"):
        raise DiagnosisError("--training LOG stands alone, or beside --json FILE")
    found = training.examine(curve.read(options.training))
    _tell(options, found, words.text(found, str(options.training)).splitlines())
    return EXIT_FOUND if found.events else EXIT_OK


def _tokenizer(options: argparse.Namespace) -> int:
    """Measure a tokenizer by itself."""
    from pytest_modellab.engines.language.base import load_tokenizer
    from pytest_modellab.observatory import tokens

    if _given(options, "candidate"):
        raise DiagnosisError(
            "--tokenizer FOLDER stands alone, or beside one other FOLDER, --task-set NAME and "
            "--json FILE"
        )
    groups: dict[str, list[str]] = {}
    if options.task_set is not None:
        config = find_config(options.config)
        known = {} if config is None else config.task_sets
        chosen("task set", [options.task_set], known)
        if config is not None:
            for sample in lab_of(config).task_set(options.task_set).samples:
                groups.setdefault(sample.capability, []).append(sample.input)
    folders = [options.tokenizer, *([] if options.base is None else [Path(options.base)])]
    for folder in folders:
        if not folder.is_dir():
            raise DiagnosisError(f"--tokenizer: {folder} is no folder of a model")
    loaded = [load_tokenizer(folder, trust_remote_code=False) for folder in folders]
    found = tokens.measure(loaded[0], groups, *loaded[1:])
    rare = loaded[0].convert_ids_to_tokens(list(tokens.rare_rows(tokens.norms(folders[0]))))
    _tell(options, found, tokens.words(found, [str(one) for one in rare]))
    return EXIT_OK


def _given(options: argparse.Namespace, *names: str) -> bool:
    """Whether something was asked for that only two models have, or one of the names."""
    others = ("adapter", "html", "markdown", "bundle", *names)
    return any(getattr(options, name) is not None for name in others)


def _tell(options: argparse.Namespace, found: Tokens | Training, lines: Sequence[str]) -> None:
    """Write the figures where they were asked for, and print what they say."""
    unwritten = []
    if options.json is not None:
        unwritten = save({options.json: json.dumps(dataclasses.asdict(found), indent=1) + "\n"})
    say(*lines)
    if unwritten:
        raise DiagnosisError("; ".join(unwritten))


def _pair(options: argparse.Namespace) -> tuple[Lab | None, Pair]:
    """Look up the two models: variants by their names, everything else as a folder."""
    from pytest_modellab.lab import examining
    from pytest_modellab.lab.pair import Pair

    config = find_config(options.config)
    lab = None if config is None else lab_of(config, rehash=options.rehash)
    known = {} if config is None else config.variants
    if options.base is None:
        if lab is None or options.candidate not in known:
            raise DiagnosisError(
                f"{options.candidate!r} is no variant of a modellab.toml, so that its base is not "
                f"known: name it too, modellab diagnose BASE {shlex.quote(options.candidate)}"
            )
        found = examining.pair(lab, options.candidate)
    else:
        base = _resolved(options.base, lab, None)
        found = Pair(base, _resolved(options.candidate, lab, base))
    return lab, found if options.adapter is None else _with_adapter(options, found)


def _with_adapter(options: argparse.Namespace, found: Pair) -> Pair:
    """Declare that the candidate is the base with an adapter in its weights."""
    from pytest_modellab.lab import examining
    from pytest_modellab.lab.folders import KIND

    if found.candidate.spec.kind != KIND:
        raise DiagnosisError(
            f"--adapter {options.adapter}: {options.candidate} is a variant, whose own declaration "
            "says what it is made of"
        )
    if options.bundle is not None:
        raise DiagnosisError("--adapter: its weights are in no bundle; leave --bundle out")
    return examining.with_adapter(found, options.adapter)


def lab_of(config: LabConfig, *, rehash: bool = False) -> Lab:
    """Return the lab of a configuration, with what plugins add.

    Args:
        config: as read.
        rehash: believe no hash that is remembered.
    """
    from pytest_modellab.lab.lab import Lab
    from pytest_modellab.lab.settings import Settings
    from pytest_modellab.reports.text.progress import RunProgress
    from pytest_modellab.store.place import default_folder

    settings = Settings(cache=default_folder(), rehash=rehash)
    return Lab(config, settings, RunProgress(sys.stderr), discover(config))


def _resolved(named: str, lab: Lab | None, like: Resolved | None) -> Resolved:
    from pytest_modellab.lab import folders

    known = {} if lab is None else lab.config.variants
    if lab is not None and named in known:
        return lab.variant(named)
    if not Path(named).expanduser().exists():
        hint = f"; {near_misses(named, known)}" if known else ""
        raise DiagnosisError(
            f"{named!r} is neither a variant nor a folder of a model that is there{hint}"
        )
    return folders.resolve(named, like)


def remembering(*, rehash: bool) -> AbstractContextManager[None]:
    """Have hashes remembered of folders that no configuration declares."""
    from pytest_modellab.store.hashes import Memory
    from pytest_modellab.store.place import default_folder

    return Memory(default_folder(), anew=rehash).used()


def examining_of(lab: Lab | None) -> Diagnosing:
    """Return what examines, with a lab or without."""
    if lab is not None:
        return lab.diagnosing
    from pytest_modellab.lab.diagnosing import Diagnosing
    from pytest_modellab.lab.registry import BUILT_IN
    from pytest_modellab.reports.text.progress import RunProgress
    from pytest_modellab.store.place import default_folder

    return Diagnosing(default_folder(), BUILT_IN, watch=RunProgress(sys.stderr))


def _asked(options: argparse.Namespace, lab: Lab | None, pair: Pair) -> Asked:
    from pytest_modellab.lab import examining
    from pytest_modellab.lab.pair import Asked

    if lab is None:
        if options.task_set is not None:
            raise DiagnosisError(
                f"--task-set {options.task_set}: there is no modellab.toml here or in suites/ that "
                "declares it; name one: --config PATH"
            )
        return Asked(tokens=options.tokens, long=options.long)
    if options.task_set is not None:
        chosen("task set", [options.task_set], lab.config.task_sets)
    return examining.asked(
        lab,
        pair,
        options.task_set,
        run=options.task_set is not None,
        tokens=options.tokens,
        long=options.long,
    )


def _write(options: argparse.Namespace, found: Examined) -> list[str]:
    """Write what was asked for; returns what could not be written."""
    from pytest_modellab.records import diagnosed
    from pytest_modellab.reports.text import diagnosis as words

    files: dict[Path, str] = {}
    if options.json is not None:
        files[options.json] = diagnosed.to_json(found.diagnosis, most=None) + "\n"
    if options.markdown is not None:
        files[options.markdown] = words.markdown(found.diagnosis)
    if options.html is not None:
        from pytest_modellab.reports.page import diagnosis as page

        files[options.html] = page.render(found.diagnosis)
    return save(files)


def _bundle(path: Path, found: Examined, pair: Pair, asked: Asked, lab: Lab | None) -> list[str]:
    """Write what reproduces it elsewhere; returns what could not be written."""
    from pytest_modellab.lab import bundle

    places = () if lab is None else (lab.config.root, lab.settings.cache)
    try:
        atomic.write_bytes(path, bundle.write(found, pair, asked, places))
    except OSError as error:
        return [f"{path}: cannot be written: {error.strerror}"]
    models = "" if lab is not None else " --base FOLDER --candidate FOLDER"
    say(f"wrote {path}; elsewhere: modellab replay {shlex.quote(path.name)}{models}", error=True)
    return []


def _print(options: argparse.Namespace, found: Examined) -> None:
    from pytest_modellab.reports.text import diagnosis as words

    report = next((str(path) for path in (options.html, options.markdown) if path is not None), "")
    say(*words.text(found.diagnosis, report).splitlines())


def _count(text: str) -> int:
    if not text.isascii() or not text.isdigit() or not 0 < int(text) <= MOST_TOKENS:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number from 1 to {MOST_TOKENS}")
    return int(text)


def _seconds(text: str) -> float:
    try:
        found = decimal(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
    if found < 0:
        raise argparse.ArgumentTypeError(f"{text!r} is less than 0 seconds")
    return found
