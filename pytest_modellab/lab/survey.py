"""The trade-off of declared variants: what is missing is run, the rest is read."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pytest_modellab import gate
from pytest_modellab.errors import (
    ComparisonRefused,
    GateUsageError,
    HistoryUnavailable,
    ModellabError,
    near_misses,
)
from pytest_modellab.judging.comparable import other_scoring
from pytest_modellab.judging.scores import judged_by, narrowed, under
from pytest_modellab.lab import noise, pricing
from pytest_modellab.lab.by_metric import by_metric
from pytest_modellab.models import ctranslate2, parts
from pytest_modellab.records.declared import NO_MODEL, Price, Scenario, VariantSpec
from pytest_modellab.records.graded import applies
from pytest_modellab.records.runs import RunRecord
from pytest_modellab.records.tasks import TaskSet
from pytest_modellab.tradeoff import cost

if TYPE_CHECKING:
    from pytest_modellab.baselines.accepted import Baseline
    from pytest_modellab.judging.comparison import Comparison
    from pytest_modellab.lab.lab import Lab
    from pytest_modellab.lab.resolved import Resolved
    from pytest_modellab.recipes.provenance import Provenance
    from pytest_modellab.records.timings import Performance
    from pytest_modellab.tradeoff.entry import Entry
    from pytest_modellab.tradeoff.figures import TradeOff

Source = Literal["run", "stored", "accepted"]


def survey(
    lab: Lab,
    task_set: str,
    *,
    variants: Sequence[str] | None = None,
    scenarios: Sequence[str] | None = None,
    reference: str | None = None,
    timed: bool = True,
    stored: bool = False,
    metric: str | None = None,
) -> TradeOff:
    """Gather the runs of several variants on one task set and weigh them against each other.

    Args:
        lab: the session.
        task_set: the task set's name.
        variants: names; None for those that were accepted on the task set.
        scenarios: names; None for all there are.
        reference: what the others are compared with; None for the first variant without a base.
        timed: False leaves latency and cost out.
        stored: True to take what there is, whatever the settings say, and run nothing.
        metric: what quality is in place of the score, on the samples that it tells of.

    Returns:
        The trade-off. A variant that cannot be run is left out and named in the notes.

    Raises:
        GateUsageError: a name is unknown, or nothing is left to compare.
        ComparisonRefused: the metric tells of no sample, or the reference's run lacks it.
        ModellabError: the reference cannot be run.
    """
    from pytest_modellab.tradeoff import assemble

    samples = lab.task_set(task_set).samples
    if metric is not None and not any(applies(metric, sample) for sample in samples):
        judged_by(metric, lab.task_set(task_set))  # refuses it, before anything is run
    names = tuple(variants) if variants else tuple(_accepted(lab, task_set))
    if not names:
        raise GateUsageError(
            f"no variant was accepted on {task_set!r} yet; name those to compare (--variant NAME), "
            "or accept some: modellab accept NAME"
        )
    specs = [lab.spec(name) for name in names]
    first = reference or _reference(specs)
    if first not in names:
        specs.insert(0, lab.spec(first))
    # of each other variant success, forgetting and latency, and forgetting wherever it was accepted
    others = [spec.name for spec in specs if spec.name != first]
    accepted = [lab.baseline_path(n, t).exists() for n in others for t in lab.config.task_sets]
    share = lab.settings.alpha / max(1, 3 * len(others) + sum(accepted))
    notes: list[str] = []
    try:
        entries = [
            *_entries(lab, specs, task_set, first, share, notes, metric, timed=timed, stored=stored)
        ]
    finally:
        lab.release()
    entries.sort(key=lambda entry: specs.index(entry.spec))
    entries = _scored_alike(entries, first, notes)
    base = lab.accepted(first, task_set)
    second, why = None, f"{first} has no accepted second run on {task_set}"
    if base is not None:
        if _same(base, lab.variant(first), lab.task_set(task_set)):
            second = base.second_run()
        else:
            what = _another(base, lab.variant(first), lab.task_set(task_set))
            why = f"the accepted run of {first} on {task_set} is of {what}"
    if second is None:
        notes.append(
            f"forgetting is not judged: {why}; modellab accept {first} --task-set {task_set}"
        )
    notes += _remarks(entries, lab, first, timed=timed)
    asked = lab.task_set(task_set)
    if metric is not None:
        entries, asked = by_metric(lab, entries, asked, first, metric, notes, stored=stored)
        second = None if second is None else narrowed(second, asked, lab.task_set(task_set))
    return assemble.assemble(
        entries,
        task_set=asked,
        settings=lab.config.task_sets[task_set],
        reference=first,
        second=second,
        scenarios=_scenarios(lab, scenarios),
        alpha=lab.settings.alpha,
        share=share,
        metric=metric,
        notes=notes,
    )


def _entries(
    lab: Lab,
    specs: Sequence[VariantSpec],
    task_set: str,
    first: str,
    share: float,
    notes: list[str],
    metric: str | None,
    *,
    timed: bool,
    stored: bool,
) -> Iterator[Entry]:
    """What is known of each variant, those that share a loaded model one after another."""
    for spec in map(lab.spec, lab.together(spec.name for spec in specs)):
        try:
            entry = _entry(
                lab, spec, task_set, first, share, notes, metric, timed=timed, stored=stored
            )
        except ModellabError as error:
            if spec.name == first:
                raise
            notes.append(f"{spec.name} is left out: {_first_line(error)}")
            continue
        if isinstance(entry, str):
            if spec.name == first:
                raise GateUsageError(f"the reference {first!r} {entry}")
            notes.append(f"{spec.name} is left out: it {entry}")
        else:
            yield entry


def _scored_alike(entries: Sequence[Entry], first: str, notes: list[str]) -> list[Entry]:
    """Leave out what was asked multiple choice otherwise than the reference, and say so."""
    base = next(entry.record for entry in entries if entry.spec.name == first)
    kept = []
    for entry in entries:
        if scoring := other_scoring(entry.record, base):
            notes.append(f"{entry.spec.name} is left out: {scoring}")
        else:
            kept.append(entry)
    return kept


def _accepted(lab: Lab, task_set: str) -> Iterator[str]:
    """The variants that were accepted on a task set, in the order of the configuration."""
    for name in lab.config.variants:
        if lab.baseline_path(name, task_set).exists():
            yield name


def _reference(specs: Sequence[VariantSpec]) -> str:
    """The first variant without a base, or the base of the first."""
    for spec in specs:
        if spec.base is None:
            return spec.name
    return specs[0].base or specs[0].name


def _scenarios(lab: Lab, names: Sequence[str] | None) -> list[Scenario]:
    known = lab.config.scenarios
    for name in names or ():
        if name not in known:
            raise GateUsageError(f"unknown scenario {name!r}; {near_misses(name, known)}")
    return [known[name] for name in names or known]


def _entry(
    lab: Lab,
    spec: VariantSpec,
    name: str,
    reference: str,
    share: float,
    notes: list[str],
    metric: str | None,
    *,
    timed: bool,
    stored: bool,
) -> Entry | str:
    """What is known of a variant; a sentence's end where that is too little and nothing may run."""
    from pytest_modellab.tradeoff.entry import Entry

    baseline = lab.accepted(spec.name, name)
    variant, task_set = lab.variant(spec.name), lab.task_set(name)
    found = _record(lab, variant, task_set, baseline, stored=stored)
    if found is None:
        return f"has no stored run on {name!r}"
    record, source = found
    performance: Performance | None = None
    if timed:
        obtain = lab.stored_performance if stored else lab.performance
        try:
            performance = obtain(variant, task_set, lab.variant(reference))
        except ModellabError as error:
            notes.append(f"no latency of {spec.name}: {_first_line(error)}")
    same = baseline is not None and _same(baseline, variant, task_set)
    return Entry(
        spec=spec,
        record=record,
        source=source,
        performance=performance,
        price=_price(lab, spec, record, performance),
        training_usd=_training(lab, spec),
        disk_bytes=_disk(lab, variant),
        churn=baseline.churn if baseline is not None and same else None,
        baseline={} if baseline is None else _means(baseline.run, task_set, metric),
        history=() if baseline is None else _history(lab, spec.name, task_set, metric),
        elsewhere=tuple(_elsewhere(lab, spec, name, reference, share, notes, metric)),
        dollars=pricing.dollars(record.probes, spec, _device(record), lab.config.prices),
        preprocessing=lab.unlike_base(variant),
    )


