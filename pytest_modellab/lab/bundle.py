"""A diagnosis in one small file, to be run again elsewhere: who was asked what, and what was found.

It holds no weights, and no place of the machine that it was written on.
"""

from __future__ import annotations

import dataclasses
import io
import json
import os
import re
import zipfile
from collections.abc import Mapping
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Annotated, Any

from pytest_modellab.errors import DiagnosisError
from pytest_modellab.lab.folders import KIND
from pytest_modellab.models import archive
from pytest_modellab.records import diagnosed, reading
from pytest_modellab.records.diagnosis import MOST_TOKENS, Diagnosis
from pytest_modellab.records.hashing import canonical_json
from pytest_modellab.records.reading import Rule, Unfit
from pytest_modellab.records.runs import Fingerprint
from pytest_modellab.store.diagnoses import Chat, Examined
from pytest_modellab.version import __version__

if TYPE_CHECKING:
    from pytest_modellab.lab.pair import Asked, Pair
    from pytest_modellab.lab.resolved import Resolved

LAYOUT = 1
"""Raised when a bundle's files change: bundles of another layout are not read."""


SEED = 0
"""Of all that is drawn in an examination."""


BYTES = 1 << 24
"""Bytes of a file in a bundle that is read."""


FILES = ("README.txt", "bundle.json", "diagnosis.json", "prompts.jsonl", "samples.jsonl")
"""What a bundle consists of."""


_SECRET = re.compile(r"token$|secret|passw|credential|(api|access|private)_?key", re.IGNORECASE)


_Tokens = Annotated[
    int, Rule(f"a whole number from 1 to {MOST_TOKENS}", lambda value: 1 <= value <= MOST_TOKENS)
]


_README = """\
What reproduces a diagnosis of pytest-modellab {version}: {headline}
No weights are in it. With the two models at hand:

    modellab replay FILE.zip                                 # variants of a modellab.toml
    modellab replay FILE.zip --base FOLDER --candidate FOLDER
"""


@dataclasses.dataclass(frozen=True)
class Declared:
    """One of the two models, as it was declared.

    Attributes:
        name: of the variant, or the folder's.
        kind: of the variant; ``folder`` for a folder.
        base: the variant that it adapts, or None.
        source: where its model came from.
        options: of its kind.
        fingerprint: all that its answers depend on.
    """

    name: str
    kind: str
    base: str | None
    source: str
    options: Mapping[str, Any]
    fingerprint: Fingerprint


@dataclasses.dataclass(frozen=True)
class TaskSetNamed:
    """Whose samples were asked."""

    name: str
    version: str
    hash: str


@dataclasses.dataclass(frozen=True)
class Head:
    """What a bundle says of itself.

    Attributes:
        layout: :data:`LAYOUT`.
        modellab: the version that wrote it.
        base: what was compared with.
        candidate: what was examined.
        task_set: whose samples were asked, or None.
        tokens: in all probes.
        long: width of the long window.
        seed: of all that is drawn.
    """

    layout: int
    modellab: str
    base: Declared
    candidate: Declared
    task_set: TaskSetNamed | None
    tokens: _Tokens
    long: _Tokens
    seed: int


@dataclasses.dataclass(frozen=True)
class Bundle:
    """What was read.

    Attributes:
        head: who was asked.
        diagnosis: what was found.
        texts: what both read; empty for the built-in texts.
        chats: of each text the messages that it was rendered from.
    """

    head: Head
    diagnosis: Diagnosis
    texts: tuple[str, ...]
    chats: tuple[Chat, ...]


@dataclasses.dataclass(frozen=True)
class _Prompt:
    text: str
    messages: Chat


def write(found: Examined, pair: Pair, asked: Asked, places: tuple[Path, ...] = ()) -> bytes:
    """Write a bundle; equal diagnoses give equal bytes.

    Args:
        found: the diagnosis, and what both models read.
        pair: the two.
        asked: what both were asked.
        places: folders whose names are left out of what is said.
    """
    task_set = asked.task_set
    head = Head(
        layout=LAYOUT,
        modellab=__version__,
        base=_declared(pair.base),
        candidate=_declared(pair.candidate),
        task_set=None
        if task_set is None
        else TaskSetNamed(task_set.name, task_set.version, task_set.hash),
        tokens=asked.tokens,
        long=asked.long,
        seed=SEED,
    )
    named = dataclasses.replace(
        found.diagnosis,
        base=dataclasses.replace(found.diagnosis.base, name=head.base.name),
        candidate=dataclasses.replace(found.diagnosis.candidate, name=head.candidate.name),
    )
    told = _without(diagnosed.to_json(named, most=None), (*places, Path.cwd(), Path.home()))
    chats = found.chats or ((),) * len(found.texts)
    prompts = [
        {"text": text, "messages": [dict(one) for one in chat]}
        for text, chat in zip(found.texts, chats, strict=True)
    ]
    samples = [
        {
            **{f.name: getattr(flip.sample, f.name) for f in dataclasses.fields(flip.sample)},
            "metadata": dict(flip.sample.metadata),
            "reply": flip.reply,
            "before": flip.before,
            "after": flip.after,
        }
        for flip in asked.flips
    ]
    readme = _README.format(version=__version__, headline=named.headline)
    return _zipped(
        {
            "README.txt": readme,
            "bundle.json": canonical_json(dataclasses.asdict(head)) + "\n",
            "diagnosis.json": told + "\n",
            "prompts.jsonl": _lines(prompts),
            "samples.jsonl": _lines(samples),
        }
    )


