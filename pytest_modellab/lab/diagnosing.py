"""A candidate is diagnosed against its base: both are loaded, asked, and let go again."""

from __future__ import annotations

import contextlib
import dataclasses
import math
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_modellab.errors import DiagnosisError, ModellabError, OutOfMemory, OutOfTime
from pytest_modellab.lab import outsides, put_back, runtimes, searches
from pytest_modellab.lab.again import Again
from pytest_modellab.lab.jobs import job_of
from pytest_modellab.lab.pair import Asked, Pair
from pytest_modellab.lab.registry import Extensions
from pytest_modellab.records import diagnosed
from pytest_modellab.records.progress import Advance, Watch, Work
from pytest_modellab.store import hashes
from pytest_modellab.visible import raised

if TYPE_CHECKING:
    from pytest_modellab.engines.interface import Engine, Turn
    from pytest_modellab.lab.resolved import Resolved
    from pytest_modellab.observatory.examination import Examination
    from pytest_modellab.observatory.probes import Probes
    from pytest_modellab.observatory.runtime import Runtime
    from pytest_modellab.observatory.subject import Subject
    from pytest_modellab.runs.passages import Grounded
    from pytest_modellab.store.diagnoses import Chat, DiagnosisEntry, Examined
    from pytest_modellab.store.remote import Remote

FORWARDS = 15
"""Of the probes, that a diagnosis takes at the speed of runs, which also write: 12 to 15 of SmolLM2
rounded to 3 bits. With pictures of everything it is up to 40; what the limit leaves no time for is
left out, or given up."""


OPERATIONS = 2e10
"""Multiplications and additions a second of a slow core, where no time was measured."""


SPARE = 2**30
"""Bytes that are needed beside two models: kept activations, and a matrix or two."""


_TEXT = ("tokenizer", "chat_template")  # sites that are exchanged with the tokenizer


@dataclasses.dataclass(frozen=True)
class Limits:
    """What an examination may take.

    Attributes:
        seconds: of time, after which what is not needed for a name is left out; None without limit.
        reuse: False to examine anew whatever the store has.
        strict: whether even what is needed for a name is given up then.
    """

    seconds: float | None = None
    reuse: bool = True
    strict: bool = False


