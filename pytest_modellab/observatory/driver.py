"""A candidate is examined, step by step."""

from __future__ import annotations

import contextlib
import dataclasses
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

from pytest_modellab.engines.language.reasoning import Reasoning
from pytest_modellab.errors import DiagnosisError, OutOfTime
from pytest_modellab.observatory import (
    cache,
    conclude,
    encoding,
    internals,
    layouts,
    nodes,
    outputs,
    proof,
    selfcheck,
    verdict,
)
from pytest_modellab.observatory import pictures as pictured
from pytest_modellab.observatory import probes as probing
from pytest_modellab.observatory import text as texts
from pytest_modellab.observatory.added import Probe, Seen, look
from pytest_modellab.observatory.cache import CacheResult
from pytest_modellab.observatory.conclude import AsDeclared, Concluded
from pytest_modellab.observatory.examination import Examination
from pytest_modellab.observatory.likely import explained
from pytest_modellab.observatory.outcome import of as outcome_of
from pytest_modellab.observatory.probes import Probes
from pytest_modellab.observatory.run import frozen
from pytest_modellab.observatory.selfcheck import Checks
from pytest_modellab.observatory.subject import Subject, plain
from pytest_modellab.observatory.text import TextResult
from pytest_modellab.observatory.verdict import Verdict
from pytest_modellab.records.diagnosis import SCHEMA, Diagnosis, Finding, Side, WeightChange
from pytest_modellab.visible import raised

ADAPTER = "adapter"
"""The site of a low-rank change of a whole kind of projections, or of all."""


_ATTENTION = ("attention_mask", "attention_scale", "rope")


Result = TypeVar("Result")


def diagnose(
    base: Any,
    candidate: Any,
    probes: Any = None,
    tokens: int = 448,
    *,
    tokenizer: Any = None,
    long: int = 128,
    pictures: bool = True,
    budget: float | None = None,
    added: Sequence[Probe] = (),
    examined: Callable[[Examination], None] = lambda _: None,
) -> Diagnosis:
    """Name the part of a candidate that is damaged, proved by putting the base's part back.

    Args:
        base: what is right: an engine of transformers, a :class:`Subject`, a pair of model and
            tokenizer, or a model.
        candidate: what is examined, likewise.
        probes: :class:`Probes`, texts, or rows of token ids; None for built-in texts.
        tokens: in all probes.
        tokenizer: of both, where models come without one.
        long: width of the long window.
        pictures: whether pictures are drawn.
        budget: seconds; what is not needed for a name is left out where they are up, and that is
            noted.
        added: probes of plugins.
        examined: called at last, with the models still loaded and what was found.

    Returns:
        What was found out.

    Raises:
        DiagnosisError: the models cannot be examined.
    """
    steps = _Steps(budget)
    one = subject(base, "base", tokenizer)
    other = subject(candidate, "candidate", tokenizer)
    asked = _probes(one, probes, tokens, long)
    # a model that trains drops values at random, or keeps no cache: both are looked at in use
    with frozen(one.model), frozen(other.model):
        text = steps.optional(
            "text", TextResult(), lambda: texts.compare(one, other, asked.texts, asked.messages)
        )
        steps.notes += text.notes
        reason = outputs.incomparable(one.model, other.model)
        encoding.comparable(one, other, reason)
        if reason:
            return outputs.diagnosis(
                one, other, asked, text, reason, steps.notes, steps.seconds, pictures=pictures
            )
        with layouts.aligned(one.model, other.model) as aligned:
            steps.notes += aligned
            return _inside(
                _Pair(one, other, asked, text, bool(aligned)),
                steps,
                long=long,
                pictures=pictures,
                added=added,
                examined=examined,
            )


@dataclasses.dataclass(frozen=True)
class _Pair:
    """Two models of one layout, what both read, and what their text sides differ in."""

    base: Subject
    candidate: Subject
    probes: Probes
    text: TextResult
    aligned: bool


