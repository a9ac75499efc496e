"""The pages: whole without scripts, true to the chain, and inert whatever a stranger wrote."""

import tomllib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from sqlalchemy import Engine
from starlette.testclient import TestClient

from heldout.market.manifest import TaskFile
from heldout.market.money import format_tokens
from heldout.market.posting.jobfile import parse
from heldout.market.service.manifests import Manifests
from heldout.market.service.reported import Reported
from tests.builders import TERMS
from tests.every_page import MANIFEST
from tests.html_reader import Told, read
from tests.scenery import Play, Scenery, small_market
from tests.service_app import NETWORK, service

HOSTILE = '"><script>alert(1)</script><img src=x onerror=alert(1)>{{ 7 * 7 }}'


@pytest.fixture(scope="module")
def plays() -> dict[str, Play]:
    return small_market()


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory, plays: dict[str, Play]) -> Iterator[tuple[TestClient, Engine]]:
    with service(tmp_path_factory.mktemp("pages"), plays["measured"].scenery) as both:
        Reported(both[1]).replace(plays["measured"].id, 0, [{"epoch": e, "accuracy": 0.9 + e / 100} for e in range(8)])
        yield both


@pytest.fixture
def client(served: tuple[TestClient, Engine]) -> TestClient:
    return served[0]


def page(client: TestClient, path: str) -> Told:
    answer = client.get(path)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    return read(answer.text)


def job_pages(plays: dict[str, Play]) -> list[str]:
    return [f"/jobs/{play.id}" for play in plays.values()]


# ----------------------------------------------------------------------------------------------------- every page


def test_every_page_keeps_to_the_strict_policy_it_is_sent_with(client: TestClient, plays: dict[str, Play]) -> None:
    """Threat 73: no inline script, no inline style, no handler, nothing from elsewhere."""
    for path in ("/", "/jobs", *job_pages(plays)):
        answer = client.get(path)
        policy = answer.headers["content-security-policy"]
        assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self'")
        assert "unsafe" not in policy
        told = read(answer.text)
        assert "style" not in told.tags
        names = {name for name, _ in told.attributes}
        assert "style" not in names
        assert not {name for name in names if name.startswith("on")}
        assert answer.text.count("<script") == 1 and '<script type="module" src="/static/' in answer.text
        addresses = [value for name, value in told.attributes if name in ("href", "src", "action")]
        assert not [a for a in addresses if not a.startswith(("/", "#"))], addresses


def test_every_page_has_one_heading_a_language_and_names_for_what_is_drawn(
    client: TestClient, plays: dict[str, Play]
) -> None:
    for path in ("/", "/jobs", *job_pages(plays)):
        told = page(client, path)
        assert told.tags.count("h1") == 1 and told.tags.count("main") == 1
        assert ("lang", "en") in told.attributes
        drawn = [dict(attributes) for tag, attributes in told.elements if tag == "svg"]
        assert all("aria-hidden" in svg or (svg["role"] == "img" and svg["aria-label"]) for svg in drawn)
        assert not told.open, "something is not closed"


def test_static_files_are_named_by_their_content_and_kept_for_ever(client: TestClient) -> None:
    addresses = [v for n, v in page(client, "/").attributes if v.startswith("/static/")]
    assert len(addresses) >= 3
    for address in addresses:
        answer = client.get(address)
        assert answer.status_code == 200
        assert "immutable" in answer.headers["cache-control"]
    assert client.get("/static/000000000000/site.css").status_code == 404
    assert client.get("/static/000000000000/..%2fapp.py").status_code == 404


# ----------------------------------------------------------------------------------------------------- front page


def test_a_visitor_sees_strangers_land_on_the_same_number(client: TestClient) -> None:
    """The committee of a real settled job, and as many strangers as it had owners."""
    told = page(client, "/")
    assert "Three strangers, one number." in told.text
    assert "0.966667" in told.text


