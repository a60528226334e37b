"""Pictures to learn from: drawn by a file of the repository, and put into chats."""

from __future__ import annotations

import concurrent.futures
import contextlib
import dataclasses
import functools
import importlib.util
import json
import multiprocessing
import os
import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from pytest_modellab.engines.language.chat import render
from pytest_modellab.errors import ConfigError
from pytest_modellab.recipes.recipe import Order, StepProgress
from pytest_modellab.records.media import PLACE
from pytest_modellab.store import atomic
from pytest_modellab.variants import prompt

_AT_ONCE = 1000

NAMES = {
    "<fake_token_around_image>": "<jupyter_start>",
    "<image>": "<jupyter_text>",
    "<global-img>": "<jupyter_code>",
    "<end_of_utterance>": "<jupyter_output>",
}
"""What Idefics3's processor writes → the token of the language model that gets its name: one that
no chat has. So the vocabulary, and with it every weight of the language model, stays as it is."""


@dataclasses.dataclass(frozen=True)
class Gallery:
    """All pictures of a training run.

    Attributes:
        pixels: ``(count, side, side, 3)``, uint8, on the device.
        labels: ``(count, labels)``, -1 where a picture has none, on the device.
        classes: of each label.
        asked: questions and answers of each picture.
        seed: chooses the batches.
    """

    pixels: Any
    labels: Any
    classes: Mapping[str, int]
    asked: Sequence[Sequence[tuple[str, str]]]
    seed: int

    @property
    def count(self) -> int:
        """How many pictures there are."""
        return len(self.asked)

    @property
    def questions(self) -> int:
        """How many questions there are about them."""
        return sum(map(len, self.asked))

    def batch(self, size: int, step: int) -> list[int]:
        """Return the pictures of a step; only the seed and the step decide."""
        rng = random.Random(f"{self.seed}:{step}:{size}")
        return [rng.randrange(self.count) for _ in range(size)]


def load(path: Path) -> ModuleType:
    """Import the file that draws.

    Raises:
        ConfigError: there is none, it fails, or it lacks what is needed.
    """
    spec = importlib.util.spec_from_file_location("modellab_pictures", path)
    if not path.is_file() or spec is None or spec.loader is None:
        raise ConfigError(f"recipe.pictures: {path}: no such Python file")
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise ConfigError(f"recipe.pictures: {path}: {type(error).__name__}: {error}") from error
    for name in ("training", "LABELS"):
        if not hasattr(module, name):
            raise ConfigError(
                f"recipe.pictures: {path}: has no {name}; it must define training(seed, index), "
                "which returns pixels, questions with answers, and labels, and LABELS, the number "
                "of classes of each label"
            )
    return module


def draw(path: Path, settings: Mapping[str, Any], device: str, progress: StepProgress) -> Gallery:
    """Draw the pictures of a training run, on all processors.

    Args:
        path: the file that draws.
        settings: ``seed``, ``count``, and the encoder's ``image``, the side of a picture.
        device: where pixels and labels go.
        progress: is told how many are drawn.
    """
    import numpy as np
    import torch

    classes, count = dict(load(path).LABELS), settings["count"]
    side = settings["encoder"]["image"]
    pixels = np.empty((count, side, side, 3), np.uint8)
    labels = np.empty((count, len(classes)), np.int64)
    asked: list[list[tuple[str, str]]] = []
    starts = range(0, count, _AT_ONCE)
    ends = [min(start + _AT_ONCE, count) for start in starts]
    some = functools.partial(_some, path, settings["seed"])
    workers = min(len(os.sched_getaffinity(0)), len(starts))
    with contextlib.ExitStack() as stack:
        if workers > 1:
            spawn = multiprocessing.get_context("spawn")  # torch's threads do not survive a fork
            pool = concurrent.futures.ProcessPoolExecutor(workers, mp_context=spawn)
            drawn = stack.enter_context(pool).map(some, starts, ends)
        else:
            drawn = map(some, starts, ends)
        for start, end, found in zip(starts, ends, drawn, strict=True):
            if found[0].shape[1:] != (side, side, 3):
                raise ConfigError(
                    f"recipe.encoder.image: {side}, and {path.name} draws pictures of "
                    f"{found[0].shape[1:]}; both must be the same"
                )
            pixels[start:end], labels[start:end] = found[:2]
            asked += found[2]
            progress(end, count, what="picture")
    return Gallery(
        torch.from_numpy(pixels).to(device),
        torch.from_numpy(labels).to(device),
        classes,
        asked,
        settings["seed"],
    )


def _some(path: Path, seed: int, start: int, end: int) -> tuple[Any, Any, list[Any]]:
    """Draw pictures ``start`` to ``end``, in a process of its own."""
    import numpy as np

    module = load(path)
    names = [*module.LABELS]
    found = [module.training(seed, index) for index in range(start, end)]
    labels = [[told.get(name, -1) for name in names] for _, _, told in found]
    return (
        np.stack([pixels for pixels, _, _ in found]),
        np.array(labels),
        [questions for _, questions, _ in found],
    )


