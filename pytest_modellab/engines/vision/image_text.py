"""The transformers engine for language models that look at images."""

from __future__ import annotations

import contextlib
import copy
import functools
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from pathlib import Path
from typing import Any

from pytest_modellab.engines.batching import due, plan, spread
from pytest_modellab.engines.interface import Done, GenerationRequest, ScoringRequest
from pytest_modellab.engines.language import generating, trial
from pytest_modellab.engines.language import torch_model as text_engine
from pytest_modellab.engines.language.attention import FLEX
from pytest_modellab.engines.language.base import NAN, answer_alone
from pytest_modellab.engines.language.opening import PROBLEM, load_model
from pytest_modellab.engines.language.transfer import continued
from pytest_modellab.engines.loading import reading
from pytest_modellab.engines.tokens import encode, encode_all, encode_options
from pytest_modellab.engines.vision import parts, prepared
from pytest_modellab.errors import ModelError, ScoringError
from pytest_modellab.records.media import PLACE, Media, MediaKind
from pytest_modellab.records.runs import Output

VERSION = 1
"""Raised when scores may change: stored runs of another version are run again."""

FAR = 1e-4
"""How far an option's log-likelihood may be from that of the option alone, as a part of it."""

FAR_IN_16_BITS = 0.02
"""The same of a model in bfloat16 or float16."""

BEGINNING = 8
"""Tokens before the first image, from which on they are read apart."""

_Reading = Callable[[Mapping[str, Any]], Any]
"""Reads what a model is given, and returns logits and cache."""

_Answering = Callable[[Mapping[str, Any], Sequence[list[int]]], list[float]]
"""Takes what a model is given and an option's tokens each → their log-likelihoods."""

_MISFIT = frozenset({"image", "features", "tokens"})
"""Words of what transformers says where the two are not equally many."""

_ROWS = frozenset({"DynamicLayer", "DynamicSlidingWindowLayer"})
"""Layers of a key-value cache that hold a row a text."""


def name(device: str) -> str:
    """Return what a fingerprint calls this engine on a device."""
    return f"{text_engine.name(device)}-images-{VERSION}"


def load(
    folder: Path,
    *,
    dtype: str = "float32",
    device: str = "cpu",
    inference_mode: bool = True,
    trust_remote_code: bool = False,
    allow_pickle: bool = False,
    attention: str | None = None,
    processor: Mapping[str, Any] | None = None,
    **options: Any,
) -> ImageTextEngine:
    """Load model and processor.

    Args:
        folder: what ``save_pretrained`` wrote.
        dtype: name of a torch dtype.
        device: ``cpu``, ``cuda`` …
        inference_mode: False where the backend only allows ``torch.no_grad``.
        trust_remote_code: whether the model's own Python code may run.
        allow_pickle: whether pickled weights may be read.
        attention: what transformers calls ``attn_implementation``; None for the best that is there.
        processor: fields of the image processor that are set otherwise.
        **options: passed to ``from_pretrained``, for example ``quantization_config``.

    Returns:
        The engine, ready to answer.

    Raises:
        ModelError: transformers cannot read the folder, or its weights are not all there.
        VariantLoadError: a library, the device or the attention is missing, or the processor has no
            such field.
    """
    made = prepared.load_processor(folder, processor or {}, trust_remote_code=trust_remote_code)
    model = load_model(
        folder,
        "AutoModelForImageTextToText",
        dtype=dtype,
        device=device,
        trust_remote_code=trust_remote_code,
        allow_pickle=allow_pickle,
        attention=attention if attention != FLEX else None,
        **options,
    )
    prepared.check_tokens(made, model, folder)
    with reading(folder, PROBLEM):
        return ImageTextEngine(model, made, inference_mode=inference_mode, attention=attention)


