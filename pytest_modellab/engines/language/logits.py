"""What looks at the logits, or changes them while transformers generates."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from pytest_modellab.engines.interface import GenerationRequest
from pytest_modellab.engines.language.transfer import to_device, to_host
from pytest_modellab.records.hashing import digest

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray

CHUNK = 1 << 26
"""Log-probabilities that are computed at once: 256 MB in float32."""


class NanWatch:
    """Notes which rows met a NaN; greedy search would silently pick a token.

    Args:
        rows: of the batch.
    """

    def __init__(self, rows: int) -> None:
        self.seen = [False] * rows

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        for row in scores.isnan().any(dim=-1).nonzero().flatten().tolist():
            self.seen[row] = True
        return scores


class GumbelNoise:
    """Makes the largest logit a draw at each request's temperature, by the Gumbel-max trick.

    Args:
        requests: one a row.
        width: tokens of a row before its reply.
    """

    def __init__(self, requests: Sequence[GenerationRequest], width: int) -> None:
        self._requests = requests
        self._width = width

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        step = input_ids.shape[1] - self._width
        scores = scores.float()
        for row, request in enumerate(self._requests):
            if request.temperature > 0:
                drawn = noise(request.seed, step, scores.shape[1]).to(scores.device)
                scores[row] = scores[row] / request.temperature + drawn
        return scores


def noise(seed: int, step: int, size: int) -> torch.Tensor:
    """Return Gumbel noise for each token of a vocabulary.

    Args:
        seed: of the request.
        step: tokens of the reply so far.
        size: of the vocabulary.
    """
    import torch

    random = torch.Generator().manual_seed(int(digest([seed, step])[:8], 16))  # it keeps 32 bits
    return -torch.empty(size).exponential_(generator=random).log()


def logprobs(logits: torch.Tensor) -> NDArray[np.float32]:
    """Return the log-probabilities of logits, of any dtype and on any device, as float32."""
    rows: NDArray[np.float32] = logits.float().log_softmax(dim=-1).cpu().numpy()
    return rows


def gathered(
    logits: Any, places: NDArray[np.int64], tokens: NDArray[np.int64]
) -> Callable[[], NDArray[np.float32]]:
    """Return what waits for the log-probabilities of tokens.

    Args:
        logits: of torch, a row a place.
        places: of each token, the row that predicts it.
        tokens: which are predicted.
    """
    import numpy as np
    import torch

    order = np.argsort(places, kind="stable")
    asked = to_device(np.stack([places[order], tokens[order]]), logits.device)
    step = max(1, CHUNK // logits.shape[1])
    found = []
    for begin in range(0, len(logits), step):
        first, last = np.searchsorted(places, (begin, begin + step), sorter=order)
        rows = torch.log_softmax(logits[begin : begin + step], dim=-1, dtype=torch.float32)
        found.append(rows[asked[0, first:last] - begin, asked[1, first:last]])
    wait = to_host(torch.cat(found))

    def told() -> NDArray[np.float32]:
        values = np.empty(len(order), np.float32)
        values[order] = wait()
        return values

    return told