def test_three_seats_of_one_owner_are_not_called_three_strangers(tmp_path: Path) -> None:
    """P10: seats are drawn, not people."""
    scene = Scenery()
    scene.stake(1)
    play = scene.job("alone").accept(("ada", 80)).submit().commit(0, 1, 2).reveal(*[[960_000]] * 3).settle(960_000)
    with service(tmp_path, scene) as (client, _):
        text = page(client, "/").text
        assert "Strangers who land on the same number." in text
        assert "Three strangers" not in text
        assert play.id[:6] in text


def test_an_empty_market_says_what_to_do(tmp_path: Path) -> None:
    scene = Scenery()
    with service(tmp_path, scene) as (client, _):
        assert "No job was posted yet." in page(client, "/").text
        assert "No job was posted yet." in page(client, "/jobs").text
        assert "No job is like that." in page(client, "/jobs?metric=auc").text


# ----------------------------------------------------------------------------------------------------------- jobs


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("state=open", {"open", "lower"}),
        ("state=settled&outcome=measured", {"measured", "bad"}),
        ("metric=rmse", {"lower"}),
        ("least=50&state=open", {"lower"}),
        ("state=&metric=&least=&hardware=", set()),
        ("hardware=gpu", set()),
    ],
)
def test_an_address_is_a_search(client: TestClient, plays: dict[str, Play], query: str, names: set[str]) -> None:
    found = page(client, f"/jobs?{query}").text
    wanted = names or (set(plays) if "gpu" not in query else set())
    assert {name for name, play in plays.items() if play.id[:6] in found} == wanted
    feed = ElementTree.fromstring(client.get(f"/jobs.atom?{query}").content)
    ids = {entry.findtext("{*}id", "").rpartition(":")[2] for entry in feed.findall("{*}entry")}
    assert ids == {plays[name].id for name in wanted}
    assert {job["id"] for job in client.get(f"/v1/jobs?{query}&limit=100").json()["jobs"]} == ids


def test_a_search_goes_on_page_by_page(tmp_path: Path) -> None:
    scene = Scenery()
    plays = [scene.job(f"job {number}") for number in range(60)]
    with service(tmp_path, scene) as (client, _):
        path, seen = "/jobs?state=open&least=1.5", ""
        while path:
            told = page(client, path)
            seen += told.text
            follow = [value for name, value in told.attributes if name == "href" and "cursor=" in value]
            assert all("least=1.5" in address and "state=open" in address for address in follow)
            path = follow[0] if follow else ""
        assert all(play.id[:6] in seen for play in plays)


@pytest.mark.parametrize("query", ["least=x", "state=' OR 1=1", "cursor=x", "requester=0x12"])
def test_a_search_that_makes_no_sense_gets_a_page_that_says_why(client: TestClient, query: str) -> None:
    answer = client.get(f"/jobs?{query}", headers={"Accept": "text/html"})
    assert answer.status_code in (400, 422)
    assert answer.headers["content-type"].startswith("text/html")
    assert read(answer.text).tags.count("h1") == 1
    assert client.get(f"/jobs?{query}").headers["content-type"] == "application/problem+json"


# ------------------------------------------------------------------------------------------------------------ job


def test_a_settled_jobs_page_has_said_measured_and_the_gap_between_them(
    client: TestClient, plays: dict[str, Play]
) -> None:
    text = page(client, f"/jobs/{plays['measured'].id}").text
    assert "Provider's own last report" in text
    assert "0.97" in text and "0.966667" in text
    assert "−0.003333" in text
    assert "In and out are equal, to the last unit" in text
    assert "3 of 3 seats say 0.966667" in " ".join(text.split())


def test_every_stage_says_who_acts_until_when_and_what_if_nobody_does(
    client: TestClient, plays: dict[str, Play]
) -> None:
    for name, words in {
        "open": ("Providers bid", "the escrow goes back to the requester"),
        "running": ("Providers train", "lose their collateral"),
        "committing": ("drawn seats score", "a bigger committee is drawn"),
        "revealing": ("open their commitments", "a majority of reveals decides"),
        "scored": ("appeals", "the job is settled and everybody is paid"),
    }.items():
        text = page(client, f"/jobs/{plays[name].id}").text
        assert all(word in text for word in words), name


