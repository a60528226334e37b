"""What the nodes of the forced passes are called."""

from __future__ import annotations

from pytest_modellab.observatory import sites
from pytest_modellab.observatory.examination import Examination
from pytest_modellab.records.diagnosis import NodeError


def errors(seen: Examination) -> tuple[NodeError, ...]:
    """Each node by the name of its leaf, or of what lies in front of it."""
    names = {leaf.path: leaf for leaf in seen.leaves}
    layers = {sites.layer(leaf): f"layer.{leaf.layer}" for leaf in seen.leaves}
    found = []
    for node in seen.passes.nodes:
        leaf = names.get(node.path)
        if node.part == "leaf" and leaf is not None:
            site = leaf.site
        elif leaf is not None and leaf.branch and leaf.layer is not None:
            site = f"layer.{leaf.layer}.{leaf.branch}.core"
        elif leaf is not None:
            site = f"{leaf.site}.input"
        else:
            site = layers.get(node.path, node.path)
        found.append(NodeError(site, node.relative, node.nats or 0.0))
    return tuple(found)
