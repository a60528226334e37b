"""What a variant is made of, before anything is loaded."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal, get_args

from pytest_modellab.endpoints.served import Served
from pytest_modellab.engines.interface import Engine
from pytest_modellab.engines.language import kernels
from pytest_modellab.engines.language import torch_model as engine
from pytest_modellab.engines.language.attention import FLEX
from pytest_modellab.engines.language.reasoning import Thinking
from pytest_modellab.engines.search.settings import Search
from pytest_modellab.engines.vision import image_text
from pytest_modellab.errors import ConfigError
from pytest_modellab.models import locate
from pytest_modellab.models.files import ModelFiles
from pytest_modellab.records.declared import ModelSource, VariantSpec
from pytest_modellab.records.media import MediaKind
from pytest_modellab.records.setting import OPTIONAL, Setting
from pytest_modellab.variants.prompt import Prompt

DTYPE = Setting(str, OPTIONAL, choices=("bfloat16", "float16", "float32"))

PLAIN_KERNELS = "plain"
"""What a variant asks for that does without the fused kernels of its base."""

KERNELS = Setting(str, OPTIONAL, choices=(*kernels.NAMES, PLAIN_KERNELS))

ATTENTIONS = ("eager", FLEX, "sdpa")
"""transformers' names of what packed texts can be computed with: each takes a mask."""

ATTENTION = Setting(str, OPTIONAL, choices=ATTENTIONS)


Scoring = Literal["likelihood", "generated"]

SCORING = Setting(str, OPTIONAL, choices=get_args(Scoring))
"""How multiple choice is scored; the base's where it is left out. Of every kind whose variants
answer in words; it is no business of a kind's planner."""


def fits_any(*_base: Any) -> None:
    """Accept any base, as the check of a step that was made for none in particular."""


@dataclasses.dataclass(frozen=True)
class Step:
    """One change to the loaded model, for example an adapter.

    Its functions pickle, as all of a plan does: functions of a module, or ``functools.partial``.

    Attributes:
        name: what it is.
        settings: all that makes it what it is, as JSON would hold it: files by their hash.
        apply: takes the model, and returns the one to go on with (changed in place or not).
        packages: distributions that it needs.
        check: called with the base model's files before anything is loaded; raises where the step
            was made for another model.
        bake: as ``apply``, but leaves plain weights that can be saved; None where that does.
        asked: called with the tokenizer and the model that are loaded, before ``apply``; raises
            where the step was made for other prompts or replies.
        attach: as ``apply``, for a change that leaves no trace in the model: it returns what takes
            it off again, too, so that other variants can be run on the same loaded model; None
            where there is no way back.
        reads: whether ``attach`` makes something of the model's weights, so that they have to be
            as they were loaded.
        folder: of a PEFT adapter that ``attach`` puts on, for an engine that does that itself.
    """

    name: str
    settings: Mapping[str, Any]
    apply: Callable[[Any], Any]
    packages: tuple[str, ...] = ()
    check: Callable[[ModelFiles], None] = fits_any
    bake: Callable[[Any], Any] | None = None
    asked: Callable[[Any, Any], None] = fits_any
    attach: Callable[[Any], tuple[Any, Callable[[], None]]] | None = None
    reads: bool = False
    folder: Path | None = None


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
class Piece:
    """A graph that is one part of a model, declared by itself.

    Attributes:
        model: where it is.
        root: the folder that a relative path starts from.
    """

    model: ModelSource
    root: Path

    @functools.cached_property
    def files(self) -> ModelFiles:
        """Its file, found and hashed once.

        Raises:
            ModelError: it is missing or damaged.
        """
        return locate.graph(self.model, self.root)


@dataclasses.dataclass(frozen=True)
class Training:
    """What was last trained into a model: a server of it may serve what was there before.

    Attributes:
        variant: that was trained.
        prompt: that its training data was put into.
        recipe: as declared; None where the variant has none.
        adapter: the folder of PEFT's files; None where the weights are its own.
        root: the folder that relative paths start from.
    """

    variant: str
    prompt: Prompt
    recipe: Mapping[str, Any] | None
    adapter: Path | None
    root: Path


