"""The ONNX Runtime engine for embedding models: a graph as it is, on the CPU."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_modellab.engines import environment, graphs, memory
from pytest_modellab.engines.encoders import graph_folder
from pytest_modellab.engines.encoders.pooled import POOL
from pytest_modellab.engines.encoders.texts import (
    Pooling,
    check_pooling,
    embed,
    padded,
    read_prompts,
    tokenize,
)
from pytest_modellab.engines.interface import Role
from pytest_modellab.engines.packages import needed
from pytest_modellab.errors import ModelError
from pytest_modellab.store import checkout

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from tokenizers import Tokenizer

VERSION = 1
"""Raised when vectors may change: what was stored under another version is computed again."""


BUDGET = 512
"""Tokens in a batch: on a CPU larger ones leave its caches and are slower."""


_INPUTS = ("input_ids", "attention_mask", "token_type_ids")


def load(
    folder: Path,
    *,
    key: str,
    prompts: Mapping[Role, str | None],
    max_tokens: int | None,
    pooling: str | None,
    output: str | None = None,
) -> OnnxEncoder:
    """Load a graph.

    Args:
        folder: with one ``.onnx`` file, there or in ``onnx/``, and ``tokenizer.json``.
        key: see :class:`~pytest_modellab.engines.interface.Encoder`.
        prompts: what is put before a text of each role; see :func:`.texts.read_prompts`.
        max_tokens: where texts are cut off, None for the limit in the folder.
        pooling: of :data:`.texts.POOLINGS`, where the output is a vector for each token; None
            for what the folder says.
        output: name of the graph's output; None for :data:`.graph_folder.SENTENCE`, or else the
            first one that holds floats.

    Returns:
        The encoder, ready to embed.

    Raises:
        ModelError: a file is missing, the graph cannot be run or has no such output, or nothing
            says how its token vectors become one.
        OutOfMemory: the graph does not fit.
        VariantLoadError: a library is missing.
    """
    with needed("embedding texts by a graph", extra="embedding"):
        import onnx
        import onnxruntime  # noqa: F401 -- asked for now, before any work is done
        from tokenizers import Tokenizer
    check_pooling(pooling)
    path = graph_folder.find(folder)
    stored = folder / "tokenizer.json"
    if not stored.is_file():
        raise ModelError(f"{stored} is missing; copy it from the model's source")
    try:
        tokenizer = Tokenizer.from_file(str(stored))
    except Exception as error:  # tokenizers raises nothing more exact
        said = checkout.unready(stored) or f"{stored}: tokenizers cannot load it: {error}"
        raise ModelError(said) from error
    graph_folder.lower(folder, tokenizer)
    session = graphs.open_graph(path, threads=environment.threads())
    graph = onnx.load(path, load_external_data=False).graph
    inputs = {value.name: value for value in session.get_inputs()}
    if unknown := sorted(set(inputs) - set(_INPUTS)):
        raise ModelError(
            f"{path} wants {', '.join(unknown)}, but a text is given as {', '.join(_INPUTS)} only; "
            "export the model without"
        )
    chosen = graph_folder.choose_output(path, session.get_outputs(), output)
    modes, normalize = graph_folder.choose_pooling(folder, chosen, pooling)
    one = next(iter(inputs.values())).shape[0] == 1
    return OnnxEncoder(
        session,
        tokenizer,
        name=str(path),
        key=key,
        prompts=read_prompts(folder, prompts),
        max_tokens=max_tokens or graph_folder.read_limit(folder, tokenizer),
        padding=graph_folder.read_padding(folder, tokenizer),
        output=chosen.name,
        pooling=modes,
        normalize=normalize,
        alone=one or any(node.op_type.startswith("DynamicQuantize") for node in graph.node),
        parameter_bytes=graphs.parameter_bytes(graph),
    )


class OnnxEncoder:
    """Embeds texts with a graph (see :func:`load`).

    A graph that quantizes activations while it runs has one scale for all tokens that are computed
    together, so that in a batch a text's vector would depend on its neighbours: there each text is
    computed alone.

    Args:
        session: ONNX Runtime's.
        tokenizer: the model's.
        name: the graph's file, for messages.
        key: see :class:`~pytest_modellab.engines.interface.Encoder`.
        prompts: of each role, empty for none.
        max_tokens: where texts are cut off.
        padding: the token that rows are filled up with, and whether on the left.
        output: name of the output.
        pooling: how it becomes one vector a text; None where it is that.
        normalize: whether the pooled vector is brought to length 1.
        alone: whether each text is computed alone.
        parameter_bytes: of the graph's weights.

    Raises:
        ModelError: the graph does not run.
    """

    def __init__(
        self,
        session: Any,
        tokenizer: Tokenizer,
        *,
        name: str,
        key: str,
        prompts: Mapping[Role, str],
        max_tokens: int,
        padding: tuple[int, bool],
        output: str,
        pooling: Pooling | None,
        normalize: bool,
        alone: bool,
        parameter_bytes: int,
    ) -> None:
        self.key = key
        self.budget = 1 if alone else BUDGET
        self._session = session
        self._types = {value.name: value.type for value in session.get_inputs()}
        self._tokenizer = tokenizer
        self._name = name
        self._prompts = prompts
        self._pad, self._left = padding
        self._output = output
        self._pooling = pooling
        self._normalize = normalize
        self._parameter_bytes = parameter_bytes
        tokenizer.no_padding()
        tokenizer.enable_truncation(max_tokens)
        self.dimension = int(self.encode(["a"], "passage").shape[1])

    def encode(self, texts: Sequence[str], role: Role) -> NDArray[np.float32]:
        """Embed texts in batches of like length, or one by one.

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

        if not texts:
            return np.zeros((0, self.dimension), np.float32)
        skipped = 0
        if self._pooling and not self._pooling.include_prompt:
            skipped = self._prompt_tokens(role)
        return embed(
            texts,
            name=self._name,
            budget=self.budget,
            prepare=lambda chunk: self._prepare(chunk, role),
            run=lambda rows: self._run(rows, skipped),
            join=lambda parts: np.concatenate(parts, dtype=np.float32),
        )

    @property
    def path(self) -> Path:
        """The graph's file."""
        return Path(self._name)

    def vectors_of(self, rows: Sequence[Sequence[int]]) -> NDArray[np.float32]:
        """Return the vectors of texts that are cut into tokens already, one by one."""
        import numpy as np

        return np.concatenate([self._run([row], 0) for row in rows], dtype=np.float32)

    def count_tokens(self, texts: Sequence[str], role: Role) -> Sequence[int]:
        """Tokens of each text as it is encoded: with the prompt, cut off at the model's limit."""
        return self._prepare(texts, role)[1]

    def parameter_bytes(self) -> int:
        """Bytes of the graph's weights; ONNX Runtime may unpack packed ones."""
        return self._parameter_bytes

    def close(self) -> None:
        """Give the memory back at once, whoever else still refers to the encoder."""
        self._session = None
        self._parameter_bytes = 0
        memory.give_back()

    def _prepare(self, texts: Sequence[str], role: Role) -> tuple[list[list[int]], list[int]]:
        rows = tokenize(self._tokenizer, [self._prompts[role] + text for text in texts])
        return rows, [len(row) for row in rows]

    def _prompt_tokens(self, role: Role) -> int:
        """Return how many tokens the prompt has, with what stands before it but not after it."""
        prompt = self._prompts[role]
        if not prompt:
            return 0
        special: list[int] = self._tokenizer.encode(prompt).special_tokens_mask
        return len(special) - special[-1]

    def _run(self, rows: Sequence[Sequence[int]], skipped: int) -> NDArray[np.float32]:
        """Return the vectors of a batch; ``skipped`` tokens of the prompt are not pooled."""
        import numpy as np
        from onnxruntime.capi import onnxruntime_pybind11_state as errors

        ids, mask = padded(rows, self._pad, left=self._left)
        values = dict(zip(_INPUTS, (ids, mask, np.zeros_like(ids)), strict=True))
        inputs = {
            name: values[name].astype(np.int32) if "int32" in kind else values[name]
            for name, kind in self._types.items()
        }
        try:
            with memory.graph_running_out():
                vectors: NDArray[np.float32] = self._session.run([self._output], inputs)[0]
        except errors.InvalidArgument as error:
            raise ModelError(
                f"{self._name}: the graph does not take texts of any number and length: {error}"
            ) from error
        if self._pooling is None:
            return vectors
        start = mask.argmax(axis=1)[:, None] + skipped
        kept = (mask == 1) & (np.arange(mask.shape[1]) >= start)
        pooled = np.concatenate([POOL[mode](vectors, kept) for mode in self._pooling.modes], axis=1)
        if self._normalize:
            pooled /= np.maximum(np.linalg.norm(pooled, axis=1, keepdims=True), 1e-12)
        return pooled
