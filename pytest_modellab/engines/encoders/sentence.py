"""The sentence-transformers engine: one embedding model in this process."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_modellab.engines import memory, state
from pytest_modellab.engines.encoders.inputs import Library, Tokens, prepared_by
from pytest_modellab.engines.encoders.texts import (
    Module,
    check_pooling,
    embed,
    no_pooling,
    read_modules,
    read_pooling,
    read_prompts,
)
from pytest_modellab.engines.interface import Role
from pytest_modellab.engines.loading import loading, quiet, with_attention
from pytest_modellab.engines.packages import needed
from pytest_modellab.errors import ModelError
from pytest_modellab.models import weights
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
        prompts: what is put before a text of each role; see :func:`.texts.read_prompts`.
        max_tokens: where texts are cut off, None for the model's own limit.
        pooling: of :data:`.texts.POOLINGS`, in place of what the folder says; None for that.
        dtype: name of a torch dtype.
        device: ``cpu``, ``cuda`` …
        trust_remote_code: whether the model's own Python code may run.
        allow_pickle: whether pickled weights may be read.

    Returns:
        The encoder, ready to embed.

    Raises:
        ModelError: the folder cannot be read, its weights are not all there, or nothing says how
            the model pools.
        VariantLoadError: a library is missing.
    """
    check_pooling(pooling)
    modules = _listed(folder, pooling)
    if not allow_pickle:
        _refuse_pickles({folder, *(module.folder for module in modules)})
    with quiet():
        with needed("embedding texts", extra="embedding"):
            import torch
            from sentence_transformers import SentenceTransformer

        def build(attention: str) -> Any:
            options: dict[str, Any] = {
                "local_files_only": True,
                "trust_remote_code": trust_remote_code,
                "model_kwargs": {
                    "dtype": getattr(torch, dtype),
                    "attn_implementation": attention,
                    "use_safetensors": None if allow_pickle else True,
                },
            }
            if pooling is None:
                return SentenceTransformer(str(folder), device=device, **options)
            parts = _parts(folder, modules, pooling, options)
            return SentenceTransformer(modules=parts, device=device)

        problem = "sentence-transformers cannot load it"
        with loading(folder, problem, device=device, code=trust_remote_code) as fits:
            for place in sorted({folder, *(module.folder for module in modules)}):
                weights.check_files(place)
            model = with_attention(build)
        for fit in fits:
            weights.check_body(folder, fit)
        if max_tokens is not None:
            _limit(model, max_tokens, folder)
        own_prompts = read_prompts(folder, prompts)
        encoder = SentenceEncoder(model.eval(), key=key, prompts=own_prompts, name=str(folder))
        weights.unused(folder, fits, lambda: [encoder.encode(["a"], role) for role in _TASKS])
        return encoder


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
        self._inputs = {role: prepared_by(model, prompts[role], _TASKS[role]) for role in _TASKS}
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

    def state(self) -> state.State:
        """What the model is: a hash of each of its tensors."""
        return state.hashes(self.model)

    def parameter_bytes(self) -> int:
        """Bytes of parameters and buffers as they are held in memory."""
        return memory.parameter_bytes(self.model)

    def close(self) -> None:
        """Give the memory back at once, whoever else still refers to the model."""
        memory.empty(self.model, self.device)

    def _run(self, inputs: Library | Tokens, rows: Sequence[Any]) -> Any:
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