def _inside(
    pair: _Pair,
    steps: _Steps,
    *,
    long: int,
    pictures: bool,
    added: Sequence[Probe],
    examined: Callable[[Examination], None],
) -> Diagnosis:
    """Look into the modules, and say what was found."""
    one, other, asked, text = pair.base, pair.candidate, pair.probes, pair.text
    encodes = encoding.encodes(one.model)
    background = internals.examine(one, other, asked, steps)
    nats = background.damage.nats
    declared = steps.optional(
        "as declared",
        AsDeclared(),
        lambda: conclude.as_declared(background.run, other, background.damage),
        background.damage.finite and not encodes,
    )
    steps.notes += declared.notes
    seen = steps.optional(
        "beyond", background, lambda: _beyond(background, declared, steps), not pair.aligned
    )
    as_said = seen is background
    if as_said and declared.accounts(nats):  # what is kept in full precision is no peer
        seen = dataclasses.replace(seen, findings=())
    cached = steps.optional(
        "cache",
        CacheResult(),
        lambda: cache.examine(one, other, asked.windows),
        seen.damage.finite and not pair.aligned and not encodes,
    )
    cached = _caches(cached, seen)
    steps.notes += cached.notes
    whole = steps.optional("whole", None, lambda: _whole(seen, declared, steps), as_said)
    if encodes and whole is not None:
        steps.notes += encoding.paying(seen.passes, seen.leaves)
    findings = _ranked(seen, cached, whole)
    said = verdict.decide(
        max(seen.damage.nats, cached.damage) if cached.findings else seen.damage.nats,
        findings,
        _class(seen, whole),
        _text_first(text, nats),
    )
    if said.culprit is None and nats <= verdict.NOTHING and not _attention(seen):
        # probes have no padding, and rows of one width: a batch of the gate is neither
        alone = steps.optional(
            "self-checks",
            Checks(()),
            lambda: (encoding if encodes else selfcheck).against(one, other, asked.windows),
        )
        steps.notes += alone.notes
        findings = (*alone.findings, *findings)
        said = verdict.decide(nats, findings, said.fault, _alone(alone))
    if not as_said:
        findings = (*findings, *background.findings)
        steps.notes.append(
            f"{seen.damage.nats:.2g} nats are beyond what was declared, all of it {nats:.2g}: what "
            "is named was found by comparing with the base as the plan changes it"
        )
    chain = seen.proof.chain
    named = chain[0] if chain and chain[0].site == said.culprit else None
    seen = dataclasses.replace(seen, findings=findings, culprit=named, long=long)
    looked, drawn = Seen(), pictured.Drawn()
    if steps.in_time("added probes and samples"):
        with steps("added probes"):
            looked = look(seen, added)
        with steps("answers"):
            examined(seen)
    if pictures and steps.in_time("pictures"):
        with steps("pictures"):
            drawn = pictured.draw(seen, steps.left)
    beside = [found for found in (text.picture, cached.picture) if found is not None]
    return Diagnosis(
        SCHEMA,
        one.side,
        other.side,
        "internals",
        said.culprit,
        said.fault,
        _headline(said, whole, far=encodes and nats >= verdict.ADAPTED, late=steps.late),
        nats,
        background.run.tokens,
        restored=said.restored,
        culprits=_culprits(seen, said.culprit),
        findings=(*text.findings, *findings, *looked.findings)
        if said.culprit is None or said.culprit in {one.site for one in text.findings}
        else (*findings, *text.findings, *looked.findings),
        weights=_with_expected(seen, declared) if as_said else seen.weights,
        nodes=nodes.errors(seen),
        pictures=(*drawn.pictures, *beside, *looked.pictures) if pictures else looked.pictures,
        notes=(*steps.notes, *drawn.notes, *looked.notes),
        remedy=None if whole is None or said.culprit not in (None, ADAPTER) else whole.remedy,
        probes=asked.digest,
        seconds=steps.seconds,
        versions=_versions(),
        measure=outcome_of(one.model).measure,
    )


