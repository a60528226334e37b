"""The whole suite that a project starts from: files by path, and the commands that come next."""

from __future__ import annotations

import math

from pytest_modellab.starter.kind import CAPABILITY, COST, FORGETTING, Kind
from pytest_modellab.starter.model import Model
from pytest_modellab.starter.tasks import Tasks

LEAST_CAPABILITY = 20
"""Samples of a capability from which it is judged by itself."""


SMALLEST_MARGIN = 0.02


MOST_BEHIND = 0.30
"""How far a student may be behind its teacher, unless the samples can show less."""


_ROUNDED = 0.05


_PROMPT = """\
{{% block system %}}{system}{{% endblock %}}
{{% block user %}}{{{{ input }}}}{{% endblock %}}
"""


_MORE = """

# Worth adding. Once changes were accepted: have small drops added up since the first run?
#
#     def test_drift(candidate, gate):
#         gate.no_drift(candidate)
#
# On a machine that does nothing else, which would show in it: is a reply as fast as the base's?
#
#     def test_latency(candidate, gate):
#         gate.no_slowdown(candidate, limit=1.10)
"""


def files(kind: Kind, model: Model | None, tuned: Model | None, tasks: Tasks) -> dict[str, str]:
    """Return the files of a suite by their paths below its folder."""
    place = f"tasks/{tasks.name}"
    return {
        "modellab.toml": _config(kind, model, tuned, tasks),
        f"test_{kind.name}.py": _tests(kind, tasks),
        **(
            {}
            if kind.searches
            else {"prompts/assistant.jinja": _PROMPT.format(system=tasks.system)}
        ),
        **{f"{place}/{name}": text for name, text in tasks.files.items()},
    }


def margin(n: int) -> float:
    """Return the least drop that ``n`` samples can rule out where nothing changed, rounded up."""
    from pytest_modellab.gate.planner import pass_size

    def would_do(allowed: float) -> bool:
        needed = pass_size(churn=0.0, margin=allowed)
        return needed is not None and needed <= n

    if would_do(SMALLEST_MARGIN):
        return SMALLEST_MARGIN
    steps = (round(_ROUNDED * step, 2) for step in range(1, math.ceil(1 / _ROUNDED)))
    return next(filter(would_do, steps), 0.95)


def _config(kind: Kind, model: Model | None, tuned: Model | None, tasks: Tasks) -> str:
    mine = model.table("mine") + "\n" if model is not None else ""
    more = tuned.table(kind.accepted[-1]) + "\n" if tuned and not tuned.adapter else ""
    return f"""\
# What `pytest suites` runs: models, task sets and variants. Paths start from this folder.
baselines = "../baselines"

{mine}{more}[task_sets.{tasks.name}]
path = "tasks/{tasks.name}"
{_margins(tasks)}{kind.base}{kind.declared(tuned)}"""


def _margins(tasks: Tasks) -> str:
    from pytest_modellab.gate.planner import pass_size

    n = tasks.n
    allowed = margin(n)
    said = f"allowed drop of the mean: the least that {n} samples can rule out"
    if allowed > SMALLEST_MARGIN:
        said += f"; {SMALLEST_MARGIN} takes {pass_size(churn=0.0, margin=SMALLEST_MARGIN)}"
    lines = f"# {said}\nmargin = {allowed}\n"
    if tasks.smallest >= LEAST_CAPABILITY:
        lines += f"capability_margin = {margin(tasks.smallest)}  # of one capability\n"
    return lines


def _tests(kind: Kind, tasks: Tasks) -> str:
    tests = [*kind.tests]
    if tasks.smallest >= LEAST_CAPABILITY:
        tests += [CAPABILITY, *([FORGETTING] if COST in tests else [])]
    behind = max(MOST_BEHIND, margin(tasks.n))
    head = f'''\
"""{kind.question} `pytest suites -m {kind.marker or kind.name}`."""

import pytest

pytestmark = [pytest.mark.task_set("{tasks.name}"), pytest.mark.variants({kind.marks})]

'''
    return head + "\n".join(tests).format(behind=behind) + _MORE
