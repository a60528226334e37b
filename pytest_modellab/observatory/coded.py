"""Sites whose code or configuration is another: what enters between leaves of equal weights."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from pytest_modellab.observatory import sites, usual
from pytest_modellab.observatory.forced import END, Node, Passes
from pytest_modellab.observatory.groups import Group
from pytest_modellab.observatory.run import BaseRun
from pytest_modellab.observatory.sites import Leaf
from pytest_modellab.observatory.weights import Weights

Inside = Callable[[str, str], tuple[str, str]]
"""``attention`` or ``mlp``, and its path → class and detail of what it does wrong."""


_TOLERANCE = 1e-3
_HALF = 0.03
_CORE = 0.01
_PEERS = 4.0
_CODE = 8.0
_PAYS = 0.3
_NEARLY_ALL = 0.8
_MOST = 0.5
_MASKS = ("window", "not_causal")
_ASKED = 3
_BEHIND = ("pooling", "normalization")


@dataclasses.dataclass(frozen=True, eq=False)
class Sources:
    """What the sites of code are found from.

    Attributes:
        run: the base's.
        model: the candidate's.
        weights: compared.
        passes: the leaf pass.
        struck: paths of what is rewritten.
        half: whether the candidate computes in 16 bits.
        pays: what enters at all places together, in nats; 0 where it was not shared out.
        inside: names what an attention or an MLP does wrong.
        taken: paths of leaves whose weights are in a group already.
    """

    run: BaseRun
    model: Any
    weights: Weights
    passes: Passes
    struck: frozenset[str]
    half: bool
    pays: float
    inside: Inside
    taken: frozenset[str] = frozenset()

    @property
    def tolerance(self) -> float:
        """The relative error up to which code is the same."""
        return _HALF if self.half else _TOLERANCE

    @property
    def base(self) -> Any:
        """The base's model."""
        return self.run.subject.model


def groups(sources: Sources) -> list[Group]:
    """Put together what enters between leaves, and at leaves whose weights are usual.

    Args:
        sources: what was measured.

    Returns:
        The sites, unordered.
    """
    return [
        *_missing(sources),
        *_rotations(sources),
        *_cores(sources, "attention"),
        *_cores(sources, "mlp"),
        *_residuals(sources),
        *_logits(sources),
        *_norms(sources),
        *_leaves(sources),
        *_behind(sources),
    ]


def _missing(sources: Sources) -> list[Group]:
    """Layers, attentions and MLPs that the candidate lacks, never calls, or has in other sizes."""
    leaves = sources.run.leaves
    gone = {
        *sources.passes.missing,
        *(one.leaf.path for one in sources.weights.changes if one.note),
    }
    owners: dict[str, list[Leaf]] = {}
    for leaf in leaves:
        whole = sites.layer(leaf)
        inside = [one.path for one in leaves if sites.layer(one) == whole]
        if leaf.path in gone and leaf.kind != "rope":
            absent = whole and all(path in sources.passes.missing for path in inside)
            owner = whole if absent else sites.branch(leaf) or leaf.path
            owners.setdefault(owner, []).append(leaf)
    result = []
    for path, missed in owners.items():
        first = missed[0]
        site = first.site
        if path != first.path:
            site = f"layer.{first.layer}"
            site = f"{site}.{first.branch}" if path == sites.branch(first) else site
        there = sites.module(sources.model, path) is not None
        if there:
            detail = f"{len(missed)} of its modules are not there, not called, or of other sizes"
            result.append(_group(site, [path], "bypassed", detail, []))
    return result


def _rotations(sources: Sources) -> list[Group]:
    paths = [leaf.path for leaf in sources.run.leaves if leaf.kind == "rope"]
    nodes = [node for node in _nodes(sources, "leaf", paths) if node.relative > sources.tolerance]
    if not nodes:
        return []
    detail = f"its tables differ from the base's by {_worst(nodes):.0%} of their size"
    return [_group("rope", [node.path for node in nodes], "rope", detail, nodes)]