class ImageTextEngine(text_engine.TransformersEngine):
    """Scores options and generates with a language model that looks at images (see :func:`load`).

    Where nobody asks with an image, it is the engine of language models, with its batches. Else
    each request is computed by itself, so that its numbers depend on no other.

    Args:
        model: the model.
        processor: makes tokens and pixels of a text with images.
        inference_mode: False where the backend only allows ``torch.no_grad``.
        attention: see :func:`load`.
    """

    media: frozenset[MediaKind] = frozenset({"image"})

    def __init__(
        self,
        model: Any,
        processor: Any,
        *,
        inference_mode: bool = True,
        attention: str | None = None,
    ) -> None:
        super().__init__(
            model, processor.tokenizer, inference_mode=inference_mode, attention=attention
        )
        self.processor = processor

    def beside(self) -> ImageTextEngine:
        """Return another engine on the same model, which remembers nothing of this one's work."""
        return type(self)(
            self.model,
            self.processor,
            inference_mode=self._inference_mode,
            attention=self._attention,
        )

    def prepare_by(self, changes: Mapping[str, Any]) -> None:
        """Set fields of the image processor otherwise, for this engine alone.

        Raises:
            VariantLoadError: it has no such field, or not such a value.
        """
        self.processor = copy.copy(self.processor)
        self.processor.image_processor = prepared.changed(self.processor.image_processor, changes)

    def save(self, folder: Path) -> None:
        """Write model and processor, as a folder that can be loaded."""
        self.model.save_pretrained(folder)
        self.processor.save_pretrained(folder)

    def borrow(self, part: str, lender: ImageTextEngine) -> None:
        """Take a part of another engine, which gets this one's in exchange.

        Args:
            part: ``preprocessing``, ``vision``, ``connector`` or ``language``.
            lender: the other; it is to be closed.

        Raises:
            VariantLoadError: the part does not fit; the message begins with its name.
        """
        if part == "preprocessing":
            self.processor = copy.copy(self.processor)
            self.processor.image_processor = lender.processor.image_processor
            return
        parts.exchange(self.model, lender.model, part)
        self._inference_mode = self._inference_mode and lender._inference_mode

    # --- text -------------------------------------------------------------------------------------

    def render(self, messages: Sequence[Mapping[str, Any]]) -> str:
        """Put chat messages into the model's template; an image's place becomes its token.

        Raises:
            ModelError: there is no template, it fails, or it shows other images than the messages.
        """
        asked = [{**message, "content": self._content(message["content"])} for message in messages]
        said = super().render(asked)
        token, places = self._token, sum(one["content"].count(PLACE) for one in messages)
        if said.count(token) != places:
            raise ModelError(
                f"the prompt holds {said.count(token)} times {token!r}, which stands for an image, "
                f"and {places} images: take {token!r} out of the text, or mend the chat template"
            )
        return said

    @property
    def _token(self) -> str:
        return prepared.token(self.processor)

    @functools.cached_property
    def _takes_parts(self) -> bool:
        return prepared.takes_parts(self.processor, self.day)

    def _content(self, text: str) -> str | list[dict[str, str]]:
        """Return a message's content as the chat template takes it."""
        if not self._takes_parts:
            return text.replace(PLACE, self._token)
        content: list[dict[str, str]] = []
        for number, piece in enumerate(text.split(PLACE)):
            if number:
                content.append({"type": "image"})
            if piece:
                content.append({"type": "text", "text": piece})
        return content

    # --- how long a request is --------------------------------------------------------------------

    def overlong(self, requests: Sequence[ScoringRequest | GenerationRequest]) -> Mapping[int, str]:
        """Say of each request that is more than the model can see what is wrong with it."""
        found = dict(super().overlong(requests))
        most = self.window
        for index, request in enumerate(requests):
            if most is None or not request.media:
                continue
            shown = sum(map(self._tokens_of, request.media))
            written = len(encode(self.tokenizer, request.context)) - len(request.media)
            answer = _answer(self.tokenizer, request)
            if shown + written + answer - 1 > most:
                found[index] = (
                    f"its images have {shown} tokens, the rest of its prompt {written} and its "
                    f"answer may have {answer}, together more than the {most} that the model sees "
                    "at once"
                )
        return found

    def _tokens_of(self, one: Media) -> int:
        return self._tokens_of_size((one.width, one.height))

    @functools.cached_property
    def _tokens_of_size(self) -> Callable[[tuple[int, int]], int]:
        return functools.cache(lambda size: len(prepared.image_tokens(self.processor, *size)))

    def _due(
        self,
        requests: Sequence[ScoringRequest | GenerationRequest],
        budget: int,
        skip: Set[int],
    ) -> list[tuple[int, ...]]:
        """Plan which answers are told together; how many are is all that it decides."""
        texts = encode_all(self.tokenizer, [one.context for one in requests])
        lengths = [
            len(text) + sum(map(self._tokens_of, one.media))
            for text, one in zip(texts, requests, strict=True)
        ]
        return due(spread(plan(lengths, budget, padded=False)), skip)

    def _inputs(self, request: ScoringRequest | GenerationRequest) -> dict[str, Any]:
        """Return what the model is given of a request's context and images."""
        made = prepared.prepare(self.processor, request.context, request.media)
        return dict(made.to(self.model.device, self.model.dtype))

    # --- answers ----------------------------------------------------------------------------------

    def score_options(
        self, requests: Sequence[ScoringRequest], *, budget: int, skip: Set[int], done: Done
    ) -> None:
        """Score every option of every request by likelihood.

        Images and context go through the model once, behind what stands before the first image,
        which says how likely each option's first token is; the options' other tokens are read
        behind the keys and values that it kept, all options as one batch.

        Args:
            requests: contexts in the chat template with their options and images.
            budget: tokens after which answers are told.
            skip: indices that need no answer.
            done: called with some answers.

        Raises:
            OutOfMemory: a request did not fit.
            ScoringError: an option has no token, or an image cannot be prepared.
        """
        if not any(request.media for request in requests):
            super().score_options(requests, budget=budget, skip=skip, done=done)
            return
        options = encode_options(self.tokenizer, requests)

        def compute(i: int) -> Output:
            inputs = self._inputs(requests[i])
            with _looking(requests[i]):
                values = answered(inputs, options[i])
            return Output(
                text="",
                option_logprobs=tuple(values),
                tokens_in=int(inputs["input_ids"].shape[1]),
                tokens_out=sum(map(len, options[i])),
            )

        with self._guarded():
            tried = next(i for i, request in enumerate(requests) if request.media)
            with _looking(requests[tried]):
                answered = self._way(self._inputs(requests[tried]), options[tried])
            answer_alone(self._due(requests, budget, skip), compute, done)

    def generate(
        self, requests: Sequence[GenerationRequest], *, budget: int, skip: Set[int], done: Done
    ) -> None:
        """Answer every request by the model's own ``generate``, one at a time.

        Args:
            requests: contexts in the chat template with their token limits and images.
            budget: tokens after which answers are told.
            skip: indices that need no answer.
            done: called with some answers.

        Raises:
            OutOfMemory: a request did not fit.
            ScoringError: an image cannot be prepared.
        """
        if not any(request.media for request in requests):
            super().generate(requests, budget=budget, skip=skip, done=done)
            return

        def compute(i: int) -> Output:
            inputs = self._inputs(requests[i])
            with _looking(requests[i]):
                (reply,) = generating.written(self.model, inputs, [requests[i]])
            return Output(
                text=self.tokenizer.decode(reply.tokens, skip_special_tokens=True),
                tokens_in=int(inputs["input_ids"].shape[1]),
                tokens_out=len(reply.tokens),
                failed=NAN if reply.nan else "",
            )

        with self._guarded():
            answer_alone(self._due(requests, budget, skip), compute, done)

    def _way(self, inputs: Mapping[str, Any], options: Sequence[list[int]]) -> _Answering:
        """Return how options are read: the first way that says what each option alone says.

        Args:
            inputs: of the request that is tried.
            options: its options.
        """
        import torch
        from transformers import DynamicCache

        layers = {type(layer).__name__ for layer in DynamicCache(config=self.model.config).layers}
        wanted = self._each(inputs, options)
        for read in (self._behind_beginnings(), self._at_once) if layers <= _ROWS else ():
            way = functools.partial(self._together, read)
            try:
                found = way(inputs, options)
            except (torch.OutOfMemoryError, MemoryError):
                raise
            except trial.REFUSALS:
                continue
            far = FAR if self.model.dtype.itemsize > 2 else FAR_IN_16_BITS
            pairs = zip(found, wanted, strict=True)
            if not any(abs(one - alone) > far * (1 + abs(alone)) for one, alone in pairs):
                return way  # a NaN is told by its answer
        return self._each

    def _at_once(self, inputs: Mapping[str, Any]) -> Any:
        """Read images and context in one pass, whose cache goes on."""
        return self.model(**inputs, use_cache=True, logits_to_keep=1)

    def _behind_beginnings(self) -> _Reading:
        """Return what reads images and context behind what stands before the first image.

        That is often the same for all samples, and then read once: by its own tokens, so that a
        sample's numbers depend on no other. A model that is told of each token whether it is an
        image's sees images both ways, and reads all at once.
        """
        import torch
        from transformers import DynamicCache

        token = getattr(self.model.config, "image_token_id", None)

        @functools.lru_cache(maxsize=4)
        def beginning(tokens: tuple[int, ...]) -> Any:
            kept = DynamicCache(config=self.model.config)
            ids = torch.tensor([tokens], device=self.model.device)
            self.model(input_ids=ids, past_key_values=kept, use_cache=True, logits_to_keep=1)
            return kept

        def read(inputs: Mapping[str, Any]) -> Any:
            ids = inputs["input_ids"]
            places = (ids[0] == token).nonzero() if token is not None else ids.new_zeros(0)
            count = int(places[0]) if len(places) else 0
            alike = {key for key, value in inputs.items() if value.shape == ids.shape}
            if count < BEGINNING or alike != {"input_ids", "attention_mask"}:
                return self._at_once(inputs)
            past = continued(beginning(tuple(ids[0, :count].tolist())))
            return self._at_once({**inputs, "input_ids": ids[:, count:], "past_key_values": past})

        return read

    def _together(
        self, read: _Reading, inputs: Mapping[str, Any], options: Sequence[list[int]]
    ) -> list[float]:
        """Return the log-likelihood of every option, image and context read once."""
        import torch

        context = read(inputs)
        first = torch.log_softmax(context.logits[0, -1].float(), dim=-1)
        values = [float(first[tokens[0]]) for tokens in options]
        longer = [k for k, tokens in enumerate(options) if len(tokens) > 1]
        if not longer:
            return values
        width = max(len(options[k]) for k in longer) - 1
        rows = [options[k][:-1] + [0] * (width + 1 - len(options[k])) for k in longer]
        ids = torch.tensor(rows, device=self.model.device)
        past = context.past_key_values
        seen = ids.new_ones(len(rows), past.get_seq_length() + width)  # what is padding comes last
        past.batch_repeat_interleave(len(rows))
        logits = self.model(
            input_ids=ids, attention_mask=seen, past_key_values=past, use_cache=True
        ).logits
        for row, k in enumerate(longer):
            rest = options[k][1:]
            values[k] += _summed(logits[row, : len(rest)], rest)
        return values

    def _each(self, inputs: Mapping[str, Any], options: Sequence[list[int]]) -> list[float]:
        """Return the log-likelihood of each option alone, images and context read again."""
        values = []
        for tokens in options:
            logits = self.model(
                **_followed(inputs, tokens[:-1]), use_cache=False, logits_to_keep=len(tokens)
            ).logits
            values.append(_summed(logits[0, -len(tokens) :], tokens))
        return values


