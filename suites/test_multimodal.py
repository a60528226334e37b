"""May a model that listens, reads documents or looks ship smaller? `pytest suites -m multimodal`."""

import pytest

from pytest_modellab import Candidate, Gate

LISTENING = pytest.mark.task_set("spoken_requests_v1")
READING = pytest.mark.task_set("printed_pages_v1")
LOOKING = pytest.mark.task_set("sight_v1")

pytestmark = pytest.mark.alpha_weight(10)
