"""The residual stream of a decoder: where its layers are, what flows between them."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Iterator, Mapping
from typing import Any


@dataclasses.dataclass(frozen=True)
class Layout:
    """Paths inside a decoder.

    Attributes:
        layers: in order.
        norm: in front of the head; empty where there is none.
        head: what gives logits; empty where there is none.
    """

    layers: tuple[str, ...]
    norm: str
    head: str


def layout(model: Any) -> Layout | None:
    """Where the model's layers, last norm and head are; None for what is no stack of layers."""
    import torch

    count = getattr(model.config.get_text_config(), "num_hidden_layers", None)
    stacks = [
        path
        for path, module in model.named_modules()
        if isinstance(module, torch.nn.ModuleList) and len(module) == count
    ]
    if not stacks:
        return None
    path = stacks[0]
    parent, _, name = path.rpartition(".")
    norms = [
        child_name
        for child_name, child in model.get_submodule(parent).named_children()
        if "Norm" in type(child).__name__ and child_name != name
    ]
    head = model.get_output_embeddings()
    return Layout(
        layers=tuple(f"{path}.{number}" for number in range(len(model.get_submodule(path)))),
        norm=".".join(filter(None, (parent, norms[-1]))) if norms else "",
        head=next((at for at, module in model.named_modules() if module is head), ""),
    )


def carried(output: Any) -> Any:
    """The tensor that a layer hands on: its output, or the first of several."""
    return output[0] if isinstance(output, tuple) else output


def replaced(output: Any, tensor: Any) -> Any:
    """A layer's output with another tensor handed on."""
    return (tensor, *output[1:]) if isinstance(output, tuple) else tensor


def arriving(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
    """The tensor that a layer is given."""
    return args[0] if args else kwargs["hidden_states"]


@contextlib.contextmanager
def watched(
    model: Any,
    *,
    before: Mapping[str, Callable[..., Any]] | None = None,
    behind: Mapping[str, Callable[..., Any]] | None = None,
) -> Iterator[None]:
    """Hooks at modules, which are gone afterwards, whatever happens.

    Args:
        model: with the modules.
        before: path → ``hook(module, args, kwargs)``, which may give other ``(args, kwargs)``.
        behind: path → ``hook(module, args, output)``, which may give another output.
    """
    handles = []
    try:
        for path, hook in (before or {}).items():
            module = model.get_submodule(path)
            handles.append(module.register_forward_pre_hook(hook, with_kwargs=True))
        for path, hook in (behind or {}).items():
            handles.append(model.get_submodule(path).register_forward_hook(hook))
        yield
    finally:
        for handle in handles:
            handle.remove()


def logits(model: Any, ids: Any) -> Any:
    """The model's logits for rows of token ids of one length, in float32."""
    return model(input_ids=ids, use_cache=False).logits.float()


def tensor(model: Any, rows: tuple[tuple[int, ...], ...]) -> Any:
    """Rows of token ids where the model is."""
    import torch

    return torch.tensor(rows, device=next(model.parameters()).device)


@dataclasses.dataclass(frozen=True)
class Streams:
    """What flows through a model.

    Attributes:
        states: behind the embedding and behind each layer: rows × positions × width.
        logits: rows × positions × vocabulary, in float32.
    """

    states: tuple[Any, ...]
    logits: Any


def streams(model: Any, where: Layout, ids: Any) -> Streams:
    """Run the model and keep its residual stream."""
    import torch

    states: list[Any] = []

    def first(module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        states.append(arriving(args, kwargs))

    def each(module: Any, args: tuple[Any, ...], output: Any) -> None:
        states.append(carried(output))

    with (
        torch.no_grad(),
        watched(model, before={where.layers[0]: first}, behind=dict.fromkeys(where.layers, each)),
    ):
        given = logits(model, ids)
    return Streams(states=tuple(states), logits=given)


@contextlib.contextmanager
def patched(model: Any, where: Layout, behind: int, state: Any) -> Iterator[None]:
    """A residual stream of another run, put in behind a layer; -1 is behind the embedding."""

    def first(
        module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        put = state.to(arriving(args, kwargs))
        return ((put, *args[1:]), kwargs) if args else ((), {**kwargs, "hidden_states": put})

    def each(module: Any, args: tuple[Any, ...], output: Any) -> Any:
        return replaced(output, state.to(carried(output)))

    with (
        watched(model, before={where.layers[0]: first})
        if behind < 0
        else watched(model, behind={where.layers[behind]: each})
    ):
        yield


def divergence(base: Any, candidate: Any) -> Any:
    """KL(base || candidate) of each position, in nats, from logits."""
    import torch

    p = torch.log_softmax(base.float(), dim=-1)
    q = torch.log_softmax(candidate.float(), dim=-1)
    return (p.exp() * (p - q)).sum(dim=-1)


def names(where: Layout) -> tuple[str, ...]:
    """What the states of :class:`Streams` are called."""
    return ("embedding", *(f"layer {number}" for number in range(len(where.layers))))
