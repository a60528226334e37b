"""What an examination may take, and what it refuses before anything is loaded."""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from pytest_modellab.errors import DiagnosisError
from pytest_modellab.lab import diagnosing, examining, folders
from pytest_modellab.lab.diagnosing import Diagnosing, Limits
from pytest_modellab.lab.flipped import Flip
from pytest_modellab.lab.pair import Asked, Pair
from pytest_modellab.lab.registry import BUILT_IN
from pytest_modellab.lab.resolved import Resolved
from pytest_modellab.records.runs import RunRecord
from pytest_modellab.records.tasks import Sample, TaskSet
from pytest_modellab.runs.passages import Grounded
from pytest_modellab.scorers.in_words import question
from pytest_modellab.variants.loading import Loadable
from pytest_modellab.variants.prompt import Prompt


def test_no_pass_begins_when_the_time_is_up() -> None:
    torch = pytest.importorskip("torch")
    module, row = torch.nn.Linear(2, 2), torch.zeros(1, 2)
    said = "the time was up; modellab diagnose takes"
    with diagnosing._until(time.monotonic() - 1, module), pytest.raises(DiagnosisError, match=said):
        module(row)
    module(row)
    with diagnosing._until(math.inf, module):
        module(row)


def test_the_estimate_goes_by_the_slower_of_both(model_folder: Path) -> None:
    one = folders.resolve(str(model_folder))
    pair, asked = Pair(one, one), Asked(tokens=100)
    assert diagnosing.seconds(pair, asked, [50.0, 200.0, 0.0]) == diagnosing.FORWARDS * 2
    assert 0 < diagnosing.seconds(pair, asked, []) < 1


@pytest.mark.parametrize(
    ("written", "slower"),
    [(2, True), (40, False), (0, True)],  # of the base 2: as much, much more, less
)
def test_the_estimate_leaves_out_a_candidate_that_wrote_longer(
    written: int,
    slower: bool,
    make_tasks: Callable[..., TaskSet],
    sample: Callable[..., Sample],
    record: Callable[..., RunRecord],
    model_folder: Path,
) -> None:
    """A written token takes longer than one that is read, and a diagnosis only reads."""
    tasks, rates = make_tasks([sample(k) for k in range(3)]), (200.0, 50.0)
    runs = []
    for rate, out in zip(rates, (2, written), strict=True):
        run = record(tasks, probes={"tokens_per_second": rate})
        samples = tuple(dataclasses.replace(one, tokens_out=out) for one in run.samples)
        runs.append(dataclasses.replace(run, samples=samples))
    one = folders.resolve(str(model_folder))
    pair, asked = Pair(one, dataclasses.replace(one)), Asked(tasks, tokens=100)
    found = iter(runs)
    lab: Any = SimpleNamespace(answered=lambda *_: next(found))
    expected = diagnosing.FORWARDS * 100 / rates[slower]
    assert examining.seconds(lab, pair, asked) == expected


class Mute:
    """An engine that tells neither vectors nor what follows token ids."""

    def close(self) -> None:
        """Nothing is held."""


def _run_by(engine: Any, name: str, one: Resolved) -> Resolved:
    plan = dataclasses.replace(one.plan, engine=name, open=lambda *_: engine)
    return dataclasses.replace(one, source=Loadable(plan, one.files))


def test_what_was_asked_in_words_is_examined_in_words(sample: Callable[..., Sample]) -> None:
    asked = Asked(flips=(Flip(sample(0), "A. one", 1.0, 0.0),))
    engine = SimpleNamespace(render=lambda chat: f"<{chat[-1]['content']}>")
    prompt = Prompt("{% block user %}{{ input }}{% endblock %}")
    (text,), _ = diagnosing._rendered(engine, Grounded(prompt), asked)
    assert text == f"<{sample(0).input}>A. one"
    (text,), ((message,),) = diagnosing._rendered(engine, Grounded(prompt, in_words=True), asked)
    assert text == f"<{message['content']}>A. one"
    assert message["content"] == question(sample(0))


def test_flips_of_runs_that_were_asked_otherwise_are_not_asked_again(
    make_tasks: Callable[..., TaskSet],
    sample: Callable[..., Sample],
    record: Callable[..., RunRecord],
    model_folder: Path,
) -> None:
    tasks, one = make_tasks([sample(k) for k in range(3)]), folders.resolve(str(model_folder))
    before = record(tasks, [1.0] * 3)

    def chosen(scorer: str) -> Asked:
        runs = [before, record(tasks, [0.0] * 3, scorers={scorer: 1})]
        lab: Any = SimpleNamespace(task_set=lambda _: tasks, answered=lambda *_: runs.pop(0))
        return examining.asked(lab, Pair(one, one), "tiny")

    assert len(chosen("choice").flips) == 3
    assert chosen("choice_in_words").flips == ()


def test_an_engine_that_tells_nothing_is_refused(model_folder: Path, tmp_path: Path) -> None:
    one = folders.resolve(str(model_folder))
    other = _run_by(Mute(), "mute-1", one)
    examining = Diagnosing(tmp_path, BUILT_IN)
    with pytest.raises(DiagnosisError, match="is run by mute-1, whose modules are out of reach"):
        examining.examine(Pair(other, one), Asked(), Limits())
    with pytest.raises(DiagnosisError, match="is run by mute-1, which tells neither vectors nor"):
        examining.examine(Pair(one, other), Asked(), Limits())


def test_an_engine_that_tells_what_follows_is_compared_by_it(
    model_folder: Path, tmp_path: Path
) -> None:
    torch = pytest.importorskip("torch")
    one = folders.resolve(str(model_folder))

    class Telling(Mute):
        def predictions(self, ids: Any, places: Any) -> Any:
            model: Any = one.source.open(tmp_path)
            with torch.no_grad():
                logits = model.model(input_ids=torch.tensor([list(ids)])).logits[0, list(places)]
            return torch.log_softmax(2 * logits.double(), dim=-1).numpy()

    other = _run_by(Telling(), "told-1", one)
    asked = Asked(tokens=80, long=0)
    found = Diagnosing(tmp_path, BUILT_IN).examine(Pair(one, other), asked, Limits()).diagnosis
    assert (found.level, found.culprit, found.fault) == ("outputs", None, "unexplained")
    assert found.damage is not None
    assert found.damage > 0.001
    assert "modules were not compared: those of" in " ".join(found.notes)


def test_who_has_no_time_does_not_wait_for_another_process(
    model_folder: Path, tmp_path: Path
) -> None:
    one = folders.resolve(str(model_folder))
    pair, asked = Pair(one, one), Asked()
    examining = Diagnosing(tmp_path, BUILT_IN)
    said = "another process is at the same diagnosis"
    with examining._entry(pair, asked).lock(), pytest.raises(DiagnosisError, match=said):
        examining.examine(pair, asked, Limits(seconds=0))
