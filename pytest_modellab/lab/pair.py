"""What is examined beside what, and what both are asked."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from pytest_modellab.records.diagnosis import LONG, TOKENS
from pytest_modellab.records.tasks import TaskSet

if TYPE_CHECKING:
    from pytest_modellab.lab.flipped import Flip
    from pytest_modellab.lab.resolved import Resolved
    from pytest_modellab.store.diagnoses import Chat
    from pytest_modellab.variants.plan import Plan


@dataclasses.dataclass(frozen=True)
class Pair:
    """What is examined, and what it is compared with.

    Attributes:
        base: what is right.
        candidate: what is examined.
        runner: what runs the candidate otherwise, where transformers stands in; else empty.
        declared: how the candidate was made of the base, where that is not its own plan's to say.
        otherwise: the candidate as ``runner`` runs it.
    """

    base: Resolved
    candidate: Resolved
    runner: str = ""
    declared: Plan | None = None
    otherwise: Resolved | None = None


@dataclasses.dataclass(frozen=True)
class Asked:
    """What both are asked.

    Attributes:
        task_set: what the samples are of, or None without.
        flips: the samples; those that flipped for the worse first.
        texts: as rendered before, in place of samples.
        chats: of each text the messages that it was rendered from.
        tokens: in all probes.
        long: width of the long window.
        of: of the flips that are worse, how many there are in all, where only some are asked.
    """

    task_set: TaskSet | None = None
    flips: tuple[Flip, ...] = ()
    texts: tuple[str, ...] = ()
    chats: tuple[Chat, ...] = ()
    tokens: int = TOKENS
    long: int = LONG
    of: int = 0

    def identity(self) -> list[object]:
        """All that the answers depend on beside the models, as built-in types."""
        flips = [
            [flip.sample.id, flip.sample.content_hash, flip.reply, flip.before, flip.after]
            for flip in self.flips
        ]
        chats = [[dict(one) for one in chat] for chat in self.chats]
        more = [self.of] if self.of else []
        return [self.tokens, self.long, flips, list(self.texts), chats, *more]
