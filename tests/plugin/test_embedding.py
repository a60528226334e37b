"""Searches inside pytest: embedding models, BM25 and answers from what is found, all random."""

from __future__ import annotations

import json
import random
import re
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from outcomes import assert_outcomes

from pytest_modellab import cli, testing
from pytest_modellab.baselines import file as baseline_file
from pytest_modellab.config import read
from pytest_modellab.lab.lab import Lab
from pytest_modellab.lab.settings import Settings
from pytest_modellab.runs.summary import mean_metrics

CONFIG = """
[models.encoder]
source = "./encoder"
[models.other]
source = "./other"
[models.damaged]
source = "./damaged"
[models.writer]
source = "./writer"

[task_sets.search]
path = "search"
margin = 0.1
capability_margin = 0.1
floor = 0.3
[task_sets.pairs]
path = "pairs"
margin = 0.1
[task_sets.questions]
path = "questions"
margin = 0.1

[variants.tiny]
kind = "embedding"
model = "encoder"
[variants.short]
kind = "embedding"
base = "tiny"
dimensions = 16
[variants.bits]
kind = "embedding"
base = "tiny"
vectors = "binary"
rescore = 4
[variants.graph]
kind = "embedding"
base = "tiny"
index = { kind = "hnsw" }
[variants.fused]
kind = "embedding"
base = "tiny"
fusion = {}
[variants.other]
kind = "embedding"
base = "tiny"
model = "other"
[variants.damaged]
kind = "embedding"
base = "tiny"
model = "damaged"
[variants.words]
kind = "lexical"
[variants.plain]
kind = "prompted"
model = "writer"
prompt = "plain.jinja"
[variants.answering]
kind = "rag"
base = "plain"
retriever = "tiny"
passages = 1
prompt = "rag.jinja"

[performance]
requests = 2
rounds = 5
concurrency = 1
[prices.cpu]
usd_per_hour = 0.36
"""

SUITE = """
import pytest

@pytest.mark.task_set("search")
@pytest.mark.variants("tiny", "short", "bits", "graph", "fused", "words")
def test_overall(candidate, gate):
    gate.no_regression(candidate)

@pytest.mark.task_set("search")
@pytest.mark.variants("short", "bits", "graph", "fused", "other")
def test_cost(candidate, gate):
    gate.no_regression(candidate, against="base", metric="recall@1")

@pytest.mark.task_set("search")
@pytest.mark.variants("tiny", "graph", "damaged")
def test_forgetting(candidate, gate):
    gate.no_forgetting(candidate, against="tiny")

@pytest.mark.task_set("search")
@pytest.mark.variants("tiny", "damaged")
def test_worst_bucket(candidate, gate):
    gate.worst_bucket(candidate, by="capability", metric="recall@1")

@pytest.mark.task_set("pairs")
@pytest.mark.variants("tiny", "bits")
def test_similarity(candidate, gate):
    gate.no_regression(candidate)

@pytest.mark.task_set("questions")
@pytest.mark.variants("answering")
def test_answers(candidate, gate):
    gate.no_regression(candidate)
"""
ACCEPTED = {
    "search": ("tiny", "short", "bits", "graph", "fused", "words"),
    "pairs": ("tiny", "bits"),
    "questions": ("answering",),
}
CAPABILITIES, EACH, LENGTH = ("alpha", "beta"), 8, 8
COMPANIONS = (
    "bm25s",
    "faiss",
    "ir_measures",
    "onnxruntime",
    "scipy.stats",
    "sentence_transformers",
)


def vocabulary() -> dict[str, list[str]]:
    """Words that only one capability's documents have."""
    rng = random.Random(1)
    return {c: ["".join(rng.choices("abcdefghij", k=5)) for _ in range(60)] for c in CAPABILITIES}


