"""Which passages are nearest to a question: BM25 over stemmed words (Robertson & Zaragoza 2009), nothing to install."""

import math
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from heldout.market.assistant.passages import Passage

K1, B = 1.4, 0.7
TITLE_WEIGHT = 2
_WORD = re.compile(r"[a-z][a-z0-9]+|\bp\d+(?:\.\d+)?\b|\d+")
_ENDINGS = ("ations", "ation", "ings", "ing", "ers", "er", "ies", "ied", "ed", "es", "s", "e")
_STOP = frozenset(
    re.findall(
        r"\w+",
        "a an and are as at be by can do does for from get has have how i if in is it its me my not of on or our so"
        " that the their them then there this to was we what when where which who why will with you your",
    )
)


@dataclass(frozen=True)
class Hit:
    passage: Passage
    score: float
    """Comparable within one ranker only."""


class Ranker(Protocol):
    """Finds passages. `name` is shown beside the answer."""

    @property
    def name(self) -> str: ...

    def best(self, question: str, count: int) -> list[Hit]:
        """At most `count`, the nearest first; nothing that has nothing to do with the question."""


class Bm25:
    """The ranker that is always there."""

    name = "BM25"

    def __init__(self, passages: Sequence[Passage]) -> None:
        self._passages = passages
        self._counts = [Counter(words(f"{p.title} {p.source} " * TITLE_WEIGHT + p.text)) for p in passages]
        self._lengths = [sum(count.values()) for count in self._counts]
        self._mean = sum(self._lengths) / max(1, len(self._lengths))
        self._documents = Counter(word for count in self._counts for word in count)

    def best(self, question: str, count: int) -> list[Hit]:
        asked = set(words(question))
        hits = [Hit(p, self._score(asked, i)) for i, p in enumerate(self._passages)]
        hits.sort(key=lambda hit: -hit.score)
        return [hit for hit in hits[:count] if hit.score > 0]

    def _score(self, asked: set[str], index: int) -> float:
        counts, length = self._counts[index], self._lengths[index] / self._mean
        return sum(
            self._rarity(word) * counts[word] * (K1 + 1) / (counts[word] + K1 * (1 - B + B * length))
            for word in asked & counts.keys()
        )

    def _rarity(self, word: str) -> float:
        having = self._documents[word]
        return math.log(1 + (len(self._passages) - having + 0.5) / (having + 0.5))


def words(text: str) -> list[str]:
    """Stems of what carries meaning; `submitAnswer` and `submit_answer` are two words."""
    apart = re.sub(r"([a-z])([A-Z])", r"\1 \2", text).replace("_", " ").lower()
    return [_stem(word) for word in _WORD.findall(apart) if word not in _STOP]


def _stem(word: str) -> str:
    for ending in _ENDINGS:
        if word.endswith(ending) and len(word) - len(ending) >= 4:
            return word[: -len(ending)]
    return word


class Fused:
    """Two rankers' lists as one: who is near the top of both is first (reciprocal rank fusion, Cormack et al. 2009)."""

    K = 10

    def __init__(self, *rankers: Ranker) -> None:
        self._rankers = rankers
        self.name = " and ".join(ranker.name for ranker in rankers)

    def best(self, question: str, count: int) -> list[Hit]:
        scores: dict[Passage, float] = {}
        for ranker in self._rankers:
            for rank, hit in enumerate(ranker.best(question, 4 * count)):
                scores[hit.passage] = scores.get(hit.passage, 0.0) + 1 / (self.K + rank)
        hits = [Hit(passage, score) for passage, score in scores.items()]
        return sorted(hits, key=lambda hit: -hit.score)[:count]
