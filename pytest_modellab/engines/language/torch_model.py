"""The transformers engine: one causal language model in this process."""

from __future__ import annotations

import contextlib
import functools
import math
from collections.abc import Callable, Iterator, Sequence, Set
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_modellab.engines import memory, modules, state
from pytest_modellab.engines.batching import common_prefix, due, plan, spread
from pytest_modellab.engines.budget import device_budget
from pytest_modellab.engines.interface import (
    Done,
    GenerationRequest,
    ReadingRequest,
    ScoringRequest,
    Texts,
)
from pytest_modellab.engines.language import generating, rolling
from pytest_modellab.engines.language.attention import FLEX, FULL, Masks, Windows
from pytest_modellab.engines.language.base import (
    ChatEngine,
    answer_together,
    load_tokenizer,
)
from pytest_modellab.engines.language.let_go import LetGo
from pytest_modellab.engines.language.logits import gathered, logprobs
from pytest_modellab.engines.language.opening import PROBLEM, load_model
from pytest_modellab.engines.language.packing import Packed, Rows, pack
from pytest_modellab.engines.language.reach import choose, reach, takes, together, windows
from pytest_modellab.engines.language.transfer import continued, to_device
from pytest_modellab.engines.language.trial import TEXT, prefix_cache
from pytest_modellab.engines.loading import quiet, reading
from pytest_modellab.engines.packages import needed
from pytest_modellab.engines.tokens import encode_options, encode_shared
from pytest_modellab.errors import ScoringError
from pytest_modellab.records.runs import Output

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

VERSIONS = {"cpu": 1}
"""By device. Raised when scores may change: stored runs of another version are run again."""

ELSEWHERE = 2
"""The version on every other device, where batches are of another size, and masks of blocks."""

AHEAD = 2
"""Batches that a GPU is given before the answers to the one before them are waited for."""

LOGITS = 1 << 30
"""Most logits of a batch: in bfloat16 2 GB, at a vocabulary of 128,000 tokens 8,192 places."""


def name(device: str) -> str:
    """Return what a fingerprint calls this engine on a device."""
    return f"transformers-{VERSIONS.get(device, ELSEWHERE)}"


def load(
    folder: Path,
    *,
    dtype: str = "float32",
    device: str = "cpu",
    inference_mode: bool = True,
    trust_remote_code: bool = False,
    allow_pickle: bool = False,
    cache: Callable[[Any], Any] | None = None,
    attention: str | None = None,
    **options: Any,
) -> TransformersEngine:
    """Load model and tokenizer.

    Args:
        folder: what ``save_pretrained`` wrote.
        dtype: name of a torch dtype.
        device: ``cpu``, ``cuda`` …
        inference_mode: False where the backend only allows ``torch.no_grad``.
        trust_remote_code: whether the model's own Python code may run.
        allow_pickle: whether pickled weights may be read.
        cache: see :class:`TransformersEngine`.
        attention: what transformers calls ``attn_implementation``; None for the best that is there:
            see :func:`~.reach.choose`. Texts in one row alone are computed by ``flex_attention``.
        **options: passed to ``from_pretrained``, for example ``quantization_config``.

    Returns:
        The engine, ready to answer.

    Raises:
        ModelError: transformers cannot read the folder, or its weights are not all there.
        VariantLoadError: a library, the device or the attention is missing.
    """
    with quiet(), needed("running a model", extra="transformers"):
        tokenizer = load_tokenizer(folder, trust_remote_code=trust_remote_code, problem=PROBLEM)
    model = load_model(
        folder,
        "AutoModelForCausalLM",
        dtype=dtype,
        device=device,
        trust_remote_code=trust_remote_code,
        allow_pickle=allow_pickle,
        attention=attention if attention != FLEX else None,  # replies do without
        **options,
    )
    with reading(folder, PROBLEM):  # its configuration may have windows, and no size of them
        return TransformersEngine(
            model,
            tokenizer,
            inference_mode=inference_mode,
            cache=cache,
            attention=attention,
        )


