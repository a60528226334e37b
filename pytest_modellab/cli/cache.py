"""``modellab cache``: what the store holds, whether it is whole, and what of it goes."""

from __future__ import annotations

import argparse
import re
import time
from typing import TYPE_CHECKING

from pytest_modellab.cli.common import EXIT_FOUND, EXIT_OK, Subparsers, add_config, find_config, say
from pytest_modellab.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from pytest_modellab.store.census import Kept
    from pytest_modellab.store.remote import Remote

DAY = 86400.0

_UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12}


def add(commands: Subparsers) -> None:
    """Declare the command."""
    cache = commands.add_parser(
        "cache",
        help="what the store holds; prune and verify it",
        description="Shows what this machine's store holds, and the one that is shared where one "
        "is declared. prune removes the oldest, verify reads everything and compares digests.",
    )
    cache.add_argument("what", nargs="?", choices=("show", "prune", "verify"), default="show")
    cache.add_argument("--shared", action="store_true", help="prune or verify the shared store")
    cache.add_argument("--older-than", metavar="DAYS", help="prune what is older than this")
    cache.add_argument("--to", metavar="SIZE", help="prune the oldest until this is left: 20GB")
    cache.add_argument("--dry-run", action="store_true", help="say what would go; remove nothing")
    add_config(cache)
    cache.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Run the command; returns its exit code."""
    from pytest_modellab.store import place, remote

    if options.what != "prune" and (options.older_than or options.to or options.dry_run):
        raise ConfigError("--older-than, --to and --dry-run are of modellab cache prune")
    config = find_config(options.config)
    shared = remote.of(None if config is None else config.store)
    cache = place.default_folder()
    if options.shared and shared is None:
        raise ConfigError(
            "--shared: no store is shared: give its address as url in [store] of modellab.toml, "
            "or as MODELLAB_CACHE, for example s3://bucket/modellab"
        )
    if options.what == "show":
        for text in _shown(cache, shared):
            say(text)  # this machine's is shown although the shared one cannot be reached
        return EXIT_OK
    chosen = shared if options.shared else None
    if options.what == "verify":
        return _verify(cache, chosen)
    return _prune(cache, chosen, options)


def _entries(cache: Path, shared: Remote | None) -> list[Kept]:
    from pytest_modellab.store import census

    return [*(census.entries(cache) if shared is None else shared.entries())]


def _shown(cache: Path, shared: Remote | None) -> Iterator[str]:
    yield f"{cache}:"
    yield from _table(_entries(cache, None))
    if shared is not None:
        yield f"{shared.url} (shared):"
        yield from _table(_entries(cache, shared))


def _table(found: Sequence[Kept]) -> Iterator[str]:
    from pytest_modellab.store.census import KEPT

    for kind in KEPT:
        mine = [one for one in found if one.kind == kind]
        if mine:
            day = time.strftime("%Y-%m-%d", time.localtime(min(one.made for one in mine)))
            size = _size(sum(one.size for one in mine))
            yield f"  {kind:<13}  {len(mine):>6}  {size:>9}  since {day}  {KEPT[kind]}"
    yield f"  {'all':<13}  {len(found):>6}  {_size(sum(one.size for one in found)):>9}"


def _verify(cache: Path, shared: Remote | None) -> int:
    from pytest_modellab.store import census

    found = _entries(cache, shared)
    faults = 0
    for one in found:
        wrong = census.fault(one) if shared is None else shared.fault(one)
        if wrong is not None:
            faults += 1
            say(f"{one.kind}/{one.name}: {wrong}; it is not used, and is made again when needed")
    say(f"{_entry_count(len(found))} read, {faults or 'none'} damaged")
    return EXIT_FOUND if faults else EXIT_OK


def _prune(cache: Path, shared: Remote | None, options: argparse.Namespace) -> int:
    from pytest_modellab.store import census

    seconds, size = _days(options.older_than), _bytes(options.to)
    if seconds is None and size is None:
        raise ConfigError("prune: what? --older-than DAYS, or --to SIZE, for example --to 20GB")
    found = _entries(cache, shared)
    now = time.time()
    if shared is not None and seconds is not None and found:
        now = shared.now()
    gone = census.oldest(found, now, seconds=seconds, size=size)
    freed = count = 0
    for one in gone:
        if options.dry_run:
            say(f"would remove {one.kind}/{one.name} ({_size(one.size)})")
        elif shared is not None:
            shared.remove(one)
        elif not census.remove(one):
            say(f"{one.kind}/{one.name} is in use, and stays")
            continue
        freed, count = freed + one.size, count + 1
    done = "would remove" if options.dry_run else "removed"
    say(f"{done} {_entry_count(count)}, {_size(freed)}")
    return EXIT_OK


def _entry_count(count: int) -> str:
    return f"{count} {'entry' if count == 1 else 'entries'}"


def _days(text: str | None) -> float | None:
    if text is None:
        return None
    match = re.fullmatch(r"([0-9]{1,6}(?:\.[0-9]{1,3})?) ?d?", text)
    if match is None:
        raise ConfigError(f"--older-than: {text!r} is no number of days, for example 30")
    return float(match[1]) * DAY


def _bytes(text: str | None) -> int | None:
    if text is None:
        return None
    match = re.fullmatch(r"([0-9]{1,12}(?:\.[0-9]{1,3})?) ?([kmgt]?)b?", text.casefold())
    if match is None:
        raise ConfigError(f"--to: {text!r} is no size, for example 20GB or 500MB")
    return int(float(match[1]) * _UNITS[match[2]])


def _size(count: int) -> str:
    for unit, name in ((1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if count >= unit:
            return f"{count / unit:.1f} {name}"
    return f"{count} B"
