"""Answers that are given again: only while nothing changed, only to everybody alike."""

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.testclient import TestClient

from heldout.market.service import kept
from heldout.market.service.caching import Tagged
from heldout.market.service.kept import MOST, SECONDS, Generation, Kept


class Desk:
    """A server that counts how often it had to work."""

    def __init__(self) -> None:
        self.worked, self.now, self.generation = 0, 0.0, Generation()

        async def work(request: Request) -> Response:
            self.worked += 1
            headers = {"Set-Cookie": "a=b"} if "cookie" in request.query_params else {}
            status = 404 if "missing" in request.query_params else 200
            return PlainTextResponse(f"{self.worked} {request.url.query}", status, headers)

        app = Starlette(routes=[Route(path, work, methods=["GET", "POST"]) for path in ("/x", "/v1/auth/session")])
        app.add_middleware(Tagged)
        app.add_middleware(Kept, generation=self.generation, ticks=lambda: self.now)
        self.client = TestClient(app)

    def get(self, path: str = "/x", **headers: str) -> str:
        return self.client.get(path, headers=headers).text


@pytest.fixture
def desk() -> Desk:
    return Desk()


def test_an_answer_is_given_again_while_nothing_changes(desk: Desk) -> None:
    assert desk.get() == desk.get() == "1 "
    assert desk.get("/x?a=1") == "2 a=1"


def test_a_block_a_write_or_time_makes_a_new_one(desk: Desk) -> None:
    desk.get()
    desk.generation.next()
    assert desk.get() == "2 "
    desk.client.post("/x")
    assert desk.get() == "4 "
    desk.now = SECONDS
    assert desk.get() == "5 "


def test_who_has_it_already_is_told_so(desk: Desk) -> None:
    tag = desk.client.get("/x").headers["etag"]
    again = desk.client.get("/x", headers={"If-None-Match": tag})
    assert (again.status_code, again.content, again.headers["etag"], desk.worked) == (304, b"", tag, 1)


@pytest.mark.attack
def test_nothing_private_is_kept_or_given(desk: Desk) -> None:
    """Threat 79: neither a session's answers, nor cookies, nor errors."""
    assert desk.get(Authorization="Bearer x") != desk.get(Authorization="Bearer x")
    assert desk.get(Cookie="heldout_session=x") != desk.get(Cookie="heldout_session=x")
    assert desk.get("/v1/auth/session") != desk.get("/v1/auth/session")
    assert desk.get("/x?cookie=1") != desk.get("/x?cookie=1")
    assert desk.get("/x?missing=1") != desk.get("/x?missing=1")


def test_no_more_is_kept_than_there_is_room_for(desk: Desk) -> None:
    for number in range(MOST + 1):
        desk.get(f"/x?{number}")
    before = desk.worked
    desk.get(f"/x?{MOST}")
    assert desk.worked == before
    desk.get("/x?0")
    assert desk.worked == before + 1


def test_what_is_kept_is_bounded_in_bytes(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Threat 80: whoever asks for what differs by a word fills no memory."""
    monkeypatch.setattr(kept, "MOST_HELD", 100)
    for number in range(50):
        desk.get(f"/x?word={number:020}")
    assert desk.get(f"/x?word={49:020}") == f"50 word={49:020}"
    assert desk.get(f"/x?word={0:020}") == f"51 word={0:020}"
