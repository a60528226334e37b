"""A JSON schema that the first JSON value of a generated reply must satisfy."""

from __future__ import annotations

import json
from typing import Any

from pytest_modellab.errors import ScoringError
from pytest_modellab.records import Output, Sample


def first_json(text: str) -> Any:
    """Return the first JSON object or array in ``text``, or None where there is none."""
    decoder = json.JSONDecoder()
    for start, character in enumerate(text):
        if character in "{[":
            try:
                return decoder.raw_decode(text, start)[0]
            except ValueError:  # not JSON from here, or an integer too long to convert
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
        except ImportError as error:
            raise ScoringError(
                "the scorer 'json_schema' needs the package jsonschema: pip install jsonschema"
            ) from error
        value = first_json(output.text)
        if value is None:
            return 0.0, output.text
        try:
            jsonschema.validate(value, sample.target)
        except jsonschema.ValidationError:
            return 0.0, output.text
        except jsonschema.SchemaError as error:
            raise ScoringError(
                f"sample {sample.id!r}: target is no JSON schema: {error.message}"
            ) from error
        return 1.0, output.text
