"""Real llama.cpp servers of one GGUF file, all in one process of their own on this machine.

``python real_servers.py FILE LORA…`` prints their URLs and serves until its input ends: one that
generates, with adapters that are off unless asked for, and two that embed, by mean and by last
token.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from gguf_server import running, settings
from processes import ended, free_port


@contextlib.contextmanager
def serving(file: Path, *loras: Path) -> Iterator[tuple[str, str, str]]:
    """Serve a file, and yield the URLs: of what generates, of both that embed.

    Args:
        file: the GGUF file.
        loras: adapters of it, as GGUF.
    """
    with running(__file__, str(file), *map(str, loras)) as urls:
        yield tuple(json.loads(urls))


@contextlib.contextmanager
def transformers_serving(folder: Path) -> Iterator[str]:
    """Serve any model whose folder is asked for by ``transformers serve``, and yield the base URL.

    Args:
        folder: empty; the cache of the hub, whose models it lists.
    """
    port = free_port()
    command = [sys.executable, "-m", "transformers.cli.transformers", "serve"]
    process = subprocess.Popen(
        [*command, "--host", "127.0.0.1", "--port", str(port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "HF_HUB_OFFLINE": "1", "HF_HUB_CACHE": str(folder)},
    )
    try:
        while not _healthy(port):
            assert process.poll() is None, "the server did not start"
            time.sleep(0.1)
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        process.terminate()
        ended(process)


def _healthy(port: int) -> bool:
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port, timeout=5)) as asked:
        try:
            asked.request("GET", "/health")
            return asked.getresponse().status == 200
        except OSError:
            return False


def write_lora(path: Path, *, layers: int = 30, width: int = 576) -> None:
    """Write an adapter that changes every answer, as GGUF.

    Args:
        path: of the file.
        layers: of the model.
        width: of its hidden states.
    """
    import numpy as np

    rng = np.random.default_rng(0)
    _write_lora(
        path,
        16.0,
        {
            f"blk.{layer}.attn_q.weight": (
                rng.normal(0, 0.3, (8, width)).astype("f4"),
                rng.normal(0, 0.3, (width, 8)).astype("f4"),
            )
            for layer in range(layers)
        },
    )


def convert_lora(folder: Path, path: Path, *, heads: int = 9, shared: int = 3) -> None:
    """Write a LoRA of a Llama, as PEFT saves it, as GGUF.

    Args:
        folder: what PEFT wrote.
        path: of the file.
        heads: of its queries.
        shared: heads of its keys.
    """
    from safetensors.torch import load_file

    alpha = json.loads((folder / "adapter_config.json").read_text())["lora_alpha"]
    held, pairs = load_file(folder / "adapter_model.safetensors"), {}
    for name in held:
        found = re.fullmatch(r".*\.layers\.(\d+)\.\w+\.(\w+)\.lora_A\.weight", name)
        if found is None:
            continue
        a, b = (held[one].float().numpy() for one in (name, name.replace("lora_A", "lora_B")))
        if found[2] in ("q_proj", "k_proj"):  # llama.cpp has the halves of a head in turns
            count = heads if found[2] == "q_proj" else shared
            b = b.reshape(count, 2, -1, b.shape[1]).swapaxes(1, 2).reshape(b.shape)
        pairs[f"blk.{found[1]}.{_NAMES[found[2]]}.weight"] = a, b
    _write_lora(path, alpha, pairs)


_NAMES = {
    "q_proj": "attn_q",
    "k_proj": "attn_k",
    "v_proj": "attn_v",
    "o_proj": "attn_output",
    "gate_proj": "ffn_gate",
    "up_proj": "ffn_up",
    "down_proj": "ffn_down",
}


def _write_lora(path: Path, alpha: float, pairs: Mapping[str, tuple[Any, Any]]) -> None:
    import gguf

    writer = gguf.GGUFWriter(path, "llama")
    writer.add_type("adapter")
    writer.add_string("adapter.type", "lora")
    writer.add_float32("adapter.lora.alpha", alpha)
    for name, (a, b) in pairs.items():
        writer.add_tensor(f"{name}.lora_a", a)
        writer.add_tensor(f"{name}.lora_b", b)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _started(file: str, loras: Sequence[str], pooling: str = "") -> Any:
    import xllamacpp

    params = settings(file, "smol", 1024)
    if pooling:
        params.embedding = True
        params.n_ubatch = params.n_batch = 512  # a text must fit
        name = f"LLAMA_POOLING_TYPE_{pooling}"
        params.pooling_type = getattr(xllamacpp.llama_pooling_type, name)
    else:
        adapters = [xllamacpp.CommonAdapterLoraInfo() for _ in loras]
        for adapter, lora in zip(adapters, loras, strict=True):
            adapter.path, adapter.scale = lora, 0.0
        params.lora_adapters = adapters
    return xllamacpp.Server(params)


if __name__ == "__main__":
    _, file, *loras = sys.argv
    found = [_started(file, loras, pooling) for pooling in ("", "MEAN", "LAST")]
    print(json.dumps([one.listening_address for one in found]), flush=True)
    sys.stdin.read()
