"""Whether a model's files hold the weights that its configuration asks for.

transformers draws at random what it does not find and leaves alone what it does not know; it says
so in a report that nobody reads. What may be absent or left over is known by its own lists: tied
weights, and the model's ``_keys_to_ignore_on_load_missing`` and ``…_unexpected``.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import re
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

from pytest_modellab.errors import ModelError
from pytest_modellab.models import quantization

SHOWN = 3
"""Names of tensors that a message shows."""


WRAPPERS: Mapping[str, str] = MappingProxyType(
    {
        "_orig_mod.": "torch.compile: save model._orig_mod",
        "module.": "DistributedDataParallel or DataParallel: save model.module",
        "_fsdp_wrapped_module.": "FullyShardedDataParallel: gather its full state dict and save "
        "that",
        "_forward_module.": "Lightning's Fabric: save the module that it wraps",
        "base_model.model.": "a PEFT model: save model.merge_and_unload(), or declare the adapter",
        "pretrained_model.": "TRL's model with a value head: save model.pretrained_model",
    }
)
"""Beginning of names → what they were saved from."""


_WHOLE = ("I8", "U8", "I16", "U16", "I32", "U32", "I64", "U64")
"""Types in which no weight is stored that is not quantized, as safetensors calls them."""


_AGAIN = (
    "Copy or download the folder again, or save the model again with save_pretrained, its "
    "config.json with it"
)


_KEPT_BEFORE = (".masked_bias", ".attn.bias", ".causal_mask")
"""Constants that old releases of transformers saved with each layer of a GPT, GPT-J or CodeGen."""


_LAYER = re.compile(r"\.(\d+)\.")


@dataclasses.dataclass(frozen=True)
class Fit:
    """What transformers found of a model's tensors.

    Attributes:
        model: as it was loaded.
        missing: names that no file holds; the tensors are drawn at random.
        other: name → shape in the file and shape by the configuration; drawn, too.
        left: names in the files that the model does not have, but for buffers that it makes itself.
        unset: buffers that are in no file and that nothing has written.
    """

    model: Any
    missing: tuple[str, ...]
    other: Mapping[str, tuple[tuple[int, ...], tuple[int, ...]]]
    left: tuple[str, ...]
    unset: tuple[str, ...] = ()

    @classmethod
    def of(cls, model: Any, info: Mapping[str, Any], *, marked: bool = False) -> Fit:
        """Read what ``from_pretrained`` says; ``marked`` where unwritten memory holds NaN."""
        other = {name: (tuple(file), tuple(own)) for name, file, own in info["mismatched_keys"]}
        missing, left = set(info["missing_keys"]) - set(other), set(info["unexpected_keys"])
        buffers = dict(model.named_buffers())
        left = {n for n in left if n not in buffers and not n.endswith(_KEPT_BEFORE)}
        unset = [name for name, buffer in buffers.items() if marked and _is_marked(buffer)]
        return cls(model, _ordered(missing), other, _ordered(left), tuple(unset))

    @property
    def drawn(self) -> tuple[str, ...]:
        """Names of the tensors that hold random numbers."""
        return _ordered({*self.missing, *self.other})


def check_files(folder: Path) -> None:
    """Refuse a folder of which transformers would choose by itself what the weights are.

    Args:
        folder: of a model.

    Raises:
        ModelError: a tensor stands in it twice, or whole numbers stand where weights should.
        SafetensorError: a file is damaged.
    """
    from safetensors import safe_open

    settings = _settings(folder)
    quantized = "quantization_config" in json.dumps(settings)  # a part of it may be
    places: dict[str, str] = {}
    for name in _files(folder, settings):
        with safe_open(folder / name, framework="pt") as tensors:
            for key in tensors.keys():  # noqa: SIM118 - not a mapping
                if key in places:
                    raise ModelError(
                        f"{folder}: {key} stands in {places[key]} and in {name}, of which one is "
                        "likely left of an older model; save or download it into an empty folder"
                    )
                places[key] = name
                dtype = tensors.get_slice(key).get_dtype()
                if dtype in _WHOLE and key.endswith("weight") and not quantized:
                    raise ModelError(
                        f"{folder / name}: {key} holds whole numbers ({dtype}), as quantized "
                        "weights are, but config.json has no quantization_config that says how "
                        "they become weights; copy the config.json that belongs to them"
                    )


def names(folder: Path) -> tuple[str, ...]:
    """Return the names of the tensors of a model that transformers reads, from its files.

    Args:
        folder: of a model.

    Raises:
        ModelError: there are two sets of files.
        SafetensorError: a file is damaged.
    """
    from safetensors import safe_open

    found: list[str] = []
    for name in _files(folder, _settings(folder)):
        with safe_open(folder / name, framework="numpy") as tensors:
            found += tensors.keys()
    return tuple(found)


def _settings(folder: Path) -> Mapping[str, Any]:
    config = folder / "config.json"
    found: Mapping[str, Any] = {}
    if config.is_file():
        found = json.loads(config.read_text(encoding="utf-8"))
    return found


def check(where: object, fit: Fit) -> None:
    """Refuse a model of which one tensor is missing, left over or of another shape.

    Args:
        where: its folder or file, for the message.
        fit: what was found.

    Raises:
        ModelError: the message names the tensors, and what is likely wrong.
    """
    if fit.drawn or fit.left or fit.unset:
        raise problem(where, fit)


def check_body(where: object, fit: Fit) -> None:
    """Refuse an encoder of whose layers one is left over, and see to it that no random number runs.

    An encoder is often saved with a head that it does not need, or without a pooler that nobody
    asks. So what stands beside the layers may be left over, and what is drawn becomes NaN: whatever
    depends on it is NaN as well, and :func:`unused` says so.

    Args:
        where: its folder, for the message.
        fit: what was found; its drawn tensors are changed.

    Raises:
        ModelError: the message names the tensors, and what is likely wrong.
    """
    if fit.unset or any(_in_layers(fit.model, name) for name in fit.left):
        raise problem(where, fit)
    tensors = fit.model.state_dict()
    for name in fit.drawn:
        if not tensors[name].is_floating_point():  # no NaN to show where it goes
            raise problem(where, fit)
        tensors[name].fill_(float("nan"))


def unused(where: object, fits: Iterable[Fit], answer: Callable[[], object]) -> None:
    """Refuse a model whose answer depends on a tensor that was drawn.

    Args:
        where: its folder, for the message.
        fits: after :func:`check_body`.
        answer: raises :class:`~pytest_modellab.errors.ModelError` where a number is NaN.

    Raises:
        ModelError: the message names the tensors, and what is likely wrong.
    """
    if drawn := [fit for fit in fits if fit.drawn]:
        try:
            answer()
        except ModelError as error:
            raise problem(where, drawn[0]) from error


@contextlib.contextmanager
def watched(*, code: bool = False) -> Iterator[list[Fit]]:
    """Collect what transformers finds of each model that is loaded meanwhile, by whatever library.

    A library that calls ``from_pretrained`` itself hands its findings to nobody. So that public
    method of all models is asked for them while the context lasts, for other shapes, too: its own
    error of those names no tensor.

    Args:
        code: whether a model's own code may run. Buffers that it makes and does not save are
            unwritten memory once transformers has loaded it, where its ``_init_weights`` does not
            make them again.
    """
    from transformers import PreTrainedModel

    found: list[Fit] = []
    plain = PreTrainedModel.__dict__["from_pretrained"]

    def from_pretrained(cls: Any, *args: Any, **options: Any) -> Any:
        told = options.pop("output_loading_info", False)
        asked = {**options, "output_loading_info": True, "ignore_mismatched_sizes": True}
        try:
            model, info = plain.__get__(None, cls)(*args, **asked)
        except RuntimeError as error:
            if said := _unmerged(error, args):
                raise said from error
            raise
        found.append(Fit.of(model, info, marked=code))
        return (model, info) if told else model

    PreTrainedModel.from_pretrained = classmethod(from_pretrained)
    try:
        with _marking() if code else contextlib.nullcontext():
            yield found
    finally:
        PreTrainedModel.from_pretrained = plain


def _unmerged(error: RuntimeError, args: Sequence[Any]) -> ModelError | None:
    """Say which tensors transformers could not merge, as those of experts where one is missing.

    Its own error refers to a report that is silenced.
    """
    for frame, _ in traceback.walk_tb(error.__traceback__):
        said = getattr(frame.f_locals.get("loading_info"), "conversion_errors", None)
        if said:
            name = _ordered(said)[0]
            reason = said[name].rstrip().splitlines()[-2]
            return ModelError(
                f"{args[0] if args else 'the model'}: {_counted(said)} not to be put together from "
                f"those in the files ({name}: {reason}). {_AGAIN}"
            )
    return None


@contextlib.contextmanager
def _marking() -> Iterator[None]:
    """Let memory that nobody has written hold NaN, as torch does while it is deterministic."""
    import torch

    fills = torch.utils.deterministic
    filled = fills.fill_uninitialized_memory
    was = torch.are_deterministic_algorithms_enabled()
    warned = torch.is_deterministic_algorithms_warn_only_enabled()
    torch.use_deterministic_algorithms(True, warn_only=True)
    fills.fill_uninitialized_memory = True
    try:
        yield
    finally:
        fills.fill_uninitialized_memory = filled
        torch.use_deterministic_algorithms(was, warn_only=warned)


def _is_marked(buffer: Any) -> bool:
    """Whether torch has marked a buffer's memory: with NaN, or with a type's largest number."""
    import torch

    if buffer.is_floating_point():
        return bool(buffer.isnan().any())
    if buffer.dtype == torch.bool or not buffer.numel():
        return False
    return bool((buffer == torch.iinfo(buffer.dtype).max).all())


def problem(where: object, fit: Fit) -> ModelError:
    """Say which tensors do not fit, and what is likely wrong."""
    said = []
    if fit.missing:
        said.append(f"{_counted(fit.missing)} missing ({listed(fit.missing)})")
    if fit.other:
        shapes = [f"{name}: {file}, not {own}" for name, (file, own) in sorted(fit.other.items())]
        said.append(f"{_counted(shapes)} of another shape ({listed(shapes)})")
    if said:
        said[-1] += ", to be drawn at random"
    if fit.left:
        said.append(f"{_counted(fit.left)} left over ({listed(fit.left)}), to be ignored")
    if not said:
        return ModelError(
            f"{where}: {listed(fit.unset)} of {type(fit.model).__name__}: in no file, and not made "
            "again by the model's own code once transformers has loaded the rest, so that it would "
            "hold whatever was in memory. Let the code register it with persistent=True and save "
            "the model again, or let _init_weights make it"
        )
    return ModelError(
        f"{where}: its weights do not fit the {type(fit.model).__name__} of its configuration: "
        f"{'; '.join(said)}. {_mend(fit)}"
    )


def _files(folder: Path, settings: Mapping[str, Any]) -> list[str]:
    """Return the names of the safetensors files that transformers reads in a folder.

    Raises:
        ModelError: there are two sets of them.
    """
    single, index = "model.safetensors", "model.safetensors.index.json"
    if named := settings.get("transformers_weights"):
        single = index = named
    shards: set[str] = set()
    if index.endswith(".json") and (folder / index).is_file():
        stored = json.loads((folder / index).read_text(encoding="utf-8"))
        shards = set(stored["weight_map"].values())
    if not single.endswith(".safetensors") or not (folder / single).is_file():
        return sorted(shards)
    if shards - {single}:  # MLX writes an index of one file, too
        raise ModelError(
            f"{folder}: holds {single}, which transformers reads, and {index} with other files, "
            "which it then does not; remove those that are not meant"
        )
    return [single]


def _in_layers(model: Any, name: str) -> bool:
    """Whether a name lies below a part that the model has, and is no whole part that it lacks."""
    module = model
    for part in name.split("."):
        child = dict(module.named_children()).get(part)
        if child is None:
            break
        module = child
    return module is not model and module is not model.base_model


def listed(names: Iterable[str]) -> str:
    """Put names in words: the first few."""
    names = list(names)
    return ", ".join(names[:SHOWN]) + (", …" if len(names) > SHOWN else "")


def _counted(names: Iterable[str]) -> str:
    number = len(list(names))
    return "1 tensor is" if number == 1 else f"{number} tensors are"


def _ordered(names: Iterable[str]) -> tuple[str, ...]:
    """Sort names, layer 2 before layer 10."""
    return tuple(sorted(names, key=lambda name: _LAYER.sub(lambda m: f".{m[1]:0>9}.", name)))


def _mend(fit: Fit) -> str:
    """Say what is likely wrong, and what to do."""
    for prefix, wrapper in WRAPPERS.items():
        if any(f".{prefix}" in f".{name}" for name in fit.left):
            return f"Names with {prefix!r} come from {wrapper}"
    for name in fit.left[:1]:
        if whole := next((own for own in fit.missing if name.endswith(f".{own}")), ""):
            return (
                f"Names begin with {name.removesuffix(whole)!r}, and the model's do not: save the "
                "model without what it is wrapped in"
            )
    if packed := [name for name in fit.left if name.endswith(quantization.PACKED)]:
        return (
            f"{packed[0]} belongs to quantized weights, but nothing in the folder says how they "
            "were quantized: put the config.json (or quantize_config.json) beside them that they "
            'were saved with, and declare the model by kind = "quantized"'
        )
    librarys = type(fit.model).__module__.startswith("transformers.")
    if librarys and getattr(fit.model.config, "auto_map", None):
        return (
            "config.json names code of the model's own, which has not run: if you trust it, set "
            "trust_remote_code = true in its [models.NAME]"
        )
    config = fit.model.config.get_text_config()
    layers = getattr(config, "num_hidden_layers", None)
    if layers is not None and (held := _layers(fit, layers)) != layers:
        return (
            f"The configuration has num_hidden_layers = {layers}, the weights have {held} layers: "
            "put the config.json beside them that they were saved with"
        )
    saved = ", ".join(getattr(fit.model.config, "architectures", None) or ())
    if saved and saved != type(fit.model).__name__:
        return (
            f"The configuration names {saved}: it was saved as another kind of model; save it as "
            f"{type(fit.model).__name__}, or declare one that was"
        )
    return _AGAIN


def _layers(fit: Fit, layers: int) -> int:
    """Return how many layers the weights have, as far as whole ones are missing or left over."""
    asked = _by_layer(fit.model.state_dict())
    missing, left = _by_layer(fit.missing), _by_layer(fit.left)
    if beyond := [number for number in left if number >= layers]:
        return max(beyond) + 1
    whole = [number for number, count in missing.items() if count == asked.get(number)]
    first = min(whole, default=0)
    return first if first and sorted(whole) == list(range(first, layers)) else layers


def _by_layer(names: Iterable[str]) -> dict[int, int]:
    """Count names by the first number in them, which is the layer's."""
    counts: dict[int, int] = {}
    for name in names:
        if match := _LAYER.search(name):
            counts[int(match[1])] = counts.get(int(match[1]), 0) + 1
    return counts
