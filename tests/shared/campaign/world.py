"""The project that is attacked, and the commands that read and write it; what they return is what
a user would see, without times."""

from __future__ import annotations

import contextlib
import dataclasses
import gzip
import hashlib
import io
import json
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import media_files

from pytest_modellab import testing
from pytest_modellab.records.progress import Advance, Watch
from pytest_modellab.records.runs import Fingerprint, Output

if TYPE_CHECKING:
    from pytest_modellab.lab.lab import Lab

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
    """Run what is missing, and compare with the baselines.

    ``asked`` is what a verdict answers for: where it is another, the verdict may be.
    """
    from pytest_modellab.judging.drop import no_regression
    from pytest_modellab.judging.question import Question
    from pytest_modellab.records.asked import Budget

    found: dict[str, Any] = {}
    with place(folder):
        lab = _lab(folder)
        for name in variants or JUDGED:
            variant, task_set = lab.asked(name, "words")
            record = lab.record(variant, task_set)
            margin = lab.config.task_sets["words"].allowed().mean
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
            compared = no_regression(question, margin=margin)
            found[name] = {
                "asked": [record.fingerprint.key, task_set.hash, task_set.version, margin],
                "verdict": compared.verdict,
                "figures": [figure.explain() for figure in compared.figures],
                "churn": baseline.churn,
                "anchor": baseline.anchor_words,
                "samples": [(s.id, s.score, s.output) for s in record.samples],
            }
    return found


def tuned(folder: Path) -> dict[str, Any]:
    """Compare a model with its adapter with its baseline."""
    return judge(folder, "tuned")


def everything(folder: Path) -> None:
    """Make every kind of file that is read back."""
    from pytest_modellab.cli.main import main
    from pytest_modellab.store import budgets

    search(folder)
    build(folder)
    write_sets(folder)
    with place(folder):
        main(["accept", *JUDGED, "tuned"])
    budgets.remember_budget(folder / "cache", FINGERPRINT, 7)
    _write_wholes(folder)
    sets(folder)


def whole(folder: Path) -> dict[str, Any]:
    """Everything that is stored: ``modellab accept`` changes nothing."""
    from pytest_modellab.cli.main import main

    with place(folder), contextlib.redirect_stdout(io.StringIO()) as said:
        main(["accept", *JUDGED])
    return {"said": said.getvalue(), **judge(folder)}


def cut_off(folder: Path) -> None:
    """Leave a project beside this one whose run was cut off after some batches."""
    copy = folder / "cut"
    shutil.copytree(folder, copy, ignore=shutil.ignore_patterns("runs"))
    seen: list[int] = []

    def stop(advance: Advance) -> None:
        seen.append(advance.done)
        if 0 < advance.done < advance.total:
            raise KeyboardInterrupt

    with place(copy), contextlib.suppress(KeyboardInterrupt):
        _lab(copy, stop).record(*_lab(copy).asked("plain", "words"))
    assert list(copy.glob("cache/runs/*/answers.jsonl")), seen


def cut(folder: Path) -> dict[str, Any]:
    """Take the run up."""
    return judge(folder / "cut")


def _lab(folder: Path, watch: Watch = lambda _: None) -> Lab:
    from pytest_modellab.config import read
    from pytest_modellab.lab.lab import Lab
    from pytest_modellab.lab.settings import Settings

    return Lab(read.load(folder / "modellab.toml"), Settings(folder / "cache"), watch)


def _write_wholes(folder: Path) -> None:
    """Write what readers of the store are given: content without its seal."""
    from pytest_modellab.store import files

    with place(folder):
        lab = _lab(folder)
        record = lab.record(*lab.asked("plain", "words"))
    few = dataclasses.replace(record, samples=record.samples[:2])
    (folder / "record.json").write_text(json.dumps(dataclasses.asdict(few), default=dict))
    outputs = [dataclasses.asdict(Output("", option_logprobs=(-1.5, -0.25), tokens_in=9))]
    run = {"outputs": outputs, "probes": {"seconds": 1.0}, "environment": {"device": "cpu"}}
    (folder / "run.json").write_text(json.dumps(run))
    files.write(folder / "sealed.json", {"tokens": 7}, of="x")


FINGERPRINT = Fingerprint("w" * 64, "t" * 64, "p" * 16, {})


def budget(folder: Path) -> int:
    """Recall a batch's size; a lost one is the one that is asked for."""
    from pytest_modellab.store import budgets

    return budgets.recall_budget(folder / "cache", FINGERPRINT, 64)


