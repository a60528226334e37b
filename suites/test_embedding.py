"""Did a swap, a quantization or a truncation break search? `pytest suites -m embedding`."""

import pytest

from pytest_modellab import Candidate, Gate
from pytest_modellab.records.runs import INDEX_RECALL

CORPORA = ("tau2_banking", "help_centre_v1", "lee_news")
SHIPPED = ("minilm", "minilm_int8", "bm25")  # what is accepted and may not get worse
CHANGED = (
    "minilm_int8",
    "minilm_d128",
    "minilm_binary",
    "minilm_hnsw",
    "minilm_hybrid",
    "paraphrase_l3",
    "sre",
)

pytestmark = [pytest.mark.task_set(*CORPORA), pytest.mark.alpha_weight(10)]


@pytest.mark.variants(*SHIPPED)
def test_overall(candidate: Candidate, gate: Gate) -> None:
    """No ranking got worse since the last accepted run; BM25's is the sanity reference."""
    gate.no_regression(candidate)


@pytest.mark.variants(*CHANGED)
def test_overall_cost(candidate: Candidate, gate: Gate) -> None:
    """Nor is what a smaller, faster or cheaper search finds worse than what the base finds."""
    gate.no_regression(candidate, against="base")


@pytest.mark.task_set("tau2_banking", "help_centre_v1")
@pytest.mark.variants(*CHANGED)
@pytest.mark.alpha_weight(20)  # one family of up to seven capabilities
def test_forgetting(candidate: Candidate, gate: Gate) -> None:
    """Nor did it lose a capability that the base has.

    So few queries a capability can show a drop, but not that there is none: no margin, no pass.
    """
    gate.no_forgetting(candidate, margin=0.0)


@pytest.mark.task_set("help_centre_v1")
@pytest.mark.variants("minilm", *CHANGED)
def test_worst_bucket(candidate: Candidate, gate: Gate) -> None:
    """No capability lies under the floor."""
    gate.worst_bucket(candidate, by="capability")


@pytest.mark.task_set("help_centre_v1")
@pytest.mark.variants("minilm_hnsw")
def test_index(candidate: Candidate, gate: Gate) -> None:
    """The approximate index finds what exact search finds: the index's fault, not the model's."""
    gate.worst_bucket(candidate, by="capability", metric=INDEX_RECALL, floor=0.90)


@pytest.mark.task_set("lee_similarity")
@pytest.mark.variants("minilm_int8", "minilm_d128", "paraphrase_l3", "sre")
def test_similarity(candidate: Candidate, gate: Gate) -> None:
    """Similarities agree with people's as well as the base's do (Spearman's rho)."""
    gate.no_regression(candidate, against="base")
