"""From a variant's declaration to its artefact: everything is checked before anything is loaded."""

from __future__ import annotations

import dataclasses
import itertools
import shutil
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pytest_modellab.config.lab_config import LabConfig
from pytest_modellab.engines.packages import required
from pytest_modellab.errors import ConfigError, ModellabError, VariantLoadError, near_misses
from pytest_modellab.models.files import ModelFiles
from pytest_modellab.recipes import RECIPES, artefact, data, find, provenance
from pytest_modellab.recipes.data import Data
from pytest_modellab.recipes.provenance import Provenance
from pytest_modellab.recipes.recipe import Order, Recipe, StepProgress, no_progress
from pytest_modellab.records.declared import VariantSpec
from pytest_modellab.records.hashing import digest
from pytest_modellab.records.setting import Setting, resolve
from pytest_modellab.variants import loading
from pytest_modellab.variants.kinds import lora
from pytest_modellab.variants.plan import Plan
from pytest_modellab.variants.steps import layers
from pytest_modellab.variants.steps.adapter import changes


@dataclasses.dataclass(frozen=True)
class BuildJob:
    """A checked declaration, nothing loaded.

    Attributes:
        spec: the variant.
        base: name of the variant that it is built on: its own base, or the recipe's ``base``.
        recipe: how it is made.
        settings: complete.
        data: what it learns from, None where the recipe generates it.
        destination: the artefact's folder.
        root: the folder that relative paths start from.
    """

    spec: VariantSpec
    base: str
    recipe: Recipe
    settings: Mapping[str, Any]
    data: Data | None
    destination: Path
    root: Path

    def steps(self, max_steps: int | None = None) -> int:
        """Return the optimizer steps that the job takes."""
        rows = len(self.data.rows) if self.data else self.settings[self.recipe.generates]
        steps = self.recipe.steps(self.settings, rows)
        return steps if max_steps is None else min(steps, max_steps)


def check(
    config: LabConfig,
    spec: VariantSpec,
    output: Path | None = None,
    recipes: Mapping[str, Recipe] = RECIPES,
) -> BuildJob:
    """Check a variant's recipe and read its data.

    Args:
        config: the configuration.
        spec: one of its variants.
        output: where the artefact goes, instead of where the variant looks for it.
        recipes: all there are, by name.

    Returns:
        All that can be known before anything is loaded.

    Raises:
        ConfigError: no recipe, an unknown method or setting, a wrong value, no data, a missing
            library; the message names file, key, value and the choices.
    """
    where = f"{config.path}: variants.{spec.name}"
    if spec.recipe is None:
        have = ", ".join(s.name for s in config.variants.values() if s.recipe is not None)
        raise ConfigError(
            f"{where}.recipe: missing, so that nothing says how to build {spec.name!r}; "
            f"variants with a recipe: {have or 'none'}"
        )
    given = dict(spec.recipe)
    base = given.pop("base", spec.base)
    if base is None:
        raise ConfigError(f"{where}.base: missing; a recipe adapts the variant named there")
    try:
        if base not in config.variants:
            raise ConfigError(
                f"recipe.base: unknown variant {base!r}; {near_misses(str(base), config.variants)}"
            )
        recipe = find(given.pop("method", None), recipes)
        settings = resolve({**recipe.settings, "data": Setting(str, None)}, given, "recipe.")
        name = settings.pop("data")
        recipe.check(settings, spec)
        if recipe.artefact == "model" and "adapter" in spec.options:
            raise ConfigError(f"recipe.method: {recipe.name!r} makes a whole model, no adapter")
        destination = output or _destination(config, spec)
        rows = _rows(recipe, settings, name, config.root)
        for package in recipe.packages:
            try:
                required(package)
            except VariantLoadError as error:
                raise ConfigError(f"recipe.method: {recipe.name!r}: {error}") from error
    except ConfigError as error:
        raise ConfigError(f"{where}.{error}") from error
    return BuildJob(spec, base, recipe, settings, rows, destination, config.root)