def _record(
    lab: Lab, variant: Resolved, task_set: TaskSet, baseline: Baseline | None, *, stored: bool
) -> tuple[RunRecord, Source] | None:
    """This session's run or the store's, else the accepted one if it is of the same variant."""
    reuse = stored or lab.settings.reuse
    record = lab.stored(variant, task_set, reuse=reuse)
    if record is not None:
        return record, "stored"
    if baseline is not None and reuse and _same(baseline, variant, task_set):
        return baseline.run, "accepted"
    return None if stored else (lab.record(variant, task_set), "run")


def _means(record: RunRecord, task_set: TaskSet, metric: str | None) -> dict[str, float]:
    """An accepted run's mean by capability; empty where it is of other samples or lacks the metric.

    Of a metric on the samples of multiple choice alone, as of all whose replies are not read.
    """
    from pytest_modellab.runs.summary import summarize

    if record.task_set["hash"] != task_set.hash:
        return {}
    if metric is not None:
        try:
            asked = judged_by(metric, task_set)
            record, task_set = under(record, metric, asked, task_set), asked
        except ComparisonRefused:
            return {}
    return {found.name: found.mean for found in summarize(record, task_set).capabilities}


def _history(
    lab: Lab, variant: str, task_set: TaskSet, metric: str | None
) -> tuple[tuple[str, float], ...]:
    """Days and means of the accepted runs of today's samples, from git; empty without it."""
    from pytest_modellab.baselines import history

    try:
        found = history.read(lab.baseline_path(variant, task_set.name), {}, metric)
    except HistoryUnavailable:
        return ()
    return tuple(
        (revision.date or revision.commit, revision.mean)
        for revision in found
        if not revision.problem
        and revision.task_set == task_set.hash
        and not math.isnan(revision.mean)
    )


