"""Words while a library loads that takes seconds, and quiet while a command runs."""

from __future__ import annotations

import contextlib
import importlib.abc
import importlib.machinery
import logging
import os
import sys
import types
import warnings
from collections.abc import Callable, Iterator, Sequence

HEAVY = ("torch", "transformers")
"""What takes seconds to import, on a busy machine a minute."""


BARS = "TQDM_DISABLE"
"""The environment variable that keeps tqdm, which draws all their bars, from drawing."""


class _Watcher(importlib.abc.MetaPathFinder):
    """Finds heavy libraries as Python does, and tells when one begins to load.

    Args:
        say: is told.
    """

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say

    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None,
        target: types.ModuleType | None = None,
    ) -> importlib.machinery.ModuleSpec | None:
        """Find a heavy library; none where another finder has to."""
        if fullname not in HEAVY:
            return None
        spec = importlib.machinery.PathFinder.find_spec(fullname, path, target)
        if spec is None or spec.loader is None:
            return None
        load = spec.loader.exec_module

        def told(module: types.ModuleType) -> None:
            self._say(f"loading {fullname} …")
            load(module)

        vars(spec.loader)["exec_module"] = told  # whoever only asks whether it is there loads none
        return spec


@contextlib.contextmanager
def spoken(say: Callable[[str], None]) -> Iterator[None]:
    """Tell of each heavy library, when it begins to load, meanwhile.

    Args:
        say: takes a line without its end; called before the library is executed.
    """
    watcher = _Watcher(say)
    sys.meta_path.insert(0, watcher)
    try:
        yield
    finally:
        sys.meta_path.remove(watcher)


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keep to themselves what libraries warn of and log below an error, and their bars, meanwhile.

    Filters of warnings stay as they are: one that makes a warning an error still does. Who asks
    for warnings, by ``PYTHONWARNINGS`` or ``python -W``, is shown them.
    """
    logged, shown = logging.root.manager.disable, warnings.showwarning
    unset = BARS not in os.environ
    os.environ.setdefault(BARS, "1")  # tqdm reads it when it is imported
    logging.disable(max(logged, logging.WARNING))
    if not sys.warnoptions:
        warnings.showwarning = _unshown
    try:
        yield
    finally:
        logging.disable(logged)
        if unset:
            os.environ.pop(BARS, None)
        if warnings.showwarning is _unshown:
            warnings.showwarning = shown


def _unshown(*_: object, **__: object) -> None:
    """Show no warning."""
