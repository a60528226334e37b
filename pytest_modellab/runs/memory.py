"""How much memory a model takes while it answers."""

from __future__ import annotations

import contextlib
import re
from pathlib import Path

from pytest_modellab.engines import device as devices

_STATUS, _CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def begin(device: str) -> None:
    """Forget the highest use so far.

    Args:
        device: where the model lies: ``cpu``, ``cuda`` …
    """
    with contextlib.suppress(OSError):
        _CLEAR.write_text("5", encoding="ascii")  # proc(5): resets the peak resident set size
    devices.forget_peak(device)


def peaks(device: str) -> dict[str, float]:
    """The highest use since :func:`begin`.

    Args:
        device: where the model lies.

    Returns:
        ``peak_host_bytes``, the whole process with its libraries, where the system tells; and
        ``peak_device_bytes``, what torch had allocated on the device, where there is one.
    """
    found: dict[str, float] = {}
    with contextlib.suppress(OSError):
        if line := re.search(r"VmHWM:\s+(\d+) kB", _STATUS.read_text(encoding="ascii")):
            found["peak_host_bytes"] = 1024.0 * int(line[1])
    return found | devices.peak(device)
