"""What the engines that embed texts share: a model's own files, and how texts become batches."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from pytest_modellab.engines.batching import plan
from pytest_modellab.engines.interface import Role
from pytest_modellab.errors import ModelError, OutOfMemory
from pytest_modellab.models import archive, reads
from pytest_modellab.records import reading

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from tokenizers import Tokenizer

CONFIG = "config_sentence_transformers.json"
"""Where a sentence-transformers model says how it is asked and compared."""


Similarity = Literal["cosine", "dot", "euclidean", "manhattan"]
"""How two vectors are compared, by sentence-transformers' names; the last two are distances."""


_SIMILARITY = "similarity_fn_name"
"""The key of it in that file."""


POOLINGS = ("mean", "cls", "max", "lasttoken")
"""How token vectors may be declared to become one vector."""


_STORED = {
    "pooling_mode_cls_token": "cls",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len_tokens",
    "pooling_mode_weightedmean_tokens": "weightedmean",
    "pooling_mode_lasttoken": "lasttoken",
}
"""Keys of a pooling configuration before sentence-transformers 5.4, in the order in which the
vectors of several are joined (sentence_transformers/sentence_transformer/modules/pooling.py)."""


_OWN_PROMPTS: Mapping[Role, tuple[str, ...]] = {
    "query": ("query",),
    "passage": ("document", "passage", "corpus"),
}
"""Names that models give their prompts, as ``SentenceTransformer.encode_query`` and
``encode_document`` look for them."""


_CHUNK = 1024
"""Texts that are tokenized at once, while those before them are computed."""


NO_LIMIT = 1_000_000
"""transformers writes a huge number where a tokenizer has no limit."""


# --- a model's own files --------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Module:
    """One line of ``modules.json``.

    Attributes:
        kind: the class, for example ``Pooling``.
        folder: where its files are.
    """

    kind: str
    folder: Path


@dataclasses.dataclass(frozen=True)
class Pooling:
    """How token vectors become one.

    Attributes:
        modes: of :data:`POOLINGS`, or what else sentence-transformers knows; the vectors of several
            are joined.
        include_prompt: False where the prompt's tokens are left out.
    """

    modes: tuple[str, ...]
    include_prompt: bool = True


def read_json(path: Path) -> Any:
    """Read a file of a model.

    Raises:
        ModelError: it is not JSON, or not the file itself.
    """
    try:
        return reads.read_json(path)
    except (ValueError, RecursionError) as error:
        raise ModelError(
            f"{path} is not JSON ({error}); copy or download the folder again"
        ) from error


def read_modules(path: Path) -> tuple[Module, ...]:
    """Read what a sentence-transformers model is made of.

    Args:
        path: ``modules.json``.

    Raises:
        ModelError: it is not a list of modules.
    """
    try:
        return tuple(
            Module(entry["type"].rpartition(".")[2], path.parent / entry["path"])
            for entry in read_json(path)
        )
    except (AttributeError, KeyError, TypeError) as error:
        raise ModelError(
            f"{path} is not a list of modules with type and path; copy or download the folder again"
        ) from error


def read_pooling(path: Path) -> Pooling:
    """Read how a model pools, from the ``config.json`` of its pooling module.

    sentence-transformers takes the mean where a configuration is missing or names no mode, whatever
    the model was trained with.

    Raises:
        ModelError: the file is missing, or names no pooling that there is.
    """
    if not path.is_file():
        raise no_pooling(path, "is missing")
    stored = read_json(path)
    if not isinstance(stored, dict):
        raise no_pooling(path, "holds no settings")
    modes = stored.get("pooling_mode") or [mode for key, mode in _STORED.items() if stored.get(key)]
    modes = [modes] if isinstance(modes, str) else modes
    if not modes:
        raise no_pooling(path, "names no pooling mode")
    if unknown := [mode for mode in modes if mode not in _STORED.values()]:
        raise no_pooling(path, f"names the pooling mode {unknown[0]!r}, which is unknown")
    return Pooling(tuple(modes), stored.get("include_prompt", True))


def no_pooling(path: Path, problem: str) -> ModelError:
    """Return the error for a model that does not say how it pools."""
    return ModelError(
        f"{path} {problem}, so that nothing says how token vectors become one. Set what the model "
        f'was trained with, for example pooling = "mean" (there are: {", ".join(POOLINGS)})'
    )


def check_pooling(pooling: str | None) -> None:
    """Refuse a declared pooling that is not one of :data:`POOLINGS`.

    Raises:
        ModelError: it is not.
    """
    if pooling is not None and pooling not in POOLINGS:
        raise ModelError(f"pooling = {pooling!r} is not one of {', '.join(POOLINGS)}")


@dataclasses.dataclass(frozen=True)
class Own:
    """How a model's vectors are compared where nothing else is declared.

    Attributes:
        similarity: by sentence-transformers' name, or None where the model does not say.
        dimensions: the first numbers of a vector that are kept, or None for all.
    """

    similarity: Similarity | None = None
    dimensions: int | None = None


def read_own(model: Path) -> Own:
    """Read how a model says that its vectors are compared.

    Args:
        model: its folder, or that folder zipped.

    Raises:
        ModelError: the file is damaged, or the model gives no single vector a text.
    """
    place = model / CONFIG
    stored = _config(model)
    try:
        kind = reading.checked(str | None, stored.get("model_type"), "model_type")
        similarity = reading.checked(str | None, stored.get(_SIMILARITY), _SIMILARITY)
        dimensions = reading.checked(int | None, stored.get("truncate_dim"), "truncate_dim")
    except reading.Unfit as error:
        raise ModelError(f"{place}: {error}; copy or download the folder again") from error
    if kind not in (None, "SentenceTransformer"):
        raise ModelError(
            f"{place}: the model was saved as a {kind}, but an embedding model gives one vector a "
            "text; name one that was saved as a SentenceTransformer"
        )
    known = get_args(Similarity)
    if similarity not in (None, *known):
        raise ModelError(
            f"{place}: {_SIMILARITY} = {similarity!r} is none of {', '.join(known)}; correct it"
        )
    return Own(similarity, dimensions)


