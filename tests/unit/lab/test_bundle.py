"""A bundle says what reproduces a diagnosis, and no place of the machine; others are refused."""

from __future__ import annotations

import dataclasses
import io
import json
import re
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from pytest_modellab.errors import DiagnosisError
from pytest_modellab.lab import bundle
from pytest_modellab.lab.flipped import Flip
from pytest_modellab.lab.pair import Asked, Pair
from pytest_modellab.lab.resolved import Resolved
from pytest_modellab.models.files import ModelFiles
from pytest_modellab.records.declared import ModelSource, VariantSpec
from pytest_modellab.records.diagnosis import SCHEMA, Diagnosis, Side
from pytest_modellab.records.runs import Fingerprint
from pytest_modellab.records.tasks import Sample, TaskSet
from pytest_modellab.store.diagnoses import Examined
from pytest_modellab.variants.loading import Loadable
from pytest_modellab.variants.plan import Plan
from pytest_modellab.variants.prompt import Prompt

Make = Callable[..., Any]
HOME = str(Path.home())
CHAT = ({"role": "user", "content": "What is 0?"},)


def variant(name: str, fingerprint: Fingerprint, **options: Any) -> Resolved:
    source = ModelSource("tiny", f"{HOME}/models/tiny")
    plan = Plan(source, Prompt("{% block user %}{{ input }}{% endblock %}"))
    files = ModelFiles(source, Path(), fingerprint.weights, fingerprint.tokenizer)
    spec = VariantSpec(name, "lora", "fine-tuning", base="plain", options=options)
    return Resolved(spec, Loadable(plan, files), fingerprint)


@pytest.fixture
def written(fingerprint: Make, sample: Make) -> tuple[bytes, Examined, Pair, Asked]:
    pair = Pair(
        variant("plain", fingerprint()),
        variant(
            f"{HOME}/work/tuned",
            fingerprint(weights="v" * 64),
            adapter=f"{HOME}/adapters/tuned",
            prompt="prompts/a.jinja",
            hub_token="hf_secret",
        ),
    )
    one: Sample = sample(0, metadata={"from": "the handbook"})
    tasks = TaskSet("words", "1", (one,))
    asked = Asked(tasks, (Flip(one, "one", 1.0, 0.0),), tokens=320, long=64)
    diagnosis = Diagnosis(
        schema=SCHEMA,
        base=Side("plain"),
        candidate=Side(f"{HOME}/work/tuned"),
        level="internals",
        culprit="layer.1.mlp.down_proj",
        fault="rounded(2)",
        headline="layer.1.mlp.down_proj is rounded to 2 bits",
        damage=0.5,
        tokens=320,
        notes=(f"read from {HOME}/work/tuned",),
    )
    found = Examined(diagnosis, ("What is 0?one",), (CHAT,))
    return bundle.write(found, pair, asked), found, pair, asked


def test_it_is_read_back(written: tuple[bytes, Examined, Pair, Asked], tmp_path: Path) -> None:
    content, found, pair, asked = written
    (tmp_path / "b.zip").write_bytes(content)
    read = bundle.read(tmp_path / "b.zip")
    assert read.texts == found.texts
    assert read.chats == found.chats
    assert (read.diagnosis.culprit, read.diagnosis.damage) == ("layer.1.mlp.down_proj", 0.5)
    assert (read.head.tokens, read.head.long, read.head.seed) == (320, 64, 0)
    assert read.head.task_set == bundle.TaskSetNamed("words", "1", asked.task_set.hash)  # type: ignore[union-attr]
    assert read.head.base.fingerprint == pair.base.fingerprint
    assert content == bundle.write(found, pair, asked)


def test_a_text_holds_whatever_ends_a_line_elsewhere(
    written: tuple[bytes, Examined, Pair, Asked], tmp_path: Path
) -> None:
    _, found, pair, asked = written
    texts = ("one\u2028two\x85three\x0bfour\r\nfive",)
    (tmp_path / "b.zip").write_bytes(
        bundle.write(dataclasses.replace(found, texts=texts), pair, asked)
    )
    assert bundle.read(tmp_path / "b.zip").texts == texts


