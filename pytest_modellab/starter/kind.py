"""What a kind adds to the suite that a project starts from."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from pytest_modellab.starter.model import SMOLLM2, Model
from pytest_modellab.starter.samples import STARTER
from pytest_modellab.starter.tasks import Tasks

PROMPTING = """
[variants.prompting]
kind = "prompted"
model = "mine"
prompt = "prompts/assistant.jinja"
"""


ADAPTER = "a folder with adapter_config.json and adapter_model.safetensors"


CHECKPOINT = "a folder with the tuned model's config.json and weights"


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
        declared: the other variants in ``modellab.toml``, of what was tuned.
        takes: what it may take beside the base, :data:`ADAPTER` and :data:`CHECKPOINT`.
        marker: that pytest selects its tests by; the name where it is empty.
        base: the first variant, and the prompt is written where it has one.
        small: the model that is taken where none is found.
        tasks: what is asked where no file is handed in.
        searches: whether its task set is documents and queries, and its model an encoder.
        serves: whether its model is behind an address.
    """

    name: str
    extra: str
    needs: tuple[str, ...]
    accepted: tuple[str, ...]
    question: str
    marks: str
    tests: tuple[str, ...]
    declared: Callable[[Model | None], str]
    takes: tuple[str, ...] = ()
    marker: str = ""
    base: str = PROMPTING
    small: Model = SMOLLM2
    tasks: Tasks = STARTER
    searches: bool = False
    serves: bool = False


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


BEHIND = '''
def test_behind(candidate, gate):
    """Nor does the student lag behind its teacher by more than what being smaller may cost."""
    gate.no_regression(candidate, against="base", margin={behind})
'''
"""Of a model that is meant to be worse than its base, within limits."""


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
