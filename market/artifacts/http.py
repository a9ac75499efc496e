"""A store on another machine, as its client sees it: bounded in time, no redirects, and believed in nothing."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final
from urllib.parse import urlsplit

import httpx2

from heldout.market.artifacts.blob import (
    ArtifactId,
    ArtifactStore,
    Source,
    chunks,
    identify,
    missing,
    parse_id,
    too_large,
)
from heldout.market.artifacts.permit import (
    ACCOUNT_HEADER,
    HEADER,
    LIFETIME,
    write_account_permit,
    write_permit,
)
from heldout.market.errors import BadInput, HeldoutError, Refused, StoreProblem
from heldout.market.jsontext import read_json
from heldout.market.signatures import Signer

SILENCE: Final = httpx2.Timeout(10.0, connect=3.0, write=30.0)
"""Seconds without a byte after which a store counts as down."""
CONNECTIONS: Final = httpx2.Limits(keepalive_expiry=2.0)
"""Idle connections are closed here before a server closes them, so that no request meets a dead one."""
PATIENCE: Final = 30.0
SLOWEST: Final = 64 << 10
"""A transfer may take PATIENCE seconds and one more for every SLOWEST bytes."""

_MOST_TOLD: Final = 1 << 20


class HttpStore(ArtifactStore):
    """`account` signs uploads; without one the store can only be read. Raises BadInput for anything but http(s)."""

    def __init__(self, url: str, account: Signer | None = None, *, clock: Callable[[], float] = time.time) -> None:
        try:
            parts = urlsplit(url)
        except ValueError:  # half an IPv6 address
            parts = urlsplit("")
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.username or parts.query:
            raise BadInput(f"{url!r} is not the address of a store", hint="write it as http(s)://host[:port]")
        self.name = url.rstrip("/")
        self._account, self._clock = account, clock
        # Without redirects a plain address stays plain, and needs no authorities' certificates: 4 MB of memory.
        self._client = httpx2.Client(
            timeout=SILENCE, limits=CONNECTIONS, follow_redirects=False, trust_env=False, verify=parts.scheme != "http"
        )

    def put(self, source: Source) -> ArtifactId:
        """Raises Refused without an account, or if the store does not take this upload."""
        artifact, size = identify(source)
        if self.size(artifact) == size:
            if self._account is not None:
                self.pin(artifact)
            return artifact
        headers = {
            HEADER: write_permit(self._signer(), self.name, artifact, size, self._expiry()),
            "Content-Length": str(size),
            "Content-Type": "application/octet-stream",
        }
        with self._asked(artifact):
            answer = self._client.put(self._url(artifact), content=self._timely(chunks(source), size), headers=headers)
            self._expect(answer, artifact, 200, 201)
        return artifact

    def pin(self, artifact: ArtifactId) -> dict[str, Any]:
        """Have what is there kept on one's own account, or for longer: what the store then says of it."""
        size = self.size(artifact)
        if size is None:
            raise missing(artifact, self.name)
        permit = write_permit(self._signer(), self.name, artifact, size, self._expiry())
        return self._told("PUT", f"pins/{artifact}", {HEADER: permit}, artifact)

    def pins(self) -> Iterator[dict[str, Any]]:
        """What is kept on one's own account."""
        after: str | None = ""
        while after is not None:
            page = self._told("GET", f"pins?after={after}", self._as_owner("list"), "pins")
            yield from page["pins"]
            after = page["next"]

    def drop_pin(self, artifact: ArtifactId) -> bool:
        name = parse_id(artifact)
        return bool(self._told("DELETE", f"pins/{name}", self._as_owner(f"drop {name}"), artifact)["dropped"])

    def drop_pins(self) -> int:
        """Need nothing any longer: how much that was."""
        return int(self._told("DELETE", "pins", self._as_owner("drop all"), "pins")["dropped"])

    def size(self, artifact: ArtifactId) -> int | None:
        with self._asked(artifact):
            answer = self._client.head(self._url(artifact))
            if answer.status_code == 404:
                return None
            self._expect(answer, artifact, 200, reading=True)
            return _length(answer)

    def open(self, artifact: ArtifactId, start: int = 0, end: int | None = None) -> Iterator[bytes]:
        if end is not None and end <= start:
            return
        headers = {"Accept-Encoding": "identity"}
        if start or end is not None:
            headers["Range"] = f"bytes={start}-{'' if end is None else end - 1}"
        with self._asked(artifact), self._client.stream("GET", self._url(artifact), headers=headers) as answer:
            self._expect(answer, artifact, 206 if "Range" in headers else 200, reading=True)
            expected = _length(answer)
            received = 0
            for piece in self._timely(answer.iter_raw(), expected):
                received += len(piece)
                if received > expected:
                    raise too_large(f"the answer of {self.name}", expected)
                yield piece

    def close(self) -> None:
        self._client.close()

    def _url(self, artifact: ArtifactId) -> str:
        return f"{self.name}/v1/blobs/{parse_id(artifact)}"

    def _signer(self) -> Signer:
        if self._account is None:
            raise Refused(f"no account to sign an upload to {self.name}", code="upload_refused")
        return self._account

    def _expiry(self) -> int:
        return int(self._clock()) + LIFETIME // 2

    def _as_owner(self, action: str) -> dict[str, str]:
        return {ACCOUNT_HEADER: write_account_permit(self._signer(), self.name, action, self._expiry())}

    def _told(self, method: str, path: str, headers: dict[str, str], what: str) -> dict[str, Any]:
        """A small answer in JSON."""
        with self._asked(what), self._client.stream(method, f"{self.name}/v1/{path}", headers=headers) as answer:
            self._expect(answer, what, 200, 201)
            if _length(answer) > _MOST_TOLD:
                raise too_large(f"the answer of {self.name}", _MOST_TOLD)
            answer.read()
        try:
            said = read_json(answer.content)
        except ValueError:
            said = None
        if not isinstance(said, dict):
            raise StoreProblem(f"{self.name} does not answer as a store does", hint="is this the address of one?")
        return said

    def _timely(self, pieces: Iterator[bytes], size: int) -> Iterator[bytes]:
        end = self._clock() + PATIENCE + size / SLOWEST
        for piece in pieces:
            if self._clock() > end:
                raise StoreProblem(f"{self.name} is too slow", hint="another store may be faster")
            yield piece

    @contextmanager
    def _asked(self, what: str) -> Iterator[None]:
        try:
            yield
        except httpx2.HTTPError as problem:
            raise StoreProblem(
                f"{self.name} did not answer about {what}: {problem!r}", hint="retry, or use another store"
            ) from None

    def _expect(self, answer: httpx2.Response, what: str, *statuses: int, reading: bool = False) -> None:
        """Raises what the store's refusal means here. Nobody is refused to read: then it is the store that fails, and
        another may do better."""
        status = answer.status_code
        if status in statuses:
            return
        if status == 404:
            raise missing(what, self.name)
        said = _problem(answer)
        message = f"{self.name} refused {what}: {said.get('detail') or f'status {status}'}"
        kind: type[HeldoutError] = Refused if status in (401, 403) and not reading else StoreProblem
        raise kind(message, hint=said.get("hint", ""), code=said.get("code", "") or kind.code)


def _length(answer: httpx2.Response) -> int:
    """The announced size. Raises StoreProblem without one: a body of unknown length is not waited for."""
    try:
        return int(answer.headers["Content-Length"])
    except (KeyError, ValueError):
        raise StoreProblem("a store's answer has no length") from None


def _problem(answer: httpx2.Response) -> dict[str, str]:
    """The problem+json of a refusal, as far as it is one."""
    if int(answer.headers.get("Content-Length", "-1")) not in range(1, 1 << 16):
        return {}
    try:
        said = read_json(answer.content if answer.is_closed else answer.read())
    except ValueError:
        return {}
    return {key: value[:500] for key, value in said.items() if isinstance(value, str)} if isinstance(said, dict) else {}
