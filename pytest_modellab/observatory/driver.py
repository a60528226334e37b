"""A candidate is examined, step by step."""

from __future__ import annotations

import contextlib
import dataclasses
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from pytest_modellab.engines.language.reasoning import Reasoning
from pytest_modellab.errors import DiagnosisError
from pytest_modellab.observatory import forced, sites, transplant, verdict
from pytest_modellab.observatory import pictures as pictured
from pytest_modellab.observatory import probes as probing
from pytest_modellab.observatory import run as running
from pytest_modellab.observatory.added import Probe, Seen, look
from pytest_modellab.observatory.examination import Examination
from pytest_modellab.observatory.groups import Group
from pytest_modellab.observatory.probes import Probes
from pytest_modellab.observatory.subject import Subject, plain
from pytest_modellab.records.diagnosis import SCHEMA, Diagnosis, Finding, NodeError, Side


def diagnose(
    base: Any,
    candidate: Any,
    probes: Any = None,
    tokens: int = 448,
    *,
    tokenizer: Any = None,
    long: int = 128,
    pictures: bool = True,
    budget: float | None = None,
    added: Sequence[Probe] = (),
    examined: Callable[[Examination], None] = lambda _: None,
) -> Diagnosis:
    """Name the part of a candidate that is damaged, proved by putting the base's part back.

    Args:
        base: what is right: an engine of transformers, a :class:`Subject`, a pair of model and
            tokenizer, or a model.
        candidate: what is examined, likewise.
        probes: :class:`Probes`, texts, or rows of token ids; None for built-in texts.
        tokens: in all probes.
        tokenizer: of both, where models come without one.
        long: width of the long window.
        pictures: whether pictures are drawn.
        budget: seconds; what is not needed for a name is left out where they are up, and that is
            noted.
        added: probes of plugins.
        examined: called at last, with the models still loaded and what was found.

    Returns:
        What was found out.

    Raises:
        DiagnosisError: the models cannot be examined.
    """
    clock = _Clock()
    one = subject(base, "base", tokenizer)
    other = subject(candidate, "candidate", tokenizer)
    asked = _probes(one, probes, tokens, long)
    with clock("base run"):
        base_run = running.base_run(one, asked, sites.leaves(one.model))
    with clock("damage"):
        found = running.damage(base_run, other.model)
    with clock("leaf pass"):
        passes = forced.leaf_pass(base_run, found, other.model)
    examination = Examination(
        one, other, asked, base_run.leaves, base_run, found, passes, (), long=long
    )
    with clock("transplants"):
        findings = _proved(examination)
    said = verdict.decide(found.nats, findings, "unexplained")
    examination = dataclasses.replace(examination, findings=tuple(findings))
    notes: list[str] = []
    seen = Seen()
    if budget is not None and clock.total >= budget:
        notes.append(f"the time was up after {clock.total:.0f} s: pictures and probes are left out")
    else:
        with clock("added probes"):
            seen = look(examination, added)
        with clock("answers"):
            examined(examination)
    drawn = pictured.Drawn()
    if pictures and not (budget is not None and clock.total >= budget):
        with clock("pictures"):
            left = None if budget is None else budget - clock.total
            drawn = pictured.draw(examination, left)
    return Diagnosis(
        SCHEMA,
        one.side,
        other.side,
        "internals",
        said.culprit,
        said.fault,
        said.headline,
        found.nats,
        asked.tokens,
        restored=findings[0].restored if said.culprit and findings else None,
        findings=(*findings, *seen.findings),
        pictures=(*drawn.pictures, *seen.pictures),
        notes=(*notes, *drawn.notes, *seen.notes),
        nodes=tuple(
            NodeError(_site(examination, node), node.relative, node.nats or 0.0)
            for node in passes.nodes
        ),
        probes=asked.digest,
        seconds=clock.seconds,
    )


def subject(given: Any, name: str, tokenizer: Any = None) -> Subject:
    """Take a model out of whatever holds it."""
    if isinstance(given, Subject):
        return Subject(given.side, plain(given.model), given.tokenizer, given.cache, given.plan)
    if isinstance(given, Reasoning):
        given = given.engine
    if isinstance(given, tuple) and len(given) == 2:
        given, tokenizer = given
    model = getattr(given, "model", given) if hasattr(given, "score_options") else given
    if not hasattr(model, "named_modules"):
        raise DiagnosisError(
            f"{name}: a {type(given).__name__} is no model that transformers runs: give an engine, "
            "a model, or a pair of a model and its tokenizer"
        )
    tokenizer = getattr(given, "tokenizer", None) or tokenizer
    model = plain(model)
    parameters = sum(one.numel() for one in model.parameters())
    return Subject(Side(name, parameters=parameters), model, tokenizer)


class _Clock:
    """Seconds of each step."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @property
    def total(self) -> float:
        """Seconds of all steps so far."""
        return sum(self.seconds.values())

    @contextlib.contextmanager
    def __call__(self, step: str) -> Iterator[None]:
        start = time.perf_counter()
        try:
            yield
        finally:
            taken = time.perf_counter() - start
            self.seconds[step] = round(self.seconds.get(step, 0.0) + taken, 3)


def _probes(base: Subject, given: Any, tokens: int, long: int) -> Probes:
    if isinstance(given, Probes):
        return given
    if given is None and base.tokenizer is None:
        return probing.drawn(base.model.config.vocab_size, tokens=tokens, long=long)
    if given is None:
        return probing.built_in(base.tokenizer, tokens=tokens, long=long)
    texts = [one for one in given if isinstance(one, str)]
    if texts:
        return probing.of_texts(texts, base.tokenizer, tokens=tokens, long=long)
    return Probes(tuple(tuple(int(i) for i in row) for row in given))


def _proved(examination: Examination) -> list[Finding]:
    """Put the base's part back, one group after the other."""
    leaves = {leaf.path: leaf for leaf in examination.leaves}
    nodes = sorted(
        (n for n in examination.passes.nodes if n.part == "leaf" and n.relative > 0),
        key=lambda node: -(node.nats or 0.0),
    )
    findings: list[Finding] = []
    for node in nodes[:3]:
        group = Group(leaves[node.path].site, (node.path,), "unexplained", "", node.nats)
        restored = _restored(examination, [group])
        findings.append(Finding(group.site, group.fault, "", node.nats, restored))
        if restored >= 0.9:
            break
    return sorted(findings, key=lambda one: -(one.restored or 0.0))


def _restored(examination: Examination, groups: Sequence[Group]) -> float:
    with transplant.applied(examination.run, examination.candidate.model, groups) as model:
        left = running.damage(examination.run, model)
    return 1.0 - left.nats / examination.damage.nats


def _site(examination: Examination, node: forced.Node) -> str:
    sites_ = {leaf.path: leaf.site for leaf in examination.leaves}
    site = sites_.get(node.path, node.path)
    return site if node.part == "leaf" else f"{site}.input"
