"""What all pictures look at: both models, a few windows, and what was found before."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

from pytest_modellab.observatory import nodes, outcome, sites
from pytest_modellab.observatory.examination import Examination
from pytest_modellab.observatory.pictures import streams
from pytest_modellab.observatory.pictures.question import Question, asked
from pytest_modellab.observatory.sites import Leaf
from pytest_modellab.records.diagnosis import Finding, Measure, NodeError, WeightChange
from pytest_modellab.visible import shortened, visible

ROWS = 2
"""Short windows that pictures are measured on."""


class LeftOut(Exception):
    """A picture is not drawn; the text says why."""


@dataclasses.dataclass(frozen=True)
class View:
    """What all pictures look at.

    Attributes:
        base: the base's model.
        candidate: the candidate's.
        leaves: of the base.
        windows: token ids; those of most damage first, widths may differ.
        decode: one token's text.
        nodes: what enters where.
        weights: what changed.
        findings: what was found.
        culprit: the site that is named, or None.
        exchanged: gives a model to run, with the culprit from the base in it, for a while; or None.
        question: of a sample that flipped, or None.
        measure: what nats are counted in.
    """

    base: Any
    candidate: Any
    leaves: tuple[Leaf, ...]
    windows: tuple[tuple[int, ...], ...]
    decode: Callable[[int], str]
    nodes: tuple[NodeError, ...] = ()
    weights: tuple[WeightChange, ...] = ()
    findings: tuple[Finding, ...] = ()
    culprit: str | None = None
    exchanged: Callable[[], AbstractContextManager[Any]] | None = None
    question: Question | None = None
    measure: Measure = "nats"

    @functools.cached_property
    def layout(self) -> streams.Layout:
        """Where the layers are, in both models."""
        where = streams.layout(self.base)
        if where is None:
            raise LeftOut("the base is no stack of layers that could be found")
        for path in where.layers:
            for model in (self.base, self.candidate):
                if sites.module(model, path) is None:
                    raise LeftOut(f"the candidate has no {path}")
        return where

    @functools.cached_property
    def short(self) -> tuple[tuple[int, ...], ...]:
        """The windows of most damage among those of the most frequent width."""
        widths = [len(window) for window in self.windows]
        width = max(widths, key=lambda one: (widths.count(one), -one))
        return tuple(window for window in self.windows if len(window) == width)[:ROWS]

    @functools.cached_property
    def long(self) -> tuple[int, ...]:
        """The first of the widest windows."""
        return max(self.windows, key=len)

    @functools.cached_property
    def base_streams(self) -> streams.Streams:
        """The base's residual stream on the short windows."""
        return streams.streams(self.base, self.layout, streams.tensor(self.base, self.short))

    @functools.cached_property
    def candidate_streams(self) -> streams.Streams:
        """The candidate's residual stream on the short windows."""
        return streams.streams(
            self.candidate, self.layout, streams.tensor(self.candidate, self.short)
        )

    @functools.cached_property
    def divergence(self) -> Any:
        """KL(base || candidate) on the short windows: rows × positions."""
        return streams.divergence(
            self.base_streams.logits, self.candidate_streams.logits.to(self.base_streams.logits)
        )

    def token(self, number: int) -> str:
        """A token's text, fit to be a label."""
        return shortened(visible(self.decode(number)), 24)


def of(examination: Examination) -> View:
    """What pictures look at in an examination."""
    import torch

    windows = [window for part in examination.run.parts for window in part]
    nats = torch.cat([part.mean(-1).cpu() for part in examination.damage.positions])
    worst = torch.nan_to_num(nats, nan=torch.inf).sort(descending=True, stable=True).indices
    tokenizer = examination.base.tokenizer
    group = examination.culprit
    return View(
        base=examination.base.model,
        candidate=examination.candidate.model,
        leaves=examination.leaves,
        windows=tuple(windows[at] for at in worst.tolist()),
        decode=_number if tokenizer is None else lambda token: str(tokenizer.decode([token])),
        nodes=nodes.errors(examination) if examination.damage.finite else (),
        weights=examination.weights,
        findings=examination.findings,
        culprit=None if group is None else group.site,
        exchanged=None if group is None else examination.exchanged,
        question=None if tokenizer is None else asked(examination.probes, tokenizer),
        measure=outcome.of(examination.base.model).measure,
    )


def _number(token: int) -> str:
    return f"token {token}"