def _elsewhere(
    lab: Lab,
    spec: VariantSpec,
    task_set: str,
    reference: str,
    share: float,
    notes: list[str],
    metric: str | None,
) -> Iterator[Comparison]:
    """Forgetting on the other task sets that variant and reference were accepted on.

    What is best in its own domain may have forgotten everything else.
    """
    from pytest_modellab.records.asked import Budget
    from pytest_modellab.tradeoff import judge

    budget = Budget(share, lab.settings.alpha)
    for name, settings in lab.config.task_sets.items():
        if name == task_set or spec.name == reference:
            continue
        try:
            own, base = lab.accepted(spec.name, name), lab.accepted(reference, name)
            second = None if base is None else base.second_run()
            if own is None or base is None or second is None:
                continue
            for variant, baseline in ((spec.name, own), (reference, base)):
                if not _same(baseline, lab.variant(variant), lab.task_set(name)):
                    raise ComparisonRefused(
                        f"the accepted run of {variant} on {name} is of another model or other "
                        f"samples; modellab accept {variant} --task-set {name}"
                    )
            runs, asked = [own.run, base.run, second], lab.task_set(name)
            if metric is not None:  # what the replies say is not read here
                known = judged_by(metric, asked)
                runs, asked = [narrowed(run, known, asked) for run in runs], known
            yield judge.forgetting(
                spec, runs[0], runs[1], runs[2], reference, asked, settings, budget, metric
            )
        except ModellabError as error:
            if not isinstance(error.__cause__, gate.EmptyError):  # nothing that could be lost
                notes.append(
                    f"what {spec.name} forgot on {name} is not judged: {_first_line(error)}"
                )


def _same(baseline: Baseline, variant: Resolved, task_set: TaskSet) -> bool:
    """Whether an accepted run is of today's variant and today's samples."""
    return (
        baseline.run.fingerprint.key == variant.fingerprint.key
        and baseline.run.task_set["hash"] == task_set.hash
    )


def _another(baseline: Baseline, variant: Resolved, task_set: TaskSet) -> str:
    """What an accepted run is of, where that is not today's: ``other samples``."""
    if baseline.run.fingerprint.key == variant.fingerprint.key:
        return "other samples"
    return f"another {variant.spec.name}: its model, prompt or options have changed since"


def _price(
    lab: Lab, spec: VariantSpec, record: RunRecord, performance: Performance | None
) -> Price | None:
    if spec.price is None and "served" in record.fingerprint.settings:
        return None  # this machine only asks
    device = _device(record)
    if performance is not None:
        device = str(performance.environment.get("device", ""))
    return pricing.price_of(spec, device, lab.config.prices)


