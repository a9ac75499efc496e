"""One answer to one question, with where each part of it comes from."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from heldout.market.assistant.drafting import Draft, draft, too_little
from heldout.market.assistant.explaining import explain_error
from heldout.market.assistant.ranking import Ranker
from heldout.market.assistant.wishes import wants_draft
from heldout.market.money import Wei
from heldout.market.texts import text

MOST_SOURCES = 3
LONGEST_QUESTION = 2_000
_ID = re.compile(r"\b0x[0-9a-fA-F]{6,64}\b")


@dataclass(frozen=True)
class Told:
    """What rows say, line by line, and the transaction or page that says it."""

    lines: tuple[str, ...]
    source: str


class Facts(Protocol):
    """The market's own rows, from the index or from the chain alone."""

    def look_up(self, identity: str) -> Told | None:
        """A job or a transaction by its id or the beginning of it."""

    def minimum_fee(self) -> Wei:
        """The market's least fee per seat."""


@dataclass(frozen=True)
class Answer:
    text: str
    sources: tuple[str, ...] = ()
    draft: Draft | None = None
    mode: str = ""
    """Who answered: `offline: BM25; …`, or the model behind an endpoint."""


class Assistant:
    """Answers out of documentation and rows. It holds no key and sends nothing."""

    def __init__(self, ranker: Ranker, facts: Facts) -> None:
        self.ranker = ranker
        self.facts = facts

    @property
    def mode(self) -> str:
        return text("answer.offline", ranker=self.ranker.name)

    def answer(self, question: str) -> Answer:
        """Never raises for whatever a person, or a stranger, may write; ChainProblem if rows cannot be read."""
        question = question.strip()[:LONGEST_QUESTION]
        if not question:
            return Answer(text("answer.empty"), mode=self.mode)
        error = explain_error(question)
        if error is not None:
            return Answer(error[0], (error[1],), mode=self.mode)
        if match := _ID.search(question):
            return self.explain(match[0])
        if wants_draft(question):
            return self.draft(question)
        return self.search(question)

    def explain(self, identity: str) -> Answer:
        """A job or a transaction."""
        told = self.facts.look_up(identity)
        if told is None:
            return Answer(text("job.unknown", id=identity), mode=self.mode)
        return Answer("\n".join(told.lines), (told.source,), mode=self.mode)

    def draft(self, sentence: str) -> Answer:
        """A job.toml from a sentence."""
        made = draft(sentence, self.facts.minimum_fee())
        if made is None:
            return Answer(too_little(sentence), ("protocol.md P5.6",), mode=self.mode)
        lines = [text("draft.lead"), made.price_line, *(f"- {assumed}" for assumed in made.assumed()), "", made.toml]
        return Answer("\n".join(lines), ("questions.md What does a job cost?", "protocol.md P2.2"), made, self.mode)

    def search(self, question: str) -> Answer:
        """The nearest passage in full, and where to read on."""
        hits = self.ranker.best(question, MOST_SOURCES)
        if not hits:
            return Answer(text("answer.nothing"), mode=self.mode)
        return Answer(plain(hits[0].passage.text), _distinct([hit.passage.source for hit in hits]), mode=self.mode)


def plain(markdown: str) -> str:
    """Markdown as a terminal or a text node shows it best: without links' addresses and emphasis."""
    unlinked = re.sub(r"\[([^\]]+)\]\([^)]*\)", r"\1", markdown)
    return re.sub(r"\*\*|```\w*\n?", "", unlinked).strip()


def _distinct(sources: Sequence[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(sources))
