"""The pytest plugin: every hook, option and fixture is handed on from here."""

from __future__ import annotations

from pytest_modellab.plugin.collection import (
    pytest_collection_finish,
    pytest_collection_modifyitems,
    pytest_generate_tests,
    pytest_runtest_teardown,
)
from pytest_modellab.plugin.fixtures import candidate, diagnosis, gate, lab, task_set
from pytest_modellab.plugin.hooks import (
    pytest_addhooks,
    pytest_configure,
    pytest_report_collectionfinish,
    pytest_report_header,
    pytest_runtest_makereport,
)
from pytest_modellab.plugin.misspelt import pytest_load_initial_conftests
from pytest_modellab.plugin.options import pytest_addoption
from pytest_modellab.plugin.status import pytest_report_teststatus, pytest_terminal_summary

__all__ = [
    "candidate",
    "diagnosis",
    "gate",
    "lab",
    "pytest_addhooks",
    "pytest_addoption",
    "pytest_collection_finish",
    "pytest_collection_modifyitems",
    "pytest_configure",
    "pytest_generate_tests",
    "pytest_load_initial_conftests",
    "pytest_report_collectionfinish",
    "pytest_report_header",
    "pytest_report_teststatus",
    "pytest_runtest_makereport",
    "pytest_runtest_teardown",
    "pytest_terminal_summary",
    "task_set",
]
