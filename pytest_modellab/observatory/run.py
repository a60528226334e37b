"""The base's run, with all that its modules took and gave, and how far the candidate is from it."""

from __future__ import annotations

import contextlib
import dataclasses
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from pytest_modellab.errors import DiagnosisError
from pytest_modellab.observatory import outcome, sites, tensors
from pytest_modellab.observatory.probes import Probes
from pytest_modellab.observatory.sites import Leaf
from pytest_modellab.observatory.subject import Subject

KEPT = 2**30
"""Bytes of kept activations, at most about."""


Windows = tuple[tuple[int, ...], ...]


@dataclasses.dataclass(frozen=True, eq=False)
class Call:
    """One call of a module.

    Attributes:
        input: its first tensor.
        outputs: the tensors that it gave.
    """

    input: Any
    outputs: tuple[Any, ...]


@dataclasses.dataclass(frozen=True, eq=False)
class Trace:
    """What happened in the base in one forward pass, a part of the windows in one batch.

    Attributes:
        windows: token ids, all of one width.
        calls: leaf's path → its calls; their tensors still have a graph.
        parts: path of an attention, an MLP or a layer → its calls.
        masks: path of an attention or a layer → the mask that it was given, or None.
        glue: paths of leaves whose input is no leaf's output.
        logits: float32, with their graph.
        logits_glue: whether the logits are something else than the last leaf's output.
    """

    windows: Windows
    calls: Mapping[str, tuple[Call, ...]]
    parts: Mapping[str, tuple[Call, ...]]
    masks: Mapping[str, Any]
    glue: frozenset[str]
    logits: Any
    logits_glue: bool

    def tensors(self) -> Iterator[Any]:
        """All tensors that an error can be measured against."""
        for calls in (*self.calls.values(), *self.parts.values()):
            for call in calls:
                yield call.input
                yield from call.outputs
        yield self.logits


@dataclasses.dataclass(frozen=True, eq=False)
class BaseRun:
    """The base on the probes.

    Attributes:
        subject: the base.
        leaves: those that were called, in call order.
        parts: the windows, in batches of one width.
        traces: a part each; None where they are made anew when asked for.
        logprobs: a part each, float32, on the base's device; of an encoder its vectors.
        seconds: of one forward over all parts.
    """

    subject: Subject
    leaves: tuple[Leaf, ...]
    parts: tuple[Windows, ...]
    traces: tuple[Trace | None, ...]
    logprobs: tuple[Any, ...]
    seconds: float

    @property
    def tokens(self) -> int:
        """Positions."""
        return sum(part.shape[:-1].numel() for part in self.logprobs)

    def trace(self, number: int) -> Trace:
        """What happened in a part."""
        return self.traces[number] or _traced(self.subject, self.parts[number], self.leaves)


@dataclasses.dataclass(frozen=True, eq=False)
class Damage:
    """How far a model's predictions are from the base's.

    Attributes:
        nats: ``mean KL(base || model)`` a token; NaN where predictions are not finite.
        both_ways: ``KL(base || model) + KL(model || base)``.
        positions: KL of every position, a (windows, width) tensor a part.
        logprobs: the model's, a part each, float32.
        finite: whether all of them are.
        seconds: of the forward.
    """

    nats: float
    both_ways: float
    positions: tuple[Any, ...]
    logprobs: tuple[Any, ...]
    finite: bool
    seconds: float


