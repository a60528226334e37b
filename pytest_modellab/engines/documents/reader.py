"""The engine that reads images of documents: RapidOCR on ONNX Runtime."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence, Set
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_modellab.engines import environment, graphs
from pytest_modellab.engines.documents import order, size
from pytest_modellab.engines.documents.networks import (
    DETECTION,
    ORIENTATION,
    RECOGNITION,
    Network,
)
from pytest_modellab.engines.documents.settings import Settings
from pytest_modellab.engines.interface import (
    Ability,
    Done,
    GenerationRequest,
    ScoringRequest,
)
from pytest_modellab.engines.packages import needed, required
from pytest_modellab.errors import MediaError, ScoringError
from pytest_modellab.media import images
from pytest_modellab.records.media import Media, MediaKind
from pytest_modellab.records.runs import Output
from pytest_modellab.visible import shortened

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

VERSION = 1
"""Raised when the same graphs read another text."""

PACKAGES = (
    "numpy",
    "onnxruntime",
    "opencv-python-headless",
    "pillow",
    "pyclipper",
    "rapidocr",
    "shapely",
)
"""Whose versions may change what is read."""

_RGB_TO_BGR = (2, 1, 0)


def load(
    files: Mapping[str, Path], settings: Settings, *, advice: Mapping[str, str] | None = None
) -> Reader:
    """Open a reader's networks.

    Args:
        files: the graph of each part; without one for ``orientation`` no line is turned.
        settings: of what is before and behind them.
        advice: by part, what ends the message where its graph cannot be opened.

    Returns:
        The engine, ready to read.

    Raises:
        ModelError: a file is no graph, or none for its part.
        OutOfMemory: a graph does not fit.
        VariantLoadError: a library is missing.
    """
    with needed("reading documents", extra="documents"):
        import cv2  # noqa: F401 -- asked for now, before any work is done
        import onnx
        import onnxruntime  # noqa: F401
        from rapidocr import RapidOCR  # noqa: F401 -- with all that it imports by itself
    threads = environment.threads()
    networks = {
        part: Network(part, path, threads=threads, advice=(advice or {}).get(part, ""))
        for part, path in files.items()
    }
    read = [onnx.load(path).graph for path in files.values()]
    held = sum(graphs.parameter_bytes(graph) + graphs.constant_bytes(graph) for graph in read)
    return Reader(networks, settings, parameter_bytes=held, threads=threads)


def record(
    files: Mapping[str, Path], settings: Settings, pages: Sequence[Media]
) -> dict[str, list[NDArray[np.float32]]]:
    """Read pages, and return what each network was given.

    Args:
        files: as of :func:`load`.
        settings: likewise.
        pages: in the order that they are read.

    Raises:
        MediaError: a page is missing or damaged.
        ModelError: as :func:`load`.
    """
    reading = load(files, settings)
    given: dict[str, list[NDArray[np.float32]]] = {}
    for part, network in reading.networks.items():
        network.given = given.setdefault(part, [])
    reading.generate(
        [GenerationRequest("", 0, media=tuple(pages))], budget=1, skip=set(), done=lambda _: None
    )
    reading.close()
    return given


class Reader:
    """Reads pages, one at a time and line by line, so that a text depends on its page alone.

    Args:
        networks: by part.
        settings: of what is before and behind them.
        parameter_bytes: of all networks.
        threads: that compute.
    """

    abilities: frozenset[Ability] = frozenset({"generate"})
    media: frozenset[MediaKind] = frozenset({"image"})
    needs: MediaKind = "image"

    def __init__(
        self,
        networks: Mapping[str, Network],
        settings: Settings,
        *,
        parameter_bytes: int,
        threads: int,
    ) -> None:
        self.networks = networks
        self._parameter_bytes = parameter_bytes
        self._threads = threads
        self._limit_side_len = settings.limit_side_len
        self._pipeline: Any = _pipeline(networks, settings)

    def render(self, messages: Sequence[Mapping[str, str]]) -> str:
        """Return what is asked, which a reader does not read: it reads the page."""
        return "\n\n".join(message["content"] for message in messages)

    def score_options(
        self, requests: Sequence[ScoringRequest], *, budget: int, skip: Set[int], done: Done
    ) -> None:
        """Refuse: a reader writes what is there, and says of no option how likely it is.

        Raises:
            ScoringError: there is a request.
        """
        if requests:
            raise ScoringError(
                "a reader chooses between no options: ask it for the text of a page, by a scorer "
                "such as cer"
            )

    def generate(
        self, requests: Sequence[GenerationRequest], *, budget: int, skip: Set[int], done: Done
    ) -> None:
        """Read the pages of every request; those of one are joined by an empty line.

        Args:
            requests: each with its pages; what it says, and how long a reply may be, is not heeded.
            budget: not heeded: each page is read alone.
            skip: indices that need no answer.
            done: called after each request.

        Raises:
            MediaError: a page is missing, damaged, has changed, or is too long for its width.
            OutOfMemory: a page did not fit.
            ScoringError: a request has no page.
        """
        for request in requests:
            if not request.media:
                asked = shortened(request.context, 60)
                raise ScoringError(
                    f"a sample ({asked!r}) holds no image, and a reader reads nothing else: give "
                    "the sample its page (image), or leave it out of what this variant is asked"
                )
        for index, request in enumerate(requests):
            if index not in skip:
                start = time.perf_counter()
                text = "\n\n".join(self._read(media) for media in request.media)
                seconds = time.perf_counter() - start
                done({index: Output(text=text, tokens_out=len(text), seconds=seconds)})

    def seed(self, seed: int) -> None:
        """Nothing is drawn."""

    def environment(self) -> Mapping[str, Any]:
        """Versions of libraries, and threads."""
        return {"threads": self._threads, **{name: required(name) for name in PACKAGES}}

    def parameter_bytes(self) -> int:
        """Bytes of the weights of all networks."""
        return self._parameter_bytes

    def close(self) -> None:
        """Give the memory back at once, whoever else still refers to the engine."""
        self.networks = {}
        self._pipeline = None

    def _read(self, media: Media) -> str:
        import numpy as np

        if wrong := size.problem(media.width, media.height, self._limit_side_len):
            raise MediaError(f"{media.path}: {wrong}")
        pixels: NDArray[np.uint8] = np.asarray(images.opened(media))
        found = self._pipeline(np.ascontiguousarray(pixels[:, :, _RGB_TO_BGR]))
        if found.boxes is None:  # an empty page is one, too
            return ""
        return order.page(
            order.Found(text, tuple((float(x), float(y)) for x, y in box))
            for text, box in zip(found.txts, found.boxes, strict=True)
        )


def _pipeline(networks: Mapping[str, Network], settings: Settings) -> Any:
    """Return RapidOCR with our graphs in place of its own: so it opens none, and fetches none.

    Lines are recognised one at a time: in a batch each is padded to the width of the widest.
    """
    import omegaconf
    from rapidocr import RapidOCR
    from rapidocr.ch_ppocr_cls import TextClassifier
    from rapidocr.ch_ppocr_det import TextDetector
    from rapidocr.ch_ppocr_rec import TextRecognizer

    pipeline: Any = RapidOCR(
        params={
            "Global.log_level": "critical",
            "Global.text_score": settings.text_score,
            "Global.use_cls": ORIENTATION in networks,
            "Det.limit_side_len": settings.limit_side_len,
            "Det.limit_type": "min",
            "Det.mean": list(settings.mean),
            "Det.std": list(settings.std),
            "Cls.cls_batch_num": 1,
            "Rec.rec_batch_num": 1,
            "Rec.font_path": None,
        }
    )
    steps: tuple[tuple[str, str, str, Any], ...] = (
        (DETECTION, "Det", "text_det", TextDetector),
        (ORIENTATION, "Cls", "text_cls", TextClassifier),
        (RECOGNITION, "Rec", "text_rec", TextRecognizer),
    )
    for part, section, attribute, make in steps:
        if part in networks:
            network = networks[part]
            with omegaconf.flag_override(pipeline.cfg, "allow_objects", True):
                pipeline.cfg[section].session = network.session
                step = make(pipeline.cfg[section])
            step.session = network  # which tells where memory runs out
            setattr(pipeline, attribute, step)
    own = Settings()
    if (settings.mean, settings.std) != (own.mean, own.std):
        _normalise(pipeline.text_rec, settings)
    return pipeline


def _normalise(recogniser: Any, settings: Settings) -> None:
    """Give lines another mean and deviation than RapidOCR's, which has no setting for them."""
    import numpy as np

    own = recogniser.resize_norm_img
    mean = np.array(settings.mean, np.float32)[:, None, None]
    std = np.array(settings.std, np.float32)[:, None, None]

    def normalised(line: NDArray[np.uint8], ratio: float) -> NDArray[np.float32]:
        made: NDArray[np.float32] = own(line, ratio)
        height, width = line.shape[:2]
        filled = made[:, :, : math.ceil(made.shape[1] * width / height)]  # behind it is padding
        filled[:] = (filled * 0.5 + 0.5 - mean) / std
        return made

    recogniser.resize_norm_img = normalised
