"""Work beside a session that leaves the process as it was: threads, and what draws at random."""

from __future__ import annotations

import contextlib
import random
import sys
import warnings
from collections.abc import Iterator


@contextlib.contextmanager
def untouched() -> Iterator[None]:
    """Put back, whatever happens, what other people's tests may draw from or compute with.

    Warnings of libraries are not shown meanwhile: where a session makes them errors, one would end
    work that nobody's test asked for.
    """
    with contextlib.ExitStack() as restore:
        restore.enter_context(warnings.catch_warnings())
        warnings.simplefilter("ignore")
        restore.callback(random.setstate, random.getstate())
        numpy, torch = sys.modules.get("numpy"), sys.modules.get("torch")
        if numpy is not None:
            restore.callback(numpy.random.set_state, numpy.random.get_state())
        if torch is not None:
            restore.callback(torch.set_num_threads, torch.get_num_threads())
            restore.callback(torch.set_grad_enabled, torch.is_grad_enabled())
            restore.callback(torch.set_default_dtype, torch.get_default_dtype())
            devices = range(torch.cuda.device_count()) if torch.cuda.is_initialized() else ()
            restore.enter_context(torch.random.fork_rng(devices=[*devices]))
        yield
