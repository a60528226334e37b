"""What all recipes that train with TRL share.

What is trained is held in float32 (an adapter, or the whole model); on CUDA the forward and the
backward pass compute in bfloat16 under autocast, on CPU in float32. A frozen base keeps the dtype
or the 4-bit weights of its variant. An adapter on a quantized base is trained in bfloat16, as TRL
does after Dettmers et al. 2023 (QLoRA, section 3).
"""

from __future__ import annotations

import contextlib
import math
import os
import shutil
import time
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from pytest_modellab.engines.loading import quiet
from pytest_modellab.errors import ConfigError, ModellabError
from pytest_modellab.recipes.data import Data
from pytest_modellab.recipes.recipe import Order, Outcome
from pytest_modellab.records.declared import VariantSpec
from pytest_modellab.records.setting import Setting, at_least, positive, share
from pytest_modellab.store import manifest

PACKAGES = ("torch", "transformers", "accelerate", "datasets", "peft", "trl")


LORA = MappingProxyType(
    {
        "r": at_least(int, 1, 8),
        "alpha": positive(float, 16.0),
        "dropout": Setting(float, 0.0, "in [0, 1)", lambda value: 0 <= value < 1),
        "target_modules": Setting(list, (), "names of linear layers, at least one", bool),
    }
)
"""Rank, scale ``alpha / r``, dropout, and the linear layers that get an adapter (all, but for the
output head, where none is named): Hu et al. 2021, LoRA."""


SETTINGS: Mapping[str, Setting] = MappingProxyType(
    {
        "seed": at_least(int, 0, 0),
        "epochs": positive(float, 1.0),
        "learning_rate": positive(float, 2e-4),
        "scheduler": Setting(str, "cosine", choices=("constant", "cosine", "linear")),
        "warmup": share(0.05),
        "weight_decay": at_least(float, 0, 0.0),
        "batch_size": at_least(int, 1, 16),
        "accumulate": at_least(int, 1, 1),
        "max_length": at_least(int, 8, 512),
        "checkpoint_steps": at_least(int, 1, 100),
        "save_dtype": Setting(str, "bfloat16", choices=("bfloat16", "float16", "float32")),
        "lora": Setting(dict, None, fields=LORA),
    }
)
"""``warmup`` is the share of the steps in which the learning rate rises; ``accumulate`` the number
of batches whose gradients make a step; a checkpoint is kept every ``checkpoint_steps`` steps."""


_THEIRS = (
    # TRL and PEFT use the old name, with transformers 5.23
    r"`\w*gradient_checkpointing\w*` is deprecated",
    # torch, once for an operation that has no deterministic kernel
    ".*does not have a deterministic implementation",
)
"""Warnings that are between libraries."""


def steps(settings: Mapping[str, Any], rows: int) -> int:
    """Return the optimizer steps of a training run, as the trainer counts them."""
    batches: int = math.ceil(rows / settings["batch_size"])
    each: int = max(math.ceil(batches / settings["accumulate"]), 1)
    epochs: float = settings["epochs"]
    return math.ceil(epochs * each)


def check(settings: Mapping[str, Any], spec: VariantSpec) -> None:
    """Check that what is trained is what the variant ships.

    Raises:
        ConfigError: an adapter is declared and none is trained, or the other way round.
    """
    if "adapter" in spec.options and settings["lora"] is None:
        raise ConfigError(
            "recipe.lora: missing, and the variant ships an adapter; add lora = { r = 8 }, or ship "
            "a whole model: model = NAME instead of adapter"
        )
    if "adapter" not in spec.options and settings["lora"] is not None:
        raise ConfigError(
            "recipe.lora: makes an adapter, and the variant ships a whole model; remove it, or "
            'name the folder for it: adapter = "adapters/…"'
        )


def arguments(order: Order, **changes: Any) -> dict[str, Any]:
    """Return the arguments that any of TRL's configurations takes.

    Args:
        order: settings, seed, device and work folder.
        **changes: what the recipe's own trainer needs besides, or differently.
    """
    settings = order.settings
    on_cpu = order.device == "cpu"
    return {
        "output_dir": str(order.work),
        "seed": settings["seed"],
        "data_seed": settings["seed"],
        "num_train_epochs": settings["epochs"],
        "max_steps": -1 if order.max_steps is None else order.max_steps,
        "learning_rate": settings["learning_rate"],
        "lr_scheduler_type": settings["scheduler"],
        "warmup_steps": settings["warmup"] if settings["warmup"] < 1 else 0.999999,
        "weight_decay": settings["weight_decay"],
        "per_device_train_batch_size": settings["batch_size"],
        "gradient_accumulation_steps": settings["accumulate"],
        "gradient_checkpointing": False,
        "use_cpu": on_cpu,
        "bf16": not on_cpu,
        "dataloader_pin_memory": not on_cpu,
        "save_strategy": "steps",
        "save_steps": settings["checkpoint_steps"],
        "save_total_limit": 1,
        "logging_steps": 0.01,  # of all steps: a curve of at most a hundred points
        "logging_first_step": True,
        "logging_nan_inf_filter": False,
        "disable_tqdm": True,
        "report_to": "none",
        **changes,
    }


def lora(order: Order, task_type: str = "CAUSAL_LM") -> Any:
    """Return PEFT's configuration of the adapter, or None for a full fine-tune."""
    wanted = order.settings["lora"]
    if wanted is None:
        return None
    from peft import LoraConfig

    return LoraConfig(
        task_type=task_type,
        r=wanted["r"],
        lora_alpha=wanted["alpha"],
        lora_dropout=wanted["dropout"],
        target_modules=list(wanted["target_modules"]) or "all-linear",
    )


