"""Dealing samples into the stages of a sequential comparison."""

from __future__ import annotations

import hashlib
from collections.abc import Hashable, Iterable

import numpy as np
import numpy.typing as npt

from pytest_modellab.gate._saddlepoint import Ints
from pytest_modellab.gate.errors import LabelError, LengthError, SettingError

LOOKS = 10
"""Stages that samples are dealt into unless the caller says otherwise."""


def cut_stages(
    keys: Iterable[Hashable],
    *,
    strata: Iterable[Hashable] | None = None,
    clusters: Iterable[Hashable] | None = None,
    looks: int = LOOKS,
    seed: int = 0,
) -> Ints:
    """Deal samples into stages at random, evenly within each stratum, clusters whole.

    A sample's place in the shuffle is a hash of the seed and its key (of its cluster where it has
    one), so the stages depend on neither the order of the samples nor the names of the strata, and
    are the same on every machine.

    Args:
        keys: One name a sample, all different, such as its id.
        strata: One label a sample, or None. A cluster belongs to the first, by name, of its own.
        clusters: One label a sample, or None; a label of None is a cluster of its own.
        looks: Stages at most, at least 1.
        seed: Another number is another shuffle.

    Returns:
        The stage of each sample, from 0; every stage up to the last has a sample.

    Raises:
        SettingError: There are to be no stages.
        LabelError: A key occurs twice.
        LengthError: There is not one label for each sample.
    """
    if looks < 1:
        raise SettingError(f"looks is {looks}, but must be at least 1")
    names = [f"sample {key}" for key in keys]
    if len(set(names)) < len(names):
        raise LabelError("keys: two samples have the same: give every sample its own")
    labels = [""] * len(names) if strata is None else [str(label) for label in strata]
    groups = [None] * len(names) if clusters is None else list(clusters)
    for what, given in (("strata", labels), ("clusters", groups)):
        if len(given) != len(names):
            raise LengthError(
                f"{what} has {len(given)} entries, but there are {len(names)} keys: give every "
                "sample one"
            )
    names = [
        name if group is None else f"cluster {group}"
        for name, group in zip(names, groups, strict=True)
    ]
    sizes: dict[str, int] = {}
    stratum: dict[str, str] = {}
    for name, label in zip(names, labels, strict=True):
        sizes[name] = sizes.get(name, 0) + 1
        stratum[name] = min(stratum.get(name, label), label)
    members: dict[str, list[str]] = {}
    for name, label in stratum.items():
        members.setdefault(label, []).append(name)
    stage = {}
    for units in members.values():
        drawn = sorted((hashlib.sha256(f"{seed} {unit}".encode()).digest(), unit) for unit in units)
        start = int.from_bytes(drawn[0][0][-6:]) / 2**48
        total, before = sum(sizes[unit] for unit in units), 0
        for _, unit in drawn:
            stage[unit] = int(looks * (before + start * sizes[unit]) / total)
            before += sizes[unit]
    found = np.array([stage[name] for name in names], dtype=np.int64)
    return np.unique(found, return_inverse=True)[1].astype(np.int64)


def check_stages(stages: npt.ArrayLike, size: int, labels: Ints | None) -> Ints:
    """Stages that a caller hands in, or an error that names what is wrong with them."""
    found = np.asarray(stages)
    if found.shape != (size,):
        raise LengthError(
            f"stages has shape {found.shape}, but there are {size} samples: give every sample one"
        )
    whole = found.astype(np.int64)
    if not np.array_equal(whole, found) or whole.min() < 0:
        raise SettingError("stages must be whole numbers from 0: use cut_stages")
    if labels is not None:
        first = np.full(int(labels.max()) + 1, -1)
        first[labels] = whole
        torn = np.flatnonzero(first[labels] != whole)
        if torn.size:
            raise LabelError(
                f"stages: the cluster of the sample at index {torn[0]} lies in several stages: "
                "hand the clusters to cut_stages"
            )
    return whole
