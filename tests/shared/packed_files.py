"""Models quantized by rounding to nearest and packed as AutoGPTQ and AutoAWQ pack them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

AWQ_ORDER = (0, 2, 4, 6, 1, 3, 5, 7)
"""Which of eight neighbours each four bits of a number hold, from the lowest on."""


def write(
    plain: Path,
    folder: Path,
    method: str,
    *,
    bits: int = 4,
    group_size: int = 16,
    symmetric: bool = True,
    act_order: bool = False,
    file: str = "",
    only: str = "proj",
    said: Mapping[str, Any] = MappingProxyType({}),
) -> dict[str, Any]:
    """Quantize a model's linear layers and write it in a packed layout.

    Args:
        plain: the model's folder.
        folder: is written.
        method: ``gptq`` (zeros are stored less one), ``gptq_v2`` or ``awq``.
        bits: of a weight.
        group_size: inputs that share scale and zero; -1 for all.
        symmetric: zeros are the middle of the range.
        act_order: whether inputs are in groups in another order than they come.
        file: a file for the settings in place of config.json.
        only: what a layer's name holds.
        said: settings in place of the true ones.

    Returns:
        The model's tensors, the quantized ones as they are meant.
    """
    import torch
    from safetensors.torch import load_file, save_file

    shutil.copytree(plain, folder)
    tensors = load_file(folder / "model.safetensors")
    meant, written = dict(tensors), dict(tensors)
    order = torch.Generator().manual_seed(0)
    for name, weight in tensors.items():
        if not name.endswith(".weight") or only not in name or weight.ndim != 2:
            continue
        layer = name.removesuffix(".weight")
        inputs = weight.shape[1]
        size = inputs if group_size == -1 else group_size
        groups = torch.arange(inputs) // size
        if act_order:
            groups = groups[torch.randperm(inputs, generator=order)]
        values, zeros, scales = rounded(weight.T, groups, bits, symmetric=symmetric)
        meant[name] = ((values - zeros[groups]).float() * scales.float()[groups]).T.contiguous()
        del written[name]
        written[f"{layer}.scales"] = scales
        if method == "awq":
            written[f"{layer}.qweight"] = packed(ordered(values), bits)
            written[f"{layer}.qzeros"] = packed(ordered(zeros), bits)
        else:
            written[f"{layer}.qweight"] = packed(values.T, bits).T.contiguous()
            stored = zeros if method == "gptq_v2" else (zeros - 1) % 2**bits
            written[f"{layer}.qzeros"] = packed(stored, bits)
            written[f"{layer}.g_idx"] = groups.int()
    save_file(written, folder / "model.safetensors", metadata={"format": "pt"})
    settings: dict[str, Any]
    if method == "awq":
        settings = {"bits": bits, "group_size": group_size, "zero_point": not symmetric}
        settings |= {"version": "gemm", "quant_method": "awq"}
    else:
        settings = {"bits": bits, "group_size": group_size, "sym": symmetric, "desc_act": act_order}
        settings |= {"checkpoint_format": method, "quant_method": "gptq"}
    settings |= said
    if file:
        (folder / file).write_text(json.dumps(settings))
    else:
        config = json.loads((folder / "config.json").read_text())
        config["quantization_config"] = settings
        (folder / "config.json").write_text(json.dumps(config))
    return meant


def rounded(weight: Any, groups: Any, bits: int, *, symmetric: bool) -> tuple[Any, Any, Any]:
    """Return integers, zeros and scales of a matrix of inputs × outputs."""
    import torch

    most = 2**bits - 1
    zeros, scales = [], []
    for group in range(int(groups.max()) + 1):
        part = weight[groups == group].float()
        if symmetric:
            scale = part.abs().amax(0) * 2 / most
            zero = torch.full_like(scale, 2 ** (bits - 1))
        else:
            low, high = part.amin(0).clamp(max=0), part.amax(0).clamp(min=0)
            scale = (high - low) / most
            zero = (-low / scale).round()
        zeros.append(zero.int())
        scales.append(scale.half())
    zeros, scales = torch.stack(zeros), torch.stack(scales)
    values = (weight.float() / scales.float()[groups]).round() + zeros[groups]
    return values.clamp(0, most).int(), zeros, scales


def packed(values: Any, bits: int) -> Any:
    """Pack the integers of each row, value by value, lowest bits first."""
    import torch

    rows = []
    for row in values.tolist():
        number = sum(value << bits * k for k, value in enumerate(row))
        words = [number >> 32 * k & 0xFFFFFFFF for k in range(-(-len(row) * bits // 32))]
        rows.append([word - (1 << 32) if word >> 31 else word for word in words])
    return torch.tensor(rows, dtype=torch.int32)


def ordered(values: Any) -> Any:
    """Put each eight neighbours in the order of AutoAWQ."""
    return values.unflatten(1, (-1, 8))[:, :, list(AWQ_ORDER)].flatten(1)
