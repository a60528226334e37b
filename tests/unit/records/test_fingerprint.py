"""What makes two runs one: all that answers depend on, but for the build of a library."""

from __future__ import annotations

import pytest

from pytest_modellab.records.runs import Fingerprint


def key(torch: str) -> str:
    settings = {"device": "cuda", "versions": {"torch": torch, "transformers": "5.23.0"}}
    return Fingerprint("w" * 64, "t" * 64, "p", settings).key


@pytest.mark.parametrize("label", ["+cpu", "+cu130", "+rocm6.4", "+xpu"])
def test_a_build_is_no_other_version(label: str) -> None:
    assert key(f"2.13.0{label}") == key("2.13.0")


@pytest.mark.parametrize("version", ["2.13.1", "2.13.0+ours", "2.13.0+cu130.ours", "2.13.0a0"])
def test_another_version_is_another_run(version: str) -> None:
    assert key(version) != key("2.13.0")
