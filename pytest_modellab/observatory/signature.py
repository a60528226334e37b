"""What an attention or an MLP does wrong, by where it begins and what would compute the same."""

from __future__ import annotations

import contextlib
import dataclasses
import math
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from pytest_modellab.observatory import reference, tensors
from pytest_modellab.observatory.run import BaseRun, Trace, forward, frozen, hooked

if TYPE_CHECKING:
    from pytest_modellab.observatory.reference import Array

_BEGINS = 0.01
"""The share of the largest error from which a position counts as wrong."""

_EXPLAINED = 0.02
"""The share of the squared error that a hypothesis may leave, rounding apart."""

_OUTSIDE = 0.3
"""How much of what a head gives may be no mixture of the values that it could have seen."""

_AGREES = 1e-2
"""The relative error up to which the reference computes what the base's attention does."""

_FUNCTION = 0.02
"""What may be left of values that are a function of others, for they are rounded and not dense."""


@dataclasses.dataclass(frozen=True, eq=False)
class Inputs:
    """What an attention computes from, for one text.

    Attributes:
        q: (heads, positions, size), not rotated.
        k: (groups, positions, size), not rotated.
        v: the same.
        cos: (positions, rotated).
        sin: the same.
        scale: of the products.
        window: how many positions a token sees, or None.
    """

    q: Array
    k: Array
    v: Array
    cos: Array
    sin: Array
    scale: float
    window: int | None = None


@dataclasses.dataclass(frozen=True)
class Signature:
    """The class of a fault in the code of an attention, or of an MLP.

    Attributes:
        fault: ``not_causal``, ``window(16)``, ``attention_scale(0.5)``, ``rope``, ``activation`` or
            ``code``.
        detail: what was seen, a part of a sentence.
        begins: the first position that is wrong.
        left: the share of the squared error that the hypothesis leaves; None without one.
    """

    fault: str
    detail: str
    begins: int
    left: float | None = None

    @property
    def evidence(self) -> Mapping[str, float | str]:
        """Figures for a finding."""
        left = {} if self.left is None else {"left_by_hypothesis": round(self.left, 4)}
        return {"first_position": self.begins, **left}


def of(inputs: Inputs, base: Array, candidate: Array, *, rounding: float = 1e-5) -> Signature:
    """Name what an attention does wrong.

    Args:
        inputs: what both compute from.
        base: (positions, heads · size), what the base's attention makes of it.
        candidate: what the candidate's does.
        rounding: relative error of a position that is rounding.

    Returns:
        The class.
    """
    import numpy as np

    size = np.maximum(np.linalg.norm(base, axis=-1), np.finfo(np.float64).tiny)
    errors = np.linalg.norm(candidate - base, axis=-1) / size
    if not np.isfinite(errors).all():
        first = int(np.argmin(np.isfinite(errors)))
        return Signature("code", f"it is not finite from position {first} on", first)
    wrong = errors > max(_BEGINS * float(errors.max()), rounding)
    if not wrong.any():
        return Signature("code", "it is as the base's on this text", len(errors))
    begins = int(np.argmax(wrong))
    case = _Case(inputs, base, candidate, rounding)
    if begins == 0:
        return _from_the_start(case)
    if begins > 1:
        return _from_a_distance(case, begins)
    return _otherwise(case, begins)


@dataclasses.dataclass(frozen=True, eq=False)
class _Case:
    """An attention that is wrong."""

    inputs: Inputs
    base: Array
    candidate: Array
    rounding: float

    def left(self, **changes: Any) -> float:
        """The share of the squared error that a hypothesis leaves."""
        return self.share(computed(self.inputs, **changes))

    def share(self, found: Array) -> float:
        """The share of the squared error that is left where this is computed."""
        import numpy as np

        error = np.square(self.candidate - self.base).sum()
        return float(np.square(self.candidate - found).sum() / error)

    @property
    def allowed(self) -> float:
        """What a hypothesis may leave: rounding is left by a right one, too."""
        import numpy as np

        error = np.square(self.candidate - self.base).sum()
        rounded = (self.rounding / 4) ** 2 * np.square(self.base).sum() / error
        return min(_EXPLAINED + float(rounded), 0.5)


