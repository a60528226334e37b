"""Time scoring and generation beside their peers, on one device and the same model.

    python -m benchmarks.speed [--device cuda] [--model FOLDER] [--random 135m] [--dtype bfloat16]

Ours goes the public way: a task set in a folder, a variant of `modellab.toml`, a session with an
empty store. Peers in the same process, in turns, medians after a round that warms up:
lm-evaluation-harness' HFLM at its best batch size of a few, transformers' `generate`, and a bare
forward of as many tokens. Loading the model is told apart. Prints a line a figure; `--json` keeps
all. `rate` is in samples a second, `first` (the round that warms up) and `seconds` are in seconds.

The harness is left out where it is not installed: `pip install lm_eval==0.4.13`. On a CPU take few
samples: `--samples 40 --peer-samples 8` takes about 6 minutes of two busy cores with it.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import logging
import math
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

from benchmarks.speed import agreement, material, profiling
from benchmarks.speed.material import PREFIX, REPLY, Workload
from benchmarks.speed.ours import Project
from benchmarks.speed.peers import Peers
from pytest_modellab.engines.batching import common_prefix
from pytest_modellab.engines.interface import ScoringRequest
from pytest_modellab.store.place import default_folder

T = TypeVar("T")

PARTS = ("scoring", "prefix", "generation", "agreement", "again", "session", "profile")


def main() -> int:
    """Measure and print."""
    options = _options()
    _quiet()
    import torch

    if options.threads:
        torch.set_num_threads(options.threads)
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False
    report: dict[str, Any] = {"setting": _setting(options), "rows": []}
    with tempfile.TemporaryDirectory() as where:
        folder = Path(where)
        source = material.tokens_folder(options.model, default_folder())
        material.model(source, folder / "model", options.random)
        for dtype in options.dtype.split(","):
            for row in Measurement(options, folder, dtype).rows():
                report["rows"].append(row)
                print(_line(row), flush=True)
                if options.json:
                    options.json.write_text(json.dumps(report, indent=1))
    return 0


class Measurement:
    """All parts that are asked for, in one dtype.

    Args:
        options: the command line's.
        folder: holds the model; projects are written beside it.
        dtype: name of a torch dtype.
    """

    def __init__(self, options: argparse.Namespace, folder: Path, dtype: str) -> None:
        self.options, self.dtype = options, dtype
        n = options.samples
        self.workloads = {
            "scoring": Workload("plain", n),
            "prefix": Workload("prefixed", n, prefix=PREFIX),
            "generation": Workload("replies", options.prompts or max(4, n // 4), replies=True),
        }
        self.projects: dict[str, Project] = {}
        for kernels in options.kernels.split(","):
            label = "ours" if kernels == "none" else f"ours, {kernels}"
            where = folder / f"{dtype} {kernels}"
            where.mkdir()
            toml = material.write_project(
                where,
                list(self.workloads.values()),
                options.device,
                dtype,
                None if kernels == "none" else kernels,
            )
            self.projects[label] = Project(toml)
        self.first = next(iter(self.projects.values()))
        self.peers = Peers(folder / "model", options.device, dtype)
        self.only = set(options.only.split(","))
        self.said: dict[str, Any] = {}  # by the peers, in the rounds
        self._asked: dict[str, list[ScoringRequest]] = {}

    def rows(self) -> Iterator[dict[str, Any]]:
        """Measure, part after part."""
        for name, part in (
            ("scoring", self._scored),
            ("prefix", self._scored),
            ("generation", self._written),
            ("agreement", self._agreement),
            ("again", self._again),
            ("profile", self._profile),
            ("session", self._session),
        ):
            if name not in self.only:
                continue
            begun = time.perf_counter()
            for row in part(name):
                yield {"part": name, "dtype": self.dtype, **row}
            print(f"  ({name}: {time.perf_counter() - begun:.0f} s)", file=sys.stderr, flush=True)
        for project in self.projects.values():
            project.release()

    def _scored(self, part: str) -> list[dict[str, Any]]:
        """Samples a second: ours, the harness, a bare forward, the engine alone."""
        work, options = self.workloads[part], self.options
        asked = self._requests(work.name)
        few = self._few(asked, options.peer_samples)
        trial = self._few(few, options.trial)
        batch = self._choose(part, lambda size: self.peers.scored(trial, size))
        methods: dict[str, tuple[int, Callable[[], tuple[float, Any]]]] = {
            label: (len(asked), _ours(project, work.name))
            for label, project in self.projects.items()
        }
        if batch:
            methods["lm-eval"] = (
                len(few),
                self._timed(part, lambda: self.peers.scored(few, batch)),
            )
        found = self._turns(methods)
        theirs = found.get("lm-eval", {}).get("rate")
        rows = []
        for label, row in found.items():
            row["batch"] = batch if label == "lm-eval" else row.get("budget")
            if theirs and label != "lm-eval":
                row["ratio"] = row["rate"] / theirs
            rows.append({"who": label, **row})
        shape = self._shape(asked)
        for label, project in self.projects.items():
            budget = found[label]["budget"]
            alone = project.engine_alone(work.name, asked, budget, options.rounds)
            rate = len(asked) / statistics.median(alone)
            rows.append({"who": f"{label}: engine alone", "rate": rate, "seconds": alone})
            if theirs:
                rows[-1]["ratio"] = rate / theirs
        bare = [self.peers.bare(*shape, budget=budget) for _ in range(options.rounds + 1)][1:]
        rate = len(asked) / statistics.median(bare)
        rows.append({"who": "bare forward", "rate": rate, "seconds": bare, "batch": budget})
        for row in rows:
            if row["who"].endswith("engine alone"):
                row["of bare"] = row["rate"] / rate
        return rows

    def _written(self, part: str) -> list[dict[str, Any]]:
        """Greedy replies: ours, the harness, plain `generate` in one batch."""
        work = self.workloads[part]
        contexts = [one.context for one in self._requests(work.name)]
        trial = contexts[: self.options.trial]
        sizes = [*self._sizes(), len(contexts)]
        methods: dict[str, tuple[int, Callable[[], tuple[float, Any]]]] = {
            label: (len(contexts), _ours(project, work.name))
            for label, project in self.projects.items()
        }
        batch = self._choose(
            part,
            lambda size: self.peers.written(trial if size < len(contexts) else contexts, 8, size),
            sizes[-1:] if self.options.device == "cuda" else sizes[:-1],
        )
        if batch:
            methods["lm-eval"] = (
                len(contexts),
                self._timed("written", lambda: self.peers.written(contexts, REPLY, batch)),
            )
        methods["generate"] = (
            len(contexts),
            self._timed(part, lambda: self.peers.generate(contexts, REPLY)),
        )
        found = self._turns(methods)
        plain = found["generate"]["rate"]
        return [
            {"who": who, **row, "of generate": row["rate"] / plain} for who, row in found.items()
        ]

    def _session(self, _: str) -> list[dict[str, Any]]:
        """Pytest in a process of its own, from start to end."""
        rows = []
        for part in ("scoring", "prefix", "generation"):
            if part in self.only:
                work = self.workloads[part]
                took = self.first.session(work.name)
                rows.append(
                    {
                        "who": f"pytest, {work.name}",
                        "rate": work.samples / took["scoring"],
                        "seconds": [took["scoring"]],
                        "wall": took["wall"],
                    }
                )
        return rows

    def _profile(self, _: str) -> list[dict[str, Any]]:
        """What the GPU does while samples are scored."""
        if self.options.device != "cuda":
            return []
        rows = []
        for label, project in self.projects.items():
            for part in ("scoring", "prefix", "generation"):
                if part in self.only:
                    work = self.workloads[part]
                    seen = project.profiled(work.name, profiling.kernels)
                    rows.append(
                        {
                            "who": f"{label}, {work.name}",
                            "busy": seen["busy"] / seen["wall"],
                            "kernels a sample": seen["kernels"] / work.samples,
                            **seen,
                        }
                    )
        return rows

    def _agreement(self, _: str) -> Iterator[dict[str, Any]]:
        """Predictions and log-likelihoods beside the harness', and one text at a time."""
        options = self.options
        for part in ("scoring", "prefix"):
            name = self.workloads[part].name
            asked = self._few(self._requests(name), options.peer_samples)
            one_by_one = self._few(asked, options.alone)
            alone = self.peers.alone(one_by_one)
            if part not in self.said and _harness():
                self.said[part] = self.peers.scored(asked, self._sizes()[0])
            for label, project in self.projects.items():
                ours = agreement.logprobs(project.answers(name, asked, self._budget(project, name)))
                if part in self.said:
                    told = agreement.beside(asked, ours, self.said[part])
                    yield {"who": f"{label} and lm-eval, {name}", **told}
                mine = self._few(ours, options.alone)
                told = agreement.beside(one_by_one, mine, alone)
                yield {"who": f"{label} and one by one, {name}", **told}
        name = self.workloads["generation"].name
        asked = self._requests(name)
        contexts = [one.context for one in asked]
        if "generation" not in self.said:
            self.said["generation"] = self.peers.generate(contexts, REPLY)
        for label, project in self.projects.items():
            answers = project.answers(name, asked, self._budget(project, name), limit=REPLY)
            ours = [one.text for one in answers]
            told = agreement.replies(self.peers, contexts, ours, self.said["generation"])
            yield {"who": f"{label} and generate", **told}

    def _again(self, _: str) -> list[dict[str, Any]]:
        """Twice bit for bit; and in other batches and orders, each judged against the first."""
        rows: list[dict[str, Any]] = []
        for label, project in self.projects.items():
            one, other = (project.record("plain")[0] for _ in range(2))
            rows.append({"who": f"{label}, twice", "bit for bit": agreement.same(one, other)})
            told = agreement.unchanged(project, "plain", one, self.options.again)
            rows.append({"who": f"{label}, other batches", **told})
        return rows

    # --- helpers ---

    def _turns(
        self, methods: dict[str, tuple[int, Callable[[], tuple[float, Any]]]]
    ) -> dict[str, dict[str, Any]]:
        """Run every method in turns; the first round warms up."""
        seconds: dict[str, list[float]] = {label: [] for label in methods}
        found: dict[str, dict[str, Any]] = {label: {} for label in methods}
        for turn in range(self.options.rounds + 1):
            for label, (_, method) in methods.items():
                taken, more = method()
                if turn:
                    seconds[label].append(taken)
                else:
                    more = {**more, "first": taken}
                found[label] |= more
        for label, (samples, _) in methods.items():
            median = statistics.median(seconds[label])
            found[label] |= {"samples": samples, "rate": samples / median}
            found[label]["seconds"] = seconds[label]
        return found

    def _timed(self, what: str, call: Callable[[], Any]) -> Callable[[], tuple[float, Any]]:
        """Time a peer, and keep what it said."""

        def run() -> tuple[float, dict[str, Any]]:
            begun = time.perf_counter()
            self.said[what] = call()
            return time.perf_counter() - begun, {}

        return run

    def _choose(
        self, part: str, run: Callable[[int], Any], sizes: Sequence[int] | None = None
    ) -> int:
        """The harness' best batch size; 0 where it is not installed."""
        if not _harness():
            print("  (lm-eval is not installed: left out)", file=sys.stderr)
            return 0
        return self.peers.choose(part, sizes or self._sizes(), run)

    def _few(self, all_: Sequence[T], count: int) -> list[T]:
        """At most so many, from all over."""
        return list(all_[:: max(1, math.ceil(len(all_) / count))])

    def _budget(self, project: Project, name: str) -> int:
        """The token budget that a session takes."""
        return self.options.budget or int(project.record(name)[0].environment["token_budget"])

    def _sizes(self) -> list[int]:
        return [int(size) for size in self.options.batch.split(",")]

    def _requests(self, name: str) -> list[ScoringRequest]:
        if name not in self._asked:
            self._asked[name] = self.first.requests(name)
        return self._asked[name]

    def _shape(self, asked: Sequence[ScoringRequest]) -> tuple[int, int, int, int]:
        """Tokens that are computed of a sample, samples, logits a sample, and shared tokens."""
        encode = self.peers.tokenizer
        contexts = encode([one.context for one in asked], add_special_tokens=False).input_ids
        options = [encode(list(one.options), add_special_tokens=False).input_ids for one in asked]
        prefix = common_prefix(contexts)
        prefix = prefix if prefix > 16 else 0
        total = sum(len(one) - prefix for one in contexts)
        total += sum(len(tokens) - 1 for row in options for tokens in row)
        kept = sum(len(tokens) for row in options for tokens in row) / len(asked)
        return math.ceil(total / len(asked)), len(asked), round(kept), prefix


