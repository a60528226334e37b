"""Whether a device is there, which of several a worker takes, and what is said of a full one."""

from __future__ import annotations

import gc
import sys
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_modellab import testing
from pytest_modellab.engines import device, loading
from pytest_modellab.engines.interface import ScoringRequest
from pytest_modellab.engines.language import torch_model
from pytest_modellab.errors import ModelError, VariantLoadError

torch = pytest.importorskip("torch")

needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")


def refused(name: str) -> str:
    with pytest.raises(VariantLoadError) as caught:
        device.ready(name)
    return str(caught.value)


def test_the_processor_is_there_without_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    device.ready("cpu")


def test_a_device_that_torch_does_not_know() -> None:
    said = refused("gpu")
    assert said.startswith(
        'device: \'gpu\' is none that torch knows: "cpu", "cuda", or "cuda:1" for the second '
        "of several GPUs ("
    )


@pytest.mark.skipif(torch.backends.cuda.is_built(), reason="of a torch without CUDA")
def test_a_torch_without_cuda() -> None:
    assert refused("cuda") == (
        f"device = 'cuda': this torch ({torch.__version__}) was built without CUDA: install the "
        'build for your driver (pytorch.org/get-started), or set device = "cpu"'
    )


def test_a_driver_that_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    def init() -> None:
        raise RuntimeError("Found no NVIDIA driver on your system.\nPlease check …")

    monkeypatch.setattr(torch.backends.cuda, "is_built", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    monkeypatch.setattr(torch.cuda, "init", init)
    assert refused("cuda") == (
        "device = 'cuda': torch finds no GPU (Found no NVIDIA driver on your system.): see "
        'nvidia-smi and CUDA_VISIBLE_DEVICES, or set device = "cpu"'
    )


def test_nothing_is_read_for_a_device_that_is_not_there(tmp_path: Path) -> None:
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    with (
        pytest.raises(VariantLoadError, match="device = 'cuda': "),
        loading.loading(tmp_path / "missing", "nobody reads it", device="cuda", code=False),
    ):
        pytest.fail("went on")


@pytest.mark.parametrize(("count", "there"), [(1, "cuda:0"), (2, "cuda:0 to cuda:1")])
def test_a_number_that_is_too_high(count: int, there: str) -> None:
    with pytest.raises(VariantLoadError) as caught:
        device.index("cuda:7", 7, count, "gw1")
    assert str(caught.value) == (
        f"device = 'cuda:7': torch finds {there}: set one of them, or \"cuda\" for any"
    )


@pytest.mark.parametrize(
    ("asked", "count", "worker", "taken"),
    [
        (None, 1, "", 0),
        (None, 4, "", 0),
        (None, 4, "master", 0),
        (None, 2, "gw1", 1),
        (None, 2, "gw2", 0),
        (None, 1, "gw3", 0),
        (1, 2, "gw0", 1),
    ],
)
def test_which_gpu_is_taken(asked: int | None, count: int, worker: str, taken: int) -> None:
    assert device.index("cuda", asked, count, worker) == taken


@given(st.integers(1, 16), st.integers(1, 32))
def test_workers_spread_evenly(count: int, workers: int) -> None:
    taken = Counter(device.index("cuda", None, count, f"gw{number}") for number in range(workers))
    assert len(taken) == min(count, workers)
    assert max(taken.values()) - min(taken.values()) <= 1


def test_what_is_said_of_a_full_gpu(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_bytes(bytes(200_000_000))
    said = device.no_room("cuda", tmp_path, 1_240_000_000, 140_000_000_000)
    assert said == (
        f"{tmp_path}: no room on 'cuda': of its 140.0 GB 1.2 were free, and the model's files hold "
        "0.2: end what else is on it (nvidia-smi lists the processes), choose another GPU, "
        "or set a smaller dtype"
    )


@needs_gpu
def test_a_full_gpu_is_said_while_loading(tmp_path: Path) -> None:
    # larger than what torch holds back of models that were there before
    folder = testing.write_random_model(tmp_path / "model", hidden_size=1024)
    gc.collect()
    torch.cuda.empty_cache()
    torch.cuda.set_per_process_memory_fraction(1e-6)
    try:
        with pytest.raises(ModelError, match=r"no room on 'cuda': of its .* GB .* were free"):
            torch_model.load(folder, device="cuda")
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    torch_model.load(folder, device="cuda").close()


@needs_gpu
def test_the_gpu_that_is_meant_is_the_current_one(monkeypatch: pytest.MonkeyPatch) -> None:
    last = torch.cuda.device_count() - 1
    device.ready(f"cuda:{last}")
    assert torch.cuda.current_device() == last
    monkeypatch.setenv(device.WORKER, f"gw{last}")
    device.ready("cuda")
    assert torch.cuda.current_device() == last
    monkeypatch.delenv(device.WORKER)
    device.ready("cuda")
    assert torch.cuda.current_device() == 0
    with pytest.raises(VariantLoadError, match="set one of them"):
        device.ready(f"cuda:{last + 1}")


@pytest.mark.parametrize(
    ("name", "worker", "current", "numbers"),
    [
        ("cuda", "gw1", None, [1, 2, 0]),
        ("cuda", "gw5", None, [2, 0, 1]),
        ("cuda", "gw1", 0, [0, 1, 2]),
        ("cuda:2", "gw1", 0, [2]),
        ("cuda", "", 1, [0]),
    ],
)
def test_where_a_worker_may_put_a_model(
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    worker: str,
    current: int | None,
    numbers: list[int],
) -> None:
    monkeypatch.setattr(torch.backends.cuda, "is_built", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 3)
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: current is not None)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: current)
    known = [SimpleNamespace(uuid=f"GPU-{number}") for number in range(3)]
    monkeypatch.setattr(torch.cuda, "get_device_properties", known.__getitem__)
    found = device.places(name, worker)
    assert found == tuple(device.Place(f"GPU-{number}", number) for number in numbers)


