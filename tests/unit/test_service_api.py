"""What every answer of the API keeps to: tags, keys, limits, origins, sessions, and a description that is true."""

from collections.abc import Iterator
from pathlib import Path
from threading import Event, Semaphore, Thread
from typing import Any

import pytest
from eth_account import Account
from starlette.testclient import TestClient

from heldout.market.jsontext import read_json
from heldout.market.messages import Kind, Letter
from heldout.market.service.turns import THREADS
from heldout.market.service.writing import COOKIE
from heldout.market.signatures import checksummed, sign_text
from heldout.market.siwe import LIFETIME, SignIn
from heldout.market.terms import JobId
from tests.builders import CHAIN_ID
from tests.scenery import Play, account, small_market
from tests.service_app import URL, Standing, service
from tests.unit.test_validator_imports import modules_after

ALICE = Account.from_key("0x" + "01" * 32)
OWN = {"Origin": URL}
FOREIGN = {"Origin": "http://evil.example"}


@pytest.fixture(scope="module")
def plays() -> dict[str, Play]:
    return small_market()


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory, plays: dict[str, Play]) -> Iterator[TestClient]:
    with service(tmp_path_factory.mktemp("api"), plays["measured"].scenery) as (client, _):
        yield client


@pytest.fixture
def client(served: TestClient) -> TestClient:
    """With no session yet."""
    served.cookies.clear()
    return served


def sign_in(client: TestClient, address: str, **options: Any) -> Any:
    """The scenery's chain believes every signature, so anybody can be anybody here."""
    nonce = client.post("/v1/auth/nonce").json()["nonce"]
    now = client.get("/v1/network").json()["now"]
    text = SignIn("127.0.0.1:8450", checksummed(address), URL, CHAIN_ID, nonce, now, now + LIFETIME).text()
    answer = client.post("/v1/auth/verify", json={"message": text, "signature": sign_text(ALICE, text), **options})
    assert answer.status_code == 200, answer.text
    return answer.json()


