"""An artefact appears whole or not at all, with its provenance."""

from __future__ import annotations

import dataclasses
import os
import secrets
import shutil
import tempfile
from pathlib import Path

from pytest_modellab.errors import ModellabError
from pytest_modellab.recipes import provenance
from pytest_modellab.recipes.provenance import Provenance
from pytest_modellab.recipes.recipe import Order, Outcome, Recipe
from pytest_modellab.records.hashing import digest


def make(recipe: Recipe, order: Order, destination: Path) -> Provenance:
    """Carry out an order and put the result in its place.

    Args:
        recipe: how.
        order: what; its ``output`` is chosen here.
        destination: the artefact's folder; one that is there is replaced after success.

    Returns:
        The provenance that now lies in the folder.

    Raises:
        ModellabError: training failed, or the folder cannot be written; what was there is still
            there, and checkpoints wait in ``order.work``.
    """
    from filelock import FileLock, Timeout

    order.work.parent.mkdir(parents=True, exist_ok=True)
    lock = order.work.parent / f"{digest(str(destination.resolve()))[:16]}.lock"
    try:
        with FileLock(lock, timeout=0):
            return _make(recipe, order, destination)
    except Timeout as error:
        raise ModellabError(f"{destination}: another process is building it") from error


def _make(recipe: Recipe, order: Order, destination: Path) -> Provenance:
    dots = destination.name.count(".") + 3
    try:
        destination.parent.mkdir(parents=True, exist_ok=True)
        for leftover in destination.parent.glob(f".{destination.name}.*.build"):  # of a kill
            if leftover.name.count(".") == dots:  # not of "name.other"
                shutil.rmtree(leftover, ignore_errors=True)
        temporary = destination.with_name(f".{destination.name}.{secrets.token_hex(4)}.build")
        temporary.mkdir()
        mode = temporary.stat().st_mode & 0o777  # as the umask says
    except OSError as error:
        raise ModellabError(f"{destination}: cannot be written: {error.strerror}") from error
    try:
        outcome = train(recipe, dataclasses.replace(order, output=temporary))
        made = provenance.of(recipe, order, outcome)
        provenance.write(temporary, made)
        for path in (temporary, *temporary.rglob("*")):  # some writers make theirs private
            path.chmod(mode if path.is_dir() else mode & 0o666)
        _replace(temporary, destination)
    except OSError as error:
        raise ModellabError(
            f"{destination}: {error}; checkpoints are kept in {order.work}"
        ) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    shutil.rmtree(order.work, ignore_errors=True)
    return made


def train(recipe: Recipe, order: Order) -> Outcome:
    """Carry out an order in its output folder, quietly and with deterministic kernels."""
    from pytest_modellab.recipes.training import calm, deterministic

    with deterministic(order.device), calm():
        return recipe.train(order)


def _replace(new: Path, destination: Path) -> None:
    """Rename ``new`` to ``destination``, whose old content goes after that."""
    if not destination.exists():
        os.replace(new, destination)
        return
    old = Path(tempfile.mkdtemp(dir=destination.parent, prefix=f".{destination.name}.old."))
    os.replace(destination, old / destination.name)
    try:
        os.replace(new, destination)
    except BaseException:
        os.replace(old / destination.name, destination)
        raise
    finally:
        shutil.rmtree(old, ignore_errors=True)
