"""Kind ``lexical``: BM25, which every embedding model should beat."""

from __future__ import annotations

from pathlib import Path

from pytest_modellab.engines.interface import Engine
from pytest_modellab.engines.search.retriever import VERSION, Retriever
from pytest_modellab.engines.search.settings import Search
from pytest_modellab.records.declared import ModelSource, VariantSpec
from pytest_modellab.records.setting import check_options
from pytest_modellab.variants.kinds.embedding import AS_IT_IS
from pytest_modellab.variants.plan import Plan


def plan(spec: VariantSpec, base: Plan | None, model: ModelSource, root: Path) -> Plan:
    """Plan a search by words: no model, no options.

    Args:
        spec: no options.
        base: not used; it may be named to be compared with.
        model: not used.
        root: not used.

    Returns:
        The plan.

    Raises:
        ConfigError: an option is given; the message begins with its name.
    """
    check_options(spec.options, {})
    return Plan(
        model=model,
        prompt=AS_IT_IS,
        packages=("bm25s",),
        search=Search(None),
        engine=f"retriever-{VERSION}",
        open=_open,
    )


def _open(plan: Plan, folder: Path, cache: Path) -> Engine:
    return Retriever(Search(None), None, None)
