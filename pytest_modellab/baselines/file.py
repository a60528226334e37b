"""Accepted runs: read, check, write. One sample a line, so that a change can be reviewed."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeVar

from pytest_modellab.baselines.accepted import Anchor, Baseline, Despite, Repeat
from pytest_modellab.errors import BaselineInvalid
from pytest_modellab.records import reading
from pytest_modellab.records.graded import DECISION_MARGIN, GRADED, NOISE
from pytest_modellab.records.hashing import canonical_json, digest
from pytest_modellab.records.runs import RunRecord
from pytest_modellab.records.windows import BITS, TOTAL
from pytest_modellab.store import atomic, checkout, links, regular

SCHEMA = 3
"""Version of the file's layout; 2 has the second run and the anchor, 3 has their metrics."""


def _scores_alone(data: dict[str, Any]) -> dict[str, Any]:
    """Bring a file from schema 2 to 3: of other runs it has the scores and no metrics."""
    found = {**data, "schema": 3}
    for name in ("repeat", "anchor"):
        if isinstance(data.get(name), dict):
            found[name] = {**data[name], "metrics": []}
    return found


MIGRATIONS: Mapping[int, Callable[[dict[str, Any]], dict[str, Any]]] = MappingProxyType(
    {
        1: lambda data: {**data, "schema": 2, "anchor": None, "repeat": None},
        2: _scores_alone,
    }
)
"""Old schema → the function that brings a file one schema further."""


DESPITE = "accepted_despite"
"""The key that stands only where a chain begins with a run that is worse than its base."""


PRICED = "usd_per_million_documents"
"""A probe that older versions kept, at the price of that day; it is not read."""


_NAMED = {
    "task_set": ("name", "version", "hash"),
    "variant": ("name", "kind", "strategy", "base"),
}
"""The keys of a run's tables; all but the base are strings."""


_OPTIONAL = {"task_set": ("limited",)}
"""Those that need not be there."""


_Kept = TypeVar("_Kept", Repeat, Anchor)


def path_of(folder: Path, task_set: str, variant: str) -> Path:
    """Return where the baseline of a variant on a task set lies."""
    return folder / task_set / f"{variant}.json"


def write(path: Path, baseline: Baseline) -> None:
    """Write an accepted run, whole or not at all.

    Per-sample seconds are left out: they would change every line of every accepted run.

    Args:
        path: destination.
        baseline: the run with its second run and anchor.

    Raises:
        OSError: the folder cannot be written; the old file is untouched.
    """
    data = _to_data(baseline)
    samples = ",\n".join(canonical_json(sample) for sample in data.pop("samples"))
    header = json.dumps(data, indent=1, sort_keys=True, ensure_ascii=False)
    atomic.write_text(path, f'{header[:-2]},\n "samples": [\n{samples}\n]\n}}\n')


def read(path: Path) -> Baseline | None:
    """Read an accepted run.

    Args:
        path: where it should lie.

    Returns:
        The baseline, or None where there is no file.

    Raises:
        BaselineInvalid: the file is truncated, was edited, has another schema or layout, or links
            lead out of the folder of all baselines.
    """
    anew = f"modellab accept {path.stem} --task-set {path.parent.name} --new-anchor"
    mend = f"restore it (git checkout -- {path}) or record it again ({anew})"
    if out := links.leads_out(path, path.parent.parent):
        raise BaselineInvalid(f"{path}: {out}; put the file itself there, or {mend}")
    try:
        content = regular.read_bytes(path)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise BaselineInvalid(f"{path}: cannot be read: {error.strerror}") from error
    return parse(content, path, mend)


