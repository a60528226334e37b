"""What a server says of itself: the part of a served model that its name does not tell."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
from collections.abc import Mapping
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any, Literal, TypeGuard

from pytest_modellab.endpoints import replies
from pytest_modellab.endpoints.address import Address
from pytest_modellab.endpoints.client import Client
from pytest_modellab.errors import EndpointError, near_misses
from pytest_modellab.records.hashing import digest
from pytest_modellab.visible import line

Api = Literal["chat", "completions", "embeddings", "rerank"]
"""What is sent: messages, which the server puts into its template; token numbers; texts to embed; a
query with documents."""

Software = Literal["llama.cpp", "vllm", ""]
"""Servers whose own fields of requests are known; empty for any other."""

_ROUTES: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "chat": ("/chat/completions", {"messages": [{"role": "user", "content": "Hi"}]}),
    "completions": ("/completions", {"prompt": "Hi"}),
}
"""The shortest request of each way to be asked, of which the reply's names are read."""

_LISTED = ("owned_by", "root", "parent", "max_model_len", "meta")
"""What of an entry of ``/models`` says which model it is; the rest may change by itself."""

_DEEP = 4
"""Levels of what a server says of itself that are kept."""

_NAME = 100
"""Characters of a model's name in a message."""

_LONG = 300
"""Characters of a text, and entries of a list or an object, that are kept of it."""


@dataclasses.dataclass(frozen=True)
class Served:
    """A model behind an address.

    Attributes:
        address: where it is.
        api: what is sent.
        canary: whether a few requests prove what the server can before anything of it is scored.
        together: most texts in a request that embeds or reranks; 0 for the engine's choice.
        reference: a file with a text and the vector that it should have, or None.
        base: the name by which the server answers with what an adapter was trained on; empty where
            it has none.
        fleet: whether several machines answer, whose ``system_fingerprint`` may differ.
    """

    address: Address
    api: Api = "chat"
    canary: bool = True
    together: int = 0
    reference: Path | None = None
    base: str = ""
    fleet: bool = False

    @functools.cached_property
    def identity(self) -> Mapping[str, Any]:
        """What the server says of itself, asked once; a run is refused when it changes.

        Raises:
            EndpointError: it does not answer, or has no such model.
        """
        with contextlib.closing(Client(self.address)) as client:
            found = identify(client)
            if self.api in _ROUTES and "server" not in found:  # hosted ones say it in replies alone
                model, system = _named(client, self.api)
                told = {"model": model, "system": "" if self.fleet else system}
                if any(told.values()):
                    found["reply"] = told
            return found


def identify(client: Client) -> dict[str, Any]:
    """Ask a server which model it serves, and what it is itself.

    Args:
        client: asks it.

    Returns:
        JSON: ``url`` and ``model`` as declared; ``listed``, the model's entry of ``/models``;
        ``server``, of llama.cpp's ``/props`` or vLLM's ``/version``. The last two are left out
        where the server says nothing.

    Raises:
        EndpointError: it does not answer, or lists models of which none has the name.
    """
    address = client.address
    server = {**_props(client), **_version(client)}
    listed = listing(client)
    if listed and address.model not in listed:
        raise EndpointError(
            f"{address.host}: it serves no model {line(address.model)!r}; correct served_model: "
            f"{near_misses(address.model, [line(name, _NAME) for name in listed])}"
        )
    told = listed[address.model].told if listed else {}
    mine = {key: _bounded(told[key]) for key in _LISTED if told.get(key) is not None}
    return {
        "url": address.url,
        "model": address.model,
        **({"listed": mine} if mine else {}),
        **({"server": server} if server else {}),
    }


def _named(client: Client, api: Api) -> tuple[str, str]:
    """Ask a server for one token, and return what the reply calls model and server."""
    path, body = _ROUTES[api]
    reply = client.optional(path, {"model": client.address.model, **body, "max_tokens": 1})
    model, system = replies.names(reply or {})
    return line(model, _LONG), line(system, _LONG)


