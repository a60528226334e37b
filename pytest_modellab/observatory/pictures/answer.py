"""The answer: what the fault does to one token, and where it can be mended."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from pytest_modellab.observatory.pictures import framing, streams
from pytest_modellab.observatory.pictures.numbers import plain, row, short
from pytest_modellab.observatory.pictures.question import Question
from pytest_modellab.observatory.pictures.view import View
from pytest_modellab.records.diagnosis import Heat, Lines, Picture, Series

CELLS = 8
"""Cells of the map that are measured."""


POSITIONS = 24
"""Positions that are shown, the last ones."""


@dataclasses.dataclass(frozen=True)
class Cell:
    """One place of the residual stream.

    Attributes:
        state: index of the state, 0 behind the embedding.
        position: of the token.
        estimated: margin that the base's state gives back here, by the gradient.
        measured: the same, measured.
    """

    state: int
    position: int
    estimated: float
    measured: float


def picture(view: View) -> Picture:
    """The margin of one answer, and the map of what the base's states give back of it."""
    import torch

    where = view.layout
    asked = view.question if view.question is not None else hardest(view)
    ids = streams.tensor(view.candidate, (asked.ids,))
    with torch.no_grad():
        mine = streams.streams(view.candidate, where, ids)
    have = float(margin(mine.logits[0, -1], asked))
    ours, slopes, want = felt(view.base, where, asked)
    lost = _estimates(ours, mine.states, slopes, abs(want - have))
    start = max(0, len(asked.ids) - POSITIONS)
    cells = measured(view, where, asked, ours, lost, start, have)
    margins = {"candidate": have}
    if view.exchanged is not None and view.culprit is not None:
        with view.exchanged() as mended, torch.no_grad():
            again = streams.logits(mended, ids)
        margins[f"with the base's {view.culprit}"] = float(margin(again[0, -1], asked))
    margins["base"] = want
    names = streams.names(where)
    tokens = tuple(view.token(token) for token in asked.ids[start:])
    values = [list(row(one)) for one in lost[:, start:].tolist()]
    for cell in cells:
        values[cell.state][cell.position - start] = plain(cell.measured)
    guilty = [number + 1 for number in framing.layers(view.culprit)]
    panels: list[Heat | Lines] = [
        Lines(
            x=tuple(margins),
            series=(Series("margin", row(margins.values())),),
            x_name="model",
            unit="nats, right over wrong",
            title=f"{view.token(asked.right)!r} over {view.token(asked.wrong[0])!r}",
            bars=True,
        ),
        Heat(
            rows=names,
            columns=tokens,
            values=tuple(tuple(one) for one in values),
            middle=0.0,
            unit="nats of margin that the base's state gives back here, at most all of it",
            title="Where the base's state mends it",
            framed=tuple((down, across) for down in guilty for across in range(len(tokens))),
        ),
    ]
    if cells:
        panels.append(
            Lines(
                x=tuple(
                    f"{names[cell.state]}, {tokens[cell.position - start]!r} ({cell.position})"
                    for cell in cells
                ),
                series=(
                    Series("estimated", row(cell.estimated for cell in cells)),
                    Series("measured", row(cell.measured for cell in cells)),
                ),
                x_name="place",
                unit="nats of margin",
                title="The largest, measured",
                bars=True,
            )
        )
    return Picture(
        name="answer",
        title="The answer",
        sentence=sentence(margins, cells, names, tokens, start),
        panels=tuple(panels),
    )


def _estimates(base: Any, candidate: Any, slopes: Any, whole: float) -> Any:
    """What the base's state gives back at each place, to first order, and no more than all of it.

    Where a state is far away the gradient promises many times what there is.
    """
    import torch

    given = torch.stack(
        [
            ((one - other.to(one)) * gradient)[0].float().sum(-1)
            for one, other, gradient in zip(base, candidate, slopes, strict=True)
        ]
    )
    return given.clamp(-whole, whole).cpu() if math.isfinite(whole) else given.cpu()


def hardest(view: View) -> Question:
    """The token of the probes at which the candidate is farthest from the base."""
    import torch

    known = torch.nan_to_num(view.divergence, nan=torch.inf)
    sample, position = divmod(int(known.argmax()), known.shape[1])
    right, second = view.base_streams.logits[sample, position].topk(2).indices.tolist()
    said = int(torch.nan_to_num(view.candidate_streams.logits[sample, position]).argmax())
    return Question(
        ids=view.short[sample][: position + 1],
        right=right,
        wrong=(second if said == right else said,),
    )


def margin(logits: Any, asked: Question) -> Any:
    """Log-probability of the right token over that of the likeliest wrong one."""
    return logits[asked.right] - logits[list(asked.wrong)].max()


