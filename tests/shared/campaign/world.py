"""The project that is attacked, and the commands that read and write it; what they return is what
a user would see, without times."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

from pytest_modellab import testing

CONFIG = """
[models.tiny]
source = "model.zip"

[task_sets.words]
path = "words"
margin = 0.1
capability_margin = 0.2

[variants.plain]
kind = "prompted"
model = "tiny"
prompt = "prompt.jinja"

[variants.rounded]
kind = "quantized"
base = "plain"
method = "rtn"
bits = 4

[variants.tuned]
kind = "lora"
base = "plain"
adapter = "adapters/tuned"

[variants.tuned.recipe]
method = "sft"
data = "rows.jsonl"
seed = 1
epochs = 1
batch_size = 4
max_length = 96
learning_rate = 1e-2
warmup = 0
lora = { r = 2, target_modules = ["q_proj", "v_proj"] }
"""

SUITE = """
import pytest

pytestmark = [pytest.mark.task_set("words"), pytest.mark.variants("plain", "rounded")]

def test_overall(candidate, gate):
    gate.no_regression(candidate)

def test_worst_bucket(candidate, gate):
    gate.worst_bucket(candidate)
"""

ROWS = '{"input": "What is it?", "reply": "It is."}\n{"input": "And it?", "reply": "It too."}\n'

PROMPT = "{% block user %}{{ input }}{% endblock %}"

JUDGED = ("plain", "rounded")
"""The variants of :func:`judge`."""


def write(folder: Path) -> None:
    """Write the project, with a random model in a zip file."""
    model = testing.write_random_model(folder / "model")
    shutil.make_archive(str(folder / "model"), "zip", model)
    shutil.rmtree(model)
    samples = testing.choice_samples(["alpha", "beta"], 6)
    testing.write_task_set(folder / "words", samples)
    (folder / "modellab.toml").write_text(CONFIG, encoding="utf-8")
    (folder / "prompt.jinja").write_text(PROMPT, encoding="utf-8")
    (folder / "test_suite.py").write_text(SUITE, encoding="utf-8")
    (folder / "rows.jsonl").write_text(ROWS, encoding="utf-8")


def accept(folder: Path) -> dict[str, Any]:
    """``modellab accept``: conversion, four runs and two baselines."""
    command(folder, "accept", *JUDGED)
    return judge(folder)


def judge(folder: Path, *variants: str) -> dict[str, Any]:
    """Run what is missing, and compare with the baselines."""
    from pytest_modellab.config import read
    from pytest_modellab.judging.drop import no_regression
    from pytest_modellab.judging.question import Question
    from pytest_modellab.lab.lab import Lab
    from pytest_modellab.lab.settings import Settings
    from pytest_modellab.records.asked import Budget

    found: dict[str, Any] = {}
    with place(folder):
        lab = Lab(read.load(folder / "modellab.toml"), Settings(folder / "cache"))
        for name in variants or JUDGED:
            variant, task_set = lab.asked(name, "words")
            record = lab.record(variant, task_set)
            baseline = lab.baseline(name, "words")
            question = Question(
                assertion="no_regression",
                test="campaign",
                spec=variant.spec,
                task_set=task_set,
                against="own baseline",
                budget=Budget.shared(lab.settings.alpha, 1),
                candidate=record,
                reference=baseline.run,
            )
            compared = no_regression(question, margin=0.1)
            found[name] = {
                "verdict": compared.verdict,
                "figures": [figure.explain() for figure in compared.figures],
                "churn": baseline.churn,
                "anchor": baseline.anchor_words,
                "samples": [(s.id, s.score, s.output) for s in record.samples],
            }
    return found


def session(folder: Path) -> dict[str, Any]:
    """``pytest --modellab-update``: accepts the runs, and judges them."""
    import pytest

    outcomes = Outcomes()
    with place(folder):
        options = ["-q", "-p", "no:cacheprovider", "--modellab-update", "--rootdir=."]
        pytest.main(options, plugins=[outcomes])
    return {**outcomes.seen, **judge(folder)}


class Outcomes:
    """What became of the tests of a session."""

    def __init__(self) -> None:
        self.seen: dict[str, str] = {}

    def pytest_runtest_logreport(self, report: Any) -> None:
        if report.when == "call" or report.failed:
            self.seen[report.nodeid] = report.outcome


def build(folder: Path) -> dict[str, Any]:
    """``modellab build``: an adapter and its provenance."""
    command(folder, "build", "tuned", "--force")
    weights = (folder / "adapters/tuned/adapter_model.safetensors").read_bytes()
    return {"weights": hashlib.sha256(weights).hexdigest()}


def search(folder: Path) -> dict[str, Any]:
    """Index a corpus, keep its vectors, build an index of them and one of its words."""
    from pytest_modellab.engines.search import approximate, forms, lexical, vectors
    from pytest_modellab.tasksets import corpus

    documents = folder / "corpus.jsonl"
    lines = (json.dumps({"_id": str(k), "text": f"word{k} and {k % 7} others"}) for k in range(60))
    if not documents.exists():
        documents.write_text("\n".join(lines), encoding="utf-8")
        os.utime(documents, ns=(0, 0))  # its index is named by its time, too
    cache, opened = folder / "cache", corpus.read(documents, folder / "cache")
    kept = vectors.obtain(Letters(), opened, cache, lambda *_: None, block=10)
    index = forms.index(kept, forms.Form(), cache)
    built = approximate.build(index, "hnsw", {}, cache)
    words = lexical.Lexical.obtain(opened, cache, lambda *_: None)
    asked = Letters().encode(["word7", "others 3"], "query")
    return {
        "corpus": opened.hash,
        "rows": opened.rows(["3", "59", "nowhere"]),
        "vectors": hashlib.sha256(kept.data.tobytes()).hexdigest(),
        "approximate": [list(hits.rows) for hits in built.search(asked, 5)],
        "lexical": [list(hits.rows) for hits in words.search(["word7 others"], 5)],
    }


class Letters:
    """An encoder that counts letters."""

    key = "letters"
    dimension = 16

    def parameter_bytes(self) -> int:
        return 0

    def close(self) -> None:
        pass

    def encode(self, texts: Sequence[str], role: Literal["query", "passage"]) -> Any:
        import numpy as np

        rows = [[1 + text.count(chr(97 + k)) for k in range(self.dimension)] for text in texts]
        return np.asarray(rows, np.float32)

    def count_tokens(self, texts: Sequence[str], role: Literal["query", "passage"]) -> list[int]:
        return [len(text) for text in texts]


def command(folder: Path, *arguments: str) -> str:
    """Run a command in the project's folder; return what it prints."""
    from pytest_modellab.cli.main import main
    from pytest_modellab.errors import ModellabError

    said = io.StringIO()
    with place(folder), contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        code = main(arguments)
    if code == 2:
        raise ModellabError(said.getvalue())
    return said.getvalue()


@contextlib.contextmanager
def place(folder: Path) -> Iterator[None]:
    """Go into the project; its cache is in it."""
    os.environ["MODELLAB_CACHE"] = str(folder / "cache")
    with contextlib.chdir(folder):
        yield
