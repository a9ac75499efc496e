"""Things that strangers send, kept in bounded memory: what is new displaces what is oldest."""

from collections.abc import Iterator
from typing import Generic, TypeVar

T = TypeVar("T")


class Pile(Generic[T]):
    """By key, oldest first, at most `most` bytes by the sizes that `add` is told."""

    def __init__(self, most: int) -> None:
        self._most, self._held = most, 0
        self._kept: dict[bytes, tuple[T, int]] = {}

    def __contains__(self, key: bytes) -> bool:
        return key in self._kept

    def __iter__(self) -> Iterator[tuple[bytes, T]]:
        """As the pile was when this began."""
        return iter([(key, thing) for key, (thing, _) in self._kept.items()])

    def add(self, key: bytes, thing: T, size: int) -> list[bytes]:
        """The keys of what had to go."""
        self.pop(key)
        self._kept[key] = (thing, size)
        self._held += size
        displaced = []
        while self._held > self._most:
            displaced.append(next(iter(self._kept)))
            self.pop(displaced[-1])
        return displaced

    def pop(self, key: bytes) -> T | None:
        thing, size = self._kept.pop(key, (None, 0))
        self._held -= size
        return thing