def write_sets(folder: Path) -> None:
    """Write three task sets; a query is its document without the last word."""
    rng = random.Random(2)
    documents: dict[str, str] = {}
    queries: dict[str, tuple[str, Mapping[str, int]]] = {}
    metadata: dict[str, dict[str, Any]] = {}
    for capability, words in vocabulary().items():
        for difficulty in ("easy", "medium", "hard"):
            for _ in range(EACH):
                id_ = f"{len(queries)}"
                chosen = rng.sample(words, LENGTH)
                documents[f"d{id_}"] = " ".join(chosen)
                queries[f"q{id_}"] = (" ".join(chosen[:-1]), {f"d{id_}": 1})
                metadata[f"q{id_}"] = {
                    "capability": capability,
                    "difficulty": difficulty,
                    "answers": chosen[-1:],
                }
    testing.write_retrieval_set(
        folder / "search",
        documents,
        queries,
        header='metrics = ["ndcg@10", "recall@1", "mrr@10"]\n',
        metadata=metadata,
    )
    testing.write_retrieval_set(
        folder / "questions",
        documents,
        dict(list(queries.items())[::4]),
        header='scorer = "answer_f1"\nmax_tokens = 4\n',
        metadata=metadata,
    )
    (folder / "pairs").mkdir()
    header = 'name = "pairs"\nversion = "1"\nformat = "sts"\n'
    (folder / "pairs" / "task_set.toml").write_text(header)
    rows = [
        {"id": id_, "a": text, "b": documents[f"d{number % 48}"], "similarity": number % 5}
        for number, (id_, (text, _)) in enumerate(queries.items(), 20)
    ]
    (folder / "pairs" / "pairs.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))


def write_declarations(folder: Path) -> None:
    (folder / "modellab.toml").write_text(CONFIG)
    (folder / "test_suite.py").write_text(SUITE)
    (folder / "plain.jinja").write_text("{% block user %}{{ input }}{% endblock %}")
    (folder / "rag.jinja").write_text(
        "{% block user %}{% for p in passages %}{{ p }}\n{% endfor %}{{ input }}{% endblock %}"
    )


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory, tiny_model: Path) -> Path:
    """The project with its models, its accepted runs and its store; to be copied."""
    for name in COMPANIONS:  # before any pytester, which would forget them: loaded once only
        pytest.importorskip(name)
    from safetensors.torch import load_file, save_file

    folder = tmp_path_factory.mktemp("searching")
    write_declarations(folder)
    write_sets(folder)
    words = vocabulary()
    known = [word for some in words.values() for word in some]
    for seed, name in enumerate(("encoder", "other")):
        testing.write_random_encoder(folder / name, seed=seed, words=known)
    shutil.copytree(folder / "encoder", folder / "damaged")
    weights = load_file(folder / "damaged" / "model.safetensors")
    table = (folder / "damaged" / "vocab.txt").read_text().split("\n")
    rows = [table.index(word) for word in words["alpha"]]
    weights["embeddings.word_embeddings.weight"][rows] = 0.0
    save_file(weights, folder / "damaged" / "model.safetensors", metadata={"format": "pt"})
    (folder / "writer").symlink_to(tiny_model)
    lab = Lab(read.load(folder / "modellab.toml"), Settings(cache=folder / "cache"))
    for task_set, variants in ACCEPTED.items():
        for variant in variants:
            asked = lab.task_set(task_set)
            lab.accept(lab.variant(variant, asked), asked)
    lab.release()
    return folder


