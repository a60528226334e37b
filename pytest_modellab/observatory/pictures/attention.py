"""Attention: where heads look elsewhere than the base's."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator
from typing import Any

from pytest_modellab.observatory.pictures import framing, streams
from pytest_modellab.observatory.pictures.numbers import percent, row, short
from pytest_modellab.observatory.pictures.view import LeftOut, View
from pytest_modellab.records.diagnosis import Heat, Picture

SIZE = 32
"""Rows and columns of a pattern; more positions than that are summed up in groups."""


_SAME = 1e-3
"""Share of its attention that a head has to give to other places, to be spoken of."""


@dataclasses.dataclass(frozen=True)
class Heads:
    """What a layer's heads look at.

    Attributes:
        entropy: by head, mean over positions, as a share of the largest that is possible.
        largest: by head, mean over positions of the largest weight.
        sink: by head, mean over positions of the weight on the first token.
    """

    entropy: Any
    largest: Any
    sink: Any


def picture(view: View) -> Picture:
    """Layers × heads, drift of entropy; and both patterns of the head that differs most."""
    import torch

    where = view.layout
    base = patterns(view.base, where, view.long)
    candidate = patterns(view.candidate, where, view.long)
    if any(one.shape != other.shape for one, other in zip(base, candidate, strict=True)):
        raise LeftOut("the candidate has other heads")
    moved = torch.stack(
        [
            (other - one).abs().sum(-1).mean(-1) / 2
            for one, other in zip(base, candidate, strict=True)
        ]
    )
    ours = [heads(one) for one in base]
    theirs = [heads(one) for one in candidate]
    drift = [other.entropy - one.entropy for one, other in zip(ours, theirs, strict=True)]
    names = streams.names(where)[1:]
    known = torch.nan_to_num(moved, nan=torch.inf)
    layer, head = divmod(int(known.argmax()), known.shape[1])
    guilty = framing.layers(view.culprit)
    panels = [
        Heat(
            rows=names,
            columns=tuple(f"head {number}" for number in range(known.shape[1])),
            values=tuple(row(values.tolist()) for values in drift),
            middle=0.0,
            unit="drift of entropy, as a share of the largest",
            title="All heads",
            framed=tuple(
                (down, across) for down in guilty for across in _framed(view, known.shape[1])
            ),
        )
    ]
    if known[layer, head] >= _SAME:
        panels += [
            _pattern(view, side[layer][head], f"{names[layer]}, head {head}: {title}")
            for side, title in ((base, "base"), (candidate, "candidate"))
        ]
    return Picture(
        name="attention",
        title="Attention",
        sentence=sentence(moved.tolist(), ours, theirs),
        panels=tuple(panels),
    )


def _framed(view: View, count: int) -> tuple[int, ...]:
    name, _, head = (view.culprit or "").rpartition(".head.")
    if name and head.isdecimal() and int(head) < count:
        return (int(head),)
    return tuple(range(count))


def patterns(model: Any, where: streams.Layout, ids: tuple[int, ...]) -> list[Any]:
    """What each head of each layer looks at: heads × positions × positions, in float32."""
    import torch

    found: dict[str, Any] = {}

    def look(path: str) -> Any:
        def hook(module: Any, args: tuple[Any, ...], output: Any) -> None:
            if isinstance(output, tuple) and len(output) > 1 and path not in found:
                weights = output[1]
                if isinstance(weights, torch.Tensor) and weights.dim() == 4:
                    found[path] = weights[0].float().cpu()

        return hook

    paths = {
        f"{layer}.{name}": layer
        for layer in where.layers
        for name, module in model.get_submodule(layer).named_modules()
        if "Attention" in type(module).__name__
    }
    with (
        torch.no_grad(),
        eager(model),
        streams.watched(model, behind={path: look(layer) for path, layer in paths.items()}),
    ):
        streams.logits(model, streams.tensor(model, (ids,)))
    if len(found) < len(where.layers):
        raise LeftOut("the model does not hand out what its heads look at")
    return [found[layer] for layer in where.layers]


@contextlib.contextmanager
def eager(model: Any) -> Iterator[None]:
    """Attention that hands its weights out, in all parts of the model, for a while."""
    held = {}
    for module in model.modules():
        config = getattr(module, "config", None)
        if config is not None and hasattr(config, "_attn_implementation"):
            held[id(config)] = (config, config._attn_implementation)  # noqa: SLF001
    try:
        for config, _ in held.values():
            config._attn_implementation = "eager"  # noqa: SLF001 (the public setter checks, and warns)
        yield
    finally:
        for config, name in held.values():
            config._attn_implementation = name  # noqa: SLF001


def heads(pattern: Any) -> Heads:
    """The figures of a layer's heads, from what they look at; the first position has no choice."""
    import torch

    later = pattern[:, 1:]
    possible = torch.log(torch.arange(2, pattern.shape[-1] + 1, dtype=pattern.dtype))
    entropy = -torch.special.xlogy(later, later).sum(-1) / possible
    return Heads(
        entropy=entropy.mean(-1),
        largest=later.amax(-1).mean(-1),
        sink=later[..., 0].mean(-1),
    )