def test_it_holds_no_place_and_no_secret(written: tuple[bytes, Examined, Pair, Asked]) -> None:
    with zipfile.ZipFile(io.BytesIO(written[0])) as archive:
        texts = {name: archive.read(name).decode() for name in archive.namelist()}
    assert not [name for name, text in texts.items() if HOME in text or "hf_secret" in text]
    head = json.loads(texts["bundle.json"])
    assert head["candidate"]["name"] == "tuned"
    assert head["candidate"]["source"] == "tiny"
    assert head["candidate"]["options"] == {
        "adapter": "tuned",
        "hub_token": "left out",
        "prompt": "prompts/a.jinja",
    }
    assert json.loads(texts["samples.jsonl"])["reply"] == "one"
    assert "modellab replay FILE.zip" in texts["README.txt"]


def test_another_model_is_told_by_its_part(
    written: tuple[bytes, Examined, Pair, Asked], fingerprint: Make, tmp_path: Path
) -> None:
    (tmp_path / "b.zip").write_bytes(written[0])
    noted = bundle.read(tmp_path / "b.zip").head.base
    settings = {"device": "cuda", "dtype": "float32", "versions": {"torch": "2.8.0"}}
    other = variant("plain", fingerprint(tokenizer="x" * 64, prompt="q" * 16, settings=settings))
    assert bundle.differences(other, noted) == ["tokenizer", "prompt", "device"]
    assert bundle.versions(other, noted) == ["torch 2.8.0 here, none in the bundle"]
    folder = dataclasses.replace(other, spec=dataclasses.replace(other.spec, kind="folder"))
    assert bundle.differences(folder, noted) == ["tokenizer", "device"]


def repacked(content: bytes, changes: Mapping[str, bytes | None]) -> bytes:
    """A bundle with other files; None leaves one out."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(out, "w") as new:
        files = {**{name: old.read(name) for name in old.namelist()}, **changes}
        for name, data in files.items():
            if data is not None:
                new.writestr(name, data)
    return out.getvalue()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"../evil.txt": b"x"}, "it holds more than 5 files"),
        ({"README.txt": None, "../evil.txt": b"x"}, "'../evil.txt', which does not belong"),
        ({"prompts.jsonl": None}, "prompts.jsonl is missing in it"),
        ({"prompts.jsonl": b" " * (bundle.BYTES + 1)}, "has more than 16,777,216 bytes"),
        ({"prompts.jsonl": b'{"text": 3, "messages": []}\n'}, "prompts.jsonl:1.text: 3: expected"),
        ({"prompts.jsonl": b"\xff\n"}, "can't decode byte"),
        ({"prompts.jsonl": b'{"text": "\\ud800", "messages": []}\n'}, "surrogates not allowed"),
        ({"bundle.json": b"[]"}, "bundle.json: []: expected an object"),
        ({"bundle.json": b'{"layout": 2}'}, "layout 2: this version reads 1"),
        ({"bundle.json": b"[" * 100_000}, "recursion"),
        ({"diagnosis.json": b"{}"}, "schema: missing"),
    ],
)
def test_a_hostile_one_is_refused(
    written: tuple[bytes, Examined, Pair, Asked],
    tmp_path: Path,
    changes: Mapping[str, bytes | None],
    message: str,
) -> None:
    (tmp_path / "b.zip").write_bytes(repacked(written[0], changes))
    with pytest.raises(DiagnosisError, match=f"b.zip is no bundle .*{re.escape(message)}"):
        bundle.read(tmp_path / "b.zip")


@pytest.mark.parametrize("tokens", [0, -1, 10**9])
def test_more_tokens_than_a_command_may_ask_for_are_refused(
    written: tuple[bytes, Examined, Pair, Asked], tmp_path: Path, tokens: int
) -> None:
    with zipfile.ZipFile(io.BytesIO(written[0])) as archive:
        head = json.loads(archive.read("bundle.json"))
    changed = json.dumps({**head, "tokens": tokens}).encode()
    (tmp_path / "b.zip").write_bytes(repacked(written[0], {"bundle.json": changed}))
    with pytest.raises(DiagnosisError, match=f"tokens: {tokens}: expected a whole number from 1"):
        bundle.read(tmp_path / "b.zip")


def test_what_is_no_archive_is_refused(tmp_path: Path) -> None:
    (tmp_path / "b.zip").write_bytes(b"PK\x03\x04 no more")
    with pytest.raises(
        DiagnosisError, match="it is damaged: File is not a zip file; write it anew"
    ):
        bundle.read(tmp_path / "b.zip")
    with pytest.raises(DiagnosisError, match=r"none.zip: cannot be read: No such file"):
        bundle.read(tmp_path / "none.zip")
