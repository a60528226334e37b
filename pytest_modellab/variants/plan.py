"""What a variant is made of, before anything is loaded."""

from __future__ import annotations

import dataclasses
import importlib.metadata
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pytest_modellab import models
from pytest_modellab.engines import transformers as engine
from pytest_modellab.engines.reasoning import Reasoning, Thinking
from pytest_modellab.errors import ConfigError, VariantLoadError, near_misses
from pytest_modellab.records import Engine, Fingerprint, ModelSource, VariantSpec, digest
from pytest_modellab.retrieval.settings import Search
from pytest_modellab.variants.prompt import Prompt

EXTRAS = {
    "accelerate": "transformers",
    "bm25s": "embedding",
    "bitsandbytes": "quantized",
    "compressed-tensors": "quantized",
    "datasets": "recipes",
    "faiss-cpu": "embedding",
    "gguf": "transformers",
    "onnx": "onnx",
    "onnxruntime": "onnx",
    "onnxscript": "onnx",
    "optimum-quanto": "quantized",
    "peft": "adapters",
    "sentence-transformers": "embedding",
    "tokenizers": "transformers",
    "torch": "transformers",
    "torchao": "quantized",
    "transformers": "transformers",
    "trl": "recipes",
    "xllamacpp": "llamacpp",
}
"""Distribution → the extra that brings it; any other is installed by its own name."""


@dataclasses.dataclass(frozen=True)
class Step:
    """One change to the loaded model, for example an adapter.

    Attributes:
        name: what it is.
        settings: all that makes it what it is, as JSON would hold it: files by their hash.
        apply: takes the model, and returns the one to go on with (changed in place or not).
        packages: distributions that it needs.
        check: called with the base model's files before anything is loaded; raises where the step
            was made for another model.
        bake: as ``apply``, but leaves plain weights that can be saved; None where that does.
    """

    name: str
    settings: Mapping[str, Any]
    apply: Callable[[Any], Any]
    packages: tuple[str, ...] = ()
    check: Callable[[models.ModelFiles], None] = lambda _: None
    bake: Callable[[Any], Any] | None = None


@dataclasses.dataclass(frozen=True)
class Grounding:
    """What a variant is shown beside the input.

    Attributes:
        retriever: the variant that searches.
        passages: how many of the best documents are shown.
    """

    retriever: str
    passages: int


@dataclasses.dataclass(frozen=True)
class Plan:
    """A variant that is not loaded yet.

    Attributes:
        model: the base model.
        prompt: how a sample becomes chat messages.
        paraphrases: other prompts for the same samples, over which scores are averaged.
        dtype: torch dtype that weights and activations are held in.
        device: ``cpu``, ``cuda`` …
        quantization: settings, empty where the weights are as they came.
        packages: distributions whose version may change a score.
        load_options: makes the extra arguments of ``from_pretrained``; called when loading.
        baked: steps that come before the quantization: applied once and kept as a folder.
        steps: changes to the loaded model, in order.
        inference_mode: False where the backend only allows ``torch.no_grad``.
        thinking: how it reasons before it answers, or None where it answers at once.
        search: how it ranks a corpus, or None where it answers in words.
        grounding: the search that comes before it answers, or None.
        engine: name and version of what runs it.
        open: loads another engine than transformers from a folder and the store's root, or None.
        weights: the file that holds the weights in place of the base model's files, or None.
    """

    model: ModelSource
    prompt: Prompt
    paraphrases: tuple[Prompt, ...] = ()
    dtype: str = "float32"
    device: str = "cpu"
    quantization: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    packages: tuple[str, ...] = ("torch", "transformers", "tokenizers")
    load_options: Callable[[], Mapping[str, Any]] = dict
    baked: tuple[Step, ...] = ()
    steps: tuple[Step, ...] = ()
    inference_mode: bool = True
    thinking: Thinking | None = None
    search: Search | None = None
    grounding: Grounding | None = None
    engine: str = f"transformers-{engine.VERSION}"
    open: Callable[[Plan, Path, Path], Engine] | None = None
    weights: Path | None = None

    def merged(self) -> Plan:
        """Return the plan with its changes merged into the weights, ready to be quantized."""
        return dataclasses.replace(self, baked=(*self.baked, *self.steps), steps=())

    def with_step(self, step: Step) -> Plan:
        """Return the plan with one more change to the model, after all others.

        Raises:
            ConfigError: another engine holds the model, out of reach.
        """
        if self.open is not None:
            raise ConfigError(
                f"base: {self.engine} runs it, which takes no {step.name}; name a base that "
                "transformers runs"
            )
        packages = dict.fromkeys((*self.packages, *step.packages))
        return dataclasses.replace(self, steps=(*self.steps, step), packages=tuple(packages))


Planner = Callable[[VariantSpec, "Plan | None", ModelSource, Path], Plan]
"""Takes the declaration, the base's plan (None without a base), the variant's own or inherited
model, and the folder that relative paths start from. Raises ConfigError that begins with the
option's name."""


