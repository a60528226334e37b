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
from pytest_modellab.engines.language import generating
from pytest_modellab.engines.language import torch_model as text_engine
from pytest_modellab.engines.language.attention import FLEX
from pytest_modellab.engines.language.base import NAN, answer_alone
from pytest_modellab.engines.language.opening import PROBLEM, load_model
from pytest_modellab.engines.loading import reading
from pytest_modellab.engines.tokens import encode, encode_all, encode_options
from pytest_modellab.engines.vision import parts, prepared, reading_options
from pytest_modellab.errors import ModelError, ScoringError
from pytest_modellab.records.media import PLACE, Media, MediaKind
from pytest_modellab.records.runs import Output

VERSION = 1
"""Raised when scores may change: stored runs of another version are run again."""

_MISFIT = frozenset({"image", "features", "tokens"})
"""Words of what transformers says where the two are not equally many."""


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
            tried = []
            for i in self._telling(requests, options):
                inputs = self._inputs(requests[i])
                with _looking(requests[i]):
                    alone = reading_options.each(self.model, inputs, options[i])
                tried.append((inputs, options[i], alone))
            answered = reading_options.way(self.model, tried)
            answer_alone(self._due(requests, budget, skip), compute, done)

    def _telling(
        self, requests: Sequence[ScoringRequest], options: Sequence[Sequence[list[int]]]
    ) -> list[int]:
        """Return the requests that a way of reading is tried with, where it can be wrong most.

        One has the longest option, one has most before its first image.
        """
        shown = [i for i, request in enumerate(requests) if request.media]
        longest = max(shown, key=lambda i: max(map(len, options[i])))
        latest = max(shown, key=lambda i: requests[i].context.find(self._token))
        return list(dict.fromkeys((longest, latest)))

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


def _answer(tokenizer: Any, request: ScoringRequest | GenerationRequest) -> int:
    """Return how many tokens an answer may have."""
    if isinstance(request, GenerationRequest):
        return request.max_tokens
    return max((len(encode(tokenizer, option)) for option in request.options), default=0)
