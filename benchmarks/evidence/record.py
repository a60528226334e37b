"""Run the ladder and the unchanged runs, and keep what the models said.

Needs the models; what is made of it does not.
"""

from __future__ import annotations

import dataclasses
import random
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from benchmarks.computing import Setting, computing
from benchmarks.evidence.readings import Reading, Said, heated
from pytest_modellab.config import read as configuration
from pytest_modellab.engines.batching import common_prefix
from pytest_modellab.engines.batching import plan as batches
from pytest_modellab.engines.budget import DEFAULT_BUDGET
from pytest_modellab.engines.interface import Engine, ScoringRequest
from pytest_modellab.engines.tokens import encode
from pytest_modellab.lab.jobs import job_of
from pytest_modellab.lab.lab import Lab
from pytest_modellab.lab.settings import Settings
from pytest_modellab.records.declared import VariantSpec
from pytest_modellab.records.graded import is_choice
from pytest_modellab.records.runs import Output
from pytest_modellab.records.tasks import Sample, TaskSet
from pytest_modellab.runs.executor import InProcess
from pytest_modellab.variants import loading, plan

BASE = "prompting"

BITS = (8, 6, 5, 4, 3, 2)

HEAT = {"unsure": 1.3, "too sure": 0.77}
"""Models that differ from the base in how sure they are alone: the logits over a number."""

LADDER = (
    *(f"rtn{bits}" for bits in BITS),
    "nf4",
    "int8",
    "support",
    "overtrained",
    "dpo",
    "grpo",
    "student",
    "few_shot",
    *HEAT,
)


WAYS = {
    "cpu": (
        Setting(),
        *(Setting(budget) for budget in (64, 256, 2048)),
        *(Setting(order=order) for order in (1, 2)),
        *(Setting(threads=threads) for threads in (1, 2)),
        Setting(dtype="bfloat16"),
    ),
    "cuda": (
        Setting(),
        *(Setting(budget) for budget in (128, 256, 1024, 2048, 8192)),
        *(Setting(order=order) for order in (1, 2)),
        *(Setting(budget, tf32=True) for budget in (512, 4096)),
        *(Setting(budget, dtype="bfloat16") for budget in (128, 512, 2048, 8192)),
        Setting(2048, order=3, dtype="bfloat16"),
        *(Setting(budget, dtype="float16") for budget in (512, 4096)),
    ),
}
"""How an unchanged model is run again, by device; the others are compared with the first."""

STORED = ""
"""Beside what a stored run is measured: nothing."""

UNCHANGED = (BASE, "support", "student", "rtn4")
"""The models that are run again."""


