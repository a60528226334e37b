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
        model_costs: nats a byte that the candidate's model costs, on the base's text side.
        picture: ``text``, both renderings and both splits, or None where nothing differs.
        notes: what could not be said, and what differs without effect.
    """

    findings: tuple[Finding, ...] = ()
    explains: Mapping[str, tuple[str, str]] = dataclasses.field(default_factory=dict)
    text_costs: float | None = None
    model_costs: float | None = None
    picture: Picture | None = None
    notes: tuple[str, ...] = ()

    @property
    def costs_more(self) -> bool:
        """Whether a text side that differs costs more than the model does.

        A text side that cannot be measured, since its ids are not the model's, costs most.
        """
        sites = {finding.site for finding in self.findings} - {"generation_config"}
        if not sites or self.model_costs is None:
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
    text_costs = model_costs = None
    if (rendered.differs or tokens.differs) and tokens.texts:
        text_costs, model_costs = _costs(base, candidate, messages, day)
    found = _found(base, candidate, rendered, tokens, text_costs, model_costs)
    return TextResult(
        findings=(*found, *generated),
        explains=explains,
        text_costs=text_costs,
        model_costs=model_costs,
        picture=_picture(rendered, tokens, text_costs),
        notes=_notes(tokens),
    )


def _costs(
    base: Subject, candidate: Subject, messages: Sequence[Messages], day: str
) -> tuple[float | None, float | None]:
    chats = likelihood.with_reply(messages)
    told = (day or rendering.DAY) if rendering.has(base.tokenizer) else None
    usual = likelihood.per_byte(base.model, base.tokenizer, chats, told)
    text = likelihood.per_byte(base.model, candidate.tokenizer, chats, told)
    model = likelihood.per_byte(candidate.model, base.tokenizer, chats, told)

    def costs(one: float | None) -> float | None:
        return None if usual is None or one is None else round(usual - one, 5)

    return costs(text), costs(model)


def _found(
    base: Subject,
    candidate: Subject,
    rendered: Rendering,
    tokens: Tokenization,
    text_costs: float | None,
    model_costs: float | None,
) -> list[Finding]:
    costs: dict[str, float | str] = {}
    for name, value in (("text_costs", text_costs), ("model_costs", model_costs)):
        if value is not None:
            costs[f"{name}_nats_a_byte"] = value
    found = []
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
                likely="the template was not taken over from the base: copy the base's "
                "chat_template.jinja (and tokenizer_config.json) into the candidate's folder",
                evidence={"chats": rendered.chats, "other_chats": rendered.other, **costs},
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
            likely="the tokenizer's files are not the base's: copy tokenizer.json and "
            "tokenizer_config.json of the base, or train again with this tokenizer",
            evidence={**tokens.evidence, **costs},
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
    if text_costs is not None:
        sentence += f", which costs the base's model {text_costs:.2f} nats a byte of a reply"
    return Picture("text", "Text", f"{sentence}.", tuple(panels))
