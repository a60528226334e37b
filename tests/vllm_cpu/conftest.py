"""What the tests with vLLM itself share; elsewhere they are skipped, with what they need."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest
import tiny
from loras import write_adapter

SKIPPED = "vLLM is not installed; it wants an environment of its own: tox run -e vllm"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what lies here where vLLM is missing; only to look for it takes no time."""
    if importlib.util.find_spec("vllm") is None:
        here = Path(__file__).parent
        for item in items:
            if item.path.is_relative_to(here):
                item.add_marker(pytest.mark.skip(reason=SKIPPED))


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a small model whose heads are 32 wide, as a CPU wants them, and adapters."""
    pytest.importorskip("torch")
    import peft

    folder = tmp_path_factory.mktemp("models")
    model = folder / "tiny"
    sizes = {"hidden_size": 128, "intermediate_size": 256, "max_position_embeddings": 2048}
    tiny.llama(7, **sizes, initializer_range=0.1).save_pretrained(model)
    tiny.tokenizer().save_pretrained(model)
    write_adapter(folder / "four", model, seed=1)
    config = peft.LoraConfig(
        r=8,
        target_modules=["q_proj", "o_proj", "gate_proj", "up_proj"],
        rank_pattern={"up_proj": 2},
        use_rslora=True,
        task_type="CAUSAL_LM",
    )
    write_adapter(folder / "eight", model, seed=2, config=config)
    return folder
