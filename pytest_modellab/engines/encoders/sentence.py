"""The sentence-transformers engine: one embedding model in this process."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_modellab.engines import memory
from pytest_modellab.engines.encoders.texts import (
    NO_LIMIT,
    Module,
    check_pooling,
    embed,
    no_pooling,
    padded,
    read_modules,
    read_pooling,
    read_prompts,
    tokenize,
)
from pytest_modellab.engines.interface import Role
from pytest_modellab.engines.language.torch_model import quiet
from pytest_modellab.errors import ModelError
from pytest_modellab.models.files import PICKLED

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

VERSION = 1
"""Raised when vectors may change: what was stored under another version is computed again."""


BUDGETS = {"cpu": 1024, "cuda": 32768}
"""Tokens in a batch by device; ``python -m benchmarks.encoding --budgets`` measures others."""


_TASKS: Mapping[Role, str] = {"query": "query", "passage": "document"}
"""What sentence-transformers calls the roles."""


def load(
    folder: Path,
    *,
    key: str,
    prompts: Mapping[Role, str | None],
    max_tokens: int | None,
    pooling: str | None,
    dtype: str = "float32",
    device: str = "cpu",
    trust_remote_code: bool = False,
    allow_pickle: bool = False,
) -> SentenceEncoder:
    """Load an embedding model.

    Args:
        folder: what sentence-transformers saved, or with ``pooling`` what transformers did.
        key: see :class:`~pytest_modellab.engines.interface.Encoder`.
        prompts: what is put before a text of each role; see :func:`.embedding.read_prompts`.
        max_tokens: where texts are cut off, None for the model's own limit.
        pooling: of :data:`.embedding.POOLINGS`, in place of what the folder says; None for that.
        dtype: name of a torch dtype.
        device: ``cpu``, ``cuda`` …
        trust_remote_code: whether the model's own Python code may run.
        allow_pickle: whether pickled weights may be read.

    Returns:
        The encoder, ready to embed.

    Raises:
        ModelError: a library is missing, the folder cannot be read, or nothing says how the model
            pools.
    """
    check_pooling(pooling)
    modules = _listed(folder, pooling)
    if not allow_pickle:
        _refuse_pickles({folder, *(module.folder for module in modules)})
    with quiet():
        try:
            import torch
            from safetensors import SafetensorError
            from sentence_transformers import SentenceTransformer
        except ImportError as error:
            raise ModelError(
                f"embedding texts needs {error.name}: pip install 'pytest-modellab[embedding]'"
            ) from error
        options: dict[str, Any] = {
            "local_files_only": True,
            "trust_remote_code": trust_remote_code,
            "model_kwargs": {
                "dtype": getattr(torch, dtype),
                "attn_implementation": "sdpa",
                "use_safetensors": None if allow_pickle else True,
            },
        }
        try:
            if pooling is None:
                model = SentenceTransformer(str(folder), device=device, **options)
            else:
                parts = _parts(folder, modules, pooling, options)
                model = SentenceTransformer(modules=parts, device=device)
        except (
            AttributeError,  # a module's file that holds something else
            ImportError,  # accelerate, or what the model's own code needs
            KeyError,
            OSError,
            RuntimeError,
            SafetensorError,
            TypeError,
            ValueError,
        ) as error:
            raise ModelError(f"{folder}: sentence-transformers cannot load it: {error}") from error
        except AssertionError as error:  # torch without CUDA; here it would count as a verdict
            raise ModelError(f"{folder}: cannot be put on {device!r}: {error}") from error
        if max_tokens is not None:
            _limit(model, max_tokens, folder)
        own_prompts = read_prompts(folder, prompts)
        return SentenceEncoder(model.eval(), key=key, prompts=own_prompts, name=str(folder))


def _listed(folder: Path, pooling: str | None) -> tuple[Module, ...]:
    """Return what ``modules.json`` lists, or what a folder without it is taken for."""
    path = folder / "modules.json"
    if not path.is_file():
        if pooling is None:
            raise no_pooling(path, "is missing")
        return Module("Transformer", folder), Module("Pooling", folder)
    modules = read_modules(path)
    for module in modules:
        if module.kind == "Pooling" and pooling is None:
            read_pooling(module.folder / "config.json")
    return modules


def _refuse_pickles(folders: set[Path]) -> None:
    for folder in sorted(folders):
        files = sorted(folder.iterdir()) if folder.is_dir() else []
        pickled = [file for file in files if file.suffix in PICKLED]
        if pickled and not any(file.suffix == ".safetensors" for file in files):
            raise ModelError(
                f"{pickled[0]} holds pickled weights, which can run any code when they are read. "
                "Convert them to safetensors, or trust this model: allow_pickle = true in its "
                "[models.NAME]"
            )


def _parts(
    folder: Path, modules: Sequence[Module], pooling: str, options: Mapping[str, Any]
) -> list[Any]:
    """Load a model's modules one by one, with another pooling in place of its own."""
    from sentence_transformers.sentence_transformer import modules as kinds

    parts: list[Any] = []
    for module in modules:
        if module.kind == "Pooling":
            parts.append(kinds.Pooling(parts[0].get_embedding_dimension(), pooling))
        elif module.kind in kinds.__all__:
            place = module.folder.relative_to(folder).as_posix()
            subfolder = "" if place == "." else place
            parts.append(
                getattr(kinds, module.kind).load(str(folder), subfolder=subfolder, **options)
            )
        else:
            raise ModelError(
                f"{folder / 'modules.json'} lists {module.kind}, which is the model's own code: "
                "its pooling cannot be replaced; leave out pooling"
            )
    return parts


