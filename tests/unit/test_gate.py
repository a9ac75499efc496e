"""Pages of other origins: leave to use a server only for those named at start, and never with cookies (threat 76)."""

import socket
from argparse import Namespace

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from heldout.market.artifacts.gate import Gate, client_of
from heldout.market.artifacts.listening import public_url
from heldout.market.artifacts.throttle import Throttle
from heldout.market.errors import BadInput

PAGE = "http://127.0.0.1:8450"


@pytest.fixture
def client() -> TestClient:
    async def seen(request: Request) -> PlainTextResponse:
        return PlainTextResponse(request.headers.get("cookie", "no cookie"))

    app = Starlette(routes=[Route("/x", seen, methods=["GET", "PUT", "OPTIONS"])])
    throttle = Throttle(10, 50, lambda: 0.0)
    app.add_middleware(Gate, hosts={"127.0.0.1:8460"}, throttle=throttle, origins=[PAGE])
    return TestClient(app, base_url="http://127.0.0.1:8460")


def test_a_page_that_was_named_may_ask_first_and_then_upload(client: TestClient) -> None:
    question = {"Origin": PAGE, "Access-Control-Request-Method": "PUT"}
    answer = client.options("/x", headers=question)
    assert (answer.status_code, answer.content) == (204, b"")
    assert answer.headers["access-control-allow-origin"] == PAGE
    assert "Heldout-Upload" in answer.headers["access-control-allow-headers"]
    assert "access-control-allow-credentials" not in answer.headers
    upload = client.put("/x", headers={"Origin": PAGE})
    assert (upload.status_code, upload.headers["access-control-allow-origin"]) == (200, PAGE)
    assert "Origin" in upload.headers["vary"]


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:8450", "https://market.example", "https://[::1]:8443", "http://a:8080/"]
)
def test_a_public_address_is_what_browsers_call_it(url: str) -> None:
    with socket.socket() as unbound:
        assert public_url(Namespace(public_url=url), unbound) == url.rstrip("/")


@pytest.mark.parametrize(
    ("url", "better"),
    [
        ("https://Market.Example", "https://market.example"),
        ("https://market.example:443/", "https://market.example"),
        ("HTTP://a:80", "http://a"),
        ("https://me@market.example", "https://market.example"),
        ("market.example", "https://HOST"),
        ("ftp://market.example", "ftp://market.example"),
    ],
)
def test_a_public_address_that_no_browser_would_write_is_refused_at_once(url: str, better: str) -> None:
    """Every page would be sent away with 421: the Host header is never that."""
    with socket.socket() as unbound, pytest.raises(BadInput) as refused:
        public_url(Namespace(public_url=url), unbound)
    assert refused.value.code == "bad_public_url" and refused.value.hint == f"write {better}"


@pytest.mark.attack
def test_not_even_a_named_page_acts_with_a_cookie(client: TestClient) -> None:
    """Threat 75."""
    headers = {"Cookie": "heldout_session=stolen"}
    assert client.put("/x", headers={**headers, "Origin": PAGE}).text == "no cookie"
    assert client.put("/x", headers={**headers, "Origin": "http://127.0.0.1:8460"}).text == "heldout_session=stolen"


@pytest.mark.attack
def test_what_names_no_page_changes_nothing_with_a_cookie(client: TestClient) -> None:
    """Threat 75: every browser of today says where a request that changes something comes from."""
    headers = {"Cookie": "heldout_session=stolen"}
    assert client.put("/x", headers=headers).text == "no cookie"
    assert client.get("/x", headers=headers).text == "heldout_session=stolen"


@pytest.mark.attack
def test_a_plain_page_of_the_same_name_is_another_page() -> None:
    """Who sits on the line can write http pages of any name, and send from them to https."""
    app = Starlette(routes=[Route("/x", lambda _: PlainTextResponse("done"), methods=["PUT"])])
    hosts = {"market.example", "127.0.0.1:8450"}
    app.add_middleware(Gate, hosts=hosts, throttle=Throttle(10, 50, lambda: 0.0), secure=True)
    client = TestClient(app, base_url="https://market.example")
    status = {
        origin: client.put("/x", headers={"Origin": origin}).status_code
        for origin in ("https://market.example", "http://market.example", "http://127.0.0.1:8450")
    }
    assert list(status.values()) == [200, 403, 200]


def test_one_machine_is_one_client_whatever_addresses_it_takes() -> None:
    one, other = ("2001:db8:1:2:3::1", 1), ("2001:db8:1:2:ffff::9", 2)
    assert client_of({"client": one}) == client_of({"client": other}) == "2001:db8:1:2::/64"
    assert client_of({"client": ("2001:db8:1:3::1", 1)}) != client_of({"client": one})
    assert client_of({"client": ("10.0.0.1", 1)}) == "10.0.0.1"
    assert client_of({"client": ("::ffff:10.0.0.1", 1)}) == "10.0.0.1", "or all of IPv4 were one client"
    assert client_of({"client": ("nobody:knows", 1)}) == "nobody:knows"


@pytest.mark.attack
@pytest.mark.parametrize("origin", ["http://evil.example", "null", PAGE + "0", "https://127.0.0.1:8450"])
def test_any_other_page_gets_no_leave(client: TestClient, origin: str) -> None:
    for answer in (
        client.get("/x", headers={"Origin": origin}),
        client.options("/x", headers={"Origin": origin, "Access-Control-Request-Method": "PUT"}),
        client.put("/x", headers={"Origin": origin}),
    ):
        assert not [name for name in answer.headers if name.startswith("access-control")]
    assert client.put("/x", headers={"Origin": origin}).status_code == 403


def test_what_is_left_of_the_limit_is_told(client: TestClient) -> None:
    assert client.get("/x").headers["ratelimit"] == '"client";r=49;t=0'
    assert client.get("/x").headers["ratelimit-policy"] == '"client";q=50;w=5'
