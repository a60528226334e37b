"""Steps 1 to 7 for two models whose modules can be looked into."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import math
from collections.abc import Callable
from typing import Any

from pytest_modellab.errors import DiagnosisError
from pytest_modellab.observatory import (
    coded,
    damaged,
    encoding,
    faults,
    forced,
    proof,
    signature,
    sites,
)
from pytest_modellab.observatory import run as running
from pytest_modellab.observatory import weights as comparing
from pytest_modellab.observatory.examination import Examination
from pytest_modellab.observatory.forced import Node, Passes
from pytest_modellab.observatory.groups import Group, ordered
from pytest_modellab.observatory.probes import Probes
from pytest_modellab.observatory.proof import Proof
from pytest_modellab.observatory.run import BaseRun, Damage
from pytest_modellab.observatory.subject import Subject
from pytest_modellab.observatory.verdict import NOTHING
from pytest_modellab.observatory.weights import Block, Weights
from pytest_modellab.records.diagnosis import Finding
from pytest_modellab.visible import raised

UNSUITED = (AttributeError, IndexError, KeyError, RuntimeError, TypeError, ValueError)
"""What modules of other shapes raise."""


Clock = Callable[[str], contextlib.AbstractContextManager[None]]
"""Takes the time of a step."""


def examine(
    base: Subject,
    candidate: Subject,
    probes: Probes,
    clock: Clock,
    known: Damage | None = None,
) -> Examination:
    """Find the places that differ, and prove what they cost.

    Args:
        base: what is right.
        candidate: what is examined, with the same vocabulary.
        probes: what both read.
        clock: takes the time of a step.
        known: the candidate's damage against another base, on the same probes.

    Returns:
        What was measured, with findings; the one that restores most first.
    """
    model = candidate.model
    with clock("base run"):
        base_run = running.base_run(base, probes, sites.leaves(base.model))
    with clock("damage"):
        found = _damage(base_run, candidate, known)
    with clock("weights"):
        weights = comparing.compare(base.model, model, base_run.leaves)
    with clock("forced passes"):
        passes = forced.leaf_pass(base_run, found, model)
        if found.finite and _may_be_rewritten(base_run, weights):
            passes = forced.branch_pass(base_run, passes, model)
    with clock("groups"):
        struck = damaged.rewritten(base_run.leaves, weights, passes)
        groups = _groups(base_run, model, found, weights, passes, struck)
    with clock("transplants"):
        proved = proof.prove(base_run, model, found, groups)
    findings = _findings(groups, proved, found)
    chain = proved.chain
    return Examination(
        base,
        candidate,
        probes,
        base_run.leaves,
        base_run,
        found,
        passes,
        _records(weights, struck),
        groups=groups,
        findings=findings,
        culprit=chain[0] if chain else None,
        compared=weights,
        struck=struck,
        proof=proved,
    )


def _may_be_rewritten(run: BaseRun, weights: Weights) -> bool:
    """Whether two leaves or more of one layer differ: one alone cannot be made up for."""
    changed = {change.leaf.path for change in weights.changed}
    count: dict[str, int] = {}
    for leaf in run.leaves:
        if leaf.path in changed:
            name = sites.layer(leaf)
            count[name] = count.get(name, 0) + 1
    return any(number > 1 for number in count.values())


def _damage(run: BaseRun, candidate: Subject, known: Damage | None) -> Damage:
    """The candidate's damage; where it does not run at all, that is told with its name."""
    try:
        return running.damage(run, candidate.model, known)
    except UNSUITED as error:
        if "memory" in str(error):
            raise
        said = raised(error)
        raise DiagnosisError(
            f"{candidate.side.name}: it does not run on token ids ({said}): load it and let it "
            "write a reply first"
        ) from error


def _groups(
    run: BaseRun,
    model: Any,
    found: Damage,
    weights: Weights,
    passes: Passes,
    struck: frozenset[str],
) -> tuple[Group, ...]:
    base = run.subject.model

    @functools.cache
    def fault(path: str, block: Block | None) -> str:
        with contextlib.suppress(*UNSUITED):
            return faults.fault(base, model, weights, path, block)
        return "unexplained"

    def inside(kind: str, path: str) -> tuple[str, str]:
        look = signature.examine if kind == "attention" else signature.gated
        if kind == "attention" and encoding.encodes(base):
            return _scaled(base, model, path), ""
        with contextlib.suppress(*UNSUITED):
            said = look(run, model, path)
            return said.fault, said.detail
        return "code", ""

    from_weights = [
        _as_code(group, run, model)
        for group in damaged.groups(run.leaves, weights, passes, struck, fault, _tied(run, model))
    ]
    if not found.finite:
        return _not_finite(run, passes, from_weights)
    sources = coded.Sources(
        run,
        model,
        weights,
        passes,
        struck,
        _half(model),
        found.both_ways / 2,
        inside,
        frozenset(path for group in from_weights for path in group.paths),
    )
    return ordered([*from_weights, *coded.groups(sources)])