@dataclasses.dataclass(frozen=True)
class Kind:
    """A kind of variant: what ``kind = "…"`` in modellab.toml may say.

    Attributes:
        name: as declared.
        strategy: the family that its variants belong to.
        marker: the pytest marker of their tests.
        plan: declaration → plan, loading nothing.
        own_model: whether a variant may name a model beside its base.
        needs_model: whether a variant must have a model, its own or its base's.
        searches: whether its variants rank documents, and may have a base that does.
        adapts_prompt: whether the prompt is what its variants adapt, so that a changed one is
            judged; beside any other change it is refused.
    """

    name: str
    strategy: str
    marker: str
    plan: Planner
    own_model: bool = False
    needs_model: bool = True
    searches: bool = False
    adapts_prompt: bool = False


def fingerprint(plan: Plan, files: models.ModelFiles) -> Fingerprint:
    """Identify a variant by all that its answers depend on, without loading it.

    Args:
        plan: the variant.
        files: its base model's files.

    Returns:
        The fingerprint.

    Raises:
        VariantLoadError: a library is missing, or a step was made for another model.
    """
    for step in (*plan.baked, *plan.steps):
        step.check(files)
    optional: dict[str, Any] = {
        "baked": [[step.name, dict(step.settings)] for step in plan.baked],
        "steps": [[step.name, dict(step.settings)] for step in plan.steps],
        "thinking": dataclasses.asdict(plan.thinking) if plan.thinking is not None else {},
        "search": plan.search.identity() if plan.search is not None else {},
    }
    prompts = [prompt.hash for prompt in (plan.prompt, *plan.paraphrases)]
    return Fingerprint(
        weights=files.weights,
        tokenizer=files.tokenizer,
        prompt=prompts[0] if len(prompts) == 1 else digest(prompts)[:16],
        settings={
            "converter": models.CONVERTER if files.path.is_file() else None,
            "decoding": "greedy",
            "device": plan.device,
            "dtype": plan.dtype,
            "engine": plan.engine,
            "quantization": dict(plan.quantization),
            "versions": {name: required(name) for name in plan.packages},
            **{name: value for name, value in optional.items() if value},
        },
    )


def load(plan: Plan, files: models.ModelFiles, cache: Path) -> Engine:
    """Load a variant.

    Args:
        plan: the variant.
        files: its base model's files.
        cache: where converted models are kept.

    Returns:
        The engine that answers for the variant.

    Raises:
        ModelError: the files cannot be read.
        VariantLoadError: a library is missing, or it refuses the model.
    """
    for name in plan.packages:
        required(name)
    folder = models.folder(files, cache)
    if plan.baked:
        folder = _bake(plan, files, folder, cache)
    loaded = (plan.open or _transformers)(plan, folder, cache)
    return loaded if plan.thinking is None else Reasoning(loaded, plan.thinking)


def _transformers(plan: Plan, folder: Path, cache: Path) -> engine.TransformersEngine:
    with engine.quiet():
        options = plan.load_options()
    loaded = engine.load(
        folder,
        dtype=plan.dtype,
        device=plan.device,
        inference_mode=plan.inference_mode,
        trust_remote_code=plan.model.trust_remote_code,
        allow_pickle=plan.model.allow_pickle,
        **options,
    )
    _apply(loaded, [step.apply for step in plan.steps])
    return loaded


def _apply(loaded: engine.TransformersEngine, changes: Sequence[Callable[[Any], Any]]) -> None:
    with engine.quiet():
        for change in changes:
            loaded.model = change(loaded.model).eval()


def _bake(plan: Plan, files: models.ModelFiles, folder: Path, cache: Path) -> Path:
    """Apply the steps that come before a quantization, once; the result is a folder like any."""
    settings = [[step.name, dict(step.settings)] for step in plan.baked]
    versions = {name: required(name) for name in plan.packages}
    key = digest([files.weights, files.tokenizer, plan.dtype, settings, versions])[:16]

    def write(target: Path) -> None:
        plain = dataclasses.replace(plan, steps=(), device="cpu", load_options=dict)
        loaded = _transformers(plain, folder, cache)
        _apply(loaded, [step.bake or step.apply for step in plan.baked])
        loaded.model.save_pretrained(target)
        loaded.tokenizer.save_pretrained(target)
        loaded.close()

    return models.kept(cache / "models" / f"{key}-baked", write, plan.model)


def required(package: str) -> str:
    """Return the version of an installed distribution.

    Raises:
        VariantLoadError: it is not installed; the message has the command that installs it.
    """
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError as error:
        raise VariantLoadError(f"{package} is not installed: {install_command(package)}") from error


def install_command(package: str) -> str:
    """Return the command that installs a distribution, or the one with a module of that name."""
    extra = EXTRAS.get(package) or EXTRAS.get(package.replace("_", "-"))
    wanted = package if extra is None else f"'pytest-modellab[{extra}]'"
    return f"pip install {wanted}"


def check_options(options: Mapping[str, Any], known: Mapping[str, type]) -> None:
    """Check a kind's own settings.

    Args:
        options: key → value as read.
        known: key → type.

    Raises:
        ConfigError: an unknown key or a value of another type; the message begins with the key.
    """
    for key, value in options.items():
        if key not in known:
            raise ConfigError(f"{key}: unknown key; {near_misses(key, known)}")
        accepted = (int, float) if known[key] is float else (known[key],)
        if type(value) not in accepted:
            raise ConfigError(
                f"{key}: {value!r} is {type(value).__name__}, expected {known[key].__name__}"
            )
