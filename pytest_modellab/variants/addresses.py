"""The options that say where a server is, of whatever is asked over HTTP."""

from __future__ import annotations

import dataclasses
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pytest_modellab.endpoints.address import Address, base_url
from pytest_modellab.endpoints.served import Api, Served
from pytest_modellab.errors import ConfigError
from pytest_modellab.records.setting import OPTIONAL, Setting, count, positive, resolve

_DEFAULT = Address("", "")


def _is_variable(name: str) -> bool:
    return re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name) is not None


OPTIONS: Mapping[str, Setting] = {
    "url": Setting(str, OPTIONAL),
    "url_env": Setting(
        str,
        OPTIONAL,
        check=_is_variable,
        wrong="{value!r} is no name of an environment variable; a URL stands in url",
    ),
    "served_model": Setting(
        str,
        check=lambda name: bool(name.strip()),
        wrong="{value!r} is no name",
        missing="give the name that requests ask for; the server's /v1/models lists it",
    ),
    "canary": Setting(bool, True),
    "key_env": Setting(
        str,
        "",
        check=_is_variable,
        wrong="this is no name of an environment variable; the key itself never stands here",
    ),
    "timeout_s": positive(float, _DEFAULT.timeout_s),
    "connect_timeout_s": positive(float, _DEFAULT.connect_timeout_s),
    "concurrency": count(_DEFAULT.concurrency),
    "requests_per_minute": positive(float, OPTIONAL),
    "retries": Setting(
        int,
        _DEFAULT.retries,
        rule="from 0 to 20",
        check=lambda value: 0 <= value <= 20,
    ),
    "certificate": Setting(str, "", path=True),
}
"""One table for all kinds; those of which a server is one way among others take :data:`MAYBE`."""

MAYBE: Mapping[str, Setting] = {
    **{name: dataclasses.replace(one, default=OPTIONAL) for name, one in OPTIONS.items()},
    "texts_per_request": count(),
}
"""The same options where none of them need be given, with that of requests of several texts."""


def address(options: Mapping[str, Any], root: Path) -> Address:
    """Return the declared address.

    Args:
        options: checked, with a value for every key of :data:`OPTIONS` that has a default.
        root: the folder that a relative path starts from.

    Raises:
        ConfigError: a wrong value; the message begins with its name.
    """
    certificate = options["certificate"]
    file = root / Path(certificate).expanduser()
    if certificate and not file.is_file():
        raise ConfigError(f"certificate: no such file: {file}")
    return Address(
        url=_url(options),
        model=options["served_model"],
        key_env=options["key_env"],
        timeout_s=options["timeout_s"],
        connect_timeout_s=options["connect_timeout_s"],
        concurrency=options["concurrency"],
        requests_per_minute=options.get("requests_per_minute", 0.0),
        retries=options["retries"],
        certificate=str(file) if certificate else "",
    )


def served(given: Mapping[str, Any], root: Path, api: Api) -> Served:
    """Return a server that is declared as one way among others, by options of :data:`MAYBE`.

    Args:
        given: checked, without defaults.
        root: the folder that a relative path starts from.
        api: what is sent.

    Raises:
        ConfigError: a wrong or missing value; the message begins with its name.
    """
    own = {name: value for name, value in given.items() if name in OPTIONS}
    options = resolve(OPTIONS, own)
    together = given.get("texts_per_request", 0)
    return Served(address(options, root), api, options["canary"], together)


def changed(before: Served, given: Mapping[str, Any], root: Path) -> Served:
    """Return a server of which some options are declared otherwise, none of them its URL.

    Args:
        before: the server.
        given: checked options of :data:`MAYBE`, without defaults.
        root: the folder that a relative path starts from.

    Raises:
        ConfigError: a wrong value; the message begins with its name.
    """
    now = before.address
    known = {
        **{one.name: getattr(now, one.name) for one in dataclasses.fields(now)},
        "served_model": now.model,
        **given,
    }
    return dataclasses.replace(
        before,
        address=address(known, root),
        canary=given.get("canary", before.canary),
        together=given.get("texts_per_request", before.together),
    )


def _url(options: Mapping[str, Any]) -> str:
    """Return the declared base URL, or the one that the environment names."""
    if ("url" in options) == ("url_env" in options):
        raise ConfigError(
            "url: give the server's base URL, which often ends with /v1, or the environment "
            "variable that holds it, url_env; one of the two"
        )
    if "url" in options:
        return base_url(options["url"])
    name = options["url_env"]
    if not (found := os.environ.get(name, "")):
        raise ConfigError(
            f"url_env: the environment variable {name} is not set; set it to the server's base URL"
        )
    try:
        return base_url(found)
    except ConfigError as error:
        raise ConfigError(f"url_env: {name} holds no such value: {error}") from error