def computed(
    inputs: Inputs,
    *,
    scale: float = 1.0,
    window: int | None = 0,
    causal: bool = True,
    rotated: bool = True,
    faster: float = 1.0,
    rotate: Callable[[Array, Array, Array], Array] = reference.rotate,
) -> Array:
    """Compute an attention by the reference, under a hypothesis.

    Args:
        inputs: what it computes from.
        scale: times the right one.
        window: in place of the right one, 0 for that.
        causal: whether nothing later is seen.
        rotated: whether queries and keys are.
        faster: how much larger each rotation is, as with positions that are stretched.
        rotate: heads by tables.

    Returns:
        (positions, heads · size).
    """
    import numpy as np

    q, k = inputs.q, inputs.k
    if rotated:
        cos, sin = inputs.cos, inputs.sin
        if faster != 1.0:
            factor = np.hypot(cos, sin)
            angle = np.unwrap(np.arctan2(sin, cos), axis=0) * faster
            cos, sin = factor * np.cos(angle), factor * np.sin(angle)
        q, k = rotate(q, cos, sin), rotate(k, cos, sin)
    wide = inputs.window if window == 0 else window
    mask = reference.seen(q.shape[1], k.shape[1], wide, causal=causal)
    return reference.attention(q, k, inputs.v, inputs.scale * scale, mask)


def _from_the_start(case: _Case) -> Signature:
    import numpy as np

    times = float((case.candidate * case.base).sum() / np.square(case.base).sum())
    rest = case.share(times * case.base)
    if rest <= case.allowed:
        return Signature("code", f"what it gives is {times:.3g} times the base's", 0, rest)
    future = case.left(causal=False)
    if future > case.allowed and _outside(case) > _OUTSIDE:
        return Signature("code", "the first token is wrong, and no mask makes it so", 0, future)
    detail = "the first token is wrong, so that it sees what comes later"
    return Signature("not_causal", detail, 0, future)


