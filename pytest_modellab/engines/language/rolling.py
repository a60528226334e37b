"""How likely a document is, token after token: windows of its tokens, and their likelihood.

Which definition: that of lm-evaluation-harness' ``loglikelihood_rolling`` (0.4.13). The document is
plain text, in no chat template, and cut into tokens as a whole, without special ones. Every token
is predicted exactly once. The first window begins with the prefix token (BOS, or EOS in a tokenizer
without one), from which the document's first token is predicted, and predicts as many tokens as fit
a window; each further one predicts the next ``window - context + 1`` after at least ``context``
tokens of the document (``get_rolling_token_windows`` and ``make_disjoint_window`` of lm_eval.utils,
whose rolling requests have ``context = 1`` and the model's own context length as ``window``).

The harness cuts the document into tokens as its tokenizer does by default, some with a second BOS;
this is its figure with ``add_bos_token=False``, which most tokenizers do not need.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence, Set
from typing import Any

from pytest_modellab.engines.batching import due, plan, spread
from pytest_modellab.engines.interface import Done, ReadingRequest
from pytest_modellab.engines.language.base import answer_together, at_once
from pytest_modellab.engines.language.transfer import to_device, to_host
from pytest_modellab.engines.loading import quiet
from pytest_modellab.engines.tokens import encode
from pytest_modellab.errors import ScoringError
from pytest_modellab.records.runs import Output

DEFAULT_WINDOW = 2048
"""Tokens that a model sees at once that says nothing of it; lm-evaluation-harness' default."""


NO_TOKEN = "the tokenizer makes no token of the document"
"""Why a document failed."""


PIECE = 32
"""Tokens that are put at once into a cache of its own kind, so that what follows them is predicted
from what the cache kept; small beside its ``residual_length``."""


_ROWS = 256
"""Places whose probabilities are computed at once."""


_NAMES = ("n_positions", "max_position_embeddings", "n_ctx")
"""What configurations call the length of a model's context, as lm-evaluation-harness looks."""


_UNBOUNDED = ("bloom", "mamba", "mamba2", "mpt", "rwkv")
"""Models that know no positions, or only how far apart two tokens are."""


@dataclasses.dataclass(frozen=True)
class Window:
    """Tokens that the model sees together, and those that it predicts.

    Attributes:
        context: what stands before the first predicted token; at least one token.
        targets: the predicted tokens, at least one.
    """

    context: list[int]
    targets: list[int]

    @property
    def tokens(self) -> list[int]:
        """What the model is given: all but the last token, which is only predicted."""
        return [*self.context, *self.targets[:-1]]

    def __len__(self) -> int:
        return len(self.context) + len(self.targets) - 1


def windows(tokens: Sequence[int], prefix: int, window: int, context: int = 1) -> list[Window]:
    """Cut a document into windows of which each token is predicted in exactly one.

    Args:
        tokens: the document's.
        prefix: the token that its first one is predicted from.
        window: most tokens that the model is given at once.
        context: least tokens before a predicted one in all windows but the first, at most
            ``window``.
    """
    found = [Window([prefix], list(tokens[:window]))] if tokens else []
    done = min(window, len(tokens))
    while done < len(tokens):
        end = min(len(tokens), done + window - context + 1)
        found.append(Window(list(tokens[end - 1 - window : done]), list(tokens[done:end])))
        done = end
    return found


def pieces(window: Window, most: int) -> list[Window]:
    """Cut a window into smaller ones, which predict the same tokens from the same ones.

    Args:
        window: all of whose tokens but the last the model is given.
        most: tokens that a piece predicts.
    """
    whole, first = [*window.context, *window.targets], len(window.context)
    return [
        Window(whole[: first + start], window.targets[start : start + most])
        for start in range(0, len(window.targets), most)
    ]


def cut(
    tokenizer: Any, requests: Sequence[ReadingRequest], length: int, known: bool
) -> list[list[Window]]:
    """Cut documents into windows, none where the tokenizer makes no token of one.

    Args:
        tokenizer: the model's.
        requests: documents.
        length: how many tokens the model sees at once.
        known: whether it can see no more than that.

    Raises:
        ScoringError: a window or a context is asked for that the model cannot see, or there is no
            prefix token.
    """
    if not requests:
        return []
    for request in requests:
        if known and request.window is not None and request.window > length:
            raise ScoringError(
                f"window: {request.window} tokens are more than the {length} that the model sees "
                "at once; set a smaller one in task_set.toml"
            )
        if request.context > (request.window or length):
            raise ScoringError(
                f"context: {request.context} tokens are more than the window, the {length} that "
                "the model sees at once; set a smaller one in task_set.toml"
            )
    prefix = prefix_of(tokenizer)
    with quiet():  # transformers warns of texts that are longer than the model's context
        return [
            windows(
                encode(tokenizer, request.text), prefix, request.window or length, request.context
            )
            for request in requests
        ]


def context_length(config: Any, tokenizer: Any) -> tuple[int, bool]:
    """Return how many tokens a model sees at once, and whether its configuration says so.

    Args:
        config: the model's, of transformers.
        tokenizer: asked where the configuration says nothing.
    """
    text = config.get_text_config()
    for name in _NAMES:
        length = getattr(text, name, None)
        if isinstance(length, int) and length > 0:
            return length, True
    length = getattr(tokenizer, "model_max_length", None)
    if isinstance(length, int) and 0 < length < 1 << 40:  # a huge one stands for none
        return length, False
    return DEFAULT_WINDOW, False


