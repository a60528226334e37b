"""Which declared variants share a loaded model, told from the declarations alone.

It decides in which order variants come and which xdist worker gets them, before any file is read. A
wrong guess costs time and nothing else: what is shared in the end, :mod:`.sharing` decides.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from pytest_modellab.records.declared import VariantSpec, bases
from pytest_modellab.variants.kinds.prompted import LOADING
from pytest_modellab.variants.plan import Kind, Sharing


def family(name: str, variants: Mapping[str, VariantSpec], kinds: Mapping[str, Kind]) -> str:
    """Return what the variants that share a loaded model have in common, and no others.

    Args:
        name: the variant's.
        variants: all that are declared.
        kinds: by name; of one that is missing a variant shares nothing.
    """
    passed = {name}
    spec = variants[name]
    while how := _how(spec, kinds):
        base = None if spec.base is None else variants.get(spec.base)
        if base is None:  # its own model, which others may name, too
            options = ((key, value) for key, value in spec.options.items() if key in LOADING)
            return f"{spec.model} {sorted(options)}"
        if base.name in passed:  # a circle, which is refused when it is resolved
            return name
        if how == "adapted" and (below := _adapter_below(base, variants, kinds)):
            return f"{below}, merged"  # two adapters beside each other would be another model
        passed.add(base.name)
        spec = base
    return spec.name


def device(name: str, variants: Mapping[str, VariantSpec]) -> str:
    """Return where a variant is declared to compute, by itself or by what it starts from.

    Args:
        name: the variant's.
        variants: all that are declared.
    """
    chain = (variants[name], *bases(variants[name], variants))
    return str(next((one.options["device"] for one in chain if "device" in one.options), "cpu"))


def together(
    names: Iterable[str], variants: Mapping[str, VariantSpec], kinds: Mapping[str, Kind]
) -> list[str]:
    """Return names in an order in which those of a family follow one another.

    Families come in the order of their first members, and members in the order that they had.
    """
    families: dict[str, list[str]] = {}
    for name in names:
        families.setdefault(family(name, variants, kinds), []).append(name)
    return [name for members in families.values() for name in members]


def _how(spec: VariantSpec, kinds: Mapping[str, Kind]) -> Sharing:
    kind = kinds.get(spec.kind)
    return "" if kind is None or spec.engine else kind.shares(spec)


def _adapter_below(
    spec: VariantSpec,
    variants: Mapping[str, VariantSpec],
    kinds: Mapping[str, Kind],
) -> str | None:
    """The variant whose adapter is on a variant's model, where it could be taken off."""
    passed = set[str]()
    while _how(spec, kinds) == "asked" and spec.name not in passed:
        passed.add(spec.name)
        spec = spec if spec.base is None else variants.get(spec.base, spec)
    return spec.name if _how(spec, kinds) == "adapted" else None
