"""How CI, tox and make call the gate: the commands in their files, read as text."""

from __future__ import annotations

import dataclasses
import fnmatch
import itertools
import re
import shlex
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence

from pytest_modellab.config.lab_config import LabConfig
from pytest_modellab.review import ini
from pytest_modellab.review.changes import Change
from pytest_modellab.review.files import Files, above

PLACES = (
    *(".github/workflows/*.yml", ".github/workflows/*.yaml", ".gitlab-ci.yml", "Jenkinsfile"),
    *(".circleci/config.yml", "azure-pipelines.yml", "bitbucket-pipelines.yml"),
    *(".buildkite/*.yml", "tox.ini", "tox.toml", "noxfile.py", "Makefile", "justfile"),
)
"""Where commands are looked for, from the top."""


_TOLERATED = {
    "continue-on-error: true": r"continue-on-error:\s*true",
    "allow_failure: true": r"allow_failure:\s*true",
    "|| true": r"\|\|\s*(?:true|:|echo|printf|exit 0)(?=\s|$|['\"])",
    "set +e": r"\bset \+e\b",
    "ignore_outcome": r"ignore_(?:outcome|errors)\s*=\s*true",
    "if: false": r"\bif:\s*(?:false|\$\{\{\s*false\s*\}\})",
}
"""What keeps a failed command from failing what runs it."""


_ADDED = re.compile(r"\bPYTEST_ADDOPTS\s*[:=]\s*(.*)")


_QUOTES = "'\""


_PROGRAM = re.compile(r"(?:^|[\s'\"/])(pytest|modellab gate)(?=\s|['\"]|$)(.*)")


_OURS = re.compile(r"\bmodellab (review)\b")


@dataclasses.dataclass(frozen=True)
class Call:
    """A command that runs the gate.

    Attributes:
        words: the command as it stands.
        options: what it sets of modellab.
        selects: what it says of what is run.
        where: file and line.
        targets: the folders, files and tests of the suites that it runs; ``""`` is all.
    """

    words: str
    options: Mapping[str, str]
    selects: frozenset[str]
    where: str
    targets: frozenset[str] = frozenset({""})


@dataclasses.dataclass(frozen=True)
class Commands:
    """The commands of one side.

    Attributes:
        calls: of pytest on the suites, and of ``modellab gate``.
        added: what PYTEST_ADDOPTS gives to every call.
        ours: how often each command of modellab is called that decides.
        tolerated: how often a failure is let pass, in files that call the gate.
        there: the files and folders of the suites.
    """

    calls: Sequence[Call]
    added: Call
    ours: Mapping[str, int]
    tolerated: Mapping[str, int]
    there: Collection[str]


def read(files: Files, folder: str) -> Commands:
    """Read the commands of a side.

    Args:
        files: its files.
        folder: of modellab.toml, from the top.
    """
    calls: list[Call] = []
    added = where = ""
    ours: Counter[str] = Counter()
    tolerated: Counter[str] = Counter()
    for path in sorted(files.paths):
        if not any(fnmatch.fnmatchcase(path, place) for place in PLACES):
            continue
        text = _uncommented(files.text(path) or "")
        for line, words in enumerate(text.split("\n"), 1):
            if match := _ADDED.search(words):
                added = f"{added} {match[1].strip().strip(_QUOTES)}".strip()
                where = f"{path}:{line}"
        found = [_aimed(one, folder) for one in _calls(path, text) if _gates(one, folder)]
        names = _OURS.findall(text)
        if not found and not names:
            continue
        calls += found
        ours.update(names)
        tolerated.update({name: len(re.findall(one, text)) for name, one in _TOLERATED.items()})
    start = f"{folder}/" if folder else ""
    within = [path.removeprefix(start) for path in files.paths if path.startswith(start)]
    there = frozenset(place for path in within for place in above(path))
    return Commands(calls, _call(added, where), ours, tolerated, there)


def _call(words: str, where: str, program: str = "pytest") -> Call:
    options, selects, _ = ini.parse(_split(words))
    return Call(" ".join(f"{program} {words}".split()), options, frozenset(selects), where)


