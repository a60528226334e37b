"""What a run computes together: as many tokens as asked for, as the engine says, and as fitted.

And what cannot be computed at all, since it is more than a model can see.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pytest_modellab.engines.budget import budget_of
from pytest_modellab.engines.device import full_name
from pytest_modellab.engines.interface import (
    GenerationRequest,
    ScoringRequest,
    media,
    needs,
    overlong,
)
from pytest_modellab.errors import OutOfMemory, ScoringError
from pytest_modellab.records.tasks import Sample
from pytest_modellab.runs.job import Job
from pytest_modellab.store import budgets, said


def token_budget(job: Job, engine: Any, cache: Path) -> int:
    """Return the most tokens in a batch of a job.

    Args:
        job: what is to be run; its own budget counts before the engine's.
        engine: the job's variant, loaded.
        cache: the store's root. What an accelerator's engine says is kept there: how much memory is
            free changes, and another budget gives other last digits.
    """
    device = accelerator(job)
    if job.budget is not None:
        asked = job.budget
    elif device:
        asked = budgets.first_said(cache, job.fingerprint, device, lambda: budget_of(engine))
    else:
        asked = budget_of(engine)
    return budgets.recall_budget(cache, job.fingerprint, asked, device)


def halved(
    job: Job, budget: int, error: OutOfMemory, cache: Path | None = None, longest: str = ""
) -> int:
    """Return the budget to go on with where memory ran out.

    Args:
        job: what is run.
        budget: what did not fit.
        error: as the engine said it.
        cache: the store's root, where it is remembered; None to remember nothing.
        longest: the id of the sample with the longest prompt, for the message.

    Raises:
        OutOfMemory: there is no smaller one. What was remembered is forgotten: another day has more
            memory.
    """
    device = accelerator(job)
    if budget == 1:
        if cache is not None:
            budgets.forget_budget(cache, job.fingerprint, device)
        which = f", of which {longest} is the longest" if longest else ""
        raise OutOfMemory(
            f"variant {job.spec.name!r}: memory runs out even with one sample a batch{which}: "
            f"{error}; end what else takes memory, shorten the sample or its max_tokens, or take a "
            "smaller dtype or a quantized variant"
        ) from error
    if cache is not None:
        budgets.remember_budget(cache, job.fingerprint, budget // 2, device)
        said.say(
            f"{job.spec.name} on {job.task_set.name}: memory does not hold batches of {budget} "
            f"tokens; they are made anew, of {budget // 2}"
        )
    return budget // 2


def check_seen(
    engine: Any,
    samples: Sequence[Sample],
    requests: Sequence[ScoringRequest | GenerationRequest],
) -> None:
    """Refuse samples that are more than the model can see at once, before any is answered.

    Args:
        engine: who is asked.
        samples: of which the requests are made, one each.
        requests: all that are going to be asked.

    Raises:
        ScoringError: the message names the first three of them.
    """
    found = overlong(engine, requests)
    if not found:
        return
    first, *others = sorted(found)
    named = ", ".join(samples[i].id for i in others[:2])
    rest = f" and {len(others) - 2} more" if len(others) > 2 else ""
    more = f" (and {named}{rest})" if others else ""
    raise ScoringError(
        f"sample {samples[first].id}{more}: {found[first]}; shorten it, show fewer examples or "
        "passages, or set a smaller max_tokens; a model that sees more says so in its config.json"
    )


_HELD = {"image": "an image", "audio": "a recording"}

_TAKEN = {"image": "images", "audio": "recordings"}

_TAKERS = {
    "image": "multimodal (a language model that looks) or reader (of documents)",
    "audio": "transcriber",
}
"""The kinds whose variants take a medium."""


def check_media(engine: Any, samples: Sequence[Sample]) -> None:
    """Refuse samples that hold what the engine does not take, or lack what it asks for.

    Args:
        engine: who is asked.
        samples: all that are going to be asked.

    Raises:
        ScoringError: the message names the first of them.
    """
    taken, needed = media(engine), needs(engine)
    for sample in samples:
        held = [one.kind for one in sample.media]
        for kind in held:
            if kind not in taken:
                named = " and ".join(_TAKEN[one] for one in sorted(taken))
                able = f"takes {named} alone" if taken else "reads text alone"
                raise ScoringError(
                    f"sample {sample.id}: it holds {_HELD[kind]}, and this variant {able}; ask a "
                    f"variant of a kind that takes it: {_TAKERS[kind]}"
                )
        if needed is not None and needed not in held:
            raise ScoringError(
                f"sample {sample.id}: it holds no {_HELD[needed].split()[-1]}, and this variant "
                f'answers nothing else: give it "{needed}", or ask a variant that reads text'
            )


def accelerator(job: Job) -> str:
    """Return the name of the accelerator that a job runs on; empty on the CPU."""
    device = str(job.fingerprint.settings.get("device") or "cpu")
    return "" if device == "cpu" else full_name(device)