def _ours(project: Project, name: str) -> Callable[[], tuple[float, dict[str, Any]]]:
    def run() -> tuple[float, dict[str, Any]]:
        record, taken = project.record(name)
        told = {"budget": int(record.environment["token_budget"]), "loading": project.loading}
        return taken, {**told, "engine seconds": record.probes["seconds"]}

    return run


def _harness() -> bool:
    """Whether lm-evaluation-harness is there."""
    return importlib.util.find_spec("lm_eval") is not None


def _line(row: dict[str, Any]) -> str:
    parts = [f"{row['part']:10} {row['dtype']:8} {row['who']:32}"]
    for key, value in row.items():
        if key in ("part", "dtype", "who", "seconds", "samples", "mean"):
            continue
        if isinstance(value, bool) or not isinstance(value, float):
            if key == "gaps":
                value = [float(f"{gap:.2g}") for gap in value[:5]]
            if value not in ([], None):
                parts.append(f"{key}={value}")
        else:
            parts.append(f"{key}={value:.4g}")
    return "  ".join(parts)


def _setting(options: argparse.Namespace) -> dict[str, Any]:
    import torch
    import transformers

    gpu = torch.cuda.get_device_name() if options.device == "cuda" else None
    told = {key: str(value) for key, value in vars(options).items() if value is not None}
    told |= {"torch": torch.__version__, "transformers": transformers.__version__}
    told |= {"processor": gpu or "cpu", "threads": str(torch.get_num_threads())}
    print(", ".join(f"{key} {value}" for key, value in told.items()), flush=True)
    return told


