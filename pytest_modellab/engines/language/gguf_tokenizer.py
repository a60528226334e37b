"""Whether a GGUF file's tokenizer is the base's, so that a token id means the same in both."""

from __future__ import annotations

import dataclasses
import itertools
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pytest_modellab.engines.language import llamacpp_server
from pytest_modellab.errors import ModelError, VariantLoadError
from pytest_modellab.models import gguf_head

NAMED = 5
"""How many differing tokens a message names."""


PROBES = (
    "The quick brown fox jumps over the lazy dog; it's 3.14 o'clock, isn't it?",
    "<|im_start|>user\nWhich of these?\nA. 12 x 7 = 84\nB. none<|im_end|>\n",
    "def f(x: list[int]) -> dict:\n    return {'n': len(x), \"s\": x[-1] ** 2}  # done\n",
    "naïve café, Größe, 東京, Привет, مرحبا, 😀",
    'tab\there\n\n\nand "quotes" (brackets) <tags/> 100% $5 a_b-c@d.e',
)


@dataclasses.dataclass(frozen=True)
class Vocabulary:
    """What a tokenizer's ids mean.

    Attributes:
        tokens: each id's spelling, None where the id stands for nothing.
        merges: pairs of symbols in the order of byte-pair encoding, with a space between; empty
            where the tokenizer is of another sort.
        special: ``bos`` and ``eos`` → id, where there is one.
    """

    tokens: tuple[str | None, ...]
    merges: tuple[str, ...]
    special: Mapping[str, int]


@dataclasses.dataclass(frozen=True)
class Header:
    """What is read of a GGUF file without loading it.

    Attributes:
        path: the file.
        vocabulary: its tokenizer's.
        context_length: the most tokens it was trained for.
        parameter_bytes: bytes of its tensors.
    """

    path: Path
    vocabulary: Vocabulary
    context_length: int
    parameter_bytes: int


def read(path: Path) -> Header:
    """Read a GGUF file's vocabulary and sizes.

    Args:
        path: the file, of a split one the first part.

    Raises:
        ModelError: it is no whole GGUF file of a model; the message says what is missing.
    """
    import gguf

    reader = _reader(path)
    values = {
        name.removeprefix("tokenizer.ggml."): field.contents()
        for name, field in reader.fields.items()
        if name.startswith(("tokenizer.ggml.", "split.")) or name.endswith(".context_length")
    }
    parts = [reader, *map(_reader, _rest(path, values))]
    if "tokens" not in values:
        raise ModelError(f"{path} holds no tokenizer (tokenizer.ggml.tokens)")
    length = next((v for k, v in values.items() if k.endswith(".context_length")), None)
    if length is None:
        raise ModelError(
            f"{path} does not say how many tokens its model was trained for (the key "
            "ARCHITECTURE.context_length): convert it anew from the base"
        )
    size = sum(int(tensor.n_bytes) for part in parts for tensor in part.tensors)
    if size == 0:
        raise ModelError(
            f"{path} holds no weights, only a head (a vocabulary or another's metadata): name the "
            "file with the model"
        )
    types = values.get("token_type", [gguf.TokenType.NORMAL] * len(values["tokens"]))
    return Header(
        path,
        Vocabulary(
            tokens=tuple(
                None if kind == gguf.TokenType.UNUSED else token
                for token, kind in zip(values["tokens"], types, strict=True)
            ),
            merges=tuple(values.get("merges", ())),
            special={
                name: values[f"{name}_token_id"]
                for name in ("bos", "eos")
                if f"{name}_token_id" in values
            },
        ),
        context_length=length,
        parameter_bytes=size,
    )


def _reader(path: Path) -> Any:
    import gguf

    try:
        gguf_head.check(path)
        return gguf.GGUFReader(path)
    except (OSError, ValueError, IndexError, KeyError) as error:
        why = llamacpp_server.reason(path) or error
        raise ModelError(f"{path} is not a GGUF file that can be read: {why}") from error


