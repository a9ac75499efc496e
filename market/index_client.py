"""The market service's whole API, for Python programs: one set of methods, once synchronous and once for asyncio.

    with IndexClient("http://127.0.0.1:8450") as market:
        for job in market.walk("jobs", state="open"):
            print(job["id"], job["terms"]["priceCap"])

    async with AsyncIndexClient("http://127.0.0.1:8450") as market:
        job = await market.job(id)

What comes back is JSON as `/v1/openapi.json` describes it. The service is an index, never an authority: what matters is
checked on chain (`heldout job show ID --trustless`). Methods raise Refused with the service's own code and hint, or
ServiceProblem if it is down or talks nonsense; those that need a session sign in by themselves.
"""

import time
from collections.abc import AsyncIterator, Awaitable, Callable, Generator, Iterator, Mapping, Sequence
from typing import Any, Generic, NamedTuple, Self, TypeVar
from urllib.parse import urlsplit

import httpx2

from heldout.market.carrier import SILENCE, ServiceProblem, session_told
from heldout.market.errors import BadInput, BadMessage, KeyProblem, Refused
from heldout.market.jsontext import canonical_json, read_json
from heldout.market.signatures import Signer, checksummed, sign_text
from heldout.market.siwe import SignIn

MOST_BYTES = 16 << 20
_EARLY_S = 60
"""Seconds before its end that a session is renewed."""
_STREAMING = httpx2.Timeout(5.0, read=60.0)
"""A stream is alive if it says something, a comment at least, every so often."""

Json = dict[str, Any]
Answer = TypeVar("Answer")


class Call(NamedTuple):
    """One request."""

    method: str
    path: str
    params: Mapping[str, str | int] = {}
    body: Any = None
    signed: bool = False
    headers: Mapping[str, str] = {}


class Routes(Generic[Answer]):
    """Every route, as a method. `Answer` is the JSON, or an awaitable of it."""

    def _ask(self, call: Call) -> Answer:
        raise NotImplementedError

    def _get(self, path: str, **params: str | int) -> Answer:
        return self._ask(Call("GET", f"/v1/{path}", {name: value for name, value in params.items() if value != ""}))

    def network(self) -> Answer:
        """Which market this service follows, and how far it is."""
        return self._get("network")

    def statistics(self) -> Answer:
        return self._get("statistics")

    def errors(self) -> Answer:
        return self._get("errors")

    def ask(self, question: str) -> Answer:
        """The assistant's answer with its sources, and perhaps a draft of a job.toml."""
        return self._get("ask", question=question)

    def jobs(self, *, cursor: str = "", limit: int = 20, **filters: str) -> Answer:
        """One page, newest first. Filters: state, outcome, metric, hardware, least (tokens), requester, provider."""
        return self._get("jobs", cursor=cursor, limit=limit, **filters)

    def job(self, job: str) -> Answer:
        return self._get(f"jobs/{job}")

    def money(self, job: str) -> Answer:
        return self._get(f"jobs/{job}/money")

    def job_events(self, job: str, *, after: str = "") -> Answer:
        """As the index has them now, unconfirmed ones included."""
        return self._get(f"jobs/{job}/events", after=after)

    def manifest(self, job: str) -> Answer:
        return self._get(f"jobs/{job}/manifest")

    def readings(self, job: str) -> Answer:
        """What the providers say of their own training."""
        return self._get(f"jobs/{job}/readings")

    def calls(self, *, after: int = 0) -> Answer:
        """Jobs that are called for and not posted, as letters after a number: check their signatures
        (heldout.market.calling.call_of)."""
        return self._get("calls", after=after)

    def bids(self, job: str) -> Answer:
        """Letters: check their signatures (heldout.market.messages.bid_of)."""
        return self._get(f"jobs/{job}/bids")

    def records(self, job: str) -> Answer:
        """Letters: check their signatures (heldout.market.runrecord)."""
        return self._get(f"jobs/{job}/records")

    def seats(self, address: str = "") -> Answer:
        return self._get("seats", address=address)

    def providers(self, *, cursor: str = "", limit: int = 20) -> Answer:
        return self._get("providers", cursor=cursor, limit=limit)

    def provider(self, address: str) -> Answer:
        return self._get(f"providers/{address}")

    def validators(self, *, cursor: str = "", limit: int = 20) -> Answer:
        return self._get("validators", cursor=cursor, limit=limit)

    def validator(self, address: str) -> Answer:
        return self._get(f"validators/{address}")

    def account_money(self, address: str, *, cursor: str = "", limit: int = 20) -> Answer:
        """What an address put into jobs and got out of them."""
        return self._get(f"accounts/{address}/money", cursor=cursor, limit=limit)

    def artifacts(self, *, cursor: str = "", limit: int = 20, maker: str = "", owner: str = "") -> Answer:
        return self._get("artifacts", cursor=cursor, limit=limit, maker=maker, owner=owner)

    def artifact(self, artifact: str) -> Answer:
        return self._get(f"artifacts/{artifact}")

    def chain(self, artifact: str) -> Answer:
        """Who asked, trained and measured, and what it was made of."""
        return self._get(f"artifacts/{artifact}/chain")

    # ---------------------------------------------------------------------------------- with a session, or to write

    def mailbox(self, *, after: int = 0, job: str = "") -> Answer:
        """Letters to this account after a number, oldest first, one page."""
        params: dict[str, str | int] = {"after": after} | ({"job": job} if job else {})
        return self._ask(Call("GET", "/v1/mailbox", params, signed=True))

    def session(self) -> Answer:
        """Who is signed in, and until when."""
        return self._ask(Call("GET", "/v1/auth/session", signed=True))

    def sign_out(self) -> Answer:
        """End the session at the service."""
        return self._ask(Call("DELETE", "/v1/auth/session", signed=True))

    def account(self) -> Answer:
        """How much the service holds about this account that is not on chain."""
        return self._ask(Call("GET", "/v1/account", signed=True))

    def export_account(self, *, cursor: str = "") -> Answer:
        """One page of all of it; `next` is the cursor of the following one."""
        return self._ask(Call("GET", "/v1/account/export", {"cursor": cursor}, signed=True))

    def erase_account(self, *, live: bool = False) -> Answer:
        """Erase it; of jobs that are still going on only if `live`. What is on chain stays."""
        return self._ask(Call("DELETE", "/v1/account", {"live": str(live).lower()}, signed=True))

    def post_letter(self, letter: Json, *, key: str = "") -> Answer:
        """Leave a bid or a call for bids (with nobody signed in) or a private letter. `key` is an Idempotency-Key."""
        signed = letter.get("receiver") != "bulletin"
        return self._ask(Call("POST", "/v1/letters", body=letter, signed=signed, headers=_keyed(key)))

    def task_manifest(self, draft: Json) -> Answer:
        """The text of a task's manifest, to be uploaded."""
        return self._ask(Call("POST", "/v1/manifest", body=draft))

    def plan(self, draft: Json) -> Answer:
        """A job's terms with every default filled in, and the plan in words. Nothing is sent."""
        return self._ask(Call("POST", "/v1/plan", body=draft))

    def report(self, job: str, lane: int, lines: Sequence[Mapping[str, float]], *, key: str = "") -> Answer:
        """What this account's training prints, in place of what it said before."""
        path = f"/v1/jobs/{job}/lanes/{lane}/readings"
        return self._ask(Call("PUT", path, body={"lines": list(lines)}, signed=True, headers=_keyed(key)))


