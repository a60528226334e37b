"""A model as an ONNX graph: exported from transformers by torch, quantized by ONNX Runtime."""

from __future__ import annotations

import contextlib
import math
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_modellab.engines import loading
from pytest_modellab.engines.language import torch_model
from pytest_modellab.engines.language.reach import reach
from pytest_modellab.errors import VariantLoadError

if TYPE_CHECKING:
    import torch

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
    far = reach(loaded.model.config)
    if kinds or far < math.inf:
        own = f"a sliding window of {far} tokens" if far else "a state, or count tokens themselves"
        raise VariantLoadError(
            f"{folder}: its layers have {', '.join(sorted(kinds)) or own}, but the graph gives all "
            "layers one mask; quantize it by another method"
        )
    graph = _graph(loaded.model)
    tokens, past = 5, 3
    ids = torch.arange(past + tokens)[None]
    with torch.no_grad(), quiet():
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
def quiet() -> Iterator[None]:
    """Silence what torch and ONNX Runtime say about themselves."""
    with loading.quiet(), warnings.catch_warnings():
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

    with quiet():
        quantize_dynamic(
            source,
            target,
            op_types_to_quantize=["MatMul"],
            per_channel=True,
            reduce_range=reduce_range,
            weight_type=QuantType.QInt8,
            use_external_data_format=True,
        )
