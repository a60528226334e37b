"""The task-set linter: what makes a task set unable to show a regression."""

from __future__ import annotations

import dataclasses
import itertools
import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Literal, TypeAlias

from pytest_modellab.media import formats
from pytest_modellab.records.media import Media
from pytest_modellab.records.tasks import Sample, TaskSet
from pytest_modellab.records.windows import is_document

LEAST_BUCKET = 20
"""Fewer samples than this in a bucket prove nothing but a collapse."""


LEAST_GAP, SATURATED = 0.15, 0.95
"""A capability is calibrated between chance + LEAST_GAP and SATURATED."""


NEAR = 0.85
"""Jaccard similarity of two inputs' word trigrams from which they count as near-duplicates."""


BIAS_RISK = 0.001
"""Chance of a false alarm of the answer-position test, per capability."""


LEAST_SIDE, LEAST_SECONDS = 8, 0.1
"""Pixels of an image's shorter side, and length of a recording, below which nothing is seen."""


LEAST_NAME = 3
"""Letters of an answer that a file's name can be said to hold."""


NAMED = 5
"""How many samples a message names."""


_WORD = re.compile(r"\w+|[^\w\s]")


Level: TypeAlias = Literal["error", "warning"]


@dataclasses.dataclass(frozen=True)
class Finding:
    """One thing that is wrong, or suspicious, with a task set.

    Attributes:
        level: ``error`` where the task set should not be used, else ``warning``.
        rule: short name of the rule.
        message: what, where, and what to do.
    """

    level: Level
    rule: str
    message: str

    def __str__(self) -> str:
        return f"{self.level}: {self.rule}: {self.message}"


def errors(samples: Sequence[Sample]) -> tuple[Finding, ...]:
    """Look for what is an error before any base has answered; thousands of samples in a moment.

    Args:
        samples: of a task set that is read without an error.

    Returns:
        The errors that :func:`check` finds in them without scores.
    """
    found = itertools.chain(_same(samples), _position_bias(samples))
    return tuple(sorted(found, key=lambda f: (f.rule, f.message)))


def check(task_set: TaskSet, scores: Mapping[str, float] | None = None) -> tuple[Finding, ...]:
    """Look for what keeps a task set from showing a regression.

    Duplicate ids, missing fields and wrong targets are found when the task set is read
    (:func:`pytest_modellab.tasksets.jsonl.read`).

    Args:
        task_set: read without an error.
        scores: score of each sample by id, of the base model, for the calibration; None skips it.

    Returns:
        Findings, errors first.
    """
    rules = (
        _bucket_sizes(task_set.samples),
        _duplicates(tuple(s for s in task_set.samples if not is_document(s))),
        _copies(filter(is_document, task_set.samples)),
        _position_bias(task_set.samples),
        _calibration(task_set.samples, scores or {}),
        _shown_twice(task_set.samples),
        _telling_names(task_set.samples),
        _unpinned(task_set.samples),
        _misnamed(task_set.samples),
        _tiny(task_set.samples),
    )
    found = itertools.chain.from_iterable(rules)
    return tuple(sorted(found, key=lambda f: (f.level, f.rule, f.message)))


def chance(samples: Iterable[Sample]) -> float:
    """Return the mean score of guessing: 1 / number of choices, 0 where nothing is chosen."""
    shares = [1 / len(s.choices) if _chooses(s) else 0.0 for s in samples]
    return math.fsum(shares) / len(shares)


def _chooses(sample: Sample) -> bool:
    """Whether one of the choices is right; a pair's other text is the only one, and is not."""
    return bool(sample.choices) and isinstance(sample.target, int)


def by_capability(samples: Iterable[Sample]) -> dict[str, list[Sample]]:
    """Group samples by capability, sorted by name."""
    groups: dict[str, list[Sample]] = {}
    for sample in samples:
        groups.setdefault(sample.capability, []).append(sample)
    return dict(sorted(groups.items()))


def _bucket_sizes(samples: Iterable[Sample]) -> Iterable[Finding]:
    for bucket, count in sorted(Counter(s.bucket for s in samples).items()):
        if count < LEAST_BUCKET:
            held = f"{count} sample{'' if count == 1 else 's'}"
            yield Finding(
                "warning",
                "small-bucket",
                f"{bucket} has {held}, fewer than {LEAST_BUCKET}: add some",
            )