def _limit(model: Any, max_tokens: int, folder: Path) -> None:
    """Cut texts off after so many tokens."""
    most = getattr(model.config, "max_position_embeddings", None) or max_tokens
    if max_tokens > most:
        raise ModelError(
            f"{folder}: max_tokens = {max_tokens}, but the model has {most} positions; "
            f"set at most {most}"
        )
    try:
        model.max_seq_length = max_tokens
    except AttributeError as error:  # static embeddings take texts of any length
        raise ModelError(
            f"{folder}: max_tokens = {max_tokens}, but the model has no limit to set; leave it out"
        ) from error


class SentenceEncoder:
    """Embeds texts with a sentence-transformers model (see :func:`load`).

    Args:
        model: the model.
        key: see :class:`~pytest_modellab.engines.interface.Encoder`.
        prompts: of each role, empty for none.
        name: the model's, for messages.

    Raises:
        ModelError: the model gives token vectors only.
    """

    def __init__(self, model: Any, *, key: str, prompts: Mapping[Role, str], name: str) -> None:
        self.model = model
        self.key = key
        self.device: str = model.device.type
        self.budget = BUDGETS.get(self.device, BUDGETS["cpu"])
        self._name = name
        self._inputs = {role: _inputs(model, prompts[role], _TASKS[role]) for role in _TASKS}
        self.dimension: int = self._probe()

    def encode(self, texts: Sequence[str], role: Role) -> NDArray[np.float32]:
        """Embed texts: the model's own modules, in batches of like length.

        Args:
            texts: any number.
            role: decides the prompt.

        Returns:
            Float32 of shape (texts, dimension), as the model gives them.

        Raises:
            OutOfMemory: a batch of one did not fit.
            ModelError: a vector holds NaN or infinity.
        """
        import numpy as np
        import torch

        if not texts:
            return np.zeros((0, self.dimension), np.float32)
        inputs = self._inputs[role]
        with torch.inference_mode():
            return embed(
                texts,
                name=self._name,
                budget=self.budget,
                prepare=inputs.prepare,
                run=lambda rows: self._run(inputs, rows),
                # the only copy back from a GPU
                join=lambda parts: torch.cat(parts).float().cpu().numpy(),
            )

    def count_tokens(self, texts: Sequence[str], role: Role) -> Sequence[int]:
        """Tokens of each text as it is encoded: with the prompt, cut off at the model's limit."""
        return self._inputs[role].count(texts)

    def parameter_bytes(self) -> int:
        """Bytes of parameters and buffers as they are held in memory."""
        tensors = (*self.model.parameters(), *self.model.buffers())
        return sum(tensor.numel() * tensor.element_size() for tensor in tensors)

    def close(self) -> None:
        """Give the memory back at once, whoever else still refers to the model."""
        memory.empty(self.model, self.device)

    def _run(self, inputs: _Library | _Tokens, rows: Sequence[Any]) -> Any:
        """Return the vectors of a batch, still on the device."""
        import torch

        with memory.running_out():
            features = {
                name: self._moved(value) if isinstance(value, torch.Tensor) else value
                for name, value in inputs.features(rows).items()
            }
            return self.model(features, task=inputs.task)["sentence_embedding"]

    def _moved(self, tensor: Any) -> Any:
        if self.device != "cuda":
            return tensor.to(self.model.device)
        # from pinned memory the copy does not wait for what the GPU has still to do
        return tensor.pin_memory().to(self.model.device, non_blocking=True)

    def _probe(self) -> int:
        """Return how many numbers a vector has."""
        import torch

        inputs = self._inputs["passage"]
        with torch.inference_mode():
            try:
                vectors = self._run(inputs, inputs.prepare(["a"])[0])
            except KeyError as error:
                raise no_pooling(Path(self._name) / "modules.json", "lists no pooling") from error
        return int(vectors.shape[-1])


