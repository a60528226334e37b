"""`gate.fidelity`: how tight its lower bound of the divergence is, and how often it errs.

    python -m benchmarks.fidelity bound [--config PATH] [--samples N] [--variants A,B] [--json PATH]
    python -m benchmarks.fidelity rates [--repetitions N] [--json PATH]

*bound*: variants of the real model and copies of it that are rounded to 8 … 3 bits read texts of
the suites' task set beside their base, in one process and by whole distributions, in NumPy and
double precision, as llama.cpp's `llama-perplexity --kl-divergence` defines the figures (package
xllamacpp does not hand that on). Printed are the divergence, and which share of it is seen where
only the K largest probabilities of the base and the mass of the others are compared.

*rates*: false blocks and false passes of the rule and of its peers where the true mean is the
limit, for divergences of samples that are drawn from known shapes, and with `--json` from those
that *bound* wrote. The peers are the one-sided t test of `nats - limit * tokens` (Fieller), and
Johnson's (1978, JASA 73:536) modified t, which corrects it for skewness.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtr

from pytest_modellab.config import read
from pytest_modellab.engines.budget import DEFAULT_BUDGET
from pytest_modellab.engines.interface import ScoringRequest, predicting
from pytest_modellab.engines.tokens import encode_texts
from pytest_modellab.gate._saddlepoint import tail
from pytest_modellab.gate.fidelity import BEYOND
from pytest_modellab.lab.lab import Lab
from pytest_modellab.lab.settings import Settings
from pytest_modellab.records.graded import is_choice
from pytest_modellab.runs.distributions import divergences, reduced
from pytest_modellab.store.place import default_folder

Floats = NDArray[np.float64]

Draw = Callable[[np.random.Generator, tuple[int, int]], tuple[Floats, Floats, float]]
"""Draws nats and tokens of samples, and tells the true mean a token."""

KEPT = (16, 32, 64, 128, 256, 512)
BITS = (8, 6, 5, 4, 3)
SIZES = (30, 60, 120, 300, 700)
ALPHA = 0.05

# --- bound ----------------------------------------------------------------------------------------


def bound(config: Path, count: int, names: list[str]) -> Iterator[dict[str, Any]]:
    """Read the same texts by the base and by each variant, and compare whole distributions."""
    declared = read.load(config)
    rounded = {
        f"{bits} bits": dataclasses.replace(
            declared.variants["nf4"],
            name=f"{bits} bits",
            options={"method": "rtn", "bits": bits},
        )
        for bits in BITS
    }
    declared = dataclasses.replace(declared, variants={**declared.variants, **rounded})
    lab = Lab(declared, Settings(default_folder()))
    task_set = lab.task_set("assistant_core_v2")
    samples = task_set.samples[:: max(1, len(task_set.samples) // count)][:count]
    base = lab.variant("prompting")
    engine = base.source.open(default_folder())
    texts = encode_texts(
        engine.tokenizer,  # type: ignore[attr-defined]
        [
            ScoringRequest(
                engine.render(base.plan.prompt.messages(one.input)),
                (one.choices[one.target],) if is_choice(one) else (),
            )
            for one in samples
        ],
    )
    whole = {i: np.array(rows) for i, rows in _told(engine, texts)}
    engine.close()
    kept = {k: {i: reduced(rows, k) for i, rows in whole.items()} for k in KEPT}
    for name in [*names, *rounded]:
        other = lab.variant(name).source.open(default_folder())
        rows, sums = [], dict.fromkeys(KEPT, 0.0)
        for i, theirs in _told(other, texts):
            p, q = whole[i].astype(np.float64), theirs.astype(np.float64)
            nats = float((np.exp(p) * (p - q)).sum())
            same = int((p.argmax(axis=1) == q.argmax(axis=1)).sum())
            rows.append([samples[i].id, len(p), nats, same])
            for k in KEPT:
                sums[k] += float(divergences(kept[k][i], theirs)[0].sum())
        other.close()
        total = sum(row[2] for row in rows)
        tokens = sum(row[1] for row in rows)
        yield {
            "variant": name,
            "tokens": tokens,
            "kl": total / tokens,
            "same": sum(row[3] for row in rows) / tokens,
            "seen": {str(k): found / total for k, found in sums.items()},
            "samples": rows,
        }


def _told(engine: Any, texts: Any) -> Iterator[tuple[int, NDArray[np.floating[Any]]]]:
    able = predicting(engine)
    assert able is not None
    return able.predict(texts, budget=DEFAULT_BUDGET, skip=frozenset())


# --- rates ----------------------------------------------------------------------------------------


def lognormal(sigma: float) -> Draw:
    """Divergences a token whose logarithm is normal."""
    return _drawn(lambda rng, size: rng.lognormal(0.0, sigma, size), float(np.exp(sigma**2 / 2)))


def pareto(shape: float) -> Draw:
    """Divergences a token with a power law's tail."""
    return _drawn(lambda rng, size: rng.pareto(shape, size) + 1.0, shape / (shape - 1.0))


def gamma(shape: float) -> Draw:
    """Divergences a token, nearly normal at a large shape, mostly nothing at a small one."""
    return _drawn(lambda rng, size: rng.gamma(shape, 1.0, size), shape)


def resampled(rows: list[list[Any]]) -> Draw:
    """Samples of a real run."""
    tokens, nats = (np.array([row[k] for row in rows], float) for k in (1, 2))

    def draw(rng: np.random.Generator, size: tuple[int, int]) -> tuple[Floats, Floats, float]:
        chosen = rng.integers(0, len(rows), size)
        return nats[chosen], tokens[chosen], float(nats.sum() / tokens.sum())

    return draw