class Bench:
    """A configuration's variants, with those of the ladder beside them, on one device."""

    def __init__(
        self,
        config: Path,
        cache: Path,
        device: str,
        few: int | None = None,
        divergence: bool = True,
    ) -> None:
        found = configuration.load(config)
        rounded = {
            f"rtn{bits}": VariantSpec(
                f"rtn{bits}",
                "quantized",
                "quantized",
                base=BASE,
                options={"method": "rtn", "bits": bits, "group_size": 576},
            )
            for bits in BITS
        }
        hot = {name: dataclasses.replace(found.variants[BASE], name=name) for name in HEAT}
        variants = {**found.variants, **rounded, **hot}
        self.lab = Lab(dataclasses.replace(found, variants=variants), Settings(cache=cache))
        self.device = device
        self.few = few
        self.divergence = divergence
        self.base: Engine | None = None  # beside which others are measured
        self.replies: dict[str, dict[str, str]] = {}  # the base's, by task set

    def load(self, name: str, dtype: str = "float32") -> Engine:
        """Load a variant."""
        files = self.lab.variant(name).files
        engine = loading.load(self._plan(name, dtype), files, self.lab.settings.cache)
        return heated(engine, HEAT[name]) if name in HEAT else engine

    def _plan(self, name: str, dtype: str) -> plan.Plan:
        return dataclasses.replace(self.lab.variant(name).plan, dtype=dtype, device=self.device)

    def ask(
        self, name: str, engine: Engine, task_set: str, setting: Setting, *, whole: bool = True
    ) -> Reading:
        """Run a loaded variant.

        Args:
            name: the variant.
            engine: it.
            task_set: what it is asked.
            setting: how.
            whole: False to ask the samples of multiple choice alone.
        """
        start = time.perf_counter()
        asked = self.lab.task_set(task_set)
        samples = [sample for sample in asked.samples if whole or is_choice(sample)]
        samples = samples[:: -(-len(samples) // self.few)] if self.few else samples
        if setting.order is not None:
            random.Random(setting.order).shuffle(samples)
        with computing(setting):
            outputs = self._outputs(name, engine, asked, samples, setting)
            read = self._read(name, engine, asked, outputs, setting)
            moved = self._moved(name, engine, samples, setting)
        said = {
            sample.id: Said(
                options=output.option_logprobs,
                text="" if output.option_logprobs else output.text,
                read=read.get(sample.id),
                failed=output.failed,
                **moved.get(sample.id, {}),
            )
            for sample, output in outputs
        }
        seconds = time.perf_counter() - start
        print(f"{name}, {task_set}, {setting}: {seconds:.1f} s", file=sys.stderr, flush=True)
        ordered = {sample.id: said[sample.id] for sample in asked.samples if sample.id in said}
        beside = BASE if whole else name
        return Reading(name, str(setting), task_set, self.device, beside, ordered)

    def _outputs(
        self,
        name: str,
        engine: Engine,
        asked: TaskSet,
        samples: Sequence[Sample],
        setting: Setting,
    ) -> list[tuple[Sample, Output]]:
        task_set = dataclasses.replace(asked, samples=tuple(samples))
        job = dataclasses.replace(
            job_of(self.lab.variant(name), task_set, self.lab.extensions, reuse=False),
            fingerprint=loading.fingerprint(
                self._plan(name, setting.dtype), self.lab.variant(name).files
            ),
            budget=setting.budget,
        )
        with tempfile.TemporaryDirectory() as cache:
            stored = InProcess(Path(cache), lambda _: engine).obtain(job)
        return list(zip(samples, stored.outputs, strict=True))

    def _read(
        self,
        name: str,
        engine: Engine,
        asked: TaskSet,
        outputs: Sequence[tuple[Sample, Output]],
        setting: Setting,
    ) -> dict[str, float]:
        """Have a variant read what the base has replied."""
        if name == BASE and asked.name not in self.replies:
            self.replies[asked.name] = {
                sample.id: output.text for sample, output in outputs if not output.option_logprobs
            }
        replies = self.replies.get(asked.name, {})
        wanted = [sample for sample, _ in outputs if replies.get(sample.id)]
        found: dict[str, float] = {}
        engine.score_options(
            [
                ScoringRequest(self._context(name, engine, sample), (replies[sample.id],))
                for sample in wanted
            ],
            budget=setting.budget,
            skip=frozenset(),
            done=lambda batch: found.update(
                {wanted[i].id: output.option_logprobs[0] for i, output in batch.items()}
            ),
        )
        return found

    def _context(self, name: str, engine: Engine, sample: Sample) -> str:
        return engine.render(self.lab.variant(name).plan.prompt.messages(sample.input))

    def _moved(
        self, name: str, engine: Any, samples: Sequence[Sample], setting: Setting
    ) -> dict[str, dict[str, Any]]:
        """Compare a variant's distributions with the base's, token by token.

        The tokens are those of the context behind what all contexts share, and of the right option.
        """
        import torch

        if not self.divergence or self.base is None or self._other_prompt(name):
            return {}
        base: Any = self.base
        rows = []
        contexts = []
        for sample in samples:
            contexts.append(encode(engine.tokenizer, self._context(name, engine, sample)))
            right = sample.choices[sample.target] if is_choice(sample) else ""
            rows.append(contexts[-1] + (encode(engine.tokenizer, right) if right else []))
        prefix = common_prefix(contexts)
        found: dict[str, dict[str, Any]] = {}
        with torch.inference_mode():
            for batch in batches(
                [len(row) for row in rows], max(setting.budget, 2048), padded=True
            ):
                wide = max(len(rows[i]) for i in batch)
                ids = torch.tensor([rows[i] + [0] * (wide - len(rows[i])) for i in batch])
                ids = ids.to(engine.model.device)
                old, new = (
                    torch.log_softmax(one.model(input_ids=ids).logits.float(), dim=-1)
                    for one in (base, engine)
                )
                nats = (old.exp() * (old - new)).sum(-1).double().cpu()
                same = (old.argmax(-1) == new.argmax(-1)).cpu()
                for k, i in enumerate(batch):
                    part = slice(prefix, len(rows[i]) - 1)
                    found[samples[i].id] = {
                        "nats": float(nats[k, part].sum()),
                        "tokens": part.stop - part.start,
                        "same": int(same[k, part].sum()),
                    }
        return found

    def stored(self, name: str, task_set: str) -> Reading | None:
        """Return what the store has of a variant's run; divergences are not in it."""
        asked = self.lab.task_set(task_set)
        job = job_of(self.lab.variant(name), asked, self.lab.extensions, reuse=True)
        found = InProcess(self.lab.settings.cache, lambda source: source.open(Path())).recall(job)
        if found is None:
            return None
        said = {
            sample.id: Said(
                options=output.option_logprobs,
                text="" if output.option_logprobs else output.text,
                failed=output.failed,
            )
            for sample, output in zip(asked.samples, found.outputs, strict=True)
        }
        return Reading(name, str(Setting()), task_set, "cpu", STORED, said)

    def _other_prompt(self, name: str) -> bool:
        own, base = (self.lab.variant(one).plan.prompt.hash for one in (name, BASE))
        return own != base


def ladder(
    bench: Bench, names: Sequence[str], task_sets: Sequence[str], budget: int = DEFAULT_BUDGET
) -> Iterator[Reading]:
    """Run the base, and then each variant beside it; nothing without variants."""
    if not names:
        return
    bench.base = bench.load(BASE)
    for task_set in task_sets:
        yield bench.ask(BASE, bench.base, task_set, Setting(budget))
    for name in names:
        try:
            engine = bench.load(name)
        except Exception as error:  # noqa: BLE001 - the others are still worth their time
            print(f"{name}: {error!r}", file=sys.stderr, flush=True)
            continue
        for task_set in task_sets:
            yield bench.ask(name, engine, task_set, Setting(budget))
        engine.close()


def unchanged(
    bench: Bench, name: str, task_set: str, settings: Sequence[Setting]
) -> Iterator[Reading]:
    """Run one variant in several ways, each of which should say the same; the first beside all."""
    if bench.base is not None:
        bench.base.close()
    bench.base = bench.load(name, settings[0].dtype)
    for dtype in dict.fromkeys(setting.dtype for setting in settings):
        engine = bench.load(name, dtype)
        for setting in (one for one in settings if one.dtype == dtype):
            yield bench.ask(name, engine, task_set, setting, whole=False)
        engine.close()
