"""A model behind an address: whether what answers there is what was accepted."""

from __future__ import annotations

import dataclasses

from pytest_modellab.starter.kind import REGRESSION, Kind
from pytest_modellab.starter.model import Server

KIND = Kind(
    name="endpoint",
    extra="served",
    needs=("httpx2",),
    accepted=("served",),
    question="May what answers behind the address ship?",
    marks='kind="endpoint"',
    marker="served",
    tests=(REGRESSION,),
    declared=lambda _: "",
    base="",
    serves=True,
)


def of(server: Server) -> Kind:
    """Return the kind with the server's table in ``modellab.toml``."""
    table = f"""
[variants.served]
kind = "endpoint"
{server.lines()}
prompt = "prompts/assistant.jinja"
"""
    return dataclasses.replace(KIND, declared=lambda _: table)
