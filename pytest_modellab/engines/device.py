"""Whether a device is there, what it is called, and how much of its memory a model takes."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import re
from collections.abc import Iterator
from pathlib import Path

from pytest_modellab.errors import ModelError, VariantLoadError

WORKER = "PYTEST_XDIST_WORKER"
"""Where pytest-xdist tells a worker its name, as ``gw1``."""


@dataclasses.dataclass(frozen=True)
class Place:
    """Where a model lies.

    Attributes:
        name: the same for whoever means it, however it is declared: a GPU's UUID.
        number: of a GPU, as torch counts those that are visible; None of all else.
    """

    name: str
    number: int | None = None


def ready(device: str) -> None:
    """Make a device the one that torch computes on, before a model is read.

    A worker of pytest-xdist that is to take ``cuda`` takes its own of several GPUs, or the one that
    it has taken before (see :mod:`.turns`).

    Args:
        device: as declared: ``cpu``, ``cuda``, ``cuda:1`` …

    Raises:
        VariantLoadError: it is not there; the message says what is missing.
    """
    if numbers := [] if device == "cpu" else _gpus(device, os.environ.get(WORKER, "")):
        use(Place(device, numbers[0]))


def places(device: str, worker: str) -> tuple[Place, ...]:
    """Return where a model may be put, the best place first.

    Args:
        device: as declared, not the processor.
        worker: name of the pytest-xdist worker.

    Raises:
        VariantLoadError: as :func:`ready`.
    """
    if not (numbers := _gpus(device, worker)):
        return (Place(device),)
    import torch

    uuids = [str(torch.cuda.get_device_properties(number).uuid) for number in numbers]
    return tuple(map(Place, uuids, numbers))


def gpus(devices: Path = Path("/dev")) -> int | None:
    """Count the GPUs that are visible, without torch, which takes seconds; None where none is seen.

    Args:
        devices: where the system lists what drivers offer.
    """
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        return len([one for one in visible.split(",") if one.strip() not in ("", "-1")]) or None
    return len([*devices.glob("nvidia[0-9]*")]) or None


def use(place: Place) -> None:
    """Let torch compute on a GPU; nothing is to be done for another place."""
    if place.number is not None:
        import torch

        torch.cuda.set_device(place.number)


def exact(device: str) -> str:
    """Return the name of the GPU that ``cuda`` means now, after :func:`ready`; others as they are.

    transformers and CTranslate2 take the first GPU for ``cuda``, whichever torch computes on.

    Args:
        device: as declared.
    """
    if device != "cuda":
        return device
    try:
        import torch
    except ImportError:  # CTranslate2 does without
        return device
    return f"cuda:{torch.cuda.current_device()}"


def _gpus(device: str, worker: str) -> list[int]:
    """The GPUs that are meant, the best one first; none of what is no GPU of CUDA's.

    Raises:
        VariantLoadError: none is there.
    """
    try:
        import torch
    except ImportError:  # what needs it has said so; an engine of a plugin may do without
        return []
    try:
        asked = torch.device(device)
    except RuntimeError as error:
        raise VariantLoadError(
            f'device: {device!r} is none that torch knows: "cpu", "cuda", or "cuda:1" for the '
            f"second of several GPUs ({str(error).splitlines()[0]})"
        ) from error
    if asked.type != "cuda":
        return []
    if not torch.backends.cuda.is_built():
        raise VariantLoadError(
            f"device = {device!r}: this torch ({torch.__version__}) was built without CUDA: "
            'install the build for your driver (pytorch.org/get-started), or set device = "cpu"'
        )
    count = torch.cuda.device_count()
    if not count:
        raise VariantLoadError(
            f"device = {device!r}: torch finds no GPU ({_refusal()}): see nvidia-smi and "
            'CUDA_VISIBLE_DEVICES, or set device = "cpu"'
        )
    first = index(device, asked.index, count, worker)
    if asked.index is not None or not worker:
        return [first]
    if torch.cuda.is_initialized():  # it has memory there already
        first = torch.cuda.current_device()
    return [(first + further) % count for further in range(count)]


def index(device: str, asked: int | None, count: int, worker: str) -> int:
    """Return which GPU is meant; workers that may take any spread over all.

    Args:
        device: as declared.
        asked: the number in it, or None.
        count: how many GPUs there are.
        worker: name of the pytest-xdist worker, or empty.

    Raises:
        VariantLoadError: there is none of that number.
    """
    if asked is None:
        number = re.fullmatch(r"gw(\d+)", worker)
        return int(number[1]) % count if number else 0
    if asked >= count:
        there = "cuda:0" if count == 1 else f"cuda:0 to cuda:{count - 1}"
        raise VariantLoadError(
            f'device = {device!r}: torch finds {there}: set one of them, or "cuda" for any'
        )
    return asked


def _refusal() -> str:
    """What torch says of a driver that it cannot use."""
    import torch

    try:
        torch.cuda.init()
    except (AssertionError, RuntimeError) as error:
        return str(error).strip().splitlines()[0]
    return "0 are visible"


@contextlib.contextmanager
def fitting(device: str, folder: Path) -> Iterator[None]:
    """Say how full a GPU was where a model that is loaded finds no room on it.

    Raises:
        ModelError: in place of torch's error.
    """
    import torch

    free, total = torch.cuda.mem_get_info() if device.startswith("cuda") else (0, 0)
    try:
        yield
    except torch.OutOfMemoryError as error:
        raise ModelError(no_room(device, folder, free, total)) from error


def no_room(device: str, folder: Path, free: int, total: int) -> str:
    """Return what is said of a model for which a device has no room.

    Args:
        device: as declared.
        folder: the model's.
        free: bytes that were free before it was loaded.
        total: bytes that the device has.
    """
    held = sum(file.stat().st_size for file in folder.iterdir() if file.is_file())
    return (
        f"{folder}: no room on {device!r}: of its {total / 1e9:.1f} GB {free / 1e9:.1f} were free, "
        f"and the model's files hold {held / 1e9:.1f}: end what else is on it (nvidia-smi lists "
        "the processes), choose another GPU, or set a smaller dtype"
    )


def full_name(device: str) -> str:
    """Return the name that a price or a reader knows a device by: ``NVIDIA H100 80GB HBM3``.

    Args:
        device: where a model lies: ``cpu``, ``cuda`` …
    """
    if not device.startswith("cuda"):
        return device
    import torch

    return str(torch.cuda.get_device_name())


def forget_peak(device: str) -> None:
    """Forget the most memory that was held on a device so far."""
    if device.startswith("cuda"):
        import torch

        torch.cuda.reset_peak_memory_stats()


def peak(device: str) -> dict[str, float]:
    """Return ``peak_device_bytes``, what torch had allocated at most; empty on the CPU."""
    if not device.startswith("cuda"):
        return {}
    import torch

    return {"peak_device_bytes": float(torch.cuda.max_memory_allocated())}
