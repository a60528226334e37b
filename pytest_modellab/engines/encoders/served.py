"""The engine of an embedding model behind a server: texts go over HTTP, vectors come back."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pytest_modellab.endpoints import replies
from pytest_modellab.endpoints.asking import Asking
from pytest_modellab.engines import servers
from pytest_modellab.engines.interface import Role
from pytest_modellab.errors import EndpointError
from pytest_modellab.visible import line

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

VERSION = 1
"""Raised when vectors may change: what was stored under another version is asked for again."""

PATH = "/embeddings"

TOGETHER = 32
"""Texts in a request, unless declared: some servers take no more."""

CHARACTERS = 40_000
"""Characters in a request, but of a single text that has more."""

EMPTY = " "
"""What is sent of an empty text, which many servers refuse."""

_COUNTED = 1 << 16
"""Texts whose tokens are remembered."""

_SHOWN = 60
"""Characters of a text that a message shows."""


class ServedEncoder(servers.Behind):
    """Embeds texts by asking a server.

    Args:
        asking: the server.
        key: see :class:`~pytest_modellab.engines.interface.Encoder`.
        prompts: what is put before a text of each role.
        input_types: what a request says that its texts are, in its field ``input_type``; a role
            that is left out has no such field.
        together: most texts in a request; 0 for :data:`TOGETHER`.
    """

    def __init__(
        self,
        asking: Asking,
        *,
        key: str,
        prompts: Mapping[Role, str],
        input_types: Mapping[Role, str],
        together: int = 0,
    ) -> None:
        super().__init__(asking)
        self.key = key
        self.prompts = prompts
        self.fields = {role: {"input_type": name} for role, name in input_types.items()}
        """By role, what a request says of its texts beside them."""
        self._together = together or TOGETHER
        self._tokens: dict[int, int] = {}

    @functools.cached_property
    def dimension(self) -> int:
        """Numbers in a vector, as the server gives them.

        Raises:
            EndpointError: it gives none.
        """
        (vectors,) = self.asking.each([["a"]], lambda texts: self._ask(texts, "passage"))
        return len(vectors[0])

    def encode(self, texts: Sequence[str], role: Role) -> NDArray[np.float32]:
        """Embed texts in batches of like length, equal texts once.

        Raises:
            EndpointError: the server fails, has changed, or gives vectors of another length.
        """
        import numpy as np

        unique = sorted(set(texts), key=lambda text: (-len(text), text))
        for old in [*itertools.islice(self._tokens, max(0, len(self._tokens) - _COUNTED))]:
            del self._tokens[old]
        batches = _batches(unique, self._together)
        found = self.asking.each(batches, lambda batch: self._ask(batch, role))
        vectors = np.zeros((len(unique), self.dimension), np.float32)
        start = 0
        for batch in found:
            if len(batch[0]) != self.dimension:
                raise EndpointError(
                    f"{self._host}: a vector has {len(batch[0])} numbers, where others have "
                    f"{self.dimension}: the server has changed, or runs several models under one "
                    "name; keep it as it is, and run again"
                )
            vectors[start : start + len(batch)] = batch
            start += len(batch)
        if not np.isfinite(vectors).all():
            raise EndpointError(f"{self._host}: a vector holds a number too large for float32")
        place_of = {text: place for place, text in enumerate(unique)}
        return vectors[[place_of[text] for text in texts]]

    def count_tokens(self, texts: Sequence[str], role: Role) -> Sequence[int]:
        """Tokens of each text that was embedded, as the server counts a request's.

        They are shared out by characters; 0 where the server counts none.
        """
        return [self._tokens.get(hash((role, text)), 0) for text in texts]

    @property
    def _host(self) -> str:
        return self.asking.client.address.host

    def _ask(self, texts: Sequence[str], role: Role) -> tuple[tuple[float, ...], ...]:
        prompt = self.prompts[role]
        body: dict[str, Any] = {
            "input": [prompt + text or EMPTY for text in texts],
            **self.fields.get(role, {}),
        }
        try:
            reply = self.asking.post(PATH, body)
            with self.reading(PATH):
                vectors = replies.embeddings(reply, len(texts))
                tokens = replies.embedded_tokens(reply)
        except EndpointError as error:
            longest = max(texts, key=len)
            raise EndpointError(
                f"{error}; asked for {len(texts)} texts, the longest of {len(longest):,} "
                f"characters: {line(longest, _SHOWN)!r}",
                status=error.status,
            ) from error
        lengths = [len(prompt) + len(text) for text in texts]
        for text, count in zip(texts, _shared(tokens, lengths), strict=True):
            self._tokens[hash((role, text))] = count
        return vectors


def _batches(texts: Sequence[str], together: int) -> list[list[str]]:
    """Put texts together, so many of so many characters at most."""
    batches: list[list[str]] = []
    characters = 0
    for text in texts:
        full = not batches or len(batches[-1]) >= together
        if full or characters + len(text) > CHARACTERS:
            batches.append([])
            characters = 0
        batches[-1].append(text)
        characters += len(text)
    return batches


def _shared(count: int, lengths: Sequence[int]) -> list[int]:
    """Share a count out by lengths, so that the shares sum to it."""
    whole = sum(lengths) or 1
    ends = [count * end // whole for end in itertools.accumulate(lengths)]
    return [end - start for start, end in itertools.pairwise([0, *ends])]