def read(path: Path) -> Bundle:
    """Read a bundle of anybody.

    Raises:
        DiagnosisError: it is none, is damaged, or is too large.
    """
    try:
        files = archive.texts(path, FILES, BYTES)
        data = reading.table(json.loads(files["bundle.json"]), "bundle.json", "layout")
        if data["layout"] != LAYOUT:
            raise Unfit(f"layout {reading.shown(data['layout'])}: this version reads {LAYOUT}")
        head = reading.build(Head, data, "bundle.json")
        lines = files["prompts.jsonl"].decode().split("\n")  # a text may hold other line ends
        prompts = [
            reading.build(_Prompt, json.loads(line), f"prompts.jsonl:{number}")
            for number, line in enumerate(lines, start=1)
            if line
        ]
        # half a surrogate pair can be asked of no tokenizer, and be held by no store
        canonical_json([[one.text, one.messages] for one in prompts]).encode()
        diagnosis = diagnosed.from_json(files["diagnosis.json"].decode())
    except OSError as error:
        raise DiagnosisError(f"{path}: cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise DiagnosisError(
            f"{path} is no bundle that can be replayed: {error}; write it anew: modellab diagnose "
            "BASE CANDIDATE --bundle FILE.zip"
        ) from error
    texts, chats = (tuple(one.text for one in prompts), tuple(one.messages for one in prompts))
    return Bundle(head, diagnosis, texts, chats if any(chats) else ())


def differences(found: Resolved, noted: Declared) -> list[str]:
    """Name the parts of a fingerprint in which a model is not the one of a bundle.

    Versions of libraries are not among them: they are what may have changed.
    """
    mine, theirs = found.fingerprint, noted.fingerprint
    parts = [
        name for name in ("weights", "tokenizer") if getattr(mine, name) != getattr(theirs, name)
    ]
    if found.spec.kind != KIND and mine.prompt != theirs.prompt:  # a folder has none of its own
        parts.append("prompt")
    names = sorted({*mine.settings, *theirs.settings} - {"versions"})
    return parts + [name for name in names if mine.settings.get(name) != theirs.settings.get(name)]


def versions(found: Resolved, noted: Declared) -> list[str]:
    """Say which libraries have other versions here: ``torch 2.8.0 here, 2.7.1 in the bundle``."""
    here = dict(found.fingerprint.settings.get("versions", {}))
    there = noted.fingerprint.settings.get("versions", {})
    there = dict(there) if isinstance(there, Mapping) else {}
    return [
        f"{name} {here.get(name, 'not installed')} here, {there.get(name, 'none')} in the bundle"
        for name in sorted({*here, *there})
        if here.get(name) != there.get(name)
    ]


def _declared(variant: Resolved) -> Declared:
    return Declared(
        name=_placeless(variant.name),
        kind=variant.spec.kind,
        base=variant.spec.base,
        source=_placeless(variant.files.source.source),
        options={key: _value(key, value) for key, value in variant.spec.options.items()},
        fingerprint=variant.fingerprint,
    )


def _value(key: str, value: Any) -> Any:
    if _SECRET.search(key):
        return "left out"
    if isinstance(value, Mapping):
        return {inner: _value(str(inner), one) for inner, one in value.items()}
    if isinstance(value, list | tuple):
        return [_value(key, one) for one in value]
    if isinstance(value, str | PurePath):
        return _placeless(str(value))
    return value


def _placeless(text: str) -> str:
    """A path without the folders of this machine: a relative one as it is, else its last part."""
    absolute = text.startswith("~") or PurePath(text).is_absolute() or text[1:3] in (":\\", ":/")
    return re.split(r"[\\/]", text.rstrip("\\/"))[-1] if absolute else text


def _without(text: str, places: tuple[Path, ...]) -> str:
    """JSON without the names of folders."""
    separator = json.dumps(os.sep)[1:-1]
    names = {json.dumps(str(place))[1:-1] for place in places if len(place.parts) > 1}
    for name in sorted(names, key=len, reverse=True):
        text = text.replace(name + separator, "").replace(name, "~")
    return text


def _lines(rows: list[dict[str, Any]]) -> str:
    return "".join(f"{canonical_json(row)}\n" for row in rows)


def _zipped(files: Mapping[str, str]) -> bytes:
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w", zipfile.ZIP_DEFLATED) as target:
        for name, text in sorted(files.items()):
            member = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
            member.compress_type = zipfile.ZIP_DEFLATED
            member.external_attr = 0o644 << 16
            target.writestr(member, text)
    return written.getvalue()