def test_a_deadline_that_has_passed_names_the_move_that_anyone_may_make(tmp_path: Path) -> None:
    """P1.1"""
    scene = Scenery()
    play = scene.job("forgotten")
    scene.mine(1000)
    with service(tmp_path, scene) as (client, _):
        assert "Anyone may call expire now" in page(client, f"/jobs/{play.id}").text


def test_a_code_is_explained_where_a_score_would_stand(client: TestClient, plays: dict[str, Play]) -> None:
    text = page(client, f"/jobs/{plays['bad'].id}").text
    assert "BAD: the weights were opened and are no weights of this model" in text


def test_a_seat_that_stands_apart_is_drawn_in_another_shape(client: TestClient, plays: dict[str, Play]) -> None:
    """Not by colour alone."""
    html = client.get(f"/jobs/{plays['appealed'].id}").text
    assert "seat 13: 0.700000, apart from the majority" in html
    assert "2 of 3" in " ".join(read(html).text.split())


def test_money_of_every_job_sums_on_its_page(client: TestClient, plays: dict[str, Play]) -> None:
    """P1.4"""
    for play in plays.values():
        rows = client.get(f"/v1/jobs/{play.id}/money").json()["money"]
        text = page(client, f"/jobs/{play.id}").text
        for incoming in (True, False):
            total = sum(int(row["amount"]) for row in rows if row["incoming"] is incoming)
            assert format_tokens(total, 2) in text
        assert "DIFFER" not in text


def test_a_job_taken_away_as_toml_asks_for_the_same(tmp_path: Path) -> None:
    """It is a job file that the command line reads."""
    scene = Scenery()
    play = scene.job("to take away", taskHash=MANIFEST.task_hash, workWindow=600)
    with service(tmp_path, scene) as (client, engine):
        bare = client.get(f"/jobs/{play.id}.toml").text
        assert tomllib.loads(bare)["score"]["metric"] == "accuracy"
        Manifests(engine).keep(MANIFEST)
        answer = client.get(f"/jobs/{play.id}.toml")
        assert "attachment" in answer.headers["content-disposition"]
        job = parse(answer.text, tmp_path / "job.toml")
        assert (job.score.floor, job.score.target, job.pay.price) == (TERMS.floor, TERMS.target, TERMS.priceCap)
        assert (job.pay.fee, job.pay.bond, job.pay.collateral) == (TERMS.fee, TERMS.bond, TERMS.collateral)
        assert (job.command, job.resources) == (MANIFEST.command, MANIFEST.resources)
        files = page(client, f"/jobs/{play.id}").text
        assert "train.py" in files and "68.4 KiB" in files


def test_a_job_taken_away_says_a_strangers_words_exactly(tmp_path: Path) -> None:
    words = ("python3", '\U0001f600 \x7f \x01 \u2028 " ]')
    manifest, scene = replace(MANIFEST, command=words), Scenery()
    play = scene.job("odd words", taskHash=manifest.task_hash)
    with service(tmp_path, scene) as (client, engine):
        Manifests(engine).keep(manifest)
        assert tomllib.loads(client.get(f"/jobs/{play.id}.toml").text)["task"]["command"] == list(words)


