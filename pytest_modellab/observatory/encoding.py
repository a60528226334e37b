"""A sentence encoder as the steps of a diagnosis take models: token ids in, one vector a text out.

Pooling and normalization hold no parameters, and are modules of their own here, so that they are
forced and exchanged as others are.
"""

from __future__ import annotations

import types
from collections.abc import Sequence
from typing import Any

from pytest_modellab.errors import DiagnosisError
from pytest_modellab.observatory.forced import Passes
from pytest_modellab.observatory.outcome import Outcome, Vectors
from pytest_modellab.observatory.outcome import of as outcome_of
from pytest_modellab.observatory.probes import Probes, encoded_texts
from pytest_modellab.observatory.run import Windows
from pytest_modellab.observatory.selfcheck import TOLERANCE, Check, Checks
from pytest_modellab.observatory.sites import SITE, Leaf
from pytest_modellab.observatory.subject import Subject
from pytest_modellab.observatory.whole import layers_that_pay

POOLING, NORMALIZATION = "pooling", "normalization"
"""Sites behind the last layer."""

_KEY = "sentence_embedding"
_PADDING = 5


def encodes(model: Any) -> bool:
    """Whether a model was made by :func:`model_of`."""
    return isinstance(outcome_of(model), Vectors)


def comparable(base: Subject, candidate: Subject, reason: str) -> None:
    """Refuse an encoder beside what writes words, or beside one of other sizes.

    Args:
        base: what is right.
        candidate: what is examined.
        reason: why their modules cannot be compared, or empty.

    Raises:
        DiagnosisError: that is so.
    """
    kinds = {encodes(one.model) for one in (base, candidate)}
    if len(kinds) > 1:
        raise DiagnosisError("one of the two is an encoder, the other writes words")
    if reason and True in kinds:
        raise DiagnosisError(
            f"{candidate.side.name} is an encoder of other sizes than {base.side.name} ({reason}): "
            "their modules and vectors cannot be compared; compare what their searches find"
        )


def model_of(given: Any, name: str) -> Any:
    """Take the modules of a sentence-transformers model for a diagnosis; they stay shared.

    Args:
        given: the model, or an engine that holds one.
        name: what messages call it.

    Returns:
        A module that gives vectors as ``logits``, of one position a text.

    Raises:
        DiagnosisError: it is not a transformer whose token vectors are pooled.
    """
    import torch

    parts = list(getattr(given, "model", given).children())
    kinds = [type(part).__name__ for part in parts]
    body = getattr(parts[0], "auto_model", None) if parts else None
    known = {"Pooling", "Dense", "Normalize", "Dropout", "LayerNorm"}
    if body is None or kinds.count("Pooling") != 1 or not known.issuperset(kinds[1:]):
        raise DiagnosisError(
            f"{name}: its modules are {', '.join(kinds) or 'none'}; only a transformer whose token "
            "vectors are pooled can be examined"
        )
    pooling = parts[kinds.index("Pooling")]
    root = torch.nn.Module()
    root.body = body
    root.pooling = _pooling(pooling)
    root.behind = torch.nn.ModuleList(
        _vector(part) for part, kind in zip(parts, kinds, strict=True) if kind in _BEHIND
    )
    root.normalization = _normalization(any(kind == "Normalize" for kind in kinds))

    def forward(input_ids: Any, use_cache: bool = False, attention_mask: Any = None) -> Any:
        mask = torch.ones_like(input_ids) if attention_mask is None else attention_mask
        vectors = root.pooling(root.body(input_ids=input_ids, attention_mask=mask)[0], mask)
        for module in root.behind:
            vectors = module(vectors)
        return types.SimpleNamespace(logits=root.normalization(vectors))

    outcome: Outcome = Vectors(lengths="Normalize" in kinds)
    for attribute, value in (
        ("forward", forward),
        ("config", body.config),
        ("dtype", body.dtype),
        ("device", body.device),
        ("get_input_embeddings", body.get_input_embeddings),
        ("get_output_embeddings", lambda: None),
        ("outcome", outcome),
    ):
        vars(root)[attribute] = value
    return root.eval()


_BEHIND = ("Dense", "LayerNorm")