def _keyed(key: str) -> dict[str, str]:
    return {"Idempotency-Key": key} if key else {}


class _Session:
    """What both clients know of one service: its address, who signs in, and the token while it is good."""

    def __init__(self, url: str, account: Signer | None, chain_id: int | None, clock: Callable[[], float]) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.username or parts.query:
            raise BadInput(f"{url!r} is not the address of a market service", hint="write it as http(s)://host[:port]")
        self.url, self._domain = url.rstrip("/"), parts.netloc
        self._account, self._chain_id, self._clock = account, chain_id, clock
        self._token, self._ends = "", 0.0

    def steps(self, call: Call) -> Generator[Call, Json, Json]:
        """The requests that one call takes; each is answered by `send`, or refused by `throw`."""
        if not call.signed:
            return (yield call)
        try:
            return (yield _with(call, (yield from self._signed_in())))
        except Refused as refused:
            if refused.code != "sign_in":
                raise
        self._token = ""
        return (yield _with(call, (yield from self._signed_in())))

    def _signed_in(self) -> Generator[Call, Json, str]:
        if self._token and self._clock() < self._ends - _EARLY_S:
            return self._token
        if self._account is None or self._chain_id is None:
            raise KeyProblem("this needs an account and its chain's id", hint="give both to the client", code="no_keys")
        nonce = str((yield Call("POST", "/v1/auth/nonce")).get("nonce"))
        now, address = int(self._clock()), checksummed(self._account.address)
        try:
            text = SignIn.answering(nonce, self._domain, address, self.url, self._chain_id, now)
        except BadMessage:
            raise ServiceProblem(f"{self.url} gave {nonce[:40]!r} for a nonce") from None
        said = yield Call(
            "POST", "/v1/auth/verify", body={"message": text, "signature": sign_text(self._account, text)}
        )
        self._token, self._ends = session_told(said)
        return self._token


def _with(call: Call, token: str) -> Call:
    return call._replace(headers={**call.headers, "Authorization": f"Bearer {token}"})


