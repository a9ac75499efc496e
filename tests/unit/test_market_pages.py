"""Pages about people, artifacts, the whole market and its errors: true to the index, and whole for a reader."""

import csv
import io
from collections.abc import Iterator

import pytest
from starlette.testclient import TestClient

from heldout.market.chain.hints import HINTS
from heldout.market.errors import HeldoutError
from heldout.market.messages import BAD, hexed
from heldout.market.service.manifests import Manifests
from heldout.market.service.pages.market_pages import _prices
from heldout.market.service.reported import Reported
from tests.builders import TERMS
from tests.html_reader import Told, read
from tests.scenery import Play, Scenery, account, small_market
from tests.service_app import service
from tests.unit.test_pages import MANIFEST


@pytest.fixture(scope="module")
def plays() -> dict[str, Play]:
    return small_market()


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory, plays: dict[str, Play]) -> Iterator[TestClient]:
    with service(tmp_path_factory.mktemp("pages"), plays["measured"].scenery) as (client, engine):
        Reported(engine).replace(plays["measured"].id, 0, [{"epoch": 1, "accuracy": 0.974}])
        yield client


def page(client: TestClient, path: str) -> Told:
    answer = client.get(path, headers={"Accept": "text/html"})
    assert answer.status_code == 200, answer.text
    told = read(answer.text)
    assert told.tags.count("h1") == 1 and not told.open
    assert not {name for name, _ in told.attributes if name.startswith("on") or name == "style"}
    return told


def test_providers_are_ranked_by_paid_lanes_and_lead_to_their_pages(client: TestClient) -> None:
    rows = client.get("/v1/providers").json()["providers"]
    assert [row["paid"] for row in rows] == sorted((row["paid"] for row in rows), reverse=True)
    text = page(client, "/providers").text
    for row in rows:
        assert row["provider"][:6] in text
        assert page(client, f"/providers/{row['provider']}")


def test_a_providers_page_has_its_ends_its_earnings_and_its_gap(client: TestClient) -> None:
    text = page(client, f"/providers/{account('ada')}").text
    assert "73.3335" in text
    assert "going on" in text and "paid" in text
    assert "−0.007333" in text, "measured 0.966667, said 0.974"
    assert "BAD" in page(client, f"/providers/{account('dan')}").text


@pytest.mark.parametrize(
    ("name", "end"), [("ada", "paid"), ("dan", "BAD"), ("cyd", "going on")], ids=lambda value: str(value)
)
def test_every_lane_says_how_it_ended(client: TestClient, name: str, end: str) -> None:
    assert end in client.get(f"/v1/providers/{account(name)}").json()["ends"]


