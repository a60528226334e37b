"""Work beside a session leaves the process as it was."""

from __future__ import annotations

import contextlib
import random

import pytest

from pytest_modellab.engines.untouched import untouched


def test_random_numbers_threads_and_modes_are_put_back() -> None:
    torch = pytest.importorskip("torch")
    numpy = pytest.importorskip("numpy")
    random.seed(5)
    numpy.random.seed(5)
    torch.manual_seed(5)
    threads = torch.get_num_threads()
    expected = random.Random(5).random()
    with contextlib.suppress(KeyboardInterrupt), untouched():
        random.seed(6)
        numpy.random.seed(6)
        torch.manual_seed(6)
        torch.set_num_threads(threads + 1)
        torch.set_grad_enabled(False)
        torch.set_default_dtype(torch.float64)
        raise KeyboardInterrupt
    assert random.random() == expected
    assert numpy.random.random() == numpy.random.RandomState(5).random_sample()
    assert torch.initial_seed() == 5
    assert torch.get_num_threads() == threads
    assert torch.is_grad_enabled()
    assert torch.get_default_dtype() == torch.float32