def _rest(path: Path, values: Mapping[str, Any]) -> list[Path]:
    """Return the other parts of a split file, which llama.cpp finds by their names."""
    count = int(values.get("split.count", 0))
    if count < 2:
        return []
    number = int(values.get("split.no", 0)) + 1
    ends = [f"-{k:05d}-of-{count:05d}.gguf" for k in range(1, count + 1)]
    if number != 1 or not path.name.endswith(ends[0]):
        raise ModelError(
            f"{path} is part {number} of {count}, as its head says: name the first, and give all "
            f"parts the names they were made with (…{ends[number - 1]}), in one folder"
        )
    return [path.with_name(path.name.removesuffix(ends[0]) + end) for end in ends[1:]]


def vocabulary(tokenizer: Any) -> Vocabulary:
    """Return what the ids of a transformers tokenizer mean."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    model = json.loads(backend.to_str())["model"] if backend is not None else {}
    merges = (m if isinstance(m, str) else " ".join(m) for m in model.get("merges", ()))
    special = {"bos": tokenizer.bos_token_id, "eos": tokenizer.eos_token_id}
    return Vocabulary(
        tokens=tuple(tokenizer.convert_ids_to_tokens(range(len(tokenizer)))),
        merges=tuple(merges),
        special={name: number for name, number in special.items() if number is not None},
    )


def check(header: Header, tokenizer: Any) -> None:
    """Compare a file's vocabulary with the base's, id by id.

    Args:
        header: the file's.
        tokenizer: the base's, of transformers.

    Raises:
        VariantLoadError: an id means another token, or the merges, ``bos`` or ``eos`` differ; the
            message names the first of them.
    """
    found = _differences(header.vocabulary, vocabulary(tokenizer))
    if found:
        raise VariantLoadError(
            f"the tokenizer of {header.path} is not the base's: {'; '.join(found)}. The same ids "
            "would mean other text: name a file that was converted from this base, or the base "
            "that it was converted from"
        )


def _differences(file: Vocabulary, base: Vocabulary) -> list[str]:
    differing = [
        f"id {number} is {_spelled(there)} there, {_spelled(here)} in the base"
        for number, (there, here) in enumerate(itertools.zip_longest(file.tokens, base.tokens))
        if _plain(there) != _plain(here)
    ]
    found = []
    if differing:
        count = f"{len(differing)} tokens differ" if len(differing) > 1 else "1 token differs"
        more = [f"and {len(differing) - NAMED} more"] if len(differing) > NAMED else []
        found.append(f"{count}: {', '.join([*differing[:NAMED], *more])}")
    if file.merges and base.merges and file.merges != base.merges:
        number, there, here = next(
            (number, there, here)
            for number, (there, here) in enumerate(itertools.zip_longest(file.merges, base.merges))
            if there != here
        )
        found.append(
            f"merges differ from number {number} on: {_spelled(there)} there, {_spelled(here)} in "
            f"the base ({len(file.merges)} and {len(base.merges)} in all)"
        )
    found += [
        f"{name} is id {there} there, {base.special[name]} in the base"
        for name, there in file.special.items()
        if base.special.get(name, there) != there
    ]
    return found


def _spelled(token: str | None) -> str:
    return "missing" if token is None else repr(token)


def _plain(token: str | None) -> str | None:
    """Spell a blank as a blank: converters do so in tokens that users added."""
    return None if token is None else token.replace("▁", " ")


def check_probes(
    header: Header,
    tokenizer: Any,
    tokenize: Callable[[str], Sequence[int]],
    probes: Sequence[str] = PROBES,
) -> None:
    """Compare how texts are cut into tokens, which vocabulary and merges alone do not decide.

    Args:
        header: the file's.
        tokenizer: the base's, of transformers.
        tokenize: the file's own tokenizer, special tokens parsed and none added.
        probes: the texts.

    Raises:
        VariantLoadError: a text is cut otherwise.
    """
    for text in probes:
        here, there = tokenizer(text, add_special_tokens=False).input_ids, list(tokenize(text))
        if here != there:
            raise VariantLoadError(
                f"the tokenizer of {header.path} cuts {text!r} into {there}, the base's into "
                f"{here}: the file names another pre-tokenizer (tokenizer.ggml.pre); convert it "
                "anew from this base"
            )