def subject(given: Any, name: str, tokenizer: Any = None) -> Subject:
    """Take a model out of whatever holds it."""
    if isinstance(given, Subject):
        return Subject(given.side, plain(given.model), given.tokenizer, given.cache, given.plan)
    if isinstance(given, Reasoning):
        given = given.engine
    if isinstance(given, tuple) and len(given) == 2:
        given, tokenizer = given
    if hasattr(given, "encode") and hasattr(getattr(given, "model", given), "children"):
        made = encoding.model_of(given, name)
        own = getattr(getattr(given, "model", given), "tokenizer", None) or tokenizer
        return Subject(Side(name, parameters=_parameters(made)), made, own)
    model = getattr(given, "model", given) if hasattr(given, "score_options") else given
    if not hasattr(model, "named_modules"):
        raise DiagnosisError(
            f"{name}: a {type(given).__name__} is no model that transformers runs: give an engine, "
            "a model, or a pair of a model and its tokenizer"
        )
    tokenizer = getattr(given, "tokenizer", None) or tokenizer
    model = plain(model)
    makes = getattr(given, "own_cache", None)
    return Subject(Side(name, parameters=_parameters(model)), model, tokenizer, makes)


def _parameters(model: Any) -> int:
    return sum(one.numel() for one in model.parameters())


class _Steps:
    """Seconds of each step, notes of those that failed, and whether the time was up in one."""

    def __init__(self, budget: float | None) -> None:
        self.seconds: dict[str, float] = {}
        self.notes: list[str] = []
        self.late = False
        self._budget = budget

    @property
    def left(self) -> float | None:
        """Seconds that are left, or None without a budget."""
        return None if self._budget is None else self._budget - sum(self.seconds.values())

    def in_time(self, what: str) -> bool:
        """Whether there is time left; notes what is left out if not."""
        if self.left is None or self.left > 0:
            return True
        self.notes.append(f"the time was up after {sum(self.seconds.values()):.0f} s: no {what}")
        return False

    def optional(
        self, step: str, otherwise: Result, compute: Callable[[], Result], wanted: bool = True
    ) -> Result:
        """Take a step whose failure is a note."""
        if not wanted:
            return otherwise
        try:
            with self(step):
                return compute()
        except MemoryError:
            raise
        except OutOfTime:
            self.late = True
            self.notes.append(f"the time was up: the step {step!r} is left out")
            return otherwise
        except Exception as error:  # noqa: BLE001 - code of any model runs here
            said = raised(error)
            self.notes.append(f"the step {step!r} failed and is left out: {said}")
            return otherwise

    @contextlib.contextmanager
    def __call__(self, step: str) -> Iterator[None]:
        start = time.perf_counter()
        try:
            yield
        finally:
            taken = time.perf_counter() - start
            self.seconds[step] = round(self.seconds.get(step, 0.0) + taken, 3)


def _beyond(seen: Examination, declared: AsDeclared, steps: _Steps) -> Examination:
    """The candidate against what was declared, where a part of it is something else."""
    if declared.expected is None or not declared.differs(seen.damage.nats):
        return seen
    if not steps.in_time("comparison with what was declared"):
        return seen
    found = internals.examine(declared.expected, seen.candidate, seen.probes, steps, seen.damage)
    chain = found.proof.chain
    if chain and chain[0].site == ADAPTER:  # more or less of it: told as a whole
        return seen
    named = bool(chain) and (found.proof.of(chain[0]) or 0.0) >= verdict.NAMED
    return found if named or not found.damage.finite else seen


def _with_expected(seen: Examination, declared: AsDeclared) -> tuple[WeightChange, ...]:
    """What each leaf's weights are changed by, beside what the plan changes of them."""
    due = {
        leaf.site: declared.changes[leaf.path]
        for leaf in seen.leaves
        if leaf.path in declared.changes
    }
    return tuple(dataclasses.replace(one, expected=due.get(one.site)) for one in seen.weights)


def _headline(said: Verdict, whole: Concluded | None, *, far: bool, late: bool) -> str:
    """The verdict's sentence, or what the whole says of itself."""
    if late and said.culprit is None and said.fault == "unexplained":
        return "it is damaged, and the time was up before a part could be named"
    if far and said.culprit is None and said.fault == "uniform":
        return "it differs everywhere, and no part is named"
    if whole is not None and said.culprit is None and said.fault == whole.whole.fault:
        return whole.whole.headline or said.headline
    return said.headline