def _rows(recipe: Recipe, settings: Mapping[str, Any], name: str | None, root: Path) -> Data | None:
    if recipe.generates and settings[recipe.generates]:
        if name is not None:
            raise ConfigError(f"recipe.data: stands beside {recipe.generates}; give one of them")
        return None
    if name is None:
        or_else = (
            f", or let the base write it: {recipe.generates} = 1000" if recipe.generates else ""
        )
        shape = "{" + ", ".join(f'"{key}": …' for key in recipe.keys) + "}"
        raise ConfigError(f"recipe.data: missing; name a file of lines {shape}{or_else}")
    try:
        return data.read(root, name, recipe.keys)
    except ConfigError as error:
        raise ConfigError(f"recipe.{error}") from error


def _destination(config: LabConfig, spec: VariantSpec) -> Path:
    """Return the folder that the variant's kind will load from."""
    adapter = spec.options.get("adapter")
    if isinstance(adapter, str):
        return config.root / adapter
    if spec.model is None:
        raise ConfigError(
            'adapter: missing; say where the artefact goes: adapter = "adapters/NAME", or '
            'model = "NAME" with [models.NAME] source = "some/folder" for a whole model'
        )
    source = config.models[spec.model].source
    if source.startswith("package:"):
        raise ConfigError(
            f"model: {spec.model!r} is the file of a package ({source}); a whole model is written "
            "to a folder of its own"
        )
    return config.root / Path(source).expanduser()


def build(
    job: BuildJob,
    base: Plan,
    files: ModelFiles,
    cache: Path,
    *,
    device: str = "cpu",
    max_steps: int | None = None,
    fresh: bool = False,
    force: bool = False,
    progress: StepProgress = no_progress,
) -> Provenance:
    """Make an artefact.

    Args:
        job: from :func:`check`.
        base: the plan of the variant that is adapted.
        files: its model's files.
        cache: where converted models and checkpoints are kept.
        device: ``cpu`` or ``cuda``; the base is loaded there.
        max_steps: optimizer steps at most.
        fresh: forget the checkpoints of a killed build.
        force: replace an artefact that is there, after success.
        progress: called after each step.

    Returns:
        How it was made, as it now lies beside the artefact.

    Raises:
        ConfigError: there is an artefact already.
        ModellabError: training failed, or another process builds the same.
    """
    if job.destination.exists() and not force:
        raise ConfigError(
            f"{job.destination}: exists; --force replaces it once the new one is complete"
        )
    if job.destination.exists() and provenance.read(job.destination) is None:
        raise ConfigError(
            f"{job.destination}: holds no {provenance.FILE_NAME}, so modellab build has not made "
            "it and does not replace it; move it away, or choose another folder"
        )
    from filelock import FileLock, Timeout

    origin = _origin(job, base, files)
    key = digest(
        [
            job.recipe.name,
            job.spec.name,
            job.settings,
            job.data.sha256 if job.data else None,
            origin,
            device,
            max_steps,
        ]
    )[:16]
    work = cache / "recipes" / key
    work.parent.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(f"{work}.lock", timeout=0):
            if fresh:
                shutil.rmtree(work, ignore_errors=True)
            order = _order(job, base, files, cache, device, work, origin)
            order = dataclasses.replace(order, max_steps=max_steps, progress=progress)
            return artefact.make(job.recipe, order, job.destination)
    except Timeout as error:
        raise ModellabError(f"{job.spec.name}: another process is building it") from error


@dataclasses.dataclass(frozen=True)
class BuildEstimate:
    """What a build will take.

    Attributes:
        steps: optimizer steps.
        first: seconds of the first step, with what is prepared before it.
        each: seconds of a later step.
        memory: peak bytes, of the GPU, or of this process on a CPU.
    """

    steps: int
    first: float
    each: float
    memory: int

    @property
    def seconds(self) -> float:
        """Seconds in all, loading the model not counted."""
        return self.first + (self.steps - 1) * self.each