def _scaled(base: Any, candidate: Any, path: str) -> str:
    """The class of an encoder's attention, by the scale that it says it has."""
    for name, module in base.get_submodule(path).named_modules():
        with contextlib.suppress(*UNSUITED):
            other = candidate.get_submodule(f"{path}.{name}" if name else path).scaling
            if other != module.scaling:
                return f"attention_scale({other / module.scaling:.3g})"
    return "code"


def _as_code(group: Group, run: BaseRun, model: Any) -> Group:
    """A scaled embedding or head that holds the base's weights is scaled by code."""
    site = {"embedding": "embedding_scale", "lm_head": "logit_scale"}.get(group.site)
    name, _, factor = group.fault.partition("(")
    if site is None or name != "scaled":
        return group
    pair = [_weight(one, group.paths[0]) for one in (run.subject.model, model)]
    if any(one is None for one in pair) or pair[0].shape != pair[1].shape:
        return group
    if not bool((pair[0] == pair[1].to(pair[0].device)).all()):
        return group
    detail = "it holds the base's weights, and gives a multiple of what they are"
    return dataclasses.replace(group, site=site, fault=f"{site}({factor}", detail=detail)


def _not_finite(run: BaseRun, passes: Passes, from_weights: list[Group]) -> tuple[Group, ...]:
    """The first place in call order that is not finite, given finite inputs."""
    known = {leaf.path: leaf for leaf in run.leaves}
    for node in passes.nodes:
        if node.finite and node.fits:
            continue
        group = next((one for one in from_weights if node.path in one.paths), None)
        if node.part == "leaf" and group is not None and group.fault == "nonfinite":
            return (group, *(one for one in from_weights if one is not group))
        return (_overflow(node, known, from_weights), *from_weights)
    return tuple(from_weights)


def _overflow(node: Node, known: Any, from_weights: list[Group]) -> Group:
    leaf = known.get(node.path)
    detail = "given finite inputs it gives values that are not finite; its weights are finite"
    if node.part == "leaf":
        return Group(leaf.site, (node.path,), "overflow", detail)
    if leaf is not None and leaf.branch:
        site = f"layer.{leaf.layer}.{leaf.branch}.core"
        return Group(site, (sites.branch(leaf),), "overflow", detail, way="core")
    site = leaf.site if leaf is not None else node.path
    return Group(site, (), "overflow", detail, way="hybrid")


def _findings(groups: tuple[Group, ...], proved: Proof, found: Damage) -> tuple[Finding, ...]:
    order = [*proved.chain, *(one.group for one in proved.tried), *groups]
    unique = [group for i, group in enumerate(order) if group not in order[:i]]
    return tuple(_finding(group, proved.of(group), found) for group in unique)


def _finding(group: Group, restored: float | None, found: Damage) -> Finding:
    evidence = dict(group.evidence)
    if found.nats < NOTHING:
        evidence["effect"] = "none"
    return Finding(
        group.site,
        group.fault,
        group.detail,
        None if group.nats is None else _digits(group.nats),
        None if restored is None else round(restored, 4),
        evidence=evidence,
    )


def _records(weights: Weights, struck: frozenset[str]) -> Any:
    sites_ = {change.leaf.site for change in weights.changed if change.leaf.path in struck}
    return tuple(
        dataclasses.replace(
            one,
            rewritten=one.site in sites_,
            stands_out=one.stands_out and one.site not in sites_,
        )
        for one in weights.records()
    )


def _tied(run: BaseRun, model: Any) -> dict[str, str]:
    """Leaves whose weights are another leaf's in both models."""
    first: dict[tuple[int, int], str] = {}
    tied: dict[str, str] = {}
    for leaf in run.leaves:
        pair = _stored(run.subject.model, leaf.path), _stored(model, leaf.path)
        if all(pair):
            other = first.setdefault(pair, leaf.path)
            if other != leaf.path:
                tied[leaf.path] = other
    return tied


def _stored(model: Any, path: str) -> int:
    weight = _weight(model, path)
    return 0 if weight is None else int(weight.data_ptr())


def _weight(model: Any, path: str) -> Any:
    return getattr(sites.module(model, path), "weight", None)


def _half(model: Any) -> bool:
    """Whether a model computes in 16 bits."""
    return any(one.is_floating_point() and one.element_size() == 2 for one in model.parameters())


def _digits(value: float) -> float:
    return float(f"{value:.6g}") if math.isfinite(value) else value