@dataclasses.dataclass(frozen=True)
class Plan:
    """A variant that is not loaded yet; it pickles, so that another process can load it.

    Attributes:
        model: the base model.
        prompt: how a sample becomes chat messages.
        paraphrases: other prompts for the same samples, over which scores are averaged.
        dtype: torch dtype that weights and activations are held in.
        device: ``cpu``, ``cuda`` …
        kernels: whose fused kernels compute it, empty for transformers' own code.
        attention: what transformers computes attention with, empty for the engine's choice.
        quantization: settings, empty where the weights are as they came.
        skipped: names of modules that the quantization leaves as they are.
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
        day: what a chat template that asks for the date is told; empty where it asks for none.
        plain: what to do where the model's files turn out to be quantized; empty where they may be.
        media: what it takes beside text.
        processor: fields of the model's image processor that are set otherwise.
        preprocessing: tells how media are prepared for the model (sizes, mean, sample rate …), from
            the plan and the model's files; None where nothing is.
        parts: names of what it is made of and can be put back by, one at a time: ``encoder``,
            ``detection``, ``vision`` … in the order that data goes through them.
        consists: tells what each of the parts consists of, by its name, so that one that is as the
            base's need not be put back; None, or a part left out, where only a try tells.
        borrowed: parts that another variant lends, by their names.
        pieces: the parts that are files of their own, by their names, where there is no one model.
        calibration: a folder of samples by which a quantization finds its scales, or None.
        decoding: how a reply is decoded; empty for the greedy decoding of a language model.
        served: the address of the server that runs it, or None.
        scoring: how multiple choice is scored: by likelihood, or generated: asked in words.
        adapted_by: the only built-in kinds of which variants on it may be; empty for all.
        chosen: the engine that is declared in the place of the kind's own, or empty.
        runtime: what that engine is set to and its numbers depend on.
        training: what was last trained into it, or None; it decides nothing of how it is loaded.
    """

    model: ModelSource
    prompt: Prompt
    paraphrases: tuple[Prompt, ...] = ()
    dtype: str = "float32"
    device: str = "cpu"
    kernels: str = ""
    attention: str = ""
    quantization: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    skipped: tuple[str, ...] = ()
    packages: tuple[str, ...] = ("torch", "transformers", "tokenizers")
    load_options: Callable[[], Mapping[str, Any]] = dict
    baked: tuple[Step, ...] = ()
    steps: tuple[Step, ...] = ()
    inference_mode: bool = True
    thinking: Thinking | None = None
    search: Search | None = None
    grounding: Grounding | None = None
    engine: str = engine.name("cpu")
    open: Callable[[Plan, Path, Path], Engine] | None = None
    weights: Path | None = None
    day: str = ""
    plain: str = ""
    media: frozenset[MediaKind] = frozenset()
    processor: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    preprocessing: Callable[[Plan, ModelFiles], Mapping[str, Any]] | None = None
    parts: tuple[str, ...] = ()
    consists: Callable[[Plan, ModelFiles], Mapping[str, Any]] | None = None
    borrowed: Mapping[str, Lent] = dataclasses.field(default_factory=dict)
    pieces: Mapping[str, Piece] = dataclasses.field(default_factory=dict)
    calibration: Path | None = None
    decoding: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    served: Served | None = None
    scoring: Scoring = "likelihood"
    adapted_by: tuple[str, ...] = ()
    chosen: str = ""
    runtime: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    training: Training | None = dataclasses.field(default=None, compare=False)

    @property
    def servers(self) -> tuple[Served, ...]:
        """The servers that are asked for it: for its answers or vectors, and to rerank."""
        second = self.search.rerank if self.search is not None else None
        found = (self.served, second.served if second is not None else None)
        return tuple(one for one in found if one is not None)

    def on(self, device: str) -> Plan:
        """Return the plan on another device, where another version of transformers' engine runs it.

        Args:
            device: ``cpu``, ``cuda`` …
        """
        runner = self.engine
        if self.open is None:
            runner = image_text.name(device) if self.media else engine.name(device)
        return dataclasses.replace(self, device=device, engine=runner)

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


@dataclasses.dataclass(frozen=True)
class Lent:
    """The variant that lends a part.

    Attributes:
        plan: how it is loaded.
        files: its model's files.
    """

    plan: Plan
    files: ModelFiles


Sharing = Literal["", "asked", "adapted"]
"""How a variant is run on its base's loaded model: not at all, asked otherwise, or with something
put on it that is taken off again."""


def shares_nothing(_spec: VariantSpec) -> Sharing:
    """Say that a variant loads a model of its own, as most kinds do."""
    return ""


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
        adapts_pieces: whether its variants may have a base that is made of several models and has
            none of its own.
        models: options that name a model each, of which its variants are made; a plan is given them
            as a :class:`~pytest_modellab.records.declared.ModelSource`.
        shares: declaration → how a variant is run on the model that its base has loaded; it decides
            in which order variants come, never what is loaded.
        options: the options that its variants may have, for editors and for what is looked at
            before anything is planned; None where only the plan knows.
    """

    name: str
    strategy: str
    marker: str
    plan: Planner
    own_model: bool = False
    needs_model: bool = True
    searches: bool = False
    adapts_prompt: bool = False
    adapts_pieces: bool = False
    models: tuple[str, ...] = ()
    shares: Callable[[VariantSpec], Sharing] = shares_nothing
    options: Mapping[str, Setting] | None = None
