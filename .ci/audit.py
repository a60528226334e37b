"""Ask the advisory database about every pinned version: ``tox run -e audit``.

Exit codes: 0 nothing is known that is not accepted, 1 something is or ``accepted.toml`` is out of
date, 3 the database could not be asked, which says nothing about the versions.
"""

from __future__ import annotations

import datetime as dt
import json
import subprocess
import sys
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
DAYS = 90
"""How long an advisory stays accepted; then somebody looks at it again."""


def problems(
    report: Mapping[str, Any], accepted: Sequence[Mapping[str, Any]], today: dt.date
) -> list[str]:
    """Return what is wrong, a line each.

    Args:
        report: of pip-audit, in JSON.
        accepted: tables with ``id``, ``package``, ``since`` (a date) and ``reason``.
        today: the date.
    """
    found = {
        (dependency["name"], advisory["id"]): advisory
        for dependency in report["dependencies"]
        for advisory in dependency.get("vulns", [])
    }
    known = {(entry["package"], entry["id"]): entry for entry in accepted}
    lines = [
        f"{package}: {name}: fixed in {', '.join(advisory['fix_versions']) or 'no version yet'}; "
        "move on in constraints.txt, or accept it in .ci/accepted.toml with a date and a reason"
        for (package, name), advisory in found.items()
        if (package, name) not in known
    ]
    for (package, name), entry in known.items():
        if (package, name) not in found:
            lines.append(f"{package}: {name}: accepted, but no longer reported; remove the entry")
        elif (today - entry["since"]).days > DAYS or not entry["reason"].strip():
            lines.append(
                f"{package}: {name}: accepted since {entry['since']}; look at it again, and give "
                f"it a new date and a reason: an entry holds for {DAYS} days"
            )
    return lines


def unasked(report: Mapping[str, Any]) -> list[str]:
    """Return the packages about which pip-audit could not ask, although it ended well."""
    return [found["name"] for found in report["dependencies"] if "skip_reason" in found]


def main() -> int:
    """Run pip-audit on constraints.txt and judge what it says."""
    command = "--requirement constraints.txt --no-deps --disable-pip --format json"
    done = subprocess.run(
        [sys.executable, "-m", "pip_audit", *command.split(), "--progress-spinner", "off"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    try:
        report = json.loads(done.stdout)
    except ValueError:
        print(f"not audited: {(done.stderr.strip().splitlines() or ['no answer'])[-1]}")
        return 3
    if missing := unasked(report):
        print(f"not audited: the database knows nothing of {len(missing)} pinned versions, for")
        print(f"example {', '.join(missing[:5])}: is the index that is asked pypi.org itself?")
        return 3
    accepted = tomllib.loads((ROOT / ".ci/accepted.toml").read_text(encoding="utf-8"))["accepted"]
    today = dt.datetime.now(tz=dt.UTC).date()
    lines = problems(report, accepted, today)
    print("\n".join(lines) or f"{len(report['dependencies'])} pinned versions, nothing to mend")
    return 1 if lines else 0


if __name__ == "__main__":
    sys.exit(main())