def _drawn(values: Callable[[np.random.Generator, tuple[int, int]], Floats], mean: float) -> Draw:
    def draw(rng: np.random.Generator, size: tuple[int, int]) -> tuple[Floats, Floats, float]:
        tokens = np.ceil(50.0 * rng.lognormal(0.0, 0.5, size))
        return tokens * values(rng, size), tokens, mean

    return draw


def other_choices(share: float, strength: float) -> Draw:
    """Tokens of another first choice, whose share differs from sample to sample (beta)."""

    def draw(rng: np.random.Generator, size: tuple[int, int]) -> tuple[Floats, Floats, float]:
        tokens = np.ceil(40.0 * rng.lognormal(0.0, 0.5, size))
        chance = rng.beta(share * strength, (1.0 - share) * strength, size)
        return rng.binomial(tokens.astype(int), chance).astype(float), tokens, share

    return draw


def own(
    nats: Floats, tokens: Floats, limit: float, most: float | None = None
) -> tuple[Floats, Floats]:
    """The rule of `gate.fidelity`, of many runs at once: p of BLOCK and of PASS."""
    u = tokens / tokens.mean(axis=1, keepdims=True)
    y = nats / tokens.mean(axis=1, keepdims=True)
    x = y - limit * u
    largest = BEYOND * np.maximum(limit, y.max(axis=1)) if most is None else np.full(len(x), most)
    return _tail(-x, np.full(len(x), limit)), _tail(x, largest - limit)


def student(nats: Floats, tokens: Floats, limit: float) -> tuple[Floats, Floats]:
    """The t test of `nats - limit * tokens`."""
    x = nats - limit * tokens
    n = x.shape[1]
    t = x.mean(axis=1) / x.std(axis=1, ddof=1) * np.sqrt(n)
    return stdtr(n - 1, -t), stdtr(n - 1, t)


def johnson(nats: Floats, tokens: Floats, limit: float) -> tuple[Floats, Floats]:
    """Johnson's modified t test of the same."""
    x = nats - limit * tokens
    n, mean, variance = x.shape[1], x.mean(axis=1), x.var(axis=1, ddof=1)
    third = ((x - mean[:, None]) ** 3).mean(axis=1)
    moved = mean + third / (6.0 * variance * n) + third * mean**2 / (3.0 * variance**2)
    t = moved * np.sqrt(n / variance)
    return stdtr(n - 1, -t), stdtr(n - 1, t)


PEERS = {"t": student, "Johnson": johnson}


def _tail(x: Floats, extra: Floats) -> Floats:
    rows, n = x.shape
    return tail(x.ravel(), np.ones(rows * n), np.arange(rows, dtype=np.int64) * n, extra)


def rates(shapes: Mapping[str, Draw], repetitions: int) -> Iterator[dict[str, Any]]:
    """Count verdicts where the true mean is the limit, and where it is half above or below."""
    rng = np.random.default_rng(20)
    for name, draw in shapes.items():
        for n in SIZES:
            nats, tokens, mean = draw(rng, (repetitions, n))
            row: dict[str, Any] = {"shape": name, "n": n}
            most = 1.0 if name in CHOICES else None
            judged = {"own": own(nats, tokens, mean, most)}
            judged |= {rule: judge(nats, tokens, mean) for rule, judge in PEERS.items()}
            for rule, pair in judged.items():
                row[rule] = [float((p <= ALPHA).mean()) for p in pair]
            row["power"] = [
                float((own(nats, tokens, mean / 1.5, most)[0] <= ALPHA).mean()),
                float((own(nats, tokens, mean / 0.5, most)[1] <= ALPHA).mean()),
            ]
            yield row


SHAPES: Mapping[str, Draw] = {
    "gamma 2": gamma(2.0),
    "lognormal 0.7": lognormal(0.7),
    "lognormal 1": lognormal(1.0),
    "lognormal 1.5 (strongly skewed)": lognormal(1.5),
    "Pareto 3": pareto(3.0),
    "Pareto 2.2 (strongly skewed)": pareto(2.2),
}


CHOICES: Mapping[str, Draw] = {
    "other first choices, 0.03": other_choices(0.03, 20.0),
    "other first choices, 0.2": other_choices(0.2, 20.0),
}


def main() -> None:
    """Run what the command line asks for, and print tables."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("part", choices=("bound", "rates"))
    parser.add_argument("--config", type=Path, default=Path("suites/modellab.toml"))
    parser.add_argument("--samples", type=int, default=60)
    parser.add_argument("--variants", default="nf4,int8")
    parser.add_argument("--repetitions", type=int, default=4000)
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    if asked.part == "bound":
        print("| variant | tokens | KL | same first |", *(f"K = {k} |" for k in KEPT))
        print("|---|---:|---:|---:|" + "---:|" * len(KEPT))
        found = []
        for row in bound(asked.config, asked.samples, asked.variants.split(",")):
            found.append(row)
            seen = " | ".join(f"{share:.4f}" for share in row["seen"].values())
            head = f"{row['variant']} | {row['tokens']} | {row['kl']:.3g} | {row['same']:.4f}"
            print(f"| {head} | {seen} |", flush=True)
            if asked.json is not None:
                asked.json.write_text(json.dumps(found))
        return
    shapes = {**SHAPES, **CHOICES}
    if asked.json is not None:
        for row in json.loads(asked.json.read_text()):
            shapes[f"{row['variant']}, real"] = resampled(row["samples"])
    rules = ("own", *PEERS)
    print("| divergences | n |", *(f"{rule}: block, pass |" for rule in rules), "power |")
    print("|---|---:|" + "---:|" * (len(rules) + 1))
    for row in rates(shapes, asked.repetitions):
        cells = [f"{a:.3f}, {b:.3f}" for a, b in (row[key] for key in (*rules, "power"))]
        print(f"| {row['shape']} | {row['n']} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    sys.exit(main())
