"""Real llama.cpp servers of one GGUF file, all in one process of their own on this machine.

``python real_servers.py FILE LORA`` prints their URLs and serves until its input ends: one that
generates, with an adapter that is off unless asked for, and two that embed, by mean and by last
token.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

SECONDS = 60
"""For the process to end; a start says itself when it is done."""


@contextlib.contextmanager
def serving(file: Path, lora: Path) -> Iterator[tuple[str, str, str]]:
    """Serve a file, and yield the URLs: of what generates, of both that embed.

    Args:
        file: the GGUF file.
        lora: an adapter of it, as GGUF.
    """
    process = subprocess.Popen(
        [sys.executable, __file__, str(file), str(lora)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        urls = process.stdout.readline().strip()
        assert urls, "the servers did not start"
        yield tuple(json.loads(urls))
    finally:
        process.stdin.close()
        try:
            process.wait(SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        process.stdout.close()


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

    params = xllamacpp.CommonParams()
    params.model.path = file
    params.model_alias = {"smol"}
    params.n_ctx = 1024
    params.n_parallel = 1
    params.n_ubatch = 1  # the same numbers cached, alone and among others
    params.n_gpu_layers = 0
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = 1
    params.cache_ram_mib = 0
    params.fit_params = params.warmup = params.ui = False
    params.verbosity = -1
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
