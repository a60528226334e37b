"""The real model: converted once and whole, scored as one would by hand, freed when done."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from pytest_modellab.engines.interface import GenerationRequest, ScoringRequest
from pytest_modellab.lab.lab import Lab
from pytest_modellab.records.runs import Output

ROOT = Path(__file__).parents[2]

CONVERT = """
import sys
from pathlib import Path
from pytest_modellab.config import read
from pytest_modellab.models import convert, locate
suites = read.load(Path("suites/modellab.toml"))
files = locate.locate(suites.models["smollm2"], suites.root)
print(convert.folder(files, Path(sys.argv[1])))
"""


def test_two_converters_and_a_kill_leave_one_whole_model(tmp_path: Path) -> None:
    command = [sys.executable, "-c", CONVERT, str(tmp_path)]

    def start() -> subprocess.Popen[str]:
        return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)

    killed = start()
    deadline = time.monotonic() + 300
    while not list(tmp_path.glob("models/.*/*.safetensors")):  # in the middle of writing
        assert killed.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.02)
    killed.send_signal(signal.SIGKILL)
    killed.communicate()
    assert not [
        p for p in (tmp_path / "models").iterdir() if not p.name.startswith(".") and p.is_dir()
    ], "nothing half-written has the final name"
    both = [start(), start()]
    folders = [process.communicate(timeout=600)[0].strip() for process in both]
    assert [process.returncode for process in both] == [0, 0]
    assert len(set(folders)) == 1
    import transformers

    model = transformers.AutoModelForCausalLM.from_pretrained(folders[0])
    assert model.num_parameters() == 134_515_008
    assert [p.name for p in (tmp_path / "models").iterdir() if p.is_dir()] == [
        Path(folders[0]).name
    ], "the killed one's leftovers are gone"


def test_option_likelihoods_equal_one_sequence_at_a_time(make_lab: Callable[[], Lab]) -> None:
    import torch

    lab = make_lab()
    engine = lab.engine(lab.variant("prompting"))
    prompt = lab.variant("prompting").plan.prompt
    chosen = [s for s in lab.task_set("assistant_core_v2").samples if s.choices][::40]
    requests = [ScoringRequest(engine.render(prompt.messages(s.input)), s.choices) for s in chosen]
    answers: dict[int, Output] = {}
    engine.score_options(requests, budget=512, skip=set(), done=answers.update)
    for index, request in enumerate(requests):
        context = engine.tokenizer(request.context, return_tensors="pt").input_ids  # type: ignore[attr-defined]
        for option, found in zip(request.options, answers[index].option_logprobs, strict=True):
            tokens = engine.tokenizer(option, return_tensors="pt").input_ids  # type: ignore[attr-defined]
            with torch.inference_mode():
                logits = engine.model(torch.cat([context, tokens], dim=1)).logits[0]  # type: ignore[attr-defined]
            logprobs = logits.log_softmax(-1)[context.shape[1] - 1 : -1]
            plain = logprobs.gather(1, tokens[0][:, None]).sum().item()
            assert found == pytest.approx(plain, abs=1e-3)


def test_two_runs_are_identical_bit_for_bit(make_lab: Callable[[], Lab]) -> None:
    samples = make_lab().task_set("assistant_core_v2").samples

    def run() -> list[Mapping[int, Output]]:
        lab = make_lab()
        engine, prompt = lab.engine(lab.variant("prompting")), lab.variant("prompting").plan.prompt
        batches: list[Mapping[int, Output]] = []
        engine.score_options(
            [
                ScoringRequest(engine.render(prompt.messages(s.input)), s.choices)
                for s in [s for s in samples if s.choices][::12]
            ],
            budget=512,
            skip=set(),
            done=batches.append,
        )
        engine.generate(
            [
                GenerationRequest(engine.render(prompt.messages(s.input)), s.max_tokens)
                for s in [s for s in samples if not s.choices][::12]
            ],
            budget=4096,
            skip=set(),
            done=batches.append,
        )
        lab.release()
        return batches

    def answers(batches: list[Mapping[int, Output]]) -> list[object]:
        return [
            (index, output.text, output.option_logprobs)
            for batch in batches
            for index, output in batch.items()
        ]

    assert answers(run()) == answers(run())


def test_memory_goes_back_between_variants(make_lab: Callable[[], Lab]) -> None:
    psutil = pytest.importorskip("psutil")
    process = psutil.Process(os.getpid())
    lab = make_lab()
    sizes = []
    kept = []  # as a failed test's traceback keeps them
    for name in ("prompting", "nf4", "int8", "prompting", "nf4", "int8"):
        kept.append(lab.engine(lab.variant(name)))
        lab.release()
        sizes.append(process.memory_full_info().uss / 2**20)
    assert sizes[-1] - sizes[2] < 100, f"MiB after each variant: {sizes}"


def test_quantized_variants_are_smaller(make_lab: Callable[[], Lab]) -> None:
    lab = make_lab()
    held = {
        name: lab.engine(lab.variant(name)).parameter_bytes()
        for name in ("prompting", "nf4", "int8")
    }
    assert held["prompting"] == 4 * 134_515_008 + 2 * 32 * 4  # and the rotary frequencies
    assert held["nf4"] < held["int8"] < 0.5 * held["prompting"]