def base_run(subject: Subject, probes: Probes, leaves: Sequence[Leaf]) -> BaseRun:
    """Run the base, with a graph.

    Args:
        subject: the base; its parameters are left as they were.
        probes: what it reads.
        leaves: of its model.

    Returns:
        The run.

    Raises:
        DiagnosisError: a token id is none of the model's, or its predictions are not finite.
    """
    import torch

    _check(subject, probes)
    small = tuple(window[:2] for window in probes.windows[:1])
    trial = _traced(subject, small, leaves)
    named = {leaf.path: leaf for leaf in leaves}
    called = tuple(named[path] for path in trial.calls)
    a_token = tensors.size(trial.calls) / len(small[0])
    rows = [
        part
        for windows in probes.batches()
        for part in _split(windows, max(int(KEPT / a_token), 1))
    ]
    traces: list[Trace | None] = []
    logprobs, kept, seconds = [], 0.0, 0.0
    for windows in rows:
        start = time.perf_counter()
        trace = _traced(subject, windows, called)
        seconds += time.perf_counter() - start
        logprobs.append(outcome.of(subject.model).read(trace.logits.detach()))
        kept += a_token * len(windows) * len(windows[0])
        traces.append(trace if kept <= KEPT else None)
    if not all(bool(torch.isfinite(part).all()) for part in logprobs):
        raise DiagnosisError(
            f"{subject.side.name}: its own predictions are not finite, so nothing can be compared "
            "with it: choose another base"
        )
    return BaseRun(subject, called, tuple(rows), tuple(traces), tuple(logprobs), seconds)


def damage(run: BaseRun, model: Any, known: Damage | None = None) -> Damage:
    """Measure how far a model's predictions are from the base's.

    Args:
        run: the base's.
        model: with the same vocabulary.
        known: what was measured of the model against another base on the same probes, whose
            predictions are taken then.

    Returns:
        What the difference is.
    """
    import torch

    start = time.perf_counter()
    positions, logprobs, jeffreys = [], [], []
    finite = True
    compared = outcome.of(run.subject.model)
    with torch.no_grad():
        for number, (windows, base) in enumerate(zip(run.parts, run.logprobs, strict=True)):
            other = (
                known.logprobs[number].to(base.device)
                if known is not None and _alike(known.logprobs, run.logprobs)
                else compared.read(forward(model, windows).to(base.device))
            )
            finite = finite and bool(torch.isfinite(other).all())
            one_way, both = zip(*map(compared.distances, base, other), strict=True)
            positions.append(torch.stack(one_way))
            jeffreys.append(torch.stack(both).flatten())
            logprobs.append(other)
    nats = torch.cat([part.flatten() for part in positions]).double().mean().item()
    both_ways = torch.cat(jeffreys).double().mean().item()
    return Damage(
        nats,
        both_ways,
        tuple(positions),
        tuple(logprobs),
        finite,
        time.perf_counter() - start,
    )


def _alike(some: Sequence[Any], others: Sequence[Any]) -> bool:
    """Whether tensors are of the same shapes, one by one: the same parts of the same windows."""
    return [one.shape for one in some] == [one.shape for one in others]


def left(run: BaseRun, model: Any) -> float:
    """Measure ``mean KL(base || model)`` alone; NaN where a prediction is not finite."""
    import torch

    rows: list[Any] = []
    compared = outcome.of(run.subject.model)
    with torch.no_grad():
        for windows, base in zip(run.parts, run.logprobs, strict=True):
            for own, logits in zip(base, forward(model, windows).to(base.device), strict=True):
                rows.append(compared.apart(own, compared.read(logits)))
    return float(torch.cat(rows).double().mean())


def worst(run: BaseRun, found: Damage) -> tuple[BaseRun, Damage]:
    """The windows that hold most of the damage, a third of the tokens or little more.

    Args:
        run: the base's.
        found: the damage, on all of them.

    Returns:
        Both, of these windows.
    """
    import torch

    ranked = sorted(
        (-float(row.sum()), part, at)
        for part, rows in enumerate(found.positions)
        for at, row in enumerate(rows)
    )
    chosen: dict[int, list[int]] = {}
    tokens = 0
    for _, part, at in ranked:
        if 3 * tokens >= run.tokens:
            break
        chosen.setdefault(part, []).append(at)
        tokens += found.positions[part][at].numel()
    rows = sorted((part, sorted(places)) for part, places in chosen.items())
    positions = tuple(found.positions[part][places] for part, places in rows)
    few = dataclasses.replace(
        run,
        parts=tuple(tuple(run.parts[part][at] for at in places) for part, places in rows),
        traces=(None,) * len(rows),
        logprobs=tuple(run.logprobs[part][places] for part, places in rows),
    )
    nats = torch.cat([one.flatten() for one in positions]).double().mean().item()
    return few, dataclasses.replace(found, nats=nats, positions=positions, logprobs=())


