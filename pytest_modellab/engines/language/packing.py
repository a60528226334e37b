"""Contexts and their options in one row without padding: where tokens stand and what they see."""

from __future__ import annotations

import dataclasses
import functools
import itertools
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from pytest_modellab.engines.language.arrays import begins, spans
from pytest_modellab.engines.language.attention import Layout

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Places = NDArray[np.int64]


@dataclasses.dataclass(frozen=True, eq=False)
class Packed:
    """A row of tokens; an option's last token is only predicted, so it is left out.

    Attributes:
        ids: the tokens.
        layout: where each stands, and what it sees.
        keep: the places in ``ids`` whose logits are wanted, in order.
        predicts: for each target, which of ``keep`` predicts it.
        targets: the options' tokens.
        owner: for each target, the running number of its option.
        choices: of each context, how many options it has.
    """

    ids: Places
    layout: Layout
    keep: Places
    predicts: Places
    targets: Places
    owner: Places
    choices: Places

    def keeping(self, counts: Sequence[int]) -> Packed:
        """Return the row with the last so many places of each context kept; none has options."""
        import numpy as np

        last = np.asarray(counts)
        return dataclasses.replace(self, keep=spans(np.unique(self.layout.stop) - last, last))

    def summed(self, values: NDArray[Any]) -> list[list[float]]:
        """Return the sums of the options of each context.

        Args:
            values: one a target.
        """
        import numpy as np

        sums = np.bincount(self.owner, weights=values, minlength=int(self.choices.sum()))
        ends = np.cumsum(self.choices).tolist()
        told = sums.tolist()
        return [told[end - count : end] for end, count in zip(ends, self.choices, strict=True)]


class Rows:
    """The tokens of many contexts and of their options, in one array, out of which rows are made.

    Args:
        contexts: the tokens of each, without those that all share; a context has one at least.
        options: of each context, the tokens of its options; an option has one at least.
    """

    def __init__(
        self, contexts: Sequence[Sequence[int]], options: Sequence[Sequence[Sequence[int]]]
    ) -> None:
        import numpy as np

        every = [option for row in options for option in row]
        self.contexts = _lengths(contexts)
        """How many tokens each context has."""
        self.choices = _lengths(options)
        """How many options each context has."""
        self._options = _lengths(every)
        self._tokens = flat([*contexts, *every])
        self._context_at = begins(self.contexts)
        self._option_at = begins(self._options) + self.contexts.sum()
        self._first_option = begins(self.choices)
        inner = np.concatenate([[0], np.cumsum(self._options - 1)])
        ends = self._first_option + self.choices
        self.inner = inner[ends] - inner[self._first_option]
        """How many tokens of each context's options are given to the model."""

    @functools.cached_property
    def lengths(self) -> list[int]:
        """How many tokens the model is given of each context and its options."""
        return list((self.contexts + self.inner).tolist())

    @functools.cached_property
    def places(self) -> list[int]:
        """At how many places something is predicted, of each context."""
        return list((1 + self.inner).tolist())

    def pack(self, batch: Sequence[int], prefix: int = 0) -> Packed:
        """Put contexts with their options into one row, in the order of the batch.

        Args:
            batch: indices of contexts.
            prefix: tokens that stand before every context.
        """
        import numpy as np

        chosen = np.asarray(batch, dtype=np.int64)
        choices, contexts = self.choices[chosen], self.contexts[chosen]
        options = spans(self._first_option[chosen], choices)
        # one segment a context and one an option, each option behind its context
        heads = begins(choices + 1)
        is_head = np.zeros(int((choices + 1).sum()), dtype=bool)
        is_head[heads] = True
        sizes = np.empty(len(is_head), dtype=np.int64)
        sources = np.empty_like(sizes)
        sizes[is_head], sizes[~is_head] = contexts, self._options[options] - 1
        sources[is_head], sources[~is_head] = self._context_at[chosen], self._option_at[options]
        begin = begins(sizes)
        owners = np.repeat(np.arange(len(chosen)), choices + 1)
        start, stop = begin[heads], begin[heads] + contexts
        order = np.arange(int(sizes.sum()))
        segment = np.repeat(np.arange(len(sizes)), sizes)
        sample = owners[segment]
        depth = np.where(is_head, 0, contexts[owners])  # tokens of the context before a segment
        layout = Layout(
            prefix=prefix,
            positions=prefix + depth[segment] + order - begin[segment],
            start=start[sample],
            stop=stop[sample],
            branch=begin[segment],
        )
        keep = np.flatnonzero(order >= layout.stop - 1)
        lengths = self._options[options]
        inside = spans(np.zeros_like(lengths), lengths)
        owner = np.repeat(np.arange(len(options)), lengths)
        # an option's first token is predicted by its context's last
        behind = np.where(inside == 0, stop[owners[~is_head]][owner], begin[~is_head][owner])
        return Packed(
            ids=self._tokens[sources[segment] + order - begin[segment]],
            layout=layout,
            keep=keep,
            predicts=np.searchsorted(keep, behind + inside - 1),
            targets=self._tokens[self._option_at[options][owner] + inside],
            owner=owner,
            choices=choices,
        )


def pack(rows: Sequence[tuple[Sequence[int], Sequence[Sequence[int]]]], prefix: int = 0) -> Packed:
    """Put contexts with their options into one row.

    Args:
        rows: of each sample the tokens of its context, and of each of its options.
        prefix: tokens that stand before every context.
    """
    every = Rows([context for context, _ in rows], [options for _, options in rows])
    return every.pack(range(len(rows)), prefix)


def flat(rows: Iterable[Sequence[int]]) -> Places:
    """Return the numbers of all rows, one row behind the other."""
    import numpy as np

    return np.fromiter(itertools.chain.from_iterable(rows), dtype=np.int64)


def _lengths(rows: Sequence[Sequence[Any]]) -> Places:
    import numpy as np

    return np.fromiter(map(len, rows), dtype=np.int64, count=len(rows))
