"""What to type after a test was blocked: to run it again, and to see both replies."""

from __future__ import annotations

import shlex

from pytest_modellab.baselines.accepted import OWN_BASELINE
from pytest_modellab.judging.comparison import Comparison
from pytest_modellab.visible import line

REFERENCE = "compared with"
"""Names the accepted run; what the other names stand for is to be typed."""


_OF = "baseline of "


_ACTS = frozenset('"$`\\!')
"""What a shell acts on within double quotes."""


def rerun(nodeid: str) -> str:
    """The command that runs a test again: ``pytest "suites/test_a.py::test_b[nf4]"``.

    Args:
        nodeid: with the path as it is reached from the current folder.
    """
    quoted = shlex.quote(nodeid) if _ACTS & set(nodeid) else f'"{nodeid}"'
    return f"pytest {quoted}"


def beside(comparison: Comparison) -> str:
    """The command that shows both replies to the first flipped sample; empty where none flipped."""
    names = {
        OWN_BASELINE: [comparison.candidate],
        f"{_OF}{comparison.against.removeprefix(_OF)}": [
            comparison.against.removeprefix(_OF),
            comparison.candidate,
        ],
    }.get(comparison.against)
    if names is None or not comparison.flips:
        return ""
    # one word with its value: an id may begin with a dash
    asked = ["--task-set", comparison.task_set, f"--sample={comparison.flips[0].id}"]
    return shlex.join(["modellab", "diff", *names, *asked])


def lines(comparison: Comparison, nodeid: str, option: str = "") -> list[str]:
    """What to type, and where the run that was compared with comes from.

    Args:
        comparison: one that must not ship.
        nodeid: of its test, the path as it is reached from the current folder.
        option: by which a command names the configuration, where it has to.
    """
    return [line(f"{name}: {text}") for name, text in pairs(comparison, nodeid, option)]


def pairs(comparison: Comparison, nodeid: str, option: str = "") -> list[tuple[str, str]]:
    """Each of :func:`lines` as its name and the text or command."""
    told = [
        (REFERENCE, comparison.reference),
        ("run it again", rerun(nodeid)),
        ("side by side", f"{replies}{option}" if (replies := beside(comparison)) else ""),
    ]
    return [(name, text) for name, text in told if text]