def _whole(seen: Examination, declared: AsDeclared, steps: _Steps) -> Concluded | None:
    """The change as a whole, where no place restores half of the damage."""
    if seen.compared is None or not seen.damage.nats >= verdict.NOTHING:
        return None
    places = [one for one in seen.proof.tried if one.group.site != ADAPTER]
    most = max((one.restored for one in places), default=0.0)
    if most >= proof.HALF and not declared.accounts(seen.damage.nats):
        return None
    return conclude.whole(
        seen.run,
        seen.candidate,
        seen.damage,
        seen.passes,
        seen.compared,
        declared,
        lambda: steps.left is None or steps.left > 0,
    )


def _class(seen: Examination, whole: Concluded | None) -> str:
    """The class of the whole where nothing is named."""
    if seen.damage.nats < verdict.NOTHING:
        return "rewritten" if seen.struck else "none"
    return "unexplained" if whole is None else whole.whole.fault


def _alone(checks: Checks) -> Finding | None:
    """What a model does otherwise than itself, where that has an effect."""
    first = next(iter(checks.findings), None)
    return first if first is not None and (first.nats or 0.0) > verdict.NOTHING else None


def _text_first(text: TextResult, nats: float) -> Finding | None:
    """A finding of the text side that goes before those of the model."""
    if not text.findings:
        return None
    return text.findings[0] if nats < outputs.TEXT_FIRST or text.costs_more else None


def _attention(seen: Examination) -> list[str]:
    """Sites of attentions whose code is another."""
    sites = [group.site for group in seen.groups]
    return [one for one in sites if one in _ATTENTION or one.endswith("attention.core")]


def _caches(cached: CacheResult, seen: Examination) -> CacheResult:
    """What the usual cache gives back is no fault of its own where the attention's code is one."""
    coded = _attention(seen)
    if not cached.findings or not coded or seen.candidate.cache is not None:
        return cached
    note = f"answers through the cache differ, too: {coded[0]} is not made for it"
    return dataclasses.replace(cached, findings=(), notes=(*cached.notes, note))


def _ranked(seen: Examination, cached: CacheResult, whole: Concluded | None) -> tuple[Finding, ...]:
    """Places with what they restore, and the cache with its share; the largest first."""
    share = cached.weight(seen.damage.nats)
    found = list(seen.findings)
    caches = [dataclasses.replace(one, restored=round(share, 4)) for one in cached.findings]
    if whole is not None and whole.whole.fault == "adapter":
        one = whole.whole
        caches.append(
            Finding(ADAPTER, ADAPTER, one.sentence, likely=one.likely, evidence=one.evidence)
        )
        for other in found:
            if other.site == ADAPTER:  # its kinds of projections, which were exchanged
                caches[-1] = dataclasses.replace(
                    caches[-1], nats=other.nats, restored=other.restored
                )
        found = [other for other in found if other.site != ADAPTER]
    found += caches
    return tuple(sorted(map(explained, found), key=lambda one: -(one.restored or 0.0)))


def _culprits(seen: Examination, named: str | None) -> tuple[str, ...]:
    """What was named, and the places that restored more beside it."""
    if named is None:
        return ()
    chain = [group.site for group in seen.proof.chain]
    return tuple(chain) if named in chain else (named,)


def _versions() -> dict[str, str]:
    import importlib.metadata as installed

    found = {}
    for name in ("torch", "transformers", "pytest-modellab"):
        with contextlib.suppress(installed.PackageNotFoundError):
            found[name] = installed.version(name)
    return found


def _probes(base: Subject, given: Any, tokens: int, long: int) -> Probes:
    if isinstance(given, Probes):
        return given
    if encoding.encodes(base.model) and not any(isinstance(one, tuple) for one in given or ()):
        return encoding.probes(base, tuple(given or ()), tokens, long)
    if given is None and base.tokenizer is None:
        return probing.drawn(base.model.config.vocab_size, tokens=tokens, long=long)
    if given is None:
        return probing.built_in(base.tokenizer, tokens=tokens, long=long)
    texts = [one for one in given if isinstance(one, str)]
    if texts:
        return probing.of_texts(texts, base.tokenizer, tokens=tokens, long=long)
    return Probes(tuple(tuple(int(i) for i in row) for row in given))
