"""The tests of one side, as pytest would collect them, and the fixtures that they ask for."""

from __future__ import annotations

import ast
import dataclasses
import fnmatch
import posixpath
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pytest_modellab.review.asked import marks
from pytest_modellab.review.asked.modules import Function, Module, Modules, named
from pytest_modellab.review.asked.reading import Local, Reader
from pytest_modellab.review.files import above, joined

CONFTEST = "conftest.py"


OWN = ("gate", "candidate", "task_set", "capability", "lab")
"""The fixtures of the plugin that decide."""


@dataclasses.dataclass(frozen=True)
class Patterns:
    """What pytest collects: the ini options of these names.

    Attributes:
        files: patterns of file names.
        functions: prefixes or patterns.
        classes: prefixes or patterns.
        not_in: patterns of folders that are not looked into.
    """

    files: tuple[str, ...] = ("test_*.py", "*_test.py")
    functions: tuple[str, ...] = ("test",)
    classes: tuple[str, ...] = ("Test",)
    not_in: tuple[str, ...] = (".*", "build", "dist", "node_modules", "venv", "*.egg", "_darcs")


@dataclasses.dataclass(frozen=True, eq=False)
class Test:
    """A test function.

    Attributes:
        name: ``suites/test_small.py::test_overall``.
        node: its text.
        reader: of its module; it knows ``self`` in a class.
        marks: the nearest first.
        own: how many of them are the function's.
        fixtures: what it asks for by name.
        named: whether pytest runs its file only where a command names it.
    """

    name: str
    node: Function
    reader: Reader
    marks: Sequence[marks.Mark]
    own: int
    fixtures: tuple[str, ...]
    named: bool = False


class Suite:
    """The tests of a folder.

    Args:
        modules: of the side.
        folder: from the top, ``""`` for the top itself.
        patterns: what is collected.
    """

    def __init__(self, modules: Modules, folder: str, patterns: Patterns) -> None:
        self.modules = modules
        self.folder = folder
        self._patterns = patterns

    def paths(self, *, named: bool = False) -> list[str]:
        """The Python files that pytest collects, or those that it collects where they are named."""
        start = f"{self.folder}/" if self.folder else ""
        return sorted(
            path
            for path in self.modules.files.paths
            if path.startswith(start)
            and path.endswith(".py")
            and named
            != any(fnmatch.fnmatch(posixpath.basename(path), one) for one in self._patterns.files)
            and not any(
                fnmatch.fnmatch(part, one)
                for part in path[len(start) :].split("/")[:-1]
                for one in self._patterns.not_in
            )
        )

    def conftests(self) -> list[Module]:
        """Every ``conftest.py`` in the folder, and above it."""
        start = f"{self.folder}/" if self.folder else ""
        within = [p for p in self.modules.files.paths if posixpath.basename(p) == CONFTEST]
        over = {joined(one, CONFTEST) for one in above(self.folder)}
        found = (self.modules.at(p) for p in sorted(within) if p.startswith(start) or p in over)
        return [module for module in found if module is not None]

    def asking(self) -> Iterator[Module]:
        """Give every module of tests that may ask the gate."""
        for path in self.paths():
            if "gate" in (self.modules.files.text(path) or ""):
                module = self.modules.at(path)
                if module is not None and _collected(module.tree.body):
                    yield module

    def _by_name(self) -> Iterator[Module]:
        """Give every module of tests that a command must name, as ``pytest suites/nightly.py``."""
        for path in self.paths(named=True):
            text = self.modules.files.text(path) or ""
            if posixpath.basename(path) == CONFTEST or not _ASKING.search(text):
                continue
            if "gate" in text and _parsed(text):
                module = self.modules.at(path)
                if module is not None and _collected(module.tree.body):
                    yield module

    def tests(self) -> Iterator[Test]:
        """Give every test that may ask the gate."""
        for modules, named_ in ((self.asking(), False), (self._by_name(), True)):
            for module in modules:
                reader = Reader(self.modules, module)
                for test in self._functions(module.path, reader, module.names, ()):
                    yield dataclasses.replace(test, named=named_)

    def _functions(
        self,
        name: str,
        reader: Reader,
        names: Mapping[str, Any],
        classes: tuple[ast.ClassDef, ...],
    ) -> Iterator[Test]:
        for own, node in names.items():
            where = f"{name}::{own}"
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                if self._matches(own, self._patterns.functions):
                    yield self._test(where, node, reader, classes)
            elif isinstance(node, ast.ClassDef) and self._matches(own, self._patterns.classes):
                class_ = Local(node, reader.module)
                readers, members = reader.members(class_)
                if "__init__" in members or "__new__" in members or not _collected(node.body):
                    continue
                for member, place in members.items():
                    within = readers[member].within({"self": class_})
                    within.depth = 0
                    one = {member: place}
                    yield from self._functions(where, within, one, (*classes, node))

    def _test(
        self, name: str, node: Function, reader: Reader, classes: tuple[ast.ClassDef, ...]
    ) -> Test:
        found = marks.of_function(reader, node, classes)
        given = [one.arg for one in (*node.args.posonlyargs, *node.args.args)]
        asked = [*given[: len(given) - len(node.args.defaults)]]
        asked += [one.arg for one in node.args.kwonlyargs]
        for mark in found:
            if mark.name == "usefixtures":
                asked += [str(arg) for arg in mark.args]
        own = len([*marks.of(reader, node.decorator_list)])
        return Test(name, node, reader, found, own, tuple(one for one in asked if one != "self"))

    @staticmethod
    def _matches(name: str, patterns: Sequence[str]) -> bool:
        return any(name.startswith(one) or fnmatch.fnmatch(name, one) for one in patterns)

    def fixture(self, name: str, test: Test) -> Local | None:
        """Find the fixture that a test would get, None where it is no one's of the suites."""
        path = test.name.split("::", 1)[0]
        places = [path, *(joined(one, CONFTEST) for one in above(posixpath.dirname(path)))]
        for place in places:
            module = self.modules.at(place)
            node = module.names.get(name) if module is not None else None
            if not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) or module is None:
                continue
            if fixture_of(node) is not None:
                return Local(node, module)
        return None

    def automatic(self, test: Test) -> list[Local]:
        """The fixtures that a test gets without asking."""
        path = test.name.split("::", 1)[0]
        places = [path, *(joined(one, CONFTEST) for one in above(posixpath.dirname(path)))]
        found = []
        for module in map(self.modules.at, places):
            if module is None:
                continue
            bodies = [module.tree.body]
            bodies += [one.body for one in module.tree.body if isinstance(one, ast.ClassDef)]
            for node in (n for body in bodies for n in named(body).values()):
                if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                    call = fixture_of(node)
                    if isinstance(call, ast.Call) and any(
                        k.arg == "autouse" for k in call.keywords
                    ):
                        found.append(Local(node, module))
        return found


_ASKING = re.compile(r"^\s*(?:async\s+)?def\s.*\bgate\b", re.MULTILINE)
"""A function that takes the gate."""


def _parsed(text: str) -> bool:
    try:
        ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return True


def fixture_of(node: Function) -> ast.expr | None:
    """Return the decorator that makes a function a fixture, or None."""
    for decorator in node.decorator_list:
        target = decorator.func if isinstance(decorator, ast.Call) else decorator
        match target:
            case ast.Attribute(attr="fixture") | ast.Name(id="fixture"):
                return decorator
    return None


def _collected(body: Sequence[ast.stmt]) -> bool:
    """Whether a module or class does not say ``__test__ = False``."""
    found = named([*body]).get("__test__")
    return not (isinstance(found, ast.Constant) and not found.value)
