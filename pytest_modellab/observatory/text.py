"""Step 0: the text side. What both models are shown, before any of them computes."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

from pytest_modellab.observatory import likelihood, rendering, settings, tokenization
from pytest_modellab.observatory.rendering import Messages, Rendering
from pytest_modellab.observatory.subject import Subject
from pytest_modellab.observatory.tokenization import Tokenization
from pytest_modellab.records.diagnosis import Finding, Picture
from pytest_modellab.visible import line

_DECLARED = ("quantization_config", "num_hidden_layers", "layer_types")
"""Keys of ``config.json`` that a plan of ours changes on purpose."""

_BETTER = 0.005
"""Nats a byte, from which a model does better with one text side than with another."""


@dataclasses.dataclass(frozen=True)
class TextResult:
    """What is different in front of the model.

    Attributes:
        findings: of ``tokenizer``, ``chat_template`` and ``generation_config``, in the order of
            what stands first: a template is told before a tokenizer where tokenizers agree on plain
            texts.
        explains: key of ``config.json`` → the base's value and the candidate's.
        text_costs: nats a byte of a reply that the candidate's text side costs the base's model;
            None where nothing differs, or it cannot be measured.
        model_costs: nats a byte that the candidate's model costs, on the base's text side; None
            where that was not asked, since no reply is touched.
        own: nats a byte by which the candidate's model does better with its own text side than with
            the base's; None where it was not asked, or cannot read the base's.
        fits: whether it does better with its own, so that it was made for it.
        picture: ``text``, both renderings and both splits, or None where nothing differs.
        notes: what could not be said, and what differs without effect.
    """

    findings: tuple[Finding, ...] = ()
    explains: Mapping[str, tuple[str, str]] = dataclasses.field(default_factory=dict)
    text_costs: float | None = None
    model_costs: float | None = None
    own: float | None = None
    fits: bool = False
    picture: Picture | None = None
    notes: tuple[str, ...] = ()

    @property
    def costs_more(self) -> bool:
        """Whether a text side that differs costs more than the model does.

        A text side that cannot be measured, since its ids are not the model's, costs most. One
        that the candidate was made for is no fault.
        """
        sites = {finding.site for finding in self.findings} - {"generation_config"}
        if not sites or self.model_costs is None or self.fits:
            return False
        return self.text_costs is None or self.text_costs > max(self.model_costs, 0.0)


def compare(
    base: Subject, candidate: Subject, texts: Sequence[str], messages: Sequence[Messages]
) -> TextResult:
    """Compare two text sides, and say what a difference costs.

    Args:
        base: the yardstick.
        candidate: what is examined.
        texts: plain ones.
        messages: chats; those that end with a reply also measure the effect.

    Returns:
        What is different; models are run only where the tokenizer or the template is.
    """
    explains = settings.configuration(base.model, candidate.model)
    generated = _generation(base, candidate)
    if base.tokenizer is None or candidate.tokenizer is None:
        return TextResult(
            generated,
            explains,
            notes=("texts were not compared: there is no tokenizer on both sides",),
        )
    day = base.plan.day if base.plan else ""
    rendered = rendering.compare(base.tokenizer, candidate.tokenizer, messages, day)
    tokens = tokenization.compare(base.tokenizer, candidate.tokenizer, (*texts, *rendered.texts))
    costs = _Costs()
    if (rendered.differs or tokens.differs) and tokens.texts:
        costs = _costs(base, candidate, messages, day)
    found = _found(base, candidate, rendered, tokens, costs)
    return TextResult(
        findings=(*found, *generated),
        explains=explains,
        text_costs=costs.text,
        model_costs=costs.model,
        own=costs.own,
        fits=costs.fits,
        picture=_picture(rendered, tokens, costs.text),
        notes=(*_notes(tokens), *_explaining(explains)),
    )


@dataclasses.dataclass(frozen=True)
class _Costs:
    """Nats a byte; None where not asked, or not to be measured."""

    text: float | None = None
    model: float | None = None
    own: float | None = None
    foreign: bool = False

    @property
    def fits(self) -> bool:
        """Whether the candidate was made for its own text side: by the base's it does worse."""
        return self.foreign or (self.own is not None and self.own > _BETTER)

    @property
    def evidence(self) -> Mapping[str, float | str]:
        """Figures for a finding."""
        named = {"text_costs": self.text, "model_costs": self.model, "own_text_gains": self.own}
        return {f"{name}_nats_a_byte": one for name, one in named.items() if one is not None}


