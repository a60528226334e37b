"""How far have the quantized models moved? `pytest suites/fidelity.py`, a minute a model.

Not among `pytest suites`: every token's distribution is read, 69 s for the base, 56 for int8 and 47
for nf4 on two cores, which is beyond what the main job may take.
"""

import pytest

from pytest_modellab import Candidate, Gate

pytestmark = pytest.mark.task_set("assistant_core_v2")


@pytest.mark.variants("int8")
def test_8_bits(candidate: Candidate, gate: Gate) -> None:
    """Eight bits are as good as the base."""
    gate.fidelity(candidate, kl=0.01, agreement=0.95)


@pytest.mark.variants("nf4")
def test_4_bits(candidate: Candidate, gate: Gate) -> None:
    """Four bits move it, and no further than they did when the limits were set."""
    gate.fidelity(candidate, kl=0.25, agreement=0.70)
