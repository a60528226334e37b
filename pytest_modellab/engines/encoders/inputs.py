"""How texts become the input of a sentence-transformers model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pytest_modellab.engines.encoders.texts import NO_LIMIT, padded, tokenize


def prepared_by(model: Any, prompt: str, task: str) -> Library | Tokens:
    """Return what prepares texts of a role: fast where that gives what the library would.

    Args:
        model: of sentence-transformers.
        prompt: put before each text, empty for none.
        task: what sentence-transformers calls the role.
    """
    import torch

    library = Library(model, prompt, task)
    limit = model.max_seq_length
    texts = ["a"]
    if limit is not None and limit < NO_LIMIT:
        texts.append("a " * limit)  # is cut off
    expected = library.features(texts)
    tokenizer = model.tokenizer
    if not hasattr(tokenizer, "backend_tokenizer"):
        return library
    fast = Tokens(tokenizer, prompt, task, limit, expected)
    ours = fast.features(fast.prepare(texts)[0])
    same = ours.keys() == expected.keys() and all(
        torch.equal(ours[name], value) if isinstance(value, torch.Tensor) else ours[name] == value
        for name, value in expected.items()
    )
    return fast if same else library


class Library:
    """Prepares texts by sentence-transformers' own ``preprocess``, whatever the model takes."""

    def __init__(self, model: Any, prompt: str, task: str) -> None:
        self.task = task
        self._model = model
        self._prompt = prompt

    def prepare(self, texts: Sequence[str]) -> tuple[Sequence[str], list[int]]:
        """Return the texts and about how many tokens they have: one for four characters."""
        return texts, [1 + len(text) // 4 for text in texts]

    def count(self, texts: Sequence[str]) -> list[int]:
        """Return how many tokens each text has."""
        return [self.features([text])["input_ids"].numel() for text in texts]

    def features(self, rows: Sequence[str]) -> dict[str, Any]:
        """Return the model's input."""
        features = self._model.preprocess(list(rows), prompt=self._prompt, task=self.task)
        return dict(features)


class Tokens:
    """Prepares texts by the tokenizer alone: each is tokenized once, to sort and to compute.

    Args:
        tokenizer: transformers' fast one.
        prompt: put before each text.
        task: what sentence-transformers calls the role.
        limit: most tokens of a text, or None.
        expected: the library's input for any texts: which tensors there are, and what else.
    """

    def __init__(
        self,
        tokenizer: Any,
        prompt: str,
        task: str,
        limit: int | None,
        expected: Mapping[str, Any],
    ) -> None:
        import torch

        self.task = task
        self._tokenizer = tokenizer
        self._prompt = prompt
        self._limit = limit
        self._names = [name for name in expected if isinstance(expected[name], torch.Tensor)]
        self._constants = {name: expected[name] for name in expected if name not in self._names}

    def prepare(self, texts: Sequence[str]) -> tuple[list[list[int]], list[int]]:
        """Return the token ids of each text, and how many they are."""
        backend = self._tokenizer.backend_tokenizer
        backend.no_padding()
        if self._limit is None or self._limit >= NO_LIMIT:
            backend.no_truncation()
        else:
            backend.enable_truncation(self._limit, direction=self._tokenizer.truncation_side)
        rows = tokenize(backend, [self._prompt + text for text in texts])
        return rows, [len(row) for row in rows]

    def count(self, texts: Sequence[str]) -> list[int]:
        """Return how many tokens each text has."""
        return self.prepare(texts)[1]

    def features(self, rows: Sequence[Sequence[int]]) -> dict[str, Any]:
        """Return the model's input."""
        import torch

        left = self._tokenizer.padding_side == "left"
        ids, mask = map(
            torch.from_numpy, padded(rows, self._tokenizer.pad_token_id or 0, left=left)
        )
        tensors = {
            "input_ids": ids,
            "attention_mask": mask,
            "token_type_ids": torch.zeros_like(ids),
        }
        return {name: tensors[name] for name in self._names if name in tensors} | self._constants
