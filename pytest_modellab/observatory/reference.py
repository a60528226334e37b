"""A layer of Llama from scratch, in NumPy: what its code must compute, whatever computes it.

Rows are positions. Everything is computed in the inputs' precision, float64 where it matters.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeAlias

from pytest_modellab.errors import DiagnosisError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array: TypeAlias = NDArray[Any]


@dataclasses.dataclass(frozen=True, eq=False)
class Rotation:
    """Rotary position embedding (Su et al. 2021), a half of each head against the other.

    Attributes:
        frequencies: radians a position, one for each pair of dimensions.
        factor: of the tables.
    """

    frequencies: Array
    factor: float = 1.0

    def tables(self, positions: Array) -> tuple[Array, Array]:
        """Cosine and sine, a row for each position."""
        import numpy as np

        angles = np.outer(positions, self.frequencies)
        angles = np.concatenate([angles, angles], axis=-1)
        return np.cos(angles) * self.factor, np.sin(angles) * self.factor


@dataclasses.dataclass(frozen=True, eq=False)
class Weights:
    """Of one layer, as ``torch.nn.Linear`` has them: a row for each output.

    Attributes:
        input_norm: in front of the attention.
        post_norm: in front of the MLP.
        q: of queries, and so on.
    """

    input_norm: Array
    q: Array
    k: Array
    v: Array
    o: Array
    post_norm: Array
    gate: Array
    up: Array
    down: Array


@dataclasses.dataclass(frozen=True, eq=False)
class Geometry:
    """Of one layer.

    Attributes:
        heads: of queries.
        groups: of keys and values; each serves ``heads / groups`` neighbouring heads.
        rotation: of queries and keys.
        scale: of the products of queries and keys.
        eps: of the norms.
        window: how many positions a token sees, itself included; None for all before it.
    """

    heads: int
    groups: int
    rotation: Rotation
    scale: float
    eps: float = 1e-6
    window: int | None = None


@dataclasses.dataclass(frozen=True, eq=False)
class Past:
    """Keys, rotated, and values of positions that were computed before: (groups, past, size)."""

    keys: Array
    values: Array


def rms_norm(x: Array, weight: Array, eps: float) -> Array:
    """Divide each row by its root mean square (Zhang and Sennrich 2019)."""
    import numpy as np

    result: Array = x / np.sqrt(np.mean(np.square(x), axis=-1, keepdims=True) + eps) * weight
    return result


def rotation(size: int, parameters: Mapping[str, Any]) -> Rotation:
    """Make the rotation that a configuration describes.

    Args:
        size: of a head.
        parameters: ``rope_theta`` and, for a longer context, ``rope_type`` with its numbers:
            ``default``, ``linear`` (Chen et al. 2023) or ``llama3`` (Dubey et al. 2024).

    Returns:
        The rotation.

    Raises:
        DiagnosisError: it is of another type.
    """
    import numpy as np

    kind = parameters.get("rope_type") or "default"
    pairs = np.arange(0, size, 2, dtype=np.float64) / size
    plain = float(parameters["rope_theta"]) ** -pairs
    if kind == "default":
        return Rotation(plain)
    if kind == "linear":
        return Rotation(plain / float(parameters["factor"]))
    if kind != "llama3":
        raise DiagnosisError(
            f"rope_type: the reference knows 'default', 'linear' and 'llama3', and not {kind!r}: "
            "the rotation's own tables have to be given"
        )
    low, high = (float(parameters[f"{name}_freq_factor"]) for name in ("low", "high"))
    turns = float(parameters["original_max_position_embeddings"]) * plain / (2 * math.pi)
    kept = np.clip(
        (turns - low) / (high - low), 0.0, 1.0
    )  # of slow turns nothing, of fast ones all
    return Rotation((1 - kept) * plain / float(parameters["factor"]) + kept * plain)


def rotate(x: Array, cos: Array, sin: Array) -> Array:
    """Rotate heads by tables.

    Args:
        x: (heads, positions, size).
        cos: (positions, rotated); where less than a head is rotated, its end stays.
        sin: the same.
    """
    import numpy as np

    width = cos.shape[-1]
    turned, rest = x[..., :width], x[..., width:]
    half = width // 2
    other = np.concatenate([-turned[..., half:], turned[..., :half]], axis=-1)
    return np.concatenate([turned * cos + other * sin, rest], axis=-1)


def rotate_neighbours(x: Array, cos: Array, sin: Array) -> Array:
    """Rotate heads as GPT-J does: dimension 2i against 2i + 1, where Llama turns halves.

    Args:
        x: (heads, positions, size).
        cos: (positions, rotated), a column for each dimension.
        sin: the same.
    """
    import numpy as np

    width = cos.shape[-1]
    turned, rest = x[..., :width], x[..., width:]
    other = np.stack([-turned[..., 1::2], turned[..., ::2]], axis=-1).reshape(turned.shape)
    return np.concatenate([turned * cos + other * sin, rest], axis=-1)


def seen(queries: int, keys: int, window: int | None = None, *, causal: bool = True) -> Any:
    """Which keys a query sees: the queries are the last of the keys' positions.

    Args:
        queries: rows.
        keys: columns.
        window: how many positions a token sees, itself included.
        causal: whether it sees none that come later.

    Returns:
        A boolean matrix.
    """
    import numpy as np

    distance = np.arange(keys - queries, keys)[:, None] - np.arange(keys)[None, :]
    mask = distance >= 0 if causal else np.ones_like(distance, dtype=bool)
    return mask if window is None else mask & (distance < window)


def attention(q: Array, k: Array, v: Array, scale: float, mask: Any) -> Array:
    """Attend (Vaswani et al. 2017), groups of heads sharing keys and values (Ainslie et al. 2023).

    Args:
        q: (heads, queries, size).
        k: (groups, keys, size).
        v: the same.
        scale: of the products.
        mask: of :func:`seen`; each query sees one key at least.

    Returns:
        (queries, heads · size), heads side by side.
    """
    import numpy as np

    shared = q.shape[0] // k.shape[0]
    k, v = np.repeat(k, shared, axis=0), np.repeat(v, shared, axis=0)
    scores = np.where(mask, scale * (q @ k.swapaxes(-1, -2)), -np.inf)
    weights = np.exp(scores - scores.max(axis=-1, keepdims=True))
    weights /= weights.sum(axis=-1, keepdims=True)
    result: Array = (weights @ v).swapaxes(0, 1)
    return result.reshape(len(result), -1)


def swiglu(x: Array, gate: Array, up: Array, down: Array) -> Array:
    """The gated MLP (Shazeer 2020): ``down(silu(gate x) · up x)``."""
    import numpy as np

    gated = x @ gate.T
    result: Array = (gated / (1 + np.exp(-gated)) * (x @ up.T)) @ down.T
    return result


def split(x: Array, heads: int) -> Array:
    """(positions, heads · size) → (heads, positions, size)."""
    return x.reshape(x.shape[0], heads, -1).swapaxes(0, 1)


def layer(
    x: Array, weights: Weights, geometry: Geometry, past: Past | None = None
) -> tuple[Array, Past]:
    """Compute one layer, for a whole text or for what follows it.

    Args:
        x: (positions, width), the residual stream.
        weights: the layer's.
        geometry: the layer's.
        past: of the positions before; None at the start.

    Returns:
        The residual stream behind the layer, and the past for the next call.
    """
    import numpy as np

    before = 0 if past is None else past.keys.shape[1]
    cos, sin = geometry.rotation.tables(np.arange(before, before + len(x)))
    normed = rms_norm(x, weights.input_norm, geometry.eps)
    q = rotate(split(normed @ weights.q.T, geometry.heads), cos, sin)
    k = rotate(split(normed @ weights.k.T, geometry.groups), cos, sin)
    v = split(normed @ weights.v.T, geometry.groups)
    if past is not None:
        k = np.concatenate([past.keys, k], axis=1)
        v = np.concatenate([past.values, v], axis=1)
    mask = seen(len(x), k.shape[1], geometry.window)
    x = x + attention(q, k, v, geometry.scale, mask) @ weights.o.T
    normed = rms_norm(x, weights.post_norm, geometry.eps)
    return x + swiglu(normed, weights.gate, weights.up, weights.down), Past(k, v)
