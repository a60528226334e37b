"""All that a variant consists of, found once."""

from __future__ import annotations

import dataclasses

from pytest_modellab.models.files import ModelFiles
from pytest_modellab.records.declared import VariantSpec
from pytest_modellab.records.runs import Fingerprint
from pytest_modellab.variants.loading import Loadable
from pytest_modellab.variants.plan import Plan


@dataclasses.dataclass(frozen=True)
class Resolved:
    """A variant whose plan is made and whose files are found and hashed; nothing is loaded.

    Attributes:
        spec: as declared.
        source: plan and files, from which its engine is opened.
        fingerprint: all that its answers depend on.
        search: the variant that searches before this one answers, or None.
    """

    spec: VariantSpec
    source: Loadable
    fingerprint: Fingerprint
    search: Resolved | None = None

    @property
    def name(self) -> str:
        """As declared."""
        return self.spec.name

    @property
    def plan(self) -> Plan:
        """How it is loaded and asked."""
        return self.source.plan

    @property
    def files(self) -> ModelFiles:
        """The files of its base model."""
        return self.source.files
