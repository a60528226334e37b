"""The ONNX Runtime engine: a model as a graph with int8 weights, on the CPU.

The graph is exported from transformers' model by torch and quantized by ONNX Runtime.
"""

from __future__ import annotations

import contextlib
import math
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence, Set
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_modellab.engines import environment, memory
from pytest_modellab.engines.batching import plan
from pytest_modellab.engines.interface import WORDS, Done, GenerationRequest, ScoringRequest
from pytest_modellab.engines.language import torch_model
from pytest_modellab.engines.tokens import encode, encode_requests
from pytest_modellab.errors import ModelError, OutOfMemory, VariantLoadError
from pytest_modellab.records.runs import Output

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

VERSION = 1
"""Raised when scores may change: stored runs of another engine version are run again."""


INPUTS = ("input_ids", "position_ids", "mask", "keep", "past")
"""Shapes (1, tokens), (1, tokens), (1, 1, tokens, past + tokens), (kept,) and (layers, 2, 1, heads,
past, size): the mask is added to attention, ``keep`` are the positions whose logits are wanted."""


def export(
    folder: Path, target: Path, *, trust_remote_code: bool = False, allow_pickle: bool = False
) -> None:
    """Write a model as a float32 graph.

    Args:
        folder: what ``save_pretrained`` wrote.
        target: the graph's file; its weights lie beside it.
        trust_remote_code: whether the model's own Python code may run.
        allow_pickle: whether pickled weights may be read.

    Raises:
        ModelError: transformers cannot read the folder.
        VariantLoadError: torch cannot export the model, or not all of its layers attend to all.
    """
    import torch

    loaded = torch_model.load(
        folder, trust_remote_code=trust_remote_code, allow_pickle=allow_pickle
    )
    kinds = {*(getattr(loaded.model.config, "layer_types", None) or ())} - {"full_attention"}
    if kinds:
        raise VariantLoadError(
            f"{folder}: its layers have {', '.join(sorted(kinds))}, but the graph gives all layers "
            "one mask; quantize it by another method"
        )
    graph = _graph(loaded.model)
    tokens, past = 5, 3
    ids = torch.arange(past + tokens)[None]
    with torch.no_grad(), _quiet():
        layers = loaded.model(input_ids=ids[:, :past], use_cache=True).past_key_values.layers
        example = (
            ids[:, past:],
            ids[:, past:],
            torch.zeros(1, 1, tokens, past + tokens),
            torch.tensor([tokens - 2, tokens - 1]),
            torch.stack([torch.stack([layer.keys, layer.values]) for layer in layers]),
        )
        free = torch.export.Dim.DYNAMIC
        try:
            torch.onnx.export(
                graph,
                example,
                target,
                dynamo=True,
                external_data=True,
                verbose=False,
                input_names=INPUTS,
                output_names=("logits", "present"),
                dynamic_shapes=({1: free}, {1: free}, {2: free, 3: free}, {0: free}, {4: free}),
            )
        except (RuntimeError, ValueError) as error:
            raise VariantLoadError(f"{folder}: torch cannot export it to ONNX: {error}") from error
    loaded.close()


