"""What an address earned and spent: on its page, in the API and as CSV, and all three agree with the jobs' money."""

import csv
import io
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from heldout.market.money import ONE_TOKEN
from tests.html_reader import read
from tests.scenery import Play, Scenery, account, small_market
from tests.service_app import service


@pytest.fixture(scope="module")
def plays() -> dict[str, Play]:
    return small_market()


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory, plays: dict[str, Play]) -> Iterator[TestClient]:
    with service(tmp_path_factory.mktemp("accounts"), plays["measured"].scenery) as (client, _):
        yield client


def of_jobs(client: TestClient, plays: dict[str, Play], address: str) -> list[tuple[str, bool, str]]:
    """The rows of all jobs' money tables that name an address."""
    return [
        (play.id, row["incoming"], row["amount"])
        for play in plays.values()
        for row in client.get(f"/v1/jobs/{play.id}/money").json()["money"]
        if row["account"] == address
    ]


@pytest.mark.parametrize("who", ["requester", "ada", "cold validator 1", "nobody"])
def test_page_api_and_csv_hold_every_row_of_the_jobs_money(
    client: TestClient, plays: dict[str, Play], who: str
) -> None:
    """P1.4, from an address's side."""
    address = plays["measured"].terms.requester if who == "requester" else account(who)
    wanted = sorted(of_jobs(client, plays, address))
    told, cursor = [], ""
    while cursor is not None:
        page = client.get(f"/v1/accounts/{address}/money", params={"cursor": cursor, "limit": 3}).json()
        told += page["money"]
        cursor = page["next"]
    assert sorted((row["job"], row["incoming"], row["amount"]) for row in told) == wanted
    rows = list(csv.DictReader(io.StringIO(client.get(f"/accounts/{address}.csv").text)))
    for column, incoming in (("earned", False), ("spent", True)):
        exact = sum((Decimal(row[column]) for row in rows if row[column]), Decimal())
        assert exact * 10**18 == sum(int(amount) for _, into, amount in wanted if into is incoming)
    assert len([row for row in rows if row["job"]]) == len(wanted)
    text = read(client.get(f"/accounts/{address}").text).text
    assert ("No job has paid this address" in text) is (not wanted)


def test_times_and_transactions_are_those_of_the_events(client: TestClient, plays: dict[str, Play]) -> None:
    play = plays["measured"]
    row = client.get(f"/v1/accounts/{account('ada')}/money").json()["money"][0]
    events = {event.tx: event.timestamp for event in play.scenery.events}
    assert events[row["tx"]] == row["at"]


def test_what_goes_in_is_called_escrow(client: TestClient, plays: dict[str, Play]) -> None:
    rows = client.get(f"/v1/accounts/{plays['open'].terms.requester}/money").json()["money"]
    assert {row["purpose"] for row in rows if row["incoming"]} == {"escrow", "bond"}


def test_the_books_add_up_to_the_free_balance(tmp_path: Path) -> None:
    """Deposits, withdrawals and stakes too; a slash is missing from the stake that comes back."""
    scenery, cold, ada = Scenery(), account("cold validator 0"), account("ada")
    scenery.tell("Deposited", **{"account": cold, "from": ada, "amount": 5_000 * ONE_TOKEN})
    scenery.stake(1)
    scenery.tell("Withdrawn", account=cold, to=ada, amount=ONE_TOKEN // 4)
    scenery.mine()
    scenery.tell("Unstaked", seat=1, cold=cold, amount=990 * ONE_TOKEN)
    with service(tmp_path, scenery) as (client, _):
        rows = list(csv.DictReader(io.StringIO(client.get(f"/accounts/{cold}.csv").text)))
        assert client.get(f"/accounts/{ada}.csv").text.count("\n") == 1, "another's deposit is not one's own money"
    assert [row["purpose"] for row in rows] == ["deposit", *(f"stake of seat {n}" for n in (0, 1, 2)), "withdrawal",
                                                "stake of seat 1"]  # fmt: skip
    assert sum(Decimal(row["moved"]) for row in rows) == Decimal("5000") - 3 * 1000 - Decimal("0.25") + 990
    assert not any(row["job"] or row["earned"] or row["spent"] for row in rows)


@pytest.mark.parametrize("path", ["/accounts/0x12", "/accounts/0x12.csv", "/v1/accounts/x/money"])
def test_what_is_no_address_has_no_account(client: TestClient, path: str) -> None:
    assert client.get(path).status_code == 422