def _uncommented(text: str) -> str:
    lines = text.split("\n")
    return "\n".join("" if line.lstrip().startswith(("#", "//")) else line for line in lines)


def _calls(path: str, text: str) -> Iterator[Call]:
    """Give each call of the gate: its line, and those below that go on with options."""
    lines = text.split("\n")
    for number, line in enumerate(lines):
        match = _PROGRAM.search(line)
        if match is None:
            continue
        words = match[2].rstrip().rstrip("\\")
        for below in lines[number + 1 :]:
            more = below.strip()
            if not line.rstrip().endswith("\\") and not re.match(r"--?\w", more):
                break
            words, line = f"{words} {more.rstrip(chr(92))}", below
        words = re.sub(r"\{posargs:?|\}", " ", words)
        if match[1] != "pytest":  # modellab gate, which has options of the same names
            words = re.sub(r"--(margin|alpha|on-inconclusive)\b", r"--modellab-\1", words)
        yield _call(words, f"{path}:{number + 1}", match[1])


def _split(words: str) -> list[str]:
    try:
        return shlex.split(words)
    except ValueError:  # the quote that closes the command
        try:
            return shlex.split(words.rstrip("'\"], "))
        except ValueError:
            return words.split()


def _gates(call: Call, folder: str) -> bool:
    ours = call.words.startswith("modellab")
    return not folder or ours or bool(call.options) or folder in call.words


def _aimed(call: Call, folder: str) -> Call:
    """Add what a call of pytest runs; what may be the value of an option is no target."""
    found = set()
    words = _split(call.words)
    for before, word in itertools.pairwise(words):
        target = f"{word.removeprefix('./').rstrip('/')}/"
        if before.startswith("-") or word.startswith("-") or not target.startswith(f"{folder}/"):
            continue
        found.add(target.removeprefix(f"{folder}/").rstrip("/"))
    ours = call.words.startswith("modellab")
    return call if ours or not found else dataclasses.replace(call, targets=frozenset(found))


def _left_out(old: Call, new: Call, there: Collection[str]) -> list[str]:
    """What the old call runs and the new one does not, though it is there."""
    return [
        one
        for one in sorted(old.targets)
        if (not one or one.partition("::")[0] in there)
        and not any(
            target in ("", one) or one.startswith((f"{target}/", f"{target}::"))
            for target in new.targets
        )
    ]


def compare(old: Commands, new: Commands, was: LabConfig, now: LabConfig) -> list[Change]:
    """Compare how the gate is called: each old call with the new one that is nearest to it."""
    found = _between(old.added, new.added, was, now, new.there)
    for call in old.calls:
        program = call.words.partition(" ")[0]
        nearest = min(
            (
                _between(call, other, was, now, new.there)
                for other in new.calls
                if other.words.startswith(program)
            ),
            key=lambda changes: (sum(one.weakens for one in changes), len(changes)),
            default=[Change("weaker", f"command {call.words}", "run", "not run", call.where)],
        )
        found += [one for one in nearest if one not in found]
    for name, count in old.ours.items():
        if not new.ours.get(name):
            found.append(Change("weaker", f"command modellab {name}", str(count), "not run"))
    for name in _TOLERATED:
        times = old.tolerated.get(name, 0), new.tolerated.get(name, 0)
        if times[1] > times[0] and old.calls:
            note = "in a file that calls the gate: a failure may be let pass"
            what = f"commands {name}"
            found.append(Change("unweighed", what, str(times[0]), str(times[1]), note=note))
    return found


def _between(
    old: Call, new: Call, was: LabConfig, now: LabConfig, there: Collection[str]
) -> list[Change]:
    found = ini.weighed(old.options, new.options, was, now, new.where, "command ")
    note = "what it leaves out is not judged"
    for one in _left_out(old, new, there):
        values = one or "all", ", ".join(sorted(new.targets))
        found.append(Change("unweighed", "command pytest of the suites", *values, new.where, note))
    for one in sorted(new.selects - old.selects):
        found.append(Change("unweighed", f"command {one}", "not given", "given", new.where, note))
    for one in sorted(old.selects - new.selects):
        found.append(Change("stronger", f"command {one}", "given", "not given", new.where))
    return found
