"""The models that are damaged: a tiny random Llama, or a folder of a real one."""

from __future__ import annotations

import copy
import functools
import io
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tokenizers
import torch
import transformers

ROOT = Path(__file__).parents[2]
TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}"
    "<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
WINDOWS = (40,) * 8 + (128,)
CHATS = (
    ({"role": "user", "content": "What is 3 + 4?"},),
    (
        {"role": "system", "content": "Answer in one word."},
        {"role": "user", "content": "Which season comes after winter?"},
        {"role": "assistant", "content": "Spring."},
        {"role": "user", "content": "And after that?"},
    ),
)


@dataclass(frozen=True)
class Loaded:
    """A model with its tokenizer; nobody changes either.

    Attributes:
        widths: of the windows that it is asked.
    """

    model: Any
    tokenizer: Any
    widths: tuple[int, ...] = WINDOWS

    def probes(self, seed: int) -> tuple[tuple[tuple[int, ...], ...], tuple[str, ...]]:
        """Stretches of text at random places: token ids, and the texts."""
        draw = torch.Generator().manual_seed(seed)
        lines = pool()
        windows: list[tuple[int, ...]] = []
        texts: list[str] = []
        while len(windows) < len(self.widths):
            width = self.widths[len(windows)]
            start = int(torch.randint(len(lines), (1,), generator=draw))
            text = "\n".join(lines[start : start + 12])
            ids = self.tokenizer(text, add_special_tokens=False).input_ids
            if len(ids) >= width:
                windows.append(tuple(ids[:width]))
                texts.append(text[:1000])
        return tuple(windows), tuple(texts)


@functools.cache
def pool() -> list[str]:
    """Texts of this repository: questions of its tasks, and prose of its pages."""
    rows = (ROOT / "suites/tasks/assistant_core_v2/samples.jsonl").read_text(encoding="utf-8")
    questions = [str(json.loads(row)["input"]) for row in rows.splitlines()]
    prose = (ROOT / "docs/gate.md").read_text(encoding="utf-8").splitlines()
    return questions + [line for line in prose if len(line) > 80]


def tiny(seed: int, device: str = "cpu", depth: int = 6) -> Loaded:
    """A random Llama whose weights are large enough that every part matters.

    Head and embedding are one tensor at odd seeds. Norms are no ones, so that one can be reset.
    """
    tokenizer = tiny_tokenizer()
    config = transformers.LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=128,
        intermediate_size=256,
        num_hidden_layers=depth,
        num_attention_heads=8,
        num_key_value_heads=4,
        head_dim=16,
        max_position_embeddings=512,
        tie_word_embeddings=seed % 2 == 1,
        bos_token_id=0,
        eos_token_id=2,
        pad_token_id=2,
    )
    model = transformers.LlamaForCausalLM(config).eval()
    draw = torch.Generator().manual_seed(seed)
    gains = {"q_proj": 1.3, "k_proj": 1.3, "o_proj": 0.6, "down_proj": 0.8, "lm_head": 1.8}
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            noise = torch.randn(parameter.shape, generator=draw)
            if parameter.dim() == 1:
                parameter.copy_(torch.exp(0.3 * noise))
            elif "embed_tokens" in name:
                parameter.copy_(noise * (0.6 if config.tie_word_embeddings else 1.0))
            else:
                gain = gains.get(name.split(".")[-2], 1.0)
                parameter.copy_(noise * gain / parameter.shape[1] ** 0.5)
        if config.tie_word_embeddings:
            model.model.norm.weight.mul_(0.27)
    return Loaded(model.to(device), tokenizer)


def real(folder: Path, device: str = "cpu") -> Loaded:
    """The model of a folder, in float32."""
    model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    return Loaded(model.eval().to(device), tokenizer)


def cached_folder() -> Path:
    """SmolLM2 as the suites' runs leave it in the cache folder."""
    from pytest_modellab.store.place import default_folder

    found = sorted((default_folder() / "models").glob("b179c9523d0e6a0f*/config.json"))
    if not found:
        raise SystemExit("no converted SmolLM2 is cached: run `pytest suites`, or --model-folder")
    return found[-1].parent


@functools.cache
def tiny_tokenizer() -> Any:
    """Byte pairs of the pool's texts."""
    inner = tokenizers.Tokenizer(tokenizers.models.BPE())
    inner.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    inner.decoder = tokenizers.decoders.ByteLevel()
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=["<|endoftext|>", "<|im_start|>", "<|im_end|>"],
        initial_alphabet=tokenizers.pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    inner.train_from_iterator(pool(), trainer)
    made = transformers.PreTrainedTokenizerFast(
        tokenizer_object=inner, eos_token="<|im_end|>", pad_token="<|im_end|>"
    )
    made.chat_template = TEMPLATE
    return made


def rebuilt(tokenizer: Any, change: Any) -> Any:
    """A copy of a tokenizer whose ``tokenizer.json`` went through ``change``."""
    content = json.loads(tokenizer.backend_tokenizer.to_str())
    change(content)
    copied = copy.deepcopy(tokenizer)
    copied._tokenizer = tokenizers.Tokenizer.from_str(json.dumps(content))
    return copied


def duplicate(model: Any) -> Any:
    """A copy that shares nothing with the model; tied weights stay tied."""
    return copy.deepcopy(model)


def saved_and_loaded(model: Any) -> Any:
    """The model through a state file of memory."""
    buffer = io.BytesIO()
    torch.save(model.state_dict(), buffer)
    buffer.seek(0)
    loaded = copy.deepcopy(model)
    loaded.load_state_dict(torch.load(buffer, weights_only=True))
    return loaded