def _graph(model: Any) -> Any:
    """Wrap a model so that it takes and returns plain tensors."""
    import torch
    from transformers import DynamicCache

    class Graph(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(
            self,
            input_ids: torch.Tensor,
            position_ids: torch.Tensor,
            mask: torch.Tensor,
            keep: torch.Tensor,
            past: torch.Tensor,
        ) -> tuple[torch.Tensor, torch.Tensor]:
            cache = DynamicCache()
            for number in range(past.shape[0]):
                cache.update(past[number, 0], past[number, 1], number)
            logits = self.model(
                input_ids=input_ids,
                position_ids=position_ids,
                attention_mask=mask,
                past_key_values=cache,
                use_cache=True,
                logits_to_keep=keep,
            ).logits
            layers = [torch.stack([layer.keys, layer.values]) for layer in cache.layers]
            return logits, torch.stack(layers)

    return Graph().eval()


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Silence what torch and ONNX Runtime say about themselves."""
    with torch_model.quiet(), warnings.catch_warnings():
        for category in (DeprecationWarning, FutureWarning):
            warnings.simplefilter("ignore", category)  # torch.onnx calls torch's own old functions
        yield


def quantize(source: Path, target: Path, *, reduce_range: bool) -> None:
    """Quantize a graph's weights to int8, one scale an output channel.

    Activations are quantized to uint8 while it runs, with one scale for all of a product's input.
    The output head is left out where it shares the embedding's weights.

    Args:
        source: the float32 graph.
        target: the file to write.
        reduce_range: 7 bits, for processors whose 8-bit sums overflow in 16 bits (x86 without
            VNNI).
    """
    from onnxruntime.quantization import QuantType, quantize_dynamic

    with _quiet():
        quantize_dynamic(
            source,
            target,
            op_types_to_quantize=["MatMul"],
            per_channel=True,
            reduce_range=reduce_range,
            weight_type=QuantType.QInt8,
            use_external_data_format=True,
        )


def load(path: Path, folder: Path, *, trust_remote_code: bool = False) -> OnnxEngine:
    """Load a graph.

    Args:
        path: the graph's file.
        folder: the base model's, for tokenizer and end tokens.
        trust_remote_code: whether the tokenizer's own Python code may run.

    Returns:
        The engine, ready to answer.

    Raises:
        ModelError: the file or the folder cannot be read.
        OutOfMemory: the graph does not fit.
        VariantLoadError: a library is missing.
    """
    with _quiet():
        try:
            import onnx
            import onnxruntime
            import torch
            from transformers import AutoConfig, AutoTokenizer, GenerationConfig
        except ImportError as error:
            raise VariantLoadError(
                f"running a graph needs {error.name}: pip install 'pytest-modellab[onnx]'"
            ) from error
        try:
            tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=trust_remote_code)
            if (folder / "generation_config.json").is_file():
                ends = GenerationConfig.from_pretrained(folder).eos_token_id
            else:
                ends = AutoConfig.from_pretrained(folder).eos_token_id
        except (ImportError, KeyError, OSError, ValueError) as error:
            raise ModelError(
                f"{folder}: transformers cannot load its tokenizer: {error}"
            ) from error
    if not tokenizer.chat_template:
        raise ModelError(f"{folder}: the tokenizer has no chat template; add chat_template.jinja")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()  # what a run record notes
    options.log_severity_level = 3
    session = _session(path, options)
    graph = onnx.load(path, load_external_data=False).graph
    held = sum(
        math.prod(tensor.dims) * onnx.helper.tensor_dtype_to_np_dtype(tensor.data_type).itemsize
        for tensor in graph.initializer
    )
    return OnnxEngine(
        session, tokenizer, ends if isinstance(ends, list) else [ends], parameter_bytes=held
    )


def _session(path: Path, options: Any) -> Any:
    """Open a graph that :func:`export` or :func:`quantize` wrote."""
    import onnxruntime
    from onnxruntime.capi import onnxruntime_pybind11_state as errors

    kinds = [e for e in vars(errors).values() if isinstance(e, type) and issubclass(e, Exception)]
    anew = f"delete {path.parent} and run again, which makes it anew"
    try:
        with memory.graph_running_out():
            session = onnxruntime.InferenceSession(
                path, options, providers=["CPUExecutionProvider"]
            )
    except OutOfMemory as error:
        raise OutOfMemory(f"{path}: does not fit into memory: {error}") from error
    except tuple(kinds) as error:
        raise ModelError(f"{path}: ONNX Runtime cannot load it: {error}; {anew}") from error
    inputs = tuple(value.name for value in session.get_inputs())
    if inputs != INPUTS:
        raise ModelError(
            f"{path}: takes {', '.join(inputs)}, but is asked with {', '.join(INPUTS)}; {anew}"
        )
    return session


class OnnxEngine:
    """Scores options and generates with a graph (see :func:`load`).

    One request is computed at a time: the activations' scale is that of all tokens computed
    together, so that in a batch an answer would depend on its neighbours.
    """

    abilities = WORDS

    def __init__(
        self, session: Any, tokenizer: Any, ends: Sequence[int], *, parameter_bytes: int
    ) -> None:
        self.tokenizer = tokenizer
        self._session = session
        self._ends = ends
        self._parameter_bytes = parameter_bytes
        layers, _, _, heads, _, size = session.get_inputs()[-1].shape
        self._empty = (layers, 2, 1, heads, 0, size)

    def render(self, messages: Sequence[Mapping[str, str]]) -> str:
        """Put chat messages into the base's template, ready for the reply."""
        text = self.tokenizer.apply_chat_template(
            list(messages), tokenize=False, add_generation_prompt=True
        )
        return str(text)

    def seed(self, seed: int) -> None:
        """Nothing is drawn but by a request's own seed."""

    def environment(self) -> Mapping[str, Any]:
        """Versions of libraries, and threads."""
        return environment.libraries()

    def parameter_bytes(self) -> int:
        """Bytes of the graph's weights and scales."""
        return self._parameter_bytes

    def close(self) -> None:
        """Give the memory back at once, whoever else still refers to the engine."""
        self._session = None

    def score_options(
        self, requests: Sequence[ScoringRequest], *, budget: int, skip: Set[int], done: Done
    ) -> None:
        """Score every option of every request by likelihood.

        A context and its options lie in one row, under a mask that lets an option see the context
        and itself.

        Args:
            requests: contexts in the chat template with their options.
            budget: tokens in a batch, after which ``done`` is called; each is computed alone.
            skip: indices that need no answer.
            done: called after each batch.

        Raises:
            OutOfMemory: a request did not fit.
            ScoringError: an option has no token.
        """
        contexts, options = encode_requests(self.tokenizer, requests)
        lengths = [
            len(context) + sum(len(tokens) - 1 for tokens in row)
            for context, row in zip(contexts, options, strict=True)
        ]
        for batch in plan(lengths, budget, padded=False):
            if not skip >= set(batch):
                done({i: self._scored(contexts[i], options[i]) for i in batch})

    def generate(
        self, requests: Sequence[GenerationRequest], *, budget: int, skip: Set[int], done: Done
    ) -> None:
        """Answer every request, greedily or with seeded draws (the Gumbel-max trick).

        Args:
            requests: contexts in the chat template with their token limits.
            budget: tokens in a batch, after which ``done`` is called; each is computed alone.
            skip: indices that need no answer.
            done: called after each batch.

        Raises:
            OutOfMemory: a request did not fit.
        """
        contexts = [encode(self.tokenizer, request.context) for request in requests]
        lengths = [
            len(context) + request.max_tokens
            for context, request in zip(contexts, requests, strict=True)
        ]
        for batch in plan(lengths, budget, padded=True):
            if not skip >= set(batch):
                done({i: self._reply(contexts[i], requests[i]) for i in batch})

    def _scored(self, context: list[int], options: Sequence[list[int]]) -> Output:
        import numpy as np

        start = time.perf_counter()
        ids = list(context)
        positions = list(range(len(ids)))
        owner = [-1] * len(ids)  # the option that a token belongs to; -1 in the context
        predicts = []  # for each option, the places whose logits predict its tokens
        for number, tokens in enumerate(options):
            predicts.append([len(context) - 1, *range(len(ids), len(ids) + len(tokens) - 1)])
            ids += tokens[:-1]
            positions += range(len(context), len(context) + len(tokens) - 1)
            owner += [number] * (len(tokens) - 1)
        order, option = np.arange(len(ids)), np.array(owner)
        sees = (order[:, None] >= order) & ((option == -1) | (option[:, None] == option))
        kept = sorted({place for places in predicts for place in places})
        logits, _ = self._run(ids, positions, sees, kept, np.zeros(self._empty, np.float32))
        with np.errstate(invalid="ignore"):  # a NaN is the runner's to notice
            logprobs = logits.astype(np.float64)
            logprobs -= logprobs.max(axis=1, keepdims=True)
            logprobs -= np.log(np.exp(logprobs).sum(axis=1, keepdims=True))
        return Output(
            text="",
            option_logprobs=tuple(
                math.fsum(
                    float(logprobs[kept.index(place), token])
                    for place, token in zip(places, tokens, strict=True)
                )
                for places, tokens in zip(predicts, options, strict=True)
            ),
            tokens_in=len(context),
            tokens_out=sum(map(len, options)),
            seconds=time.perf_counter() - start,
        )

    def _reply(self, context: list[int], request: GenerationRequest) -> Output:
        import numpy as np

        start = time.perf_counter()
        past = np.zeros(self._empty, np.float32)
        ids, nan = context, False
        reply: list[int] = []
        while len(reply) < request.max_tokens:
            seen = past.shape[4]
            positions = np.arange(seen, seen + len(ids))
            sees = positions[:, None] >= np.arange(seen + len(ids))
            rows, past = self._run(ids, positions, sees, [len(ids) - 1], past)
            logits = rows[0].astype(np.float64)
            nan = nan or bool(np.isnan(logits).any())
            if request.temperature > 0:
                random = np.random.default_rng(request.seed * 2**20 + len(reply))
                logits = logits / request.temperature + random.gumbel(size=len(logits))
            token = int(logits.argmax())
            if token in self._ends:
                break
            reply.append(token)
            ids = [token]
        return Output(
            text=self.tokenizer.decode(reply, skip_special_tokens=True),
            tokens_in=len(context),
            tokens_out=len(reply),
            seconds=time.perf_counter() - start,
            failed="the model's logits are NaN" if nan else "",
        )

    def _run(
        self,
        ids: Sequence[int],
        positions: Sequence[int] | NDArray[np.int64],
        sees: NDArray[np.bool_],
        keep: Sequence[int],
        past: NDArray[np.float32],
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return the logits at the places ``keep``, and keys and values of all tokens so far."""
        import numpy as np

        lowest = np.finfo(np.float32).min
        values = (
            np.array([ids], np.int64),
            np.array([positions], np.int64),
            np.where(sees, np.float32(0), lowest)[None, None],
            np.array(keep, np.int64),
            past,
        )
        with memory.graph_running_out():
            logits, present = self._session.run(None, dict(zip(INPUTS, values, strict=True)))
        return logits[0], present
