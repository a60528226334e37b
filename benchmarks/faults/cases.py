"""One case: a kind of fault on a background at a seed, made, measured and diagnosed."""

from __future__ import annotations

import dataclasses
import functools
import math
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from benchmarks.faults import backgrounds, declared, harmless, measure, running, weights
from benchmarks.faults.draw import Draw, Made
from benchmarks.faults.models import Loaded, duplicate

KINDS: dict[str, Callable[[Draw], Made]] = {**weights.KINDS, **running.KINDS, **declared.KINDS}
TEXT = ("token_ids", "merges_lost", "lower_case", "template", "generation")
PLAIN = frozenset(
    "overflow kv_cache adapter_times adapter_layer_lost float64 empty_adapter usual_cache".split()
).union(TEXT)
"""Kinds that are only asked without a background: it would be the fault, or is beside the point."""
MILD = ("none", "bfloat16", "lora-declared")
"""What harmless candidates are asked with: rounding would cost more where scales were moved."""
EFFECT = 0.01


@dataclasses.dataclass(frozen=True)
class Case:
    """What is asked."""

    kind: str
    background: str
    seed: int

    @property
    def key(self) -> str:
        return f"{self.kind}/{self.background}/{self.seed}"

    @property
    def harmless(self) -> bool:
        return self.kind in harmless.HARMLESS


@dataclasses.dataclass
class Built:
    """Both models of a case.

    Attributes:
        made: the fault, or None for a harmless candidate.
        draw: the candidate, and the base that it is compared with.
        costs: nats a token that the background alone costs.
        damage: nats a token of the candidate.
        tokenizer: the base's.
        base_said: the base's log-probabilities.
    """

    made: Made | None
    draw: Draw
    costs: float
    damage: float
    tokenizer: Any
    base_said: Any

    @property
    def effect(self) -> bool:
        """Whether the fault adds 0.01 nats, and at least what its background costs."""
        if self.made is None:
            return False
        text = self.made.fault in ("tokenizer", "template", "generation_config", "kv_cache")
        return text or self.damage - self.costs >= max(EFFECT, self.costs)


@dataclasses.dataclass(frozen=True)
class Result:
    """What came of a case; a line of the JSON file.

    Attributes:
        expected: sites that count as exact.
        damage: None where a logit is not finite.
        named: the culprit, or None.
        rank: place of the right site among the findings, from 1; None where it is not there.
        printed: restored, as the diagnosis says.
        measured: restored, measured again.
        first_divergence: what that instrument names, and whether that is right.
        largest_weight_error: likewise.
        seconds: of the whole call.
        steps: seconds of each step, as the diagnosis says.
    """

    kind: str
    background: str
    seed: int
    harmless: bool
    expected: tuple[str, ...]
    fault: str
    costs: float
    damage: float | None
    effect: bool
    named: str | None
    said: str
    rank: int | None
    exact: bool
    right_class: bool
    printed: float | None
    measured: float | None
    first_divergence: tuple[str | None, bool]
    largest_weight_error: tuple[str | None, bool]
    seconds: float
    steps: dict[str, float]
    error: str = ""


def cases(seeds: Sequence[int], kinds: Sequence[str], chosen: Sequence[str]) -> Iterator[Case]:
    """Every kind once a seed; the background goes round, so that seeds cover all pairs."""
    usable = [one for one in chosen if backgrounds.available(one)]
    mild = [one for one in usable if one in MILD]
    for seed in seeds:
        for number, kind in enumerate(kinds):
            some = mild if kind in harmless.HARMLESS else usable
            if kind in PLAIN or kind.endswith(" alone"):
                known = backgrounds.available(kind.removesuffix(" alone"))
                some = ["none"] if "none" in chosen and known else []
            if some:
                yield Case(kind, some[(number + seed) % len(some)], seed)


