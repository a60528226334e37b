"""Training data that holds the test: copied inputs, and long runs of equal words.

After the contamination study of GPT-3 (Brown et al. 2020, "Language Models are Few-Shot Learners",
appendix C): case and punctuation are ignored, one n-gram in common is enough, n is 8 to 13 words
there and 8 here, their least, as inputs of a task set are short. What is boilerplate differs.
GPT-3 ignored n-grams in more than 10 training texts; a template of the test that was filled in
20 times for training would pass so. Here an n-gram is boilerplate only where more than
COMMON_TEXTS training texts and more than COMMON_SAMPLES samples hold it, as they hold an
instruction; words that boilerplate covers count for nothing.

What this cannot see: paraphrases, translations, and fewer than n words in common, unless a whole
input is copied.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TypeAlias

from pytest_modellab.errors import TaskSetError
from pytest_modellab.records.tasks import Sample, TaskSet
from pytest_modellab.store import checkout, hashes, regular
from pytest_modellab.tasksets.lines import objects, parse
from pytest_modellab.tasksets.media import KINDS
from pytest_modellab.tasksets.quality.lint import Finding

LEAST_WORDS = 8
"""Words in a row, boilerplate aside, that a sample and a training text may not share."""


COMMON_TEXTS, COMMON_SAMPLES = 10, 2
"""Boilerplate stands in more different training texts than this, and in more samples."""


SHOWN = 16
"""Most shared words that a message quotes."""


_WORD = re.compile(r"\w+")


_REPLIES = ("reply", "chosen", "rejected")


_Words: TypeAlias = tuple[str, ...]


def read(path: Path) -> tuple[str, ...]:
    """Read the texts of a training file: JSON lines with ``input``, and replies if any.

    Args:
        path: each line an object with ``input``, and ``reply``, or ``chosen`` and ``rejected``;
            other keys are left alone.

    Returns:
        One text a line, the input and under it the replies, so that the n-th text is line n; an
        empty line is an empty text.

    Raises:
        TaskSetError: the file cannot be read or a line is malformed; names file, line and key.
    """
    try:
        text = checkout.text(path.read_bytes(), path)  # which a shell may unpack into a pipe
    except OSError as error:
        raise TaskSetError(f"{path}: cannot be read: {error}") from error
    except checkout.Unready as error:
        raise TaskSetError(f"{path}: {error}") from error
    if not text.strip():
        raise TaskSetError(f"{path}: holds no training data")
    lines = text.removesuffix("\n").split("\n")
    return tuple(
        _text(f"{path}:{number}", line) if line.strip() else ""
        for number, line in enumerate(lines, start=1)
    )


def shown(path: Path) -> dict[str, int]:
    """Hash the images and recordings that a training file names.

    Args:
        path: as of :func:`read`, once it is read; lines may have ``image`` and ``audio``: a path
            from the file's folder, a table with ``path`` or ``sha256``, or a list of them.

    Returns:
        sha256 → the first line that names it.

    Raises:
        TaskSetError: a file cannot be read; names file and line.
    """
    found: dict[str, int] = {}
    if not path.is_file():  # a pipe is read once, and paths in it begin nowhere
        return found
    for where, _, data in objects(path):
        number = int(where.rpartition(":")[2])
        for kind in KINDS:
            listed = data.get(kind, [])
            for one in listed if isinstance(listed, list) else [listed]:
                table = one if isinstance(one, dict) else {"path": one}
                sha256 = table.get("sha256")
                if not isinstance(sha256, str):
                    sha256 = _hashed(f"{where}: {kind}", path.parent, table.get("path"))
                found.setdefault(sha256, number)
    return found


def shown_again(
    task_set: TaskSet, training: Mapping[str, int], *, source: str = "training data"
) -> tuple[Finding, ...]:
    """Find the samples whose image or recording a model has met in training.

    Args:
        task_set: its samples' files are looked for, by their sha256.
        training: from :func:`shown`.
        source: what messages call the training data.

    Returns:
        One error ``leak-media`` a leaking sample, in the task set's order.
    """
    findings = []
    for sample in task_set.samples:
        for one in sample.media:
            if one.sha256 in training:
                message = (
                    f"{sample.id} shows {Path(one.path).name}, which stands in "
                    f"{source}:{training[one.sha256]}; remove that line from the training data, or "
                    "the sample"
                )
                findings.append(Finding("error", "leak-media", message))
                break
    return tuple(findings)


def leaks(
    task_set: TaskSet,
    training: Iterable[str],
    *,
    n: int = LEAST_WORDS,
    source: str = "training data",
) -> tuple[Finding, ...]:
    """Find the samples whose input a model has met in training.

    Args:
        task_set: its samples' inputs are looked for; choices and targets are not. Of samples that
            show an image or a recording the words may be those of all: :func:`shown_again` is for
            them.
        training: all that a model is trained on, a text an example (see :func:`read`).
        n: words in a row that must not be shared.
        source: what messages call the training data; texts are numbered from 1.

    Returns:
        One error a leaking sample, in the task set's order: ``leak-copy`` where the lines of its
        input stand in a training text, but for case and space, ``leak-overlap`` where n words in
        a row do.

    Raises:
        ValueError: n is below 1.
    """
    if n < 1:
        raise ValueError(f"n is {n}; at least one word must be compared")
    samples = [sample for sample in task_set.samples if not sample.media]
    inputs = {sample.id: _words(sample.input) for sample in samples}
    counts = Counter(gram for words in inputs.values() for gram in set(_grams(words, n)))
    openings: dict[str, list[tuple[Sample, _Words]]] = {}
    for sample in samples:
        lines = _lines(sample.input)
        openings.setdefault(lines[0], []).append((sample, lines))

    copies: dict[str, int] = {}
    holders: dict[_Words, list[int]] = {}
    seen: set[_Words] = set()
    for number, text in enumerate(training, start=1):
        lines = _lines(text)
        for at, line in enumerate(lines):
            for sample, own in openings.get(line, ()):
                if lines[at : at + len(own)] == own:
                    copies.setdefault(sample.id, number)
        words = _words(text)
        if words not in seen:
            seen.add(words)
            for gram in counts.keys() & set(_grams(words, n)):
                holders.setdefault(gram, []).append(number)

    boilerplate = {
        gram
        for gram, numbers in holders.items()
        if len(numbers) > COMMON_TEXTS and counts[gram] > COMMON_SAMPLES
    }
    findings = []
    for sample in samples:
        if sample.id in copies:
            message = (
                f"{sample.id} stands word for word in {source}:{copies[sample.id]}; "
                "remove that line from the training data, or the sample"
            )
            findings.append(Finding("error", "leak-copy", message))
        elif shared := _shared(inputs[sample.id], n, holders, boilerplate):
            findings.append(Finding("error", "leak-overlap", _overlap(sample, shared, source)))
    return tuple(findings)


def _hashed(where: str, folder: Path, name: object) -> str:
    if not isinstance(name, str) or not name or "\0" in name:
        raise TaskSetError(f"{where}: names no file and no sha256; give it one of them")
    try:
        regular.check(folder / name)
        return hashes.sha256(folder / name)
    except OSError as error:
        raise TaskSetError(f"{where}: {folder / name}: cannot be read: {error}") from error


def _text(where: str, line: str) -> str:
    data = parse(where, line)
    if "input" not in data:
        keys = ", ".join(repr(key) for key in sorted(data)) or "nothing"
        raise TaskSetError(f"{where}: input: missing; the line holds {keys}")
    parts = {key: data[key] for key in ("input", *_REPLIES) if key in data}
    for key, value in parts.items():
        if not isinstance(value, str):
            name = type(value).__name__
            raise TaskSetError(f"{where}: {key}: {value!r} is {name}, expected str")
    if not data["input"].strip():
        raise TaskSetError(f"{where}: input: empty")
    return "\n".join(parts.values())


def _words(text: str) -> _Words:
    return tuple(_WORD.findall(text.casefold()))


def _lines(text: str) -> _Words:
    """Lines that are not empty, in lower case and with single spaces."""
    lines = (" ".join(line.split()) for line in text.casefold().splitlines())
    return tuple(line for line in lines if line)


def _grams(words: _Words, n: int) -> list[_Words]:
    return [words[at : at + n] for at in range(len(words) - n + 1)]


def _shared(
    words: _Words, n: int, holders: dict[_Words, list[int]], boilerplate: set[_Words]
) -> dict[int, _Words]:
    """The longest run of shared words by training text, without what boilerplate covers."""
    grams = _grams(words, n)
    covered = {at + i for at, gram in enumerate(grams) if gram in boilerplate for i in range(n)}
    starts: dict[int, list[int]] = {}
    for at, gram in enumerate(grams):
        if covered.isdisjoint(range(at, at + n)):
            for number in holders.get(gram, ()):
                starts.setdefault(number, []).append(at)
    return {number: _longest(words, n, places) for number, places in starts.items()}


def _longest(words: _Words, n: int, starts: Sequence[int]) -> _Words:
    """The longest stretch of ``words`` that n-grams at ``starts`` (ascending) make up."""
    runs = [[starts[0], starts[0]]]
    for at in starts[1:]:
        if at == runs[-1][1] + 1:
            runs[-1][1] = at
        else:
            runs.append([at, at])
    first, last = max(runs, key=lambda run: run[1] - run[0])
    return words[first : last + n]


def _overlap(sample: Sample, shared: dict[int, _Words], source: str) -> str:
    number, words = max(shared.items(), key=lambda item: (len(item[1]), -item[0]))
    others = len(shared) - 1
    more = f" (and {others} more {'line' if others == 1 else 'lines'})" if others else ""
    quoted = " ".join(words[:SHOWN]) + (" …" if len(words) > SHOWN else "")
    return (
        f"{sample.id} shares {len(words)} words in a row with {source}:{number}{more}: "
        f"'{quoted}'; reword or remove {'those lines' if others else 'that line'} in the training "
        "data, or remove the sample"
    )
