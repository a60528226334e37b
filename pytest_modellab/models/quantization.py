"""How a folder says that its weights are quantized: a key of config.json, or a file beside it.

What transformers does not read there it passes over, and the packed weights with it. So all ways in
which tools have said it are known here, and what cannot be run is told with what to do.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from pytest_modellab.errors import ModelError, near_misses
from pytest_modellab.models import reads

PACKAGES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "aqlm": ("aqlm",),
        "auto-round": ("auto-round",),
        "awq": ("compressed-tensors",),
        "bitnet": (),
        "bitsandbytes": ("bitsandbytes",),
        "compressed-tensors": ("compressed-tensors",),
        "eetq": ("kernels",),
        "fbgemm_fp8": ("fbgemm-gpu",),
        "fouroversix": ("fouroversix",),
        "fp8": (),
        "fp_quant": ("fp_quant",),
        "gemma": (),
        "gptq": (),
        "higgs": ("flute-kernel",),
        "hqq": ("hqq",),
        "metal": ("kernels",),
        "mxfp4": (),
        "mxfp8": (),
        "nvfp4": (),
        "quanto": ("optimum-quanto",),
        "quark": ("amd-quark",),
        "sinq": ("sinq",),
        "spqr": ("spqr_quant",),
        "torchao": ("torchao",),
        "vptq": ("vptq",),
    }
)
"""Method, as transformers calls it → the distributions that it is read with."""

PACKED = (
    ".absmax",
    ".codebooks",
    ".codes",
    ".g_idx",
    ".qweight",
    ".qzeros",
    ".SCB",
    ".W_q",
    ".weight_packed",
    ".weight_scale",
    ".weight_scale_inv",
    "_blocks",
)
"""How the names of tensors end that only quantized weights have."""

MARKS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {"awq": (".qweight",), "bitsandbytes": (".absmax", ".SCB"), "gptq": (".qweight",)}
)
"""Method → how names of tensors end of which it always has some."""

_OTHER = "take the same model in plain weights, or as GPTQ, AWQ or GGUF"

_AUTO_ROUND = {"packing_format": "auto_round:auto_gptq", "data_type": "int", "sym": True}
"""What AutoRound says where its weights lie as those of GPTQ do."""

_UNREAD = (
    "transformers passes over this file: put what stands in it into config.json, as "
    "'quantization_config'"
)

_FOREIGN: Mapping[str, str] = MappingProxyType(
    {
        "exl2": f"ExLlamaV2's own format, which needs its own engine: {_OTHER}",
        "exl3": f"ExLlamaV3's own format, which needs its own engine: {_OTHER}",
        "mlx": "MLX's own format, for Apple's processors: write plain weights with mlx_lm.convert "
        "--dequantize",
        "modelopt": "the format of NVIDIA's ModelOpt, which needs TensorRT-LLM or vLLM: take the "
        "same model as compressed-tensors (compressed_tensors.entrypoints.convert has a converter "
        "for NVFP4), or in plain weights",
        "gguf": 'GGUF, which is declared with method = "gguf" and file = "FILE.gguf"',
    }
)
"""Methods that transformers does not run from a folder → what they are, and what to do."""

_CONFIG = "config.json"

BESIDE: Mapping[str, str] = MappingProxyType(
    {
        "quantize_config.json": "gptq",  # AutoGPTQ, before transformers knew it
        "quant_config.json": "awq",  # AutoAWQ and llm-awq, likewise
        "quanto_qmap.json": "quanto",
        "hf_quant_config.json": "modelopt",
        "quantization_config.json": "",  # AutoRound, which names the method in it
    }
)
"""A file beside config.json → the method of the tool that writes it."""

CONVERTED = ("awq", "gptq")
"""Methods whose weights are written plain before they are run, wherever they are named."""


@dataclasses.dataclass(frozen=True)
class Quantized:
    """What a folder says of how its weights were quantized.

    Attributes:
        method: as transformers calls it; empty where nothing says it.
        where: the file, and the key in it, for messages.
        settings: what stands there.
        problem: why it cannot be run as it lies, and what to do; empty where it can be.
    """

    method: str
    where: str
    settings: Mapping[str, Any]
    problem: str = ""


def find(folder: Path) -> Quantized | None:
    """Find out whether a folder's weights are quantized.

    Args:
        folder: with a config.json; a damaged one says nothing, and loading it says what is wrong.
    """
    found = next(_said(folder), None) if folder.is_dir() else None
    if found is None or found.problem or found.method not in MARKS:
        return found
    ends = MARKS[found.method]
    if _marked(folder, ends):
        return found
    problem = (
        f"says that {found.method} has quantized the weights, but they are plain (none is named "
        f"…{ends[0]}): remove what says it, or save the quantized model again"
    )
    return dataclasses.replace(found, problem=problem)


def is_uneven(found: Quantized) -> bool:
    """Whether compressed-tensors holds packed weights with zeros of their own, and weights alone.

    Args:
        found: from :func:`find`.
    """
    groups = found.settings.get("config_groups")
    if found.method != "compressed-tensors" or not isinstance(groups, dict):
        return False
    schemes = [scheme for scheme in groups.values() if isinstance(scheme, dict)]
    formats = {scheme.get("format") or found.settings.get("format") for scheme in schemes}
    alone = not any(scheme.get("input_activations") for scheme in schemes)
    symmetric = all((scheme.get("weights") or {}).get("symmetric", True) for scheme in schemes)
    return formats == {"pack-quantized"} and alone and not symmetric


def check(folder: Path) -> None:
    """Refuse a folder of which a file that may say how it was quantized cannot be read.

    Raises:
        ModelError: the message names the file.
    """
    for name in (_CONFIG, *BESIDE):
        if (folder / name).is_file():
            _read(folder / name)


def _said(folder: Path) -> Iterator[Quantized]:
    file = folder / _CONFIG
    config = _read_or_nothing(file)
    text = config.get("text_config")
    for name, part in (("", config), ("text_config.", text if isinstance(text, dict) else {})):
        settings = part.get("quantization_config")
        if isinstance(settings, dict):
            yield _configured(folder, settings, f"{file}: {name}quantization_config")
        settings = part.get("compression_config")
        if isinstance(settings, dict):
            yield Quantized(
                "compressed-tensors",
                f"{file}: {name}compression_config",
                settings,
                "an older llm-compressor called the key so, and transformers passes over it: "
                "rename it to 'quantization_config'",
            )
    settings = config.get("quantization")
    if isinstance(settings, dict) and "bits" in settings:
        yield Quantized("mlx", f"{file}: quantization", settings, _FOREIGN["mlx"])
    for name, method in BESIDE.items():
        beside = folder / name
        if not beside.is_file():
            continue
        settings = _read_or_nothing(beside)
        if method:
            yield Quantized(method, str(beside), settings, _beside(method))
        elif settings:
            found = _configured(folder, settings, str(beside))
            problem = found.problem or ("" if found.method in CONVERTED else _UNREAD)
            yield dataclasses.replace(found, problem=problem)


def _configured(folder: Path, settings: Mapping[str, Any], where: str) -> Quantized:
    """Tell the method as transformers does, which reads bitsandbytes' settings first."""
    method = settings.get("quant_method")
    if settings.get("load_in_4bit") or settings.get("load_in_8bit"):
        method = "bitsandbytes"
    elif method is None and "quant_algo" in settings:
        method = "modelopt"
    elif method is None and {"group_size", "bits"} <= {*settings} <= {"group_size", "bits", "mode"}:
        method = "mlx"
    if method is None:
        beside = next((name for name in BESIDE if (folder / name).is_file()), None)
        more = f" ({beside} beside it may tell)" if beside else ""
        problem = (
            "no quant_method says how, so nothing can read the weights: add the one that "
            f"the tool that wrote them goes by{more}; known: {', '.join(PACKAGES)}"
        )
        return Quantized("", where, settings, problem)
    method = str(method)
    if method == "auto-round" and _AUTO_ROUND.items() <= settings.items():
        method = "gptq"
    problem = _FOREIGN.get(method, "")
    if not problem and method not in PACKAGES:
        problem = f"unknown quant_method {method!r}; {near_misses(method, PACKAGES)}"
    return Quantized(method, where, settings, problem)


def _marked(folder: Path, ends: tuple[str, ...]) -> bool:
    """Whether a tensor's name ends so, as far as the files tell."""
    try:
        from safetensors import SafetensorError, safe_open
    except ImportError:  # of the package alone; running the model asks for it
        return True
    files = list(folder.glob("*.safetensors"))
    for file in files:
        try:
            with safe_open(file, framework="numpy") as opened:
                if any(name.endswith(ends) for name in opened.keys()):  # noqa: SIM118
                    return True
        except (OSError, SafetensorError):  # loading says what is wrong with it
            return True
    return not files


def _beside(method: str) -> str:
    if method == "quanto":
        return (
            "optimum-quanto wrote it by its own save_pretrained, and transformers passes over it: "
            'declare the plain model with method = "quanto-int8" or "quanto-int4"'
        )
    return _FOREIGN.get(method, "")


def _read_or_nothing(file: Path) -> Mapping[str, Any]:
    try:
        return _read(file)
    except (ModelError, OSError):
        return {}


def _read(file: Path) -> Mapping[str, Any]:
    try:
        found = reads.read_json(file)
    except (ValueError, RecursionError) as error:
        raise ModelError(f"{file}: not JSON: {error}") from error
    return found if isinstance(found, dict) else {}