def most_seen(config: Any, tokenizer: Any) -> int | None:
    """Return how many tokens a model can see, or None where its configuration sets no limit.

    Positions that are stretched (``rope_scaling`` with a factor) reach further than what the model
    was first trained on; those that are stretched as texts grow (``dynamic``) have no limit.

    Args:
        config: the model's, of transformers.
        tokenizer: the model's.
    """
    text = config.get_text_config()
    length, known = context_length(config, tokenizer)
    if not known or text.model_type in _UNBOUNDED or getattr(text, "alibi", False):
        return None
    rope = getattr(text, "rope_parameters", None) or getattr(text, "rope_scaling", None) or {}
    reaches = [float(length)]
    for one in (rope, *rope.values()):  # for each type of layer, in some models
        if not isinstance(one, Mapping):
            continue
        if "dynamic" in (one.get("rope_type"), one.get("type")):
            return None
        factor = one.get("factor")
        if isinstance(factor, int | float):
            reaches.append(factor * (one.get("original_max_position_embeddings") or length))
    return int(max(reaches))


def prefix_of(tokenizer: Any) -> int:
    """Return the token that a document's first one is predicted from: BOS, else EOS.

    Raises:
        ScoringError: the tokenizer has neither.
    """
    for token in (tokenizer.bos_token_id, tokenizer.eos_token_id):
        if token is not None:
            return int(token)
    raise ScoringError(
        "the tokenizer has neither a BOS nor an EOS token, from which the first token of a "
        "document is predicted; name one of them in its tokenizer_config.json"
    )


def answer(
    tokenizer: Any,
    requests: Sequence[ReadingRequest],
    *,
    length: int,
    known: bool,
    budget: int,
    skip: Set[int],
    done: Done,
    score: Callable[[Sequence[Window]], Sequence[float]],
) -> None:
    """Read documents batch by batch.

    Args:
        tokenizer: the model's.
        requests: documents.
        length: how many tokens the model sees at once.
        known: whether it can see no more than that.
        budget: tokens in a batch.
        skip: indices that need no answer.
        done: called after each batch.
        score: returns the log-likelihood of the targets of each window of a batch, longest first.

    Raises:
        OutOfMemory: as ``score`` does.
        ScoringError: a window or a context is asked for that the model cannot see, or there is no
            prefix token.
    """
    rows = cut(tokenizer, requests, length, known)
    lengths = [sum(map(len, row)) or 1 for row in rows]

    def compute(batch: Sequence[int]) -> list[list[float]]:
        keys = [(i, k) for i in batch for k in range(len(rows[i]))]
        found: dict[tuple[int, int], float] = {}
        for places in plan([len(rows[i][k]) for i, k in keys], budget, padded=True):
            together = [keys[place] for place in places]
            values = score([rows[i][k] for i, k in together])
            found.update(zip(together, values, strict=True))
        return [[found[i, k] for k in range(len(rows[i]))] for i in batch]

    def output(i: int, values: list[float]) -> Output:
        return Output(
            text="",
            option_logprobs=(sum(values),) if values else (),
            tokens_in=sum(len(window.context) for window in rows[i]),
            tokens_out=sum(len(window.targets) for window in rows[i]),
            failed="" if values else NO_TOKEN,
        )

    answer_together(
        due(spread(plan(lengths, budget, padded=True)), skip),
        lengths,
        at_once(compute),
        output,
        done,
    )


def in_torch(
    model: Any, rows: Sequence[Window], piece: int | None, cache: Callable[[Any], Any]
) -> list[float]:
    """Return the log-likelihood of the targets of each window, by a model of transformers.

    Shorter windows are padded behind their end, where nothing looks at it.

    Args:
        model: a causal language model.
        rows: windows, any of whose tokens may be computed together.
        piece: most tokens of a window that are computed at once, the earlier ones being in a cache;
            None where a window cannot be cut.
        cache: makes an empty key-value cache for a model's config.
    """
    import numpy as np
    import torch

    width, device = max(map(len, rows)), model.device
    table = np.zeros((len(rows), width), np.int64)
    for row, window in zip(table, rows, strict=True):
        row[: len(window)] = window.tokens
    ids = to_device(table, device)
    begins = [len(window.context) - 1 for window in rows]
    first, step = min(begins), piece or width
    past = cache(model.config) if step < width else None
    owners: list[int] = []
    parts: list[Any] = []  # waited for at the end, all at once
    for start in range(0, width, step):
        end = min(start + step, width)
        keep = end - max(start, min(first, end - 1))  # the last place at least
        logits = model(
            input_ids=ids[:, start:end],
            past_key_values=past,
            use_cache=past is not None,
            logits_to_keep=keep,
        ).logits
        offset = end - keep  # the place of the first row of logits
        for number, (window, begin) in enumerate(zip(rows, begins, strict=True)):
            for low in range(max(begin, start), min(len(window), end), _ROWS):
                high = min(low + _ROWS, len(window), end)
                targets = window.targets[low - begin : high - begin]
                asked = to_device(np.array(targets, np.int64), device)
                owners.append(number)
                parts.append(_likelihood(logits[number, low - offset : high - offset], asked))
    sums = [0.0] * len(rows)
    for number, value in zip(owners, to_host(torch.stack(parts))().tolist(), strict=True):
        sums[number] += value
    return sums


def _likelihood(logits: Any, targets: Any) -> Any:
    """Return the summed log-probability of a token a row of logits."""
    logits = logits.float()
    picked = logits.gather(1, targets[:, None])[:, 0]
    return (picked.double() - logits.logsumexp(dim=-1).double()).sum()