class TransformersEngine(ChatEngine):
    """Scores options and generates with a causal language model (see :func:`load`).

    Args:
        model: the model.
        tokenizer: its tokenizer.
        inference_mode: False where the backend only allows ``torch.no_grad``.
        cache: makes an empty key-value cache for a model's config, where it is not the usual one.
            A prompt then shares nothing with others, and options are scored as a reply would be
            written: after the prompt has gone through the cache.
        attention: see :func:`load`.
    """

    def __init__(
        self,
        model: Any,
        tokenizer: Any,
        *,
        inference_mode: bool = True,
        cache: Callable[[Any], Any] | None = None,
        attention: str | None = None,
    ) -> None:
        super().__init__(tokenizer)
        self.model = model
        self.device: str = model.device.type
        self._inference_mode = inference_mode
        self._own_cache = cache
        self._attention = attention
        self._said_reach = reach(model.config)

    @property
    def own_cache(self) -> Callable[[Any], Any] | None:
        """What makes an empty key-value cache, where it is not the usual one."""
        return self._own_cache

    @property
    def context_length(self) -> tuple[int, bool]:
        """How many tokens the model sees at once, and whether its configuration says so."""
        return rolling.context_length(self.model.config, self.tokenizer)

    @property
    def window(self) -> int | None:
        """How many tokens the model can see, or None where its configuration sets no limit."""
        return rolling.most_seen(self.model.config, self.tokenizer)

    def beside(self) -> TransformersEngine:
        """Return another engine on the same model, which remembers nothing of this one's work."""
        return type(self)(
            self.model,
            self.tokenizer,
            inference_mode=self._inference_mode,
            cache=self._own_cache,
            attention=self._attention,
        )

    def save(self, folder: Path) -> None:
        """Write model and tokenizer, as a folder that can be loaded."""
        self.model.save_pretrained(folder)
        self.tokenizer.save_pretrained(folder)

    def let_go(self) -> None:
        """Answer no more; the model stays as it is, for others."""
        self.model = LetGo()

    def seed(self, seed: int) -> None:
        """Seed torch."""
        import torch

        torch.manual_seed(seed)

    def token_budget(self) -> int:
        """Most tokens in a batch: what the device's free memory holds."""
        return device_budget(self.model, dense=math.isfinite(self._masks.room(0)))

    def state(self) -> state.State:
        """What the model is: a hash of each of its tensors."""
        return state.hashes(self.model)

    def parameter_bytes(self) -> int:
        """Bytes of parameters and buffers as they are held in memory."""
        return memory.parameter_bytes(self.model)

    def close(self) -> None:
        """Give the memory back at once, whoever else still refers to the model.

        A failed test's traceback keeps the model's modules alive, so they let go of every
        parameter and buffer.
        """
        modules.forget_tensors(self.model.modules())
        memory.give_back(self.device)

    def score_options(
        self, requests: Sequence[ScoringRequest], *, budget: int, skip: Set[int], done: Done
    ) -> None:
        """Score every option of every request by likelihood.

        All contexts and options of a batch lie in one row without padding. A mask lets a context
        see itself and the shared prefix, and an option its own context and itself, as in tree
        attention (Miao et al. 2024, SpecInfer); so the prefix is computed once for all batches, a
        context once for all its options, and logits only where an option's token is predicted.
        Where a text is longer than such a mask reaches, each option is computed alone. On a GPU the
        mask is one of blocks (see :mod:`.attention`).

        Args:
            requests: contexts in the chat template with their options.
            budget: tokens in a batch.
            skip: indices that need no answer.
            done: called after each batch.

        Raises:
            OutOfMemory: a batch did not fit.
            ScoringError: an option has no token.
        """
        leading, rests = encode_shared(self.tokenizer, [request.context for request in requests])
        options = encode_options(self.tokenizer, requests)
        sizes = [len(leading) + len(rest) for rest in rests]
        pairs = zip(sizes, options, strict=True)
        longest = max((size + max(map(len, row)) for size, row in pairs), default=0)
        sight = self._windows(longest)
        own = sight is None or self._own_cache is not None
        more = 0 if own else common_prefix(rests)
        prefix = 0 if own else len(leading) + more
        rows = Rows([(leading if own else []) + rest[more:] for rest in rests], options)
        shared = self._once([leading + rest for rest in rests[:1]], prefix)

        def launch(batch: Sequence[int]) -> Callable[[], list[list[float]]]:
            if sight is not None and not self._own_cache:
                return self._packed(rows.pack(batch, prefix), sight, continued(shared()))
            answered = self._alone if sight is None else self._through_cache
            return lambda: [answered(leading + rests[i], options[i]) for i in batch]

        def output(i: int, values: list[float]) -> Output:
            return Output(
                text="",
                option_logprobs=tuple(values),
                tokens_in=sizes[i],
                tokens_out=sum(map(len, options[i])),
            )

        batches = due(spread(self._plan(rows.lengths, rows.places, budget, prefix)), skip)
        ahead = AHEAD if self.device == "cuda" else 0
        with self._guarded():
            answer_together(batches, rows.lengths, launch, output, done, ahead=ahead)

    def generate(
        self, requests: Sequence[GenerationRequest], *, budget: int, skip: Set[int], done: Done
    ) -> None:
        """Answer every request, as :mod:`.generating` says.

        A temperature above 0 draws by the Gumbel-max trick (Gumbel 1954; Maddison et al. 2014): the
        largest of logits / temperature + Gumbel noise is a draw from the softmax, and noise seeded
        by request and step makes it the same draw in any batch.

        Args:
            requests: contexts in the chat template with their token limits.
            budget: tokens in a batch, padding and reply counted in.
            skip: indices that need no answer.
            done: called after each batch.

        Raises:
            OutOfMemory: a batch did not fit.
        """
        with self._guarded():
            generating.answer(
                self.model,
                self.tokenizer,
                requests,
                reach=self._reach,
                cache=self._own_cache,
                budget=budget,
                skip=skip,
                done=done,
            )

    def predict(
        self, texts: Texts, *, budget: int, skip: Set[int]
    ) -> Iterator[tuple[int, NDArray[np.floating[Any]]]]:
        """Yield, the longest text first, its index and the log-probabilities of what comes next.

        Texts lie in one row without padding, as in :meth:`score_options`.

        Args:
            texts: what is read.
            budget: tokens in a batch.
            skip: indices that are left out.

        Raises:
            OutOfMemory: a batch did not fit.
            ScoringError: the key-value cache is not the usual one.
        """
        if self._own_cache:
            raise ScoringError(
                "its key-value cache is what was changed, and a text that is read at once does not "
                "go through it: judge what it answers"
            )
        places = texts.places
        sight = self._windows(max(map(len, texts.ids), default=0))
        prefix = 0 if sight is None else texts.prefix
        rows = Rows([text[texts.prefix : -1] for text in texts.ids], [()] * len(texts.ids))
        shared = self._once([list(text) for text in texts.ids[:1]], prefix)
        for batch in due(self._plan(texts.lengths, places, budget, prefix), skip):
            with self._guarded():
                if sight is None:
                    found = [self._whole(list(texts.ids[i]), places[i]) for i in batch]
                else:
                    packed = rows.pack(batch, prefix).keeping([places[i] for i in batch])
                    logits = self._row(packed, sight, continued(shared()))
                    found = list(logits.split([places[i] for i in batch]))
                told = [logprobs(one) for one in found]
            yield from ((i, one) for i, one in zip(batch, told, strict=True) if i not in skip)

    def _whole(self, text: list[int], places: int) -> Any:
        """Return the logits behind the last places of a text but its end, by the model's mask."""
        import torch

        ids = torch.tensor([text[:-1]], device=self.model.device)
        return self.model(input_ids=ids, use_cache=False, logits_to_keep=places).logits[0, -places:]

    def read_documents(
        self, requests: Sequence[ReadingRequest], *, budget: int, skip: Set[int], done: Done
    ) -> None:
        """Read every document, as :mod:`.rolling` says.

        Windows that fit the budget together are computed together; a longer one alone, in pieces
        through the cache, but for a model with a state, whose window is computed whole.

        Args:
            requests: documents.
            budget: tokens in a batch.
            skip: indices that need no answer.
            done: called after each batch.

        Raises:
            OutOfMemory: a batch did not fit.
            ScoringError: the model cannot see a window that is asked for.
        """
        from transformers import DynamicCache

        length, known = self.context_length
        piece = rolling.PIECE if self._own_cache else budget if self._reach else None
        cache = self._own_cache or (lambda config: DynamicCache(config=config))

        def score(rows: Sequence[rolling.Window]) -> list[float]:
            together = [[row] for row in rows] if self._own_cache else [rows]
            return [
                value
                for one in together
                for value in rolling.in_torch(self.model, one, piece, cache)
            ]

        with self._guarded():
            rolling.answer(
                self.tokenizer,
                requests,
                length=length,
                known=known,
                budget=budget,
                skip=skip,
                done=done,
                score=score,
            )

    @contextlib.contextmanager
    def _guarded(self) -> Iterator[None]:
        """No gradients, and one exception for the ways in which memory runs out."""
        import torch

        mode = torch.inference_mode() if self._inference_mode else torch.no_grad()
        with memory.running_out(), mode:
            yield

    def _once(self, contexts: Sequence[list[int]], prefix: int) -> Callable[[], Any]:
        """Return what computes the shared prefix when the first batch asks for it."""
        return functools.cache(lambda: self._prefix_cache(contexts[0][:prefix]) if prefix else None)

    def _prefix_cache(self, tokens: Sequence[int]) -> Any:
        """Compute keys and values of the shared prefix."""
        return prefix_cache(self.model, tokens, self._own_cache)

    @functools.cached_property
    def _masks(self) -> Masks:
        """The form of mask in which texts in one row are told apart."""
        with self._guarded():
            return choose(self.model, self._attention)

    @functools.cached_property
    def _reach(self) -> float:
        """How long a text may be that lies in one row with others; 0 where none may."""
        if self._said_reach < TEXT:
            return self._said_reach
        with self._guarded():
            alike = together(self.model, lambda packed, cache: self._row(packed, FULL, cache))
        return self._said_reach if alike else 0

    def _windows(self, longest: int) -> Windows | None:
        """Return how far layers see, or None where texts as long as this must be read alone."""
        if longest <= self._reach:
            return FULL
        return self._own_windows if self._reach and not self._own_cache else None

    @functools.cached_property
    def _own_windows(self) -> Windows | None:
        found = windows(self.model.config)
        if found is None or "" in found:
            return found
        with self._guarded():
            return found if takes(self.model, self._masks, found) else None

    def _plan(
        self, lengths: Sequence[int], places: Sequence[int], budget: int, prefix: int
    ) -> tuple[tuple[int, ...], ...]:
        """Plan batches of which neither masks nor logits are too large."""
        room = min(budget, self._masks.room(prefix))
        most = LOGITS // self.model.config.get_text_config().vocab_size
        return plan(lengths, room, padded=False, places=places, most=most)

    def _through_cache(self, context: list[int], options: list[list[int]]) -> list[float]:
        """Return the log-likelihood of every option; see the argument ``cache``.

        The context's last token is computed with the options, so that even an option's first token
        is predicted from what the cache kept.
        """
        past = len(context) - 1
        cache = self._prefix_cache(context[:past]) if past else None
        return self._packed(pack([(context[past:], options)], past), FULL, cache)()[0]

    def _alone(self, context: list[int], options: list[list[int]]) -> list[float]:
        """Return the log-likelihood of each option, by the model's own mask."""
        return [self._of_one(context, tokens) for tokens in options]

    def _of_one(self, context: list[int], tokens: list[int]) -> float:
        import torch

        past = len(context) - 1 if self._own_cache else 0
        cache = self._prefix_cache(context[:past]) if past else None
        ids = torch.tensor([(context + tokens[:-1])[past:]], device=self.model.device)
        logits = self.model(
            input_ids=ids,
            past_key_values=cache,
            use_cache=cache is not None,
            logits_to_keep=len(tokens),
        ).logits[0, -len(tokens) :]  # some keep all
        logprobs = torch.log_softmax(logits.float(), dim=-1)
        targets = torch.tensor(tokens, device=self.model.device)
        return float(logprobs.gather(1, targets[:, None]).double().sum())

    def _packed(
        self, packed: Packed, sight: Windows, cache: Any
    ) -> Callable[[], list[list[float]]]:
        """Launch a row; see :meth:`score_options`. The cache holds the prefix, and is used up.

        Returns:
            What waits for the log-likelihood of every option of every sample.
        """
        logits = self._row(packed, sight, cache)
        wait = gathered(logits, packed.predicts, packed.targets)
        return lambda: packed.summed(wait())

    def _row(self, packed: Packed, sight: Windows, cache: Any) -> Any:
        """Return the logits of a row of texts, none of which sees another, at its kept places.

        Args:
            packed: the row.
            sight: how far layers see.
            cache: of the shared prefix, which is used up.
        """
        import numpy as np

        device, masks = self.model.device, self._masks
        length = masks.length(len(packed.ids))
        layout = packed.layout.padded(length)
        ids = np.pad(packed.ids, (0, length - len(packed.ids)))
        given = to_device(np.stack([ids, layout.positions]), device)
        with masks.used_by(self.model):
            return self.model(
                input_ids=given[:1],
                position_ids=given[1:],
                attention_mask=masks.of(layout, sight),
                past_key_values=cache,
                use_cache=cache is not None,
                logits_to_keep=to_device(packed.keep, device),
            ).logits[0]