def forward(model: Any, windows: Windows) -> Any:
    """Logits of a batch, in float32."""
    import torch

    ids = torch.tensor(windows, dtype=torch.long, device=device(model))
    return model(input_ids=ids, use_cache=False).logits.float()


def device(model: Any) -> Any:
    """Where a model's input goes."""
    return next(model.parameters()).device


@contextlib.contextmanager
def hooked(hooks: Sequence[Callable[[], Any]]) -> Iterator[None]:
    """Register hooks, and take them off again whatever happens."""
    with contextlib.ExitStack() as stack:
        for register in hooks:
            stack.callback(register().remove)
        yield


@contextlib.contextmanager
def frozen(model: Any) -> Iterator[None]:
    """Let no parameter ask for a gradient, and no module train."""
    asked = [parameter for parameter in model.parameters() if parameter.requires_grad]
    training = [module for module in model.modules() if module.training]
    try:
        for parameter in asked:
            parameter.requires_grad_(False)
        for module in training:
            module.training = False
        yield
    finally:
        for parameter in asked:
            parameter.requires_grad_(True)
        for module in training:
            module.training = True


def _traced(subject: Subject, windows: Windows, leaves: Sequence[Leaf]) -> Trace:
    """Run the base on some windows, and keep what its modules take and give."""
    import torch

    model = subject.model
    calls: dict[str, list[Call]] = {}
    parts: dict[str, list[Call]] = {}
    masks: dict[str, Any] = {}
    produced: dict[int, Any] = {}
    glue: set[str] = set()

    def leaf(path: str) -> Any:
        def hook(_module: Any, args: Any, kwargs: Any, output: Any) -> None:
            given = tensors.first(args, kwargs)
            outputs = tuple(tensors.floats(output))
            for one in outputs:
                if not one.requires_grad and one.is_leaf:
                    one.requires_grad_(True)
            if given.is_floating_point() and id(given) not in produced:
                glue.add(path)
            produced.update((id(one), one) for one in outputs)
            calls.setdefault(path, []).append(Call(given, outputs))

        return hook

    def part(path: str) -> Any:
        def hook(_module: Any, args: Any, kwargs: Any, output: Any) -> None:
            given = tensors.first(args, kwargs)
            parts.setdefault(path, []).append(Call(given, tuple(tensors.floats(output)[:1])))
            if "attention_mask" in kwargs:
                masks[path] = kwargs["attention_mask"]

        return hook

    def on(path: str, hook: Any) -> Any:
        return lambda: model.get_submodule(path).register_forward_hook(hook, with_kwargs=True)

    hooks = [
        *(on(one.path, leaf(one.path)) for one in leaves),
        *(on(path, part(path)) for path in sites.parts(leaves)),
    ]
    with frozen(model), hooked(hooks), torch.enable_grad():
        ids = torch.tensor(windows, dtype=torch.long, device=device(model))
        logits = model(input_ids=ids, use_cache=False).logits
    return Trace(
        windows,
        {path: tuple(rows) for path, rows in calls.items()},
        {path: tuple(rows) for path, rows in parts.items()},
        masks,
        frozenset(glue),
        logits.float(),
        id(logits) not in produced,
    )


def _split(windows: Windows, tokens: int) -> list[Windows]:
    rows = max(tokens // len(windows[0]), 1)
    return [windows[i : i + rows] for i in range(0, len(windows), rows)]


def _check(subject: Subject, probes: Probes) -> None:
    embedding = subject.model.get_input_embeddings()
    known = getattr(embedding, "num_embeddings", None) or subject.model.config.vocab_size
    largest = max((max(window) for window in probes.windows), default=0)
    if largest >= known:
        raise DiagnosisError(
            f"{subject.side.name}: the probes hold token {largest}, and its vocabulary ends at "
            f"{known - 1}: is the tokenizer another model's?"
        )