def listing(client: Client) -> dict[str, replies.ServedModel]:
    """Ask a server which models it lists, by all of their names; none where it lists none.

    Raises:
        EndpointError: it does not answer.
    """
    try:
        found = client.get("/models")
    except EndpointError as error:
        if error.status not in (404, 405, 501):
            raise
        found = {"data": []}
    listed: dict[str, replies.ServedModel] = {}
    for one in replies.models(found):
        aliases = one.told.get("aliases")
        others = aliases if isinstance(aliases, list) else []
        listed |= dict.fromkeys((one.id, *filter(_is_text, others)), one)
    return listed


def software(identity: Mapping[str, Any]) -> Software:
    """Return which software an identity is of, as far as its requests are known."""
    if "build_info" in identity.get("server", {}):
        return "llama.cpp"
    return "vllm" if identity.get("listed", {}).get("owned_by") == "vllm" else ""


def key(identity: Mapping[str, Any]) -> str:
    """Return the name under which is kept what was found of a server."""
    return digest({name: one for name, one in identity.items() if name != "reply"})[:16]


def adapters(client: Client) -> tuple[int, ...]:
    """Ask llama.cpp's server for the numbers of the adapters that it has loaded."""
    found = client.optional("/lora-adapters", beside=True) or {}
    listed = found.get("data")
    entries = listed[:_LONG] if isinstance(listed, list) else []
    numbers = [one.get("id") for one in entries if isinstance(one, dict)]
    return tuple(one for one in numbers if type(one) is int and one >= 0)


def plain(software: Software) -> Mapping[str, Any]:
    """Return the fields that turn off a server's own ways to draw, which nobody has asked for."""
    if software == "llama.cpp":
        return {"samplers": ["temperature"]}
    if software == "vllm":
        return {"top_k": -1, "min_p": 0.0, "repetition_penalty": 1.0}
    return {}


def context_length(identity: Mapping[str, Any]) -> int | None:
    """Return how many tokens a server takes at once, or None where it does not say."""
    listed = identity.get("listed", {})
    meta = listed.get("meta")
    for found in (
        identity.get("server", {}).get("n_ctx"),
        listed.get("max_model_len"),
        meta.get("n_ctx") if isinstance(meta, dict) else None,
    ):
        if type(found) is int and found > 0:
            return found
    return None


def changes(before: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """Put in words what of an identity has changed, but for what only replies tell."""
    flat, other = (
        dict(_flat({name: told for name, told in one.items() if name != "reply"}))
        for one in (before, now)
    )
    return "; ".join(
        f"{key} was {line(str(flat.get(key)), 80)}, is {line(str(other.get(key)), 80)}"
        for key in sorted(flat.keys() | other.keys())
        if flat.get(key) != other.get(key)
    )


def _flat(value: Any, place: str = "") -> list[tuple[str, Any]]:
    if not isinstance(value, Mapping):
        return [(place, value)]
    return [
        found
        for key, one in value.items()
        for found in _flat(one, f"{place}.{key}" if place else str(key))
    ]


def _props(client: Client) -> dict[str, Any]:
    """Return what llama.cpp's server says of itself, and nothing of any other."""
    found = client.optional("/props", beside=True) or {}
    if not isinstance(found.get("build_info"), str):
        return {}
    defaults = found.get("default_generation_settings")
    path, template = found.get("model_path"), found.get("chat_template")
    told = {
        "build_info": found["build_info"],
        "n_ctx": defaults.get("n_ctx") if isinstance(defaults, dict) else None,
        "file": PurePosixPath(PureWindowsPath(path).as_posix()).name if _is_text(path) else None,
        "template": digest(template)[:16] if _is_text(template) else None,
    }
    return {key: _bounded(value) for key, value in told.items() if value is not None}


def _version(client: Client) -> dict[str, Any]:
    found = client.optional("/version", beside=True) or {}
    return {"version": _bounded(found["version"])} if _is_text(found.get("version")) else {}


def _is_text(value: Any) -> TypeGuard[str]:
    return isinstance(value, str)


def _bounded(value: Any, deep: int = _DEEP) -> Any:
    """Return what a server says of itself, as much as is worth keeping."""
    if isinstance(value, str):
        return line(value, _LONG)
    if isinstance(value, dict) and deep:
        return {
            line(name, _LONG): _bounded(one, deep - 1) for name, one in [*value.items()][:_LONG]
        }
    if isinstance(value, list) and deep:
        return [_bounded(one, deep - 1) for one in value[:_LONG]]
    return value if value is None or isinstance(value, bool | int | float) else line(str(value))
