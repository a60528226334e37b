"""Real llama.cpp servers of one GGUF file, all in one process of their own on this machine.

``python real_servers.py FILE LORA`` prints their URLs and serves until its input ends: one that
generates, with an adapter that is off unless asked for, and two that embed, by mean and by last
token.
"""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from gguf_server import running, settings


@contextlib.contextmanager
def serving(file: Path, lora: Path) -> Iterator[tuple[str, str, str]]:
    """Serve a file, and yield the URLs: of what generates, of both that embed.

    Args:
        file: the GGUF file.
        lora: an adapter of it, as GGUF.
    """
    with running(__file__, str(file), str(lora)) as urls:
        yield tuple(json.loads(urls))


def write_lora(path: Path, *, layers: int = 30, width: int = 576) -> None:
    """Write an adapter that changes every answer, as GGUF.

    Args:
        path: of the file.
        layers: of the model.
        width: of its hidden states.
    """
    import gguf
    import numpy as np

    rng = np.random.default_rng(0)
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_type("adapter")
    writer.add_string("adapter.type", "lora")
    writer.add_float32("adapter.lora.alpha", 16.0)
    for layer in range(layers):
        name = f"blk.{layer}.attn_q.weight"
        writer.add_tensor(f"{name}.lora_a", rng.normal(0, 0.3, (8, width)).astype("f4"))
        writer.add_tensor(f"{name}.lora_b", rng.normal(0, 0.3, (width, 8)).astype("f4"))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _started(file: str, lora: str, pooling: str = "") -> Any:
    import xllamacpp

    params = settings(file, "smol", 1024)
    if pooling:
        params.embedding = True
        params.n_ubatch = params.n_batch = 512  # a text must fit
        name = f"LLAMA_POOLING_TYPE_{pooling}"
        params.pooling_type = getattr(xllamacpp.llama_pooling_type, name)
    else:
        adapter = xllamacpp.CommonAdapterLoraInfo()
        adapter.path, adapter.scale = lora, 0.0
        params.lora_adapters = [adapter]
    return xllamacpp.Server(params)


if __name__ == "__main__":
    _, file, lora = sys.argv
    found = [_started(file, lora, pooling) for pooling in ("", "MEAN", "LAST")]
    print(json.dumps([one.listening_address for one in found]), flush=True)
    sys.stdin.read()
