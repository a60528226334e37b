"""May a model that listens, reads or looks ship smaller? `pytest suites -m multimodal`.

One variant of each family is damaged on purpose, by how its media are prepared.
"""

import pytest

from pytest_modellab import Candidate, Gate

# What smaller, or in fewer bits, may cost beside the base, of the mean over all samples …
SPEECH_COST = 0.05  # five words in a hundred more are wrong
PAGES_COST = 0.05  # five characters in a hundred
SIGHT_COST = 0.10  # one answer in ten: 160 right or wrong answers cannot settle less
# … and of one capability, of which 20 samples show only a large drop, and never that there is none.
CAPABILITY = 0.0

listening = pytest.mark.task_set("spoken_requests_v1")
reading = pytest.mark.task_set("printed_pages_v1")
looking = pytest.mark.task_set("sight_v1")

one_capability = pytest.mark.alpha_weight(2)  # a family of eight or so
beside = pytest.mark.alpha_weight(0.1)


# --- speech ---


@listening
@pytest.mark.variants("whisper_tiny", "whisper_tiny_int8")
def test_listening(candidate: Candidate, gate: Gate) -> None:
    """No more words are wrong than in the last accepted run."""
    gate.no_regression(candidate)


@listening
@pytest.mark.variants("whisper_tiny", "whisper_tiny_int8")
def test_listening_capability(candidate: Candidate, capability: str, gate: Gate) -> None:
    """Nor in any kind of recording: in noise, far from the microphone, numbers, names."""
    gate.no_regression(candidate, capability=capability)


@listening
@pytest.mark.variants(base="whisper_tiny")
def test_listening_cost(candidate: Candidate, gate: Gate) -> None:
    """Eight bits, another size or another sample rate cost little beside the base."""
    gate.no_regression(candidate, against="base", margin=SPEECH_COST)


@listening
@pytest.mark.variants(base="whisper_tiny")
@one_capability
def test_listening_forgetting(candidate: Candidate, gate: Gate) -> None:
    """And lost no kind of recording that the base understands."""
    gate.no_forgetting(candidate, margin=CAPABILITY)


@listening
@pytest.mark.variants("whisper_tiny", "whisper_tiny_int8", "whisper_base")
def test_listening_worst_bucket(candidate: Candidate, gate: Gate) -> None:
    """No kind of recording lies under the floor."""
    gate.worst_bucket(candidate, by="capability")


# --- documents ---


@reading
@pytest.mark.variants("ocr_small", "ocr_small_int8", "ocr_tiny")
def test_reading(candidate: Candidate, gate: Gate) -> None:
    """No more characters are wrong than in the last accepted run."""
    gate.no_regression(candidate)


@reading
@pytest.mark.variants("ocr_small", "ocr_small_int8", "ocr_tiny")
def test_reading_capability(candidate: Candidate, capability: str, gate: Gate) -> None:
    """Nor in any kind of page: small type, askew, blurred, grey on grey, other scripts."""
    gate.no_regression(candidate, capability=capability)


@reading
@pytest.mark.variants(base="ocr_small")
def test_reading_cost(candidate: Candidate, gate: Gate) -> None:
    """Eight bits or a smaller model cost little beside the base."""
    gate.no_regression(candidate, against="base", margin=PAGES_COST)


@reading
@pytest.mark.variants(base="ocr_small")
@one_capability
def test_reading_forgetting(candidate: Candidate, gate: Gate) -> None:
    """And lost no kind of page that the base reads."""
    gate.no_forgetting(candidate, margin=CAPABILITY)


@reading
@pytest.mark.variants("ocr_small", "ocr_small_int8", "ocr_tiny")
def test_reading_worst_bucket(candidate: Candidate, gate: Gate) -> None:
    """No kind of page lies under the floor."""
    gate.worst_bucket(candidate, by="capability")


# --- sight ---


@looking
@pytest.mark.variants("sight")
def test_looking(candidate: Candidate, gate: Gate) -> None:
    """No fewer questions are answered right than in the last accepted run."""
    gate.no_regression(candidate)


@looking
@pytest.mark.variants("sight")
def test_looking_capability(candidate: Candidate, capability: str, gate: Gate) -> None:
    """Nor of any kind."""
    gate.no_regression(candidate, capability=capability)


@looking
@pytest.mark.variants(base="sight")
def test_looking_cost(candidate: Candidate, gate: Gate) -> None:
    """Fewer bits in what sees, in what speaks, or in both cost little beside the base."""
    gate.no_regression(candidate, against="base", margin=SIGHT_COST)


@looking
@pytest.mark.variants(base="sight")
@beside
def test_looking_cost_probability(candidate: Candidate, gate: Gate) -> None:
    """Nor is it less sure of what is right: that shows before answers flip."""
    gate.no_regression(candidate, against="base", margin=SIGHT_COST, metric="probability")


@looking
@pytest.mark.variants(base="sight")
@one_capability
def test_looking_forgetting(candidate: Candidate, gate: Gate) -> None:
    """And lost no kind of question that the base answers."""
    gate.no_forgetting(candidate, margin=CAPABILITY)


@looking
@pytest.mark.variants("sight", "sight_int8_language")
def test_looking_worst_bucket(candidate: Candidate, gate: Gate) -> None:
    """No kind of question lies under the floor."""
    gate.worst_bucket(candidate, by="capability")
