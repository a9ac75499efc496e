"""The market service as its clients see it: quick or not at all, signed in when it must be, believed in nothing."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from email.utils import parsedate_to_datetime
from typing import Any, Final
from urllib.parse import urlsplit

import httpx2

from heldout.market.errors import BadInput, BadMessage, HeldoutError, Refused
from heldout.market.jsontext import canonical_json, read_json
from heldout.market.messages import PROVEN, Letter
from heldout.market.settings import Network
from heldout.market.signatures import Signer, checksummed, sign_text
from heldout.market.siwe import SignIn
from heldout.market.terms import JobId

SILENCE: Final = httpx2.Timeout(5.0, connect=2.0)
CONNECTIONS: Final = httpx2.Limits(keepalive_expiry=2.0)
"""Idle connections are closed here before the service closes them, so that no request meets a dead one."""
MOST_BYTES: Final = 16 << 20
"""Of one answer."""
MOST_PAGES: Final = 50
REST_S: Final = 10.0
"""Seconds for which a service that did not answer is not asked again."""
_EARLY_S: Final = 60
"""Seconds before its end that a session is renewed."""


class ServiceProblem(HeldoutError):
    """The market service is down, slow or talks nonsense; the chain carries letters too."""

    code = "service_unavailable"
    exit_code = 7
    retryable = True


class Carrier:
    """One market service. `account` signs in; without one only the bid board can be used.

    `clock` is unix time, `ticks` seconds that never go back. All methods raise ServiceProblem if the service does not
    answer, Refused (retryable or not, as it says) if it does not want to.
    """

    def __init__(
        self,
        url: str,
        network: Network,
        account: Signer | None,
        *,
        clock: Callable[[], float] = time.time,
        ticks: Callable[[], float] = time.monotonic,
    ) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.username or parts.query:
            raise BadInput(f"{url!r} is not the address of a market service", hint="write it as http(s)://host[:port]")
        self.url = url.rstrip("/")
        self._domain = parts.netloc
        self._chain_id = network.chain_id
        self._account, self._clock, self._ticks = account, clock, ticks
        self._client = httpx2.Client(timeout=SILENCE, limits=CONNECTIONS, follow_redirects=False, trust_env=False)
        self._token, self._token_ends, self._rest_ends = "", 0.0, float("-inf")
        self._ahead_s = 0.0

    def post(self, letter: Letter) -> None:
        """Leave a letter; the same one twice is one."""
        self._ask("POST", "/v1/letters", read_json(letter.encode()), signed=letter.kind not in PROVEN)

    def bids(self, job: JobId) -> list[Letter]:
        """The bid board of a job, unchecked."""
        return [letter for _, letter in _letters(self._ask("GET", f"/v1/jobs/{job}/bids"))]

    def records(self, job: JobId) -> list[Letter]:
        """How a job's trainings ran, unchecked (heldout.market.runrecord)."""
        return [letter for _, letter in _letters(self._ask("GET", f"/v1/jobs/{job}/records"))]

    def readings(self, job: JobId) -> dict[int, list[dict[str, float]]]:
        """What each lane's training says of itself, by its provider's word alone."""
        said = self._ask("GET", f"/v1/jobs/{job}/readings").get("readings")
        try:
            return {int(lane): [dict(line) for line in lines] for lane, lines in said.items()}
        except (AttributeError, TypeError, ValueError):
            raise ServiceProblem(f"{self.url} tells readings in another shape") from None

    def report(self, job: JobId, lane: int, lines: Sequence[Mapping[str, float]]) -> None:
        """What a lane's training says of itself now, in place of what it said before."""
        self._ask("PUT", f"/v1/jobs/{job}/lanes/{lane}/readings", {"lines": list(lines)}, signed=True)

    def mail(self, after: int) -> Iterator[tuple[int, Letter]]:
        """Numbered letters to the account after number `after`, oldest first."""
        return self._pages("mailbox", after, signed=True)

    def calls(self, after: int) -> Iterator[tuple[int, Letter]]:
        """Numbered calls for bids, as `mail`, unchecked."""
        return self._pages("calls", after, signed=False)

    def _pages(self, route: str, after: int, *, signed: bool) -> Iterator[tuple[int, Letter]]:
        for _ in range(MOST_PAGES):
            page = _letters(self._ask("GET", f"/v1/{route}?after={after}", signed=signed))
            yield from page
            if not page or page[-1][0] <= after:
                return
            after = page[-1][0]

    def close(self) -> None:
        self._client.close()

    def _ask(self, method: str, path: str, body: Any = None, *, signed: bool = False) -> Any:
        if self._ticks() < self._rest_ends:
            raise ServiceProblem(f"{self.url} did not answer a moment ago")
        headers = {"Authorization": f"Bearer {self._session()}"} if signed else {}
        try:
            return self._exchange(method, path, body, headers)
        except Refused as refused:
            if not (signed and refused.code == "sign_in"):
                raise
            self._token = ""
            return self._exchange(method, path, body, {"Authorization": f"Bearer {self._session()}"})

    def _session(self) -> str:
        """A token that is good for a while yet; signs in if there is none."""
        if self._token and self._clock() + self._ahead_s < self._token_ends - _EARLY_S:
            return self._token
        if self._account is None:
            raise Refused("no account to sign in with", hint="open a key ring first", code="sign_in")
        nonce = str(self._exchange("POST", "/v1/auth/nonce", None, {}).get("nonce"))
        now = int(self._clock() + self._ahead_s)  # a sign-in is for this service alone: it may tell the time
        address = checksummed(self._account.address)
        try:
            text = SignIn.answering(nonce, self._domain, address, self.url, self._chain_id, now)
        except BadMessage:
            raise self._rests(f"gave {nonce[:40]!r} for a nonce, or no time that is one") from None
        said = self._exchange(
            "POST", "/v1/auth/verify", {"message": text, "signature": sign_text(self._account, text)}, {}
        )
        self._token, self._token_ends = session_told(said)
        return self._token

    def _exchange(self, method: str, path: str, body: Any, headers: dict[str, str]) -> dict[str, Any]:
        content = None if body is None else canonical_json(body)
        sent = headers if content is None else {**headers, "Content-Type": "application/json"}
        try:
            with self._client.stream(method, self.url + path, content=content, headers=sent) as answer:
                said = read_json(_bounded(answer))
                self._ahead_s = _told_time(answer, self._clock())
        except (httpx2.HTTPError, ValueError) as problem:
            raise self._rests(f"cannot be used: {problem}") from None
        if not isinstance(said, dict) or answer.status_code >= 500:
            raise self._rests(f"answered status {answer.status_code}")
        if answer.status_code >= 300:
            refused = Refused(str(said.get("detail")), hint=str(said.get("hint", "")), code=str(said.get("code", "")))
            refused.retryable = said.get("retryable") is True
            raise refused
        return said

    def _rests(self, what: str) -> ServiceProblem:
        self._rest_ends = self._ticks() + REST_S
        return ServiceProblem(f"{self.url} {what}", hint="letters can also go over the chain")


