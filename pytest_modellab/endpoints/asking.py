"""Asks one server for a whole run, and sees that it stays what it was.

A reply is handed over once the server has been asked again what it is, so that none of a model that
was put in the place of the first is kept.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Mapping, Sequence, Set
from typing import Any, TypeVar

from pytest_modellab.endpoints import replies, served
from pytest_modellab.endpoints.client import Client
from pytest_modellab.endpoints.served import Served
from pytest_modellab.errors import EndpointError
from pytest_modellab.records.runs import Output
from pytest_modellab.visible import line

CHECKED = 2.0
"""Seconds after which a server is asked again what it is, before more replies are handed over."""

Item = TypeVar("Item")
Answer = TypeVar("Answer")


class Asking:
    """Asks one server, and sees that it stays what it was.

    Args:
        found: where it is, and what it says of itself.

    Raises:
        EndpointError: it does not answer, or says of itself something else by now.
    """

    def __init__(self, found: Served) -> None:
        self.identity = found.identity
        self.software = served.software(found.identity)
        self.client = Client(found.address)
        self._checked = 0.0
        self._fleet = found.fleet
        told = found.identity.get("reply")
        self._names = (told["model"], told["system"]) if told else None
        try:
            self.check()
        except BaseException:
            self.client.close()
            raise

    def answer(
        self,
        count: int,
        skip: Set[int],
        ask: Callable[[int], Output],
        done: Callable[[Mapping[int, Output]], None],
    ) -> None:
        """Ask for all that is not skipped, and hand over each output with its share of the time.

        Args:
            count: of requests.
            skip: indices that need no answer.
            ask: answers one, in a thread.
            done: called with what has arrived, when the server is known to be the same still.

        Raises:
            EndpointError: the server fails, or has changed; of what came before, all but that of
                the last seconds was handed over.
        """
        due = [index for index in range(count) if index not in skip]
        arrived: dict[int, Output] = {}
        last = time.perf_counter()
        for place, output in self.client.each(due, ask):
            now = time.perf_counter()
            arrived[due[place]] = dataclasses.replace(output, seconds=now - last)
            last = now
            if self._doubtful():
                self.check()
                done(dict(arrived))
                arrived.clear()
        if arrived:
            self._see(len(due))
            done(arrived)

    def each(self, items: Sequence[Item], ask: Callable[[Item], Answer]) -> list[Answer]:
        """Return the answer of each item, in their order, of a server that is the same still.

        Args:
            items: what is asked.
            ask: asks one, in a thread.

        Raises:
            EndpointError: the server fails, or has changed.
        """
        found = dict(self.client.each(items, ask))
        self._see(len(items))
        return [found[place] for place in range(len(items))]

    def _see(self, asked: int) -> None:
        """See that the server is the same; that is no part of a few requests, as to time them."""
        if asked > self.client.address.concurrency or self._doubtful():
            self.check()

    def _doubtful(self) -> bool:
        return time.monotonic() - self._checked > CHECKED

    def check(self) -> None:
        """Ask the server what it is.

        Raises:
            EndpointError: it is another one than when the run began.
        """
        self._refuse(served.changes(self.identity, served.identify(self.client)))
        self._checked = time.monotonic()

    def post(self, path: str, body: Mapping[str, Any], *, beside: bool = False) -> dict[str, Any]:
        """Return a reply that names the same model and the same server as those before it.

        Raises:
            EndpointError: there is none, or it names others.
        """
        asked = {"model": self.client.address.model, **body}
        reply = self.client.post(path, asked, beside=beside)
        model, system = replies.names(reply)
        names = model, "" if self._fleet else system
        if self._names is None:
            self._names = names
        self._refuse(
            "; ".join(
                f"the {what} called itself {line(was, 80)!r}, and now {line(now, 80)!r}"
                for what, was, now in zip(("model", "server"), self._names, names, strict=True)
                if was != now
            )
        )
        return reply

    def _refuse(self, changes: str) -> None:
        if changes:
            raise EndpointError(
                f"{self.client.address.host}: the server has changed since the run began: "
                f"{changes}; answers of two models are not one run: keep it as it is, and run again"
            )

    def parameter_bytes(self) -> int:
        """Bytes of the model's parameters as the server tells them; 0 where it does not."""
        meta = self.identity.get("listed", {}).get("meta")
        size = meta.get("size") if isinstance(meta, dict) else None
        return size if type(size) is int and size > 0 else 0