@dataclasses.dataclass(frozen=True)
class Chat:
    """A chat about a picture, in tokens.

    Attributes:
        tokenizer: of the language model.
        head: what stands before the first question, the picture's places in it.
        between: what stands between a question and its answer.
        again: what stands between an answer and the next question.
        first: where the picture's places begin.
        image_token: the token at them.
        names: token of the processor → that of the language model that it is.
    """

    tokenizer: Any
    head: tuple[int, ...]
    between: str
    again: str
    first: int
    image_token: int
    names: Mapping[str, str]

    @classmethod
    def of(cls, order: Order, places: int) -> Chat:
        """Find out what the language model's template writes around questions and answers."""
        tokenizer = order.tokenizer
        asks = prompt.read(order.root / str(order.spec.options["prompt"]))
        marks = ["modellab-question", "modellab-answer", "modellab-second"]
        chat = [
            *asks.messages(PLACE + marks[0]),
            {"role": "assistant", "content": marks[1]},
            {"role": "user", "content": marks[2]},
        ]
        text = render(tokenizer, chat, day=order.base.day)
        head, rest = text.split(marks[0])
        between, rest = rest.split(marks[1])
        again, end = rest.split(marks[2])
        if end != between or head.count(PLACE) != 1:
            raise ConfigError(
                f"recipe: the chat template of {order.source} does not write two turns alike, or "
                "leaves out the place of the picture; it cannot be learned from"
            )
        known = tokenizer.get_vocab()
        if missing := [name for name in NAMES.values() if name not in known]:
            raise ConfigError(
                f"recipe: the tokenizer of {order.source} has no {missing[0]!r}; this recipe gives "
                f"the names of what stands for a picture to {', '.join(NAMES.values())}, so that "
                "no weights are added"
            )
        around, image, mark = (NAMES[n] for n in [*NAMES][:3])
        picture = around + mark + image * places + around
        ids = tokenizer(head.replace(PLACE, picture), add_special_tokens=False).input_ids
        token = tokenizer.convert_tokens_to_ids(image)
        return cls(tokenizer, tuple(ids), between, again, ids.index(token), token, NAMES)

    @functools.cached_property
    def _ids(self) -> Any:
        @functools.cache
        def ids(text: str) -> list[int]:
            return list(self.tokenizer(text, add_special_tokens=False).input_ids)

        return ids

    def batch(self, chats: Sequence[Sequence[tuple[str, str]]], device: str) -> tuple[Any, ...]:
        """Put questions and answers into tokens, padded on the right.

        Args:
            chats: questions with answers, of one picture each.
            device: where the tensors go.

        Returns:
            Tokens, attention mask, and the answers' tokens with -1 elsewhere. An answer ends with
            the token that ends the assistant's turn.
        """
        import torch

        end = self._ids(self.again)[0]
        rows, told = [], []
        for chat in chats:
            ids, wanted = list(self.head), [-1] * len(self.head)
            for number, (question, answer) in enumerate(chat):
                asked = (self.again if number else "") + question + self.between
                before, reply = self._ids(asked), self._ids(answer)
                if number:
                    before = before[1:]  # the end of the turn is learned with the answer
                ids += [*before, *reply, end]
                wanted += [-1] * len(before) + [*reply, end]
            rows.append(ids)
            told.append(wanted)
        longest = max(map(len, rows))
        padded = [ids + [end] * (longest - len(ids)) for ids in rows]
        mask = [[1] * len(ids) + [0] * (longest - len(ids)) for ids in rows]
        answers = [ids + [-1] * (longest - len(ids)) for ids in told]
        return tuple(torch.tensor(each, device=device) for each in (padded, mask, answers))


def write_json(path: Path, values: Mapping[str, Any]) -> None:
    """Write a configuration, keys sorted."""
    atomic.write_text(path, json.dumps(values, indent=1, sort_keys=True) + "\n")


def write_processor(folder: Path, side: int, places: int) -> None:
    """Write what transformers' processor needs besides the tokenizer."""
    images = {
        "image_processor_type": "Idefics3ImageProcessor",
        "do_convert_rgb": True,
        "do_image_splitting": False,
        "do_normalize": True,
        "do_pad": True,
        "do_rescale": True,
        "do_resize": True,
        "image_mean": [0.5, 0.5, 0.5],
        "image_std": [0.5, 0.5, 0.5],
        "max_image_size": {"longest_edge": side},
        "resample": 2,
        "rescale_factor": 1 / 255,
        "size": {"longest_edge": side},
    }
    write_json(folder / "preprocessor_config.json", images)
    processor = {"processor_class": "Idefics3Processor", "image_seq_len": places}
    write_json(folder / "processor_config.json", processor)