def test_what_is_no_gpu_of_cuda_is_its_name() -> None:
    assert device.places("mps", "gw1") == (device.Place("mps"),)


@pytest.mark.parametrize(
    ("visible", "count"),
    [(None, 2), ("0", 1), ("GPU-1, GPU-2,GPU-3", 3), ("", None), ("-1", None)],
)
def test_gpus_are_counted_without_torch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, visible: str | None, count: int | None
) -> None:
    for name in ("nvidia0", "nvidia1", "nvidiactl", "nvidia-uvm"):
        (tmp_path / name).touch()
    monkeypatch.setitem(sys.modules, "torch", None)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert device.gpus(tmp_path) == count


@needs_gpu
def test_two_names_of_a_gpu_are_one_place() -> None:
    count = torch.cuda.device_count()
    every = device.places("cuda", "gw0")
    assert {one.number for one in every} == {*range(count)}
    assert len({one.name for one in every}) == count, "each by its UUID"
    assert device.places("cuda:0", "gw7")[0] in every


def test_the_gpu_that_is_meant_has_its_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 1)
    assert [device.exact(name) for name in ("cuda", "cuda:0", "cpu")] == ["cuda:1", "cuda:0", "cpu"]
    monkeypatch.setitem(sys.modules, "torch", None)
    assert device.exact("cuda") == "cuda"


@needs_gpu
def test_a_worker_s_model_lies_on_the_worker_s_gpu(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    last = torch.cuda.device_count() - 1
    folder = testing.write_random_model(tmp_path)
    monkeypatch.setenv(device.WORKER, f"gw{last}")
    with torch.cuda.device(last):  # transformers takes the first for `cuda`, whatever is current
        engine = torch_model.load(folder, device="cuda")
        assert engine.model.device.index == last
        engine.close()


@needs_gpu
def test_a_closed_model_leaves_no_memory_taken(tmp_path: Path) -> None:
    engine = torch_model.load(testing.write_random_model(tmp_path), device="cuda")
    request = ScoringRequest("is it so?", ("yes", "no"))
    engine.score_options([request], budget=512, skip=set(), done=lambda _: None)
    assert torch.cuda.memory_reserved() > 0
    engine.close()
    gc.collect()
    torch.cuda.empty_cache()
    assert torch.cuda.memory_reserved() < 2**20, "not the block that cuBLAS has its workspace in"
