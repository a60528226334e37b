"""A real server that reranks gives the scores of the same model in process."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest
from rerank_server import MODEL, serving, write

from pytest_modellab.endpoints.address import Address
from pytest_modellab.endpoints.asking import Asking
from pytest_modellab.endpoints.client import Client
from pytest_modellab.endpoints.served import Served
from pytest_modellab.engines.search import rerank
from pytest_modellab.engines.search.served_rerank import ServedReranker
from pytest_modellab.runs.canary import reranking

for name in ("httpx2", "gguf", "xllamacpp", "sentence_transformers"):
    pytest.importorskip(name)

QUERY = "what is the sea"

DOCUMENTS = (
    "the boat on the sea",
    "a train when you had water",
    "old chairs",
    "light of day is for you and it was in the water",
)


def test_a_real_server_reranks_as_the_model_in_process_does(tmp_path: Path) -> None:
    folder = tmp_path / "cross"
    with serving(write(folder)) as url:
        asking = Asking(Served(Address(url, MODEL), "rerank"))
        with contextlib.closing(ServedReranker(asking, 3)) as there:
            (served,) = there.rerank_each([(QUERY, DOCUMENTS)])
        with contextlib.closing(Client(asking.client.address)) as client:
            found = reranking.examine(client)
    with contextlib.closing(rerank.load(folder)) as here:
        (own,) = here.rerank_each([(QUERY, DOCUMENTS)])
    print(own, served)
    assert served == pytest.approx(own, abs=0.1)  # llama.cpp rounds within its activations
    # its weights are random, which is what the canary says of it, and nothing else
    assert [one.name for one in found.findings] == ["no reranker"]
    assert str(found.noise) == "0 of 10 repeated replies differ"
