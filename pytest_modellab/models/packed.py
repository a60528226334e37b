"""Checkpoints in the packed layouts of GPTQ and AWQ, written as plain weights.

Their own libraries compile kernels for GPUs. A packed weight stands for ``(q - zero) * scale``: an
integer of a few bits, with zero and scale a group of inputs; in float32 that is exact, and any
engine reads it.
"""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pytest_modellab.errors import ModelError
from pytest_modellab.models import quantization
from pytest_modellab.models.files import ModelFiles, says
from pytest_modellab.models.quantization import Quantized
from pytest_modellab.store import checkout, folders

VERSION = 1
"""Raised when the conversion changes what it writes."""

SHARD = 2 << 30
"""Bytes of a file that is written, about."""

BITS = (2, 3, 4, 8)

_PARTS = (".qweight", ".qzeros", ".scales", ".g_idx")

_PLAIN = "take the same model in plain weights, or as GGUF"


@dataclasses.dataclass(frozen=True)
class Layout:
    """What a checkpoint says of its packing; what shapes tell is read of them.

    Attributes:
        method: ``gptq`` or ``awq``.
        bits: of a weight.
        group_size: inputs that share zero and scale; -1 for all.
        symmetric: whether all zeros are the middle of the range.
        from_zero: whether GPTQ's zeros are stored as they are, not less one.
        varied: whether layers may differ from ``bits``.
    """

    method: str
    bits: int
    group_size: int
    symmetric: bool
    from_zero: bool
    varied: bool

    @classmethod
    def of(cls, found: Quantized) -> Layout:
        """Read the settings as the tools write them.

        Raises:
            ValueError: a layout that is not known here; the message says what to do.
        """
        settings = found.settings
        bits = settings.get("bits", settings.get("w_bit", 4))
        group_size = settings.get("group_size", settings.get("q_group_size", 128))
        kind = settings.get("checkpoint_format") or settings.get("format")
        kind = str(kind or settings.get("version") or "").lower()
        if settings.get("is_marlin_format"):
            kind = "marlin"
        known = ("", "gemm") if found.method == "awq" else ("", "gptq", "gptq_v2")
        if kind not in known:
            raise ValueError(f"the layout {kind!r} is made for one kind of processor: {_PLAIN}")
        if bits not in BITS or (found.method == "awq" and bits != 4):
            raise ValueError(f"{bits!r} bits are not known of {found.method}: {_PLAIN}")
        if type(group_size) is not int or (group_size < 1 and group_size != -1):
            raise ValueError(f"group_size is {group_size!r}, neither a size nor -1")
        symmetric = bool(settings.get("sym", found.method == "gptq"))
        if found.method == "awq":
            symmetric = not settings.get("zero_point", True)
        return cls(
            found.method,
            bits,
            group_size,
            symmetric,
            kind == "gptq_v2",
            bool(settings.get("dynamic") or settings.get("extra_config")),
        )


class Tensors:
    """The tensors of all files of a checkpoint, read when they are asked for."""

    def __init__(self, files: ModelFiles) -> None:
        from safetensors import safe_open

        weights = sorted(path for path in files.hashed if path.suffix == ".safetensors")
        if not weights:
            raise ValueError("only weights in safetensors are converted; save them so")
        self._of: dict[str, Any] = {}
        for path in weights:
            opened: Any = safe_open(path, framework="pt")
            names = opened.keys()
            if twice := sorted(self._of.keys() & {*names}):
                raise ValueError(
                    f"{twice[0]} is in {path.name} and in another file; leave one of them"
                )
            self._of.update(dict.fromkeys(names, opened))
        self.packed = sorted(n.removesuffix(".qweight") for n in self._of if n.endswith(".qweight"))
        layers = set(self.packed)
        self.others = [
            name
            for name in sorted(self._of)
            if not (name.endswith(_PARTS) and name.rpartition(".")[0] in layers)
        ]

    def get(self, name: str) -> Any:
        """Return a tensor, or None where there is none of that name."""
        found = self._of.get(name)
        return None if found is None else found.get_tensor(name)


