"""The commands in README and docs are run, with a small random model in place of the real one.

A section whose commands follow from each other is run as it stands, from top to bottom. Every other
command is run in a project like this repository's suites, or in this repository where it reads that
alone. What cannot be run here stands in ``NOT_RUN`` with the reason.
"""

from __future__ import annotations

import contextlib
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import garbage
import pytest
from documented import ROOT, Command, commands, table
from documented_suites import (
    ACCEPTED,
    CAPABILITIES,
    DECLARED,
    DEEPEVAL,
    commit,
    make_right,
    replace,
    write_score_files,
    write_suites,
)
from pull_requests import git

from pytest_modellab import cli, testing

COMMANDS = commands()

FLOWS = {
    ("README.md", "The first five minutes"),
    ("README.md", "Your own suite"),
    ("README.md", "See 3 bits blocked"),
    *(("docs/tutorial.md", one) for one in ("Begin", "The first verdict")),
    *(("docs/tutorial.md", one) for one in ("A change", "A change that is wanted")),
}
"""Pages and headings whose commands are run in their order, by the tests below that name them."""

ELSEWHERE = {
    r"docs/extending\.md:\d+ .*": "tests/plugin/test_extending.py",
    r"docs/served\.md:\d+ pytest -m served": "tests/plugin/test_served.py",
    r"docs/multimodal\.md:\d+ modellab diagnose plain deaf .*": "tests/plugin/test_put_back.py",
}
"""Commands that tests of their own run, with the files of the page."""

NOT_RUN = {
    r".* (python\S*|.*pip) .*(venv|install).*": "installs",
    r".* npm install .*": "installs",
    r".* pre-commit install": "installs",
    r".* tox run .*": "is what runs these tests, or installs",
    r".* npx allure .*": "needs Allure 2 and Java",
    r".* modellab report": "needs Allure 3 of npm; tests/unit/cli/test_report.py",
    r".* (lm_eval|inspect|promptfoo|deepeval) .*": "another project's program",
    r".* modellab build support --device cuda": "needs a GPU",
    r".* modellab run --on ray .*": "needs GPUs; tests/real/test_cluster.py",
    r".* python -m benchmarks\..*": "takes minutes or a GPU; what it prints is no promise",
}
"""Commands that cannot be run in CI, and why."""

IN_THIS_REPOSITORY = ("modellab tasks", "modellab schema", "modellab completion", "python")
"""Commands that read this repository's own files and no model."""

ENDS = {
    "pytest suites -m 'not slow'": 1,  # one variant is blocked on purpose
    "pytest suites -m finetuned": 1,
    "pytest suites --alluredir allure-results --clean-alluredir": 1,
    "pytest suites/test_quantized.py -k 'rtn4 and (overall_cost or forgetting or worst_bucket)'": 1,
    "modellab diagnose prompting broken": 1,  # a part is named
    "modellab diagnose prompting broken --html diagnosis.html --bundle broken.zip": 1,
    "modellab tasks check": 1,  # the base is at chance in what others are trained for
    "modellab tasks check suites/tasks/alignment_probes_v1": 1,
    "modellab tasks check suites/tasks/support_triage_v1 "
    "--train suites/tasks/support_triage_v1/train.jsonl": 1,
}
"""Exit codes other than 0 of the commands that stand alone."""


def _matching(patterns: Mapping[str, str], command: Command) -> list[str]:
    return [pattern for pattern in patterns if re.fullmatch(pattern, str(command))]


def _alone() -> dict[str, Command]:
    """The commands that neither are part of a flow nor run elsewhere or never, each once."""
    return {
        command.text: command
        for command in reversed(COMMANDS)
        if (command.page, command.heading) not in FLOWS
        and not _matching({**ELSEWHERE, **NOT_RUN}, command)
    }


@pytest.mark.parametrize("patterns", [ELSEWHERE, NOT_RUN], ids=["elsewhere", "not run"])
def test_no_exception_is_for_nothing(patterns: Mapping[str, str]) -> None:
    counted = dict.fromkeys(patterns, 0)
    for command in COMMANDS:
        for pattern in _matching(patterns, command):
            counted[pattern] += 1
    assert [pattern for pattern, number in counted.items() if not number] == []


def test_what_is_said_to_run_them_does() -> None:
    for command in COMMANDS:
        for pattern in _matching(ELSEWHERE, command):
            text = (ROOT / ELSEWHERE[pattern]).read_text(encoding="utf-8")
            words = command.words[1:]
            assert f'"{"".join(words)}"' in text or all(f'"{w}"' in text for w in words), command


def test_every_end_is_of_a_command() -> None:
    assert {*ENDS} <= {*_alone()}


# --- running a command -----------------------------------------------------------------------