def _duplicates(samples: tuple[Sample, ...]) -> Iterable[Finding]:
    """Compare inputs by their word trigrams; samples of one cluster are alike on purpose."""
    found_in = [_wording(s) for s in samples]
    holders: dict[tuple[str, ...], list[int]] = {}
    for index, found in enumerate(found_in):
        for shingle in found:
            holders.setdefault(shingle, []).append(index)
    shared: Counter[tuple[int, int]] = Counter()
    for indices in holders.values():
        shared.update(itertools.combinations(indices, 2))
    for (a, b), count in sorted(shared.items()):
        similarity = count / (len(found_in[a]) + len(found_in[b]) - count)
        first, second = samples[a], samples[b]
        if first.input == second.input and first.choices == second.choices:
            yield _duplicate(first.id, second.id)
        elif similarity >= NEAR and (first.cluster is None or first.cluster != second.cluster):
            yield Finding(
                "warning",
                "near-duplicate",
                f"{first.id} and {second.id} share {similarity:.0%} of their wording: reword one, "
                "or give both the same 'cluster'",
            )


def _copies(read: Iterable[Sample]) -> Iterable[Finding]:
    """Look for documents of the same text; longer texts are not compared by their wording."""
    first: dict[str, str] = {}
    for sample in read:
        other = first.setdefault(sample.input, sample.id)
        if other != sample.id:
            yield _duplicate(other, sample.id)


def _same(samples: Iterable[Sample]) -> Iterable[Finding]:
    """Look for samples that ask the same and offer the same."""
    first: dict[tuple[object, ...], str] = {}
    for sample in samples:
        other = first.setdefault(
            (sample.input, sample.choices, *map(tuple, sample.shown)), sample.id
        )
        if other != sample.id:
            yield _duplicate(other, sample.id)


def _duplicate(first: str, second: str) -> Finding:
    return Finding("error", "duplicate", f"{first} and {second} are the same; remove one")


def _wording(sample: Sample) -> frozenset[tuple[str, ...]]:
    """What a sample asks, by its words; the same words about another picture ask something else."""
    about = (str(sample.shown),) if sample.media else ()
    return frozenset((*about, *words) for words in shingles(sample.input))


def shingles(text: str) -> frozenset[tuple[str, ...]]:
    """Return the word trigrams of a text, by which its wording is compared."""
    words = _WORD.findall(text.casefold())
    return frozenset(zip(words, words[1:], words[2:], strict=False)) or frozenset({tuple(words)})


def _position_bias(samples: Iterable[Sample]) -> Iterable[Finding]:
    """Test in each capability whether the right answer prefers a position (exact binomial)."""
    for capability, group in by_capability(samples).items():
        for count, same in itertools.groupby(
            sorted(filter(_chooses, group), key=lambda s: len(s.choices)),
            key=lambda s: len(s.choices),
        ):
            members = list(same)
            positions = Counter(s.target for s in members)
            for position in range(count):
                hits, n = positions[position], len(members)
                risk = 2 * count * min(_tail(n, 1 / count, hits), _head(n, 1 / count, hits))
                if risk < BIAS_RISK:
                    yield Finding(
                        "error",
                        "position-bias",
                        f"{capability}: choice {position} is right in {hits} of {n} samples with "
                        f"{count} choices; shuffle the choices",
                    )


def _head(n: int, p: float, k: int) -> float:
    """P(Binomial(n, p) ≤ k)."""
    return math.fsum(math.comb(n, i) * p**i * (1 - p) ** (n - i) for i in range(k + 1))


def _tail(n: int, p: float, k: int) -> float:
    """P(Binomial(n, p) ≥ k)."""
    return _head(n, 1 - p, n - k)