def test_a_lane_that_was_not_delivered_is_told_from_one_below_the_floor(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    scene = Scenery()
    scene.stake(8)
    low = scene.job("low").accept(("ada", 80)).submit().commit(4, 9, 17)
    low.reveal(*[[800_000]] * 3).settle(800_000)
    with service(tmp_path_factory.mktemp("ends"), scene) as (client, _):
        assert client.get(f"/v1/providers/{account('ada')}").json()["ends"] == {"below the floor": 1}


def test_who_did_not_submit_is_not_told_to_have_withheld_anything(tmp_path_factory: pytest.TempPathFactory) -> None:
    """A program that exits 1 leaves no weights: nothing was there to be delivered."""
    scene = Scenery()
    play = scene.job("crashes").accept(("ada", 80)).close()
    with service(tmp_path_factory.mktemp("crashed"), scene) as (client, _):
        assert client.get(f"/v1/providers/{account('ada')}").json()["ends"] == {"not submitted": 1}
        for path in (f"/providers/{account('ada')}", f"/jobs/{play.id}"):
            text = page(client, path).text
            assert "not submitted" in text and "withheld" not in text and "not delivered" not in text, path


def test_what_was_only_agreed_on_ranks_nobody_and_its_terms_break_no_page(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    """Threat 32: an RPC tells of terms that no contract would take. And one wei to oneself costs nothing to repeat."""
    scene = Scenery()
    scene.stake(8)
    for n in range(3):
        scene.job(f"to myself {n}", target=TERMS.floor).accept(("eve", 1)).agree((TERMS.floor, 1))
    scene.job("measured").accept(("ada", 80)).submit().commit(4, 9, 17).reveal(*[[950_000]] * 3).settle(950_000)
    with service(tmp_path_factory.mktemp("agreed"), scene) as (client, _):
        rows = client.get("/v1/providers").json()["providers"]
        assert [(row["provider"], row["paid"]) for row in rows] == [(account("ada"), 1), (account("eve"), 0)]
        assert client.get(f"/v1/providers/{account('eve')}").json()["ends"] == {"agreed": 3}
        assert "agreed" in page(client, f"/providers/{account('eve')}").text
        assert "agreed" not in page(client, f"/providers/{account('ada')}").text
    assert _prices([{"score": 1, "floor": 5, "target": 5, "price": "1", "job": "0x", "end": "paid"}]) is None


def test_a_validators_page_compares_each_vote_with_what_was_decided(client: TestClient, plays: dict[str, Play]) -> None:
    """Seat 13 stood apart in the torn job: it belongs to the fifth validator."""
    apart = client.get(f"/v1/validators/{account('cold validator 4')}").json()
    assert [vote["agrees"] for vote in apart["recent"] if vote["job"] == plays["appealed"].id] == [False]
    assert (apart["revealed"], apart["agreed"]) == (1, 0) or apart["judged"] > apart["agreed"]
    text = page(client, f"/validators/{account('hot validator 4')}").text
    assert "0.700000" in text and "0.940000" in text
    assert "as decided" in text


def test_a_seat_that_is_used_again_does_not_inherit_votes(tmp_path_factory: pytest.TempPathFactory) -> None:
    """P5.1"""
    scene = Scenery()
    scene.stake(8)
    scene.job("before").accept(("ada", 80)).submit().commit(4, 9, 17).reveal(*[[960_000]] * 3).settle(960_000)
    scene.tell("Unstaked", seat=4, cold=account("cold validator 1"), amount=1)
    scene.tell("Staked", seat=4, cold=account("newcomer"), hot=account("newcomer hot"), wrapKey=bytes(32))
    with service(tmp_path_factory.mktemp("seats"), scene) as (client, _):
        newcomer = client.get(f"/v1/validators/{account('newcomer')}").json()
        assert (newcomer["committed"], newcomer["recent"]) == (0, [])
        assert client.get(f"/v1/validators/{account('cold validator 3')}").json()["committed"] == 1


def test_an_artifact_names_what_it_is_made_of_and_what_is_made_of_it(
    client: TestClient, plays: dict[str, Play]
) -> None:
    """P7"""
    artifact = hexed(plays["measured"].artifact_of(0))
    shown = client.get(f"/v1/artifacts/{artifact}").json()
    assert (shown["score"], shown["measured"], shown["job"]) == (966_667, True, plays["measured"].id)
    assert [use["job"] for use in shown["used_by"]] == [plays["scored"].id]
    told = page(client, f"/artifacts/{artifact}")
    assert ("href", f"/jobs/{plays['scored'].id}") in told.attributes
    assert "5.0 %" in told.text
    assert ("href", f"/artifacts/{artifact}") in page(client, f"/jobs/{plays['measured'].id}").attributes


def test_an_artifact_is_drawn_with_what_it_was_made_of(tmp_path_factory: pytest.TempPathFactory) -> None:
    """P7.4, and threat 73: the drawing comes without a style sheet of its own."""
    scene = Scenery()
    scene.stake(8)
    parent = scene.job("parent").accept(("ada", 80)).submit().commit(0, 3, 6).reveal(*[[960_000]] * 3).settle(960_000)
    child = scene.job("child", parents=(parent.as_parent(0, 300),)).accept(("bea", 60)).submit().commit(1, 4, 7)
    child.reveal(*[[970_000]] * 3).settle(970_000)
    with service(tmp_path_factory.mktemp("drawn"), scene) as (client, _):
        for path in (f"/artifacts/{hexed(child.artifact_of(0))}", f"/jobs/{child.id}"):
            told = page(client, path)
            assert "style" not in told.tags
            assert told.text.count("seat ") >= 6
            for whole in (hexed(parent.artifact_of(0)), hexed(child.artifact_of(0)), account("ada")):
                assert whole[:10] in told.text
        chain = client.get(f"/v1/artifacts/{hexed(child.artifact_of(0))}/chain").json()["chain"]
        assert {made["job"] for made in chain["artifacts"]} == {parent.id, child.id}


def test_lists_go_page_by_page_without_a_gap_or_a_double(client: TestClient) -> None:
    for kind, key in (("providers", "provider"), ("validators", "cold"), ("artifacts", "artifact")):
        whole = [row[key] for row in client.get(f"/v1/{kind}?limit=100").json()[kind]]
        seen: list[str] = []
        cursor = ""
        while cursor is not None:
            part = client.get(f"/v1/{kind}", params={"limit": 1, "cursor": cursor}).json()
            seen += [row[key] for row in part[kind]]
            cursor = part["next"]
        assert seen == whole and len(set(seen)) == len(seen) > 1


def test_the_network_page_counts_supply_by_what_was_paid_not_by_what_was_said(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    scene = Scenery()
    scene.stake(8)
    task = {"taskHash": MANIFEST.task_hash}
    for name, score in (("ada", 960_000), ("bea", 950_000), ("dan", BAD)):
        scene.job(name, **task).accept((name, 80)).submit().commit(4, 9, 17).reveal(*[[score]] * 3).settle(score)
    scene.job("wanted", **task)
    with service(tmp_path_factory.mktemp("network"), scene) as (client, engine):
        Manifests(engine).keep(MANIFEST)
        figures = client.get("/v1/statistics").json()
        assert figures["hardware"] == [{"hardware": "linux/amd64", "open_jobs": 1, "proven_providers": 2}]
        assert figures["agreement"] == {"votes": 9, "agreed": 9}
        assert figures["seats"] == {"live": 24, "owners": 8}
        (price,) = figures["metrics"]
        assert price["lanes"] == 2 and price["p25"] == price["median"], "of two the lower half is the lower one"
        assert int(price["p75"]) > int(price["median"])
        text = page(client, "/network").text
        assert "x86-64" in text and "100.0 %" in text


def test_settled_lanes_are_open_data(client: TestClient, plays: dict[str, Play]) -> None:
    answer = client.get("/network.csv")
    assert answer.headers["content-type"].startswith("text/csv")
    rows = list(csv.DictReader(io.StringIO(answer.text)))
    assert {row["job"] for row in rows} == {plays["measured"].id, plays["bad"].id}
    assert {row["metric"] for row in rows} == {"accuracy"}


def test_the_error_page_lists_the_whole_tree_and_every_refusal_of_the_contract(client: TestClient) -> None:
    """One tree: the page, the API and the command line cannot disagree."""
    told = page(client, "/errors")
    ids = {value for name, value in told.attributes if name == "id"}
    assert {"chain_unavailable", "bad_input", "insufficient_funds", "sandbox_unavailable", *HINTS} <= ids
    listed = client.get("/v1/errors").json()["errors"]
    assert all(row["says"] for row in listed)
    assert [row["exit_code"] for row in listed if row["kind"] == "HeldoutError"] == [HeldoutError.exit_code]
    assert {row["code"]: row["retryable"] for row in listed}["chain_unavailable"] is True


@pytest.mark.parametrize("path", ["providers", "validators", "network", "errors", "jobs"])
def test_an_empty_market_has_all_its_pages(path: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    with service(tmp_path_factory.mktemp("empty"), Scenery()) as (client, _):
        assert page(client, f"/{path}")
        assert client.get("/network.csv").text.count("\n") == 1
