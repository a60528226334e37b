"""Others on the same model: lm-evaluation-harness, transformers' `generate`, a bare forward."""

from __future__ import annotations

import copy
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pytest_modellab.engines.interface import ScoringRequest

Logprobs = list[tuple[float, ...]]


class Peers:
    """Model and tokenizer as transformers loads them, apart from ours.

    Args:
        folder: what was saved.
        device: ``cpu`` or ``cuda``.
        dtype: name of a torch dtype.
    """

    def __init__(self, folder: Path, device: str, dtype: str) -> None:
        import torch
        from transformers import AutoModelForCausalLM, AutoTokenizer

        self.device = device
        self.tokenizer = AutoTokenizer.from_pretrained(folder)
        if self.tokenizer.pad_token_id is None:
            self.tokenizer.pad_token = self.tokenizer.eos_token
        self.model = AutoModelForCausalLM.from_pretrained(folder, dtype=getattr(torch, dtype)).to(
            device
        )
        self.model.eval()
        self.batch: dict[str, int] = {}

    # --- lm-evaluation-harness: its HFLM, without the arithmetic of a task, which is negligible ---

    def harness(self, batch: int) -> Any:
        """lm-evaluation-harness' language model around this one."""
        from lm_eval.models.huggingface import HFLM

        return HFLM(
            pretrained=self.model, tokenizer=self.tokenizer, batch_size=batch, device=self.device
        )

    def scored(self, requests: Sequence[ScoringRequest], batch: int) -> Logprobs:
        """Log-likelihood of every option, by the harness' public call."""
        values = iter(self.harness(batch).loglikelihood(_instances(requests), disable_tqdm=True))
        return [tuple(float(next(values)[0]) for _ in one.options) for one in requests]

    def written(self, contexts: Sequence[str], limit: int, batch: int) -> list[str]:
        """Greedy replies, by the harness' public call."""
        from lm_eval.api.instance import Instance

        wanted = {"until": [], "max_gen_toks": limit, "do_sample": False}
        asked = [
            Instance(request_type="generate_until", doc={}, arguments=(one, wanted), idx=i)
            for i, one in enumerate(contexts)
        ]
        return list(self.harness(batch).generate_until(asked, disable_tqdm=True))

    def choose(self, what: str, sizes: Sequence[int], run: Any) -> int:
        """Return the batch size, of a few, with which the harness is fastest."""
        taken = dict.fromkeys(sizes, 0.0)
        for size in sizes if len(sizes) > 1 else ():
            run(size)  # what is allocated and compiled once
            begun = time.perf_counter()
            run(size)
            taken[size] = time.perf_counter() - begun
        self.batch[what] = min(taken, key=taken.__getitem__)
        return self.batch[what]

    # --- transformers alone ---

    def generate(self, contexts: Sequence[str], limit: int) -> list[list[int]]:
        """Greedy replies of `generate` in one padded batch, as tokens up to their end."""
        import torch

        ids = [self.tokenizer(one, add_special_tokens=False).input_ids for one in contexts]
        width = max(map(len, ids))
        pad = self.tokenizer.pad_token_id
        rows = torch.tensor([[pad] * (width - len(one)) + one for one in ids]).to(self.device)
        seen = torch.tensor([[0] * (width - len(one)) + [1] * len(one) for one in ids])
        with torch.inference_mode():
            out = self.model.generate(
                input_ids=rows,
                attention_mask=seen.to(self.device),
                do_sample=False,
                max_new_tokens=limit,
                pad_token_id=pad,
            )
        own = self.model.generation_config.eos_token_id
        ends = own if isinstance(own, list) else [own]
        replies = []
        for row in out[:, width:].tolist():
            end = next((k for k, token in enumerate(row) if token in ends), len(row))
            replies.append(row[:end])
        return replies

    def alone(self, requests: Sequence[ScoringRequest]) -> Logprobs:
        """Log-likelihood of every option, one text at a time: what all others approximate."""
        import torch

        found = []
        for request in requests:
            context = self.tokenizer(request.context, add_special_tokens=False).input_ids
            row = []
            for option in request.options:
                tokens = self.tokenizer(option, add_special_tokens=False).input_ids
                ids = torch.tensor([context + tokens[:-1]], device=self.device)
                with torch.inference_mode():
                    logits = self.model(input_ids=ids, logits_to_keep=len(tokens)).logits[0]
                told = logits.float().log_softmax(-1)
                wanted = torch.tensor(tokens, device=self.device)[:, None]
                row.append(float(told.gather(1, wanted).double().sum()))
            found.append(tuple(row))
        return found

    def margins(self, context: str, reply: Sequence[int]) -> list[float]:
        """How far the first choice lies before the second at each token of a reply, in nats."""
        import torch

        ids = self.tokenizer(context, add_special_tokens=False).input_ids
        row = torch.tensor([[*ids, *reply]], device=self.device)
        with torch.inference_mode():
            logits = self.model(input_ids=row, logits_to_keep=len(reply) + 1).logits[0].float()
        best = logits.topk(2, dim=-1).values
        return [float(value) for value in best[:, 0] - best[:, 1]]

    def bare(self, tokens: int, samples: int, kept: int, prefix: int, *, budget: int) -> float:
        """Seconds of a forward of as many tokens, in full rows of one length, and nothing else.

        Args:
            tokens: computed for a sample: its context behind the prefix, and its options.
            samples: how many.
            kept: logits that are computed of each.
            prefix: tokens that all samples see, computed once.
            budget: tokens in a batch.
        """
        import torch
        from transformers import DynamicCache

        rows = max(1, budget // tokens)
        shape = (min(rows, samples), tokens)
        generator = torch.Generator().manual_seed(0)
        ids = torch.randint(1000, 20_000, shape, generator=generator).to(self.device)
        shared = DynamicCache(config=self.model.config)
        with torch.inference_mode():
            if prefix:
                first = ids[:1, :1].expand(1, prefix)
                self.model(input_ids=first, past_key_values=shared, logits_to_keep=1)
            self._synchronize()
            begun = time.perf_counter()
            for start in range(0, samples, shape[0]):
                part, past = ids[: samples - start], None
                if prefix:
                    past = copy.deepcopy(shared)
                    past.batch_repeat_interleave(len(part))
                self.model(
                    input_ids=part,
                    past_key_values=past,
                    use_cache=past is not None,
                    logits_to_keep=kept,
                )
            self._synchronize()
            return time.perf_counter() - begun

    def _synchronize(self) -> None:
        import torch

        if self.device == "cuda":
            torch.cuda.synchronize()


def _instances(requests: Sequence[ScoringRequest]) -> list[Any]:
    from lm_eval.api.instance import Instance

    pairs = [(one.context, option) for one in requests for option in one.options]
    return [
        Instance(request_type="loglikelihood", doc={}, arguments=pair, idx=i)
        for i, pair in enumerate(pairs)
    ]
