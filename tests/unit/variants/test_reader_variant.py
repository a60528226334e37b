"""Kind ``reader``: made of several models, each of which can be exchanged, lent or quantized."""

from __future__ import annotations

import dataclasses
import pickle
from pathlib import Path
from typing import Any

import pytest
import readers

from pytest_modellab.config import read
from pytest_modellab.engines.interface import GenerationRequest
from pytest_modellab.errors import ConfigError, ModelError, VariantLoadError
from pytest_modellab.lab.lab import Lab
from pytest_modellab.lab.resolved import Resolved
from pytest_modellab.lab.settings import Settings
from pytest_modellab.media import images
from pytest_modellab.models.files import NO_FILES
from pytest_modellab.records.media import Media
from pytest_modellab.records.runs import Output
from pytest_modellab.variants import loading
from pytest_modellab.variants.kinds import quantized
from pytest_modellab.variants.plan import Lent

for library in ("onnx", "onnxruntime", "PIL", "rapidocr"):
    pytest.importorskip(library, reason="what a reader is made of")

MODELS = "".join(
    f'[models.{name}]\nsource = "./{name}.onnx"\n' for name in ("det", "rec", "rec_b", "gone")
)
BASE = (
    '[variants.plain]\nkind = "reader"\ndetection = "det"\nrecognition = "rec"\n'
    "limit_side_len = 64\n"
)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("readers")
    readers.detection(place / "det.onnx")
    readers.recognition(place / "rec.onnx")
    readers.recognition(place / "rec_b.onnx", letter=2)
    (place / "p.jinja").write_text("{% block user %}{{ input }}{% endblock %}")
    readers.page(place / "page.png", [(20, 20, 120, 50), (180, 20, 300, 50)], (320, 192))
    return place


@pytest.fixture(scope="module")
def page(place: Path) -> Media:
    return images.inspect(place / "page.png")


def lab(place: Path, *tables: str) -> Lab:
    (place / "modellab.toml").write_text("".join((MODELS, BASE, *tables)))
    return Lab(read.load(place / "modellab.toml"), Settings(cache=place / "cache"))


def variant(place: Path, table: str) -> Resolved:
    return lab(place, f"[variants.v]\n{table}").variant("v")


def said(place: Path, table: str) -> str:
    with pytest.raises((ConfigError, ModelError, VariantLoadError)) as caught:
        variant(place, table)
    return str(caught.value).removeprefix(f"{place / 'modellab.toml'}: ")


def text(resolved: Resolved, place: Path, page: Media, **changes: Any) -> str:
    plan = dataclasses.replace(resolved.plan, **changes)
    engine = loading.load(plan, resolved.files, place / "cache")
    found: dict[int, Output] = {}
    engine.generate(
        [GenerationRequest("", 1, media=(page,))], budget=1, skip=set(), done=found.update
    )
    engine.close()
    return found[0].text


def test_a_reader(place: Path, page: Media) -> None:
    found = lab(place).variant("plain")
    assert found.files == NO_FILES
    assert found.plan.parts == ("preprocessing", "detection", "recognition")
    assert found.plan.media == {"image"}
    settings = found.fingerprint.settings
    assert settings["preprocessing"] == {
        "channels": "BGR",
        "enlarged": "shorter side",
        "limit_side_len": 64,
        "mean": [0.5, 0.5, 0.5],
        "std": [0.5, 0.5, 0.5],
        "text_score": 0.5,
    }
    assert set(settings["pieces"]) == {"detection", "recognition"}
    assert {"rapidocr", "onnxruntime"} <= set(settings["versions"])
    assert text(found, place, page) == "a a"
    again = pickle.loads(pickle.dumps(found.source))  # noqa: S301 - made just now
    assert loading.fingerprint(again.plan, again.files) == found.fingerprint


