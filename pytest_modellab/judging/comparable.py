"""Whether two runs may be compared, and what differs between them."""

from __future__ import annotations

import dataclasses

from pytest_modellab.errors import ComparisonRefused
from pytest_modellab.records.declared import VariantSpec
from pytest_modellab.records.runs import RunRecord
from pytest_modellab.scorers.choice import MultipleChoice
from pytest_modellab.scorers.in_words import ChoiceInWords

MAX_MISSING = 0.02
"""Share of samples that may be without a score; beyond it there is no verdict and no baseline."""


_PLACE = frozenset({"converter", "date", "device", "versions"})
"""Settings of where and when something ran; what differs of them is told, or refused, by itself."""


def too_many_missing(record: RunRecord) -> str | None:
    """Say that a run has more samples without a score than :data:`MAX_MISSING`, or None."""
    missing = [sample for sample in record.samples if sample.score is None]
    total = len(record.samples)
    if len(missing) <= MAX_MISSING * total:
        return None
    return (
        f"{len(missing)} of {total} scores are missing ({len(missing) / total:.1%}, allowed "
        f"{MAX_MISSING:.1%}), {missing[0].id!r} first: {missing[0].output}"
    )


def check_comparable(
    spec: VariantSpec,
    candidate: RunRecord,
    reference: RunRecord,
    against: str,
    *,
    prompt_may_differ: bool = False,
) -> tuple[str, ...]:
    """Refuse two runs that were not asked the same in the same way.

    Where the prompt is what the candidate's kind adapts, a changed prompt is judged, and so it is
    beside an earlier run of the same variant of which nothing else changed; every other kind
    changes one thing alone, and a changed prompt beside it is refused.

    Args:
        spec: the candidate.
        candidate: its run.
        reference: the run that it is compared with.
        against: the reference in words.
        prompt_may_differ: True where strategies are compared, not changes of one, so that the
            prompt may differ whatever the candidate's kind adapts.

    Returns:
        Notes on what differs but does not forbid the comparison.

    Raises:
        ComparisonRefused: names all that differs and what to do.
    """
    differs, notes = differences(spec, candidate, reference, prompt_may_differ=prompt_may_differ)
    if differs:
        name = candidate.task_set["name"]
        raise ComparisonRefused(
            f"{spec.name!r} cannot be compared with {against} on {name!r}: "
            f"{'; '.join(differs)}. Record the reference again if the change "
            f"is wanted: modellab accept {reference.variant['name']} --task-set {name}"
        )
    return notes


def differences(
    spec: VariantSpec,
    candidate: RunRecord,
    reference: RunRecord,
    *,
    prompt_may_differ: bool = False,
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """List what forbids to compare two runs, and what does not but must be known."""
    name = candidate.task_set["name"]
    differs = []
    parts = [run.task_set.get("limited") for run in (candidate, reference)]
    limited = parts[0] != parts[1]
    for key in ("version",) if limited else ("version", "hash"):
        now, then = candidate.task_set[key], reference.task_set[key]
        if now != then:
            differs.append(f"task set {name!r} has {key} {now}, the reference was run on {then}")
    now_ids = {s.id: s.hash for s in candidate.samples}
    then_ids = {s.id: s.hash for s in reference.samples}
    asked = now_ids.keys() & then_ids.keys() if limited else now_ids.keys() | then_ids.keys()
    changed = sorted(id_ for id_ in asked if now_ids.get(id_) != then_ids.get(id_))
    if changed:
        shown = ", ".join(changed[:5]) + (", …" if len(changed) > 5 else "")
        differs.append(f"{len(changed)} samples were changed, added or removed: {shown}")
    if limited:
        now, then = (
            part or str(len(run.samples))
            for part, run in zip(parts, (candidate, reference), strict=True)
        )
        mend = "remove the limit" if parts[1] is None else "set the limit that it had"
        differs.append(
            f"the reference was recorded on {then} samples, and {now} are asked here: record it "
            f"again, or {mend}"
        )
    if scoring := other_scoring(candidate, reference):
        differs.append(scoring)
    for scorer in sorted(candidate.scorers.keys() & reference.scorers.keys()):
        now_version, then_version = candidate.scorers[scorer], reference.scorers[scorer]
        if now_version != then_version:
            differs.append(f"scorer {scorer!r} has version {now_version}, was {then_version}")
    notes = []
    if candidate.fingerprint.prompt != reference.fingerprint.prompt:
        change = _prompt_words(spec, reference)
        if prompt_may_differ or spec.adapts_prompt or _else_equal(spec, candidate, reference):
            notes.append(change)
        else:
            differs.append(
                f"{change}, and the model is another one, too: one thing is changed at a time"
            )
    days = [run.fingerprint.settings.get("date") for run in (candidate, reference)]
    if None not in days and days[0] != days[1]:
        differs.append(f"the chat template was told {days[0]}, the reference's {days[1]}")
    if candidate.fingerprint.tokenizer != reference.fingerprint.tokenizer:
        notes.append("the tokenizer or its chat template is not the reference's")
    now_versions = candidate.fingerprint.settings.get("versions", {})
    then_versions = reference.fingerprint.settings.get("versions", {})
    here = {**now_versions, **candidate.environment}
    there = {**then_versions, **reference.environment}
    keys = {
        "accelerator",
        "device",
        "platform",
        "python",
        "threads",
        "token_budget",
        "torch",
        "transformers",
    }
    notes += [
        f"{key}: {here.get(key)} here, {there.get(key)} in the reference"
        for key in sorted(keys | (now_versions.keys() & then_versions.keys()))
        if here.get(key) != there.get(key)
    ]
    return tuple(differs), tuple(notes)


def asked_in_words(record: RunRecord) -> bool:
    """Whether multiple choice was asked in words, and not scored by likelihood."""
    return ChoiceInWords.name in record.scorers


def other_scoring(candidate: RunRecord, reference: RunRecord) -> str:
    """Say that one of two runs was asked multiple choice in words and the other was not.

    Args:
        candidate: a run.
        reference: another one.

    Returns:
        A part of a sentence; empty where both were asked alike.
    """
    both = {*candidate.scorers, *reference.scorers}
    if not {ChoiceInWords.name, MultipleChoice.name} <= both:
        return ""
    scored = [_SCORED[asked_in_words(run)] for run in (candidate, reference)]
    return (
        f"multiple choice is {scored[0]} here, and was {scored[1]} in the run of "
        f"{reference.variant['name']!r}: set the same scoring on both"
    )


_SCORED = {
    True: 'asked in words (scoring = "generated")',
    False: 'scored by likelihood (scoring = "likelihood")',
}


def _else_equal(spec: VariantSpec, candidate: RunRecord, reference: RunRecord) -> bool:
    """Whether the reference is an earlier run of the candidate that differs in the prompt alone."""
    if reference.variant["name"] != spec.name:
        return False
    now, then = (
        dataclasses.replace(
            run.fingerprint,
            prompt="",
            settings={k: v for k, v in run.fingerprint.settings.items() if k not in _PLACE},
        )
        for run in (candidate, reference)
    )
    return now == then


def _prompt_words(spec: VariantSpec, reference: RunRecord) -> str:
    """Say that the prompt is another one; files as the variant's own table names them."""
    named = (spec.options.get(key) for key in ("prompt", "shots"))
    files = " or ".join(f"{file}" for file in named if file)
    told = f" ({files})" if files else ""
    if (other := reference.variant["name"]) != spec.name:
        return f"the prompt{told} is not the one of {other}'s run"
    return f"the prompt{told} was changed since the reference was recorded"
