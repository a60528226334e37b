"""Greedy decoding in which rows leave the batch when they are done and others take their place."""

from __future__ import annotations

import dataclasses
import itertools
import warnings
import weakref
from collections.abc import Generator, Iterator, Mapping, Sequence
from typing import Any

from pytest_modellab.engines.language.logits import noise
from pytest_modellab.engines.language.slots import Memory, Prefix, Prompts, attending, kernel_on
from pytest_modellab.engines.language.transfer import to_device

LOOK = 8
"""Steps after which the host looks who is done; until then nothing waits for a GPU."""

WORTH = 4
"""Fewer steps than this are not worth the capture of a graph."""

LONG = 64
"""Steps that must be left for fewer rows to be worth a capture of their own."""

WIDTH = 256
"""Least columns that a captured step looks at; more of them come in doublings."""


_watched: weakref.WeakSet[Any] = weakref.WeakSet()
"""Models of which a step was taken that did not wait for the GPU."""


@dataclasses.dataclass(frozen=True)
class Row:
    """What is to be continued.

    Attributes:
        tokens: of its prompt, behind what all share; at least one.
        limit: most tokens of the reply; at least one.
        temperature: 0 for the likeliest token.
        seed: of the draws.
    """

    tokens: Sequence[int]
    limit: int
    temperature: float = 0.0
    seed: int = 0

    @property
    def length(self) -> int:
        """Room that it takes; the last token of a reply is not read."""
        return len(self.tokens) + self.limit - 1


@dataclasses.dataclass(frozen=True)
class Reply:
    """What a row was continued with, and whether its logits were NaN."""

    tokens: list[int]
    nan: bool


@dataclasses.dataclass(frozen=True)
class Rules:
    """What decides about a model's next token.

    Attributes:
        ends: tokens that end a reply.
        penalty: by which the logits of tokens are divided that are there already; 1 for none.
    """

    ends: tuple[int, ...]
    penalty: float = 1.0


