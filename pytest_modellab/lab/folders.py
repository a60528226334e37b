"""A folder that no configuration declares, as a variant."""

from __future__ import annotations

import dataclasses
import tempfile
from pathlib import Path

from pytest_modellab.engines.interface import Engine
from pytest_modellab.lab.resolved import Resolved
from pytest_modellab.models.files import ModelFiles
from pytest_modellab.records.declared import ModelSource, VariantSpec
from pytest_modellab.variants.loading import Loadable

KIND = "folder"
"""The kind of such a variant, which no configuration can name."""


PROMPT = "{% block user %}{{ input }}{% endblock %}"
"""The input as it is."""


DAY = "2026-01-01"
"""What a chat template is told that asks for the date."""


ADAPTER = "adapter_config.json"
"""What a folder holds that is an adapter."""


def resolve(named: str, like: Resolved | None = None, day: str = "") -> Resolved:
    """Find and hash a model's files; nothing is loaded.

    Args:
        named: a folder of transformers, a GGUF file or a zipped folder, as a user says it; or an
            adapter's folder, where ``like`` is what it is put on.
        like: the variant whose prompt is asked, or None for the input as it is.
        day: what a chat template is told that asks for the date; empty for :data:`DAY`.

    Returns:
        The folder as a variant of that name.

    Raises:
        ModelError: it holds no model; the message says what is missing.
    """
    from pytest_modellab.models import clock, locate
    from pytest_modellab.variants import loading
    from pytest_modellab.variants.plan import Plan
    from pytest_modellab.variants.prompt import Prompt

    place = Path(named).expanduser().absolute()
    if like is not None and (place / ADAPTER).is_file():
        return _adapted(named, place, like)
    source = ModelSource(named, str(place))
    files = locate.locate(source, Path.cwd())
    plan = Plan(model=source, prompt=Prompt(PROMPT) if like is None else like.plan.prompt)
    if clock.asked(files):
        plan = dataclasses.replace(plan, day=day or DAY)
    spec = VariantSpec(named, KIND, "folder", model=named)
    return Resolved(spec, Loadable(plan, files), loading.fingerprint(plan, files))


def weights_of(variant: Resolved) -> Resolved | None:
    """The variant with its GGUF file run by transformers, or None where it has no such file.

    Its name and fingerprint stay.
    """
    file = variant.plan.weights
    if file is None or file.suffix != ".gguf":
        return None
    from pytest_modellab.models import locate

    source = ModelSource(variant.name, str(file))
    plan = dataclasses.replace(variant.plan, open=None, weights=None, quantization={}, steps=())
    packed = _Packed(plan, locate.locate(source, Path.cwd()), variant.files)
    return dataclasses.replace(variant, source=packed)


@dataclasses.dataclass(frozen=True)
class _Packed(Loadable):
    """A GGUF file's weights with the tokenizer of the model that it was made from."""

    tokenizer: ModelFiles

    def open(self, cache: Path) -> Engine:
        """Load the weights, as transformers converts them, once."""
        from pytest_modellab.engines.language import torch_model
        from pytest_modellab.engines.loading import quiet
        from pytest_modellab.models import convert, reads

        with quiet():
            weights = convert.folder(self.files, cache)
            beside = convert.folder(self.tokenizer, cache)
        with tempfile.TemporaryDirectory(prefix="modellab-") as folder:
            for place, tokenizer in ((weights, False), (beside, True)):
                for file in place.iterdir():
                    if file.is_file() and reads.of_tokenizer(file.name) == tokenizer:
                        (Path(folder) / file.name).symlink_to(file.resolve())
            plan = self.plan
            loaded = torch_model.load(Path(folder), dtype=plan.dtype, device=plan.device)
        loaded.day = plan.day
        return loaded


def _adapted(named: str, place: Path, base: Resolved) -> Resolved:
    """The base with an adapter."""
    from pytest_modellab import variants
    from pytest_modellab.variants import loading

    kind = variants.KINDS["qlora" if base.plan.quantization else "lora"]
    options = {"adapter": str(place)}
    spec = VariantSpec(named, kind.name, kind.strategy, base=base.name, options=options)
    plan = kind.plan(spec, base.plan, base.files.source, place.parent)
    source = Loadable(plan, base.files)
    return Resolved(
        dataclasses.replace(spec, kind=KIND), source, loading.fingerprint(plan, base.files)
    )