def _cores(sources: Sources, kind: str) -> list[Group]:
    """What lies between the projections of attentions, or of MLPs."""
    members: dict[str, list[str]] = {}
    layers: dict[str, int] = {}
    for leaf in sources.run.leaves:
        if leaf.branch == kind and leaf.layer is not None:
            members.setdefault(sites.branch(leaf), []).append(leaf.path)
            layers[sites.branch(leaf)] = leaf.layer
    found: dict[str, list[Node]] = {}
    for path, paths in members.items():
        nodes = _nodes(sources, "glue", paths)
        if _worst(nodes) > min(sources.tolerance, _CORE):  # its exchange rounds as it did
            found[path] = nodes
    found = {path: found[path] for path in _beyond(found, len(members))}
    if len(members) > 1 and len(found) >= _NEARLY_ALL * len(members):
        nodes = [node for rows in found.values() for node in rows]
        site, fault, detail = _everywhere(sources, kind, list(found))
        return [_group(site, list(found), fault, detail, nodes, "core")]
    result = []
    for path, nodes in found.items():
        fault, detail = _core_fault(sources, kind, path)
        site = f"layer.{layers[path]}.{kind}.core"
        result.append(_group(site, [path], fault, detail or _off(nodes), nodes, "core"))
    return result


def _everywhere(sources: Sources, kind: str, paths: list[str]) -> tuple[str, str, str]:
    if kind == "mlp":
        fault, detail = _core_fault(sources, kind, paths[0])
        return "activation", fault, detail or "what goes into the last projections is another"
    asked = paths[:: max(len(paths) // _ASKED, 1)][:_ASKED]
    said = [_core_fault(sources, kind, path) for path in asked]
    names = Counter(fault.partition("(")[0] for fault, _ in said)
    name = max(names, key=lambda one: names[one])
    fault, detail = next(one for one in said if one[0].partition("(")[0] == name)
    others = [path for path in paths if not sources.passes.masks.get(path, True)]
    if name in _MASKS or (name == "code" and others):
        return "attention_mask", fault, detail
    return ("rope" if name == "rope" else "attention_scale"), fault, detail


def _core_fault(sources: Sources, kind: str, path: str) -> tuple[str, str]:
    if kind == "mlp":
        fault = _activation(sources.base.get_submodule(path), sites.module(sources.model, path))
        if fault != "code":
            return fault, ""
    return sources.inside(kind, path)


def _activation(base: Any, candidate: Any) -> str:
    """Whether a function without parameters of the one is another in the other."""
    import torch

    values = torch.linspace(-4, 4, 65)
    for name, module in base.named_modules():
        other = sites.module(candidate, name)
        if any(True for _ in module.parameters()) or other is None or any(module.children()):
            continue
        try:
            with torch.no_grad():
                same = torch.allclose(module(values), other(values).float(), atol=1e-2)
        except (RuntimeError, TypeError, ValueError):
            continue
        if not same:
            return "activation"
    return "code"


def _residuals(sources: Sources) -> list[Group]:
    """What is added to the stream behind attentions and MLPs, and what goes into the first layer.

    An error behind the last projection of an attention is told with it.
    """
    leaves = sources.run.leaves
    layers = list(dict.fromkeys(path for leaf in leaves if (path := sites.layer(leaf))))
    ends = list(dict.fromkeys(path for leaf in leaves if (path := sites.branch(leaf))))
    result = []
    owners: dict[str, list[Node]] = {}
    first = layers[0] if layers else ""
    gone = set(sources.passes.missing)
    absent = {
        path
        for leaf in leaves
        for path in (sites.layer(leaf), sites.branch(leaf))
        if path and leaf.path in gone
    }
    for node in sources.passes.nodes:
        if node.part == "leaf" or not node.relative > sources.tolerance:
            continue
        owner = _owner(node, leaves, layers, ends)
        if owner in absent:
            continue
        if owner == first and node.path == first:
            fault = f"embedding_scale({node.factor:.3g})"
            detail = f"what goes into the first layer is {node.factor:.3g} times the base's"
            result.append(_group("embedding_scale", [], fault, detail, [node], "hybrid"))
        elif owner:
            owners.setdefault(owner, []).append(node)
    owners = {path: owners[path] for path in _beyond(owners, len(layers))}
    nodes = [node for rows in owners.values() for node in rows]
    touched = {layer for path in owners for layer in layers if f"{path}.".startswith(f"{layer}.")}
    if len(layers) > 1 and len(touched) >= _MOST * len(layers):
        detail = f"what is added to the stream is another in {len(touched)} layers"
        return [*result, _group("residual_scale", [], "residual_scale", detail, nodes, "hybrid")]
    numbers = {sites.layer(leaf): leaf.layer for leaf in leaves}
    for path in owners:
        layer = next(one for one in layers if f"{path}.".startswith(f"{one}."))
        site = f"layer.{numbers[layer]}"
        branch = next((one.branch for one in leaves if sites.branch(one) == path), "")
        detail = "what it adds to the stream is another, and its projections are not"
        result.append(
            _group(
                f"{site}.{branch}" if branch else site,
                [path],
                "code",
                detail,
                owners[path],
                "core",
            )
        )
    return result


def _owner(node: Node, leaves: Sequence[Leaf], layers: list[str], ends: list[str]) -> str:
    """The path of what adds to the stream in front of a node; empty for other nodes."""
    if node.part == "end":
        return node.path if node.path in ends else ""
    if node.path in layers:
        place = layers.index(node.path)
        return layers[max(place - 1, 0)]
    leaf = next((one for one in leaves if one.path == node.path), None)
    if leaf is None or leaf.branch:
        return ""
    if leaf.layer is not None:
        return sites.layer(leaf)
    return layers[-1] if leaf.kind == "final_norm" and layers else ""


def _logits(sources: Sources) -> list[Group]:
    """What lies in front of the head and behind it, and what the head does beside its weights."""
    heads = [leaf.path for leaf in sources.run.leaves if leaf.kind == "lm_head"]
    nodes = _nodes(sources, "glue", [*heads, END])
    nodes += [
        node
        for node in _nodes(sources, "leaf", heads)
        if _equal(sources, node.path) and node.path not in sources.struck
    ]
    nodes = [node for node in nodes if node.relative > sources.tolerance]
    if not nodes:
        return []
    factor = max(nodes, key=lambda node: node.relative).factor
    detail = f"logits are {factor:.3g} times what the head gives"
    return [_group("logit_scale", [], f"logit_scale({factor:.3g})", detail, nodes, "hybrid")]


def _norms(sources: Sources) -> list[Group]:
    """Norms whose constant is another, or that do something else with equal weights."""
    norms = [leaf for leaf in sources.run.leaves if leaf.norm]
    found: dict[str, bool] = {}
    for leaf in norms:
        if leaf.path in sources.passes.missing:
            continue
        other = _eps(sources.base.get_submodule(leaf.path)) != _eps(
            sites.module(sources.model, leaf.path)
        )
        nodes = _nodes(sources, "leaf", [leaf.path])
        wrong = _worst(nodes) > sources.tolerance and _equal(sources, leaf.path)
        if other or (wrong and leaf.path not in sources.struck):
            found[leaf.path] = other
    if not found:
        return []
    nodes = _nodes(sources, "leaf", list(found))
    if len(found) >= _MOST * len(norms) or all(found.values()):
        detail = f"{len(found)} of {len(norms)} norms add another constant or compute otherwise"
        site = "norm_eps" if len(found) > 1 else _site(norms, next(iter(found)))
        return [_group(site, list(found), "norm_eps", detail, nodes)]
    return [
        _group(
            _site(norms, path),
            [path],
            "norm_eps" if other else "code",
            "its weights are the base's, and its output is not",
            _nodes(sources, "leaf", [path]),
        )
        for path, other in found.items()
    ]


def _leaves(sources: Sources) -> list[Group]:
    """Leaves whose weights are usual, and whose output is not: activation rounding, a kernel."""
    kinds: dict[str, list[Node]] = {}
    known = {
        leaf.path: leaf
        for leaf in sources.run.leaves
        if not leaf.norm and leaf.kind not in ("rope", "lm_head")
    }
    for node in sources.passes.nodes:
        if node.part == "leaf" and node.path in known:
            leaf = known[node.path]
            kinds.setdefault("linear" if leaf.layer is not None else leaf.kind, []).append(node)
    excluded = sources.struck | sources.taken
    result = []
    for nodes in kinds.values():
        peers = usual.usual([node.relative for node in nodes])
        for node in nodes:
            change = sources.weights.by_path.get(node.path)
            if change is None or change.stands_out or node.path in excluded:
                continue
            equal = _equal(sources, node.path) and node.relative > sources.tolerance
            pays = (node.nats or 0.0) >= _PAYS * sources.pays > 0
            if peers.z(node.relative) > _CODE and (pays or equal):
                leaf = known[node.path]
                scaled = leaf.kind == "embedding" and equal
                detail = "its weights are the base's, and its output is not"
                fault = f"embedding_scale({node.factor:.3g})" if scaled else "code"
                site = "embedding_scale" if scaled else leaf.site
                result.append(_group(site, [node.path], fault, detail, [node]))
    return result


def _behind(sources: Sources) -> list[Group]:
    """What makes one vector of an encoder's token vectors, and brings it to length one."""
    result = []
    for leaf in sources.run.leaves:
        if leaf.kind not in _BEHIND:
            continue
        nodes = _nodes(sources, "leaf", [leaf.path])
        if _worst(nodes) > sources.tolerance:
            ours, theirs = (
                getattr(sites.module(model, leaf.path), "does", "")
                for model in (sources.base, sources.model)
            )
            fault = f"{leaf.kind}({theirs})" if ours != theirs else "code"
            detail = f"the base's is {ours}, the candidate's {theirs}" if ours != theirs else ""
            result.append(_group(leaf.site, [leaf.path], fault, detail or _off(nodes), nodes))
    return result


def _equal(sources: Sources, path: str) -> bool:
    """Whether a leaf's weights are the base's, but for the rounding of its dtype."""
    change = sources.weights.by_path.get(path)
    limit = 5e-3 if sources.half else 0.0
    return change is not None and not change.note and change.relative <= limit


def _beyond(found: dict[str, list[Node]], count: int) -> list[str]:
    """Those that are far beyond the others, or all where there are no others."""
    if 2 * len(found) >= count:
        return list(found)
    errors = [_worst(nodes) for nodes in found.values()]
    peers = usual.usual([*errors, *[0.0] * (count - len(errors))])
    return [path for path, nodes in found.items() if peers.z(_worst(nodes)) > _PEERS]


def _nodes(sources: Sources, part: str, paths: Iterable[str]) -> list[Node]:
    wanted = frozenset(paths)
    return [node for node in sources.passes.nodes if node.part == part and node.path in wanted]


def _worst(nodes: Sequence[Node]) -> float:
    return max((node.relative for node in nodes), default=0.0)


def _off(nodes: Sequence[Node]) -> str:
    return f"with the base's inputs its result is {_worst(nodes):.2g} of its size off"


def _group(
    site: str,
    paths: list[str],
    fault: str,
    detail: str,
    nodes: Sequence[Node],
    way: Any = "modules",
) -> Group:
    figures = [node.nats for node in nodes if node.nats is not None]
    return Group(
        site,
        tuple(paths),
        fault,
        detail,
        sum(figures) if figures else None,
        way,
        _worst(nodes),
        {"relative error": float(f"{min(_worst(nodes), 1e9):.4g}")},
    )


def _site(leaves: Sequence[Leaf], path: str) -> str:
    return next(leaf.site for leaf in leaves if leaf.path == path)


def _eps(module: Any) -> Any:
    for name in ("variance_epsilon", "eps", "epsilon"):
        value = getattr(module, name, None)
        if value is not None:
            return float(value)
    return None