def prepared(order: Order) -> Any:
    """Return the model ready to be trained.

    Without ``lora`` all weights become float32, to be trained.

    Raises:
        ConfigError: a full fine-tune of quantized weights.
    """
    model = order.model
    if order.settings["lora"] is None:
        if order.base.quantization:
            raise ConfigError(
                f"recipe.lora: missing: the base {order.spec.base!r} is quantized, and quantized "
                "weights cannot be trained; add lora = { r = 8 }"
            )
        model = model.float()
    return model


@contextlib.contextmanager
def deterministic(device: str) -> Iterator[None]:
    """Choose kernels that give the same sums in every run, where there are such.

    On one CPU and thread count training is bit for bit the same without it.
    """
    if device == "cpu":
        yield
        return
    import torch

    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # NVIDIA cuBLAS, reproducibility
    before = torch.are_deterministic_algorithms_enabled()
    torch.use_deterministic_algorithms(True, warn_only=True)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before)


@contextlib.contextmanager
def calm() -> Iterator[None]:
    """Silence progress bars, and what libraries say that their user cannot mend."""
    with contextlib.ExitStack() as restore:
        with contextlib.suppress(ImportError):  # not every recipe needs it
            import datasets

            if not datasets.are_progress_bars_disabled():
                datasets.disable_progress_bars()
                restore.callback(datasets.enable_progress_bars)
        restore.enter_context(quiet())
        restore.enter_context(warnings.catch_warnings())
        for message in _THEIRS:
            warnings.filterwarnings("ignore", message=message)
        yield


def dataset(rows: list[dict[str, Any]]) -> Any:
    """Return rows as the trainers take them."""
    from datasets import Dataset

    return Dataset.from_list(rows)


def run(
    order: Order,
    trainer: Any,
    data: Data,
    figures: Mapping[str, str] = MappingProxyType({}),
    notes: tuple[str, ...] = (),
) -> Outcome:
    """Train, from the last checkpoint where there is one, and write the artefact.

    Args:
        order: where to.
        trainer: one of TRL's, ready.
        data: what it learns from.
        figures: name in the trainer's log → words, for what to note besides the loss.
        notes: for the provenance.

    Returns:
        What was done.

    Raises:
        ModellabError: the loss became NaN or infinite, or memory ran out.
    """
    import torch
    from transformers import PrinterCallback

    trainer.remove_callback(PrinterCallback)
    trainer.add_callback(_callback(order))
    last = _last_checkpoint(order.work)
    start = time.perf_counter()
    try:
        trainer.train(resume_from_checkpoint=last)
    except torch.OutOfMemoryError as error:
        raise ModellabError(
            f"{order.spec.name}: out of memory; halve batch_size and double accumulate in its "
            f"recipe: {error}"
        ) from error
    seconds = time.perf_counter() - start
    history = trainer.state.log_history
    losses = tuple(
        (entry["step"], float(f"{entry['loss']:.4g}")) for entry in history if "loss" in entry
    )
    bad = next((step for step, loss in losses if not math.isfinite(loss)), None)
    if bad is not None:
        raise ModellabError(
            f"{order.spec.name}: the loss is not finite at step {bad}: lower learning_rate in its "
            "recipe"
        )
    save(order, trainer.accelerator.unwrap_model(trainer.model))
    for name, words in figures.items():
        values = [entry[name] for entry in history if name in entry]
        part = math.ceil(len(values) / 10)
        if values:
            first, last = (sum(few) / part for few in (values[:part], values[-part:]))
            notes += (f"{words}: {first:.3g} in the first tenth, {last:.3g} in the last",)
    return Outcome(data, trainer.state.global_step, seconds, losses, notes)


def _last_checkpoint(work: Path) -> str | None:
    """Return the last checkpoint that is what was written; those after it go.

    A kill may cut one off, and one that was changed since would train other weights.
    """
    from transformers.trainer_utils import get_last_checkpoint

    while work.is_dir() and (last := get_last_checkpoint(str(work))) is not None:
        if manifest.fault(Path(last)) is None:
            return str(last)
        shutil.rmtree(last)
    return None


def _callback(order: Order) -> Any:
    from transformers import TrainerCallback

    class Report(TrainerCallback):  # type: ignore[misc] # transformers is Any here
        def __init__(self) -> None:
            self.loss: float | None = None

        def on_log(
            self, args: Any, state: Any, control: Any, logs: Any = None, **kwargs: Any
        ) -> None:
            self.loss = (logs or {}).get("loss", self.loss)

        def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            checkpoint = order.work / f"checkpoint-{state.global_step}"
            manifest.write(checkpoint, of=checkpoint.name)

        def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            order.progress(state.global_step, state.max_steps, self.loss)

    return Report()


def save(order: Order, model: Any) -> None:
    """Write the adapter, or the whole model with its tokenizer, to the order's output folder."""
    import torch
    from peft import PeftModel

    dtype = getattr(torch, order.settings["save_dtype"])
    if not isinstance(model, PeftModel):
        model.to(dtype).save_pretrained(order.output)
        order.tokenizer.save_pretrained(order.output)
        return
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.data = parameter.data.to(dtype)
    for config in model.peft_config.values():
        config.base_model_name_or_path = order.source  # not a path of this machine
        config.target_modules = sorted(config.target_modules)  # a set: its order is by chance
    # the embedding is never trained; looking whether it was would ask the hub
    model.save_pretrained(order.output, save_embedding_layers=False)
    (order.output / "README.md").unlink(missing_ok=True)  # PEFT's empty model card
