"""What a kind adds to the suite that a project starts from."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from pytest_modellab.starter.model import Model


@dataclasses.dataclass(frozen=True)
class Kind:
    """One kind of starter.

    Attributes:
        name: as ``--kind`` and the declared variant have it.
        extra: of pytest-modellab, brings what its engine needs.
        needs: the distributions that this extra brings and a run cannot do without.
        accepted: the variants that are accepted first, in order.
        question: what its test file answers; the first line of it.
        marks: which variants its tests are about, arguments of ``pytest.mark.variants``.
        tests: the test functions.
        declared: the variants beside ``prompting`` in ``modellab.toml``, of what was tuned.
        tuned: what it takes beside the base, in words, or empty.
    """

    name: str
    extra: str
    needs: tuple[str, ...]
    accepted: tuple[str, ...]
    question: str
    marks: str
    tests: tuple[str, ...]
    declared: Callable[[Model | None], str]
    tuned: str = ""


REGRESSION = '''
def test_regression(candidate, gate):
    """It is no worse than its accepted run."""
    gate.no_regression(candidate)
'''


COST = '''
def test_cost(candidate, gate):
    """Nor is it worse than the base that it was made from."""
    gate.no_regression(candidate, against="base")
'''


CAPABILITY = '''
def test_capability(candidate, capability, gate):
    """Nor is any capability: one test each."""
    gate.no_regression(candidate, capability=capability)
'''


FORGETTING = '''
def test_forgetting(candidate, gate):
    """Nor has it lost a capability that its base has."""
    gate.no_forgetting(candidate)
'''
