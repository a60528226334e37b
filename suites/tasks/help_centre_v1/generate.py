"""Writes corpus.jsonl, queries.jsonl and qrels/ from centre_generator/ and the task set's seed.

    python suites/tasks/help_centre_v1/generate.py           # write
    python suites/tasks/help_centre_v1/generate.py --check   # exit 1 when a file differs

Capabilities come in alphabetical order; the queries of each are easy, medium, hard. The split `qa`
has the queries that keep their answers; `help_centre_qa_v1` reads it.
"""

from __future__ import annotations

import argparse
import json
import sys
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_modellab.store import atomic

if TYPE_CHECKING:  # a script finds its neighbour by the short name, mypy by the long one
    from suites.tasks.help_centre_v1 import centre_generator
else:
    import centre_generator

FOLDER = Path(__file__).resolve().parent


def lines(records: Iterable[Mapping[str, Any]]) -> str:
    """JSON lines."""
    return "".join(
        json.dumps(record, sort_keys=True, ensure_ascii=False, separators=(",", ":")) + "\n"
        for record in records
    )


def metadata(query: centre_generator.Query) -> dict[str, Any]:
    """A query's metadata; what it does not have leaves no key."""
    found: dict[str, Any] = {
        "capability": query.capability,
        "difficulty": query.difficulty,
        **query.metadata,
    }
    if query.cluster is not None:
        found["cluster"] = query.cluster
    if query.answers:
        found["answers"] = list(query.answers)
    return found


def grades(queries: Mapping[str, centre_generator.Query]) -> str:
    """Relevance in BEIR's form: query, document, grade, parted by tabs."""
    rows = [
        f"{id}\t{document}\t{grade}"
        for id, query in queries.items()
        for document, grade in query.relevant.items()
    ]
    return "\n".join(["query-id\tcorpus-id\tscore", *rows, ""])


def render() -> dict[Path, str]:
    """All files as text."""
    with (FOLDER / "task_set.toml").open("rb") as file:
        seed = int(tomllib.load(file)["seed"])
    documents, queries = centre_generator.made(seed)
    return {
        FOLDER / "corpus.jsonl": lines(
            {"_id": one.id, "title": one.title, "text": one.text} for one in documents
        ),
        FOLDER / "queries.jsonl": lines(
            {"_id": id, "text": query.text, "metadata": metadata(query)}
            for id, query in queries.items()
        ),
        FOLDER / "qrels" / "test.tsv": grades(queries),
        FOLDER / "qrels" / "qa.tsv": grades({id: q for id, q in queries.items() if q.answers}),
    }


def main(arguments: list[str] | None = None) -> int:
    """Write or check; the exit status."""
    parser = argparse.ArgumentParser(description="Generate the files of help_centre_v1.")
    parser.add_argument("--check", action="store_true", help="compare the files, write nothing")
    options = parser.parse_args(arguments)
    status = 0
    for path, text in render().items():
        name = path.relative_to(FOLDER).as_posix()
        if not options.check:
            path.parent.mkdir(exist_ok=True)
            atomic.write_text(path, text)
            print(f"{name}: {text.count(chr(10))} lines written")
        elif path.exists() and path.read_bytes() == text.encode():
            print(f"{name}: up to date")
        else:
            print(
                f"{name} differs from what the generator makes; run generate.py to rewrite it",
                file=sys.stderr,
            )
            status = 1
    return status


if __name__ == "__main__":
    sys.exit(main())