def _inputs(model: Any, prompt: str, task: str) -> _Library | _Tokens:
    """Return what prepares texts of a role: fast where that gives what the library would."""
    import torch

    library = _Library(model, prompt, task)
    limit = model.max_seq_length
    texts = ["a"]
    if limit is not None and limit < NO_LIMIT:
        texts.append("a " * limit)  # is cut off
    expected = library.features(texts)
    tokenizer = model.tokenizer
    if not hasattr(tokenizer, "backend_tokenizer"):
        return library
    fast = _Tokens(tokenizer, prompt, task, limit, expected)
    ours = fast.features(fast.prepare(texts)[0])
    same = ours.keys() == expected.keys() and all(
        torch.equal(ours[name], value) if isinstance(value, torch.Tensor) else ours[name] == value
        for name, value in expected.items()
    )
    return fast if same else library


class _Library:
    """Prepares texts by sentence-transformers' own ``preprocess``, whatever the model takes."""

    def __init__(self, model: Any, prompt: str, task: str) -> None:
        self.task = task
        self._model = model
        self._prompt = prompt

    def prepare(self, texts: Sequence[str]) -> tuple[Sequence[str], list[int]]:
        """Return the texts and about how many tokens they have: one for four characters."""
        return texts, [1 + len(text) // 4 for text in texts]

    def count(self, texts: Sequence[str]) -> list[int]:
        """Return how many tokens each text has."""
        return [self.features([text])["input_ids"].numel() for text in texts]

    def features(self, rows: Sequence[str]) -> dict[str, Any]:
        """Return the model's input."""
        features = self._model.preprocess(list(rows), prompt=self._prompt, task=self.task)
        return dict(features)


class _Tokens:
    """Prepares texts by the tokenizer alone: each is tokenized once, to sort and to compute.

    Args:
        tokenizer: transformers' fast one.
        prompt: put before each text.
        task: what sentence-transformers calls the role.
        limit: most tokens of a text, or None.
        expected: the library's input for any texts: which tensors there are, and what else.
    """

    def __init__(
        self,
        tokenizer: Any,
        prompt: str,
        task: str,
        limit: int | None,
        expected: Mapping[str, Any],
    ) -> None:
        import torch

        self.task = task
        self._tokenizer = tokenizer
        self._prompt = prompt
        self._limit = limit
        self._names = [name for name in expected if isinstance(expected[name], torch.Tensor)]
        self._constants = {name: expected[name] for name in expected if name not in self._names}

    def prepare(self, texts: Sequence[str]) -> tuple[list[list[int]], list[int]]:
        """Return the token ids of each text, and how many they are."""
        backend = self._tokenizer.backend_tokenizer
        backend.no_padding()
        if self._limit is None or self._limit >= NO_LIMIT:
            backend.no_truncation()
        else:
            backend.enable_truncation(self._limit, direction=self._tokenizer.truncation_side)
        rows = tokenize(backend, [self._prompt + text for text in texts])
        return rows, [len(row) for row in rows]

    def count(self, texts: Sequence[str]) -> list[int]:
        """Return how many tokens each text has."""
        return self.prepare(texts)[1]

    def features(self, rows: Sequence[Sequence[int]]) -> dict[str, Any]:
        """Return the model's input."""
        import torch

        left = self._tokenizer.padding_side == "left"
        ids, mask = map(
            torch.from_numpy, padded(rows, self._tokenizer.pad_token_id or 0, left=left)
        )
        tensors = {
            "input_ids": ids,
            "attention_mask": mask,
            "token_type_ids": torch.zeros_like(ids),
        }
        return {name: tensors[name] for name in self._names if name in tensors} | self._constants
