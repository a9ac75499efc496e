"""The documentation in pieces small enough to be cited, straight from the pages in the package."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

PAGES = (
    "questions",
    "your-data",
    "protocol",
    "cli",
    "architecture",
    "threats",
    "deploying",
    "keeping",
    "mechanism",
    "score-v1",
)
"""Pages that answer users; one that is absent is passed over."""
LONGEST = 1200
"""Characters of one passage, about as much as the embedding model reads."""

_CLAUSE = re.compile(r"^(\d+)\. ", re.MULTILINE)
_CHAPTER = re.compile(r"P\d+\b")


@dataclass(frozen=True)
class Passage:
    """A piece of a page. `source` is what a reader can look up: `protocol.md P4.5`, `cli.md heldout job post`."""

    source: str
    title: str
    text: str


@cache
def passages() -> tuple[Passage, ...]:
    """All of the documentation."""
    found: list[Passage] = []
    for page in PAGES:
        path = files("heldout").joinpath("docs", f"{page}.md")
        if path.is_file():
            found.extend(split(f"{page}.md", path.read_text(encoding="utf-8")))
    return tuple(found)


def split(page: str, markdown: str) -> Iterator[Passage]:
    """By headings; in the protocol by clauses too; what is still long, between paragraphs."""
    for title, body in _sections(markdown):
        chapter = _CHAPTER.match(title)
        pieces = _clauses(chapter[0], body) if chapter and page == "protocol.md" else [(title, body)]
        for name, text in pieces:
            for part in _parts(text.strip()):
                yield Passage(f"{page} {name}", title, part)


def _sections(markdown: str) -> Iterator[tuple[str, str]]:
    """Headings and what stands below them; a `#` in a code block is no heading."""
    title, in_code = "", False
    lines: list[str] = []
    for line in markdown.splitlines():
        in_code ^= line.startswith("```")
        if line.startswith("#") and not in_code:
            if any(map(str.strip, lines)):
                yield title, "\n".join(lines)
            title, lines = line.lstrip("#").strip(), []
        else:
            lines.append(line)
    if any(map(str.strip, lines)):
        yield title, "\n".join(lines)


def _clauses(chapter: str, body: str) -> Iterator[tuple[str, str]]:
    """`P4.5` and its text; what stands before the first clause is the chapter's own."""
    marks = list(_CLAUSE.finditer(body))
    before = body[: marks[0].start()] if marks else body
    if before.strip():
        yield chapter, before
    ends = [*(mark.start() for mark in marks[1:]), len(body)]
    for mark, end in zip(marks, ends, strict=False):
        yield f"{chapter}.{mark[1]}", body[mark.end() : end]


def _parts(text: str) -> Iterator[str]:
    """Paragraphs together up to LONGEST; a table that is longer by itself, between its lines."""
    part = ""
    for paragraph in re.split(r"\n\s*\n", text):
        for piece in [paragraph] if len(paragraph) <= LONGEST else paragraph.splitlines():
            if part and len(part) + len(piece) > LONGEST:
                yield part
                part = ""
            part = f"{part}\n{piece}" if part else piece
    if part:
        yield part
