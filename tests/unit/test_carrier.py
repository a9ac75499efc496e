"""What a service may answer to a node, and what the node makes of it (threats 52, 54)."""

import json
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import count
from typing import Any

import httpx2
import pytest
from eth_account import Account
from hypothesis import given, settings
from hypothesis import strategies as st

from heldout.market.carrier import Carrier, ServiceProblem
from heldout.market.errors import HeldoutError
from heldout.market.index_client import IndexClient
from heldout.market.settings import Network
from heldout.market.siwe import SignIn
from tests.builders import CHAIN_ID, JOB, MARKET

ALICE = Account.from_key("0x" + "01" * 32)
URL = "http://127.0.0.1:8450"
NETWORK = Network("test", CHAIN_ID, "0x0", (), MARKET, MARKET, 0, "0x0", ())

numbers = st.integers() | st.floats() | st.just(10**400)
values = st.recursive(
    st.none() | st.booleans() | numbers | st.text(st.characters()),  # lone surrogates among them
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)
letters = st.fixed_dictionaries({}, optional={"number": values, "letter": values})
answers = values | st.fixed_dictionaries(
    {},
    optional={
        "letters": values | st.lists(letters, max_size=3),
        "readings": values,
        "nonce": st.just("abcdef12") | values,
        "token": st.just("token") | values,
        "expires": numbers | values,
        "code": st.just("sign_in") | values,
        "detail": values,
        "retryable": values,
    },
)
dates = st.sampled_from(["", "soon", "Mon, 01 Jan 0001 00:00:00 -2359", "Fri, 31 Dec 9999 23:59:59 GMT"])


@contextmanager
def answered(client: Any, said: list[tuple[int, str, bytes]]) -> Iterator[list[httpx2.Request]]:
    """`client` asks a service that says what it likes."""
    asked = []

    def answer(request: httpx2.Request) -> httpx2.Response:
        asked.append(request)
        status, date, body = said.pop(0) if said else (404, "", b"{}")
        return httpx2.Response(status, headers={"Date": date}, content=body)

    with httpx2.Client(transport=httpx2.MockTransport(answer)) as http:
        for name in ("_client", "_http"):
            if hasattr(client, name):
                getattr(client, name).close()
                setattr(client, name, http)
        yield asked


def test_whatever_a_service_answers_is_mail_or_a_problem_of_its() -> None:
    carrier = Carrier(URL, NETWORK, ALICE, ticks=count(0, 100).__next__)  # it never rests
    said: list[tuple[int, str, bytes]] = []

    @settings(deadline=None)
    @given(st.lists(st.tuples(st.sampled_from([200, 204, 300, 404, 500]), dates, answers), max_size=5))
    def says(told: list[tuple[int, str, Any]]) -> None:
        for ask in (
            lambda: list(carrier.mail(0)),
            lambda: carrier.bids(JOB),
            lambda: carrier.records(JOB),
            lambda: carrier.readings(JOB),
            lambda: carrier.report(JOB, 0, [{"loss": 1.0}]),
        ):
            said[:] = [(status, date, json.dumps(answer).encode()) for status, date, answer in told]
            with suppress(HeldoutError):
                ask()

    with answered(carrier, said):
        says()


@pytest.mark.parametrize("kind", [Carrier, IndexClient])
@pytest.mark.parametrize("nonce", ["", "short", "abcdef12\nResources:\n- https://else.example", "a" * 65, 7, None])
def test_nothing_is_signed_that_a_nonce_has_put_words_into(kind: type, nonce: object) -> None:
    """EIP-4361: the nonce is letters and digits; what is signed is a sign-in at this service and nothing more."""
    client: Any = Carrier(URL, NETWORK, ALICE) if kind is Carrier else IndexClient(URL, ALICE, CHAIN_ID)
    said = [(200, "", json.dumps({"nonce": nonce}).encode())]
    with answered(client, said) as asked, pytest.raises(ServiceProblem, match="for a nonce"):
        _ = list(client.mail(0)) if kind is Carrier else client.mailbox()
    assert [request.url.path for request in asked] == ["/v1/auth/nonce"]


def test_a_session_that_never_ends_is_asked_for_anew() -> None:
    """A token is believed for as long as it says, in whole seconds."""
    for expires, times in ((2_000_000_000_000, 1), (float("inf"), 2), ("soon", 2), (None, 2)):
        page = (200, "", b'{"letters": []}')
        sign_in = [
            (200, "", b'{"nonce": "abcdef12"}'),
            (200, "", json.dumps({"token": "t", "expires": expires}).encode()),
        ]
        carrier = Carrier(URL, NETWORK, ALICE)
        with answered(carrier, [*sign_in, page, *(sign_in if times == 2 else []), page]) as asked:
            assert [*carrier.mail(0), *carrier.mail(0)] == []
        signed = [json.loads(each.content)["message"] for each in asked if each.url.path == "/v1/auth/verify"]
        assert len(signed) == times and all(SignIn.parse(text).nonce == "abcdef12" for text in signed)
