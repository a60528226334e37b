"""Multiple choice by likelihood."""

from __future__ import annotations

import math

from pytest_modellab.errors import Unscorable
from pytest_modellab.records.runs import Output
from pytest_modellab.records.tasks import Sample


class MultipleChoice:
    """1 where the right option has strictly the highest length-normalized log-likelihood.

    Each option is scored as the whole reply; its log-likelihood is divided by its length in UTF-8
    bytes, which does not depend on the tokenizer (lm-evaluation-harness' ``acc_norm``; Gao 2021,
    "Multiple Choice Normalization in LM Evaluation"). Options that tie are not counted right.
    Range [0, 1], higher is better.
    """

    name = "choice"
    version = 1
    likelihood = True

    def check(self, sample: Sample) -> str | None:
        if len(sample.choices) < 2:
            return "choices: the scorer 'choice' needs at least two"
        if len(set(sample.choices)) < len(sample.choices):
            return "choices: two are equal"
        if not all(sample.choices):
            return "choices: one is empty, and an option without a byte has no likelihood a byte"
        if not isinstance(sample.target, int) or not 0 <= sample.target < len(sample.choices):
            return (
                f"target: {sample.target!r} is not the index of one of "
                f"{len(sample.choices)} choices (0 to {len(sample.choices) - 1})"
            )
        return None

    def score(self, sample: Sample, output: Output) -> tuple[float, str]:
        """Score one sample.

        Args:
            sample: multiple choice; ``target`` is the right option's index.
            output: holds one natural-log likelihood an option.

        Returns:
            1.0 or 0.0, and the option that the variant prefers.

        Raises:
            Unscorable: a likelihood is NaN.
        """
        per_byte = [
            logprob / len(option.encode())
            for logprob, option in zip(output.option_logprobs, sample.choices, strict=True)
        ]
        if any(math.isnan(value) for value in per_byte):
            raise Unscorable(f"sample {sample.id!r}: the model's likelihood is NaN")
        best = max(range(len(per_byte)), key=per_byte.__getitem__)
        unique = sum(value == per_byte[best] for value in per_byte) == 1
        return float(unique and best == sample.target), sample.choices[best]