def convert(files: ModelFiles, found: Quantized, target: Path) -> None:
    """Write a checkpoint's weights as plain float32, with all that is beside them, to ``target``.

    Args:
        files: the checkpoint's.
        found: how it is quantized.
        target: an empty folder.

    Raises:
        ModelError: it cannot be converted exactly; the message says why, and what to do.
    """
    from safetensors import SafetensorError

    try:
        tensors = Tensors(files)
        _write(files, Layout.of(found), tensors, target)
    except ImportError as error:
        raise ModelError(
            says(
                files.source,
                f"converting {found.method} needs {error.name}: "
                "pip install 'pytest-modellab[quantized]'",
            )
        ) from error
    except SafetensorError as error:
        if folders.is_full(error):
            raise folders.disk_full() from error
        raise ModelError(says(files.source, f"{found.where}: {error}")) from error
    except (KeyError, RuntimeError, TypeError, ValueError) as error:
        raise ModelError(says(files.source, f"{found.where}: {error}")) from error


def unpacked(packed: Any, bits: int, count: int) -> Any:
    """Return the integers of each row of a packed matrix, lowest bits first.

    Args:
        packed: numbers of 32 bits; a value of 3 may begin in one and end in the next.
        bits: of a value.
        count: values of a row; what is more fills the last number.
    """
    import torch

    if 32 % bits == 0:
        shifts = torch.arange(0, 32, bits, dtype=torch.int32)
        values = (packed.unsqueeze(-1) >> shifts) & ((1 << bits) - 1)
        return values.flatten(1)[:, :count]
    stream = (packed.unsqueeze(-1) >> torch.arange(32, dtype=torch.int32)) & 1
    values = stream.flatten(1)[:, : count * bits].unflatten(1, (-1, bits))
    return (values << torch.arange(bits, dtype=torch.int32)).sum(-1, dtype=torch.int32)


