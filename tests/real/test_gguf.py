"""The real GGUF file in llama.cpp, beside its own conversion to float32 in transformers."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from pytest_modellab.engines.interface import Engine, GenerationRequest, ScoringRequest
from pytest_modellab.engines.language import gguf_model
from pytest_modellab.engines.language.gguf_model import LlamaCppEngine
from pytest_modellab.engines.tokens import encode
from pytest_modellab.lab.lab import Lab
from pytest_modellab.models import convert
from pytest_modellab.records.runs import Output
from pytest_modellab.records.tasks import Sample
from pytest_modellab.scorers.interface import SetScorer


@pytest.fixture(scope="module", autouse=True)
def installed() -> None:
    pytest.importorskip("xllamacpp")


@pytest.fixture
def lab(make_lab: Callable[[], Lab]) -> Lab:
    return make_lab()


@pytest.fixture
def engine(lab: Lab, cache: Path) -> Iterator[LlamaCppEngine]:
    files = lab.variant("prompting").files
    loaded = gguf_model.load(files.path, convert.folder(files, cache))
    yield loaded
    loaded.close()


def answers(engine: Engine, lab: Lab, samples: Sequence[Sample], budget: int) -> list[Output]:
    contexts = [
        engine.render(lab.variant("prompting").plan.prompt.messages(s.input)) for s in samples
    ]
    found: dict[int, Output] = {}
    if samples[0].choices:
        asked = [ScoringRequest(c, s.choices) for c, s in zip(contexts, samples, strict=True)]
        engine.score_options(asked, budget=budget, skip=frozenset(), done=found.update)
    else:
        wanted = [
            GenerationRequest(c, s.max_tokens) for c, s in zip(contexts, samples, strict=True)
        ]
        engine.generate(wanted, budget=budget, skip=frozenset(), done=found.update)
    return [found[k] for k in range(len(samples))]


def test_the_file_says_what_its_conversion_says(lab: Lab, engine: LlamaCppEngine) -> None:
    samples = lab.task_set("assistant_core_v2").samples
    chosen = [s for s in samples if s.choices][::60]
    written = [s for s in samples if not s.choices][::12]
    base = lab.engine(lab.variant("prompting"))
    ours, theirs = (answers(e, lab, chosen, 512) for e in (engine, base))
    differences = [
        abs(a - b)
        for mine, other in zip(ours, theirs, strict=True)
        for a, b in zip(mine.option_logprobs, other.option_logprobs, strict=True)
    ]
    # llama.cpp rounds activations to 8 bits in blocks of 32, where transformers keeps float32
    assert 0 < statistics.median(differences) < 0.3
    assert max(differences) < 2
    texts = [[o.text for o in answers(e, lab, written, 512)] for e in (engine, base)]
    assert sum(a == b for a, b in zip(*texts, strict=True)) >= len(written) / 2


def test_two_runs_are_identical(lab: Lab, engine: LlamaCppEngine) -> None:
    samples = lab.task_set("assistant_core_v2").samples
    for chosen in (
        [s for s in samples if s.choices][::90],
        [s for s in samples if not s.choices][::30],
    ):
        first = answers(engine, lab, chosen, 512)
        again = answers(engine, lab, chosen[::-1], 64)[::-1]
        assert [(o.text, o.option_logprobs) for o in first] == [
            (o.text, o.option_logprobs) for o in again
        ]


def test_every_prompt_is_cut_alike(lab: Lab, engine: LlamaCppEngine) -> None:
    """transformers does not read which pre-tokenizer the file names (``smollm``)."""
    for name in lab.config.task_sets:
        for sample in lab.task_set(name).samples:
            scorer = lab.extensions.scorer(sample.scorer)
            if isinstance(scorer, SetScorer) and (scorer.ranking or scorer.likelihood):
                continue  # for embedding models
            context = engine.render(lab.variant("prompting").plan.prompt.messages(sample.input))
            for text in (context, *sample.choices):
                assert engine.tokenize(text) == encode(engine.tokenizer, text), (name, sample.id)


def test_memory_is_given_back(engine: LlamaCppEngine) -> None:
    psutil = pytest.importorskip("psutil")
    process = psutil.Process()
    engine._ask([1, 2, 3])
    before = process.memory_info().rss
    engine.close()
    assert before - process.memory_info().rss > 0.8 * engine.parameter_bytes()