def parse(content: bytes, path: Path, mend: str, where: str = "") -> Baseline:
    """Read an accepted run from a file's content.

    Args:
        content: what :func:`write` wrote.
        path: the file, for messages.
        mend: what to do about a damaged one, for messages.
        where: begins the messages in place of the path, for example a commit.

    Returns:
        The baseline.

    Raises:
        BaselineInvalid: the content is truncated, was edited, or has another schema or layout.
    """
    where = where or str(path)
    if said := checkout.standing_in(content, path) or checkout.wide(content):
        raise BaselineInvalid(f"{where}: {said}")
    if said := checkout.conflict(content):
        raise BaselineInvalid(
            f"{where}: {said}: take one side whole (git checkout --ours -- {path}, or --theirs), "
            "run the tests, and accept what they then find if it is wanted: "
            f"modellab accept {path.stem} --task-set {path.parent.name}"
        )
    try:
        data = json.loads(content.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise BaselineInvalid(
            f"{where}: truncated or malformed UTF-8 ({error.reason}); {mend}"
        ) from error
    except json.JSONDecodeError as error:
        raise BaselineInvalid(
            f"{where}:{error.lineno}: truncated or malformed JSON ({error.msg}); {mend}"
        ) from error
    except (ValueError, RecursionError) as error:  # a number too long, brackets too deep
        raise BaselineInvalid(f"{where}: malformed JSON ({error}); {mend}") from error
    if not isinstance(data, dict) or type(data.get("schema")) is not int:
        raise BaselineInvalid(f"{where}: schema: missing, so this is no baseline; {mend}")
    # before the digest, which another schema may compute otherwise
    if data["schema"] != SCHEMA and data["schema"] not in MIGRATIONS:
        raise BaselineInvalid(
            f"{where}: schema {data['schema']} was written by another version of pytest-modellab "
            f"(this one reads up to {SCHEMA}); install that version, or {mend}"
        )
    stated = data.pop("digest", None)
    try:
        found = digest(data)
    except (ValueError, RecursionError):  # NaN, half a surrogate pair: never written by write()
        found = None
    if found is None or stated != found:
        raise BaselineInvalid(
            f"{where}: digest: the content does not match it, so the file was edited or "
            f"merged by hand; {mend}"
        )
    while data["schema"] in MIGRATIONS:
        data = MIGRATIONS[data["schema"]](data)
    try:
        return _from_data(data)
    except reading.Unfit as error:
        raise BaselineInvalid(
            f"{where}: not laid out as schema {SCHEMA}: {error}; {mend}"
        ) from error


def same_answers(a: RunRecord, b: RunRecord, again: Repeat | None = None) -> bool:
    """Tell whether two runs differ in nothing but time, environment and noise.

    Args:
        a: a run.
        b: another one.
        again: the first one's second run, see :func:`moved`.
    """
    return _answers(a) == _answers(b) and not moved(a, b, again)


def moved(a: RunRecord, b: RunRecord, again: Repeat | None = None) -> bool:
    """Tell whether a graded metric that both runs have is another one.

    It is where its mean moved by more than :data:`NOISE`, or any sample's by more than that and
    twice what the second run moved one: where weights are rounded to 4 bits, other batches alone
    move some samples by 0.08, up as often as down.

    Args:
        a: a run.
        b: another one of the same samples, in the same order.
        again: the first one's second run.
    """
    for name in GRADED:
        apart = _apart(name, a, (sample.metrics.get(name) for sample in b.samples))
        scatter = _apart(name, a, again.metrics.get(name, ()) if again is not None else ())
        allowed = max(NOISE, 2 * max(map(abs, scatter), default=0.0))
        if max(map(abs, apart), default=0.0) > allowed:
            return True
        if apart and abs(math.fsum(apart)) > NOISE * len(apart):
            return True
    return False


def _apart(name: str, run: RunRecord, others: Iterable[float | None]) -> list[float]:
    """How far a metric lies from a run's, of the samples that have it in both."""
    return [
        other - sample.metrics[name]
        for sample, other in zip(run.samples, others, strict=False)
        if other is not None and name in sample.metrics
    ]


def _answers(record: RunRecord) -> dict[str, Any]:
    data = _to_data(Baseline(record))
    for measured in ("digest", "probes", "environment"):
        del data[measured]
    for sample in data["samples"]:  # what has last digits that differ between machines
        sample.pop("confidence", None)
        if TOTAL in sample.get("metrics", {}):  # a document, whose score is its likelihood
            del sample["score"], sample["output"], sample["metrics"][TOTAL]
            del sample["metrics"][BITS]
        if "metrics" in sample:
            sample["metrics"] = {
                name: None if name in (*GRADED, DECISION_MARGIN) else value
                for name, value in sample["metrics"].items()
            }
    return data


def _to_data(baseline: Baseline) -> dict[str, Any]:
    run, repeat, anchor = baseline.run, baseline.repeat, baseline.anchor
    data: dict[str, Any] = {"schema": SCHEMA}
    for name in ("task_set", "variant", "scorers", "probes", "environment"):
        data[name] = dict(getattr(run, name))
    data["fingerprint"] = {
        **dataclasses.asdict(run.fingerprint),
        "settings": dict(run.fingerprint.settings),
    }
    data["repeat"] = data["anchor"] = None
    # what is one a sample goes into its line; the names of the metrics stand here once
    if repeat is not None:
        data["repeat"] = {
            "environment": dict(repeat.environment),
            "metrics": list(repeat.metrics),
        }
    if anchor is not None:
        data["anchor"] = {
            "accepted": anchor.accepted,
            "fingerprint": anchor.fingerprint,
            "metrics": list(anchor.metrics),
            "recorded": anchor.recorded,
        }
    if baseline.despite is not None:
        data[DESPITE] = dataclasses.asdict(baseline.despite)
    data["samples"] = []
    for i, sample in enumerate(run.samples):
        line = {k: v for k, v in dataclasses.asdict(sample).items() if k != "seconds"}
        for optional in ("stability", "confidence", "metrics"):
            if not line[optional] and line[optional] != 0.0:
                del line[optional]
        for name, other in (("repeat", repeat), ("anchor", anchor)):
            if other is not None:
                score, further = other.scores[i], [values[i] for values in other.metrics.values()]
                line[name] = [score, *further] if further else score
        data["samples"].append(line)
    return {**data, "digest": digest(data)}


def _from_data(data: dict[str, Any]) -> Baseline:
    """Make a baseline of parsed JSON.

    Raises:
        Unfit: it is not laid out as :func:`_to_data` does.
    """
    del data["schema"]
    reading.table(data, "", "repeat", "anchor", "samples")
    repeat, anchor, samples = data.pop("repeat"), data.pop("anchor"), data.pop("samples")
    despite = _despite(data.pop(DESPITE)) if DESPITE in data else None
    if not isinstance(samples, list) or not samples:
        raise reading.Unfit(f"samples: {reading.shown(samples)}: expected a list of samples")
    lines = [reading.table(line, f"samples[{k}]") for k, line in enumerate(samples)]
    again = _kept(Repeat, "repeat", repeat, lines)
    first = _kept(Anchor, "anchor", anchor, lines)
    run = reading.build(RunRecord, {**data, "samples": lines})
    for name, keys in _NAMED.items():
        found = reading.table(getattr(run, name), name, *keys)
        for key in found:
            if key not in (*keys, *_OPTIONAL.get(name, ())):
                raise reading.Unfit(f"{reading.within(name, key)}: unknown key")
            if key != "base":
                reading.checked(str, found[key], reading.within(name, key))
    versions = run.fingerprint.settings.get("versions", {})
    reading.checked(Mapping[str, str], versions, "fingerprint.settings.versions")
    places: dict[str, int] = {}
    for k, sample in enumerate(run.samples):
        if (other := places.setdefault(sample.id, k)) != k:
            raise reading.Unfit(f"samples[{k}].id: {sample.id!r} stands in samples[{other}] too")
        for name in GRADED:
            if name in sample.metrics:
                where = reading.within(f"samples[{k}].metrics", name)
                reading.checked(reading.Share, sample.metrics[name], where)
    probes = {name: value for name, value in run.probes.items() if name != PRICED}
    return Baseline(dataclasses.replace(run, probes=probes), again, first, despite)


def _despite(found: object) -> Despite:
    """What a first run was accepted in spite of.

    Raises:
        Unfit: it says nothing, or something else.
    """
    despite = reading.build(Despite, found, DESPITE)
    if not despite.fell:
        raise reading.Unfit(f"{DESPITE}.fell: nothing stands there")
    return despite


def _kept(
    kind: type[_Kept], name: str, header: object, lines: Sequence[dict[str, Any]]
) -> _Kept | None:
    """Take another run's header, and its score and metrics out of each sample's line.

    A line has the score alone where the header names no metric, and else a list: the score, and
    a figure for each of them.
    """
    if header is None:
        return None
    values = reading.table(header, name, "metrics")
    if "scores" in values:
        raise reading.Unfit(f"{name}.scores: unknown key")
    names = reading.checked(tuple[str, ...], values["metrics"], f"{name}.metrics")
    if len(set(names)) < len(names):
        raise reading.Unfit(f"{name}.metrics: {reading.shown(names)}: one stands there twice")
    hints: list[Any] = [reading.Share | None]
    hints += [reading.Share | None if one in GRADED else float | None for one in names]
    rows = []
    for k, line in enumerate(lines):
        reading.table(line, f"samples[{k}]", name)
        place, own = f"samples[{k}].{name}", line.pop(name)
        if names:
            row = reading.checked(tuple[Any, ...], own, place)
            if len(row) != len(hints):
                raise reading.Unfit(f"{place}: {reading.shown(own)}: expected {len(hints)} numbers")
            for at, (hint, value) in enumerate(zip(hints, row, strict=True)):
                reading.checked(hint, value, f"{place}[{at}]")
        else:
            row = (reading.checked(hints[0], own, place),)
        rows.append(row)
    scores, *columns = map(list, zip(*rows, strict=True))
    metrics = dict(zip(names, columns, strict=True))
    return reading.build(kind, {**values, "scores": scores, "metrics": metrics}, name)