def weight(layout: Layout, name: str, tensors: Tensors) -> Any:
    """Return the plain weight of a layer, inputs × outputs.

    Args:
        layout: what the checkpoint says.
        name: the layer's.
        tensors: of the checkpoint.

    Raises:
        ValueError: what the checkpoint says is not what the layer holds.
    """
    import torch

    packed, zeros, scales, groups = (tensors.get(name + end) for end in _PARTS)
    if zeros is None or scales is None:
        raise ValueError(f"{name} has no qzeros or no scales; copy or download the folder again")
    outputs = scales.shape[1]
    held = [bits for bits in BITS if zeros.shape[1] == -(-outputs * bits // 32)]
    bits = layout.bits if layout.bits in held else next(iter(held), 0)
    if bits != layout.bits and not (layout.varied and bits):
        raise ValueError(f"{name} holds {bits} bits a weight, not the {layout.bits} that it says")
    if layout.method == "awq":
        values, zeros = (_awq(part, bits)[:, :outputs] for part in (packed, zeros))
    else:
        inputs = len(packed) * 32 // bits if groups is None else len(groups)
        values = unpacked(packed.T.contiguous(), bits, inputs).T
        zeros = _gptq_zeros(layout, unpacked(zeros, bits, outputs), bits)
    if layout.symmetric and not bool((zeros == 1 << (bits - 1)).all()):
        raise ValueError(
            f"it says that zeros are the middle of the range, those of {name} are not: "
            "quantize it anew, or say what it is (sym, zero_point)"
        )
    inputs = len(values)
    size = layout.group_size if layout.group_size > 0 else inputs
    fits = -(-inputs // size) == len(scales)
    if groups is None:
        groups = torch.arange(inputs) // size
    else:
        groups = groups.long()
        fits = len(groups) == inputs and bool(((groups >= 0) & (groups < len(scales))).all())
    if not fits:
        raise ValueError(
            f"{name} has {len(scales)} groups for {inputs} inputs in groups of "
            f"{layout.group_size}: config and weights are not of one checkpoint"
        )
    return (values - zeros[groups]).float() * scales.float()[groups]


def _awq(part: Any, bits: int) -> Any:
    """Unpack weights or zeros, whose neighbours lie in an order of AutoAWQ's own."""
    from compressed_tensors.entrypoints.convert import AutoAWQConverter

    values, _ = AutoAWQConverter.unpack_awq(part, None, bits)
    values, _ = AutoAWQConverter.reverse_awq_order(values, None, bits)
    return values.int() & ((1 << bits) - 1)


def _gptq_zeros(layout: Layout, zeros: Any, bits: int) -> Any:
    """Return zeros as they are meant: the first layout stores them less one.

    Symmetric checkpoints say the first layout and hold the second at times; the middle tells.
    """
    if layout.from_zero or (layout.symmetric and bool((zeros == 1 << (bits - 1)).all())):
        return zeros
    return (zeros + 1) & ((1 << bits) - 1)


def _write(files: ModelFiles, layout: Layout, tensors: Tensors, target: Path) -> None:
    lone = next((name for name in tensors.others if name.endswith(_PARTS)), None)
    if lone is not None:
        raise ValueError(
            f"{lone} belongs to no packed weight (AWQ scales the activations of some "
            f"architectures): {_PLAIN}"
        )
    plain = _plain_model(files)
    shards = _Shards(target)
    for layer in tensors.packed:
        value = weight(layout, layer, tensors)
        transposed = type(plain.get(layer)).__name__ == "Conv1D"  # which holds inputs × outputs
        shards.add(f"{layer}.weight", (value if transposed else value.T).contiguous())
    for name in tensors.others:
        value = tensors.get(name)
        layer, _, part = name.rpartition(".")
        lacks = part == "bias" and getattr(plain.get(layer), "bias", value) is None
        if not (lacks and layer in tensors.packed and not value.any()):  # AutoGPTQ adds zeros
            shards.add(name, value)
    shards.close()
    config = json.loads(checkout.read(files.path / "config.json"))
    for part in (config, config.get("text_config")):
        if isinstance(part, dict):
            part.pop("quantization_config", None)
    for path in files.hashed:
        place = target / path.relative_to(files.path)
        if path.suffix != ".safetensors" and not path.name.endswith(".safetensors.index.json"):
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, place)
    (target / "config.json").write_text(json.dumps(config, indent=2), encoding="utf-8")
    for name in quantization.BESIDE:
        (target / name).unlink(missing_ok=True)


def _plain_model(files: ModelFiles) -> Mapping[str, Any]:
    """Return the modules of the model that the configuration names, without weights."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    code = files.source.trust_remote_code
    config = AutoConfig.from_pretrained(files.path, trust_remote_code=code)
    for part in (config, config.get_text_config()):
        if hasattr(part, "quantization_config"):
            del part.quantization_config
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config, trust_remote_code=code)
    return dict(model.named_modules())


class _Shards:
    """Files of weights that are written one after the other, and their index."""

    def __init__(self, target: Path) -> None:
        self._target = target
        self._held: dict[str, Any] = {}
        self._size = 0
        self._index: dict[str, str] = {}

    def add(self, name: str, tensor: Any) -> None:
        self._held[name] = tensor
        self._size += tensor.nbytes
        if self._size >= SHARD:
            self._flush()

    def close(self) -> None:
        self._flush()
        index = {"metadata": {}, "weight_map": self._index}
        path = self._target / "model.safetensors.index.json"
        path.write_text(json.dumps(index, indent=2), encoding="utf-8")

    def _flush(self) -> None:
        from safetensors.torch import save_file

        if shutil.disk_usage(self._target).free < 1.1 * self._size:
            raise folders.disk_full()
        if self._held:
            number = len(set(self._index.values())) + 1
            name = f"model-{number:05d}.safetensors"
            save_file(self._held, self._target / name, metadata={"format": "pt"})
            self._index.update(dict.fromkeys(self._held, name))
        self._held, self._size = {}, 0