def _config(model: Path) -> dict[str, Any]:
    """Return what ``config_sentence_transformers.json`` holds, empty where there is none."""
    place = model / CONFIG
    try:
        if model.is_dir():
            return reading.table(read_json(place) if place.is_file() else {}, "")
        return reading.table(json.loads(archive.member(model, CONFIG) or "{}"), "")
    except (ValueError, RecursionError) as error:
        raise ModelError(f"{place}: {error}; copy or download the folder again") from error


def read_prompts(folder: Path, declared: Mapping[Role, str | None]) -> dict[Role, str]:
    """Return what is put before a text of each role.

    Args:
        folder: the model's.
        declared: the prompt of a role, empty for none; None or left out for the model's own, from
            ``config_sentence_transformers.json``.

    Raises:
        ModelError: that file is not JSON, or holds no prompts.
    """
    path = folder / CONFIG
    stored = _config(folder)
    try:
        own = reading.checked(dict[str, str | None], stored.get("prompts") or {}, "prompts")
    except reading.Unfit as error:
        raise ModelError(f"{path}: {error}; copy or download the folder again") from error
    prompts: dict[Role, str] = {}
    for role, names in _OWN_PROMPTS.items():
        prompt = declared.get(role)
        if prompt is None:
            prompt = next((own[name] for name in names if own.get(name)), "")
        prompts[role] = prompt
    return prompts


# --- texts into batches ---------------------------------------------------------------------------


def tokenize(tokenizer: Tokenizer, texts: Sequence[str]) -> list[list[int]]:
    """Return the token ids of each text, cut off where the tokenizer is set to."""
    return [encoding.ids for encoding in tokenizer.encode_batch_fast(texts)]


def padded(
    rows: Sequence[Sequence[int]], pad: int, *, left: bool = False
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Make rows equally long.

    Args:
        rows: token ids.
        pad: the id to fill up with.
        left: fill up before the tokens, not after them.

    Returns:
        Token ids and attention mask (1 at a token, 0 elsewhere), of shape (rows, longest row).
    """
    import numpy as np

    width = max(1, *map(len, rows))  # a text may have no token
    ids = np.full((len(rows), width), pad, np.int64)
    mask = np.zeros_like(ids)
    for number, row in enumerate(rows):
        place = slice(width - len(row), width) if left else slice(len(row))
        ids[number, place] = row
        mask[number, place] = 1
    return ids, mask


def embed(
    texts: Sequence[str],
    *,
    name: str,
    budget: int,
    prepare: Callable[[Sequence[str]], tuple[Sequence[Any], Sequence[int]]],
    run: Callable[[Sequence[Any]], Any],
    join: Callable[[Sequence[Any]], NDArray[np.float32]],
) -> NDArray[np.float32]:
    """Embed texts in batches of like length, equal texts once.

    What is computed together depends on the set of texts alone, not on their order.

    Args:
        texts: at least one.
        name: the model's, for messages.
        budget: tokens in a batch, padding counted in; halved while a batch does not fit.
        prepare: makes of texts the rows to compute and their lengths in tokens.
        run: computes a batch of rows.
        join: puts the results of all batches into one array, a line for a row.

    Returns:
        A line for each text, C-contiguous.

    Raises:
        OutOfMemory: a batch of one did not fit.
        ModelError: a vector holds NaN or infinity.
    """
    import numpy as np

    # by length, so that the chunks are of like texts
    unique = sorted(set(texts), key=lambda text: (-len(text), text))
    chunks = [unique[start : start + _CHUNK] for start in range(0, len(unique), _CHUNK)]
    order: list[str] = []
    parts: list[Any] = []
    with ThreadPoolExecutor(1) as ahead:
        coming = ahead.submit(prepare, chunks[0])
        for chunk, following in zip(chunks, [*chunks[1:], None], strict=True):
            rows, lengths = coming.result()
            if following is not None:
                coming = ahead.submit(prepare, following)
            batches, done = _computed(rows, lengths, budget, run)
            parts += done
            order += [chunk[i] for batch in batches for i in batch]
    vectors = join(parts)
    finite = np.isfinite(vectors).all(axis=1)
    if not finite.all():
        place = int(finite.argmin())
        kind = "NaN" if np.isnan(vectors[place]).any() else "infinity"
        raise ModelError(
            f"{name}: the model gives {kind} for the text {order[place][:60]!r}; its weights are "
            "damaged, or its dtype cannot hold the numbers"
        )
    place_of = {text: place for place, text in enumerate(order)}
    return vectors[[place_of[text] for text in texts]]


def _computed(
    rows: Sequence[Any], lengths: Sequence[int], budget: int, run: Callable[[Sequence[Any]], Any]
) -> tuple[tuple[tuple[int, ...], ...], list[Any]]:
    """Return batches of indices and their results; smaller ones where those do not fit."""
    while True:
        batches = plan(lengths, budget, padded=True)
        try:
            return batches, [run([rows[i] for i in batch]) for batch in batches]
        except OutOfMemory:
            if len(batches) == len(rows):
                raise
            budget = min(budget, sum(lengths)) // 2
