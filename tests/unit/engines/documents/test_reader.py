"""The engine that reads pages, on graphs of a few numbers."""

from __future__ import annotations

import socket
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
import readers

from pytest_modellab.engines.documents import networks, reader
from pytest_modellab.engines.documents.settings import Settings
from pytest_modellab.engines.interface import GenerationRequest, ScoringRequest
from pytest_modellab.errors import MediaError, ModelError, ScoringError
from pytest_modellab.media import images
from pytest_modellab.records.media import Media
from pytest_modellab.records.runs import Output

for library in ("onnx", "onnxruntime", "PIL", "rapidocr"):
    pytest.importorskip(library, reason="what a reader is made of")

ROWS = [(20, 20, 120, 50), (180, 20, 300, 50), (20, 120, 200, 150)]
SMALL = Settings(limit_side_len=64)


@pytest.fixture(scope="module")
def graphs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    place = tmp_path_factory.mktemp("graphs")
    return {
        "detection": readers.detection(place / "detection.onnx"),
        "recognition": readers.recognition(place / "recognition.onnx"),
    }


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> list[Media]:
    place = tmp_path_factory.mktemp("pages")
    drawn = {"rows": ROWS, "empty": [], "one": ROWS[:1]}
    return [
        images.inspect(readers.page(place / f"{name}.png", bars, (320, 192)))
        for name, bars in drawn.items()
    ]


def read(engine: reader.Reader, samples: Sequence[Sequence[Media]]) -> list[str]:
    requests = [GenerationRequest("read it", 5, media=tuple(media)) for media in samples]
    found: dict[int, Output] = {}
    engine.generate(requests, budget=1, skip=set(), done=found.update)
    return [found[i].text for i in range(len(samples))]


def test_rows_pages_and_nothing(graphs: dict[str, Path], pages: list[Media]) -> None:
    rows, empty, one = pages
    engine = reader.load(graphs, SMALL)
    assert read(engine, [[rows], [empty], [one, rows]]) == ["a a\na", "", "a\n\na a\na"]
    assert engine.abilities == {"generate"}
    assert engine.media == {"image"}
    assert engine.parameter_bytes() == (1 + 4) * 4
    assert engine.environment()["threads"] >= 1
    assert engine.environment()["rapidocr"]


def test_what_is_answered_is_left_out_and_what_is_said_is_timed(
    graphs: dict[str, Path], pages: list[Media]
) -> None:
    engine = reader.load(graphs, SMALL)
    requests = [GenerationRequest("", 1, media=(page,)) for page in pages]
    batches: list[Mapping[int, Output]] = []
    engine.generate(requests, budget=1, skip={1}, done=batches.append)
    assert [list(batch) for batch in batches] == [[0], [2]]
    (output,) = batches[0].values()
    assert (output.text, output.tokens_out, output.failed) == ("a a\na", 5, "")
    assert output.seconds > 0


def test_a_text_depends_on_its_page_alone(graphs: dict[str, Path], pages: list[Media]) -> None:
    engine = reader.load(graphs, SMALL)
    alone = [read(engine, [[page]])[0] for page in pages]
    assert read(engine, [[page] for page in pages]) == alone
    assert read(reader.load(graphs, SMALL), [[page] for page in reversed(pages)]) == alone[::-1]