def felt(model: Any, where: streams.Layout, asked: Question) -> tuple[list[Any], list[Any], float]:
    """The model's states, the margin's gradient at each, and its margin."""
    import torch

    states: list[Any] = []

    def first(
        module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        states.append(streams.arriving(args, kwargs).detach().requires_grad_())
        if args:
            return (states[0], *args[1:]), kwargs
        return (), {**kwargs, "hidden_states": states[0]}

    def each(module: Any, args: tuple[Any, ...], output: Any) -> None:
        states.append(streams.carried(output))

    with (
        torch.enable_grad(),
        streams.watched(
            model, before={where.layers[0]: first}, behind=dict.fromkeys(where.layers, each)
        ),
    ):
        given = streams.logits(model, streams.tensor(model, (asked.ids,)))
        value = margin(given[0, -1], asked)
        slopes = torch.autograd.grad(value, states)
    return [state.detach() for state in states], list(slopes), float(value.detach())


def measured(
    view: View,
    where: streams.Layout,
    asked: Question,
    states: list[Any],
    estimates: Any,
    start: int,
    have: float,
) -> tuple[Cell, ...]:
    """The largest cells of the map, :func:`apart`, measured: all in one run, a row each."""
    import torch

    shown = torch.nan_to_num(estimates[:, start:])
    places = [(state, start + across) for state, across in apart(shown.tolist())]
    if not places:
        return ()
    ids = streams.tensor(view.candidate, (asked.ids,) * len(places))
    with torch.no_grad(), _cells(view.candidate, where, states, places):
        given = streams.logits(view.candidate, ids)
    return tuple(
        Cell(
            state=state,
            position=position,
            estimated=float(estimates[state, position]),
            measured=float(margin(given[at, -1], asked)) - have,
        )
        for at, (state, position) in enumerate(places)
    )


def apart(estimates: list[list[float]]) -> list[tuple[int, int]]:
    """The largest cells of a map, no two of one column next to each other.

    The residual stream carries an error on, so the neighbours of a large cell are large as well.
    """
    reach = max(1, len(estimates) // 10)
    ranked = sorted(
        ((down, across) for down, row in enumerate(estimates) for across in range(len(row))),
        key=lambda cell: (-abs(estimates[cell[0]][cell[1]]), cell),
    )
    chosen: list[tuple[int, int]] = []
    for down, across in ranked:
        if len(chosen) == CELLS or estimates[down][across] == 0:
            break
        if all(across != other or abs(down - at) >= reach for at, other in chosen):
            chosen.append((down, across))
    return chosen


@contextmanager
def _cells(
    model: Any, where: streams.Layout, states: list[Any], places: list[tuple[int, int]]
) -> Iterator[None]:
    """Row by row, one position of one state is the base's."""

    def put(stream: Any, state: int) -> Any:
        mended = stream.clone()
        for at, (where_to, position) in enumerate(places):
            if where_to == state:
                mended[at, position] = states[state][0, position].to(stream)
        return mended

    def first(
        module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        mended = put(streams.arriving(args, kwargs), 0)
        return ((mended, *args[1:]), kwargs) if args else ((), {**kwargs, "hidden_states": mended})

    def behind(state: int) -> Any:
        def hook(module: Any, args: tuple[Any, ...], output: Any) -> Any:
            return streams.replaced(output, put(streams.carried(output), state))

        return hook

    touched = sorted({state for state, _ in places if state})
    with streams.watched(
        model,
        before={where.layers[0]: first},
        behind={where.layers[state - 1]: behind(state) for state in touched},
    ):
        yield


def sentence(
    margins: dict[str, float],
    cells: tuple[Cell, ...],
    names: tuple[str, ...],
    tokens: tuple[str, ...],
    start: int,
) -> str:
    """What is to be seen in the margins and in the map."""
    have, want = margins["candidate"], margins["base"]
    said = (
        f"The right token's margin is {short(want)} nats in the base and {short(have)} in the "
        f"candidate"
    )
    mended = [(name, value) for name, value in margins.items() if name not in ("candidate", "base")]
    if mended:
        said += f", {short(mended[0][1])} {mended[0][0]}"
    if have != have:
        return f"{said}: it is no number."
    if abs(want - have) < 1e-3:
        return f"{said}: the answer is the same."
    if not cells:
        return f"{said}; all states are the base's, so it is lost behind the layers."
    if have > want:
        return f"{said}: it answers this one better than the base."
    earliest = [cell for cell in cells if cell.measured >= 0.5 * (want - have) > 0]
    if not earliest:
        best = max(cells, key=lambda cell: cell.measured)
        return (
            f"{said}; no single place gives half of it back, the best of those measured is "
            f"{names[best.state]} at {tokens[best.position - start]!r} ({short(best.measured)})."
        )
    cell = min(earliest, key=lambda cell: (cell.state, cell.position))
    return (
        f"{said}; of the places measured, the first that gives half of it back is "
        f"{names[cell.state]} at {tokens[cell.position - start]!r} ({short(cell.measured)})."
    )
