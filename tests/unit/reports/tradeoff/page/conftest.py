"""A strict reader of HTML, for the tests of the page."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from html.parser import HTMLParser

import pytest


@dataclasses.dataclass
class Node:
    """An element as it was written."""

    tag: str
    attributes: dict[str, str]
    children: list[Node | str] = dataclasses.field(default_factory=list)

    def all(self, tag: str = "", style: str = "") -> list[Node]:
        """The elements inside, in the order of the page, of a tag and a class."""
        return [
            n
            for n in self._walk()
            if (not tag or n.tag == tag)
            and (not style or style in n.attributes.get("class", "").split())
        ]

    def first(self, tag: str = "", style: str = "") -> Node:
        return self.all(tag, style)[0]

    def by_id(self, ident: str) -> Node:
        (found,) = [n for n in self._walk() if n.attributes.get("id") == ident]
        return found

    @property
    def text(self) -> str:
        """What is read, blanks as one."""
        return " ".join(self._text().split())

    def rows(self) -> list[list[str]]:
        """The cells of a table's body."""
        return [
            [c.text for c in row.children if isinstance(c, Node)]
            for row in self.first("tbody").all("tr")
        ]

    def _walk(self) -> Iterator[Node]:
        for child in self.children:
            if isinstance(child, Node):
                yield child
                yield from child._walk()

    def _text(self) -> str:
        parts = [c if isinstance(c, str) else c._text() for c in self.children]
        return (
            f" {''.join(parts)} " if self.tag not in ("span", "strong", "wbr") else "".join(parts)
        )


class _Reader(HTMLParser):
    """Fails where an element is not closed in its turn."""

    def __init__(self) -> None:
        super().__init__()
        self.root = Node("", {})
        self.open = [self.root]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = [name for name, _ in attrs]
        assert len(names) == len(set(names)), (tag, names)
        node = Node(tag, {k: v or "" for k, v in attrs})
        self.open[-1].children.append(node)
        if tag not in ("meta", "img", "input", "br", "wbr"):
            self.open.append(node)

    def handle_endtag(self, tag: str) -> None:
        assert self.open[-1].tag == tag, (tag, [n.tag for n in self.open])
        self.open.pop()

    def handle_data(self, data: str) -> None:
        self.open[-1].children.append(data)


@pytest.fixture(scope="session")
def read_html() -> Callable[[str], Node]:
    """Reads HTML, strictly."""

    def read(text: str) -> Node:
        reader = _Reader()
        reader.feed(text)
        reader.close()
        assert reader.open == [reader.root]
        return reader.root

    return read
