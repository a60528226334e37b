"""The day that chat templates are told: noted in every report, one for all workers."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import pytest

from pytest_modellab.config import read
from pytest_modellab.config.find import FILE_NAME
from pytest_modellab.plugin.projects import Project
from pytest_modellab.plugin.session import TODAY, settings_of, today_of


def test_a_report_names_the_template_and_the_day(project: pytest.Pytester) -> None:
    (project.path / "model" / "chat_template.jinja").write_text(
        "{{ strftime_now('%H:%M:%S.%f') }} {{ messages[0].content }}"
    )
    project.runpytest_inprocess("--modellab-update", "-k", "plain and overall")
    result = project.runpytest_inprocess(
        "-k",
        "plain and overall",
        "--modellab-churn",
        "--modellab-no-cache",
        "--modellab-json=r.json",
    )
    report = json.loads((project.path / "r.json").read_text())
    (note,) = (note for note in report["notes"] if "strftime_now" in note)
    assert note.startswith(
        "model 'tiny' (source = 'model'): its chat template asks for the date (strftime_now) and "
        "is told 20"
    )
    assert note.endswith(", the day of the accepted run of 'plain' on 'words'")
    result.stdout.fnmatch_lines([f"note: {note}"])
    (run,) = report["runs"]
    assert (report["verdict"], run["churn"]) == ("pass", 0.0)


def test_workers_are_told_the_day_of_the_controller(
    project: pytest.Pytester, pytestconfig: pytest.Config
) -> None:
    scheduler = pytest.importorskip("pytest_modellab.plugin.scheduler")
    controller = SimpleNamespace(stash=pytest.Stash())
    controller.stash[TODAY] = "2026-11-29"  # before midnight
    node: Any = SimpleNamespace(config=controller, workerinput={})
    found = SimpleNamespace(known=[Project(pytestconfig, read.load(project.path / FILE_NAME))])
    scheduler.Distribution(found).pytest_configure_node(node)
    worker: Any = SimpleNamespace(stash=pytest.Stash(), workerinput=node.workerinput)
    assert today_of(worker) == "2026-11-29"
    assert settings_of(pytestconfig, None).today == today_of(pytestconfig)
