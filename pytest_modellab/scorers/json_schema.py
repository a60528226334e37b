"""A JSON schema that the first JSON value of a generated reply must satisfy."""

from __future__ import annotations

from pytest_modellab.errors import ScoringError
from pytest_modellab.records.runs import Output
from pytest_modellab.records.tasks import Sample
from pytest_modellab.scorers import schemas
from pytest_modellab.scorers.strict_json import first_json


class JsonSchema:
    """1 where the reply's first JSON object or array is valid under the target schema.

    The reply's JSON is strict and its numbers exact, see
    :mod:`pytest_modellab.scorers.strict_json`; validation is done by ``jsonschema`` within limits,
    see :mod:`pytest_modellab.scorers.schemas`. Range [0, 1], higher is better.
    """

    name = "json_schema"
    version = 1
    likelihood = False

    def check(self, sample: Sample) -> str | None:
        if not isinstance(sample.target, dict) or not sample.target:
            return "target: the scorer 'json_schema' needs a JSON schema (a non-empty object)"
        wrong = schemas.problem(sample.target)
        return f"target: the schema: {wrong}" if wrong else None

    def score(self, sample: Sample, output: Output) -> tuple[float, str]:
        """Score one sample.

        Raises:
            ScoringError: the target is no JSON schema, or jsonschema is missing.
            Unscorable: the reply is too long, or the schema takes too much work for it.
        """
        if wrong := schemas.wrong(sample.target):
            raise ScoringError(f"sample {sample.id!r}: target is no JSON schema: {wrong}")
        value = first_json(output.text)
        if value is None:
            return 0.0, output.text
        return float(schemas.valid(sample.target, value)), output.text
