"""Figures of a tokenizer, by hand."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import tiny

from pytest_modellab.errors import DiagnosisError
from pytest_modellab.observatory import tokens

pytest.importorskip("transformers")


def test_figures_of_a_group_and_of_a_language() -> None:
    found = tokens.measure(tiny.tokenizer(), {"words": ["the the", "ü a"], "none": []})

    words = found.rows[0]
    assert (words.name, words.texts) == ("words", 2)
    # the| the, and two bytes of ü | a
    assert words.bytes_per_token == pytest.approx(11 / 5)
    assert words.tokens_per_word == pytest.approx(5 / 4)
    assert words.bytes == pytest.approx(2 / 5)
    assert (words.unknown, words.lost, words.parity) == (0, 0, None)
    by_language = {row.name: row.parity for row in found.rows[1:]}
    assert list(by_language) == list(tokens.PARALLEL)
    assert by_language["English"] == 1
    assert (by_language["Arabic"] or 0) > 1.2
    assert found.size == 265
    assert found.overlap is None


def test_a_tokenizer_that_changes_texts_and_shares_a_part_of_its_vocabulary() -> None:
    def lower(content: dict[str, object]) -> None:
        content["normalizer"] = {"type": "Lowercase"}

    def smaller(content: dict[str, dict[str, dict[str, int]]]) -> None:
        del content["model"]["vocab"]["er"]
        content["model"]["merges"] = []  # type: ignore[assignment]

    found = tokens.measure(tiny.tokenizer(lower), {"g": ["Aa", "a"]}, tiny.tokenizer(smaller))

    assert found.rows[0].lost == 1
    assert found.overlap == pytest.approx(264 / 265)
    assert tokens.words(found)[-1] == "99.6% of its vocabulary stands in the other's, too"


def test_efficiency_is_the_entropy_beside_that_of_equal_tokens() -> None:
    assert tokens.efficiency([5] * 8, 8) == pytest.approx(1)
    assert tokens.efficiency([7], 8) == pytest.approx(0)
    power = (3 / 4) ** 2.5 + (1 / 4) ** 2.5
    assert tokens.efficiency([3, 1], 16) == pytest.approx(math.log(power) / -1.5 / math.log(16))
    assert tokens.efficiency([], 8) == 0


def test_glitch_candidates_are_the_lowest_per_mille() -> None:
    norms = [1.0] * 2000
    norms[7] = norms[900] = 0.1

    assert tokens.rare_rows(norms) == (7, 900)
    assert tokens.rare_rows([]) == ()


def test_norms_are_of_the_embedding_in_the_folder(tmp_path: Path) -> None:
    model = tiny.llama()
    model.save_pretrained(tmp_path)

    rows = model.model.embed_tokens.weight.detach()
    assert tokens.norms(tmp_path) == pytest.approx([float(one.norm()) for one in rows])
    assert tokens.norms(tmp_path / "none") == []
    (tmp_path / "a.safetensors").write_bytes(b"no")
    with pytest.raises(DiagnosisError, match="is no file of safetensors"):
        tokens.norms(tmp_path)


def test_a_text_that_cannot_be_encoded_is_told() -> None:
    class Refusing:
        def __call__(self, text: str, add_special_tokens: bool) -> None:
            raise ValueError("no")

    with pytest.raises(DiagnosisError, match="cannot encode a text: ValueError: no"):
        tokens.measure(Refusing(), {"g": ["a"]})
