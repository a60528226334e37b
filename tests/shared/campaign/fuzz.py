"""Every reader with inputs that hypothesis makes of whole ones: read, or refused by an error of the
project."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from campaign import forks, world
from pytest_modellab.errors import BaselineMissing, ModellabError
from pytest_modellab.records.reading import Unfit

PIECES = [
    *(b"", b"{", b"}", b"[", b"]", b'"', b"'", b",", b":", b"=", b"\n", b"\r", b"\t", b" ", b"\\"),
    *(b"0", b"-1", b"1.5", b"2", b"1e400", b"9" * 400, b"NaN", b"Infinity", b"0_1", b"true"),
    *(b"null", b'""', b"{}", b"[]", b'"\\ud800"', b'"x\\u0000"', b'"\\n::error::x"', b"\x00"),
    *(b"\xff", b"\xef\xbb\xbf", b"\xe2\x80\xae", "\u0661".encode(), b"#", b"..", b"/etc/passwd"),
    *(b"[" * 5000, b'{"a":' * 300, b"x" * 5000, b"{% for i in range(10**9) %}", b"{{ input }}"),
    *(
        b"{% endfor %}",
        b"(a+)+$",
        b"[models.x]\n",
        b"1979-05-27",
        b'"choice"',
        b'"id"',
        b'"target"',
    ),
]
"""What takes the place of a part of a whole input."""


def inputs(whole: Sequence[bytes]) -> st.SearchStrategy[bytes]:
    """Whole inputs with parts replaced, and some that are nothing like them."""
    change = st.tuples(
        st.integers(0, 1 << 16), st.integers(0, 30), st.sampled_from(PIECES), st.booleans()
    )
    changed = st.tuples(st.sampled_from(list(whole)), st.lists(change, max_size=3))
    return changed.map(lambda drawn: _replaced(*drawn)) | st.binary(max_size=40)


def _replaced(content: bytes, changes: Sequence[tuple[int, int, bytes, bool]]) -> bytes:
    for at, length, piece, value in changes:
        start = at % (len(content) + 1)
        end = start + length
        if value and (found := content.find(b":", start)) >= 0:  # all of a JSON value
            start = found + 1
            ends = [k for k in (content.find(e, start) for e in (b",", b"}")) if k >= 0]
            end = min(ends, default=len(content))
        content = content[:start] + piece + content[end:]
    return content


Reader = Callable[[Path, bytes], object]


def _file(name: str, read: Callable[[Path], object]) -> Reader:
    """A reader of a file in a folder."""

    def reader(folder: Path, content: bytes) -> object:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
        return read(folder / name)

    return reader


def _configuration(path: Path) -> object:
    from pytest_modellab.config import read

    return read.load(path)


def _header(path: Path) -> object:
    from pytest_modellab.tasksets import header

    return header.read(path)


def _task_set(path: Path) -> object:
    from pytest_modellab import tasksets
    from pytest_modellab.lab.registry import BUILT_IN

    folder = path.parent if path.parent.name != "qrels" else path.parent.parent
    return tasksets.read(folder, BUILT_IN.check, folder.parent / "cache")


def _scores(path: Path) -> object:
    from pytest_modellab import scorefiles
    from pytest_modellab.scorefiles.rows import Wanted

    return scorefiles.read(path, Wanted())


def _baseline(_: Path, content: bytes) -> object:
    from pytest_modellab.baselines import file

    return file.parse(content, Path("FILE"), "mend it")


def _sealed_baseline(_: Path, content: bytes) -> object:
    """Whoever writes a baseline by hand may seal it, too."""
    from pytest_modellab.baselines import file
    from pytest_modellab.records.hashing import digest

    if isinstance(data := _json(content), dict):
        data.pop("digest", None)
        with contextlib.suppress(ValueError, RecursionError):
            data["digest"] = digest(data)
    return file.parse(json.dumps(data).encode(), Path("FILE"), "mend it")


def _record(_: Path, content: bytes) -> object:
    from pytest_modellab.records import reading
    from pytest_modellab.records.runs import RunRecord

    return reading.build(RunRecord, _json(content))


def _json(content: bytes) -> Any:
    try:
        return json.loads(content)
    except (ValueError, RecursionError):
        return None


def _provenance(path: Path) -> object:
    from pytest_modellab.recipes import provenance

    return provenance.read(path.parent)


def _rows(path: Path) -> object:
    from pytest_modellab.recipes import data

    return data.read(path.parent, path.name, ("input", "reply"))


def _prompt(path: Path) -> object:
    from pytest_modellab.variants import prompt

    return prompt.read(path).messages("probe")


def _shots(path: Path) -> object:
    from pytest_modellab.variants import prompt

    (path.parent / "p.jinja").write_text(world.PROMPT, encoding="utf-8")
    return prompt.read(path.parent / "p.jinja", path).messages("probe")


def _reply(_: Path, content: bytes) -> object:
    from pytest_modellab.scorers.strict_json import first_json

    return first_json(content.decode("utf-8", "surrogateescape"))


def _sealed(path: Path) -> object:
    from pytest_modellab.store import files

    return files.read(path, dict, of="x")


def _entry(folder: Path, content: bytes) -> object:
    """A stored run whose seal is right, whatever it holds."""
    from pytest_modellab.records.tasks import Sample, TaskSet
    from pytest_modellab.store import files
    from pytest_modellab.store.runs import RunEntry

    sample = Sample("s", "What?", 0, "choice", "c", "easy", ("a", "b"))
    entry = RunEntry(folder, TaskSet("t", "1", (sample,)), world.FINGERPRINT)
    entry.folder.mkdir(parents=True, exist_ok=True)
    data = _json(content)
    with contextlib.suppress(ValueError, RecursionError):
        if isinstance(data, dict) and data:
            (entry.folder / "run.json").write_bytes(files.seal(data, entry.key))
            return entry.read()
    (entry.folder / "run.json").write_bytes(content)
    return entry.read()


def _image(path: Path) -> object:
    from pytest_modellab.media import images

    return images.opened(images.inspect(path)).size


def _recording(path: Path) -> object:
    from pytest_modellab.media import sound

    return sound.waveform(sound.inspect(path), 16_000).size


READERS: Mapping[str, tuple[Reader, str, int]] = {
    "configuration": (_file("modellab.toml", _configuration), "modellab.toml", 8),
    "headers": (_file("task_set.toml", _header), "words/task_set.toml", 12),
    "samples": (_file("words/samples.jsonl", _task_set), "words/samples.jsonl", 8),
    "pairs": (_file("sts/pairs.jsonl", _task_set), "sts/pairs.jsonl", 8),
    "documents": (_file("prose/documents.jsonl", _task_set), "prose/documents.jsonl", 8),
    "BEIR queries": (_file("beir/queries.jsonl", _task_set), "beir/queries.jsonl", 4),
    "BEIR judgements": (_file("beir/qrels/test.tsv", _task_set), "beir/qrels/test.tsv", 4),
    "baselines": (_baseline, "baselines/words/tuned.json", 8),
    "sealed baselines": (_sealed_baseline, "baselines/words/tuned.json", 8),
    "run records": (_record, "record.json", 8),
    "stored runs": (_entry, "run.json", 5),
    "sealed files": (_file("sealed.json", _sealed), "sealed.json", 12),
    "scores, CSV": (_file("a.csv", _scores), "new.csv", 8),
    "scores, JSON lines": (_file("a.jsonl", _scores), "new.jsonl", 8),
    "scores, gzip": (_file("a.csv.gz", _scores), "new.csv.gz", 8),
    "scores, Parquet": (_file("a.parquet", _scores), "new.parquet", 5),
    "provenance": (_file("a/provenance.json", _provenance), "adapters/tuned/provenance.json", 8),
    "training data": (_file("rows.jsonl", _rows), "rows.jsonl", 12),
    "prompts": (_file("prompt.jinja", _prompt), "prompt.jinja", 4),
    "shots": (_file("shots.jsonl", _shots), "rows.jsonl", 4),
    "JSON replies": (_reply, "rows.jsonl", 12),
    **{
        f"images, {kind}": (_file("a.image", _image), f"media/a.{kind}", 4)
        for kind in ("png", "jpeg", "webp", "bmp")
    },
    **{
        f"recordings, {kind}": (_file("a.sound", _recording), f"media/a.{kind}", 4)
        for kind in ("wav", "flac", "ogg", "mp3")
    },
}
"""Reader, a whole input in the project, and its share of all inputs."""


def read(name: str, project: Path, folder: Path, examples: int, seeded: int) -> int:
    """Give a reader many inputs; return how many."""
    reader, whole, _ = READERS[name]
    content = (project / whole).read_bytes()
    short = b"\n".join(content.split(b"\n")[:12]) if b"json" in whole.encode() else content
    for part in ("words", "sts", "prose", "beir"):
        if name in ("samples", "pairs", "documents") or name.startswith("BEIR"):
            shutil.copytree(project / part, folder / part)
    return drive(
        lambda given: reader(folder, given), inputs([content, short]), folder, examples, seeded
    )


def drive(
    work: Callable[[Any], object],
    strategy: st.SearchStrategy[Any],
    folder: Path,
    examples: int,
    seeded: int,
) -> int:
    """Call a function with many inputs; errors of the project are answers, too.

    The last input stands in ``folder / last``: a hang ends the process.
    """
    tried = 0
    last = os.open(folder / "last", os.O_WRONLY | os.O_CREAT)

    @seed(seeded)
    @settings(
        max_examples=examples,
        database=None,
        deadline=None,
        derandomize=False,
        phases=(Phase.generate, Phase.shrink),
        suppress_health_check=list(HealthCheck),
    )
    @given(strategy)
    def attempt(given: Any) -> None:
        nonlocal tried
        tried += 1
        forks.more_time()
        os.pwrite(last, repr(given)[:2000].encode("utf-8", "replace").ljust(2000), 0)
        with contextlib.suppress(BaselineMissing, ModellabError, Unfit):
            work(given)

    attempt()
    return tried
