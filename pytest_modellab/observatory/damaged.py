"""Sites whose weights stand out: heads, projections, branches, layers, kinds."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence

from pytest_modellab.observatory import usual
from pytest_modellab.observatory.forced import END, Passes, fronting
from pytest_modellab.observatory.groups import Group
from pytest_modellab.observatory.sites import ATTENTION, Leaf, branch
from pytest_modellab.observatory.weights import Block, Change, Weights

Faults = Callable[[str, Block | None], str]
"""A leaf's path and a block of it, or None → the class of what happened there."""


_REWRITTEN = 0.02
_ROUNDED = 0.06
_USUAL = 3.0
_LAYERS = 0.8
_SAMPLE = 9
"""So many of a whole kind's projections say what happened to it."""


def rewritten(leaves: Sequence[Leaf], weights: Weights, passes: Passes) -> frozenset[str]:
    """Paths of leaves that differ while their branch computes the same.

    Args:
        leaves: of the base, in call order.
        weights: compared.
        passes: the leaf pass and the branch pass.

    Returns:
        The paths.
    """
    errors = {node.path: node.relative for node in passes.nodes if node.part == "leaf"}
    peers = {
        kind: usual.usual([e for name, e in passes.branches.items() if _mixes(name) == kind])
        for kind in (True, False)
    }
    fronts = set(fronting(tuple(leaves)))
    members: dict[str, list[str]] = {}
    waiting: list[str] = []
    for leaf in leaves:
        if leaf.path in fronts:
            waiting = [leaf.path]
            continue
        name = branch(leaf) or (END if leaf.kind == "lm_head" else "")
        if name:
            members.setdefault(name, list(waiting)).append(leaf.path)
    changed = {change.leaf.path for change in weights.changed}
    struck: set[str] = set()
    for name, paths in members.items():
        found = passes.branches.get(name)
        if found is None or not changed.intersection(paths):
            continue
        sizes = sorted((errors.get(path, 0.0) for path in paths), reverse=True)
        # What is moved from one matrix into another leaves both far from the base's: a rounding of
        # theirs may then be larger than it would be without.
        limit = max(_REWRITTEN * sizes[0], _ROUNDED * (sizes[1] if len(sizes) > 1 else 0.0))
        if found < limit and peers[_mixes(name)].z(found) < _USUAL:
            struck.update(paths)
    return frozenset(struck)


def _mixes(path: str) -> bool:
    """Whether a branch is an attention."""
    return any(name in path.lower() for name in ATTENTION)


def groups(
    leaves: Sequence[Leaf],
    weights: Weights,
    passes: Passes,
    struck: frozenset[str],
    faults: Faults,
    tied: Mapping[str, str],
) -> list[Group]:
    """Put what stands out together.

    Args:
        leaves: of the base, in call order.
        weights: compared.
        passes: the forced passes.
        struck: paths of what is rewritten.
        faults: names what happened to a leaf.
        tied: path of a leaf → of the one whose weights it shares in both models.

    Returns:
        The sites, unordered.
    """
    return _Sorting(leaves, weights, passes, struck, faults, tied).groups()


