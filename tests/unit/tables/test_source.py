"""Files that are handed in for tables: what is told of one that is none."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_modellab.errors import ScoreFileError
from pytest_modellab.scorefiles.purpose import PURPOSE
from pytest_modellab.tables import sheets, source

SAVE = "; save the table as CSV or JSON lines, in UTF-8"


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"PK\3\4\x14\0\x06", f"is no text, but an Excel workbook or another zip archive{SAVE}"),
        (b"\x1f\x8b\x08", f"is no text, but gzip, whose name would end in .gz{SAVE}"),
        (b"\x89PNG\r\n\x1a\n\0", f"is no text, but an image{SAVE}"),
        (b"id,score\n\na\0,1\n", f"line 3, byte 2: 0x00, which is in no text{SAVE}"),
        (b"id\x01score\n", f"line 1, byte 3: 0x01, which is in no text{SAVE}"),
        (
            "id,score\na,1\n".encode("utf-16-le"),
            f"looks like UTF-16 without a byte order mark{SAVE}",
        ),
        (
            "id,score\na,1\n".encode("utf-16-be"),
            f"looks like UTF-16 without a byte order mark{SAVE}",
        ),
        (b"\xff\xfea", "saved as UTF-16; save it as UTF-8"),
    ],
)
def test_what_is_no_text_is_told_with_its_place(content: bytes, says: str) -> None:
    with pytest.raises(ScoreFileError) as caught:
        source.text(Path("a.csv"), content, PURPOSE)
    assert str(caught.value) == f"a.csv: {says}"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
@pytest.mark.parametrize("text", ["id,score\nä\x1b[31m,1\n", "PAR1,score\n"])
def test_text_is_read_in_each_encoding_that_says_what_it_is(encoding: str, text: str) -> None:
    assert source.text(Path("a.csv"), text.encode(encoding), PURPOSE) == text


def test_a_quote_that_is_left_open_is_told_where_it_begins() -> None:
    text = 'id,score\na,1\n"b,1\n' + "c,1\n" * 40_000
    with pytest.raises(ScoreFileError) as caught:
        sheets.sheet(Path("a.csv"), text, ",", PURPOSE)
    assert str(caught.value) == (
        "a.csv: line 3 up to line 32771 (is a quote left open?): malformed CSV: field larger than "
        "field limit (131072); quote cells that hold quotes or line ends, and leave columns of "
        "very long text out"
    )
