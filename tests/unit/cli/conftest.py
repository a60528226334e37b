"""How the tests of commands call them."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from pytest_modellab import cli

Call = Callable[..., tuple[int, str, str]]


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str]) -> Call:
    """Call ``modellab``: exit code, output, errors."""

    def call(*arguments: object) -> tuple[int, str, str]:
        try:
            code = cli.main([*map(str, arguments)])
        except SystemExit as end:  # argparse's
            code = int(str(end.code))
        out, err = capsys.readouterr()
        return code, out, err

    return call
