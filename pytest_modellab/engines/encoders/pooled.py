"""Token vectors become one vector a text."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def _mean(vectors: NDArray[np.float32], kept: NDArray[np.bool_]) -> NDArray[np.float32]:
    import numpy as np

    sums = (vectors * kept[:, :, None]).sum(axis=1)
    return np.asarray(sums / np.maximum(kept.sum(axis=1, keepdims=True), 1), vectors.dtype)


def _first(vectors: NDArray[np.float32], kept: NDArray[np.bool_]) -> NDArray[np.float32]:
    return vectors[range(len(vectors)), kept.argmax(axis=1)]


def _largest(vectors: NDArray[np.float32], kept: NDArray[np.bool_]) -> NDArray[np.float32]:
    import numpy as np

    return np.asarray(np.where(kept[:, :, None], vectors, -np.inf).max(axis=1), vectors.dtype)


def _last(vectors: NDArray[np.float32], kept: NDArray[np.bool_]) -> NDArray[np.float32]:
    return vectors[range(len(vectors)), kept.shape[1] - 1 - kept[:, ::-1].argmax(axis=1)]


POOL: Mapping[str, Callable[[Any, Any], Any]] = {
    "mean": _mean,
    "cls": _first,
    "max": _largest,
    "lasttoken": _last,
}
"""Each of :data:`.texts.POOLINGS`: from (texts, tokens, size) and which tokens count."""