def write_sets(folder: Path) -> None:
    """Write task sets of the other formats, and score files."""
    documents = {f"d{k}": f"About {k} and {k % 3}." for k in range(9)}
    queries: dict[str, tuple[str, dict[str, int]]] = {
        f"q{k}": (f"What of {k}?", {f"d{k}": 1}) for k in range(5)
    }
    testing.write_retrieval_set(folder / "beir", documents, queries)
    (folder / "sts").mkdir()
    header = 'name = "sts"\nversion = "1"\nformat = "sts"\n'
    (folder / "sts/task_set.toml").write_text(header, encoding="utf-8")
    pairs = [{"id": f"p{k}", "a": f"a {k}", "b": f"b {k}", "similarity": k} for k in range(5)]
    text = "".join(json.dumps(pair) + "\n" for pair in pairs)
    (folder / "sts/pairs.jsonl").write_text(text, encoding="utf-8")
    (folder / "prose/documents/law").mkdir(parents=True)
    header = 'name = "prose"\nversion = "1"\nformat = "documents"\n'
    (folder / "prose/task_set.toml").write_text(header, encoding="utf-8")
    for name in ("a", "law/b"):
        text = f"The text of {name}, café.\n"
        (folder / f"prose/documents/{name}.txt").write_text(text, encoding="utf-8")
    texts = [{"id": f"l{k}", "text": f"Line {k}."} for k in range(3)]
    text = "".join(json.dumps(line) + "\n" for line in texts)
    (folder / "prose/documents.jsonl").write_text(text, encoding="utf-8")
    rows = [{"id": f"s{k:03}", "score": float(k % 4 > 0), "text": f"of {k}"} for k in range(60)]
    (folder / "base.csv").write_text(_csv(rows), encoding="utf-8")
    changed = [{**row, "score": 1 - row["score"]} if k < 4 else row for k, row in enumerate(rows)]  # type: ignore[operator]
    lines = "".join(json.dumps(row) + "\n" for row in changed)
    (folder / "new.csv").write_text(_csv(changed), encoding="utf-8")
    (folder / "new.jsonl").write_text(lines, encoding="utf-8")
    (folder / "new.csv.gz").write_bytes(gzip.compress(_csv(changed).encode(), mtime=0))
    with contextlib.suppress(ImportError):
        from pyarrow import Table, parquet

        parquet.write_table(Table.from_pylist(changed), folder / "new.parquet")
    _write_media(folder / "media")


def _write_media(folder: Path) -> None:
    """Write small images and recordings of each format, where their libraries are there."""
    folder.mkdir()
    (folder / "a.png").write_bytes(media_files.png())
    (folder / "a.wav").write_bytes(media_files.wav())
    with contextlib.suppress(ImportError):
        from PIL import Image

        image = Image.effect_noise((24, 16), 99).convert("RGB")
        for kind in ("jpeg", "webp", "bmp"):
            image.save(folder / f"a.{kind}", progressive=True)
    with contextlib.suppress(ImportError):
        for kind, codec in (("flac", "flac"), ("ogg", "libopus"), ("mp3", "mp3")):
            (folder / f"a.{kind}").write_bytes(media_files.encoded(codec, kind))


def _csv(rows: Sequence[Mapping[str, Any]]) -> str:
    return "id,score,text\n" + "".join(f"{r['id']},{r['score']},{r['text']}\n" for r in rows)


def sets(folder: Path) -> dict[str, Any]:
    """Read the task sets of other formats; what they ask is in their hash."""
    from pytest_modellab import tasksets
    from pytest_modellab.lab.registry import BUILT_IN

    found = {}
    for name in ("beir", "sts", "prose"):
        read = tasksets.read(folder / name, BUILT_IN.check, folder / "cache")
        asked = [read.hash, read.version, read.metrics, read.corpus and read.corpus.hash]
        found[name] = {"asked": asked, "samples": [sample.id for sample in read.samples]}
    return found


def scores(folder: Path, name: str) -> dict[str, Any]:
    """``modellab gate`` on two files; what it answers for are the scores in them."""
    said = command(folder, "gate", "base.csv", name, "--json", "gate.json")
    data = json.loads((folder / "gate.json").read_text(encoding="utf-8"))
    return {"said": said.replace(name, "NAME"), "verdict": data["verdict"]}


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