class Diagnosing:
    """Examines candidates.

    Args:
        cache: the store's root.
        extensions: the scorers and probes that there are.
        release: frees the variant that the session holds, before two are loaded.
        watch: is told how far an examination is.
        run: runs a variant on samples; None without a session, where models are one piece.
        remote: the store that is shared; None without one.
        turn: holds the devices of sources while they are open.
    """

    def __init__(
        self,
        cache: Path,
        extensions: Extensions,
        release: Callable[[], None] = lambda: None,
        watch: Watch = lambda _: None,
        run: put_back.Run | None = None,
        remote: Remote | None = None,
        turn: Turn = lambda _: contextlib.nullcontext(),
    ) -> None:
        self._turn = turn
        self._run = run
        self._remote = remote
        self._cache = cache
        self._extensions = extensions
        self._release = release
        self._watch = watch

    def stored(self, pair: Pair, asked: Asked) -> Examined | None:
        """Return what the store has, or None."""
        return self._entry(pair, asked).read()

    def examine(self, pair: Pair, asked: Asked, limits: Limits) -> Examined:
        """Return what was found out about a candidate, from the store or now.

        Raises:
            DiagnosisError: it cannot be examined, or not within the limits.
            ModellabError: one of the two cannot be loaded.
            OSError: the store cannot be written.
        """
        check(pair)
        by_part = self._run is not None and bool(put_back.parts(pair))
        with hashes.Memory(self._cache).used():
            pair = pair if by_part else _runnable(pair)
        end = math.inf if limits.seconds is None else time.monotonic() + limits.seconds
        entry = self._entry(pair, asked)
        if limits.reuse and (found := entry.read()) is not None:
            return found  # without the lock: a filled store may be one that is only read
        again = f"the diagnosis of {pair.candidate.name} is made again"
        with self._timed_turn(pair) as waited, _held(entry, limits.seconds):
            end += waited
            if limits.reuse and (found := entry.read(lost=again)) is not None:
                return found  # another process has made it meanwhile
            if by_part and self._run is not None:
                found = _by_part(pair, asked, self._run, end)
            else:
                found = self._examined(pair, asked, end, strict=limits.strict)
            if time.monotonic() < end:  # else something is left out
                found = entry.write(found, anew=not limits.reuse)
        return found

    @contextlib.contextmanager
    def _timed_turn(self, pair: Pair) -> Iterator[float]:
        """Hold the devices of both, and tell how long others had them, which is no time of ours."""
        begun = time.monotonic()
        with self._turn([pair.base.source, pair.candidate.source]):
            yield time.monotonic() - begun

    def _entry(self, pair: Pair, asked: Asked) -> DiagnosisEntry:
        from pytest_modellab.store.diagnoses import DiagnosisEntry

        added = [[probe.name, probe.version] for probe in self._extensions.probes.values()]
        keys = pair.base.fingerprint.key, pair.candidate.fingerprint.key
        names: list[object] = [pair.base.name, pair.candidate.name]  # the diagnosis says them
        if pair.declared is not None:
            names += [[step.name, dict(step.settings)] for step in pair.declared.steps]
        asked_of = [names, asked.identity(), added]
        return DiagnosisEntry(self._cache, *keys, asked_of, self._remote)

    def _examined(self, pair: Pair, asked: Asked, end: float, *, strict: bool) -> Examined:
        from pytest_modellab.engines import memory
        from pytest_modellab.engines.untouched import untouched
        from pytest_modellab.observatory.driver import diagnose
        from pytest_modellab.store.diagnoses import Examined

        on = "built-in texts" if asked.task_set is None else asked.task_set.name

        def step(done: int) -> None:
            total = len(("loaded", "examined", "drawn"))
            self._watch(Advance(Work.DIAGNOSIS, pair.candidate.name, on, done, total))

        self._release()
        step(0)
        if outsides.is_outside(pair.base) or outsides.is_outside(pair.candidate):
            with _told(pair):
                inside = outsides.filled(pair.base, pair.candidate, self._cache)
            if isinstance(inside, str):
                return self._outside(pair, asked, inside)
            pair = Pair(pair.base, inside, "ONNX Runtime", pair.declared, pair.candidate)
        with untouched(), contextlib.ExitStack() as held, _told(pair):
            _check_room(pair, _bytes(pair.base), _bytes(pair.candidate))
            engines = []
            for one in (pair.base, pair.candidate):
                engines.append(one.source.open(self._cache))
                held.callback(engines[-1].close)
                if len(engines) == 1:
                    _check_room(pair, engines[0].parameter_bytes())
            step(1)
            with memory.running_out():
                base, candidate = (
                    _subject(engine, one)
                    for engine, one in zip(engines, (pair.base, pair.candidate), strict=True)
                )
                if pair.declared is not None:
                    candidate = dataclasses.replace(candidate, plan=pair.declared)
                if strict:
                    held.enter_context(_until(end, base.model, candidate.model))
                prompt = self._grounded(pair.base, asked)
                texts, chats = _rendered(engines[0], prompt, asked)
                probes = _probes(base, texts, chats, asked)
                left = None if end == math.inf else max(0.0, end - time.monotonic())
                again = self._again(pair.candidate, engines[1], asked, end)

                heard: list[Runtime | str] = []

                def examined(examination: Examination) -> None:
                    step(2)
                    if pair.otherwise is not None and time.monotonic() < end:
                        heard.append(runtimes.asked(pair.otherwise, examination, self._cache))
                    if again is not None:
                        again.with_part(examination)

                diagnosis = diagnose(
                    base,
                    candidate,
                    probes,
                    tokens=asked.tokens,
                    long=asked.long,
                    budget=left,
                    added=tuple(self._extensions.probes.values()),
                    examined=examined,
                )
                diagnosis = runtimes.told(diagnosis, heard, pair.runner)
                notes = [*diagnosis.notes, *_noted(pair)]
                if again is not None:
                    if diagnosis.culprit in _TEXT:
                        again.with_text(engines[0])
                    if pair.runner:
                        again.by_transformers(pair.runner)
                    notes += again.notes
                    diagnosis = dataclasses.replace(diagnosis, answers=again.answers)
                diagnosis = dataclasses.replace(diagnosis, notes=tuple(notes))
                step(3)
        # as it is read back, so that who finds it in the store is told the same
        read = diagnosed.from_json(diagnosed.to_json(diagnosis, most=None))
        return Examined(read, texts, chats)

    def _outside(self, pair: Pair, asked: Asked, why: str) -> Examined:
        """Ask both where one shows no modules."""
        from pytest_modellab.store.diagnoses import Examined

        texts = asked.texts or tuple(one.sample.input for one in asked.flips)
        with _told(pair):
            both, sizes = (pair.base, pair.candidate), (asked.tokens, asked.long)
            found = outsides.examined(*both, texts, self._cache, why, sizes)
        return Examined(diagnosed.from_json(diagnosed.to_json(found)), texts, asked.chats)

    def _grounded(self, variant: Resolved, asked: Asked) -> Grounded | None:
        """A variant's prompt, with what its search finds."""
        from pytest_modellab.runs.executor import InProcess

        if asked.task_set is None or not asked.flips or variant.plan.search is not None:
            return None
        job = job_of(variant, asked.task_set, self._extensions, reuse=True)
        here = InProcess(self._cache, lambda source: source.open(self._cache), remote=self._remote)
        return here.grounded(job)

    def _again(self, candidate: Resolved, engine: Engine, asked: Asked, end: float) -> Again | None:
        """What asks the flipped samples again; None without samples."""
        prompt = self._grounded(candidate, asked)
        if prompt is None or asked.task_set is None:
            return None
        worse = tuple(flip for flip in asked.flips if flip.worse)
        return Again(candidate, engine, asked.task_set, worse, prompt, self._extensions, end)