def _calibration(samples: Iterable[Sample], scores: Mapping[str, float]) -> Iterable[Finding]:
    # what a pair adds to a rank correlation is no share of right answers, nor is a likelihood
    judged = [s for s in samples if not is_document(s) and (_chooses(s) or not s.choices)]
    for capability, group in by_capability(judged).items():
        known = [scores[s.id] for s in group if s.id in scores]
        if not known:
            continue
        mean, guess = math.fsum(known) / len(known), chance(group)
        # of a handful, a mean says little: all right by chance, or all wrong
        level: Level = "error" if len(known) >= LEAST_BUCKET else "warning"
        if mean < guess + LEAST_GAP:
            yield Finding(
                level,
                "chance-level",
                f"{capability}: the base scores {mean:.2f}, chance is {guess:.2f}; less than "
                f"{LEAST_GAP} above chance a regression cannot show: make it easier",
            )
        if mean > SATURATED:
            yield Finding(
                level,
                "saturated",
                f"{capability}: the base scores {mean:.2f}, above {SATURATED}: make it harder",
            )


def _shown_twice(samples: Iterable[Sample]) -> Iterable[Finding]:
    """Look for a picture or recording under samples that count as independent."""
    holders: dict[str, dict[str, Sample]] = {}
    names: dict[str, str] = {}
    for sample in samples:
        for one in sample.media:
            holders.setdefault(one.sha256, {})[sample.id] = sample
            names.setdefault(one.sha256, _name(one))
    for sha256, found in holders.items():
        clusters = {sample.cluster for sample in found.values()}
        if len(found) > 1 and (len(clusters) > 1 or None in clusters):
            yield Finding(
                "warning",
                "same-media",
                f"{names[sha256]} stands under {_some(found)}: what one of them tells, the others "
                "tell again; give them the same 'cluster'",
            )


def _telling_names(samples: Iterable[Sample]) -> Iterable[Finding]:
    """Look for the right answer in the names of files."""
    found = [s.id for s in samples if any(_tells(Path(one.path).stem, s) for one in s.media)]
    if found:
        yield Finding(
            "warning",
            "telling-name",
            f"{_some(found)}: the file's name holds the answer, and an engine, a report or a "
            "prompt may show it; name files by number",
        )


def _tells(stem: str, sample: Sample) -> bool:
    answer = sample.choices[sample.target] if _chooses(sample) else sample.target
    if not isinstance(answer, str) or len(answer.strip()) < LEAST_NAME:
        return False
    words = [re.findall(r"[^\W_]+", text.casefold()) for text in (answer, stem)]
    return bool(words[0]) and f" {' '.join(words[0])} " in f" {' '.join(words[1])} "


def _unpinned(samples: Iterable[Sample]) -> Iterable[Finding]:
    """Look for what is made where a task set is read, though nothing says what it must be."""
    found = [s.id for s in samples if any(one.generator and not one.pinned for one in s.media)]
    if found:
        yield Finding(
            "warning",
            "unpinned-media",
            f"{_some(found)}: made by a generator, and no 'sha256' says what; where another "
            "version of a library draws other bytes, nobody is told: name the sha256",
        )


def _misnamed(samples: Iterable[Sample]) -> Iterable[Finding]:
    """Look for files whose names say another format; they are read as what they are."""
    for path, kind in sorted({(one.path, one.format) for s in samples for one in s.media}):
        right = formats.SUFFIXES.get(kind, ())
        suffix = Path(path).suffix.lower()
        other = any(suffix in names for of, names in formats.SUFFIXES.items() if of != kind)
        if other and suffix not in right:
            yield Finding(
                "warning",
                "misnamed-media",
                f"{Path(path).name} is {kind}: it is read as that, and other tools may go by its "
                f"name; call it {Path(path).stem}{right[0]}",
            )


def _tiny(samples: Iterable[Sample]) -> Iterable[Finding]:
    """Look for media in which there is next to nothing."""
    found = [s.id for s in samples if any(map(_is_tiny, s.media))]
    if found:
        yield Finding(
            "warning",
            "tiny-media",
            f"{_some(found)}: an image with a side below {LEAST_SIDE} pixels, or a recording below "
            f"{LEAST_SECONDS} s; look at the file",
        )


def _is_tiny(one: Media) -> bool:
    if one.kind == "image":
        return 0 < min(one.width, one.height) < LEAST_SIDE
    return 0 < one.seconds < LEAST_SECONDS


def _name(one: Media) -> str:
    return f"what {one.generator} makes" if one.generator else Path(one.path).name


def _some(ids: Iterable[str]) -> str:
    named = sorted(ids)
    more = f" and {len(named) - NAMED} more" if len(named) > NAMED else ""
    return f"{', '.join(named[:NAMED])}{more}"
