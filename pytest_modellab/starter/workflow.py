"""The GitHub workflow that runs the suite on every pull request, as docs/ci.md explains it."""

from __future__ import annotations

import dataclasses
import json
import re
import shlex
from collections.abc import Sequence

from pytest_modellab.visible import line

PATH = ".github/workflows/modellab.yml"


_PLAIN = re.compile(r"[\w'()*${}\[\]=.,/ -]+", re.ASCII)


_TEXT = """\
# Blocks a pull request that makes a variant worse. To make it a rule, require the check "modellab":
# Settings, Rules, Rulesets, "Require status checks to pass".
name: modellab
on:
  pull_request:
  push:
    branches: [BRANCH]
permissions:
  contents: read
concurrency:
  group: modellab-${{ github.ref }}
  cancel-in-progress: ${{ github.event_name == 'pull_request' }}
jobs:
  modellab:
    name: modellab
    runs-on: ubuntu-latest
    timeout-minutes: 60
    env:
      MODELLAB_CACHE: ${{ github.workspace }}/.cache/modellab
      HF_HOME: ${{ github.workspace }}/.cache/huggingface
      PIP_EXTRA_INDEX_URL: https://download.pytorch.org/whl/cpu
    steps:
      - uses: actions/checkout@v5
        with:
          fetch-depth: 0 # what decided before is read from git
          persist-credentials: false
      - uses: actions/setup-python@v6
        with:
          python-version: "3.12"
INSTALL
      - uses: actions/cache@v4
        with:
          path: .cache
          key: HASHED
          restore-keys: modellab-${{ runner.os }}-
      # fails where an accepted run or a margin is lower and nobody said why:
      # modellab accept VARIANT --because "agreed with ... because ..."
      - name: Is the bar as high as before?
        run: REVIEW
      - name: Gate # its report is in the step's summary
        if: ${{ !cancelled() }}
        run: GATE
      - uses: actions/upload-artifact@v6
        if: ${{ !cancelled() }}
        with:
          name: modellab
          path: modellab.md
  comment:
    needs: modellab
    # the token of a fork's pull request may not comment; its report is in the step's summary
    if: >-
      ${{ !cancelled() && github.event_name == 'pull_request'
      && github.event.pull_request.head.repo.full_name == github.repository }}
    runs-on: ubuntu-latest
    permissions:
      pull-requests: write
    steps:
      - uses: actions/download-artifact@v6
        with:
          name: modellab
      - run: gh pr comment "$NUMBER" --edit-last --create-if-none --body-file modellab.md
        env:
          GH_TOKEN: ${{ github.token }}
          GH_REPO: ${{ github.repository }}
          NUMBER: ${{ github.event.pull_request.number }}
"""


@dataclasses.dataclass(frozen=True)
class Job:
    """What a workflow runs.

    Attributes:
        suites: the folder of ``modellab.toml``, from the root of the repository.
        install: the commands that install what it needs, in order.
        outside: what lies outside of the repository, where this job has it not.
        branch: what changes are merged into.
    """

    suites: str
    install: Sequence[str]
    outside: Sequence[str] = ()
    branch: str = "main"


def argument(path: str) -> str:
    """Return a path as a shell has it, and no command takes for an option."""
    return shlex.quote(f"./{path}" if path.startswith("-") else path)


def outside(paths: Sequence[str]) -> str:
    """Say, on one line, what CI lacks and what is to be done."""
    lies, it = ("lies", "it") if len(paths) == 1 else ("lie", "them")
    return line(
        f"CI lacks {' and '.join(paths)}, which {lies} outside of the repository: put {it} into it "
        f"(Git LFS), or name hub ids instead in modellab.toml"
    )


def more(job: Job) -> str:
    """Say what a workflow that runs another suite of the repository lacks."""
    suites = argument(job.suites)
    return (
        f"let its pytest command name {suites}, too, and add a step that runs modellab review "
        f"--config {argument(f'{job.suites}/modellab.toml')}"
    )


def text(job: Job) -> str:
    """Return the workflow's file."""
    suites = argument(job.suites)
    config = argument(f"{job.suites}/modellab.toml")
    hashed = "'" + f"{job.suites}/**".replace("'", "''") + "'"
    gate = f"pytest {suites} --modellab-markdown modellab.md"
    places = {
        "BRANCH": job.branch if job.branch in ("main", "master") else json.dumps(job.branch),
        "INSTALL": "\n".join(f"      - run: {_scalar(command)}" for command in job.install),
        "HASHED": _scalar(f"modellab-${{{{ runner.os }}}}-${{{{ hashFiles({hashed}) }}}}"),
        "REVIEW": _scalar(f"modellab review --config {config}"),
        "GATE": _scalar(gate),
    }
    head = f"# {outside(job.outside)}.\n" if job.outside else ""
    return head + re.sub("|".join(places), lambda found: places[found[0]], _TEXT)


def _scalar(text: str) -> str:
    """Return a text as a YAML scalar: plain where nothing in it means something to YAML."""
    return text if _PLAIN.fullmatch(text) else json.dumps(text, ensure_ascii=False)
