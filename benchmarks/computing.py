"""How a run is computed, beside what is run: batches, order, threads, dtype."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator

from pytest_modellab.engines.budget import DEFAULT_BUDGET


@dataclasses.dataclass(frozen=True)
class Setting:
    """How a run is computed: tokens a batch, seed of the order, threads, dtype, and tf32."""

    budget: int = DEFAULT_BUDGET
    order: int | None = None
    threads: int | None = None
    dtype: str = "float32"
    tf32: bool = False

    def __str__(self) -> str:
        order = "" if self.order is None else f", order {self.order}"
        threads = "" if self.threads is None else f", {self.threads} threads"
        return f"{'tf32' if self.tf32 else self.dtype}, {self.budget} tokens{order}{threads}"


@contextlib.contextmanager
def computing(setting: Setting) -> Iterator[None]:
    """Compute with a setting's threads and its tf32, and as before behind it."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(setting.threads or threads)
    torch.backends.cuda.matmul.allow_tf32 = setting.tf32
    try:
        yield
    finally:
        torch.backends.cuda.matmul.allow_tf32 = False
        torch.set_num_threads(threads)