class _Sorting:
    """One pass over all that stands out; what is put into a group is taken off the list."""

    def __init__(
        self,
        leaves: Sequence[Leaf],
        weights: Weights,
        passes: Passes,
        struck: frozenset[str],
        faults: Faults,
        tied: Mapping[str, str],
    ) -> None:
        self._leaves = [leaf for leaf in leaves if leaf.path in weights.by_path]
        self._changes = weights.by_path
        self._kinds = weights.kinds
        self._nats = {n.path: n.nats for n in passes.nodes if n.part == "leaf"}
        self._fault = faults
        self._tied = tied
        self._struck = struck
        self._out = {
            path: change
            for path, change in self._changes.items()
            if change.stands_out and path not in struck and path not in tied
        }

    def groups(self) -> list[Group]:
        found = self._whole_kinds()
        found += self._whole_layers()
        for path in list(self._out):
            found += self._single(self._out[path])
        return found

    def _whole_kinds(self) -> list[Group]:
        """A kind of projection that stands out in nearly every layer."""
        members: dict[str, list[Leaf]] = {}
        for leaf in self._leaves:
            if leaf.layer is not None and not leaf.norm:
                members.setdefault(leaf.kind, []).append(leaf)
        kinds = [
            kind
            for kind, all_ in members.items()
            if len(all_) > 1
            and (
                # in a few layers little may depend on it, as if it were made up for
                (
                    kind in self._kinds
                    and sum(one.path not in self._struck for one in all_) >= _LAYERS * len(all_)
                )
                or sum(one.path in self._out for one in all_) >= _LAYERS * len(all_)
            )
        ]
        if not kinds or len(kinds) > len(members) / 2:
            return []
        paths = [leaf.path for kind in kinds for leaf in members[kind]]
        classes = self._classes(paths[:: max(1, len(paths) // _SAMPLE)])
        group = self._group("all." + "+".join(kinds), paths, _most(classes))
        for path in paths:
            self._out.pop(path, None)
        if _name(group.fault) == "low_rank":
            group = dataclasses.replace(group, site="adapter")
        return [group]

    def _whole_layers(self) -> list[Group]:
        """Layers, and attentions and MLPs that stand out as a whole."""
        layers: dict[int, list[Leaf]] = {}
        for leaf in self._leaves:
            if leaf.layer is not None and leaf.path not in self._tied:
                layers.setdefault(leaf.layer, []).append(leaf)
        whole: list[tuple[int, Group, list[str]]] = []
        found: list[Group] = []
        for number, leaves in sorted(layers.items()):
            attention = [one for one in leaves if one.branch == "attention" and not one.norm]
            mlp = [one for one in leaves if one.branch == "mlp" and not one.norm]
            out_attention = [one.path for one in attention if one.path in self._out]
            out_mlp = [one.path for one in mlp if one.path in self._out]
            most = len(attention) > 1 and len(out_attention) >= 0.75 * len(attention)
            if most and self._one_head(out_attention):
                most = False
            if (most and len(mlp) > 1 and 3 * len(out_mlp) >= 2 * len(mlp)) or self._bypassed(
                attention, mlp, out_attention + out_mlp
            ):
                classes = self._classes(out_attention + out_mlp)
                paths = [one.path for one in leaves]
                whole.append((number, self._take(f"layer.{number}", paths, classes), classes))
            elif most and not out_mlp:
                paths = [one.path for one in leaves if one.branch == "attention"]
                site = f"layer.{number}.attention"
                found.append(self._take(site, paths, self._classes(out_attention)))
            elif len(mlp) > 1 and len(out_mlp) == len(mlp) and not out_attention:
                paths = [one.path for one in leaves if one.branch == "mlp"]
                found.append(self._take(f"layer.{number}.mlp", paths, self._classes(out_mlp)))
        return found + _joined(whole)

    def _bypassed(self, attention: Sequence[Leaf], mlp: Sequence[Leaf], out: list[str]) -> bool:
        """Whether just the two projections that write are out, and both are zero."""
        return (
            len(attention) > 1
            and len(mlp) > 1
            and out == [attention[-1].path, mlp[-1].path]
            and all(self._fault(path, None) == "zeroed" for path in out)
        )

    def _one_head(self, paths: Sequence[str]) -> bool:
        return all(self._out[path].blocks_apart for path in paths)

    def _single(self, change: Change) -> list[Group]:
        leaf = change.leaf
        paths = [leaf.path, *(path for path, other in self._tied.items() if other == leaf.path)]
        heads = change.blocks_apart
        del self._out[leaf.path]
        fault = self._fault(leaf.path, None)
        # single values may all lie in one head by chance: its block is not what was damaged
        if not heads or change.rows or not change.finite or _name(fault) == "spikes":
            return [self._group(leaf.site, paths, fault)]
        stem = leaf.site.rpartition(".")[0]
        return [
            self._group(f"{stem}.{block.name}", paths, self._fault(leaf.path, block), block)
            for block in sorted(heads, key=lambda one: -one.relative)
        ]

    def _take(self, site: str, paths: Sequence[str], classes: Sequence[str]) -> Group:
        group = self._group(site, paths, _as_large(_most(classes), site))
        for path in paths:
            self._out.pop(path, None)
        return group

    def _group(
        self, site: str, paths: Sequence[str], fault: str, block: Block | None = None
    ) -> Group:
        sizes = [self._changes[path].relative for path in paths if path in self._changes]
        figures = [nats for path in paths if (nats := self._nats.get(path)) is not None]
        size = max(sizes, default=0.0)
        evidence: dict[str, float | str] = {"weights differ by": _digits(size)}
        if block is not None:
            evidence["the head's weights differ by"] = _digits(block.relative)
        return Group(
            site,
            tuple(paths),
            fault,
            _detail(paths, self._changes, block),
            sum(figures) if figures else None,
            size=size if block is None else block.relative,
            evidence=evidence,
        )

    def _classes(self, paths: Iterable[str]) -> list[str]:
        return [self._fault(path, None) for path in paths if self._changes[path].relative]


def _joined(whole: Sequence[tuple[int, Group, list[str]]]) -> list[Group]:
    """Neighbours of one class, and two layers that are copies of each other, become one site."""
    for (first, one, mine), (second, other, theirs) in itertools.combinations(whole, 2):
        if _copies(mine, second) and _copies(theirs, first):
            rest = [item for item in whole if item[0] not in (first, second)]
            return [_sum(f"layer.{first}+layer.{second}", [one, other], "swapped"), *_joined(rest)]
    runs: list[list[tuple[int, Group]]] = []
    for number, group, _ in whole:
        last = runs[-1][-1] if runs else None
        if last and last[0] == number - 1 and _name(last[1].fault) == _name(group.fault):
            runs[-1].append((number, group))
        else:
            runs.append([(number, group)])
    return [
        run[0][1]
        if len(run) == 1
        else _sum(f"layers.{run[0][0]}-{run[-1][0]}", [group for _, group in run], run[0][1].fault)
        for run in runs
    ]


def _copies(classes: Sequence[str], layer: int) -> bool:
    """Whether most of a layer's matrices are copies of another layer's."""
    return 2 * sum(f"copied(layer.{layer}." in one for one in classes) > len(classes)


def _sum(site: str, groups: Sequence[Group], fault: str) -> Group:
    figures = [group.nats for group in groups if group.nats is not None]
    return Group(
        site,
        tuple(path for group in groups for path in group.paths),
        fault,
        f"{len(groups)} layers: {groups[0].detail}",
        sum(figures) if figures else None,
        size=max(group.size for group in groups),
        evidence=groups[0].evidence,
    )


def _most(classes: Sequence[str]) -> str:
    """The most frequent class, with the arguments that its first member has."""
    if not classes:
        return "unexplained"
    names = Counter(map(_name, classes))
    best = max(names, key=lambda name: names[name])
    return next(one for one in classes if _name(one) == best)


def _as_large(fault: str, site: str) -> str:
    """Name a part as large as the site that a copy is of: a layer's is a layer's."""
    if _name(fault) != "copied":
        return fault
    parts = fault.removeprefix("copied(").removesuffix(")").split(".")
    return f"copied({'.'.join(parts[: site.count('.') + 1])})"


def _name(fault: str) -> str:
    return fault.partition("(")[0]


def _detail(paths: Sequence[str], changes: Mapping[str, Change], block: Block | None) -> str:
    known = [changes[path] for path in paths if path in changes]
    largest = max(known, key=lambda one: one.relative, default=None)
    if largest is None:
        return ""
    relative = largest.relative if block is None else block.relative
    one = len(known) == 1 or block is not None
    peers = largest.usual.relative if largest.usual is not None else 0.0
    beside = f"its peers do by {_percent(peers)}" if peers else "its peers are unchanged"
    rows = f", in {largest.rows} rows" if largest.rows else ""
    if not math.isfinite(relative):
        return f"no size can be given of how its weights differ from the base's; {beside}"
    size = f"{'' if one else 'up to '}{_percent(relative)} of their size"
    return f"its weights differ from the base's by {size}{rows}; {beside}"


def _digits(value: float) -> float:
    return float(f"{min(value, 1e9):.4g}")


def _percent(share: float) -> str:
    """Two digits of a small share: ``0.31 %``, ``41 %``."""
    return f"{100 * share:.0f} %" if share >= 0.1 else f"{100 * share:.2g} %"
