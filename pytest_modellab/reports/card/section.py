"""The evaluation section of a model card: a model-index for the hub, and Markdown for a reader."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from pytest_modellab.judging.comparison import Comparison
from pytest_modellab.records.declared import VariantSpec
from pytest_modellab.records.runs import RunSummary
from pytest_modellab.reports import measured as further
from pytest_modellab.reports.session import subject
from pytest_modellab.reports.text.table import escape, markdown_table, reason
from pytest_modellab.reports.words import plural
from pytest_modellab.visible import CELL, shortened, visible

BEGIN, END = "<!-- modellab: begin -->", "<!-- modellab: end -->"
"""Between them stands the section; an updated card keeps everything else."""


TASK = ("text-generation", "Text generation")


RANKING = ("information-retrieval", "Information Retrieval")


SIMILARITY = ("semantic-similarity", "Semantic Similarity")
"""Types and names of tasks; the last two as sentence-transformers writes them."""


LISTENING = ("automatic-speech-recognition", "Automatic Speech Recognition")


LOOKING = ("image-text-to-text", "Image-Text-to-Text")
"""As the hub names them."""


_DIGITS = 4


@dataclasses.dataclass(frozen=True)
class CardMetric:
    """A variant's accepted run on one task set.

    Attributes:
        summary: the run.
        task_set_hash: hash of the task set's samples.
        description: the task set's, one line.
        limited: which part of the task set was asked, or empty for all of it.
        churn: share of samples that flipped in a second run, or None without one.
        reference: the accepted run of the variant's base, or None.
        comparisons: what the gate says of the accepted run.
        refused: why something could not be judged.
    """

    summary: RunSummary
    task_set_hash: str
    description: str = ""
    limited: str = ""
    churn: float | None = None
    reference: RunSummary | None = None
    comparisons: tuple[Comparison, ...] = ()
    refused: tuple[str, ...] = ()


def results(measured: Sequence[CardMetric]) -> list[dict[str, Any]]:
    """The results of a model-index, one a task set.

    Raises:
        ImportError: huggingface_hub is missing.
    """
    from huggingface_hub.repocard_data import EvalResult, eval_results_to_model_index

    found = [
        EvalResult(
            task_type=_task(one.summary)[0],
            task_name=_task(one.summary)[1],
            dataset_type=visible(one.summary.task_set),
            dataset_name=visible(f"{one.summary.task_set} {one.summary.task_set_version}"),
            dataset_revision=one.task_set_hash,
            dataset_args={"version": one.summary.task_set_version, "samples": one.summary.n},
            metric_type=kind,
            metric_name=visible(shortened(name, CELL)),
            metric_value=round(value, _DIGITS),
        )
        for one in measured
        for kind, name, value in _metrics(one)
    ]
    (entry,) = eval_results_to_model_index("", found)
    entries: list[dict[str, Any]] = entry["results"]
    return entries


def section(spec: VariantSpec, measured: Sequence[CardMetric]) -> str:
    """The readable part, between its markers, with a line end at the end."""
    adapts = f", adapted from {spec.base}" if spec.base is not None else ""
    parts = [BEGIN, "## Evaluation", "", escape(f"{spec.name}: {spec.kind}{adapts}.")]
    for one in measured:
        parts += ["", *_task_set(one)]
    names = ", ".join(one.summary.task_set for one in measured)
    these = "this task set" if len(measured) == 1 else "these task sets"
    parts += [
        "",
        "### Limits",
        "",
        escape(
            f"These are scores of {these} only ({names}): they say nothing about other tasks, "
            "languages or prompts. Differences of a standard error or two may be chance. The "
            "gate's verdicts are on the accepted runs, at the margins that the project declares; "
            "inconclusive means that the samples cannot tell."
        ),
        END,
    ]
    return "\n".join(parts) + "\n"


def _metrics(one: CardMetric) -> list[tuple[str, str, float]]:
    """Type, name and value of every metric."""
    run = one.summary
    found = [("mean_score", "success", run.mean)]
    found += [("mean_score", f"capability: {c.name}", c.mean) for c in run.capabilities]
    found.append(("mean_score", f"worst bucket: {run.worst.name}", run.worst.mean))
    found += [
        (name, further.label(name), value) for name, value in further.ordered(run.metrics).items()
    ]
    if one.churn is not None:
        found.append(("flip_rate", "churn", one.churn))
    return found


def _task(run: RunSummary) -> tuple[str, str]:
    """Type and name of what a model was asked to do."""
    if further.searched(run):
        return RANKING
    if "spearman" in run.metrics:
        return SIMILARITY
    if run.probes.get("audio_seconds"):
        return LISTENING
    return LOOKING if run.probes.get("images") else TASK


def _task_set(one: CardMetric) -> list[str]:
    run, base = one.summary, one.reference
    about = f"{run.task_set} {run.task_set_version} ({one.task_set_hash})"
    parts = [f"### {escape(about)}", ""]
    if one.description:
        parts += [escape(one.description), ""]
    if one.limited:
        parts += [escape(one.limited), ""]
    head = ["score", "samples", escape(run.variant), *([escape(base.variant)] if base else [])]
    of_base = {} if base is None else {c.name: c.mean for c in base.capabilities}
    rows = [
        [
            escape(further.success_title([(run, run.mean)])),
            str(run.n),
            f"{run.mean:.3f} ± {run.stderr:.3f}",
            *([f"{base.mean:.3f} ± {base.stderr:.3f}"] if base else []),
        ]
    ]
    for found in run.capabilities:
        other = of_base.get(found.name)
        rows.append(
            [
                escape(found.name),
                str(found.n),
                f"{found.mean:.3f}",
                *([_or_none(other)] if base else []),
            ]
        )
    rows.append(
        [
            f"worst bucket: {escape(run.worst.name)}",
            str(run.worst.n),
            f"{run.worst.mean:.3f}",
            *([f"{base.worst.mean:.3f} ({escape(base.worst.name)})"] if base else []),
        ]
    )
    if one.churn is not None:
        rows.append(
            [
                "churn: samples that flip between two runs",
                str(run.n),
                f"{one.churn:.1%}",
                *([_or_none(base.churn, ".1%")] if base else []),
            ]
        )
    facts_of_base = {} if base is None else further.facts(base)
    metrics = {further.label(name) for name in run.metrics}
    graded = {further.label(name) for name in further.GRADED_METRICS}  # not of every sample
    rows += [
        [
            escape(name),
            str(run.n) if name in metrics - graded else further.MISSING,
            escape(value),
            *([escape(facts_of_base.get(name, further.MISSING))] if base else []),
        ]
        for name, value in further.facts(run).items()
    ]
    parts += markdown_table(head, rows, right=set(range(1, len(head))))
    parts += ["", escape(_how(one))]
    if (index := further.index_words(run)) is not None:
        parts += ["", escape(f"Of the index, not the model: {index}.")]
    verdicts = [
        f"- **{c.verdict.upper()}** {escape(f'against {c.against}, {subject(c)}: {reason(c)}')}"
        for c in one.comparisons
    ]
    verdicts += [f"- not judged: {escape(text)}" for text in one.refused]
    if verdicts:
        parts += ["", "What the gate says of it:", "", *verdicts]
    return parts


def _how(one: CardMetric) -> str:
    """How it was measured, in a sentence."""
    run, environment = one.summary, one.summary.environment
    libraries = [
        f"{name} {environment[name]}" for name in ("torch", "transformers") if environment.get(name)
    ]
    on = f" on {environment['device']}" if environment.get("device") else ""
    with_ = f" with {', '.join(libraries)}" if libraries else ""
    day = f" on {environment['recorded']}" if environment.get("recorded") else ""
    missing = f", {plural(run.missing, 'sample')} without an answer, counted as 0"
    return (
        f"Scores are means in [0, 1] with the standard error over clusters of samples"
        f"{missing if run.missing else ''}; run{on}{with_}{day}, fingerprint {run.fingerprint}."
    )


def _or_none(value: float | None, form: str = ".3f") -> str:
    return "–" if value is None else format(value, form)
