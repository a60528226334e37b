"""The model in 4 bits: what compression costs."""

from __future__ import annotations

from pytest_modellab.starter.kind import COST, REGRESSION, Kind
from pytest_modellab.starter.kinds.prompted import NEEDS

_DECLARED = """
[variants.nf4]
kind = "quantized"
base = "prompting"
method = "bitsandbytes-nf4"  # or torchao-int8, quanto-int4, gguf, kv-cache ...
"""


KIND = Kind(
    name="quantized",
    extra="quantized",
    needs=(*NEEDS, "bitsandbytes"),
    accepted=("prompting", "nf4"),
    question="May a quantized model ship?",
    marks='kind="quantized"',
    tests=(REGRESSION, COST),
    declared=lambda _: _DECLARED,
)