def session_told(said: Mapping[str, Any]) -> tuple[str, float]:
    """The token of an answer, and the unix time at which it ends. Without a time, it is used once."""
    ends = said.get("expires")
    return str(said.get("token")), float(ends) if type(ends) is int and abs(ends) < 1 << 53 else 0.0


def _told_time(answer: httpx2.Response, here: float) -> float:
    """Seconds by which the clock of whoever answered (`Date`, RFC 9110 section 6.6.1) is ahead of `here`, unix time."""
    try:
        return parsedate_to_datetime(answer.headers["Date"]).timestamp() - here
    except (KeyError, OverflowError, ValueError):
        return 0.0


def _bounded(answer: httpx2.Response) -> bytes:
    """The body. Raises ValueError if it is too large."""
    pieces, size = [], 0
    for piece in answer.iter_bytes():
        size += len(piece)
        if size > MOST_BYTES:
            raise ValueError(f"an answer of more than {MOST_BYTES} bytes")
        pieces.append(piece)
    return b"".join(pieces)


def _letters(said: Any) -> list[tuple[int, Letter]]:
    """The letters of an answer, with their numbers; what is none is left out."""
    found = []
    items = said.get("letters")
    for item in items if isinstance(items, list) else []:
        try:
            found.append((int(item["number"]), Letter.decode(canonical_json(item["letter"]))))
        except (BadMessage, KeyError, OverflowError, TypeError, ValueError):
            continue
    return found
