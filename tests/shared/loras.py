"""Adapters with random matrices for small models, which change what a model says."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any


def write_adapter(
    folder: Path, model: Path, *, seed: int = 1, scale: float = 0.3, config: Any = None
) -> Path:
    """Write an adapter whose matrices are all random; PEFT's own begin as no change.

    Args:
        folder: destination.
        model: the folder of its base.
        seed: of the matrices.
        scale: their standard deviation.
        config: PEFT's; None for a LoRA of rank 4 on three kinds of layers.
    """
    import peft
    import torch
    import transformers

    if config is None:
        config = peft.LoraConfig(
            r=4,
            lora_alpha=8,
            lora_dropout=0.5,  # which only training may feel
            target_modules=["q_proj", "v_proj", "down_proj"],
            task_type="CAUSAL_LM",
        )
    # PEFT asks transformers for a name that is on its way out
    with warnings.catch_warnings(action="ignore"), torch.random.fork_rng():
        torch.manual_seed(seed)
        made = peft.get_peft_model(transformers.AutoModelForCausalLM.from_pretrained(model), config)
        with torch.no_grad():
            for name, parameter in made.named_parameters():
                if ("lora_" in name and "lora_A" not in name) or "modules_to_save" in name:
                    parameter.normal_(std=scale)
        made.save_pretrained(folder)
    return folder