class Decoder:
    """Continues rows.

    Args:
        model: of transformers.
        windows: see :class:`~.slots.Memory`.
        rules: what decides about a token.
        prefix: what all rows begin with.
        rows: how many are continued at once.
        length: tokens that each has room for, without what all share.
        limit: most tokens of a reply.
        prefill: most tokens of prompts that are computed together; a longer one is computed alone.
    """

    def __init__(
        self,
        model: Any,
        windows: Sequence[int | None],
        rules: Rules,
        prefix: Prefix,
        *,
        rows: int,
        length: int,
        limit: int,
        prefill: int,
    ) -> None:
        self._model = model
        self._device = model.device
        self._graphs = self._device.type == "cuda"
        self._rules = rules
        self._prefix = prefix
        self._rows = rows
        self._prefill_tokens = prefill
        self._memory = Memory(
            windows, rows, -(-length // 8) * 8, prefix, kernel_on(model.device.type)
        )
        vocabulary = model.config.get_text_config().vocab_size
        self._state = _State(rows, limit, vocabulary, rules.ends, self._device)
        self._captured: dict[tuple[int, int, bool], Any] = {}

    def replies(self, asked: Sequence[Row]) -> Generator[dict[int, Reply]]:
        """Continue rows, and yield by index those that are done, some at a time.

        Args:
            asked: what is continued; the first are begun first.

        Raises:
            Unusable: the model cannot be run in this way.
        """
        import torch

        with attending(self._model, self._memory):
            if not self._prefix.known:
                self._memory.share()
                tokens = self._prefix.tokens
                self._forward(tokens, torch.arange(len(tokens), device=self._device))
                self._prefix.known = True
            yield from self._replies(asked)

    def _replies(self, asked: Sequence[Row]) -> Iterator[dict[int, Reply]]:
        rows, left = self._rows, len(asked)
        waiting = iter(range(left))
        live: dict[int, _Turn] = {}
        while live or left:
            free = [row for row in range(rows) if row not in live]
            # a prompt alone costs a GPU as much as many
            if left and len(free) >= (min(left, -(-rows // 4)) if self._graphs else 1):
                new = {row: _Turn(i, asked[i]) for row, i in zip(free, waiting, strict=False)}
                left -= len(new)
                live |= new
                self._begin(new)
            elif not left:
                rows, live = self._narrow(rows, live)
            every = LOOK if self._graphs else 1
            self._steps(rows, live, min(every, max(turn.left for turn in live.values())))
            done = self._state.done(live)
            for row, reply in done.items():
                if reply.nan:
                    self._memory.wipe(row)
            if done:
                yield {live.pop(row).index: reply for row, reply in done.items()}

    def _begin(self, new: Mapping[int, _Turn]) -> None:
        """Compute the prompts of new rows but their last tokens, which the next step reads."""
        batch: list[tuple[int, Sequence[int]]] = []
        width = 0
        for row, turn in new.items():
            tokens = turn.row.tokens[:-1]
            if not tokens:
                continue
            width = max(width, len(tokens))
            if batch and width * (len(batch) + 1) > self._prefill_tokens:
                self._prefill(batch)
                batch, width = [], len(tokens)
            batch.append((row, tokens))
        if batch:
            self._prefill(batch)
        self._state.begin(new)
        if self._rules.penalty != 1:
            self._state.see(new, self._prefix.tokens)

    def _prefill(self, batch: Sequence[tuple[int, Sequence[int]]]) -> None:
        slots, prompts = zip(*batch, strict=True)
        laid_out = Prompts.of(slots, [len(one) for one in prompts], self._device)
        self._memory.take(laid_out)
        place = laid_out.place + len(self._prefix.tokens)
        self._forward(list(itertools.chain.from_iterable(prompts)), place)

    def _forward(self, tokens: Sequence[int], place: Any) -> None:
        """Compute keys and values of tokens in one row; nobody asks for logits."""
        import numpy as np

        self._call(to_device(np.array(tokens), self._device)[None], place[None])

    def _call(self, ids: Any, positions: Any) -> Any:
        return self._model(
            input_ids=ids,
            position_ids=positions,
            past_key_values=self._memory.cache,
            use_cache=True,
            logits_to_keep=1,
        ).logits[:, -1]

    def _narrow(self, rows: int, live: dict[int, _Turn]) -> tuple[int, dict[int, _Turn]]:
        """Let the last rows take the places of those that are done, where fewer cost less."""
        fewer = len(live)
        if self._graphs:  # few rows cost a GPU as much as some more, and each number a capture
            fewer = max(8, 1 << (fewer - 1).bit_length())
            if fewer > rows // 4 or max(turn.left for turn in live.values()) < LONG:
                return rows, live
        last = [row for row in live if row >= fewer]
        free = [row for row in range(fewer) if row not in live][: len(last)]
        if last:
            self._memory.move(last, free)
            self._state.move(last, free)
        return min(fewer, rows), {
            **{row: turn for row, turn in live.items() if row < fewer},
            **{to: live[row] for row, to in zip(last, free, strict=True)},
        }

    def _steps(self, rows: int, live: Mapping[int, _Turn], count: int) -> None:
        """Take some tokens of every row."""
        drawn = any(turn.row.temperature for turn in live.values())
        width = max(turn.length for turn in live.values()) + count - 1
        left = max(turn.left for turn in live.values())
        for _ in range(count):
            if drawn:
                self._state.draw(live)
            if self._graphs:
                self._replay(rows, width, drawn, left)
            else:
                self._compute(rows, min(width, self._memory.length), drawn)
            for turn in live.values():
                turn.step += 1

    def _replay(self, rows: int, width: int, drawn: bool, left: int) -> None:
        """Take a step by its graph, which is captured if there is none yet."""
        shape = rows, min(self._memory.length, max(WIDTH, 1 << (width - 1).bit_length())), drawn
        graph = self._captured.get(shape)
        if graph is None and self._memory.made and left > WORTH:
            if self._model in _watched:
                graph = self._capture(*shape)
            elif self._waits(*shape):
                self._graphs = False
            else:
                _watched.add(self._model)
                return
        if graph is None:
            self._compute(*shape)
        else:
            graph.replay()

    def _waits(self, rows: int, width: int, drawn: bool) -> bool:
        """Take a step, unless it waits for the GPU, and return whether it does.

        What libraries make at first is made now, where nothing is recorded.
        """
        import torch

        before = torch.cuda.get_sync_debug_mode()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch's, that this is a prototype
            torch.cuda.set_sync_debug_mode("error")
        try:
            self._compute(rows, width, drawn)
        except torch.OutOfMemoryError:
            raise
        except RuntimeError as error:
            if "synchronizing" not in str(error):
                raise
            return True
        finally:
            torch.cuda.set_sync_debug_mode(before)
        return False

    def _capture(self, rows: int, width: int, drawn: bool) -> Any:
        """Record a step, or return None where the model cannot be recorded."""
        import torch

        stream = torch.cuda.current_stream()
        graph = torch.cuda.CUDAGraph()
        try:
            with torch.cuda.graph(graph):
                self._compute(rows, width, drawn)
        except torch.OutOfMemoryError:
            raise
        except RuntimeError:
            # a capture that fails leaves its stream in use, and the generator waiting for its end
            torch.cuda.set_stream(stream)
            generator = torch.cuda.default_generators[self._device.index or 0]
            generator.graphsafe_set_state(generator.clone_state())
            self._graphs = False
            return None
        self._captured[rows, width, drawn] = graph
        return graph

    def _compute(self, rows: int, width: int, drawn: bool) -> None:
        state = self._state
        place = state.place[:rows]
        self._memory.step(rows, width, place)
        positions = place[:, None] + len(self._prefix.tokens)
        logits = self._call(state.token[:rows, None], positions)
        state.advance(rows, logits, self._rules.penalty, drawn)


@dataclasses.dataclass
class _Turn:
    """A row that is being continued; the host knows of it what needs no look at the device."""

    index: int
    row: Row
    step: int = 0

    @property
    def left(self) -> int:
        """Steps after which it is done at the latest."""
        return self.row.limit - self.step

    @property
    def length(self) -> int:
        """Columns that its next step sees."""
        return min(len(self.row.tokens) + self.step, self.row.length)


class _State:
    """What the device knows of the rows.

    Args:
        rows: how many.
        limit: most tokens of a reply.
        vocabulary: how many tokens there are.
        ends: tokens that end a reply.
        device: of torch.
    """

    def __init__(
        self, rows: int, limit: int, vocabulary: int, ends: Sequence[int], device: Any
    ) -> None:
        import torch

        def zeros(*shape: int, dtype: Any = torch.long) -> Any:
            return torch.zeros(shape, dtype=dtype, device=device)

        self.token = zeros(rows)
        self.place = zeros(rows)
        self._count = zeros(rows)
        self._limit = zeros(rows)
        self._live = zeros(rows, dtype=torch.bool)
        self._nan = zeros(rows, dtype=torch.bool)
        self._out = zeros(rows, limit)
        self._temperature = torch.ones(rows, device=device)
        self._vocabulary = vocabulary
        self._noise: Any = None
        self._seen: Any = None
        self._ends = torch.tensor(ends, dtype=torch.long, device=device)

    def begin(self, new: Mapping[int, _Turn]) -> None:
        """Take in new rows, whose prompts are computed but for their last tokens."""
        import numpy as np

        told = [
            (row, turn.row.tokens[-1], len(turn.row.tokens) - 1, turn.row.limit)
            for row, turn in new.items()
        ]
        rows, tokens, places, limits = to_device(np.array(told).T.copy(), self.token.device)
        self.token[rows] = tokens
        self.place[rows] = places
        self._limit[rows] = limits
        self._count[rows] = 0
        self._nan[rows] = False
        self._live[rows] = True
        heat = np.array([turn.row.temperature or 1.0 for turn in new.values()], dtype=np.float32)
        self._temperature[rows] = to_device(heat, rows.device)
        if self._noise is not None:
            self._noise[rows] = 0

    def see(self, new: Mapping[int, _Turn], prefix: Sequence[int]) -> None:
        """Note which tokens stand in new rows."""
        import torch

        if self._seen is None:
            shape = (len(self.token), self._vocabulary)
            self._seen = torch.zeros(shape, dtype=torch.bool, device=self.token.device)
        for row, turn in new.items():
            self._seen[row] = False
            self._seen[row, torch.tensor([*prefix, *turn.row.tokens]).to(self.token.device)] = True

    def draw(self, live: Mapping[int, _Turn]) -> None:
        """Make the next step's noise of the rows that are drawn."""
        import torch

        if self._noise is None:
            shape = (len(self.token), self._vocabulary)
            self._noise = torch.zeros(shape, device=self.token.device)
        for row, turn in live.items():
            if turn.row.temperature and turn.left > 0:
                self._noise[row] = noise(turn.row.seed, turn.step, self._vocabulary)

    def advance(self, rows: int, logits: Any, penalty: float, drawn: bool) -> None:
        """Take the next token of each of the first rows."""
        import torch

        each = torch.arange(rows, device=logits.device)
        live, count, token = self._live[:rows], self._count[:rows], self.token[:rows]
        if penalty != 1:
            logits = logits.float()
            changed = torch.where(logits < 0, logits * penalty, logits / penalty)
            logits = torch.where(self._seen[:rows], changed, logits)
        if drawn:
            logits = logits.float() / self._temperature[:rows, None] + self._noise[:rows]
        top, new = logits.max(dim=-1)  # NaN is the largest
        self._nan[:rows] |= live & top.isnan()
        keep = live & (new[:, None] != self._ends).all(dim=-1)
        column = count.clamp(max=self._out.shape[1] - 1)
        self._out[each, column] = torch.where(keep, new, self._out[each, column])
        if penalty != 1:
            self._seen[each, new] |= keep
        count += keep
        live.copy_(keep & (count < self._limit[:rows]))
        token.copy_(torch.where(live, new, token))
        self.place[:rows] += live

    def done(self, live: Mapping[int, _Turn]) -> dict[int, Reply]:
        """Look which rows are done, and return their replies; this waits for the device."""
        import torch

        told = torch.stack((self._live.long(), self._nan.long(), self._count)).tolist()
        rows = [row for row in live if not told[0][row]]
        if not rows:
            return {}
        tokens = self._out[rows].tolist()
        return {
            row: Reply(one[: told[2][row]], bool(told[1][row]))
            for row, one in zip(rows, tokens, strict=True)
        }

    def move(self, rows: Sequence[int], to: Sequence[int]) -> None:
        """Move some rows to where others were."""
        for each in (
            self.token,
            self.place,
            self._count,
            self._limit,
            self._live,
            self._nan,
            self._out,
            self._temperature,
            self._noise,
            self._seen,
        ):
            if each is not None:
                each[to] = each[rows]
        self._live[rows] = False
