"""An output stream that never fails: what it prints is no verdict, and must not change one."""

from __future__ import annotations

import codecs
import contextlib
import io
import os
import sys
from collections.abc import Iterable, Iterator
from typing import Any, TextIO

_FORMS = str.maketrans(
    {
        "±": "+-",
        "–": "-",
        "—": "-",
        "\N{MINUS SIGN}": "-",
        "×": "x",
        "·": ".",
        "…": "...",
        "→": "->",
        "≈": "~",
        "≤": "<=",
        "▲": "^",
        "▼": "v",
        "≥": ">=",
        "\N{BRAILLE PATTERN BLANK}": " ",
        **dict.fromkeys(map(chr, range(0x2801, 0x2900)), "*"),  # the dots of a chart
    }
)
"""What our own texts and charts have beyond ASCII, in ASCII."""


_ERRORS = "modellab-forms"


def _replace(error: UnicodeError) -> tuple[str | bytes, int]:
    r"""Write letters that an encoding lacks in ASCII: ours in their forms, others as ``\u0142``."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    lacking = error.object[error.start : error.end].translate(_FORMS)
    return lacking.encode("ascii", "backslashreplace").decode("ascii"), error.end


codecs.register_error(_ERRORS, _replace)


class Output(io.TextIOBase):
    """Writes to a stream until that fails, and then nowhere.

    Letters that the stream's encoding lacks are replaced. A reader that has gone, a full disk and
    a stream that was closed from the start do not stop the command: it goes on, writes its files
    and reaches its verdict.

    Args:
        stream: the standard output or the standard error output; None where it is closed.
    """

    def __init__(self, stream: TextIO | None) -> None:
        self.failed: OSError | None = None
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return getattr(self._stream, "encoding", None) or "utf-8"

    @property
    def lost(self) -> str | None:
        """Why something could not be printed; None where all was, or nobody reads it any more."""
        if self.failed is None or isinstance(self.failed, BrokenPipeError):
            return None
        return self.failed.strerror or str(self.failed)

    def isatty(self) -> bool:
        return self._stream is not None and self._stream.isatty()

    def fileno(self) -> int:
        if self._stream is None:
            raise io.UnsupportedOperation("the stream is closed")
        return self._stream.fileno()

    def writable(self) -> bool:
        return True

    def write(self, text: str, /) -> int:
        if self._stream is not None and self.failed is None:
            shown = text.encode(self.encoding, _ERRORS).decode(self.encoding)
            try:
                self._stream.write(shown)
            except OSError as error:
                self._fail(error)
        return len(text)

    def flush(self) -> None:
        if self._stream is not None and self.failed is None:
            try:
                self._stream.flush()
            except OSError as error:
                self._fail(error)

    def _fail(self, error: OSError) -> None:
        """Keep the error, and empty what waits into nothing: else Python's own end would fail."""
        self.failed = error
        assert self._stream is not None
        with contextlib.suppress(OSError):
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self._stream.fileno())
            os.close(nowhere)
            self._stream.flush()


@contextlib.contextmanager
def guarded() -> Iterator[Output]:
    """Guard both standard streams for a while; yields the standard output."""
    _occupy(range(3))
    before = sys.stdout, sys.stderr
    out, err = guards = Output(sys.stdout), Output(sys.stderr)
    sys.stdout, sys.stderr = guards
    try:
        yield out
    finally:
        out.flush()
        if out.lost is not None:
            err.write(f"modellab: the standard output cannot be written: {out.lost}\n")
        err.flush()
        # whoever has put another stream there meanwhile, such as pytest's capture, takes it away
        sys.stdout = before[0] if sys.stdout is out else sys.stdout
        sys.stderr = before[1] if sys.stderr is err else sys.stderr


def _occupy(numbers: Iterable[int]) -> None:
    """Open what is closed of the first descriptors, so that no file of ours takes their place."""
    for number in numbers:
        try:
            os.fstat(number)
        except OSError:
            nowhere = os.open(os.devnull, os.O_RDWR)
            if nowhere != number:
                os.dup2(nowhere, number)
                os.close(nowhere)
