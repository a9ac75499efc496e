"""What a page in the marked language (tests/languages.py) says outside of ⟦brackets⟧: data, or a forgotten text."""

import re
from html.parser import HTMLParser

from tests.html_reader import VOID

_SHOWN = ("title", "alt", "placeholder", "label", "aria-label", "aria-description", "data-label")
_SHOWN_BY_SCRIPTS = ("data-waiting", "data-failed", "data-sources", "data-draft")
_CODE = frozenset({"code", "pre", "script", "style"})
_LETTER = re.compile(r"[^\W\d_]")


class _Reader(HTMLParser):
    """`bare` gets every run of characters with a letter in it that no text of the catalogue holds."""

    def __init__(self) -> None:
        super().__init__()
        self.bare: list[str] = []
        self._open: list[tuple[str, bool]] = []
        """Elements, and whether they or one around them are code, or a hash with its skyline."""
        self._inside = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        about = dict(attrs)
        within = bool(self._open and self._open[-1][1])
        code = within or tag in _CODE or "chip" in (about.get("class") or "").split()
        for name in (*_SHOWN, *_SHOWN_BY_SCRIPTS):
            if value := about.get(name):
                assert not self._told(value, False), f"a text is cut off: {value}"
        if tag not in VOID:
            self._open.append((tag, code))

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self._open.pop()

    def handle_endtag(self, tag: str) -> None:
        while self._open and self._open.pop()[0] != tag:
            pass
        if tag == "text":  # of a drawing, which cuts what has no room
            self._inside = False

    def handle_data(self, data: str) -> None:
        if not (self._open and self._open[-1][1]):
            self._inside = self._told(data, self._inside)

    def _told(self, words: str, inside: bool) -> bool:
        """Reads on; whether it ends within brackets."""
        for part in re.split("([⟦⟧])", words):
            if part in ("⟦", "⟧"):
                assert inside is (part == "⟧"), f"translated twice: {words}"
                inside = part == "⟦"
            elif not inside and _LETTER.search(part):
                self.bare.append(part.strip())
        return inside

    def close(self) -> None:
        super().close()
        assert not self._inside, "a text has no end"


def bare_words(html: str) -> list[str]:
    """Code, and hashes that are shown as one, are left out; hidden words and attributes that people get are not."""
    reader = _Reader()
    reader.feed(html)
    reader.close()
    return reader.bare
