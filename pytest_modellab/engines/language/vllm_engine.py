"""The engine of vLLM: a model, and adapters on it, computed by what serves them.

vLLM tells how likely chosen tokens are to come next (``logprob_token_ids``), so options are scored
token after token: what stands before each of them is a request, and what requests have in common is
computed once and kept in blocks. ``prompt_logprobs`` would tell of a whole option at once, but
vLLM computes such a prompt anew.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence, Set
from pathlib import Path
from typing import Any

from pytest_modellab.engines.batching import due, plan
from pytest_modellab.engines.budget import DEFAULT_BUDGET, LARGEST
from pytest_modellab.engines.interface import (
    WORDS,
    Ability,
    Done,
    GenerationRequest,
    ScoringRequest,
)
from pytest_modellab.engines.language import generating, vllm_opening
from pytest_modellab.engines.language.base import (
    NAN,
    ChatEngine,
    answer_together,
    at_once,
    load_tokenizer,
)
from pytest_modellab.engines.language.let_go import LetGo
from pytest_modellab.engines.loading import quiet, reading
from pytest_modellab.engines.packages import needed
from pytest_modellab.engines.tokens import encode_all, encode_requests
from pytest_modellab.errors import VariantLoadError
from pytest_modellab.records.runs import Output

VERSION = 1
"""Raised when scores may change: stored runs of another engine version are run again."""

NAME = f"vllm-{VERSION}"

MOST_TOLD = 128
"""Tokens whose likelihood vLLM tells in one request."""

Place = tuple[int, ...]
"""The tokens of an option that stand before one of its tokens."""


def load(
    folder: Path,
    *,
    dtype: str = "float32",
    device: str = "cpu",
    rank: int = vllm_opening.RANK,
    trust_remote_code: bool = False,
    allow_pickle: bool = False,
) -> VllmEngine:
    """Load a model.

    Args:
        folder: what ``save_pretrained`` wrote.
        dtype: name of a torch dtype.
        device: ``cpu`` or ``cuda``.
        rank: of the adapters that there is to be room for.
        trust_remote_code: whether the model's own Python code may run.
        allow_pickle: whether pickled weights may be read.

    Returns:
        The engine, ready to answer.

    Raises:
        ModelError: vLLM cannot read the folder, or has no room for it.
        VariantLoadError: vLLM is missing, too old, or built for another device; or the model's
            replies follow rules that it is not told.
    """
    with quiet(), needed("an engine of vLLM", extra="vllm"):
        tokenizer = load_tokenizer(folder, trust_remote_code=trust_remote_code)
        with reading(folder, vllm_opening.PROBLEM):
            rules = _rules(folder, trust_remote_code=trust_remote_code)
    running = vllm_opening.load(
        folder,
        dtype=dtype,
        device=device,
        rank=rank,
        trust_remote_code=trust_remote_code,
        allow_pickle=allow_pickle,
    )
    return VllmEngine(running, tokenizer, rules, folder)


def _rules(folder: Path, *, trust_remote_code: bool) -> Any:
    """Return a model's generation configuration.

    Raises:
        VariantLoadError: it changes replies by what vLLM is not told.
    """
    from transformers import AutoConfig, GenerationConfig

    if (folder / "generation_config.json").is_file():
        found = GenerationConfig.from_pretrained(folder)
    else:
        config = AutoConfig.from_pretrained(folder, trust_remote_code=trust_remote_code)
        found = GenerationConfig.from_model_config(config)
    if changed := generating.changes(found):
        raise VariantLoadError(
            f"{folder / 'generation_config.json'}: {changed[0]} changes what a reply is, and vLLM "
            "is not told it here; take it out where it is not meant, or leave engine out"
        )
    return found


class VllmEngine(ChatEngine):
    """Scores options and generates with vLLM (see :func:`load`).

    Args:
        running: vLLM with the model.
        tokenizer: the model's, of transformers.
        generation_config: the model's; says where its replies end.
        folder: the model's.
        adapter: what answers in the model's place, as vLLM knows it, or None.
    """

    abilities: frozenset[Ability] = WORDS

    def __init__(
        self,
        running: vllm_opening.Running,
        tokenizer: Any,
        generation_config: Any,
        folder: Path,
        adapter: Any = None,
    ) -> None:
        super().__init__(tokenizer)
        self.generation_config = generation_config
        self._running: Any = running
        self.folder = folder
        self._adapter = adapter
        self._tokens = self._reused = 0

    @property
    def window(self) -> int:
        """How many tokens it sees; vLLM counts the one that is asked for, too."""
        return int(self._running.length) - 1

    def beside(self, adapter: Path | None = None) -> VllmEngine:
        """Return another engine on the same model, as it is or with an adapter.

        Args:
            adapter: of PEFT.

        Raises:
            VariantLoadError: vLLM does not take it.
        """
        if adapter is not None and not self._running.adapts:
            raise VariantLoadError(
                f"the adapter {adapter}: vLLM takes none for a model of this type; add it to the "
                "weights (merge = true), or leave engine out"
            )
        on = self._running.put_on(adapter) if adapter is not None else None
        return type(self)(self._running, self.tokenizer, self.generation_config, self.folder, on)

    def let_go(self) -> None:
        """Answer no more; the model stays as it is, for others."""
        if self._adapter is not None:
            self._running.take_off(self._adapter)
        self._running, self._adapter = LetGo(), None

    def token_budget(self) -> int:
        """Most tokens that are asked at once; vLLM makes its own batches of them."""
        return LARGEST if self._running.device == "cuda" else DEFAULT_BUDGET

    def parameter_bytes(self) -> int:
        """Bytes of the weights' files."""
        files = [*self.folder.glob("*.safetensors"), *self.folder.glob("*.bin")]
        return sum(file.stat().st_size for file in files)

    def probes(self) -> Mapping[str, float]:
        """Tell which share of prompts' tokens was there already, since this was last asked."""
        tokens, reused = self._tokens, self._reused
        self._tokens = self._reused = 0
        return {"prefix_reused": round(reused / tokens, 4)} if tokens else {}

    def close(self) -> None:
        """Give the memory back at once, whoever else still refers to the engine."""
        self._running.close()

    def score_options(
        self, requests: Sequence[ScoringRequest], *, budget: int, skip: Set[int], done: Done
    ) -> None:
        """Score every option of every request by likelihood.

        What stands before a token of an option is a request of its own, one for all options that
        begin alike; the context comes first, so that those behind it find it computed.

        Args:
            requests: contexts in the chat template with their options.
            budget: tokens that are asked at once.
            skip: indices that need no answer.
            done: called after each batch.

        Raises:
            ScoringError: an option has no token.
        """
        contexts, options = encode_requests(self.tokenizer, requests)
        lengths = [
            len(context) + sum(map(len, row))
            for context, row in zip(contexts, options, strict=True)
        ]

        def compute(batch: Sequence[int]) -> list[tuple[float, ...]]:
            asked = [(i, *one) for i in batch for one in questions(options[i])]
            answers = self._ask(
                [[*contexts[i], *before] for i, before, _ in asked],
                [{"max_tokens": 1, "logprob_token_ids": wanted} for _, _, wanted in asked],
            )
            told: dict[int, dict[tuple[Place, int], float]] = {i: {} for i in batch}
            for (i, before, wanted), answer in zip(asked, answers, strict=True):
                found = answer.outputs[0].logprobs[0]
                told[i].update({(before, token): found[token].logprob for token in wanted})
            return [tuple(likelihood(option, told[i]) for option in options[i]) for i in batch]

        def output(i: int, values: tuple[float, ...]) -> Output:
            return Output(
                text="",
                option_logprobs=values,
                tokens_in=len(contexts[i]),
                tokens_out=sum(map(len, options[i])),
            )

        batches = due(plan(lengths, budget, padded=False), skip)
        answer_together(batches, lengths, at_once(compute), output, done)

    def generate(
        self, requests: Sequence[GenerationRequest], *, budget: int, skip: Set[int], done: Done
    ) -> None:
        """Answer every request, greedily or with seeded draws from the model's distribution.

        Args:
            requests: contexts in the chat template with their token limits.
            budget: tokens that are asked at once.
            skip: indices that need no answer.
            done: called after each batch.
        """
        contexts = encode_all(self.tokenizer, [request.context for request in requests])
        ends = list(generating.ends(self.generation_config))
        penalty = self.generation_config.repetition_penalty or 1.0
        lengths = [
            len(context) + request.max_tokens
            for context, request in zip(contexts, requests, strict=True)
        ]

        def compute(batch: Sequence[int]) -> list[Any]:
            settings = [
                {
                    "max_tokens": max(requests[i].max_tokens, 1),
                    "temperature": requests[i].temperature,
                    "seed": requests[i].seed % 2**31,
                    "repetition_penalty": penalty,
                    "stop_token_ids": ends,
                    "logprobs": 0,
                }
                for i in batch
            ]
            answers = self._ask([contexts[i] for i in batch], settings)
            return [answer.outputs[0] for answer in answers]

        def output(i: int, reply: Any) -> Output:
            tokens = [*reply.token_ids][: requests[i].max_tokens]
            if tokens and tokens[-1] in ends:
                tokens.pop()
            nan = any(math.isnan(one.logprob) for step in reply.logprobs for one in step.values())
            return Output(
                text=self.tokenizer.decode(tokens, skip_special_tokens=True),
                tokens_in=len(contexts[i]),
                tokens_out=len(tokens),
                failed=NAN if nan else "",
            )

        batches = due(plan(lengths, budget, padded=True), skip)
        answer_together(batches, lengths, at_once(compute), output, done)

    def _ask(
        self, prompts: Sequence[Sequence[int]], settings: Sequence[Mapping[str, Any]]
    ) -> list[Any]:
        from vllm import SamplingParams

        plain = {"temperature": 0.0, "detokenize": False}
        answers: list[Any] = self._running.ask(
            prompts, [SamplingParams(**{**plain, **one}) for one in settings], self._adapter
        )
        self._tokens += sum(map(len, prompts))
        self._reused += sum(answer.num_cached_tokens or 0 for answer in answers)
        return answers


def questions(options: Sequence[Sequence[int]]) -> list[tuple[Place, list[int]]]:
    """Return what must be asked to know how likely each option is.

    Args:
        options: token ids of each.

    Returns:
        What stands before a token, the shortest of an option first, and the tokens whose likelihood
        there is wanted; at most :data:`MOST_TOLD` at once.
    """
    wanted: dict[Place, dict[int, None]] = {}
    for option in options:
        for place, token in enumerate(option):
            wanted.setdefault(tuple(option[:place]), {})[token] = None
    return [
        (before, [*tokens][start : start + MOST_TOLD])
        for before, tokens in wanted.items()
        for start in range(0, len(tokens), MOST_TOLD)
    ]


def likelihood(option: Sequence[int], told: Mapping[tuple[Place, int], float]) -> float:
    """Add up how likely each token of an option is behind those before it."""
    return math.fsum(told[tuple(option[:place]), token] for place, token in enumerate(option))
