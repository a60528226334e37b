"""Variants that share a loaded model: the order of their tests, and how often it is loaded."""

from __future__ import annotations

from pathlib import Path

import pytest
from loras import write_adapter

from pytest_modellab.variants import loading

peft = pytest.importorskip("peft")

ADAPTERS = 8

VARIANTS = """
[variants.worded]
kind = "prompted"
base = "plain"
prompt = "polite.jinja"
""" + "".join(
    f'[variants.lora{k}]\nkind = "lora"\nbase = "plain"\nadapter = "lora{k}"\n'
    for k in range(ADAPTERS)
)

COUNT_LOADS = """
import os
from pytest_modellab.variants import loading
original = loading.load
def noted(plan, files, cache):
    name = "rounded" if plan.quantization else "plain"
    with open(os.environ["LOADS"], "a") as file:
        file.write(f"{name} {os.environ.get('PYTEST_XDIST_WORKER')}\\n")
    return original(plan, files, cache)
loading.load = noted
"""

# the user's files mix what shares a model with what does not
SUITES = {
    "test_a.py": "'rounded', 'lora0', 'lora1'",
    "test_b.py": "'plain', 'rounded'",
    "test_c.py": "'worded', *(f'lora{k}' for k in range(2, 8))",
}

SUITE = """
import pytest
pytestmark = pytest.mark.task_set("words")

def test_before():
    pass

@pytest.mark.variants(VARIANTS)
def test_overall(candidate, task_set):
    assert len(candidate.record(task_set).samples) == 132
"""


@pytest.fixture(scope="session")
def adapters(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("loras")
    for k in range(ADAPTERS):
        config = peft.LoraConfig(r=k + 1, target_modules=["q_proj"], task_type="CAUSAL_LM")
        write_adapter(folder / f"lora{k}", tiny_model, seed=k, config=config)
    return folder


@pytest.fixture
def mixed(
    project: pytest.Pytester, adapters: Path, monkeypatch: pytest.MonkeyPatch
) -> pytest.Pytester:
    """The project with eight adapters and a prompt on its plain variant, in three files."""
    for folder in adapters.iterdir():
        (project.path / folder.name).symlink_to(folder)
    toml = project.path / "modellab.toml"
    toml.write_text(toml.read_text() + VARIANTS)
    (project.path / "polite.jinja").write_text("{% block user %}Please: {{ input }}{% endblock %}")
    (project.path / "conftest.py").write_text(COUNT_LOADS)
    (project.path / "test_suite.py").unlink()
    for name, variants in SUITES.items():
        (project.path / name).write_text(SUITE.replace("VARIANTS", variants))
    monkeypatch.setenv("LOADS", str(project.path / "loads"))
    monkeypatch.setattr(loading, "load", loading.load)  # the conftest's change ends with the test
    return project


def loads(project: pytest.Pytester) -> list[str]:
    return sorted(line.split()[0] for line in (project.path / "loads").read_text().splitlines())


def test_eight_adapters_load_their_base_once(mixed: pytest.Pytester) -> None:
    result = mixed.runpytest_inprocess("-v")
    result.assert_outcomes(passed=15)
    assert loads(mixed) == ["plain", "rounded"]
    ran = [line.split()[0].partition("::")[2] for line in result.outlines if " PASSED" in line]
    variants = [name.partition("[")[2].rstrip("]") for name in ran if "[" in name]
    assert variants == [
        *("rounded", "rounded"),
        *("lora0", "lora1", "plain", "worded"),
        *(f"lora{k}" for k in range(2, 8)),
    ]


def test_an_order_that_is_asked_for_counts(mixed: pytest.Pytester) -> None:
    conftest = mixed.path / "conftest.py"
    conftest.write_text(
        conftest.read_text() + "def pytest_collection_modifyitems(items):\n"
        "    items.sort(key=lambda item: item.nodeid, reverse=True)\n"
    )
    result = mixed.runpytest_inprocess("--collect-only", "-q")
    collected = [line for line in result.outlines if "test_overall" in line]
    # pytest itself puts the tests of one variant together
    assert [line.partition("::")[0] for line in collected[:7]] == ["test_c.py"] * 7


@pytest.mark.usefixtures("warmed")
def test_workers_share_out_what_shares_a_model(mixed: pytest.Pytester) -> None:
    pytest.importorskip("xdist")
    mixed.runpytest_inprocess("-n2").assert_outcomes(passed=15)
    found = (mixed.path / "loads").read_text().splitlines()
    # as often as workers have it: eleven variants would be eleven loads
    assert len(found) == len(set(found)) <= 4
    assert loads(mixed).count("rounded") == 1
