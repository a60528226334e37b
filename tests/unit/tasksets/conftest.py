"""A small retrieval set in BEIR's layout, whose files a test replaces."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

CORPUS = [
    {"_id": "d1", "title": "Tea", "text": "Tea grows on hills."},
    {"_id": "d2", "text": "Coffee is roasted."},
    {"_id": "d3", "title": "Rain", "text": ""},
]
QUERIES = [
    {"_id": "q1", "text": "Where does tea grow?"},
    {"_id": "q2", "text": "Who roasts?", "metadata": {"capability": "coffee", "page": 7}},
    {"_id": "q3", "text": "of another split"},
]
QRELS = "query-id\tcorpus-id\tscore\nq1\td1\t2\nq1\td3\t1\nq2\td2\t1\n"


@pytest.fixture
def write_beir(tmp_path: Path) -> Callable[..., Path]:
    """Write a folder: ``write_beir(header=…, corpus=…, queries=…, qrels=…)``."""

    def write(
        header: str | None = 'name = "drinks"\nversion = "2"\nformat = "beir"\n',
        corpus: Any = CORPUS,
        queries: Any = QUERIES,
        qrels: str | bytes | None = QRELS,
    ) -> Path:
        folder = tmp_path / "drinks"
        contents: Mapping[str, Any] = {
            "task_set.toml": header,
            "corpus.jsonl": corpus,
            "queries.jsonl": queries,
            "qrels/test.tsv": qrels,
        }
        for name, content in contents.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.unlink(missing_ok=True)
            if isinstance(content, list):
                lines = [c if isinstance(c, str) else json.dumps(c) for c in content]
                content = "".join(f"{line}\n" for line in lines)
            if content is not None:
                path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return folder

    return write
