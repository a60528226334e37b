"""Servers as engines ask them: the library that asks is there, or the message says how it comes."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from pytest_modellab.endpoints.asking import Asking
from pytest_modellab.endpoints.replies import Misread
from pytest_modellab.endpoints.served import Served
from pytest_modellab.engines.packages import needed
from pytest_modellab.errors import EndpointError

PACKAGES = ("httpx2",)
"""Distributions that asking a server needs."""


class Behind:
    """What an encoder and a reranker share whose model is behind a server.

    Args:
        asking: the server.
    """

    def __init__(self, asking: Asking) -> None:
        self.asking = asking

    def parameter_bytes(self) -> int:
        """Bytes of the model's parameters, as far as the server tells them."""
        return self.asking.parameter_bytes()

    @contextlib.contextmanager
    def reading(self, path: str) -> Iterator[None]:
        """Say of what server and route a reply is that is something else than was asked for."""
        try:
            yield
        except Misread as error:
            raise EndpointError(f"{self.asking.client.address.host}{path}: {error}") from error

    def close(self) -> None:
        """End the connections."""
        self.asking.client.close()


def behind(part: object) -> bool:
    """Return whether an encoder or a reranker only asks a server."""
    return isinstance(part, Behind)


def opened(found: Served) -> Asking:
    """Begin to ask a server.

    Raises:
        EndpointError: it does not answer, or says of itself something else by now.
        VariantLoadError: a library is missing.
    """
    with needed("asking a server", extra="served"):
        import httpx2  # noqa: F401 -- asked for now, before any work is done
    return Asking(found)
