"""What pytest prints is no verdict: a console, a pipe or a disk that takes no more changes none."""

from __future__ import annotations

import contextlib

import pytest

from pytest_modellab.reports.text.output import Output, guarded


class Printing:
    """Plugin of the process that prints; it stands between pytest and the standard streams.

    pytest alone ends with 1, which is a block's, where its output cannot be written, and before
    the reports are.
    """

    def __init__(self) -> None:
        self._open = contextlib.ExitStack()
        self._out: Output = self._open.enter_context(guarded())
        self._session: pytest.Session | None = None

    def pytest_sessionstart(self, session: pytest.Session) -> None:
        """Keep what holds the exit code."""
        self._session = session

    @pytest.hookimpl(trylast=True)
    def pytest_unconfigure(self) -> None:
        """Print what waits; where that is lost, a session that passed has not been seen to."""
        self._open.close()
        session = self._session
        if session is not None and self._out.lost and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.INTERNAL_ERROR
