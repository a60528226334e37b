"""``modellab gate BASELINE CANDIDATE``: the verdict on scores that somebody has already."""

from __future__ import annotations

import argparse
import dataclasses
import math
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_modellab.cli.common import EXIT_FOUND, EXIT_INCONCLUSIVE, EXIT_OK, Subparsers, save
from pytest_modellab.errors import ModellabError, ScoreFileError
from pytest_modellab.records.reading import decimal

if TYPE_CHECKING:
    from pytest_modellab.scorefiles.rows import Wanted

_DESCRIPTION = """\
Compare a candidate's scores with a baseline's, sample by sample, and say block (exit code 1),
pass (0) or inconclusive (0, or 3 with --on-inconclusive fail). Reads CSV, TSV, JSON lines, Parquet,
samples of lm-evaluation-harness (a file, or the folder of --output_path), logs of inspect_ai,
results of promptfoo and DeepEval, baselines of pytest-modellab; the two may differ in format."""


def add(commands: Subparsers) -> None:
    """Declare the command."""
    gate = commands.add_parser(
        "gate",
        help="the verdict on two files of per-sample scores",
        description=_DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    gate.add_argument("baseline", type=Path, metavar="BASELINE", help="scores to compare with")
    gate.add_argument("candidate", type=Path, metavar="CANDIDATE", help="scores under test")
    read = gate.add_argument_group("what is read (a nested value is named outer.inner)")
    read.add_argument(
        "--id",
        action="append",
        default=[],
        metavar="COLUMN",
        help="the sample's id; given twice, the first that a file has (default: id, sample_id, "
        "doc_id …)",
    )
    read.add_argument(
        "--score",
        "--metric",
        action="append",
        default=[],
        metavar="NAME",
        help="column, metric or scorer; given twice, the first that a file has (default: score, "
        "acc, … or the only metric)",
    )
    read.add_argument(
        "--by",
        action="append",
        default=[],
        metavar="COLUMN",
        help="the sample's bucket; given twice, both joined (default: the task, where a folder "
        "holds several)",
    )
    read.add_argument("--cluster", metavar="COLUMN", help="what samples share: a passage, a form")
    read.add_argument(
        "--hash",
        action="append",
        default=[],
        metavar="COLUMN",
        help="the sample's content, which must be equal on both sides (default: content_hash, "
        "hash, doc_hash, prompt_hash and target_hash, as far as they are there)",
    )
    read.add_argument(
        "--filter",
        metavar="NAME",
        help="the filter of lm-evaluation-harness, or the provider of promptfoo",
    )
    read.add_argument(
        "--repeats",
        choices=("error", "mean"),
        default="error",
        help="rows of the same id: an error, or averaged (default: error; epochs of inspect are "
        "always averaged)",
    )
    read.add_argument(
        "--range",
        nargs=2,
        type=decimal,
        default=(0.0, 1.0),
        metavar=("LOW", "HIGH"),
        help="the metric's range (default: 0 1); margins and floor stay on the scale from 0 to 1",
    )
    read.add_argument("--lower-is-better", action="store_true", help="a high score is bad")
    rule = gate.add_argument_group("what is allowed")
    rule.add_argument(
        "--margin", type=decimal, default=0.02, metavar="DROP", help="mean drop (default: 0.02)"
    )
    rule.add_argument(
        "--bucket-margin",
        type=decimal,
        metavar="DROP",
        help="mean drop of a bucket (default: the margin)",
    )
    rule.add_argument(
        "--floor", type=decimal, metavar="SCORE", help="least mean score of any bucket"
    )
    rule.add_argument(
        "--alpha",
        type=decimal,
        default=0.05,
        metavar="RISK",
        help="of any false block (default: 0.05)",
    )
    rule.add_argument(
        "--max-missing",
        type=decimal,
        default=0.02,
        metavar="SHARE",
        help="share of samples that may not match (default: 0.02)",
    )
    rule.add_argument(
        "--on-inconclusive",
        choices=("fail", "warn", "pass"),
        default="warn",
        help="what an inconclusive verdict does: exit code 3, or 0 (default: warn)",
    )
    out = gate.add_argument_group("reports")
    out.add_argument("--json", type=Path, metavar="PATH", help="every figure and id")
    out.add_argument("--markdown", type=Path, metavar="PATH", help="for a pull request")
    gate.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Run the command; returns its exit code.

    Raises:
        ModellabError: no verdict could be reached, which reports that were asked for say, or one
            of them cannot be written.
    """
    from pytest_modellab import scorefiles
    from pytest_modellab.scorefiles import report
    from pytest_modellab.scorefiles.judge import Rules, judge
    from pytest_modellab.scorefiles.matching import match

    wanted = _wanted(options)
    rules = Rules(
        margin=options.margin,
        bucket_margin=options.bucket_margin,
        floor=options.floor,
        alpha=options.alpha,
        max_missing=options.max_missing,
    )
    try:
        baseline = scorefiles.read(options.baseline, wanted)
        # buckets and clusters are the baseline's
        without = dataclasses.replace(wanted, by=(), cluster=None)
        candidate = scorefiles.read(options.candidate, without)
        judged = judge(match(baseline, candidate), rules)
    except ModellabError as error:
        # what keeps from writing them matters less than what kept from a verdict
        _write(options, report.error_json(error), report.error_markdown(error))
        raise
    unwritten = _write(
        options,
        report.to_json(baseline, candidate, judged, wanted),
        report.to_markdown(baseline, candidate, judged),
    )
    report.show(baseline, candidate, judged)
    if unwritten:
        raise ScoreFileError("; ".join(unwritten))
    if judged.verdict == "block":
        return EXIT_FOUND
    if judged.verdict == "pass" or options.on_inconclusive == "pass":
        return EXIT_OK
    if options.on_inconclusive == "warn":
        print("warning: inconclusive is no pass; --on-inconclusive fail makes it exit code 3")
        return EXIT_OK
    return EXIT_INCONCLUSIVE


def _wanted(options: argparse.Namespace) -> Wanted:
    from pytest_modellab.scorefiles.rows import Wanted

    low, high = options.range
    if not -math.inf < low < high < math.inf:
        raise ScoreFileError(
            f"--range: {low:g} {high:g} is no range; write the lowest value first: --range 0 100"
        )
    return Wanted(
        id=tuple(options.id),
        score=tuple(options.score),
        by=tuple(options.by),
        cluster=options.cluster,
        hash=tuple(options.hash),
        filter=options.filter,
        low=low,
        high=high,
        lower_is_better=options.lower_is_better,
        repeats=options.repeats == "mean",
    )


def _write(options: argparse.Namespace, data: str, markdown: str) -> list[str]:
    asked = {options.json: data, options.markdown: markdown}
    return save({path: text for path, text in asked.items() if path is not None})
