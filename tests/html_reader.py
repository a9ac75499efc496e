"""A page as a browser reads it: its elements, its words, and whether every tag is closed in its place."""

from dataclasses import dataclass, field
from html.parser import HTMLParser

VOID = frozenset({"meta", "link", "input", "br", "img"})
_CLOSED_BY_OTHERS = ("p", "li", "option", "dt", "dd")


@dataclass
class Told:
    """`open` holds what was never closed."""

    elements: list[tuple[str, list[tuple[str, str]]]] = field(default_factory=list)
    text: str = ""
    open: list[str] = field(default_factory=list)

    @property
    def tags(self) -> list[str]:
        return [tag for tag, _ in self.elements]

    @property
    def attributes(self) -> list[tuple[str, str]]:
        return [attribute for _, attributes in self.elements for attribute in attributes]


class _Reader(HTMLParser):
    """Fails on a tag that is closed in another's place."""

    def __init__(self) -> None:
        super().__init__()
        self.told = Told()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.told.elements.append((tag, [(name, value or "") for name, value in attrs]))
        if tag not in VOID:
            self.told.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.told.open.pop()

    def handle_endtag(self, tag: str) -> None:
        open_ = self.told.open
        while open_ and open_[-1] in _CLOSED_BY_OTHERS and open_[-1] != tag:
            open_.pop()
        assert open_ and open_.pop() == tag, f"</{tag}> closes nothing"

    def handle_data(self, data: str) -> None:
        self.told.text += data


def read(html: str) -> Told:
    reader = _Reader()
    reader.feed(html)
    return reader.told
