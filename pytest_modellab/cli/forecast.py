"""``modellab forecast``: what a larger training run would reach."""

from __future__ import annotations

import argparse
import dataclasses
import json
from pathlib import Path

from pytest_modellab.cli.common import EXIT_OK, Subparsers, save, say
from pytest_modellab.errors import DiagnosisError
from pytest_modellab.records.reading import decimal

_DESCRIPTION = """\
Fit a scaling law to training runs, L = E + A / N^alpha + B / D^beta, and say which model is the
best for an amount of compute (6 N D) and what it would reach. Beside every forecast stands how far
such a fit is off on the largest run, which it has not seen. How to read it: docs/observatory.md."""


def add(commands: Subparsers) -> None:
    """Declare the command."""
    forecast = commands.add_parser(
        "forecast",
        help="what a larger training run would reach, by smaller ones",
        description=_DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    forecast.add_argument(
        "runs",
        type=Path,
        metavar="FILE",
        help="CSV with a header: N (parameters), D (tokens seen), loss",
    )
    forecast.add_argument(
        "--compute",
        type=_compute,
        action="append",
        metavar="C",
        help="operations, 6 N D; may be given again (default: 10 times the largest run)",
    )
    forecast.add_argument("--json", type=Path, metavar="FILE", help="write every figure as JSON")
    forecast.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Run the command; returns its exit code.

    Raises:
        DiagnosisError: nothing can be forecast by these runs, or a report cannot be written.
    """
    from pytest_modellab.observatory import scaling
    from pytest_modellab.reports.text import forecast as words

    found = scaling.fit(scaling.read(options.runs))
    computes = options.compute or [10 * found.largest]
    unwritten = []
    if options.json is not None:
        figures = {
            "runs": len(found.runs),
            "law": dataclasses.asdict(found.law),
            "resampled": [dataclasses.asdict(law) for law in found.resampled],
            "checked": {**dataclasses.asdict(found.checked), "off": found.checked.off},
            "best": [
                {"compute": compute, "parameters": parameters, "tokens": tokens}
                for compute in computes
                for parameters, tokens in [found.law.optimal(compute)]
            ],
        }
        unwritten = save({options.json: json.dumps(figures, indent=1, sort_keys=True) + "\n"})
    say(*words.text(found, str(options.runs), computes).splitlines())
    if unwritten:
        raise DiagnosisError("; ".join(unwritten))
    return EXIT_OK


def _compute(text: str) -> float:
    try:
        found = decimal(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
    if not 1 <= found <= 1e40:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of operations from 1 to 1e40")
    return found