def _device(record: RunRecord) -> str:
    return str(record.fingerprint.settings.get("device") or "cpu")


def _training(lab: Lab, spec: VariantSpec) -> float | None:
    """Dollars that a variant and what it adapts cost to make; None where a price is missing."""
    total = 0.0
    for made in (made for step in _chain(lab, spec) for made in _made(lab, step)):
        price = cost.price_of(made.device, lab.config.prices)
        if price is None or price.usd_per_hour is None or not 0 <= made.seconds < math.inf:
            return None
        total += made.seconds * price.usd_per_hour / 3600.0
    return total


def _chain(lab: Lab, spec: VariantSpec) -> Iterator[VariantSpec]:
    """A variant and what it adapts, down to the one without a base."""
    yield spec
    while spec.base is not None:
        spec = lab.spec(spec.base)
        yield spec


def _made(lab: Lab, spec: VariantSpec) -> Iterator[Provenance]:
    """The provenance of what a variant consists of: its adapter, or its own weights."""
    from pytest_modellab.recipes import provenance

    for place in _places(lab, spec):
        if (found := provenance.read(place)) is not None:
            yield found


def _places(lab: Lab, spec: VariantSpec) -> list[Path]:
    places = []
    if isinstance(adapter := spec.options.get("adapter"), str):
        places.append(lab.config.root / adapter)
    if spec.model is not None:
        source = lab.config.models[spec.model].source
        if not source.startswith("package:") and (lab.config.root / source).is_dir():
            places.append(lab.config.root / source)
    return places


def _disk(lab: Lab, variant: Resolved) -> float | None:
    """Bytes of the files that a variant is shipped as: its own or the model's, and the adapters'.

    None where it has no model, or a server has it.
    """
    if variant.files.source is NO_MODEL or variant.plan.served is not None:
        return None
    path = variant.plan.weights or variant.files.path
    if path.is_file():
        files = [path, *parts.of_file(variant.files.source, path)]
    else:
        files = [
            file
            for file in variant.files.hashed
            if file.suffix == ".safetensors" or file.name.startswith(ctranslate2.NAME)
        ]
    for step in _chain(lab, variant.spec):
        if isinstance(adapter := step.options.get("adapter"), str):
            files += (lab.config.root / adapter).glob("*.safetensors")
    sizes = [file.stat().st_size for file in files if file.is_file()]
    return float(sum(sizes)) if sizes else None


def _remarks(entries: Sequence[Entry], lab: Lab, reference: str, *, timed: bool) -> list[str]:
    found = []
    judged = {e.spec.name: {one.task_set for one in e.elsewhere} for e in entries}
    for name in sorted(set().union(*judged.values())):
        others = [v for v, sets in judged.items() if name not in sets and v != reference]
        if others:
            found.append(
                f"what {', '.join(others)} forgot on {name} is not known, where others were judged"
            )
    found += noise.sentences(
        ((e.spec.name, e.record.fingerprint) for e in entries), lab.settings.cache
    )
    served = [
        e.spec.name
        for e in entries
        if e.price is None and "served" in e.record.fingerprint.settings
    ]
    if timed and served:
        found.append(
            f"no cost of {', '.join(served)}: what a server costs is not this machine's price; set "
            "price to the name of one in [prices], by tokens or by the hour"
        )
    unpriced = [e.spec.name for e in entries if e.price is None and e.spec.name not in served]
    if timed and unpriced:
        found.append(
            f"no cost of {', '.join(unpriced)}: no price fits the device; set [prices] in "
            f"{lab.config.path}: cpu = {{ usd_per_hour = 0.10 }}"
        )
    unknown = [e.spec.name for e in entries if e.price is not None and e.training_usd is None]
    if unknown:
        found.append(
            f"training of {', '.join(unknown)} is counted as free: no price fits the device that "
            "it was trained on"
        )
    if timed and any(e.performance is None for e in entries):
        lacking = ", ".join(e.spec.name for e in entries if e.performance is None)
        found.append(f"no latency of {lacking}: not measured on this machine; modellab compare")
    return found


def _first_line(error: ModellabError) -> str:
    return str(error).partition("\n")[0]
