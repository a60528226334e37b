"""``sharing_writer.py URL FOLDER COUNT`` runs jobs that wait, into a store that is shared."""

from __future__ import annotations

import sys
from pathlib import Path

from waiting import Waiting, job

from pytest_modellab.engines.interface import Engine, Source
from pytest_modellab.runs.executor import InProcess
from pytest_modellab.runs.job import Job
from pytest_modellab.store.remote import Remote

SAMPLES = 20


def jobs(count: int) -> list[Job]:
    return [job(f"v{number}", SAMPLES, Waiting(seconds=0.001)) for number in range(count)]


def opened(source: Source) -> Engine:
    return source.open(Path())


def main() -> None:
    url, folder, count = sys.argv[1:]
    here = InProcess(Path(folder), opened, remote=Remote(url))
    for one in jobs(int(count)):
        print(one.spec.name, here.obtain(one).stored, flush=True)


if __name__ == "__main__":
    main()