def estimate(
    job: BuildJob,
    base: Plan,
    files: ModelFiles,
    cache: Path,
    *,
    device: str = "cpu",
    max_steps: int | None = None,
) -> BuildEstimate:
    """Take the first two steps on the real model, in a folder that is thrown away.

    Args:
        job: from :func:`check`.
        base: the plan of the variant that is adapted.
        files: its model's files.
        cache: where converted models are kept.
        device: ``cpu`` or ``cuda``.
        max_steps: as for :func:`build`.

    Returns:
        The second step's seconds, scaled by the steps.
    """
    steps = job.steps(max_steps)
    marks = [time.perf_counter()]
    written = (key for key in (job.recipe.generates, "replay") if job.settings.get(key))
    share, writes = 1.0, next(written, "")
    if writes:  # a few rows tell how long all will take to be written
        rows = min(job.settings[writes], 2 * job.settings["batch_size"])
        share = rows / job.settings[writes]
        job = dataclasses.replace(job, settings={**job.settings, writes: rows})

    def mark(done: int, total: int, loss: float | None = None, *, what: str = "step") -> None:
        if what == "step" or not writes:
            marks.append(time.perf_counter())

    with tempfile.TemporaryDirectory(prefix="modellab-") as place:
        work, output = Path(place) / "work", Path(place) / "output"
        output.mkdir()
        order = _order(job, base, files, cache, device, work, _origin(job, base, files))
        marks[0] = time.perf_counter()
        artefact.train(
            job.recipe,
            dataclasses.replace(
                order,
                max_steps=min(steps, 2),
                progress=mark,
                output=output,
            ),
        )
    if len(marks) == 1:  # a recipe that tells no steps
        marks.append(time.perf_counter())
    spans = [after - before for before, after in itertools.pairwise(marks)]
    return BuildEstimate(steps, spans[0] / share, spans[-1], _peak(device))


def _peak(device: str) -> int:
    if device != "cpu":
        import torch

        return int(torch.cuda.max_memory_allocated(device))
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024  # kilobytes on Linux


def _origin(job: BuildJob, base: Plan, files: ModelFiles) -> dict[str, Any]:
    options = job.spec.options
    cut = [layers.step(options["layers"])] if "layers" in options else []
    return {
        "variant": job.base,
        "weights": files.weights,
        "fingerprint": loading.fingerprint(dataclasses.replace(base, day=""), files).key,
        "quantization": dict(base.quantization),
        "steps": changes((*base.baked, *base.steps, *cut)),
    }


def _order(
    job: BuildJob,
    base: Plan,
    files: ModelFiles,
    cache: Path,
    device: str,
    work: Path,
    origin: Mapping[str, Any],
) -> Order:
    if base.open is not None:
        raise ConfigError(
            f"{job.spec.name}: its base {job.base!r} is run by {base.engine}, which trains "
            "nothing; name a variant that transformers runs"
        )
    try:
        lora.check_base(job.spec, base)
    except ConfigError as error:
        raise ConfigError(f"{job.spec.name}: {error}") from error
    if base.quantization and any(step.bake for step in base.steps):
        raise ConfigError(
            f"{job.spec.name}: its base {job.base!r} has an adapter on quantized weights, "
            "which cannot be merged without loss; build on the quantized variant itself"
        )
    steps = [dataclasses.replace(step, apply=step.bake or step.apply) for step in base.steps]
    plain = dataclasses.replace(
        base, device=device, kernels="", attention="", steps=tuple(steps), thinking=None
    )
    engine: Any = loading.load(plain, files, cache)
    engine.render(base.prompt.messages("probe"))  # TRL renders by itself, without limits
    if engine.tokenizer.pad_token is None:  # any will do: padding is masked
        engine.tokenizer.pad_token = engine.tokenizer.eos_token
    return Order(
        spec=job.spec,
        base=base,
        origin=origin,
        source=files.source.source,
        model=engine.model,
        tokenizer=engine.tokenizer,
        settings=job.settings,
        data=job.data,
        root=job.root,
        output=work,
        work=work,
        device=device,
    )
