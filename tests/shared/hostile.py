"""What other people may write where a name, an id, a reply or a message is read."""

from __future__ import annotations

from hypothesis import strategies as st

LONG = 100_000

TEXTS = (
    "x\n::error::pwned",
    "::stop-commands::t",
    "\r::error::x",
    "\x1b]0;owned\x07\x1b[2J",
    "\u202egnp.exe",
    "\ud800",
    "=HYPERLINK(1)",
    "+1",
    "@x",
    "-1",
    "##[error]x",
    "|<b>\n# head",
    "\u2028::error::x",
    "x" * LONG,
    "\x00" * LONG,
)

REPLIES = (
    "",
    '{"a": NaN}',
    '{"a": 1e400}',
    '{"a": ' + "9" * 400 + "}",
    '{"a": 1, "a": "2"}',
    '{"a": 1e999999999}',
    "[" * LONG,
    '{"a":' * 300 + "1" + "}" * 300,
    '"' + "\\ud800" * 10 + '"',
    "a" * 41 + "!",
    "1" * LONG,
    "1e" + "9" * 50,
    "-" * LONG,
    "١٢٣ 0_1 ½",
    "word " * 200_000,
    "{" * 1000 + "}" * 1000,
    "\n" * LONG,
)

HOSTILE = st.sampled_from(TEXTS) | st.text(st.characters(codec=None), min_size=1, max_size=20)

HOSTILE_REPLIES = st.sampled_from(REPLIES) | HOSTILE


def check_inert(text: str, most: int = 400_000) -> None:
    """Check that text which is shown acts on nobody, hides nothing and floods nothing."""
    for line in text.split("\n"):
        assert line.replace("\t", "").isprintable(), line[:200]
        assert not line.lstrip().startswith("::"), line[:200]
        assert "##[" not in line
    assert len(text) < most
    text.encode("utf-8")