def _named(site: str, kind: str, forward: Any) -> Any:
    """A module that is a site; ``kind`` says what it does."""
    import torch

    module = torch.nn.Module()
    vars(module).update({SITE: site, "does": kind, "forward": forward})
    return module


def _pooling(inner: Any) -> Any:
    mode = getattr(inner, "pooling_mode", None) or inner.get_pooling_mode_str()
    mode = mode if isinstance(mode, str) else "+".join(mode)

    def forward(hidden: Any, mask: Any) -> Any:
        features = {"token_embeddings": hidden, "attention_mask": mask}
        return inner(features)[_KEY][:, None]

    return _named(POOLING, mode, forward)


def _normalization(there: bool) -> Any:
    import torch

    def forward(vectors: Any) -> Any:
        return torch.nn.functional.normalize(vectors, dim=-1) if there else vectors.clone()

    return _named(NORMALIZATION, "length one" if there else "none", forward)


def _vector(inner: Any) -> Any:
    import torch

    module = torch.nn.Module()
    module.inner = inner
    vars(module)["forward"] = lambda vectors: inner({_KEY: vectors})[_KEY]
    return module


def probes(base: Subject, texts: Sequence[str] = (), tokens: int = 448, long: int = 128) -> Probes:
    """Choose what both encoders read.

    Args:
        base: whose tokenizer.
        texts: as they are, for example queries; built-in texts fill the rest, cut to pieces.
        tokens: in all, at most about.
        long: width of the longest piece.
    """
    most = getattr(base.model.config, "max_position_embeddings", None) or 512
    return encoded_texts(base.tokenizer, texts, tokens=tokens, long=min(long, most - 2))


def check(subject: Subject, windows: Windows) -> Checks:
    """Ask an encoder the same thing in two ways: padded as unpadded, a text alone as in a batch."""
    import torch

    widest = max(windows, key=len)
    chosen = [one for one in windows if len(one) == len(windows[0])][:4]
    model = subject.model
    dtype = str(model.dtype).removeprefix("torch.")
    tolerance = TOLERANCE.get(dtype, 0.1)
    compared = outcome_of(model)

    def vectors(rows: Any, mask: Any = None) -> Any:
        ids = torch.tensor([list(one) for one in rows], device=model.device)
        mask = None if mask is None else torch.tensor(mask, device=model.device)
        with torch.no_grad():
            return compared.read(model(input_ids=ids, attention_mask=mask).logits.float())

    def checked(name: str, site: str, plain: Any, other: Any, said: str) -> Check:
        size = plain.norm(dim=-1).clamp_min(1e-9)
        relative = float(((other - plain).norm(dim=-1) / size).max())
        nats = float(compared.apart(plain, other).mean())
        return Check(name, site, "code", relative, nats, tolerance, said)

    alone = vectors(chosen[:1])
    row = [*chosen[0], *[0] * _PADDING]
    seen = [1] * len(chosen[0]) + [0] * _PADDING
    full = [*widest, *widest[:_PADDING]][: len(row)]
    full += [full[-1]] * (len(row) - len(full))
    padded = vectors([row, full], [seen, [1] * len(row)])[:1]
    checks = [
        checked(
            "padded",
            "attention_mask",
            alone,
            padded,
            f"with {_PADDING} tokens of padding on the right",
        )
    ]
    if len(chosen) > 1:
        together = vectors(chosen)[:1]
        checks.append(
            checked("batched", "batching", alone, together, "a text alone and in a batch")
        )
    return Checks(tuple(checks))


def paying(passes: Passes, leaves: Sequence[Leaf]) -> list[str]:
    """Say which layers hold most of a difference that is everywhere."""
    found = layers_that_pay(passes, leaves)
    total = sum(max(value, 0.0) for value in found.values())
    if len(found) < 2 or not total:
        return []
    said = ", ".join(f"{layer} ({max(v, 0) / total:.0%})" for layer, v in list(found.items())[:3])
    return [f"of what enters in layers, most does in layer {said}"]


def against(base: Subject, candidate: Subject, windows: Windows) -> Checks:
    """Check an encoder against itself, and leave out what its base fails as well."""
    found = check(candidate, windows)
    if not found.findings:
        return found
    usual = {one.name for one in check(base, windows).checks if one.failed}
    return Checks(tuple(one for one in found.checks if one.name not in usual))
