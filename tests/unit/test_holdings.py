"""What is held about an address that is not on chain: told to it alone, taken along, and erased for good."""

import json
from collections.abc import Iterator

import pytest
from sqlalchemy import Engine, insert, update
from starlette.testclient import TestClient

from heldout.market.messages import Kind, Letter
from heldout.market.service import database as db
from heldout.market.service import holdings
from tests.scenery import Play, account, small_market
from tests.service_app import service
from tests.unit.test_service_api import bearer

STRANGER = account("nobody")
TASK = "0x" + "7a" * 32
"""Of the measured job alone: in the scenery all jobs share one."""


@pytest.fixture
def market() -> dict[str, Play]:
    return small_market()


@pytest.fixture
def served(tmp_path_factory: pytest.TempPathFactory, market: dict[str, Play]) -> Iterator[tuple[TestClient, Engine]]:
    with service(tmp_path_factory.mktemp("holdings"), market["measured"].scenery) as both:
        yield both


def fill(
    engine: Engine, play: Play, first: int, count: int = 2, *, sender: str = "", receiver: str = ""
) -> list[Letter]:
    """Letters about a job between its provider and its requester, and readings of lane 0."""
    requester, provider = str(play.terms.requester), play.providers[0]
    letters = [
        Letter(play.id, Kind.HALF_B, sender or provider, receiver or requester, {"lane": 0, "envelope": f"0x{n:04x}"})  # type: ignore[arg-type]
        for n in range(first, first + count)
    ]
    with db.writing(engine).begin() as connection:
        for number, letter in enumerate(letters, first):
            encoded = letter.encode()
            row = {"number": number, "hash": f"{number:064x}", "job": letter.job, "kind": letter.kind.value}
            row |= {"sender": letter.sender.lower(), "receiver": letter.receiver.lower(), "letter": encoded.decode()}
            connection.execute(insert(db.letters), row)
            reading = {"job": play.id, "lane": 0, "number": number, "json": json.dumps({"accuracy": number / 1000})}
            connection.execute(insert(db.readings), reading)
        if first == 1:
            connection.execute(update(db.jobs).where(db.jobs.c.id == play.id).values(task=TASK))
            manifest = {"task": TASK, "gpus": 0, "platforms": " any ", "json": "{}"}
            connection.execute(insert(db.manifests), manifest)
    return letters


def exported(client: TestClient, headers: dict[str, str]) -> list[dict[str, object]]:
    rows, cursor = [], ""
    while cursor is not None:
        page = client.get("/v1/account/export", params={"cursor": cursor}, headers=headers).json()
        rows += page["rows"]
        cursor = page["next"]
    return rows


def test_nobody_is_told_or_erased_without_a_session(served: tuple[TestClient, Engine]) -> None:
    client, _ = served
    assert client.get("/v1/account").status_code == 401
    assert client.get("/v1/account/export").status_code == 401
    assert client.delete("/v1/account").status_code == 401


def test_everything_is_taken_along_page_by_page(
    served: tuple[TestClient, Engine], market: dict[str, Play], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(holdings, "PAGE", 3)
    client, engine = served
    letters = fill(engine, market["measured"], 1, 7)
    mine = bearer(client, market["measured"].providers[0])
    rows = exported(client, mine)
    assert [row["value"] for row in rows if row["kind"] == "letter"] == [json.loads(each.encode()) for each in letters]
    assert len([row for row in rows if row["kind"] == "reading"]) == 7
    requester = exported(client, bearer(client, str(market["measured"].terms.requester)))
    assert [row["kind"] for row in requester] == ["letter"] * 7 + ["manifest"]
    assert exported(client, bearer(client, STRANGER)) == []


def test_erasing_spares_what_live_jobs_need_unless_asked(
    served: tuple[TestClient, Engine], market: dict[str, Play]
) -> None:
    client, engine = served
    settled, live = market["measured"], market["running"]
    provider = settled.providers[0]
    fill(engine, settled, 1)
    fill(engine, live, 500, sender=provider)
    mine = bearer(client, provider)
    held = client.get("/v1/account", headers=mine).json()
    assert (held["letters"], held["readings"], held["live"]) == (4, 4, 4)
    first = client.delete("/v1/account", headers=mine).json()
    assert (first["letters"], first["readings"], first["kept"]) == (2, 2, 4)
    last = client.delete("/v1/account", params={"live": True}, headers=mine).json()
    assert (last["letters"], last["kept"]) == (2, 0)
    assert exported(client, mine) == []


def test_a_strangers_wish_erases_nothing_of_others(served: tuple[TestClient, Engine], market: dict[str, Play]) -> None:
    client, engine = served
    fill(engine, market["measured"], 1)
    client.delete("/v1/account", params={"live": True}, headers=bearer(client, STRANGER))
    owner = bearer(client, market["measured"].providers[0])
    assert client.get("/v1/account", headers=owner).json()["letters"] == 2


def test_the_manifest_goes_with_its_requesters_last_wish(
    served: tuple[TestClient, Engine], market: dict[str, Play]
) -> None:
    client, engine = served
    fill(engine, market["measured"], 1)
    requester = bearer(client, str(market["measured"].terms.requester))
    assert client.delete("/v1/account", params={"live": True}, headers=requester).json()["manifests"] == 1
    assert client.get("/v1/account", headers=requester).json()["manifests"] == 0


@pytest.mark.parametrize(
    "cursor", ["letter:x", "nothing:1", "reading:a", "letter:" + "9" * 30, "letter:²", "manifest:\0", "reading:0x0:1:1"]
)
def test_a_cursor_that_was_not_given_out_is_refused(served: tuple[TestClient, Engine], cursor: str) -> None:
    client, _ = served
    answer = client.get("/v1/account/export", params={"cursor": cursor}, headers=bearer(client, STRANGER))
    assert (answer.status_code, answer.json()["code"]) == (400, "bad_cursor")