def test_the_beginning_of_a_jobs_id_leads_to_the_job(client: TestClient, plays: dict[str, Play]) -> None:
    """As the command line takes it; what names none, or several, is not found, in words."""
    job = plays["measured"].id
    for beginning in (job[:10], job[:10].upper().replace("0X", "0x")):
        answer = client.get(f"/jobs/{beginning}", follow_redirects=False)
        assert (answer.status_code, answer.headers["location"]) == (302, f"/jobs/{job}")
    assert client.get(f"/jobs/{job[:10]}.toml").text == client.get(f"/jobs/{job}.toml").text
    for name, told in (("0x", "named like that"), ("0x0x", "named like that"), ("one", "named like that")):
        assert told in client.get(f"/jobs/{name}").json()["detail"]
    absent = next(f"0x{n:04x}" for n in range(2**16) if not any(p.id.startswith(f"0x{n:04x}") for p in plays.values()))
    page = client.get(f"/jobs/{absent}", headers={"Accept": "text/html"})
    assert page.status_code == 404 and f"no jobs of this market begin with {absent}" in page.text
    shared = next(p.id[:3] for p in plays.values() if sum(q.id[:3] == p.id[:3] for q in plays.values()) > 1)
    assert "several jobs" in client.get(f"/jobs/{shared}").json()["detail"]


def test_a_graph_that_lies_among_the_tasks_files_is_listed_once(tmp_path: Path) -> None:
    manifest, scene = replace(MANIFEST, files=(*MANIFEST.files, MANIFEST.graph)), Scenery()
    play = scene.job("graph", taskHash=manifest.task_hash)
    with service(tmp_path, scene) as (client, engine):
        Manifests(engine).keep(manifest)
        assert client.get(f"/jobs/{play.id}").text.count(f"<code>{manifest.graph.path}</code>") == 1


def test_the_front_page_says_amounts_as_people_do_and_slashing_as_the_protocol_does(client: TestClient) -> None:
    """P5.4: a round slashes nobody for being different, a later one that decides does."""
    text = page(client, "/").text
    assert "73.33 of its bid of 80.00" in " ".join(text.split()), text
    assert "A vote unlike its round's majority earns no fee" in text
    assert ("href", "/earn") in page(client, "/").attributes
    told = page(client, "/earn").text
    for command in ("provider init", "provider deposit", "provider run", "validator init", "validator stake 3"):
        assert f"heldout {command}" in told


def test_what_is_not_there_is_a_page_too(client: TestClient) -> None:
    for path in ("/jobs/0x" + "00" * 32, "/jobs/0x12", "/nowhere"):
        answer = client.get(path, headers={"Accept": "text/html"})
        assert answer.status_code in (404, 422)
        assert read(answer.text).tags.count("h1") == 1
    assert client.get("/v1/nowhere", headers={"Accept": "text/html"}).headers["content-type"].endswith("problem+json")


# -------------------------------------------------------------------------------------------------------- hostile


def hostile_scene() -> Play:
    scene = Scenery()
    scene.stake(8)
    return scene.job("hostile").accept(("ada", 80)).submit().commit(4, 9, 17).reveal(*[[966_667]] * 3)


def test_nothing_a_stranger_writes_becomes_markup(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Threat 73: names of metrics, files, commands, images and of the network itself."""
    play = hostile_scene()
    monkeypatch.setattr(
        "heldout.market.service.manifests.Manifests.of",
        lambda self, task: replace(
            MANIFEST,
            files=(TaskFile(HOSTILE, HOSTILE, 1),),
            image={HOSTILE: HOSTILE},
            command=(HOSTILE,),
            scorer=HOSTILE,
        ),
    )
    with service(tmp_path, play.scenery, replace(NETWORK, name=HOSTILE, market=HOSTILE)) as (client, engine):
        Reported(engine).replace(play.id, 0, [{HOSTILE: 0.5, "epoch": 1}, {"accuracy": 0.9, HOSTILE: 2}])
        for path in ("/", "/jobs", f"/jobs/{play.id}"):
            html = client.get(path).text
            told = read(html)
            assert "img" not in told.tags
            assert told.tags.count("script") == 1
            assert "onerror" not in {name for name, _ in told.attributes}
            assert "49" not in html.split("alert(1)")[-1][:40]
        assert HOSTILE in told.text


def test_a_search_word_comes_back_as_text(client: TestClient) -> None:
    """Threat 73, reflected."""
    answer: Any = client.get("/jobs", params={"least": HOSTILE[:48]}, headers={"Accept": "text/html"})
    assert answer.status_code == 400
    assert "img" not in read(answer.text).tags
