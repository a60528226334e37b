"""suites/fidelity.py is asked for by name, and left out of `pytest suites`."""

from __future__ import annotations

from pathlib import Path

import pytest

SUITES = Path(__file__).parents[3] / "suites"


def test_it_is_collected_by_name_alone(pytester: pytest.Pytester) -> None:
    named = pytester.runpytest_inprocess(
        "--collect-only",
        "-q",
        "-p",
        "no:cacheprovider",
        "--rootdir",
        SUITES,
        SUITES / "fidelity.py",
    )
    named.stdout.fnmatch_lines(["*test_8_bits?int8?", "*test_4_bits?nf4?"])
    every = pytester.runpytest_inprocess(
        "--collect-only", "-q", "-p", "no:cacheprovider", "--rootdir", SUITES, SUITES
    )
    every.stdout.no_fnmatch_line("*test_8_bits*")
    every.stdout.fnmatch_lines(["*test_quantized.py*"])