def bearer(client: TestClient, address: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {sign_in(client, address)['token']}"}


# ---------------------------------------------------------------------------------------------------------- caching


def test_an_idle_service_loads_nothing_that_only_nodes_and_pages_need() -> None:
    """cryptography alone is 7 MB; a service seals and opens nothing."""
    loaded = modules_after("import heldout.market.service.app, heldout.market.chain, heldout.market.artifacts.serving")
    assert not loaded & {"cryptography", "numpy", "jinja2", "docker", "eth_account", "psycopg"}


def test_what_a_client_has_already_is_not_sent_again(client: TestClient) -> None:
    for path in ("/v1/jobs", "/v1/network", "/", "/jobs", "/network.csv"):
        first = client.get(path)
        again = client.get(path, headers={"If-None-Match": first.headers["etag"]})
        assert (again.status_code, again.content) == (304, b"")
        assert again.headers["etag"] == first.headers["etag"]
        assert client.get(path, headers={"If-None-Match": 'W/"other"'}).status_code == 200


@pytest.mark.parametrize("path", ["/", "/jobs", "/v1/jobs", "/network.csv", "/healthz", "/v1/nowhere"])
def test_the_head_alone_is_that_of_the_whole(client: TestClient, path: str) -> None:
    whole, head = client.get(path), client.head(path)
    assert (head.status_code, head.content) == (whole.status_code, b"")
    for name in ("content-type", "content-length", "content-encoding", "etag"):
        assert head.headers.get(name) == whole.headers.get(name)


def test_a_stream_has_no_head_alone(client: TestClient) -> None:
    assert client.head("/v1/events").status_code == 405


def test_large_answers_are_compressed_for_who_can_read_that(client: TestClient) -> None:
    assert client.get("/", headers={"Accept-Encoding": "gzip"}).headers["content-encoding"] == "gzip"
    assert "content-encoding" not in client.get("/", headers={"Accept-Encoding": "identity"}).headers


def test_the_first_page_is_small(client: TestClient) -> None:
    """All that a browser loads of it, compressed: at most 60 kB, without a wallet."""
    import gzip
    import re

    html = client.get("/").text
    assets = set(re.findall(r'(?:href|src)="(/static/[^"]+)"', html))
    bodies = [html.encode(), *(client.get(address).content for address in assets)]
    assert sum(len(gzip.compress(body, 5)) for body in bodies) < 60_000


# ----------------------------------------------------------------------------------------------------------- limits


def test_every_answer_says_how_many_requests_are_left(client: TestClient) -> None:
    """draft-ietf-httpapi-ratelimit-headers."""
    answers = [client.get("/v1/network") for _ in range(3)]
    left = [int(answer.headers["ratelimit"].split("r=")[1].split(";")[0]) for answer in answers]
    assert left == sorted(left, reverse=True) and left[0] > left[2]
    assert answers[0].headers["ratelimit-policy"].startswith('"client";q=')


@pytest.mark.attack
def test_no_stranger_uses_up_what_an_address_may_send(tmp_path: Path, plays: dict[str, Play]) -> None:
    """Threat 89: anybody can write any sender into a letter that is refused."""
    job = JobId(plays["measured"].id)
    mine = Letter(job, Kind.HALF_B, checksummed(ALICE.address), checksummed(ALICE.address), {})
    with service(tmp_path, plays["measured"].scenery) as (client, _):
        headers = bearer(client, ALICE.address)
        answers = [client.post("/v1/letters", json=read_json(mine.encode())).status_code for _ in range(200)]
        assert (answers[0], answers[-1]) == (401, 429)
        answer = client.post("/v1/letters", json=read_json(mine.encode()), headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (403, "not_a_party")


def test_a_chain_that_does_not_answer_holds_up_nothing_that_needs_none(
    tmp_path: Path, plays: dict[str, Play], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those who wait for it hold a few of the threads, not all."""
    go_on, asked, done = Event(), Semaphore(0), []

    def slow(*_: object) -> bool:
        asked.release()
        go_on.wait(20)
        return True

    with service(tmp_path, plays["measured"].scenery) as (client, _):
        monkeypatch.setattr(Standing, "verify_signature", slow)
        waiting = [Thread(target=lambda: done.append(sign_in(client, ALICE.address))) for _ in range(2 * THREADS)]
        for thread in waiting:
            thread.start()
        assert all(asked.acquire(timeout=20) for _ in range(3))
        assert not asked.acquire(timeout=0.5), "more of them than may"
        assert client.get("/v1/network").status_code == 200
        assert not done
        go_on.set()
        for thread in waiting:
            thread.join()
    assert len(done) == 2 * THREADS


@pytest.mark.parametrize(
    "address",
    [
        "/v1/jobs?cursor=99999999999999999999:1",
        "/v1/events?after=99999999999999999999:1",
        f"/v1/jobs/0x{'11' * 32}/events?after=1:99999999999999999999",
        f"/v1/accounts/0x{'11' * 20}/money?cursor=99999999999999999999:1",
        "/v1/providers?cursor=9:%00",
        "/v1/artifacts?cursor=1:%00:1",
        "/jobs?cursor=99999999999999999999:1",
    ],
)
def test_a_cursor_that_no_database_could_hold_is_refused(client: TestClient, address: str) -> None:
    answer = client.get(address)
    assert (answer.status_code, answer.json()["code"]) == (400, "bad_cursor")


# ---------------------------------------------------------------------------------------------------------- origins


@pytest.mark.attack
@pytest.mark.parametrize("origin", ["http://evil.example", "null", "http://[", "", "http://127.0.0.1:9999"])
def test_another_sites_page_may_not_write(client: TestClient, origin: str) -> None:
    """Threat 75: not even from another port of this machine, which the browser calls the same site."""
    answer = client.post("/v1/auth/nonce", headers={"Origin": origin})
    assert (answer.status_code, answer.json()["code"]) == (403, "wrong_origin")
    assert client.get("/v1/network", headers={"Origin": origin}).status_code == 200


def test_the_servers_own_pages_may_write(client: TestClient) -> None:
    assert client.post("/v1/auth/nonce", headers=OWN).status_code == 200


# --------------------------------------------------------------------------------------------------------- sessions


def test_a_browsers_session_is_a_cookie_that_no_script_can_read(client: TestClient) -> None:
    said = sign_in(client, ALICE.address, cookie=True)
    assert said["token"] is None and said["address"] == ALICE.address
    (header,) = [v for k, v in client.get("/v1/auth/session").request.headers.items() if k == "cookie"]
    assert header.startswith(f"{COOKIE}=")
    assert client.get("/v1/auth/session").json()["address"] == ALICE.address
    assert client.get("/v1/mailbox").status_code == 200


def test_the_cookie_is_httponly_and_strict(client: TestClient) -> None:
    nonce = client.post("/v1/auth/nonce").json()["nonce"]
    now = client.get("/v1/network").json()["now"]
    text = SignIn("127.0.0.1:8450", checksummed(ALICE.address), URL, CHAIN_ID, nonce, now, now + 60).text()
    body = {"message": text, "signature": sign_text(ALICE, text), "cookie": True}
    cookie = client.post("/v1/auth/verify", json=body).headers["set-cookie"].lower()
    assert "httponly" in cookie and "samesite=strict" in cookie and "max-age=900" in cookie


@pytest.mark.attack
def test_under_tls_a_neighbours_cookie_is_not_read(tmp_path: Path, plays: dict[str, Play]) -> None:
    """Threat 75: a server of the same domain, or plain http, can set a cookie by the usual name, but none by this."""
    url, scenery = "https://market.example", plays["measured"].scenery
    with service(tmp_path, scenery, url=url) as (client, _):
        nonce, now = client.post("/v1/auth/nonce").json()["nonce"], scenery.now
        text = SignIn("market.example", checksummed(ALICE.address), url, CHAIN_ID, nonce, now, now + 60).text()
        body = {"message": text, "signature": sign_text(ALICE, text), "cookie": True}
        name, _, rest = client.post("/v1/auth/verify", json=body).headers["set-cookie"].partition("=")
        assert name == "__Host-heldout_session"
        assert "secure" in rest.lower() and "path=/;" in rest.lower() and "domain" not in rest.lower()
        token = rest.partition(";")[0]
        client.cookies.clear()
        for given, status in ((f"heldout_session={token}", 401), (f"{name}={token}", 200)):
            assert client.get("/v1/auth/session", headers={"Cookie": given}).status_code == status


@pytest.mark.attack
def test_a_cookie_does_not_help_another_sites_page(client: TestClient) -> None:
    """Threat 75."""
    sign_in(client, ALICE.address, cookie=True)
    assert client.delete("/v1/auth/session", headers=FOREIGN).status_code == 403
    assert client.get("/v1/auth/session").status_code == 200


def test_a_session_that_was_ended_is_good_for_nothing(client: TestClient) -> None:
    headers = bearer(client, ALICE.address)
    assert client.get("/v1/mailbox", headers=headers).status_code == 200
    assert client.delete("/v1/auth/session", headers=headers).status_code == 204
    answer = client.get("/v1/mailbox", headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (401, "sign_in")
    assert client.delete("/v1/auth/session", headers=headers).status_code == 401


@pytest.mark.parametrize("header", ["", "Basic abc", "Bearer", "Bearer x", "bearer a.b.c"])
def test_without_a_session_nothing_private_is_told(client: TestClient, header: str) -> None:
    """Threats 77 and 79."""
    for method, path in (("GET", "/v1/mailbox"), ("GET", "/v1/auth/session"), ("DELETE", "/v1/auth/session")):
        answer = client.request(method, path, headers={"Authorization": header} if header else {})
        assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer"), path


# --------------------------------------------------------------------------------------------------------- readings


def readings_of(play: Play, lane: int = 0) -> str:
    return f"/v1/jobs/{play.id}/lanes/{lane}/readings"


def test_a_provider_tells_of_its_training_and_nobody_else_can(client: TestClient, plays: dict[str, Play]) -> None:
    """Threat 79: the matrix of who and which lane."""
    lines = {"lines": [{"epoch": 1, "accuracy": 0.5}, {"epoch": 2, "accuracy": 0.75}]}
    play = plays["running"]
    for name, lane, status in (("ada", 0, 200), ("cyd", 0, 403), ("cyd", 1, 200), ("ada", 1, 403), ("ada", 2, 403)):
        answer = client.put(readings_of(play, lane), json=lines, headers=bearer(client, account(name)))
        assert answer.status_code == status, (name, lane)
    assert client.put(readings_of(play), json=lines).status_code == 401
    assert client.put(readings_of(plays["open"]), json=lines, headers=bearer(client, account("ada"))).status_code == 403
    shown = client.get(f"/v1/jobs/{play.id}/readings").json()["readings"]
    assert shown == {"0": lines["lines"], "1": lines["lines"]}


@pytest.mark.parametrize(
    "lines",
    [
        [{}],
        [{"a": "b"}],
        [{"": 1}],
        [{"x" * 41: 1}],
        [{"a\u001b": 1}],
        [{str(n): n for n in range(17)}],
        [{"a": 1}] * 101,
    ],
)
def test_what_is_no_reading_is_refused(client: TestClient, plays: dict[str, Play], lines: list[Any]) -> None:
    headers = bearer(client, account("ada"))
    assert client.put(readings_of(plays["running"]), json={"lines": lines}, headers=headers).status_code == 422


# ------------------------------------------------------------------------------------------------------ idempotency


def test_the_same_key_does_the_same_write_once(client: TestClient, plays: dict[str, Play]) -> None:
    play = plays["running"]
    letter = Letter(play.id, Kind.HALF_B, account("ada"), play.terms.requester, {"lane": 0, "envelope": "0x00"})
    body = {
        "job": letter.job,
        "kind": "half_b",
        "sender": letter.sender,
        "receiver": letter.receiver,
        "body": letter.body,
    }
    headers = {**bearer(client, account("ada")), "Idempotency-Key": "one"}
    first = client.post("/v1/letters", json=body, headers=headers)
    again = client.post("/v1/letters", json=body, headers=headers)
    assert (first.status_code, first.json()) == (201, {"new": True}) == (again.status_code, again.json())
    assert "idempotency-replayed" not in first.headers and again.headers["idempotency-replayed"] == "true"
    without = client.post("/v1/letters", json=body, headers=bearer(client, account("ada")))
    assert (without.status_code, without.json()) == (200, {"new": False})
    other = client.post("/v1/letters", json={**body, "body": {"lane": 1, "envelope": "0x00"}}, headers=headers)
    assert (other.status_code, other.json()["code"]) == (422, "key_reused")
    assert len(client.get("/v1/mailbox", headers=bearer(client, play.terms.requester)).json()["letters"]) == 1


def test_a_key_of_one_sender_is_not_anothers(client: TestClient, plays: dict[str, Play]) -> None:
    play = plays["running"]
    for lane, name in enumerate(("ada", "cyd")):
        headers = {**bearer(client, account(name)), "Idempotency-Key": "shared"}
        assert client.put(readings_of(play, lane), json={"lines": [{"a": lane}]}, headers=headers).status_code == 200


# ------------------------------------------------------------------------------------------------------ description


def test_the_description_is_openapi_3_1_and_names_every_answer(client: TestClient) -> None:
    described = client.get("/v1/openapi.json").json()
    assert described["openapi"].startswith("3.1")
    for path, methods in described["paths"].items():
        for method, operation in methods.items():
            answers = operation["responses"]
            assert {"421", "429", "503"} <= answers.keys(), path
            assert operation.get("summary") or operation.get("description")
            for status, answer in answers.items():
                if int(status) >= 400:
                    assert list(answer["content"]) == ["application/problem+json"], (path, method, status)
    assert "Problem" in described["components"]["schemas"]


def test_everything_a_page_shows_the_api_says_too(client: TestClient, plays: dict[str, Play]) -> None:
    play = plays["measured"]
    job = client.get(f"/v1/jobs/{play.id}").json()
    assert [lane["score"] for lane in job["lanes"]] == [966_667, 912_500]
    assert client.get(f"/v1/jobs/{play.id}/manifest").json()["code"] == "not_found"
    assert client.get(f"/v1/jobs/{play.id}/events").json()["events"][0]["name"] == "Posted"
    assert client.get("/v1/network").json()["block"] == play.scenery.block