class _Client:
    """Requests and answers, without the sending."""

    def __init__(
        self,
        url: str,
        account: Signer | None = None,
        chain_id: int | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._session = _Session(url, account, chain_id, clock)
        self.url = self._session.url

    def _options(self, call: Call) -> dict[str, Any]:
        content = None if call.body is None else canonical_json(call.body)
        kind = {} if content is None else {"Content-Type": "application/json"}
        return {"params": dict(call.params), "content": content, "headers": {**call.headers, **kind}}

    def _read(self, status: int, body: bytes) -> Json:
        """Raises Refused, ServiceProblem."""
        if status == 204:
            return {}
        try:
            said = read_json(body)
        except ValueError:
            raise self._unusable(f"answered {status}, and no JSON") from None
        if not isinstance(said, dict) or status >= 500:
            raise self._unusable(f"answered status {status}")
        if status >= 300:
            refused = Refused(str(said.get("detail")), hint=str(said.get("hint", "")), code=str(said.get("code", "")))
            refused.retryable = said.get("retryable") is True
            raise refused
        return said

    def _unusable(self, what: object) -> ServiceProblem:
        return ServiceProblem(f"{self.url} {what}", hint="the chain says the same: add --trustless")


class IndexClient(_Client, Routes[Json]):
    """Synchronous. `verify` is an ssl.SSLContext for a service whose certificate nobody else vouches for."""

    def __init__(
        self,
        url: str,
        account: Signer | None = None,
        chain_id: int | None = None,
        *,
        verify: Any = True,
        clock: Callable[[], float] = time.time,
    ) -> None:
        super().__init__(url, account, chain_id, clock)
        self._http = httpx2.Client(timeout=SILENCE, follow_redirects=False, trust_env=False, verify=verify)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        self._http.close()

    def walk(self, what: str, **filters: str) -> Iterator[Json]:
        """Every row of `jobs`, `providers`, `validators` or `artifacts`, page by page."""
        cursor: str | None = ""
        while cursor is not None:
            page = getattr(self, what)(cursor=cursor, limit=100, **filters)
            yield from page[what]
            cursor = page["next"]

    def events(self, *, job: str = "", after: str = "") -> Iterator[Json]:
        """Confirmed events as they come, after the one with the id `after`, until the line breaks: go on from the last
        `id`. Raises ServiceProblem."""
        params = {"job": job, "after": after}
        try:
            with self._http.stream("GET", f"{self.url}/v1/events", params=params, timeout=_STREAMING) as answer:
                if answer.status_code != 200:
                    self._read(answer.status_code, answer.read())
                for line in answer.iter_lines():
                    if line.startswith("data: "):
                        yield read_json(line[6:].encode())
        except httpx2.HTTPError as problem:
            raise self._unusable(f"broke off: {problem}") from None

    def _ask(self, call: Call) -> Json:
        steps = self._session.steps(call)
        try:
            request = next(steps)
            while True:
                try:
                    said = self._exchange(request)
                except Refused as refused:
                    request = steps.throw(refused)
                else:
                    request = steps.send(said)
        except StopIteration as done:
            answer: Json = done.value
            return answer

    def _exchange(self, call: Call) -> Json:
        try:
            with self._http.stream(call.method, self.url + call.path, **self._options(call)) as answer:
                body = b""
                for piece in answer.iter_bytes():
                    body += piece
                    if len(body) > MOST_BYTES:
                        raise self._unusable("answers without end")
        except httpx2.HTTPError as problem:
            raise self._unusable(f"cannot be used: {problem}") from None
        return self._read(answer.status_code, body)


class AsyncIndexClient(_Client, Routes[Awaitable[Json]]):
    """For asyncio: every method of IndexClient, to be awaited."""

    def __init__(
        self,
        url: str,
        account: Signer | None = None,
        chain_id: int | None = None,
        *,
        verify: Any = True,
        clock: Callable[[], float] = time.time,
    ) -> None:
        super().__init__(url, account, chain_id, clock)
        self._http = httpx2.AsyncClient(timeout=SILENCE, follow_redirects=False, trust_env=False, verify=verify)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self.close()

    async def close(self) -> None:
        await self._http.aclose()

    async def walk(self, what: str, **filters: str) -> AsyncIterator[Json]:
        """As IndexClient.walk."""
        cursor: str | None = ""
        while cursor is not None:
            page = await getattr(self, what)(cursor=cursor, limit=100, **filters)
            for row in page[what]:
                yield row
            cursor = page["next"]

    async def events(self, *, job: str = "", after: str = "") -> AsyncIterator[Json]:
        """As IndexClient.events."""
        params = {"job": job, "after": after}
        try:
            async with self._http.stream("GET", f"{self.url}/v1/events", params=params, timeout=_STREAMING) as answer:
                if answer.status_code != 200:
                    self._read(answer.status_code, await answer.aread())
                async for line in answer.aiter_lines():
                    if line.startswith("data: "):
                        yield read_json(line[6:].encode())
        except httpx2.HTTPError as problem:
            raise self._unusable(f"broke off: {problem}") from None

    async def _ask(self, call: Call) -> Json:
        steps = self._session.steps(call)
        try:
            request = next(steps)
            while True:
                try:
                    said = await self._exchange(request)
                except Refused as refused:
                    request = steps.throw(refused)
                else:
                    request = steps.send(said)
        except StopIteration as done:
            answer: Json = done.value
            return answer

    async def _exchange(self, call: Call) -> Json:
        try:
            async with self._http.stream(call.method, self.url + call.path, **self._options(call)) as answer:
                body = b""
                async for piece in answer.aiter_bytes():
                    body += piece
                    if len(body) > MOST_BYTES:
                        raise self._unusable("answers without end")
        except httpx2.HTTPError as problem:
            raise self._unusable(f"cannot be used: {problem}") from None
        return self._read(answer.status_code, body)