def _pattern(view: View, weights: Any, title: str) -> Heat:
    import torch

    count = len(weights)
    width = -(-count // SIZE)
    groups = [range(at, min(at + width, count)) for at in range(0, count, width)]
    put = torch.zeros(len(groups), count)
    for at, group in enumerate(groups):
        put[at, list(group)] = 1
    shown = (put / put.sum(1, keepdim=True)) @ weights @ put.T
    labels = tuple(
        view.token(view.long[group[0]]) if width == 1 else f"{group[0]} to {group[-1]}"
        for group in groups
    )
    return Heat(
        rows=labels,
        columns=labels,
        values=tuple(
            tuple(
                value if groups[across][0] <= groups[down][-1] or value else None
                for across, value in enumerate(row(values))
            )
            for down, values in enumerate(shown.tolist())
        ),
        middle=None,
        unit="share of attention: from each position (down) to each (across)",
        title=title,
    )


def sentence(moved: list[list[float]], base: list[Heads], candidate: list[Heads]) -> str:
    """What is to be seen in the heads.

    Args:
        moved: by layer and head, share of its attention that goes elsewhere.
        base: the base's figures by layer.
        candidate: the candidate's.
    """
    broken = [at for at, values in enumerate(moved) if any(value != value for value in values)]
    if broken:
        return f"From layer {broken[0]} on the candidate's attention is no number."
    flat = [
        (value, layer, head)
        for layer, values in enumerate(moved)
        for head, value in enumerate(values)
    ]
    most, layer, head = max(flat, key=lambda one: (one[0], -one[1], -one[2]))
    if most < _SAME:
        return f"Every head looks where the base's looks: at most {percent(most)} goes elsewhere."
    first = min(at for value, at, _ in flat if value >= _SAME)
    drift = float(candidate[layer].entropy[head] - base[layer].entropy[head])
    said = (
        f"Head {head} of layer {layer} differs most: {percent(most)} of its attention goes "
        f"elsewhere, its entropy {'rises' if drift > 0 else 'falls'} by {short(abs(drift))}; "
        + (
            f"heads up to layer {first - 1} look where the base's look"
            if first
            else "heads differ from layer 0 on"
        )
    )
    collapsed = [
        f"{at}.{number}"
        for at, (ours, theirs) in enumerate(zip(base, candidate, strict=True))
        for number in range(len(ours.entropy))
        if _collapsed(theirs, number) and not _collapsed(ours, number)
    ]
    if collapsed:
        said += f"; collapsed to one token (layer.head): {', '.join(collapsed[:6])}"
        said += f" and {len(collapsed) - 6} more" if len(collapsed) > 6 else ""
    sinks = [sum(float(one.sink.mean()) for one in side) / len(side) for side in (base, candidate)]
    if abs(sinks[1] - sinks[0]) >= 0.02:
        said += f"; the first token draws {percent(sinks[1])} in place of {percent(sinks[0])}"
    return f"{said}."


def _collapsed(of: Heads, head: int) -> bool:
    return bool(of.entropy[head] < 0.05) and bool(of.largest[head] > 0.95)