def check(pair: Pair) -> None:
    """Refuse what transformers does not run.

    Raises:
        DiagnosisError: another engine runs one of the two, whose parts nobody tells, or a search
            has no encoder.
    """
    if put_back.parts(pair):
        return
    if pair.base.plan.search is not None or pair.candidate.plan.search is not None:
        searches.check(pair.base, pair.candidate)
        return
    outsides.check(pair.base)


def _by_part(pair: Pair, asked: Asked, run: put_back.Run, end: float) -> Examined:
    """Exchange whole parts, and read the diagnosis as it is read from the store."""
    from pytest_modellab.store.diagnoses import Examined

    found = put_back.examine(pair, asked, run, end)
    return Examined(diagnosed.from_json(diagnosed.to_json(found, most=None)))


def _runnable(pair: Pair) -> Pair:
    """Have transformers run the weights of a GGUF file."""
    from pytest_modellab.lab import folders

    base, candidate = (folders.weights_of(one) for one in (pair.base, pair.candidate))
    runner = "" if candidate is None else pair.candidate.plan.engine.rpartition("-")[0]
    return dataclasses.replace(
        pair,
        base=base or pair.base,
        candidate=candidate or pair.candidate,
        runner=runner,
        otherwise=None if candidate is None else pair.candidate,
    )


def seconds(pair: Pair, asked: Asked, rates: Sequence[float]) -> float:
    """Estimate how long an examination takes.

    Args:
        pair: what is examined.
        asked: what both are asked.
        rates: tokens a second of either, as far as they were measured.
    """
    known = [rate for rate in rates if rate > 0]
    if known:
        return FORWARDS * asked.tokens / min(known)
    parameters = max(_bytes(pair.base), _bytes(pair.candidate)) / 4
    return FORWARDS * asked.tokens * 2 * parameters / OPERATIONS


def _bytes(variant: Resolved) -> int:
    """Bytes of the files that hold a variant's weights."""
    files = variant.files
    paths = [files.path] if files.path.is_file() else [*files.hashed]
    weights = [path for path in paths if path.suffix in (".safetensors", ".gguf", ".zip")]
    return sum(path.stat().st_size for path in weights if path.is_file())