def test_what_is_not_given_is_the_bases(place: Path, page: Media) -> None:
    base = lab(place).variant("plain")
    other = variant(place, 'kind = "reader"\nbase = "plain"\nrecognition = "rec_b"\n')
    assert text(other, place, page) == "b b"
    mine, theirs = (dict(one.fingerprint.settings) for one in (other, base))
    assert mine.pop("pieces")["detection"] == theirs.pop("pieces")["detection"]
    assert mine == theirs
    assert other.fingerprint.weights != base.fingerprint.weights
    dark = variant(place, 'kind = "reader"\nbase = "plain"\nmean = [0, 0.25, 1]\n')
    assert dark.fingerprint.settings["preprocessing"] == {
        **base.fingerprint.settings["preprocessing"],
        "mean": [0.0, 0.25, 1.0],
    }
    assert dark.fingerprint.weights == base.fingerprint.weights


def test_parts_are_lent_one_at_a_time(place: Path, page: Media) -> None:
    base = lab(place).variant("plain")
    worse = variant(
        place, 'kind = "reader"\nbase = "plain"\nrecognition = "rec_b"\nmean = [-2, -2, -2]\n'
    )
    lent = Lent(base.plan, base.files)
    assert text(worse, place, page) == ""
    assert text(worse, place, page, borrowed={"preprocessing": lent}) == "b b"
    assert text(worse, place, page, borrowed={"recognition": lent}) == ""
    both = {"preprocessing": lent, "recognition": lent}
    assert text(worse, place, page, borrowed=both) == "a a"
    borrowing = dataclasses.replace(worse.plan, borrowed=both)
    assert loading.fingerprint(borrowing, worse.files).key != worse.fingerprint.key


def test_what_parts_consist_of_tells_those_that_differ(place: Path) -> None:
    plain = lab(place).variant("plain").plan
    quantized = variant(
        place,
        'kind = "quantized"\nbase = "plain"\nmethod = "onnxruntime-int8"\n'
        'parts = ["recognition"]\n',
    ).plan
    assert plain.consists is not None
    assert quantized.consists is not None
    before, after = plain.consists(plain, NO_FILES), quantized.consists(quantized, NO_FILES)
    assert list(before) == list(plain.parts)
    assert {part for part in before if before[part] != after[part]} == {"recognition"}


def test_a_part_that_nobody_has_is_not_lent(place: Path, page: Media) -> None:
    base = lab(place).variant("plain")
    with pytest.raises(VariantLoadError) as caught:
        text(base, place, page, borrowed={"orientation": Lent(base.plan, base.files)})
    assert str(caught.value) == "orientation: the variant that lends it is no reader that has one"


def test_int8_of_a_part(place: Path, page: Media) -> None:
    table = 'kind = "quantized"\nbase = "plain"\nmethod = "onnxruntime-int8"\n'
    whole = variant(place, table)
    assert whole.plan.quantization["parts"] == ["detection", "recognition"]
    assert whole.spec.strategy == "quantization"
    one = variant(place, f'{table}parts = ["recognition"]\n')
    assert one.plan.quantization["parts"] == ["recognition"]
    assert one.fingerprint.weights == whole.fingerprint.weights
    assert one.fingerprint.key != whole.fingerprint.key
    assert text(one, place, page) == "a a"
    (kept,) = place.glob("cache/models/*-int8/model.onnx")
    made = kept.stat().st_mtime_ns
    assert text(one, place, page) == "a a"
    assert kept.stat().st_mtime_ns == made, "it is made once"
    import onnx

    assert "uint8" in {
        onnx.helper.tensor_dtype_to_np_dtype(t.data_type).name
        for t in onnx.load(kept).graph.initializer
    }


def test_int8_by_calibration(place: Path, page: Media) -> None:
    folder = place / "calibration"
    folder.mkdir(exist_ok=True)
    readers.page(folder / "a.png", [(20, 20, 120, 50)], (320, 192))
    table = f'{INT8}method = "onnxruntime-int8"\ncalibration = "calibration"\n'
    found = variant(place, table)
    how = dict(found.plan.quantization)
    assert how["scales"].startswith("static")
    assert len(how["calibration"]) == 16
    assert text(found, place, page) == "a a"
    assert text(found, place, page) == "a a"
    readers.page(folder / "a.png", [(20, 20, 120, 60)], (320, 192))
    other = variant(place, table)
    assert other.plan.quantization["calibration"] != how["calibration"]
    assert other.fingerprint.key != found.fingerprint.key
    readers.page(folder / "a.png", [], (320, 192))
    with pytest.raises(ModelError, match=r"rec\.onnx: nothing reaches it from the calibration's"):
        text(variant(place, table), place, page)


