"""A plan becomes a fingerprint, and a loaded engine."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pytest_modellab.engines import device as devices
from pytest_modellab.engines.interface import Engine
from pytest_modellab.engines.language import chat, kernels
from pytest_modellab.engines.language import torch_model as engine
from pytest_modellab.engines.language.attention import FLEX
from pytest_modellab.engines.language.base import ChatEngine
from pytest_modellab.engines.language.reasoning import Reasoning
from pytest_modellab.engines.loading import quiet
from pytest_modellab.engines.packages import required
from pytest_modellab.engines.vision import image_text
from pytest_modellab.engines.vision.image_text import ImageTextEngine
from pytest_modellab.errors import ModelError, VariantLoadError, store_errors_as
from pytest_modellab.models import convert, opened, quantization
from pytest_modellab.models.files import NO_FILES, ModelFiles, named, says
from pytest_modellab.records.hashing import digest
from pytest_modellab.records.runs import Fingerprint
from pytest_modellab.scorers import in_words
from pytest_modellab.store import folders
from pytest_modellab.variants import images
from pytest_modellab.variants.methods import skipping
from pytest_modellab.variants.plan import Lent, Plan, Step

_MOVES = (
    "its chat template shows the date, and that was not found in its files, so that prompts would "
    "change from day to day; write the template into chat_template.jinja beside the tokenizer"
)


@dataclasses.dataclass(frozen=True)
class Loadable:
    """A variant as the source of its engine.

    Attributes:
        plan: the variant.
        files: its base model's files.
    """

    plan: Plan
    files: ModelFiles

    def open(self, cache: Path) -> Engine:
        """Load the variant (see :func:`load`)."""
        return load(self.plan, self.files, cache)


def fingerprint(plan: Plan, files: ModelFiles) -> Fingerprint:
    """Identify a variant by all that its answers depend on, without loading it.

    Args:
        plan: the variant.
        files: its base model's files.

    Returns:
        The fingerprint.

    Raises:
        VariantLoadError: a library is missing, a step was made for another model, or kernels or
            attention do not run on the device.
    """
    if plan.kernels:
        kernels.check_device(plan.device)
    if plan.attention == FLEX and not plan.device.startswith("cuda"):
        raise VariantLoadError(
            f'attention: "{FLEX}" is compiled for a GPU, and this variant runs on '
            f'{plan.device!r}: set device = "cuda", or attention = "sdpa"'
        )
    for step in (*plan.baked, *plan.steps):
        step.check(files)
    found = _quantized(plan, files)
    # before a server is asked, by a library that may not be there
    versions = {name: required(name) for name in _packages(plan, found)}
    pieces = {part: piece.files.weights for part, piece in plan.pieces.items()}
    optional: dict[str, Any] = {
        "kernels": plan.kernels,
        "attention": plan.attention,
        "baked": [[step.name, dict(step.settings)] for step in plan.baked],
        "steps": [[step.name, dict(step.settings)] for step in plan.steps],
        "thinking": dataclasses.asdict(plan.thinking) if plan.thinking is not None else {},
        "search": plan.search.identity(files) if plan.search is not None else {},
        "date": plan.day,
        "scoring": in_words.IDENTITY if plan.scoring == "generated" else "",
        "preprocessing": plan.preprocessing(plan, files) if plan.preprocessing is not None else {},
        "borrowed": {
            part: fingerprint(lent.plan, lent.files).key for part, lent in plan.borrowed.items()
        },
        "pieces": pieces,
        "runtime": dict(plan.runtime),
    }
    if plan.served is not None:
        optional |= {"api": plan.served.api, "served": dict(plan.served.identity)}
    prompts = [prompt.hash for prompt in (plan.prompt, *plan.paraphrases)]
    return Fingerprint(
        weights=_weights(plan, files, pieces),
        tokenizer=files.tokenizer,
        prompt=prompts[0] if len(prompts) == 1 else digest(prompts)[:16],
        settings={
            "converter": convert.version(files, found),
            "decoding": dict(plan.decoding) or "greedy",
            "device": plan.device,
            "dtype": plan.dtype,
            "engine": plan.engine,
            "quantization": dict(plan.quantization),
            "versions": versions,
            **{name: value for name, value in optional.items() if value},
        },
    )


def _weights(plan: Plan, files: ModelFiles, pieces: Mapping[str, str]) -> str:
    """Hash what holds the weights; of a served model that is all that the server says of itself."""
    if plan.served is not None:
        return digest(plan.served.identity)
    return digest(pieces) if pieces else files.weights


def _quantized(
    plan: Plan, files: ModelFiles, unpacked: Path | None = None
) -> quantization.Quantized | None:
    """Return how a variant's model is quantized, or None where it is plain.

    Args:
        plan: the variant.
        files: its base model's files.
        unpacked: the folder that they became, where it is looked at.

    Raises:
        ModelError: it cannot be run, or must be plain.
    """
    own = plan.weights is None and files != NO_FILES
    found = quantization.find(unpacked or files.path) if own else None
    if found is None:
        return None
    if plan.plain:
        how = found.method or "by an unknown method"
        raise ModelError(says(files.source, f"is quantized: {found.where} ({how}); {plan.plain}"))
    problem = found.problem
    if unpacked is not None and found.method in quantization.CONVERTED:
        problem = problem or f"{found.method} in a zip: unpack it, and name the folder as source"
    if problem:
        raise ModelError(says(files.source, f"{found.where}: {problem}"))
    return found


def _packages(plan: Plan, found: quantization.Quantized | None) -> tuple[str, ...]:
    """Return the distributions that a variant needs, with those that read its weights."""
    return (
        *plan.packages,
        *(kernels.PACKAGES if plan.kernels else ()),
        *(quantization.PACKAGES[found.method] if found is not None else ()),
    )


def _check_made(plan: Plan, files: ModelFiles, folder: Path) -> None:
    """Refuse what a file held and only its folder shows: packed weights in a zip, no template.

    Raises:
        ModelError: it does.
    """
    _quantized(plan, files, folder)
    if files.path.suffix == ".gguf" and not (folder / "chat_template.jinja").is_file():
        raise ModelError(
            says(
                files.source,
                f"{files.path} holds no chat template (tokenizer.chat_template); name the folder "
                "that it was made from, or write a file that has one: gguf-new-metadata "
                f"--chat-template-file chat_template.jinja {files.path.name} NEW.gguf",
            )
        )


def load(plan: Plan, files: ModelFiles, cache: Path) -> Engine:
    """Load a variant.

    Args:
        plan: the variant.
        files: its base model's files.
        cache: where converted models are kept.

    Returns:
        The engine that answers for the variant.

    Raises:
        ModelError: the files cannot be read.
        VariantLoadError: a library or the device is missing, or a library refuses the model.
    """
    check_packages(plan, files)
    devices.ready(plan.device)
    folder = convert.folder(files, cache)
    if files.path.is_file() or files.pieces:
        _check_made(plan, files, folder)
    if plan.baked:
        folder = _bake(plan, files, folder, cache)
    if plan.open is None:
        loaded: Engine = _transformers(plan, files, folder)
        _borrow(plan, loaded, cache)
    else:
        with opened.checked(files):
            loaded = plan.open(plan, folder, cache)
    return asked_as(plan, files, loaded)


def _borrow(plan: Plan, loaded: Engine, cache: Path) -> None:
    """Put the parts that other variants lend into a loaded model, each lender loaded once.

    Raises:
        VariantLoadError: one does not fit.
    """
    lenders: list[tuple[Lent, list[str]]] = []
    for part, lent in plan.borrowed.items():
        named = next((parts for one, parts in lenders if one == lent), None)
        if named is None:
            lenders.append((lent, [part]))
        else:
            named.append(part)
    for lent, parts in lenders:
        if (lent.plan.dtype, lent.plan.device) != (plan.dtype, plan.device):
            raise VariantLoadError(
                f"{parts[0]}: held in {lent.plan.dtype} on {lent.plan.device!r} by the other, and "
                f"in {plan.dtype} on {plan.device!r} here"
            )
        lender = load(dataclasses.replace(lent.plan, thinking=None), lent.files, cache)
        try:
            if not (isinstance(loaded, ImageTextEngine) and isinstance(lender, ImageTextEngine)):
                raise VariantLoadError(f"{parts[0]}: the other is no language model with images")
            for part in parts:
                loaded.borrow(part, lender)
        finally:
            lender.close()


def check_packages(plan: Plan, files: ModelFiles) -> None:
    """Refuse a variant that needs a library which is not installed.

    Raises:
        VariantLoadError: it does.
    """
    for name in _packages(plan, _quantized(plan, files)):
        required(name)


def asked_as(plan: Plan, files: ModelFiles, loaded: Engine) -> Engine:
    """Return a loaded engine as one that is asked as a plan says: what day it is, how it thinks.

    Raises:
        ModelError: its chat template shows the date of today.
    """
    if isinstance(loaded, ChatEngine):
        loaded.day = plan.day
        if not plan.day and chat.moves(loaded.tokenizer):
            raise ModelError(says(files.source, _MOVES))
    return loaded if plan.thinking is None else Reasoning(loaded, plan.thinking)


def _transformers(plan: Plan, files: ModelFiles, folder: Path) -> engine.TransformersEngine:
    with quiet():
        options = dict(plan.load_options())
        found = quantization.find(folder)
        if found is not None and quantization.is_uneven(found):
            options["config"] = _unpacking(plan, folder)
    with opened.checked(files):
        if plan.kernels:
            kernels.check(
                folder, device=plan.device, trust_remote_code=plan.model.trust_remote_code
            )
        rounded = plan.quantization.get(skipping.PARTS, ())
        if "quantization_config" in options and (plan.skipped or rounded):
            skipping.leave_out(
                options["quantization_config"],
                plan.skipped,
                folder,
                parts=rounded,
                trust_remote_code=plan.model.trust_remote_code,
            )
        load = engine.load
        if plan.media:
            load = functools.partial(image_text.load, processor=images.changes(plan))
        loaded = load(
            folder,
            dtype=plan.dtype,
            device=plan.device,
            inference_mode=plan.inference_mode,
            trust_remote_code=plan.model.trust_remote_code,
            allow_pickle=plan.model.allow_pickle,
            attention=plan.attention or None,
            **options,
        )
        if plan.kernels:
            with quiet():
                kernels.fuse(loaded.model)
    _apply(loaded, [(step, step.apply) for step in plan.steps])
    return loaded


def _apply(
    loaded: engine.TransformersEngine, changes: Sequence[tuple[Step, Callable[[Any], Any]]]
) -> None:
    with quiet():
        for step, change in changes:
            step.asked(loaded.tokenizer, loaded.model)
            loaded.model = change(loaded.model).eval()


def _unpacking(plan: Plan, folder: Path) -> Any:
    """Return a configuration that has compressed-tensors unpack the weights while they are read.

    transformers makes room for zeros that are not packed, and finds those in the files too small.
    """
    from transformers import AutoConfig

    config = AutoConfig.from_pretrained(folder, trust_remote_code=plan.model.trust_remote_code)
    for part in (config, config.get_text_config()):
        if getattr(part, "quantization_config", None):
            part.quantization_config["dequantize"] = True
    return config


def _bake(plan: Plan, files: ModelFiles, folder: Path, cache: Path) -> Path:
    """Apply the steps that come before a quantization, once; the result is a folder like any."""
    settings = [[step.name, dict(step.settings)] for step in plan.baked]
    versions = {name: required(name) for name in plan.packages}
    key = digest([files.weights, files.tokenizer, plan.dtype, settings, versions])[:16]

    def write(target: Path) -> None:
        plain = dataclasses.replace(
            plan, steps=(), device="cpu", kernels="", attention="", load_options=dict
        )
        loaded = _transformers(plain, files, folder)
        _apply(loaded, [(step, step.bake or step.apply) for step in plan.baked])
        loaded.save(target)
        loaded.close()

    target = cache / "models" / f"{key}-baked"
    with store_errors_as(ModelError):
        return folders.folder(target, write, what=named(plan.model))