def _costs(base: Subject, candidate: Subject, messages: Sequence[Messages], day: str) -> _Costs:
    chats = likelihood.with_reply(messages)
    told = (day or rendering.DAY) if rendering.has(base.tokenizer) else None
    ours, theirs = (likelihood.asked(one.tokenizer, chats, told) for one in (base, candidate))
    if ours is not None and ours == theirs:
        return _Costs(text=0.0)  # no reply is touched
    usual = likelihood.per_byte(base.model, ours)
    text = likelihood.per_byte(base.model, theirs)
    model = likelihood.per_byte(candidate.model, ours)
    own = likelihood.per_byte(candidate.model, theirs)

    def less(one: float | None, other: float | None) -> float | None:
        return None if one is None or other is None else round(one - other, 5)

    foreign = own is not None and model is None
    return _Costs(less(usual, text), less(usual, model), less(own, model), foreign)


def _found(
    base: Subject,
    candidate: Subject,
    rendered: Rendering,
    tokens: Tokenization,
    costs: _Costs,
) -> list[Finding]:
    found = []
    better = "reads only this" if costs.foreign else f"does {costs.own} nats a byte better with it"
    own = f"the candidate {better}: it was made for it"
    if rendered.differs and not _same_source(base, candidate):
        found.append(
            Finding(
                site="chat_template",
                fault="template",
                detail=line(
                    f"{rendered.other} of {rendered.chats} chats are rendered differently: "
                    + "; ".join(rendered.reasons[:4]),
                    900,
                ),
                likely=own
                if costs.fits
                else "the template was not taken over from the base: copy the base's "
                "chat_template.jinja (and tokenizer_config.json) into the candidate's folder",
                evidence={"chats": rendered.chats, "other_chats": rendered.other, **costs.evidence},
            )
        )
    if tokens.differs or (rendered.differs and not found):
        reasons = [*tokens.reasons[:8]]
        if rendered.differs and not found:
            reasons.append(f"{rendered.other} chats get other special tokens")
        finding = Finding(
            site="tokenizer",
            fault="tokenizer",
            detail=line(
                f"{_ids(tokens)}: " + "; ".join(reasons),
                1200,
            ),
            likely=own
            if costs.fits
            else "the tokenizer's files are not the base's: copy tokenizer.json and "
            "tokenizer_config.json of the base, or train again with this tokenizer",
            evidence={**tokens.evidence, **costs.evidence},
        )
        found.append(finding)
    return found


def _ids(tokens: Tokenization) -> str:
    if not tokens.texts:
        return "texts were not encoded"
    if not tokens.other:
        return f"{tokens.texts} texts become the same ids"
    return f"{tokens.other} of {tokens.texts} texts become other ids"


def _same_source(base: Subject, candidate: Subject) -> bool:
    """Whether both have one template, so that what it is given must be the reason."""
    sources = [getattr(one.tokenizer, "chat_template", None) for one in (base, candidate)]
    return sources[0] == sources[1]


def _generation(base: Subject, candidate: Subject) -> tuple[Finding, ...]:
    found = settings.generation(base.model, candidate.model)
    if not found:
        return ()
    said = ", ".join(
        f"{key}: {theirs}, the base has {ours}" for key, (ours, theirs) in found.items()
    )
    ends = "eos_token_id" in found
    effect = (
        "replies end elsewhere"
        if ends
        else "the gate takes none of these but the eos ids: its scores stay, other servers' may not"
    )
    return (
        Finding(
            site="generation_config",
            fault="generation_config",
            detail=line(f"{said}; {effect}", 900),
            likely="copy the base's generation_config.json into the candidate's folder",
            evidence={f"base_{key}": ours for key, (ours, _) in found.items()},
        ),
    )


def _notes(tokens: Tokenization) -> tuple[str, ...]:
    if tokens.differs or not tokens.reasons:
        return ()
    said = "; ".join(tokens.reasons[:4])
    return (line(f"tokenizers differ without an effect on {tokens.texts} texts: {said}", 600),)


def _explaining(explains: Mapping[str, tuple[str, str]]) -> tuple[str, ...]:
    """What is different in ``config.json``, apart from what a plan declares."""
    told = {key: both for key, both in explains.items() if not key.startswith(_DECLARED)}
    if not told:
        return ()
    said = ", ".join(
        f"{key} is {theirs}, the base's {ours}" for key, (ours, theirs) in told.items()
    )
    return (line(f"config.json differs, which may explain a finding: {said}", 900),)


def _picture(rendered: Rendering, tokens: Tokenization, text_costs: float | None) -> Picture | None:
    panels = [*rendered.panels, *([tokens.panel] if tokens.panel else [])]
    if not panels:
        return None
    parts = []
    if rendered.differs:
        parts.append(f"{rendered.other} of {rendered.chats} chats are rendered differently")
    if tokens.other:
        parts.append(f"{tokens.other} of {tokens.texts} texts become other tokens")
    sentence = " and ".join(parts)
    if text_costs:
        sentence += f", which costs the base's model {text_costs:.2f} nats a byte of a reply"
    return Picture("text", "Text", f"{sentence}.", tuple(panels))
