"""What stands in a repository is neither run nor followed nor believed."""

from __future__ import annotations

import ast
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pull_requests import CONFIG, SAMPLES, TESTS, change, git, lines, save

from pytest_modellab import cli
from pytest_modellab.errors import ReviewUnavailable
from pytest_modellab.review import tree
from pytest_modellab.review.review import Review

Reviewed = Callable[..., Review]


def commit(root: Path) -> None:
    git(root, "add", "-A")
    git(root, "commit", "-q", "-m", "base")
    git(root, "branch", "-f", "main")


def test_tests_are_read_and_never_run(project: Path, reviewed: Reviewed) -> None:
    ran = project / "ran"
    bad = f"import pathlib\npathlib.Path({str(ran)!r}).touch()\n"
    for name in ("suites/conftest.py", "suites/limits.py"):
        path = project / name
        path.write_text(bad + (path.read_text() if path.exists() else ""))
    commit(project)
    change(project / "suites/limits.py", "0.10", "0.40")
    assert len(reviewed().weaker) == 1
    assert not ran.exists()


def test_names_that_act_are_shown(project: Path, capsys: Any) -> None:
    found = lines(project)
    found[0]["id"] = "x\u202e::error::y"
    save(project, found)
    commit(project)
    save(project, found[1:])
    assert cli.main(["review"]) == 1
    out = capsys.readouterr().out
    assert "1 removed (x\\u202e::error::y)" in out
    assert "\u202e" not in out


def test_a_link_is_not_followed(project: Path, tmp_path: Path, reviewed: Reviewed) -> None:
    secret = tmp_path / "secret.jsonl"
    (project / SAMPLES).rename(secret)
    (project / SAMPLES).symlink_to(secret)
    commit(project)
    (project / SAMPLES).unlink()
    (project / SAMPLES).write_bytes(secret.read_bytes())
    with pytest.raises(ReviewUnavailable, match=r"samples\.jsonl: cannot be read"):
        reviewed()


def test_what_is_too_large_is_said(project: Path, reviewed: Reviewed, monkeypatch: Any) -> None:
    monkeypatch.setattr(tree, "LARGEST", 100)
    save(project, lines(project)[1:])
    with pytest.raises(ReviewUnavailable, match=r"too large to compare \(\d+ bytes; a file may"):
        reviewed()


@pytest.mark.parametrize("path", ["../out", "/etc/out", "a/../../out", "a\\..\\out"])
def test_a_path_that_leads_out_is_not_written(project: Path, tmp_path: Path, path: str) -> None:
    folder = tmp_path / "old"
    folder.mkdir()
    old = tree.OldTree(project, git(project, "rev-parse", "main"), folder)
    entry = old.entries["README.md"]
    old.entries = {path: entry.__class__(path, entry.mode, entry.blob, entry.size)}
    old.put([path])
    assert not any(folder.iterdir())


@pytest.mark.parametrize(
    "code",
    [
        "A = A\n",
        "A = B\nB = A\n",
        "A = (1,) * 10**9\n",
        "A = 2 ** 10 ** 10\n",
        "A = 'x' * 10**9\n",
        "A = " + "(" * 150 + "0.1" + ")" * 150 + "\n",
        "A = " + " + ".join(["B"] * 300) + "\nB = (0.1,)\n",
        "def A():\n    return A()\n",
        f"A = {'-' * 900}B\nB = 0.1\n",
        "\n".join(f"A{k} = A{k + 1} + A{k + 1}" for k in range(60)) + "\nA60 = [1]\nA = A0\n",
        "A0 = f()\n"
        + "\n".join(f"A{k} = A{k - 1} + A{k - 1}" for k in range(1, 60))
        + "\nA = A59\n",
    ],
)
def test_constants_that_do_not_end(project: Path, reviewed: Reviewed, code: str) -> None:
    path = project / "suites/limits.py"
    path.write_text(path.read_text().replace("COST = 0.10", f"{code}COST = A"))
    commit(project)
    path.write_text(path.read_text().replace("COST = A", "COST = 0.9"))
    assert len(reviewed().weaker) == 1


@pytest.mark.parametrize("code", ["def (:\n", "\x00", "(" * 5000])
def test_a_test_file_that_is_no_python(project: Path, capsys: Any, code: str) -> None:
    path = project / TESTS
    path.write_text(f"{path.read_text()}\n{code}")
    assert cli.main(["review"]) == 2
    err = capsys.readouterr().err
    assert "the working tree: suites/test_small.py: no Python that can be read" in err


def test_a_gate_far_away(project: Path, tmp_path: Path, reviewed: Reviewed) -> None:
    outside = tmp_path / "outside"
    (project / "suites/tasks/words").rename(outside)
    change(project / CONFIG, 'path = "tasks/words"', f'path = "{outside}"')
    commit(project)
    change(project / CONFIG, "\nmargin = 0.02", "\nmargin = 0.05")
    found = reviewed()
    assert found.notes == ("task_sets.words: lies outside the repository: not compared",)
    assert len(found.weaker) == 1


ODD = r"""
import contextlib, functools

import limits

SEPARATOR = "\\"


async def test_async(candidate, gate, *rest, **more):
    async with more["a"] as b, b.c:
        await gate.no_drift(candidate)


def test_odd(candidate, gate):
    match candidate.name:
        case "small":
            gate.no_drift(candidate)
    (lambda: gate.no_drift(candidate))()
    [gate.no_drift(candidate) for _ in range(3) if _]
    {k: v for k, v in {}.items()}
    x = y = [1, 2][0:1]
    x[0], *y = f"{chr(10)!r:>{x}}\n{SEPARATOR.join(y)}", *y
    global z
    z: int
    del x
    while True:
        break
    else:
        gate.no_drift(candidate)
    for a, (b, c) in zip(x, y):
        gate.worst_bucket(candidate, by=a, floor=b if c else limits.COST)
    functools.partial(gate.no_drift, candidate)()
    gate.judge("odd", candidate, **{"limit": 2}, **limits.more)
    getattr(gate, "no_" + "drift")(candidate)
    if (n := len(y)) > 3 or f"{SEPARATOR.join(y)}" == "":
        raise ValueError(n)
    with contextlib.suppress(*y):
        assert gate.no_drift(candidate) is not (yield)
    return gate.no_drift(*y)


class TestOdd(limits.Base, metaclass=limits.Meta):
    gate = property(lambda self: 3)

    @staticmethod
    def test_static(candidate, gate):
        gate.no_drift(candidate)

    def test_own(self, candidate, gate):
        self.gate.no_drift(candidate)
        self.nowhere(gate)
        super().test_own(candidate, gate)
"""


def test_odd_code_is_read(project: Path, reviewed: Reviewed) -> None:
    (project / "suites/test_odd.py").write_text(ODD)
    ast.parse(ODD)
    commit(project)
    assert reviewed().changes == ()
    change(project / "suites/limits.py", "0.10", "0.40")
    assert {one.what.partition(":")[0] for one in reviewed().weaker} == {
        TESTS,
        "suites/test_odd.py",  # its floor hangs on the constant, too
    }
