"""Texts are cut into the tokens that they have whole, however many are encoded together."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_modellab.engines import tokens
from pytest_modellab.engines.interface import ScoringRequest
from pytest_modellab.engines.tokens import encode, encode_all, encode_requests, encode_shared
from pytest_modellab.errors import ScoringError

pytest.importorskip("transformers")

WORDS = ["the", " the", "them", "\n", "  ", "é", "e\u0301", "…", "<|", "|>", "<a>", "<a", " <b> "]
WORDS += ["<|im_start|>", "<|im_end|>", "<|im_start|>user\n", "<|im", "▁", "1", "23", "'s", "x<a>y"]
text = st.lists(st.sampled_from(WORDS), max_size=12).map("".join)


def byte_level(added: list[Any]) -> Any:
    from tokenizers import Tokenizer, models, pre_tokenizers

    symbols = [*sorted(pre_tokenizers.ByteLevel.alphabet()), "th", "the", "Ġt", "<|", "Ċ<"]
    merges = [("t", "h"), ("th", "e"), ("Ġ", "t"), ("<", "|"), ("Ċ", "<")]
    made = Tokenizer(models.BPE({s: i for i, s in enumerate(symbols)}, merges))
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    return _finished(made, added)


def unigram(added: list[Any]) -> Any:
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers

    pieces = [("<unk>", 0.0), ("▁", -1.0), ("the", -1.5), ("▁the", -1.2), ("m", -3.0), ("x", -3.0)]
    made = Tokenizer(models.Unigram(pieces, unk_id=0, byte_fallback=False))
    made.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Prepend("x")])
    made.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first")
    return _finished(made, added)


def word_pieces(added: list[Any]) -> Any:
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers

    words = ["[UNK]", "the", "them", "##m", "t", "##he", "1", "2", "##3", "<", ">", "|", "a"]
    made = Tokenizer(models.WordPiece({w: i for i, w in enumerate(words)}, unk_token="[UNK]"))
    made.normalizer = normalizers.BertNormalizer()
    made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    return _finished(made, added)


def _finished(made: Any, added: list[Any]) -> Any:
    from transformers import PreTrainedTokenizerFast

    made.add_special_tokens(added)
    return PreTrainedTokenizerFast(tokenizer_object=made)


def tokens_of(**changes: bool) -> list[Any]:
    from tokenizers import AddedToken

    usual = {"special": True, "normalized": False}
    marks = ("<|im_start|>", "<|im_end|>")
    return [
        *(AddedToken(mark, **usual) for mark in marks),
        AddedToken("<a>", **{**usual, **changes}),
        AddedToken("<|im_start|>user", **usual),
    ]


MAKERS: dict[str, Callable[[], Any]] = {
    "byte-level": lambda: byte_level(tokens_of()),
    "unigram": lambda: unigram(tokens_of()),
    "word pieces": lambda: word_pieces(tokens_of()),
    "spaces before": lambda: byte_level(tokens_of(lstrip=True)),
    "spaces behind": lambda: unigram(tokens_of(rstrip=True)),
    "whole words": lambda: byte_level(tokens_of(single_word=True)),
    "normalized": lambda: unigram(tokens_of(normalized=True)),
    "none added": lambda: byte_level([]),
}


@pytest.fixture(scope="module", params=MAKERS)
def tokenizer(request: pytest.FixtureRequest) -> Any:
    return MAKERS[request.param]()


@settings(max_examples=60)
@given(shared=text, rests=st.lists(text, max_size=4))
def test_tokens_are_those_of_each_whole_text(tokenizer: Any, shared: str, rests: list[str]) -> None:
    texts = [shared + rest for rest in rests]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tokens, "WORTH_A_CUT", 1)
        assert encode_all(tokenizer, texts) == [encode(tokenizer, text) for text in texts]


def test_what_texts_share_is_encoded_once() -> None:
    tokenizer = MAKERS["byte-level"]()
    system = "<|im_start|>system\n" + "the 1 " * 40 + "<|im_end|>\n<|im_start|>user\n"
    shared, rests = encode_shared(tokenizer, [system + "the 2", system + "them"])
    assert shared == encode(tokenizer, system.rpartition("<|im_start|>user")[0])
    assert rests == [encode(tokenizer, "<|im_start|>user\n" + end) for end in ("the 2", "them")]
    assert encode_shared(tokenizer, []) == ([], [])


def test_a_tokenizer_with_ways_of_its_own_encodes_whole_texts() -> None:
    given = MAKERS["byte-level"]()

    class Reversed:
        backend_tokenizer = given.backend_tokenizer

        def __call__(self, text: str, **options: Any) -> Any:
            return given(text[::-1], **options)

    class Filling(type(given)):  # type: ignore[misc] # made anew, as CodeLlama's
        def _encode_plus(self, text: str, *values: Any, **options: Any) -> Any:
            return super()._encode_plus(text.replace("y", "the"), *values, **options)

    class Slow:
        def __call__(self, text: str, **options: Any) -> Any:
            return given(text, **options)

    texts = ["<|im_start|>" + "the 1 " * 20 + end for end in ("x", "y")]
    filling = Filling(tokenizer_object=given.backend_tokenizer)
    assert encode(filling, "xy") == encode(given, "xthe")
    for made in (Reversed(), filling, Slow()):
        assert encode_shared(made, texts) == ([], [encode(made, text) for text in texts])


def test_an_option_without_a_token_is_named() -> None:
    tokenizer = MAKERS["word pieces"]()
    asked = [ScoringRequest("the", ("them", " "))]
    with pytest.raises(ScoringError, match=r"^the tokenizer makes no token of the option ' '$"):
        encode_requests(tokenizer, asked)
    asked = [ScoringRequest("the", ("them", "the")), ScoringRequest("them", ("the",))]
    contexts, options = encode_requests(tokenizer, asked)
    assert contexts == [encode(tokenizer, one.context) for one in asked]
    assert options == [[encode(tokenizer, o) for o in one.options] for one in asked]
