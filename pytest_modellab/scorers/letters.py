"""Which option a reply names: by its letter, or by its text."""

from __future__ import annotations

import re
import string
from collections.abc import Sequence

READ = 2000
"""Characters of a reply that are read; what follows them is not."""

NONE = "names no option"

_WORD = re.compile(r"[^\W_]+(?:['’][^\W_]+)*")

_ALONE = re.compile(r"[^\w\n+#]{0,8}_{0,2}([A-Za-z])_{0,2}[^\w\n+#]{0,8}")
"""A letter and nothing but marks around: ``B``, ``(b)``, ``**B.**``."""

_NAMES = frozenset({"option", "choice", "letter", "boxed"})
"""Words before a letter that is never an article or a word."""

_CUES = _NAMES | frozenset("answer choose chose pick picked select selected it's that's".split())
"""Words before a letter that is meant as one, where what follows it fits."""

_COPULAS = frozenset({"is", "was", "be"})

_PAIRS = frozenset({("it", "is"), ("that", "is"), ("go", "with"), ("going", "with")})
"""Two words before such a letter."""

_THOUGHTS = "<think>", "</think>"
"""Between them, or before the second alone, stands what a model thinks before it replies."""

_NEAR = 6
"""How many words before its ``is`` a cue may stand: ``the answer to this question is B``."""

_DENIALS = frozenset("not never no neither nor cannot don't won't can't isn't wouldn't".split())

_JOINING = frozenset("and because but for since so which nor not or as".split())
"""Words that may follow a letter that is meant; before any other, ``A`` is most likely an article.
"""

_DENIED = re.compile(
    r"\W{0,8}(?:(?:is|was)\s(?:not|incorrect|wrong|false)|(?:is|was)n['’]t|cannot)\b", re.IGNORECASE
)

_STATED = re.compile(r"\W{0,8}\bis\s(?:the\s)?(?:correct|right|best|answer)\b", re.IGNORECASE)
"""What follows a letter that begins a line and is meant: ``B is the right answer``."""

_DASH = re.compile(r"[ \t]{1,3}[-\u2013\u2014:][ \t]")
"""What may stand between a letter that begins a line and an option's text: ``B - Paris``."""

_PREFIX = re.compile(r"(?:the )?(?:correct |right |best )?(?:answer|option|choice)(?: is)? ?:? ?")
"""What may come before an option's text, in lower case and with single spaces."""

_MARKS = " .*_\"'`()[]{}:;,!?$“”\u2018\u2019"


def read(reply: str, options: Sequence[str]) -> tuple[int | None, str]:
    """Read which option a reply names.

    A letter counts where it is all of a line but for marks (``B``, ``(b)``, ``**B.**``), where a
    line begins with it and a mark or the option's text (``B. Paris``), and after a word such as
    "answer" or "option" (``The answer is B``). An option's text counts where it is all of the reply
    or of its first line. What names a second option beside it names none. What a model thinks
    before it replies, up to ``</think>``, is not read.

    Args:
        reply: any text.
        options: in the order of their letters, at most 26.

    Returns:
        The option's place, and why there is none.
    """
    begin, end = _THOUGHTS
    reply = reply.rpartition(end)[2].partition(begin)[0].strip()[:READ]
    letters = string.ascii_uppercase[: len(options)]
    alone = _ALONE.fullmatch(reply)
    if alone is not None and alone[1].upper() in letters:
        return letters.index(alone[1].upper()), ""
    found, standing = _named(reply, letters, options)
    found |= _by_text(reply, letters, options) or _by_text(_line(reply), letters, options)
    if len(found) == 1:
        found |= standing
    if len(found) == 1:
        return found.pop(), ""
    named = [letters[place] for place in sorted(found or standing)]
    if len(named) < 2:
        return None, NONE
    return None, f"names {', '.join(named[:-1])} and {named[-1]}"


