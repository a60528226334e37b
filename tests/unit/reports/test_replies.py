from hypothesis import given
from hypothesis import strategies as st

from pytest_modellab.reports.replies import GONE, NEW, Piece, marked, plain, shown


def _shown(before: str, after: str, most: int = 200) -> tuple[str, str]:
    one, two = marked(before, after)
    return plain(one, most, GONE), plain(two, most, NEW)


def test_the_words_that_differ_are_marked() -> None:
    assert _shown("5 x 5 = 25.", "5 x 5 = 20.") == ("5 x 5 = [-25-].", "5 x 5 = {+20+}.")
    assert _shown("the red cat sat", "the cat sat down") == (
        "the [-red -]cat sat",
        "the cat sat{+ down+}",
    )


def test_neighbouring_words_are_marked_as_one() -> None:
    assert _shown("It is a big dog here", "It is one small cat here") == (
        "It is [-a big dog-] here",
        "It is {+one small cat+} here",
    )


def test_replies_that_share_no_word_have_no_marks() -> None:
    assert _shown("Paris", "I cannot say.") == ("Paris", "I cannot say.")
    assert _shown("d10*, d30", "d0, d1") == ("d10*, d30", "d0, d1"), "a comma is no word"
    assert _shown("", "yes") == ("(empty)", "yes")


def test_a_long_reply_is_cut_around_the_first_difference() -> None:
    words = " ".join(f"word{i}" for i in range(200))
    first, second = _shown(f"{words} yes {words}", f"{words} no {words}", most=60)
    assert "[-yes-]" in first
    assert "{+no+}" in second
    assert first.startswith("…")
    assert first.endswith("…")
    assert len(first) <= 60 + len("……[--]")


def test_control_characters_are_made_visible() -> None:
    assert _shown("a\nb \x1b[31m", "a\nb c")[0] == "a\\nb [-\\x1b[31m-]"


def test_the_work_is_bounded() -> None:
    one, two = marked("a b " * 100_000, "b a " * 100_000)
    assert max(map(len, (one, two))) < 2000
    assert len("".join(piece.text for piece in one)) < 4100


@given(st.text(max_size=200), st.text(max_size=200))
def test_pieces_joined_are_the_replies(before: str, after: str) -> None:
    one, two = marked(before, after)
    assert "".join(piece.text for piece in one) == before
    assert "".join(piece.text for piece in two) == after
    same = [[p.text for p in pieces if not p.changed] for pieces in (one, two)]
    assert "".join(same[0]).split() == "".join(same[1]).split()


@given(st.lists(st.builds(Piece, st.text(max_size=20), st.booleans())), st.integers(1, 60))
def test_what_is_shown_is_bounded_and_visible(pieces: list[Piece], most: int) -> None:
    text = plain(pieces, most)
    assert text.isprintable()
    assert text
    found = shown(pieces, most)
    assert all(piece.text.isprintable() for piece in found)
    assert [piece.text for piece in found] == ["(empty)"] or (
        len("".join(piece.text for piece in found)) <= 10 * most + len("……")
    ), "a character is ten signs at most"