INT8 = 'kind = "quantized"\nbase = "plain"\n'


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ('kind = "reader"\nrecognition = "rec"', "v.detection: missing; name a model that is"),
        (
            'kind = "reader"\nbase = "plain"\ndetection = "dot"',
            "v.detection: unknown model 'dot'; ",
        ),
        ('kind = "reader"\nbase = "plain"\ndetection = 3', "v.detection: 3 is no name of a model"),
        ('kind = "reader"\nmodel = "det"', "v.model: a reader is made of several; name detection"),
        (
            'kind = "reader"\nbase = "plain"\nmean = [0.5]',
            "v.mean: [0.5] is not three numbers: of blue, green and red",
        ),
        (
            'kind = "reader"\nbase = "plain"\nmean = [nan, 0, 0]',
            "v.mean: [nan, 0, 0] is not three numbers: of blue, green and red",
        ),
        (
            'kind = "reader"\nbase = "plain"\nstd = [1, 1, 0]',
            "v.std: [1, 1, 0] is not three numbers above 0: of blue, green and red",
        ),
        ('kind = "reader"\nbase = "plain"\nlimit_side_len = 0', "v.limit_side_len: 0 must be"),
        ('kind = "reader"\nbase = "plain"\ntext_score = 2.0', "v.text_score: 2.0 is not in [0, 1]"),
        ('kind = "reader"\nbase = "plain"\nthreads = 2', "v.threads: unknown key; Known: "),
        (
            f'{INT8}method = "rtn"',
            "v.method: unknown 'rtn'; Known: onnxruntime-int8",
        ),
        *(
            (f'{INT8}method = "{name}"', f"v.method: unknown {name!r}; ")
            for name in quantized.KNOWN
            if name != "onnxruntime-int8"
        ),
        (
            f'{INT8}model = "rec"',
            "v.model: 'plain' is made of several; name them in a variant of kind reader",
        ),
        *(
            (
                f'kind = "{kind}"\nbase = "plain"\nmodel = "rec"',
                f"v.base: 'plain' is a reader, which {kind!r} does not adapt; declare what is "
                "changed of it in a variant of kind reader or quantized",
            )
            for kind in ("aligned", "distilled", "finetuned", "transcriber")
        ),
        (
            f'{INT8}method = "onnxruntime-int8"\nparts = ["recogniton"]',
            "v.parts: unknown 'recogniton'; did you mean 'recognition'? ",
        ),
        (
            f'{INT8}method = "onnxruntime-int8"\nparts = []',
            "v.parts: empty; name what is quantized, or leave it out for all",
        ),
        (
            f'{INT8}method = "onnxruntime-int8"\ncalibration = "nowhere"',
            "v.calibration: ",
        ),
        ('kind = "lora"\nbase = "plain"\nadapter = "a"', "v.base: 'plain' has no model to adapt"),
        (
            'kind = "reader"\nbase = "w"\n[variants.w]\nkind = "prompted"\nmodel = "det"\n'
            'prompt = "p.jinja"',
            "v.base: 'w' reads no documents; name a variant of kind reader",
        ),
        (
            f'kind = "reader"\nbase = "w"\ndetection = "det"\n[variants.w]\n{INT8}'
            'method = "onnxruntime-int8"',
            "v.base: 'w' is quantized, and its parts with it; name its base",
        ),
    ],
)
def test_what_is_declared_wrongly(place: Path, table: str, message: str) -> None:
    assert said(place, f"{table}\n").startswith(f"variants.{message}")


def test_a_file_that_is_missing_or_no_graph(place: Path) -> None:
    table = 'kind = "reader"\nbase = "plain"\nrecognition = "gone"\n'
    gone = place / "gone.onnx"
    gone.unlink(missing_ok=True)
    assert said(place, table) == (
        f"model 'gone' (source = './gone.onnx'): no such file: {gone.resolve()}"
    )
    gone.mkdir()
    assert said(place, table) == (
        f"model 'gone' (source = './gone.onnx'): {gone.resolve()} is no .onnx file, and a graph is "
        "asked for"
    )
    gone.rmdir()