@contextlib.contextmanager
def _looking(request: ScoringRequest | GenerationRequest) -> Iterator[None]:
    """Say which images a model cannot take as its processor has prepared them.

    Raises:
        ScoringError: in place of the model's own error.
    """
    try:
        yield
    except (RuntimeError, ValueError) as error:
        if not {*str(error).lower().replace(",", " ").split()} >= _MISFIT:
            raise
        named = ", ".join(Path(one.path).name for one in request.media)
        raise ScoringError(
            f"{named}: the model does not make as many vectors of it as its processor keeps places "
            f"for ({error}): set 'size' as the model was trained with it"
        ) from error


def _summed(logits: Any, tokens: Sequence[int]) -> float:
    """Return the log-likelihood of tokens, each predicted by a row of logits."""
    import torch

    told = torch.log_softmax(logits.float(), dim=-1)
    targets = torch.tensor(tokens, device=logits.device)
    return float(told.gather(1, targets[:, None]).double().sum())


def _followed(inputs: Mapping[str, Any], tokens: Sequence[int]) -> dict[str, Any]:
    """Return a model's inputs with some tokens of text behind them."""
    import torch

    ids = inputs["input_ids"]
    more = ids.new_tensor([tokens]).reshape(1, -1)
    found = dict(inputs)
    for key, value in inputs.items():
        if isinstance(value, torch.Tensor) and value.shape == ids.shape:
            filled = {"input_ids": more, "attention_mask": torch.ones_like(more)}
            end = filled.get(key, torch.zeros_like(more))  # types of tokens: 0 is text
            found[key] = torch.cat([value, end.to(value.dtype)], dim=1)
    return found


def _answer(tokenizer: Any, request: ScoringRequest | GenerationRequest) -> int:
    """Return how many tokens an answer may have."""
    if isinstance(request, GenerationRequest):
        return request.max_tokens
    return max((len(encode(tokenizer, option)) for option in request.options), default=0)
