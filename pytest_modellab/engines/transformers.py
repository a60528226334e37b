"""The transformers engine: one causal language model in this process."""

from __future__ import annotations

import contextlib
import copy
import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_modellab.engines import memory
from pytest_modellab.engines.batching import common_prefix, plan, spread
from pytest_modellab.engines.tokens import encode, encode_requests
from pytest_modellab.errors import ModelError
from pytest_modellab.records import Done, GenerationRequest, Output, ScoringRequest, digest

if TYPE_CHECKING:
    import torch

VERSION = 1
"""Raised when scores may change: stored runs of another engine version are run again."""


def load(
    folder: Path,
    *,
    dtype: str = "float32",
    device: str = "cpu",
    inference_mode: bool = True,
    trust_remote_code: bool = False,
    allow_pickle: bool = False,
    cache: Callable[[Any], Any] | None = None,
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
        **options: passed to ``from_pretrained``, for example ``quantization_config``.

    Returns:
        The engine, ready to answer.

    Raises:
        ModelError: transformers is missing or cannot read the folder.
    """
    with quiet():
        try:
            import torch
            from safetensors import SafetensorError
            from transformers import AutoModelForCausalLM, AutoTokenizer
        except ImportError as error:
            raise ModelError(
                f"running a model needs {error.name}: pip install 'pytest-modellab[transformers]'"
            ) from error
        try:
            tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=trust_remote_code)
            model = AutoModelForCausalLM.from_pretrained(
                folder,
                dtype=getattr(torch, dtype),
                device_map=device,
                attn_implementation="sdpa",
                use_safetensors=None if allow_pickle else True,
                trust_remote_code=trust_remote_code,
                **options,
            )
        except (
            ImportError,  # accelerate, or what the model's own code needs
            KeyError,
            OSError,
            RuntimeError,
            SafetensorError,
            ValueError,
        ) as error:
            raise ModelError(f"{folder}: transformers cannot load it: {error}") from error
        except AssertionError as error:  # torch without CUDA; here it would count as a verdict
            raise ModelError(f"{folder}: cannot be put on {device!r}: {error}") from error
    if not tokenizer.chat_template:
        raise ModelError(f"{folder}: the tokenizer has no chat template; add chat_template.jinja")
    return TransformersEngine(model.eval(), tokenizer, inference_mode=inference_mode, cache=cache)


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Silence what libraries log while they load: missing GPU kernels, progress bars."""
    with contextlib.ExitStack() as restore:
        restore.callback(logging.disable, logging.root.manager.disable)
        logging.disable(logging.WARNING)
        with contextlib.suppress(ImportError):
            from transformers.utils import logging as transformers_logging

            if transformers_logging.is_progress_bar_enabled():
                transformers_logging.disable_progress_bar()
                restore.callback(transformers_logging.enable_progress_bar)
        yield


class TransformersEngine:
    """Scores options and generates with a causal language model (see :func:`load`).

    Args:
        model: the model.
        tokenizer: its tokenizer.
        inference_mode: False where the backend only allows ``torch.no_grad``.
        cache: makes an empty key-value cache for a model's config, where it is not the usual one.
            A prompt then shares nothing with others, and options are scored as a reply would be
            written: after the prompt has gone through the cache.
    """

    def __init__(
        self,
        model: Any,
        tokenizer: Any,
        *,
        inference_mode: bool = True,
        cache: Callable[[Any], Any] | None = None,
    ) -> None:
        self.model = model
        self.device: str = model.device.type
        self.tokenizer = tokenizer
        self._inference_mode = inference_mode
        self._own_cache = cache

    def render(self, messages: Sequence[Mapping[str, str]]) -> str:
        """Put chat messages into the model's template, ready for its reply."""
        text = self.tokenizer.apply_chat_template(
            list(messages), tokenize=False, add_generation_prompt=True
        )
        return str(text)

    def parameter_bytes(self) -> int:
        """Bytes of parameters and buffers as they are held in memory."""
        return sum(_held(t) for t in (*self.model.parameters(), *self.model.buffers()))

    def close(self) -> None:
        """Give the memory back at once, whoever else still refers to the model.

        A failed test's traceback keeps the model's modules alive, so they let go of every
        parameter and buffer.
        """
        for module in self.model.modules():
            for tensors in (module._parameters, module._buffers):
                tensors.update(dict.fromkeys(tensors))
        memory.give_back(self.device)

    def score_options(
        self, requests: Sequence[ScoringRequest], *, budget: int, skip: Set[int], done: Done
    ) -> None:
        """Score every option of every request by likelihood.

        All contexts and options of a batch lie in one row without padding. A mask lets a context
        see itself and the shared prefix, and an option its own context and itself, as in tree
        attention (Miao et al. 2024, SpecInfer); so the prefix is computed once for all batches, a
        context once for all its options, and logits only where an option's token is predicted.

        Args:
            requests: contexts in the chat template with their options.
            budget: tokens in a batch.
            skip: indices that need no answer.
            done: called after each batch.

        Raises:
            OutOfMemory: a batch did not fit.
            ScoringError: an option has no token.
        """
        contexts, options = encode_requests(self.tokenizer, requests)
        prefix = 0 if self._own_cache else common_prefix(contexts)
        lengths = [
            len(context) - prefix + sum(len(tokens) - 1 for tokens in row)
            for context, row in zip(contexts, options, strict=True)
        ]
        with self._guarded():
            cache = None
            for batch in spread(plan(lengths, budget, padded=False)):
                if skip >= set(batch):
                    continue
                start = time.perf_counter()
                if cache is None and prefix:
                    cache = self._prefix_cache(contexts[batch[0]][:prefix])
                rows = [(contexts[i][prefix:], options[i]) for i in batch]
                if self._own_cache:
                    logprobs = [self._through_cache(*row) for row in rows]
                else:
                    logprobs = self._packed(rows, prefix, copy.deepcopy(cache))
                seconds = time.perf_counter() - start
                total = sum(lengths[i] for i in batch)
                done(
                    {
                        i: Output(
                            text="",
                            option_logprobs=tuple(values),
                            tokens_in=len(contexts[i]),
                            tokens_out=sum(len(tokens) for tokens in options[i]),
                            seconds=seconds * lengths[i] / total,
                        )
                        for i, values in zip(batch, logprobs, strict=True)
                    }
                )

    def generate(
        self, requests: Sequence[GenerationRequest], *, budget: int, skip: Set[int], done: Done
    ) -> None:
        """Answer every request, with ``model.generate``.

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
        contexts = [encode(self.tokenizer, request.context) for request in requests]
        prefix = 0 if self._own_cache else common_prefix(contexts)
        lengths = [
            len(context) - prefix + request.max_tokens
            for context, request in zip(contexts, requests, strict=True)
        ]
        with self._guarded():
            cache = None
            for batch in spread(plan(lengths, budget, padded=True)):
                if skip >= set(batch):
                    continue
                start = time.perf_counter()
                if cache is None and prefix:
                    cache = self._prefix_cache(contexts[batch[0]][:prefix])
                rows = [(contexts[i], requests[i]) for i in batch]
                replies = self._replies(rows, prefix, cache)
                seconds = time.perf_counter() - start
                total = sum(lengths[i] for i in batch)
                done(
                    {
                        i: Output(
                            text=self.tokenizer.decode(tokens, skip_special_tokens=True),
                            tokens_in=len(contexts[i]),
                            tokens_out=len(tokens),
                            seconds=seconds * lengths[i] / total,
                            failed="the model's logits are NaN" if nan else "",
                        )
                        for i, (tokens, nan) in zip(batch, replies, strict=True)
                    }
                )

    @contextlib.contextmanager
    def _guarded(self) -> Iterator[None]:
        """No gradients, and one exception for the ways in which memory runs out."""
        import torch

        mode = torch.inference_mode() if self._inference_mode else torch.no_grad()
        with memory.running_out(), mode:
            yield

    def _prefix_cache(self, tokens: Sequence[int]) -> Any:
        """Compute keys and values of the shared prefix."""
        import torch
        from transformers import DynamicCache

        config = self.model.config
        cache = self._own_cache(config) if self._own_cache else DynamicCache(config=config)
        ids = torch.tensor([tokens], device=self.model.device)
        self.model(input_ids=ids, past_key_values=cache, use_cache=True, logits_to_keep=1)
        return cache

    def _through_cache(self, context: list[int], options: list[list[int]]) -> list[float]:
        """Return the log-likelihood of every option; see the argument ``cache``.

        The context's last token is computed with the options, so that even an option's first token
        is predicted from what the cache kept.
        """
        past = len(context) - 1
        cache = self._prefix_cache(context[:past]) if past else None
        return self._packed([(context[past:], options)], past, cache)[0]

    def _packed(
        self, rows: Sequence[tuple[list[int], list[list[int]]]], prefix: int, cache: Any
    ) -> list[list[float]]:
        """Return the log-likelihood of every option of every row; see :meth:`score_options`.

        The cache holds the prefix, and is used up.
        """
        import torch

        ids: list[int] = []
        positions: list[int] = []
        sample_of: list[int] = []
        option_of: list[int] = []  # -1 in the context
        predicts: list[int] = []  # position in ``ids`` whose logits predict the target
        targets: list[int] = []
        owner: list[int] = []  # running number of the target's option
        options = 0
        for sample, (context, choices) in enumerate(rows):
            ids += context
            positions += range(prefix, prefix + len(context))
            sample_of += [sample] * len(context)
            option_of += [-1] * len(context)
            last = len(ids) - 1
            for number, tokens in enumerate(choices):
                predicts += [last, *range(len(ids), len(ids) + len(tokens) - 1)]
                targets += tokens
                owner += [options] * len(tokens)
                options += 1
                ids += tokens[:-1]
                begin = prefix + len(context)
                positions += range(begin, begin + len(tokens) - 1)
                sample_of += [sample] * (len(tokens) - 1)
                option_of += [number] * (len(tokens) - 1)

        device, dtype = self.model.device, self.model.dtype
        sample = torch.tensor(sample_of, device=device)
        option = torch.tensor(option_of, device=device)
        order = torch.arange(len(ids), device=device)
        sees = (
            (sample[:, None] == sample[None, :])
            & (order[:, None] >= order[None, :])
            & ((option[None, :] == -1) | (option[:, None] == option[None, :]))
        )
        mask = torch.zeros(len(ids), prefix + len(ids), dtype=dtype, device=device)
        mask[:, prefix:].masked_fill_(~sees, torch.finfo(dtype).min)
        keep, inverse = torch.tensor(predicts, device=device).unique(return_inverse=True)
        logits = self.model(
            input_ids=torch.tensor([ids], device=device),
            position_ids=torch.tensor([positions], device=device),
            attention_mask=mask[None, None],
            past_key_values=cache,
            use_cache=cache is not None,
            logits_to_keep=keep,
        ).logits[0]
        logprobs = torch.log_softmax(logits.float(), dim=-1)
        picked = logprobs[inverse, torch.tensor(targets, device=device)].double()
        sums = torch.zeros(options, dtype=torch.float64, device=device)
        sums.index_add_(0, torch.tensor(owner, device=device), picked)
        values = iter(sums.tolist())
        return [[next(values) for _ in choices] for _, choices in rows]

    def _replies(
        self, rows: Sequence[tuple[list[int], GenerationRequest]], prefix: int, cache: Any
    ) -> list[tuple[list[int], bool]]:
        """Generate; padding stands between the shared prefix and what follows it."""
        import torch
        from transformers import GenerationConfig, LogitsProcessorList

        own = self.model.generation_config
        ends = own.eos_token_id if isinstance(own.eos_token_id, list) else [own.eos_token_id]
        ends = [end for end in ends if end is not None]  # without any, a reply ends at its limit
        pad = own.pad_token_id if own.pad_token_id is not None else (ends or [0])[0]
        width = max(len(context) for context, _ in rows)
        limits = [request.max_tokens for _, request in rows]
        ids = torch.full((len(rows), width), pad)
        seen = torch.zeros_like(ids)
        for row, (context, _) in enumerate(rows):
            rest = len(context) - prefix
            ids[row, :prefix] = torch.tensor(context[:prefix], dtype=ids.dtype)
            ids[row, width - rest :] = torch.tensor(context[prefix:])
            seen[row, :prefix] = 1
            seen[row, width - rest :] = 1
        watch = _NanWatch(len(rows))
        processors = LogitsProcessorList([watch])
        if any(request.temperature > 0 for _, request in rows):
            processors.append(_GumbelNoise([request for _, request in rows], width))
        past = copy.deepcopy(cache)
        if past is not None:
            past.batch_repeat_interleave(len(rows))
        elif self._own_cache:
            past = self._own_cache(self.model.config)
        out = self.model.generate(
            input_ids=ids.to(self.model.device),
            attention_mask=seen.to(self.model.device),
            past_key_values=past,
            logits_processor=processors,
            generation_config=GenerationConfig(
                do_sample=False,
                max_new_tokens=max(limits),
                eos_token_id=ends or None,
                pad_token_id=pad,
            ),
        )
        replies = []
        for row, limit in enumerate(limits):
            tokens = out[row, width : width + limit].tolist()
            end = next((k for k, token in enumerate(tokens) if token in ends), len(tokens))
            replies.append((tokens[:end], watch.seen[row]))
        return replies


def _held(tensor: Any) -> int:
    """Bytes of a tensor; a quantized one says of itself what it replaces, so its parts count."""
    if hasattr(tensor, "__tensor_flatten__"):
        return sum(_held(getattr(tensor, name)) for name in tensor.__tensor_flatten__()[0])
    state = getattr(tensor, "quant_state", None)  # of bitsandbytes: one scale a block
    scales = _held(state.absmax) if state is not None else 0
    return int(tensor.numel() * tensor.element_size()) + scales


class _NanWatch:
    """Notes which rows met a NaN; greedy search would silently pick a token."""

    def __init__(self, rows: int) -> None:
        self.seen = [False] * rows

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        for row in scores.isnan().any(dim=-1).nonzero().flatten().tolist():
            self.seen[row] = True
        return scores


class _GumbelNoise:
    """Makes the largest logit a draw at each request's temperature; see ``generate``."""

    def __init__(self, requests: Sequence[GenerationRequest], width: int) -> None:
        self._requests = requests
        self._width = width

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        import torch

        step = input_ids.shape[1] - self._width
        scores = scores.float()
        for row, request in enumerate(self._requests):
            if request.temperature > 0:
                seed = int(digest([request.seed, step])[:8], 16)  # torch keeps 32 bits of it
                random = torch.Generator().manual_seed(seed)
                exponential = torch.empty(scores.shape[1]).exponential_(generator=random)
                noise = -exponential.log().to(scores.device)
                scores[row] = scores[row] / request.temperature + noise
        return scores