def _check_room(pair: Pair, *models: int) -> None:
    """Refuse what would not fit beside what is loaded already: the system kills, and says nothing.

    Raises:
        DiagnosisError: there is too little memory.
    """
    from pytest_modellab.engines import memory

    if "cpu" not in (pair.base.plan.device, pair.candidate.plan.device):
        return
    room, needed = memory.available(), sum(models) + SPARE
    if room is not None and room < needed:
        raise DiagnosisError(
            f"too little memory to examine {pair.candidate.name} beside {pair.base.name}: about "
            f"{needed / 2**30:.1f} GB are needed and {room / 2**30:.1f} GB are free; close other "
            "programs, or examine them on a machine with more"
        )


@contextlib.contextmanager
def _told(pair: Pair) -> Iterator[None]:
    """Turn what libraries raise of two models into one exception.

    Raises:
        DiagnosisError: in place of theirs, and where memory ran out.
    """
    try:
        yield
    except OutOfMemory as error:
        raise DiagnosisError(
            f"memory ran out while {pair.candidate.name} was examined beside {pair.base.name}; ask "
            "fewer tokens (--tokens 256), or examine them on a machine with more"
        ) from error
    except (ModellabError, OSError):
        raise
    except Exception as error:
        raise DiagnosisError(
            f"{pair.candidate.name} cannot be examined beside {pair.base.name}: {raised(error)}; "
            "compare models of one architecture and size, and report it where they are"
        ) from error


@contextlib.contextmanager
def _held(entry: DiagnosisEntry, seconds: float | None) -> Iterator[None]:
    """Hold an entry's lock.

    Raises:
        DiagnosisError: another process holds it for longer than there is time.
    """
    from filelock import Timeout

    try:
        lock = entry.lock().acquire(timeout=-1 if seconds is None else max(0.0, seconds))
    except Timeout as error:
        raise DiagnosisError(
            "another process is at the same diagnosis, and there is no time to wait for it"
        ) from error
    with lock:
        yield


@contextlib.contextmanager
def _until(end: float, *models: Any) -> Iterator[None]:
    """Let no model begin another pass when the time is up; the step that asks for it fails."""

    def check(*_: object) -> None:
        if time.monotonic() >= end:
            raise OutOfTime("the time was up; modellab diagnose takes as long as it needs")

    hooks = [model.register_forward_pre_hook(check) for model in models]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def _subject(engine: Engine, variant: Resolved) -> Subject:
    from pytest_modellab.observatory.driver import subject

    found = subject(getattr(engine, "encoder", engine), variant.name)
    side = dataclasses.replace(found.side, fingerprint=variant.fingerprint.key)
    own = getattr(getattr(engine, "engine", engine), "own_cache", None)
    return dataclasses.replace(found, side=side, cache=own, plan=variant.plan)


def _rendered(
    engine: Any, prompt: Grounded | None, asked: Asked
) -> tuple[tuple[str, ...], tuple[Chat, ...]]:
    """What both read of each sample, its chat and the base's reply; and the chat alone."""
    if prompt is None:
        return asked.texts or tuple(flip.sample.input for flip in asked.flips), asked.chats
    chats = [
        tuple(
            prompt.chat(flip.sample)
            if prompt.in_words and not flip.sample.media
            else prompt.messages(flip.sample.input)
        )
        for flip in asked.flips
    ]
    texts = [
        engine.render(chat) + flip.reply for chat, flip in zip(chats, asked.flips, strict=True)
    ]
    return tuple(texts), tuple(chats)


def _probes(base: Subject, texts: Sequence[str], chats: Sequence[Chat], asked: Asked) -> Probes:
    from pytest_modellab.observatory import encoding, probes

    tokens, long = asked.tokens, asked.long
    if encoding.encodes(base.model):
        return encoding.probes(base, texts, tokens, long)
    if not texts:
        return probes.built_in(base.tokenizer, tokens=tokens, long=long)
    samples = [flip.sample for flip in asked.flips]
    return probes.of_samples(
        samples, texts, base.tokenizer, messages=chats, tokens=tokens, long=long
    )


def _noted(pair: Pair) -> list[str]:
    """Say what the models cannot tell: that their prompts differ, or who ran them."""
    notes = searches.notes(pair.base, pair.candidate)
    if pair.base.plan.prompt.hash != pair.candidate.plan.prompt.hash:
        notes.append(f"the prompts differ; both models were asked {pair.base.name}'s")
    return notes