@pytest.fixture
def bare(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """The project without a model."""
    monkeypatch.setenv("MODELLAB_CACHE", str(pytester.path / "cache"))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.delenv("GITHUB_ACTIONS", raising=False)
    monkeypatch.chdir(pytester.path)
    write_declarations(pytester.path)
    write_sets(pytester.path)
    return pytester


@pytest.fixture
def project(template: Path, bare: pytest.Pytester) -> pytest.Pytester:
    """The project, accepted."""
    shutil.copytree(template, bare.path, symlinks=True, dirs_exist_ok=True)
    return bare


Call = Callable[..., tuple[int, str, str]]


@pytest.fixture
def modellab(capsys: pytest.CaptureFixture[str]) -> Call:
    """Run a command; returns exit code, output and errors."""

    def call(*arguments: str) -> tuple[int, str, str]:
        capsys.readouterr()
        code = cli.main(arguments)
        return code, *capsys.readouterr()

    return call


@pytest.fixture
def encoded(monkeypatch: pytest.MonkeyPatch, template: Path) -> list[str]:
    """The documents that were encoded, in this process."""
    from pytest_modellab.engines.encoders.sentence import SentenceEncoder

    texts: list[str] = []
    original = SentenceEncoder.encode

    def counted(self: Any, chosen: Any, role: Any) -> Any:
        if role == "passage":
            texts.extend(chosen)
        return original(self, chosen, role)

    monkeypatch.setattr(SentenceEncoder, "encode", counted)
    return texts


def selected(result: pytest.RunResult) -> set[str]:
    """What `--collect-only -q` lists, without the file's name."""
    return {line.partition("::")[2] for line in result.outlines if "::" in line}


def mean(project: pytest.Pytester, variant: str, task_set: str, metric: str) -> float:
    """A metric's mean over the accepted run."""
    accepted = baseline_file.read(project.path / "baselines" / task_set / f"{variant}.json")
    assert accepted is not None
    return mean_metrics(accepted.run)[metric]


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


def append(path: Path, line: str) -> None:
    with path.open("a") as file:
        file.write(line + "\n")


# --- collection ----------------------------------------------------------------------------------


def test_collection_imports_nothing_heavy(bare: pytest.Pytester) -> None:
    (bare.path / "conftest.py").write_text(
        "import sys\n"
        "def pytest_unconfigure():\n"
        "    heavy = {'torch', 'transformers', 'numpy', 'scipy', 'sentence_transformers',\n"
        "             'tokenizers', 'onnxruntime', 'faiss', 'bm25s', 'ir_measures'}\n"
        "    print('heavy:', sorted(heavy & set(sys.modules)))\n"
    )
    result = bare.runpytest_subprocess("--collect-only", "-s", "-p", "no:allure_pytest")
    assert result.ret == 0
    result.stdout.fnmatch_lines(["*19 tests collected*", "heavy: [[]]"])


def test_the_kind_s_marker_selects(bare: pytest.Pytester) -> None:
    def chosen(expression: str) -> set[str]:
        return selected(bare.runpytest_inprocess("--collect-only", "-q", "-m", expression))

    every = selected(bare.runpytest_inprocess("--collect-only", "-q"))
    assert len(every) == 19
    assert chosen("rag") == {"test_answers[answering]"}
    assert chosen("embedding") == every - {"test_answers[answering]"}  # words, too


# --- verdicts ------------------------------------------------------------------------------------


def test_without_a_baseline_then_accepted(project: pytest.Pytester, modellab: Call) -> None:
    chosen = ("-k", "(test_overall and (tiny or words)) or test_similarity or test_answers")
    shutil.rmtree(project.path / "baselines")
    missing = project.runpytest_inprocess(*chosen)
    missing.assert_outcomes(failed=1, deselected=14)  # and 4 with the same error
    missing.stdout.fnmatch_lines(
        [
            "*no baseline of 'tiny' on 'search': *tiny.json does not exist.",
            "*Record one and commit it: modellab accept tiny --task-set search",
        ]
    )
    missing.stdout.fnmatch_lines(
        ["  record the missing baselines: modellab accept tiny words --task-set search"]
    )
    for variants, task_set in (
        (("tiny", "words"), "search"),
        (("tiny", "bits"), "pairs"),
        (("answering",), "questions"),
    ):
        code, out, _ = modellab("accept", *variants, "--task-set", task_set)
        assert code == 0
        for variant in variants:
            assert re.search(
                rf"^{variant} on {task_set}: success 0|1\.\d+; "
                rf"wrote baselines/{task_set}/{variant}\.json$",
                out,
                re.MULTILINE,
            )
        assert f"  0 of {12 if variants == ('answering',) else 48} samples (0.0%) flipped" in out
    judged = project.runpytest_inprocess(*chosen)
    assert_outcomes(judged, passed=4, inconclusive=1, deselected=14)


def test_a_damaged_model_is_blocked_and_what_it_lost_is_named(project: pytest.Pytester) -> None:
    result = project.runpytest_inprocess(
        "-k", "test_forgetting or test_worst_bucket", "--modellab-json", "report.json"
    )
    assert_outcomes(result, passed=1, inconclusive=2, failed=2)
    result.stdout.fnmatch_lines(
        [
            "*blocked: alpha fell from 0.?? to 0.?? (n = 24); *",
            "*damaged against baseline of tiny, search, forgetting: BLOCK",
            "*alpha   24     0.???      0.???  +0.* block",
            "*beta    24     0.* pass",
            "  q10  score 1 -> 0",
            "    baseline of tiny  d10[*], *",
            "    damaged           d0, d1, d2; first relevant: d10 at *",
            "  q14     1 -> 0 *d14[*], * d0, d1, d2; first relevant: d14 at *",
        ]
    )
    result.stdout.fnmatch_lines(
        ["  damaged forgot what the baseline of tiny can do: alpha 0.?? -> 0.??; *"]
    )
    blocked = [
        (
            comparison["candidate"],
            [f["name"] for f in comparison["figures"] if f["verdict"] == "block"],
        )
        for comparison in json.loads((project.path / "report.json").read_text())["comparisons"]
        if comparison["verdict"] == "block"
    ]
    assert ("damaged", ["alpha"]) in blocked


METRICS = """
import pytest
pytestmark = pytest.mark.task_set("search")

@pytest.mark.variants("damaged")
@pytest.mark.parametrize("metric", ["recall@1", "recall@10"])
def test_cost(candidate, gate, metric):
    gate.no_regression(candidate, against="base", capability="alpha", metric=metric)

@pytest.mark.variants("damaged", "words")
def test_first(candidate, gate):
    gate.worst_bucket(candidate, by="capability", floor=0.4, metric="recall@1")

@pytest.mark.variants("graph", "tiny")
def test_index(candidate, gate):
    gate.worst_bucket(candidate, by="capability", floor=0.4, metric="index_recall@10")
"""


def test_a_metric_is_judged(project: pytest.Pytester) -> None:
    (project.path / "test_suite.py").write_text(METRICS)
    result = project.runpytest_inprocess("-rA")
    result.assert_outcomes(passed=2, failed=4)
    result.stdout.fnmatch_lines(
        [
            "*blocked: alpha fell from 0.?? to 0.0? (n = 24); *",
            "*damaged against baseline of tiny, search, alpha by recall@1: BLOCK",
            "*metric 'recall@10': the run of 'tiny' on 'search' has none; "
            "did you mean 'recall@1'? Known: mrr@10, ndcg@10, recall@1. *",
        ]
    )
    result.stdout.fnmatch_lines(
        [
            "*blocked: alpha scores 0.0? (n = 24), below the floor of 0.4; *",
            "*damaged against floor, search, worst bucket by recall@1: BLOCK",
        ]
    )
    result.stdout.fnmatch_lines(
        ["*metric 'index_recall@10': the run of 'tiny' on 'search' has none; *"]
    )
    result.stdout.fnmatch_lines(["PASSED test_suite.py::test_first[[]words[]]"])
    result.stdout.fnmatch_lines(["PASSED test_suite.py::test_index[[]graph[]]"])


def test_slower_than_allowed(project: pytest.Pytester) -> None:
    (project.path / "test_suite.py").write_text(
        "import pytest\n"
        "pytestmark = pytest.mark.task_set('search')\n"
        "@pytest.mark.variants('short', 'words')\n"
        "def test_within(candidate, gate):\n"
        "    gate.no_slowdown(candidate, against='tiny', limit=100)\n"
        "@pytest.mark.variants('short')\n"
        "def test_beyond(candidate, gate):\n"
        "    gate.no_slowdown(candidate, limit=0.001)\n"
    )
    result = project.runpytest_inprocess()
    result.assert_outcomes(passed=2, failed=1)
    result.stdout.fnmatch_lines(
        [
            "*blocked: latency is * times the reference's (5 rounds; *",
            "*short is slower: x* of tiny's time, x0.0* is allowed; if that is wanted, raise *",
        ]
    )


# --- the same, however it is run -----------------------------------------------------------------

COUNTING = """
import os
from pytest_modellab.engines.encoders.sentence import SentenceEncoder

original = SentenceEncoder.encode

def counted(self, texts, role):
    if role == "passage":
        with open("passages", "a") as file:
            file.write(f"{len(texts)}\\n")
    return original(self, texts, role)

SentenceEncoder.encode = counted
"""


def test_serial_workers_and_a_rerun_report_the_same(project: pytest.Pytester) -> None:
    pytest.importorskip("xdist")

    def report(run: Callable[..., pytest.RunResult], *arguments: str) -> dict[str, Any]:
        path = project.path / "report.json"
        path.unlink(missing_ok=True)
        judged = run("--modellab-json", str(path), *arguments)
        assert_outcomes(judged, passed=11, inconclusive=7, failed=1)
        found: dict[str, Any] = json.loads(path.read_text())
        assert found.pop("measured")["runs"]
        return found

    serial = report(project.runpytest_inprocess)
    assert len(serial["comparisons"]) == 19
    assert report(project.runpytest_inprocess, "-n0") == serial
    shutil.rmtree(project.path / "cache")
    (project.path / "conftest.py").write_text(COUNTING)
    assert report(project.runpytest_inprocess, "-n2") == serial
    models = len(["encoder", "other", "damaged"])
    assert len(list((project.path / "cache" / "vectors").iterdir())) == models
    counts = [int(line) for line in (project.path / "passages").read_text().split()]
    assert sum(counts) == models * 48, "no worker encodes what another has"


def test_nothing_is_encoded_twice(project: pytest.Pytester, encoded: list[str]) -> None:
    shutil.rmtree(project.path / "cache")
    chosen = "(test_overall and (short or bits or graph)) or test_answers"
    sharing = ("-k", chosen, "--modellab-no-cache")
    ended = {"passed": 3, "inconclusive": 1, "deselected": 15}
    assert_outcomes(project.runpytest_inprocess(*sharing), **ended)
    assert len(encoded) == len(set(encoded)) == 48
    (kept,) = (project.path / "cache" / "vectors").iterdir()
    written = (kept / "vectors.npy").stat().st_mtime_ns
    encoded.clear()
    assert_outcomes(project.runpytest_inprocess(*sharing), **ended)
    assert encoded == []
    assert (kept / "vectors.npy").stat().st_mtime_ns == written


# --- reports -------------------------------------------------------------------------------------


def test_allure_shows_the_metrics(project: pytest.Pytester, tmp_path: Path) -> None:
    pytest.importorskip("allure_pytest")
    pytest.importorskip("matplotlib")
    result = project.runpytest_inprocess("-k", "test_overall", "--alluredir", str(tmp_path))
    result.assert_outcomes(passed=6, deselected=13)
    measured = json.loads((tmp_path / "performance.json").read_text())
    values = {metric["key"]: metric["value"] for metric in measured}
    success, recall = (mean(project, "tiny", "search", name) for name in ("ndcg@10", "recall@1"))
    assert values["search.tiny.success"] == values["search.tiny.ndcg@10"]
    assert values["search.tiny.ndcg@10"] == pytest.approx(success, abs=1e-4)
    assert values["search.tiny.recall@1"] == pytest.approx(recall, abs=1e-4)
    assert values["search.words.recall@1"] == 1.0
    assert values["search.graph.index_recall@10"] == 1.0
    assert values["search.bits.index_bytes_per_document"] == 4.0
    results = [json.loads(path.read_text()) for path in tmp_path.glob("*-result.json")]
    (weighed,) = (r for r in results if r["name"].startswith("Recommendation on search: "))
    assert weighed["status"] == "skipped"
    assert f"| tiny&emsp; | {success:.3f}&emsp; | {recall:.3f}&emsp; | " in weighed["description"]


def test_compare_prints_metrics_and_the_index(project: pytest.Pytester, modellab: Call) -> None:
    variants = ("tiny", "short", "bits", "graph", "fused", "words")
    named = [word for name in variants for word in ("--variant", name)]
    code, out, err = modellab("compare", "--task-set", "search", "--no-latency", *named)
    assert code == 0
    shown = re.compile(
        r"^\[(\w+)\] (\w+) success=([\d.]+) .*? recall@1=([\d.]+) mrr@10=[\d.]+ .*?"
        r"index=([\d.]+) B/doc  ?\d+ docs/s  ?query p50 [\d.]+ ms p95 [\d.]+ ms",
        re.MULTILINE | re.DOTALL,
    ).findall(out)
    assert [line[:4] for line in shown] == [
        (
            "Lexical" if name == "words" else "Embedding",
            name,
            f"{mean(project, name, 'search', 'ndcg@10'):.2f}",
            f"{mean(project, name, 'search', 'recall@1'):.2f}",
        )
        for name in variants
    ]
    sizes = {name: float(size) for _, name, _, _, size in shown}
    assert (sizes["tiny"], sizes["short"], sizes["bits"]) == (32 * 4, 16 * 4, 32 // 8)
    assert sizes["graph"] > sizes["tiny"]
    assert sizes["fused"] == pytest.approx(sizes["tiny"] + sizes["words"], abs=1)
    assert re.search(
        r"^  index: recall@10 1\.00 of exact search; exact search over the same vectors would "
        rf"score {mean(project, 'graph', 'search', 'ndcg@10'):.2f}$",
        out,
        re.MULTILINE,
    )
    assert "on search: " not in err, "nothing is run again"


def test_similarities_are_compared(project: pytest.Pytester, modellab: Call) -> None:
    named = ("--variant", "tiny", "--variant", "bits")
    code, out, _ = modellab("compare", "--task-set", "pairs", "--no-latency", *named)
    assert code == 0
    rho = mean(project, "tiny", "pairs", "spearman")
    assert re.match(rf"\[Embedding\] tiny success=0\.\d\d ±0\.\d\d spearman={rho:.2f} ", out)
    assert "  bits success " in out
    assert "B/doc" not in out


def test_the_card_of_an_embedding_model(project: pytest.Pytester, modellab: Call) -> None:
    code, out, _ = modellab("card", "tiny")
    assert code == 0
    recall, rho = (
        mean(project, "tiny", "search", "recall@1"),
        mean(project, "tiny", "pairs", "spearman"),
    )
    for part in (
        "      type: information-retrieval\n",
        f"    - type: recall@1\n      value: {round(recall, 4)}\n      name: recall@1\n",
        "      type: semantic-similarity\n",
        f"    - type: spearman\n      value: {round(rho, 4)}\n      name: spearman\n",
        f"| recall&#64;1 | 48 | {recall:.3f} |\n",
        "| dimensions | – | 32 |\n",
        "| index | – | 128 B/doc |\n",
    ):
        assert part in out


# --- what is wrong is said in one line -----------------------------------------------------------


def not_a_number(folder: Path) -> None:
    from safetensors.torch import load_file, save_file

    path = folder / "encoder" / "model.safetensors"
    weights = load_file(path)
    weights["encoder.layer.1.output.dense.weight"][:] = float("nan")
    save_file(weights, path, metadata={"format": "pt"})


PACKAGE = """[package]
name = "not-there"
version = "1.2"
reader = "lee-news"
sha256 = "00"
install = "pip install not-there==1.2"
"""

WRONG: Mapping[str, tuple[str, str, Callable[[Path], object], str]] = {
    "judgements of other documents": (
        "tiny",
        "search",
        lambda folder: (folder / "search/qrels/test.tsv").write_text("q0\td100\t1\n"),
        "{root}/search/qrels/test.tsv:1: document 'd100' is not in {root}/search/corpus.jsonl "
        "(did you mean 'd10'?); 1 of 1 judged documents are not: take all three files from one set",
    ),
    "judgements of other queries": (
        "tiny",
        "search",
        lambda folder: (folder / "search/qrels/test.tsv").write_text("q99\td1\t1\n"),
        "{root}/search/qrels/test.tsv:1: query 'q99' is not in {root}/search/queries.jsonl "
        "(did you mean 'q9'?); 1 of 1 judged queries are not: take all three files from one set",
    ),
    "two documents of one id": (
        "tiny",
        "search",
        lambda folder: append(folder / "search/corpus.jsonl", '{"_id": "d1", "text": "x"}'),
        "{root}/search/corpus.jsonl:49: _id: 'd1' stands on line 2 too; ids must be unique",
    ),
    "a corpus that git lfs has not fetched": (
        "tiny",
        "search",
        lambda folder: (folder / "search/corpus.jsonl").write_text(
            "version https://git-lfs.github.com/spec/v1\noid sha256:7\nsize 9\n"
        ),
        "{root}/search/corpus.jsonl: a Git LFS pointer, not the file itself; fetch it: git lfs "
        "pull --include corpus.jsonl",
    ),
    "more dimensions than there are": (
        "short",
        "search",
        lambda folder: edit(folder / "modellab.toml", "dimensions = 16", "dimensions = 33"),
        "dimensions: 33 cannot be kept of the model's vectors, which have 32 numbers; choose 1 to "
        "32",
    ),
    "weights that are no numbers": (
        "tiny",
        "search",
        not_a_number,
        "{root}/encoder: the model gives NaN for the text *; its weights are damaged, or its dtype "
        "cannot hold the numbers",
    ),
    "weights that are no numbers, on pairs": (
        "tiny",
        "pairs",
        not_a_number,
        "{root}/encoder: the model gives NaN for the text *; its weights are damaged, or its dtype "
        "cannot hold the numbers",
    ),
    "no word of pooling": (
        "tiny",
        "search",
        lambda folder: (folder / "encoder/1_Pooling/config.json").unlink(),
        "{root}/encoder/1_Pooling/config.json is missing, so that nothing says how token vectors "
        'become one. Set what the model was trained with, for example pooling = "mean" (there are: '
        "mean, cls, max, lasttoken)",
    ),
    "a language model as a search": (
        "tiny",
        "search",
        lambda folder: edit(folder / "modellab.toml", "./encoder", "./writer"),
        "*/modules.json is missing, so that nothing says how token vectors become one. *",
    ),
    "a language model asked to rank": (
        "plain",
        "search",
        lambda folder: None,
        "'search' asks for rankings of its corpus and 'prompted' variants answer in words; select "
        'others: @pytest.mark.variants(kind="embedding")',
    ),
    "a search asked to answer": (
        "tiny",
        "questions",
        lambda folder: None,
        "sample 'q0' asks for a reply, which the scorer 'answer_f1' judges, and 'embedding' "
        "variants give none; select others: @pytest.mark.variants(kind=…)",
    ),
    "words asked for similarities": (
        "words",
        "pairs",
        lambda folder: None,
        "BM25 knows no similarity of two texts; name an embedding model",
    ),
    "answers without a corpus": (
        "answering",
        "pairs",
        lambda folder: None,
        "'pairs' has no corpus that 'tiny' could search",
    ),
    "a task set's package": (
        "tiny",
        "search",
        lambda folder: append(folder / "search/task_set.toml", PACKAGE),
        "{root}/search/task_set.toml: package: 'not-there' is not installed: pip install "
        "not-there==1.2",
    ),
    "a metric that there is not": (
        "tiny",
        "search",
        lambda folder: edit(folder / "search/task_set.toml", "recall@1", "recal@1"),
        "{root}/search/task_set.toml: metrics: scorer: unknown 'recal@1'; did you mean "
        "'recall@K'? Known: *",
    ),
}

ONE = """
import pytest

@pytest.mark.task_set("{task_set}")
@pytest.mark.variants("{variant}")
def test_one(candidate, gate):
    gate.worst_bucket(candidate, floor=0.1)
"""


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_is_said_in_one_line(
    project: pytest.Pytester, modellab: Call, name: str
) -> None:
    variant, task_set, spoil, message = WRONG[name]
    spoil(project.path)
    (project.path / "test_suite.py").write_text(ONE.format(variant=variant, task_set=task_set))
    message = message.format(root=project.path)
    said = f"variant {variant!r} on {task_set!r}: {message}"
    code, out, err = modellab("accept", variant, "--task-set", task_set)
    assert (code, out) == (2, "")
    assert "Traceback" not in err
    one_line(err.splitlines(), f"modellab: {said}")
    result = project.runpytest_inprocess()
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    # a task set is read before a variant is asked for
    shown = message if message.startswith(f"{project.path}/search/") else said
    one_line(result.outlines, shown)
    result.stdout.fnmatch_lines([f"ERROR: 1 test reached no verdict ({variant})."])


def one_line(lines: Sequence[str], wanted: str) -> None:
    """Check that exactly one line is as wanted, where * stands for anything."""
    pattern = re.compile(".*".join(map(re.escape, wanted.split("*"))))
    assert len([line for line in lines if pattern.fullmatch(line)]) == 1, "\n".join(lines)


def test_a_query_that_nothing_answers_is_left_out_and_named(
    project: pytest.Pytester, modellab: Call
) -> None:
    edit(project.path / "search" / "qrels" / "test.tsv", "q3\td3\t1", "q3\td3\t0")
    code, out, _ = modellab("accept", "tiny", "--task-set", "search")
    assert code == 0
    assert "  0 of 47 samples (0.0%) flipped" in out
    _, out, _ = modellab("card", "tiny", "--task-set", "search")
    assert "1 query without a relevant document is left out: q3." in out