def test_nothing_is_fetched(
    graphs: dict[str, Path],
    pages: list[Media],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    asked = []
    monkeypatch.setattr(socket, "getaddrinfo", lambda *name, **_: asked.append(name))
    monkeypatch.setattr(socket.socket, "connect", lambda *name: asked.append(name))
    upside = readers.orientation(tmp_path / "orientation.onnx")
    assert read(reader.load({**graphs, "orientation": upside}, SMALL), [pages[:1]]) == ["a a\na"]
    assert not asked


def test_mean_and_deviation_reach_both_networks(
    graphs: dict[str, Path], pages: list[Media]
) -> None:
    as_trained = Settings(64, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
    assert read(reader.load(graphs, as_trained), [pages[:1]]) == ["a a\na"]
    all_dark = Settings(64, (2.0, 2.0, 2.0), (0.5, 0.5, 0.5))
    assert read(reader.load(graphs, all_dark), [pages[:1]]) == ["a"]  # the page is one bar
    all_light = Settings(64, (-2.0, -2.0, -2.0), (0.5, 0.5, 0.5))
    assert read(reader.load(graphs, all_light), [pages[:1]]) == [""]
    # each in its own place: what one channel has too much, the others have too little
    even = Settings(64, (2.0, -0.5, 0.0), (0.5, 0.5, 0.5))
    assert read(reader.load(graphs, even), [pages[:1]]) == ["a a\na"]


def test_lines_that_are_not_sure_enough_are_left_out(
    graphs: dict[str, Path], pages: list[Media]
) -> None:
    assert read(reader.load(graphs, Settings(64, text_score=1.0)), [pages[:1]]) == [""]


def test_it_chooses_between_no_options(graphs: dict[str, Path]) -> None:
    engine = reader.load(graphs, SMALL)
    with pytest.raises(
        ScoringError,
        match="a reader chooses between no options: ask it for the text of a page, by a scorer",
    ):
        engine.score_options(
            [ScoringRequest("", ("a", "b"))], budget=1, skip=set(), done=lambda _: None
        )
    engine.score_options([], budget=1, skip=set(), done=lambda _: None)


def test_a_sample_without_a_page_is_refused(graphs: dict[str, Path], pages: list[Media]) -> None:
    engine = reader.load(graphs, SMALL)
    with pytest.raises(ScoringError) as caught:
        read(engine, [pages[:1], []])
    assert str(caught.value) == (
        "a sample ('read it') holds no image, and a reader reads nothing else: give the sample its "
        "page (image), or leave it out of what this variant is asked"
    )


def test_a_page_that_is_a_thread_is_refused(graphs: dict[str, Path], tmp_path: Path) -> None:
    thread = images.inspect(readers.page(tmp_path / "thread.png", [], (5000, 20)))
    with pytest.raises(MediaError, match=r"thread\.png: 5000 × 20 pixels: with its longer side"):
        read(reader.load(graphs, SMALL), [[thread]])


def test_a_page_that_is_gone_is_named(graphs: dict[str, Path], tmp_path: Path) -> None:
    media = images.inspect(readers.page(tmp_path / "gone.png", ROWS, (320, 192)))
    Path(media.path).unlink()
    with pytest.raises(MediaError, match=r"gone\.png"):
        read(reader.load(graphs, SMALL), [[media]])


@pytest.mark.parametrize(
    ("part", "given", "said"),
    [
        (
            "recognition",
            "detection",
            "detection.onnx: is a model for detection, and one that reads a line is asked for; "
            "name such a model as recognition",
        ),
        (
            "detection",
            "recognition",
            "recognition.onnx: is a model for recognition, and one that finds lines of text is "
            "asked for; name such a model as detection",
        ),
        (
            "orientation",
            "detection",
            "detection.onnx: is a model for detection, and one that tells which lines are upside "
            "down is asked for; name such a model as orientation",
        ),
    ],
)
def test_a_graph_for_another_part(
    graphs: dict[str, Path], part: str, given: str, said: str
) -> None:
    with pytest.raises(ModelError) as caught:
        reader.load({**graphs, part: graphs[given]}, SMALL)
    assert str(caught.value).endswith(said)


def test_weights_that_are_constants_are_counted() -> None:
    import numpy as np
    import onnx
    from onnx import helper, numpy_helper

    from pytest_modellab.engines.graphs import constant_bytes, parameter_bytes

    weights = numpy_helper.from_array(np.zeros((3, 5), np.float32), "w")
    nodes = [
        helper.make_node("Constant", [], ["w"], value=weights),
        helper.make_node("MatMul", ["x", "w"], ["y"]),
    ]
    row, out = (
        helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [1, size])
        for name, size in (("x", 3), ("y", 5))
    )
    graph = helper.make_graph(nodes, "constants", [row], [out])
    assert (parameter_bytes(graph), constant_bytes(graph)) == (0, 3 * 5 * 4)


def test_graphs_that_are_none_of_a_reader(graphs: dict[str, Path], tmp_path: Path) -> None:
    fewer = readers.recognition(tmp_path / "fewer.onnx", characters="a")
    said = "fewer.onnx: is no model of a reader (PP-OCR), and one that reads a line is asked for"
    with pytest.raises(ModelError) as caught:
        reader.load({**graphs, "recognition": fewer}, SMALL)
    assert said in str(caught.value)
    text = tmp_path / "text.onnx"
    text.write_text("no graph")
    with pytest.raises(ModelError, match=r"text\.onnx: ONNX Runtime cannot load it: "):
        networks.Network("detection", text, threads=1)
