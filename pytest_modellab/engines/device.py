"""What a device is called, and how much of its memory a model takes."""

from __future__ import annotations


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
