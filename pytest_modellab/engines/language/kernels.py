"""Fused kernels of liger-kernel in one loaded model: norms, rotary embedding and MLP.

liger-kernel changes a model that is loaded, and beside it the modules of transformers that all
models of the type share. Here the latter is taken back, and what it put there is given to this
model's own layers, so that every other model of the session computes as it did.
"""

from __future__ import annotations

import contextlib
import sys
import types
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from pytest_modellab.engines.loading import reading
from pytest_modellab.engines.packages import needed
from pytest_modellab.errors import VariantLoadError

LIGER = "liger"

NAMES = (LIGER,)
"""What a variant may ask for."""

PACKAGES = ("liger-kernel", "triton")
"""The distributions whose versions decide about a score."""

_SILU = ("silu", "swish")
_GELU = ("gelu_pytorch_tanh", "gelu_new")

TYPES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "exaone4": _SILU,
        "gemma": _GELU,
        "gemma2": _GELU,
        "gemma3_text": _GELU,
        "glm4": _SILU,
        "granite": _SILU,
        "llama": _SILU,
        "ministral": _SILU,
        "mistral": _SILU,
        "olmo2": _SILU,
        "olmo3": _SILU,
        "phi3": _SILU,
        "qwen2": _SILU,
        "qwen3": _SILU,
        "smollm3": _SILU,
    }
)
"""Type of model → what its MLP may be activated by; liger's kernel computes that and asks nobody.

Of the types that liger knows, those whose scores were compared with the plain model's."""


def check(folder: Path, *, device: str, trust_remote_code: bool = False) -> None:
    """Check, before weights are read, that the kernels fit a model and a device.

    Args:
        folder: the model's.
        device: where it will be.
        trust_remote_code: whether the model's own Python code may run.

    Raises:
        ModelError: its configuration cannot be read.
        VariantLoadError: they do not.
    """
    from transformers import AutoConfig

    check_device(device)
    with reading(folder, "transformers cannot read its configuration"):
        config = AutoConfig.from_pretrained(folder, trust_remote_code=trust_remote_code)
    check_config(config)


def check_device(device: str) -> None:
    """Check that a device runs the kernels.

    Raises:
        VariantLoadError: it does not.
    """
    if not device.startswith("cuda"):
        raise VariantLoadError(
            f'kernels: "{LIGER}" runs on a GPU, and this variant on {device!r}: set device = '
            '"cuda", or leave kernels out'
        )


def check_config(config: Any) -> None:
    """Check that the kernels compute what a model is made of.

    Args:
        config: the model's.

    Raises:
        VariantLoadError: they do not.
    """
    if config.model_type not in TYPES:
        raise VariantLoadError(
            f'kernels: "{LIGER}" is for models of the types {", ".join(TYPES)}, and this one is '
            f"{config.model_type!r}: leave kernels out"
        )
    # Gemma has both, and looks at the first
    activation = getattr(config, "hidden_activation", None) or config.hidden_act
    if activation not in TYPES[config.model_type]:
        raise VariantLoadError(
            f'kernels: "{LIGER}" computes {" or ".join(TYPES[config.model_type])} in the MLP of '
            f"{config.model_type}, and this model's activation is {activation!r}: leave kernels out"
        )


def fuse(model: Any) -> None:
    """Have liger-kernel compute the norms, the rotary embedding and the MLP of one model.

    Args:
        model: of transformers, of one of :data:`TYPES`, without an adapter; one that is put on it
            later is computed as before, since the MLP still asks its linear layers.

    Raises:
        VariantLoadError: liger-kernel cannot be imported, or does not know the model.
    """
    with needed(f'kernels = "{LIGER}"', extra="fast"):
        from liger_kernel.backends import available_impls
        from liger_kernel.transformers import monkey_patch

    available_impls("rope")  # it logs about backends that are not there: while others are silent
    known = monkey_patch.MODEL_TYPE_TO_APPLY_LIGER_FN
    if model.config.model_type not in known:
        raise VariantLoadError(
            f"kernels: the liger-kernel that is installed does not know {model.config.model_type}: "
            "pip install --upgrade liger-kernel"
        )
    apply = known[model.config.model_type]
    # the fused loss would take the place of the logits
    contained(
        model, lambda one: apply(model=one, cross_entropy=False, fused_linear_cross_entropy=False)
    )


def contained(model: Any, change: Callable[[Any], None]) -> None:
    """Change one model alone, by a function that changes the modules of its classes as well.

    Args:
        model: a torch module.
        change: takes the model; what it puts into modules of transformers is taken back, and the
            functions among it are given to those layers of the model that call them.
    """
    homes = {type(module).__module__ for module in model.modules()}
    with _taken_back({name for name in homes if name.startswith("transformers.")}) as put:
        change(model)
    for module in model.modules():
        _give(module, put.get(type(module).__module__, {}))


@contextlib.contextmanager
def _taken_back(names: set[str]) -> Iterator[dict[str, dict[str, Any]]]:
    """Restore what modules name when the block ends; then yields the functions that were put."""
    before = {name: dict(vars(sys.modules[name])) for name in names}
    put: dict[str, dict[str, Any]] = {}
    try:
        yield put
    finally:
        for name, values in before.items():
            home = sys.modules[name]
            changed = {key for key, value in values.items() if getattr(home, key) is not value}
            found = {key: getattr(home, key) for key in changed}
            put[name] = {key: one for key, one in found.items() if not isinstance(one, type)}
            for key in changed:
                setattr(home, key, values[key])


def _give(module: Any, functions: Mapping[str, Any]) -> None:
    """Let a layer call other functions than its class does, by the same names."""
    forward = type(module).forward
    called = functions.keys() & set(forward.__code__.co_names)
    if not called or "forward" in vars(module):
        return
    names = {**forward.__globals__, **{name: functions[name] for name in called}}
    own = types.FunctionType(
        forward.__code__, names, forward.__name__, forward.__defaults__, forward.__closure__
    )
    own.__kwdefaults__ = forward.__kwdefaults__
    module.forward = types.MethodType(own, module)