def _named(reply: str, letters: str, options: Sequence[str]) -> tuple[set[int], set[int]]:
    """Return which letters are meant as an answer, and which others stand in a reply."""
    meant, standing = set[int](), set[int]()
    words = list(_WORD.finditer(reply))
    read_to = 0
    for number, word in enumerate(words):
        if len(word[0]) > 1 or word[0].upper() not in letters or word.start() < read_to:
            continue
        place = letters.index(word[0].upper())
        after = reply[word.end() :]
        rest = after.lstrip("".join(c for c in _MARKS if c != " ") + "-")
        marks = after[: len(after) - len(rest)]
        if rest[:1].isalnum() or rest[:1] in ("+", "#"):  # a part of something: B-12, i.e., C++
            continue
        own = _begins(rest.lstrip(" \t"), options[place])
        if own:
            read_to = len(reply) - len(rest.lstrip(" \t")) + own
        before = words[max(0, number - _NEAR - 1) : number]
        if _is_meant(reply, word, before, marks, rest, own=bool(own)):
            meant.add(place)
            meant |= _by_text(_line(rest), letters, options)
        elif not (
            word[0].islower()
            or _is_article(word[0], marks, rest)
            or (before and before[-1][0].casefold() == "not")
        ):
            standing.add(place)
    return meant, standing


def _is_meant(
    reply: str,
    word: re.Match[str],
    before: Sequence[re.Match[str]],
    marks: str,
    rest: str,
    *,
    own: bool,
) -> bool:
    """Whether a letter is the answer that a reply gives.

    Args:
        reply: the reply.
        word: the letter.
        before: the words before it, the nearest last.
        marks: what follows it at once.
        rest: what follows those.
        own: whether its option's text follows.
    """
    if _DENIED.match(rest):
        return False
    ends = not rest.lstrip(" \t")[:1].strip()
    begins = not _WORD.search(_last_line(reply[: word.start()]))
    upper = word[0].isupper()
    if begins and (ends or (upper and (own or any(c in ".):]*,-" for c in marks)))):
        return True
    if begins and upper and (_STATED.match(rest) or _DASH.match(rest)):
        return True
    cue = _cue(reply, word, before)
    if not cue:
        return False
    if not upper:
        return ends
    following = _WORD.match(rest.lstrip(" \t"))
    joined = following is not None and following[0].casefold() in _JOINING
    return cue in _NAMES or following is None or own or joined or bool(marks)


def _cue(reply: str, word: re.Match[str], before: Sequence[re.Match[str]]) -> str:
    """Return the word of the same sentence that says that a letter is the answer, or nothing."""
    said: list[str] = []
    end = word.start()
    for one in reversed(before):
        if any(c in ".!?" for c in reply[one.end() : end]):
            break
        said.append(one[0].casefold().replace("’", "'"))
        end = one.start()
    if not said or _DENIALS.intersection(said):
        return ""
    if said[0] in _CUES:
        return said[0]
    if tuple(said[1::-1]) in _PAIRS:
        return "answer"
    if said[0] in _COPULAS:
        return next((one for one in said[1:] if one in _CUES), "") and "answer"
    return ""


def _is_article(letter: str, marks: str, rest: str) -> bool:
    """Whether a letter is a word of its own: ``A dog``, ``I think``."""
    following = _WORD.match(rest.lstrip(" \t"))
    if letter not in "AI" or marks or following is None:
        return False
    return following[0].casefold() not in _JOINING


def _begins(text: str, option: str) -> int:
    """How many characters of a text are an option's, whole or cut off at the text's end; or 0."""
    head = text[: len(option)]
    if len(head) < min(2, len(option)) or head.casefold() != option[: len(head)].casefold():
        return 0
    return 0 if text[len(option) : len(option) + 1].isalnum() else len(head)


def _by_text(text: str, letters: str, options: Sequence[str]) -> set[int]:
    """Return the places of the options whose text is all of a text, as exactly as one is.

    A letter is none: it stands for its place.
    """
    said = _plain(text)
    prefix = _PREFIX.match(said)
    for one in (said, said[prefix.end() :] if prefix else ""):
        if not one or (len(_bare(one)) == 1 and _bare(one).upper() in letters):
            continue
        for shape in (str, _bare):
            found = {k for k, option in enumerate(options) if shape(_plain(option)) == shape(one)}
            if found:
                return found
    return set()


def _plain(text: str) -> str:
    return " ".join(text.split()).casefold()


def _bare(text: str) -> str:
    """Return a text without marks around it; where it is nothing else, as it is."""
    return text.strip(_MARKS) or text


def _line(text: str) -> str:
    return text.lstrip().partition("\n")[0]


def _last_line(text: str) -> str:
    return text[text.rfind("\n") + 1 :]
