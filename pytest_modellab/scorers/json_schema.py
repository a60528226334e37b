"""A JSON schema that the first JSON value of a generated reply must satisfy."""

from __future__ import annotations

import json
from typing import Any

from pytest_modellab.errors import ScoringError
from pytest_modellab.records.runs import Output
from pytest_modellab.records.tasks import Sample


def first_json(text: str) -> Any:
    """Return the first JSON object or array in ``text``, or None where there is none."""
    decoder = json.JSONDecoder()
    for start, character in enumerate(text):
        if character in "{[":
            try:
                return decoder.raw_decode(text, start)[0]
            except (ValueError, RecursionError):  # not JSON, an integer too long, or too deep
                continue
    return None


class JsonSchema:
    """1 where the reply's first JSON object or array is valid under the target schema.

    Validation is done by ``jsonschema``. Range [0, 1], higher is better.
    """

    name = "json_schema"
    version = 1
    likelihood = False

    def check(self, sample: Sample) -> str | None:
        if not isinstance(sample.target, dict) or not sample.target:
            return "target: the scorer 'json_schema' needs a JSON schema (a non-empty object)"
        return None

    def score(self, sample: Sample, output: Output) -> tuple[float, str]:
        try:
            import jsonschema
            from referencing import Registry
            from referencing.exceptions import Unresolvable
        except ImportError as error:
            raise ScoringError(
                "the scorer 'json_schema' needs the package jsonschema: pip install jsonschema"
            ) from error
        value = first_json(output.text)
        if value is None:
            return 0.0, output.text
        validator = jsonschema.validators.validator_for(sample.target)
        try:
            validator.check_schema(sample.target)
            # an empty registry: a "$ref" is never fetched from the network
            valid = validator(sample.target, registry=Registry()).is_valid(value)
        except jsonschema.SchemaError as error:
            raise ScoringError(
                f"sample {sample.id!r}: target is no JSON schema: {error.message}"
            ) from error
        except Unresolvable as error:
            raise ScoringError(
                f"sample {sample.id!r}: target: {error}; a schema may refer to its own parts only"
            ) from error
        return float(valid), output.text
