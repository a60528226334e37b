"""Allure results: what a test says of its verdicts, and what the whole session adds.

Both Allure 2 and Allure 3 read the results folder. allure-pytest is optional: nothing of it is
imported before one of :mod:`running`'s functions is called inside a test that it listens to.
"""

from pytest_modellab.reports.allure_report.results import crashed, write_session
from pytest_modellab.reports.allure_report.running import attach, describe, label, label_test
from pytest_modellab.reports.allure_report.settings import CONFIG_NAME, history_path

__all__ = [
    "CONFIG_NAME",
    "attach",
    "crashed",
    "describe",
    "history_path",
    "label",
    "label_test",
    "write_session",
]
