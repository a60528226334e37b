"""A chat template that shows the date is told the same one from day to day."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pytest_modellab import testing
from pytest_modellab.baselines import file
from pytest_modellab.config import read
from pytest_modellab.config.find import FILE_NAME
from pytest_modellab.errors import ConfigError, ModelError
from pytest_modellab.judging import comparable
from pytest_modellab.lab.lab import Lab
from pytest_modellab.lab.settings import Settings
from pytest_modellab.store import said
from pytest_modellab.variants import loading

pytest.importorskip("torch")
pytest.importorskip("transformers")

TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n"
    "{% if loop.first %}Today: {{ strftime_now('%d %b %Y %H:%M:%S') }}\n{% endif %}"
    "{{ m.content }}<|im_end|>\n{% endfor %}<|im_start|>assistant\n"
)
TOML = """
[models.tiny]
source = "tiny"
[models.other]
source = "plain"
[task_sets.words]
path = "words"
[variants.undated]
kind = "prompted"
model = "other"
prompt = "p.jinja"
[variants.plain]
kind = "prompted"
model = "tiny"
prompt = "p.jinja"
[variants.rounded]
kind = "quantized"
base = "plain"
method = "rtn"
bits = 8
"""
FIRST, NEXT = "2026-11-29", "2026-11-30"

Make = Callable[..., Lab]


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("models")
    for name in ("tiny", "plain"):
        testing.write_random_model(root / name)
    (root / "tiny" / "chat_template.jinja").write_text(TEMPLATE)
    return root


@pytest.fixture
def make(models: Path, tmp_path: Path) -> Make:
    """Make the lab of a session: ``make(today=…)``."""
    testing.write_task_set(tmp_path / "words", testing.choice_samples(["alpha"], 6))
    (tmp_path / "p.jinja").write_text("{% block user %}{{ input }}{% endblock %}")
    (tmp_path / FILE_NAME).write_text(TOML.replace('source = "', f'source = "{models}/'))

    def new(today: str = FIRST, **changes: Any) -> Lab:
        settings = Settings(cache=tmp_path / "cache", today=today, **changes)
        return Lab(read.load(tmp_path / FILE_NAME), settings)

    return new


def day(lab: Lab, variant: str) -> str | None:
    found = lab.variant(variant)
    assert found.fingerprint.settings.get("date", "") == found.plan.day
    return found.plan.day or None


def accept(lab: Lab, variant: str) -> None:
    lab.accept(*lab.asked(variant, "words"))
    lab.release()


def test_a_run_and_its_base_are_told_the_day_of_the_accepted_run(make: Make) -> None:
    heard: list[str] = []
    with said.listening(heard.append):
        first = make(FIRST)
        assert [day(first, name) for name in ("undated", "plain", "rounded")] == [
            None,
            FIRST,
            FIRST,
        ]
    words = "its chat template asks for the date (strftime_now) and is told 2026-11-29"
    assert [note.partition("): ")[2] for note in heard] == [
        f"{words}, today; the first run that is accepted pins it"
    ]
    accept(first, "plain")
    prompt = [{"role": "user", "content": "x"}]
    before = first.engine(first.variant("plain")).render(prompt)
    assert before.startswith("<|im_start|>user\nToday: 29 Nov 2026 12:00:00\nx")
    first.release()

    heard.clear()
    later = make(NEXT, reuse=False)
    with said.listening(heard.append):
        assert [day(later, name) for name in ("plain", "rounded")] == [FIRST, FIRST]
    assert heard[0].endswith(f"{words}, the day of the accepted run of 'plain' on 'words'")
    assert later.engine(later.variant("plain")).render(prompt) == before
    later.release()
    record, accepted = (
        later.record(*later.asked("plain", "words")),
        later.accepted("plain", "words"),
    )
    assert accepted is not None
    assert record.fingerprint == accepted.run.fingerprint
    assert [s.score for s in record.samples] == [s.score for s in accepted.run.samples]
    later.release()


def test_a_new_anchor_moves_it(make: Make, tmp_path: Path) -> None:
    accept(make(FIRST), "plain")
    accept(make(NEXT), "rounded")
    assert day(make(NEXT, new_anchor=True), "rounded") == FIRST  # the one of its base
    moved = make(NEXT, new_anchor=True)
    found, samples = moved.asked("plain", "words")
    moved.accept(found, samples, new_anchor=True)
    moved.release()
    lab = make(NEXT)
    assert day(lab, "rounded") == NEXT
    accepted = lab.accepted("rounded", "words")
    assert accepted is not None
    now = dataclasses.replace(accepted.run, fingerprint=lab.variant("rounded").fingerprint)
    differs, _ = comparable.differences(lab.spec("rounded"), now, accepted.run)
    assert differs == (f"the chat template was told {NEXT}, the reference's {FIRST}",)


def test_a_run_from_before_dates_were_pinned_has_its_own(make: Make, tmp_path: Path) -> None:
    lab = make(FIRST)
    accept(lab, "plain")
    path = lab.baseline_path("plain", "words")
    baseline = file.read(path)
    assert baseline is not None
    run = baseline.run
    settings = {k: v for k, v in run.fingerprint.settings.items() if k != "date"}
    fingerprint = dataclasses.replace(run.fingerprint, settings=settings)
    environment = {**run.environment, "recorded": "2026-03-01"}
    run = dataclasses.replace(run, fingerprint=fingerprint, environment=environment)
    file.write(path, dataclasses.replace(baseline, run=run))
    later = make(NEXT)
    assert day(later, "plain") == "2026-03-01"
    now = dataclasses.replace(run, fingerprint=later.variant("plain").fingerprint)
    assert comparable.differences(later.spec("plain"), now, run)[0] == ()


def test_a_day_that_is_declared(make: Make, tmp_path: Path) -> None:
    toml = tmp_path / FILE_NAME
    text = toml.read_text()
    toml.write_text(text.replace("[models.other]", 'date = "2030-01-02"\n[models.other]'))
    assert day(make(), "rounded") == "2030-01-02"
    toml.write_text(text.replace("[models.other]", 'date = "2.1.2030"\n[models.other]'))
    with pytest.raises(
        ConfigError, match=r"models\.tiny\.date: '2\.1\.2030' is no day; write it as 2026-11-29"
    ):
        make()


def test_a_template_whose_date_is_not_in_its_files_is_refused(make: Make, tmp_path: Path) -> None:
    source = make().variant("plain").source
    undated = dataclasses.replace(source.plan, day="")
    with pytest.raises(ModelError, match=r"model 'tiny' .* its chat template shows the date, and"):
        loading.load(undated, source.files, tmp_path / "cache")