def _outside(case: _Case) -> float:
    """How much of what the first token is given is no mixture of values, at its worst head."""
    import numpy as np
    from scipy.optimize import nnls

    values = case.inputs.v
    heads = np.split(case.candidate[0], case.inputs.q.shape[0])
    shared = len(heads) // len(values)
    worst = 0.0
    for number, head in enumerate(heads):
        rows = values[number // shared]
        size = float(np.linalg.norm(rows)) / math.sqrt(len(rows))
        ones = np.full((1, len(rows)), size)  # shares of a mixture add up to one
        _, rest = nnls(np.concatenate([rows.T, ones]), np.append(head, size))
        worst = max(worst, float(rest) / max(float(np.linalg.norm(head)), 1e-12))
    return worst


def _from_a_distance(case: _Case, begins: int) -> Signature:
    rest = case.left(window=begins)
    wide = case.inputs.window
    if wide is not None and (free := case.left(window=None)) <= case.allowed:
        return Signature("window(none)", f"the base sees {wide} tokens, it sees all", begins, free)
    if rest <= case.allowed:
        detail = f"the first {begins} tokens are right, and later ones see no more than {begins}"
        return Signature(f"window({begins})", detail, begins, rest)
    return _otherwise(case, begins)


def _otherwise(case: _Case, begins: int) -> Signature:
    scales = tuple(2.0 ** (i / 2) for i in range(-8, 9) if i)
    scaled, factor = _least(case.left, "scale", scales)
    turned, faster = _least(case.left, "faster", (0.125, 0.25, 0.5, 0.9, 1.1, 2.0, 4.0, 8.0))
    neighbours = "each dimension is rotated against its neighbour, and not half against half"
    found = [
        (scaled, f"attention_scale({factor:.3g})", f"its products are {factor:.3g} times as large"),
        (case.left(rotated=False), "rope", "queries and keys are not rotated"),
        (case.left(faster=-1.0), "rope", "queries and keys are rotated backwards"),
        (turned, "rope", f"rotations are {faster:.3g} times the base's"),
        (case.left(rotate=reference.rotate_neighbours), "rope", neighbours),
        (case.left(rotate=_neighbours), "rope", neighbours),
        (case.left(window=1), "window(1)", "each token sees itself alone"),
    ]
    rest, fault, detail = min(found)
    if rest > case.allowed:
        return Signature("code", "no hypothesis explains it", begins, rest)
    return Signature(fault, f"computed anew so that {detail}, it is the same", begins, rest)


def _neighbours(x: Array, cos: Array, sin: Array) -> Array:
    """Rotate neighbours by one angle: of tables that are made for halves, each column twice."""
    import numpy as np

    half = cos.shape[-1] // 2
    cos, sin = (np.repeat(one[..., :half], 2, axis=-1) for one in (cos, sin))
    return reference.rotate_neighbours(x, cos, sin)


def _least(left: Callable[..., float], name: str, tried: tuple[float, ...]) -> tuple[float, float]:
    """The value of a hypothesis that leaves least, refined by golden section in its logarithm."""
    best = min(tried, key=lambda value: left(**{name: value}))
    place = tried.index(best)
    low = math.log(tried[max(place - 1, 0)])
    high = math.log(tried[min(place + 1, len(tried) - 1)])
    ratio = (math.sqrt(5) - 1) / 2
    for _ in range(16):
        a, b = high - ratio * (high - low), low + ratio * (high - low)
        if left(**{name: math.exp(a)}) < left(**{name: math.exp(b)}):
            high = b
        else:
            low = a
    refined = math.exp((low + high) / 2)
    rest, other = (left(**{name: value}) for value in (best, refined))
    round_ = math.log2(best).is_integer() and abs(math.log(refined / best)) < 0.02
    close = round_ and rest < 0.01
    return (rest, best) if close or rest <= other else (other, refined)


def examine(run: BaseRun, model: Any, path: str) -> Signature:
    """Name what an attention of a candidate does wrong, on the longest window.

    Args:
        run: the base's.
        model: the candidate's.
        path: the attention's, in the base.

    Returns:
        The class; ``code`` where the reference does not compute what the base's attention does.
    """
    import numpy as np

    number = max(range(len(run.parts)), key=lambda i: len(run.parts[i][0]))
    trace = run.trace(number)
    inputs = inputs_of(run, trace, path)
    output = f"{path}.o_proj"
    if inputs is None or output not in trace.calls:
        return Signature("code", "its parts are not those of the reference", 0)
    base = _array(trace.calls[output][0].input[0])
    agrees = np.linalg.norm(computed(inputs) - base) <= _AGREES * np.linalg.norm(base)
    if not agrees:
        return Signature("code", "the base's attention is not that of the reference", 0)
    arrived = _arrived(run, trace, model, output)
    if arrived is None:
        return Signature("code", "the candidate has no such attention", 0)
    return of(inputs, base, _array(arrived[0]), rounding=_rounding(arrived))


def gated(run: BaseRun, model: Any, path: str) -> Signature:
    """Name what a gated MLP of a candidate does wrong between its projections.

    Args:
        run: the base's.
        model: the candidate's.
        path: the MLP's, in the base.

    Returns:
        ``activation`` where what goes into ``down_proj``, divided by what ``up_proj`` gives, is a
        function of what ``gate_proj`` gives, value by value; else ``code``.
    """
    trace = run.trace(max(range(len(run.parts)), key=lambda i: len(run.parts[i][0])))
    down = f"{path}.down_proj"
    calls = [trace.calls.get(f"{path}.{name}_proj") for name in ("gate", "up", "down")]
    if not all(calls):
        return Signature("code", "", 0)
    gate, up = (_array(call[0].outputs[0][0]) for call in calls[:2] if call)
    arrived = _arrived(run, trace, model, down)
    if arrived is None or arrived[0].shape != gate.shape:
        return Signature("code", "", 0)
    rest = _unordered(gate, up, _array(arrived[0]))
    if rest > _FUNCTION:
        return Signature("code", "", 0, rest)
    return Signature("activation", "what is done to the gate's values is another function", 0, rest)


def _unordered(gate: Array, up: Array, product: Array) -> float:
    """How little ``product / up`` is a function of ``gate``: 0 if it is one, 1 if it is none.

    It is the quotient of von Neumann (1941): half the mean squared difference of values that are
    neighbours in the order of the gate, by their variance.
    """
    import numpy as np

    large = np.abs(up) > 0.3 * np.sqrt(np.mean(np.square(up)))  # what is divided by is no rounding
    order = np.argsort(gate[large], kind="stable")
    values = (product[large] / up[large])[order]
    spread = float(np.var(values)) if len(values) > 1 else 0.0
    if not spread or not math.isfinite(spread):
        return 1.0
    return float(np.mean(np.square(np.diff(values))) / 2) / spread


def inputs_of(run: BaseRun, trace: Trace, path: str) -> Inputs | None:
    """What an attention of the base computes from in the first window of a part, or None."""
    module = run.subject.model.get_submodule(path)
    config = getattr(module, "config", run.subject.model.config)
    tables = next((leaf.path for leaf in run.leaves if leaf.kind == "rope"), "")
    size: Any = getattr(module, "head_dim", None)
    calls = []
    for name in ("q", "k", "v"):
        normed = trace.calls.get(f"{path}.{name}_norm")
        call = normed or trace.calls.get(f"{path}.{name}_proj")
        if not call or not size:
            return None
        rows = _array(call[0].outputs[0][0])
        calls.append(rows.reshape(rows.shape[0], -1, size).swapaxes(0, 1))
    if tables not in trace.calls or len(trace.calls[tables][0].outputs) != 2:
        return None
    cos, sin = (_array(one[0]) for one in trace.calls[tables][0].outputs)
    if cos.shape[0] != calls[0].shape[1]:
        return None
    scale = float(getattr(module, "scaling", 1 / math.sqrt(size)))
    window = getattr(module, "sliding_window", None)
    if window is None and getattr(config, "use_sliding_window", False):
        window = getattr(config, "sliding_window", None)
    q, k, v = calls
    return Inputs(q, k, v, cos, sin, scale, window)


def _arrived(run: BaseRun, trace: Trace, model: Any, output: str) -> Any:
    """What the candidate's attention hands to its output projection, given the base's inputs."""
    found: list[Any] = []
    counts: dict[str, int] = {}

    def arriving(path: str) -> Callable[..., Any]:
        def hook(_module: Any, args: Any, kwargs: Any) -> Any:
            given = tensors.first(args, kwargs)
            if path == output and not found:
                found.append(given.detach().clone())
            calls = trace.calls[path]
            wanted = calls[min(counts.get(path, 0), len(calls) - 1)].input
            if given.shape != wanted.shape:
                return None
            return tensors.put_first(args, kwargs, tensors.like(wanted, given).clone())

        return hook

    def leaving(path: str) -> Callable[..., Any]:
        def hook(_module: Any, _args: Any, given: Any) -> Any:
            number = counts.get(path, 0)
            counts[path] = number + 1
            calls = trace.calls[path]
            wanted = calls[min(number, len(calls) - 1)].outputs
            theirs = tensors.floats(given)
            if [one.shape for one in theirs] != [one.shape for one in wanted]:
                return None
            right = [
                tensors.like(one, other).clone() for one, other in zip(wanted, theirs, strict=True)
            ]
            return tensors.put_floats(given, right)

        return hook

    hooks: list[Callable[[], Any]] = []
    for leaf in run.leaves:
        with contextlib.suppress(AttributeError):
            module = model.get_submodule(leaf.path)
            hooks += _both(module, arriving(leaf.path), leaving(leaf.path))
    import torch

    with torch.no_grad(), frozen(model), hooked(hooks):
        forward(model, trace.windows)
    return found[0] if found else None


def _both(module: Any, arriving: Any, leaving: Any) -> Iterator[Callable[[], Any]]:
    yield lambda: module.register_forward_pre_hook(arriving, with_kwargs=True)
    yield lambda: module.register_forward_hook(leaving)


def _array(tensor: Any) -> Array:
    found: Array = tensor.detach().cpu().double().numpy()
    return found


def _rounding(tensor: Any) -> float:
    import torch

    return max(4 * float(torch.finfo(tensor.dtype).eps), 1e-5)