Do = Callable[[Command], tuple[int, str]]


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[pytest.MonkeyPatch]:
    """One store for all: what was asked once is not asked again."""
    pytest.importorskip("torch")
    for library in ("bitsandbytes", "torchao", "peft", "allure_pytest"):
        pytest.importorskip(library)  # and there before pytester, which would forget it
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MODELLAB_CACHE", str(tmp_path_factory.mktemp("store")))
        for name in ("CI", "GITHUB_ACTIONS"):
            patch.delenv(name, raising=False)
        for role in ("AUTHOR", "COMMITTER"):
            patch.setenv(f"GIT_{role}_NAME", "A. Person")
            patch.setenv(f"GIT_{role}_EMAIL", "a.person@example.org")
        yield patch


@pytest.fixture(scope="module")
def model(environment: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Stands for SmolLM2: as wide as 4 bits want, and rounded to them already."""
    import bitsandbytes.functional as bnb
    from transformers import LlamaForCausalLM

    folder = testing.write_random_model(tmp_path_factory.mktemp("model") / "base", hidden_size=64)
    made = LlamaForCausalLM.from_pretrained(folder)
    for name, weight in made.model.layers.named_parameters():
        if name.endswith("proj.weight"):
            weight.data = bnb.dequantize_4bit(*bnb.quantize_4bit(weight.data, quant_type="nf4"))
    made.save_pretrained(folder)
    garbage.freeze()
    return folder


@pytest.fixture
def do(
    environment: pytest.MonkeyPatch,
    pytester: pytest.Pytester,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> Do:
    """Runs a command where we are; returns its exit code and all that it said."""
    monkeypatch.setattr(sys, "path", sys.path[:])

    def do(command: Command) -> tuple[int, str]:
        program, *arguments = command.words
        if program == "pytest":
            result = pytester.runpytest_inprocess("-p", "no:cacheprovider", *arguments)
            return int(result.ret), "\n".join([*result.outlines, *result.errlines])
        if program == "modellab":
            capfd.readouterr()
            return cli.main(arguments), "".join(capfd.readouterr())
        asked = [sys.executable if program == "python" else program, *arguments]
        done = subprocess.run(asked, capture_output=True, text=True, check=False)
        return done.returncode, done.stdout + done.stderr

    return do


class Section:
    """A page's section, whose commands are run in the order in which they stand."""

    def __init__(self, do: Do, page: str, *headings: str) -> None:
        assert {(page, heading) for heading in headings} <= FLOWS
        self._do = do
        self._left = [c for c in COMMANDS if c.page == page and c.heading in headings]
        self._left = [c for c in self._left if not _matching(NOT_RUN, c)]

    def next(self, text: str, *, ends: int = 0) -> str:
        """Run the next command, which is this one; return what it said."""
        command = self._left.pop(0)
        assert command.text == shlex.join(shlex.split(text)), command
        code, said = self._do(command)
        assert code == ends, f"{command} ended with {code}:\n{said}"
        return said

    def end(self) -> None:
        """Nothing is left over."""
        assert not self._left


# --- a project like this repository's suites -------------------------------------------------


@pytest.fixture(scope="module")
def suites(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project, in git, with all of its variants accepted; few of their answers are wrong."""
    folder = tmp_path_factory.mktemp("suites") / "project"
    (folder / "suites").mkdir(parents=True)
    write_suites(folder, model)
    write_score_files(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert cli.main(["accept", "prompting"]) == 0
        for name in CAPABILITIES:
            recorded = folder / "baselines" / name / "prompting.json"
            make_right(folder / "suites" / "tasks" / name, recorded)
        for name, variants in ACCEPTED.items():
            assert cli.main(["accept", *variants, "--task-set", name, "--first"]) == 0
    commit(folder)
    return folder


@contextlib.contextmanager
def declared(suites: Path, *names: str) -> Iterator[None]:
    """Variants that are declared meanwhile."""
    config = suites / "suites" / "modellab.toml"
    plain = config.read_text(encoding="utf-8")
    config.write_text("\n".join([plain, *(DECLARED[name] for name in names)]), encoding="utf-8")
    yield
    config.write_text(plain, encoding="utf-8")


@pytest.mark.parametrize("command", _alone().values(), ids=str)
def test_a_command(command: Command, suites: Path, do: Do, monkeypatch: pytest.MonkeyPatch) -> None:
    """It ends as the page lets expect, and says something."""
    if "logs/BASE.eval" in command.words:
        pytest.importorskip("inspect_ai")
    here = suites / DEEPEVAL if "DeepEval" in command.heading else suites
    monkeypatch.chdir(ROOT if command.text.startswith(IN_THIS_REPOSITORY) else here)
    with declared(suites, *(name for name in DECLARED if re.search(rf"\b{name}\b", command.text))):
        code, said = do(command)
    assert code == ENDS.get(command.text, 0), said
    assert said.strip() or command.text in SILENT
    if command.words[0] == "pytest" and code:
        failed = set(re.findall(r"^FAILED .*\[(\w+)", said, re.MULTILINE))
        assert failed == {"rtn4" if "rtn4" in command.text else "overtrained"}


SILENT = ("python suites/tasks/spoken_requests_v1/generate.py --check",)


def test_three_bits_are_blocked(suites: Path, do: Do, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(suites)
    page = Section(do, "README.md", "See 3 bits blocked")
    with declared(suites, "rtn3"):
        said = page.next("pytest suites -k 'rtn3 and (cost or forgetting)'", ends=1)
        assert "blocked: the mean score fell from 1.00 to 0." in said
        said = page.next("pytest suites -k 'rtn3 and test_overall'", ends=1)
        assert "no baseline of 'rtn3'" in said
        page.next("modellab accept rtn3 --task-set assistant_core_v2 --first")
        page.next("pytest suites -k 'rtn3 and not cost and not forgetting'")
        page.next("modellab history rtn3")
    page.end()


# --- sections as they stand ------------------------------------------------------------------


@pytest.fixture
def here(pytester: pytest.Pytester, model: Path) -> Path:
    """A repository with a model and nothing else."""
    shutil.copytree(model, pytester.path / "models" / "assistant")
    return pytester.path


def test_the_first_five_minutes(here: Path, do: Do) -> None:
    page = Section(do, "README.md", "The first five minutes")
    assert "found models/assistant" in page.next("modellab init")
    assert cli.main(["accept", "prompting"]) == 0
    baseline = here / "baselines" / "starter" / "prompting.json"
    make_right(here / "suites" / "tasks" / "starter", baseline)
    page.next("modellab accept prompting")
    assert "PASS: " in page.next("pytest suites")
    commit(here)
    prompt = here / "suites" / "prompts" / "assistant.jinja"
    replace(prompt, "Give a short, direct answer.", "Answer in French.")
    said = page.next("pytest suites", ends=1)
    assert "\nblocked: the mean score fell from 1.00 to 0." in said
    assert 'run it again: pytest "suites/test_prompted.py::test_regression[prompting]"' in said
    assert "side by side: modellab diff prompting --task-set starter --sample=" in said
    page.next("modellab accept prompting --because 'French is wanted, agreed with support'")
    assert "PASS: " in page.next("pytest suites")
    assert "nothing became weaker unacknowledged" in page.next("modellab review")
    page.next("git add baselines suites")
    page.end()


def test_your_own_suite(here: Path, do: Do) -> None:
    assert cli.main(["init", "--kind", "quantized"]) == 0
    page = Section(do, "README.md", "Your own suite")
    page.next("modellab tasks check")
    page.next("modellab accept prompting nf4")
    page.next("pytest suites")
    page.end()


def test_the_tutorial(here: Path, do: Do) -> None:
    (here / "questions.csv").write_text(
        "question,answer,category,scorer\n"
        + "".join(
            f"{topic.title()} {number}?,answer,{topic},regex\n"
            for topic in ("geography", "reading", "words")
            for number in range(10)
        )
    )
    headings = [heading for page, heading in FLOWS if page == "docs/tutorial.md"]
    page = Section(do, "docs/tutorial.md", *headings)
    said = page.next("modellab init --kind quantized --from questions.csv")
    assert "found models/assistant\nread questions.csv: 30 samples; columns: " in said
    tasks = here / "suites" / "tasks" / "questions"
    assert cli.main(["accept", "prompting"]) == 0
    make_right(tasks, here / "baselines" / "questions" / "prompting.json")
    assert "questions 1 (" in page.next("modellab tasks check questions")
    config = here / "suites" / "modellab.toml"
    replace(config, "[variants.nf4]", "[variants.phone]")
    page.next("modellab accept prompting phone")
    page.next("pytest suites")
    git(here, "init", "-q", "-b", "main")
    page.next("git add .gitignore .github suites baselines")
    page.next("git commit -m 'A gate for the assistant'")
    plain = config.read_text(encoding="utf-8")
    declared = plain[plain.index("[variants.phone]") :]
    config.write_text(plain.replace(declared, table("docs/tutorial.md", "variants.phone")))
    page.next("pytest suites", ends=1)
    page.next("modellab diff prompting phone --task-set questions")
    page.next("modellab diagnose prompting phone --task-set questions")
    config.write_text(plain)
    # another prompt by its hash alone: to a random model other words are another question
    prompt = here / "suites" / "prompts" / "assistant.jinja"
    replace(prompt, "Give a short, direct answer.", "Give a short, direct answer.{# and #}")
    said = page.next("pytest suites", ends=1)
    assert "'phone' cannot be compared with baseline of prompting on 'questions': " in said
    page.next("modellab accept prompting phone")
    page.next("pytest suites")
    page.next("modellab review")
    page.end()