def _quiet() -> None:
    import transformers

    logging.disable(logging.WARNING)
    transformers.utils.logging.disable_progress_bar()
    transformers.utils.logging.set_verbosity_error()


class _Help(argparse.ArgumentDefaultsHelpFormatter, argparse.RawDescriptionHelpFormatter):
    """Help with the defaults, and with the text above as it is written."""


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, prog="python -m benchmarks.speed", formatter_class=_Help
    )
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--model", type=Path, help="a folder or a GGUF file; the suites' model")
    parser.add_argument("--random", choices=list(material.SIZES), help="random weights instead")
    parser.add_argument("--dtype", default="float32", help="one or several, with commas")
    parser.add_argument("--kernels", default="none", help="of ours, as none,liger")
    parser.add_argument("--samples", type=int, default=2000, help="to be scored, of each kind")
    parser.add_argument(
        "--prompts", type=int, help="to be answered; left out, a quarter of the samples, 4 at least"
    )
    parser.add_argument("--peer-samples", type=int, default=10**9, help="the harness', at most")
    parser.add_argument("--trial", type=int, default=100, help="samples that choose its batch size")
    parser.add_argument("--batch", default="16,64,256", help="batch sizes of the harness to try")
    parser.add_argument("--alone", type=int, default=50, help="samples that are read one by one")
    parser.add_argument("--again", type=int, default=30, help="runs in other batches and orders")
    parser.add_argument("--budget", type=int, help="of the engine alone, where agreement is judged")
    parser.add_argument("--rounds", type=int, default=3, help="behind one that warms up")
    parser.add_argument("--threads", type=int, help="torch's; left out, as many as it takes")
    parser.add_argument("--only", default=",".join(PARTS), help="parts, with commas")
    parser.add_argument("--json", type=Path, help="file that is to keep all figures")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
