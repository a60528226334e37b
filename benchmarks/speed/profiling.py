"""What a GPU does while samples are scored: busy share, kernels, the host's part."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any


def kernels(work: Callable[[], Any]) -> dict[str, float]:
    """Watch some work by torch's profiler.

    Returns:
        ``wall`` and ``busy`` in seconds (of all kernels together), and the number of ``kernels``.
    """
    import torch
    from torch.profiler import ProfilerActivity, profile

    with profile(activities=[ProfilerActivity.CUDA]) as watched:
        begun = time.perf_counter()
        work()
        torch.cuda.synchronize()
        wall = time.perf_counter() - begun
    events = [one for one in watched.events() if one.device_type == torch.autograd.DeviceType.CUDA]
    busy = sum(one.device_time for one in events if not one.name.startswith("Memset")) / 1e6
    return {"wall": wall, "busy": busy, "kernels": float(len(events))}