def build(case: Case, loaded: Loaded) -> Built | None:
    """Make both models; None where the fault cannot be put on the background."""
    windows, texts = loaded.probes(case.seed)

    def drawn(name: str, base: Any) -> Draw:
        return Draw(duplicate(base), loaded.tokenizer, base, name, windows, texts)

    draw = drawn(f"{case.kind}/{case.seed}", loaded.model)
    spread = functools.partial(_spread, case.background, f"{case.background}/{case.seed}")
    made = None
    if case.harmless:
        # a change that is added comes first: in a rewritten model the same sum is another function
        order = (harmless.HARMLESS[case.kind], spread)
        for change in reversed(order) if case.background in backgrounds.ADDED else order:
            change(draw)
    elif case.kind in running.KINDS:
        spread(draw)
        try:
            made = running.KINDS[case.kind](draw)
        except running.Unsuited:
            return None
    else:
        made = KINDS[case.kind](draw)
        spread(draw)
    plain = draw.base
    if case.background in backgrounds.DECLARED:
        plain = drawn("base", loaded.model)
        spread(plain)
        draw.base = plain = plain.model
    draw.model.eval()
    said = measure.log_probabilities(plain, windows)
    costs = 0.0
    if case.background != "none" and case.background not in backgrounds.DECLARED:
        alone = drawn("alone", loaded.model)
        spread(alone)
        costs = measure.damage(said, measure.log_probabilities(alone.model, windows))
    found = measure.damage(said, measure.log_probabilities(draw.model, windows))
    return Built(made, draw, costs, found, loaded.tokenizer, said)


def _spread(background: str, name: str, draw: Draw) -> None:
    """Put the background on a candidate by chance of its own: the same without the fault."""
    own = Draw(draw.model, draw.tokenizer, draw.base, name, draw.windows)
    backgrounds.BACKGROUNDS[background](own)
    draw.model = own.model


def ask(case: Case, built: Built, diagnose: Callable[[Built], Any]) -> Result:
    """Have a built case diagnosed, and measure what the diagnosis says."""
    draw, made = built.draw, built.made
    begun = time.perf_counter()
    try:
        found, error = diagnose(built), ""
    except Exception as problem:  # noqa: BLE001 - a case that fails is a row of the table
        found, error = None, f"{type(problem).__name__}: {problem}"[:300]
    seconds = time.perf_counter() - begun
    expected = made.sites if made else ()
    sites = [one.site for one in found.findings] if found else []
    named = found.culprit if found else None
    ranks = [sites.index(one) + 1 for one in expected if one in sites]
    right = named in expected if made else named is None or _tuned(case, named)
    again = None
    if made and named in expected and math.isfinite(built.damage) and (made.paths or made.code):
        with measure.put_back(draw.base, draw.model, made) as model:
            said = measure.log_probabilities(model, draw.windows)
        again = 1.0 - measure.damage(built.base_said, said) / max(built.damage, 1e-12)
    names: list[str | None] = [None, None]
    if made and made.fault != "kv_cache":
        names[0] = measure.first_divergence(draw.base, draw.model, draw.windows)
        names[1] = measure.largest_weight_error(draw.base, draw.model)
    first, weight = ((name, any(measure.inside(name, one) for one in expected)) for name in names)
    fault = found.fault if found else ""
    return Result(
        kind=case.kind,
        background=case.background,
        seed=case.seed,
        harmless=case.harmless,
        expected=expected,
        fault=made.fault if made else "",
        costs=built.costs,
        damage=built.damage if math.isfinite(built.damage) else None,
        effect=built.effect,
        named=named,
        said=fault,
        rank=min(ranks, default=None),
        exact=right and not error,
        right_class=bool(made) and fault.partition("(")[0] == (made.fault if made else ""),
        printed=found.restored if found else None,
        measured=again,
        first_divergence=first,
        largest_weight_error=weight,
        seconds=seconds,
        steps={name: round(one, 4) for name, one in found.seconds.items()} if found else {},
        error=error,
    )


def _tuned(case: Case, named: str) -> bool:
    return case.kind in harmless.CHANGE_TUNED and named == "adapter"
