"""JSON-RPC over HTTP: one request a call, a bound on time and size, and a second endpoint when the first is down.

web3's client was measured first (docs/decisions/0009-json-rpc-without-web3.md): it costs 20 MB of resident memory and
makes three requests for one `eth_call`.
"""

import itertools
import json
import logging
import time
from collections.abc import Callable, Sequence
from typing import Any, TypeVar
from urllib.parse import urlsplit

import httpx2

from heldout.market.errors import ChainProblem
from heldout.market.jsontext import read_json

T = TypeVar("T")
log = logging.getLogger(__name__)

GREATEST_ANSWER = 64 * 2**20
"""Bytes of one answer; a larger page of logs is asked for in halves."""
TRIES = 3
"""Of one request to one endpoint that answers 429 or 5xx."""
BACK_OFF_S = 0.25
_HINT = "check the `rpc` addresses of the network file, and that the node behind them is running"


class RpcError(ChainProblem):
    """The node answered, with an error. `data` is the revert data of a refused call, if any."""

    code = "rpc_error"

    def __init__(self, number: int, message: str, data: bytes = b"") -> None:
        super().__init__(f"the RPC answered error {number}: {message}", hint=_HINT)
        self.number = number
        self.text = message
        self.data = data


class AnswerTooLarge(ChainProblem):
    """More than GREATEST_ANSWER bytes, or the node's own bound (HTTP 413)."""

    code = "rpc_answer_too_large"


class Endpoint:
    """One URL. Raises ChainProblem if it is down, slow or answers nonsense; RpcError if it answers an error."""

    def __init__(self, url: str, timeout_s: float) -> None:
        self.url = url
        self.trusted = False
        """Whether its chain was checked since it was last unreachable."""
        self._timeout_s = timeout_s
        # Without redirects a plain address stays plain, and needs no authorities' certificates: 4 MB of memory.
        verify = urlsplit(url).scheme != "http"
        self._client = httpx2.Client(timeout=timeout_s, trust_env=False, follow_redirects=False, verify=verify)
        self._ids = itertools.count(1)

    def call(self, method: str, params: Sequence[Any]) -> Any:
        return self._result(self._answer(self._request(method, params)))

    def batch(self, calls: Sequence[tuple[str, Sequence[Any]]]) -> list[Any]:
        """Results in the order of `calls`; raises the first error among them."""
        if not calls:
            return []
        requests = [self._request(method, params) for method, params in calls]
        answers = self._answer(requests)
        if not isinstance(answers, list):
            return [self._result(answers)] * len(calls)
        by_id = {answer.get("id"): answer for answer in answers if isinstance(answer, dict)}
        return [self._result(by_id.get(request["id"])) for request in requests]

    def close(self) -> None:
        self._client.close()

    def _request(self, method: str, params: Sequence[Any]) -> dict[str, Any]:
        return {"jsonrpc": "2.0", "id": next(self._ids), "method": method, "params": list(params)}

    def _answer(self, body: Any) -> Any:
        for attempt in range(TRIES):
            status, content = self._post(json.dumps(body).encode())
            if status != 429 and status < 500:
                break
            time.sleep(BACK_OFF_S * 2**attempt)
        if status == 413:
            raise AnswerTooLarge(f"{self.url} refuses so large an answer")
        try:
            return read_json(content)
        except ValueError:
            raise self._down(f"answered HTTP {status} and no JSON") from None

    def _post(self, body: bytes) -> tuple[int, bytes]:
        """Status and body, within twice the time-out in all, however slowly the bytes drip."""
        give_up = time.monotonic() + self._timeout_s
        chunks, size = [], 0
        headers = {"content-type": "application/json"}
        try:
            with self._client.stream("POST", self.url, content=body, headers=headers) as response:
                for chunk in response.iter_bytes():
                    chunks.append(chunk)
                    size += len(chunk)
                    if size > GREATEST_ANSWER:
                        raise AnswerTooLarge(f"{self.url} answered more than {GREATEST_ANSWER} bytes")
                    if time.monotonic() > give_up:
                        raise self._down("answers too slowly")
                return response.status_code, b"".join(chunks)
        except httpx2.TimeoutException:
            raise self._down(f"did not answer within {self._timeout_s:g} s") from None
        except (httpx2.HTTPError, httpx2.InvalidURL) as problem:
            raise self._down(f"cannot be reached: {problem}") from None

    def _result(self, answer: Any) -> Any:
        if not isinstance(answer, dict) or not ("result" in answer or "error" in answer):
            raise self._down("answered something that is not JSON-RPC")
        error = answer.get("error")
        if error is None:
            return answer["result"]
        error = error if isinstance(error, dict) else {"message": str(error)}
        raise RpcError(int(error.get("code", 0)), str(error.get("message", "")), _revert_data(error.get("data")))

    def _down(self, what: str) -> ChainProblem:
        self.trusted = False
        return ChainProblem(f"RPC {self.url} {what}", hint=_HINT)


def _revert_data(data: Any) -> bytes:
    """Nodes put revert data at `data`, or at `data.data`."""
    if isinstance(data, dict):
        data = data.get("data")
    try:
        return bytes.fromhex(data.removeprefix("0x"))
    except (AttributeError, ValueError):
        return b""


class Rpc:
    """The endpoints of a network in their order of preference; what one cannot answer the next is asked.

    `check(endpoint)` runs before an endpoint's first use and again after it was unreachable, since another chain may
    have come back behind the same URL; it raises WrongNetwork.
    """

    def __init__(self, urls: Sequence[str], *, timeout_s: float, check: Callable[[Endpoint], None]) -> None:
        if not urls:
            raise ChainProblem("the network file names no RPC", hint=_HINT)
        self.endpoints = [Endpoint(url, timeout_s) for url in urls]
        self._check = check

    def call(self, method: str, *params: Any) -> Any:
        """The result of one method. Raises RpcError, or ChainProblem once no endpoint is left."""
        return self._first(lambda endpoint: endpoint.call(method, params))

    def batch(self, calls: Sequence[tuple[str, Sequence[Any]]]) -> list[Any]:
        return self._first(lambda endpoint: endpoint.batch(calls))

    def witnesses(self, method: str, *params: Any) -> list[tuple[str, Any]]:
        """URL and result of every endpoint that answers. Raises WrongNetwork if one is of another chain."""
        heard = []
        for endpoint in self.endpoints:
            try:
                heard.append((endpoint.url, self.ready(endpoint).call(method, params)))
            except ChainProblem as problem:
                if not problem.retryable:
                    raise
                log.debug("%s", problem)
        return heard

    def ready(self, endpoint: Endpoint) -> Endpoint:
        """The endpoint, once its chain is checked."""
        if not endpoint.trusted:
            self._check(endpoint)
            endpoint.trusted = True
        return endpoint

    def close(self) -> None:
        for endpoint in self.endpoints:
            endpoint.close()

    def _first(self, ask: Callable[[Endpoint], T]) -> T:
        problem: ChainProblem | None = None
        for endpoint in self.endpoints:
            try:
                return ask(self.ready(endpoint))
            except (RpcError, AnswerTooLarge):
                raise
            except ChainProblem as failed:
                if not failed.retryable:
                    raise
                log.debug("%s", failed)
                problem = problem or failed
        assert problem is not None
        raise problem
