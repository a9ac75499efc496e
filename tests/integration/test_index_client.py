"""Both clients of the service's API, Python and JavaScript, against a real server: they reach all of it."""

import asyncio
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from inspect import signature
from pathlib import Path
from typing import Any

import httpx2
import pytest
from eth_account import Account

from heldout.market.carrier import ServiceProblem
from heldout.market.errors import BadInput, KeyProblem, Refused
from heldout.market.index_client import AsyncIndexClient, Call, IndexClient, Json, Routes
from heldout.market.messages import hexed
from tests.builders import CHAIN_ID
from tests.scenery import Play, small_market
from tests.service_app import listening

pytestmark = pytest.mark.integration

ALICE = Account.from_key("0x" + "01" * 32)
CLIENT = Path(__file__).parents[2] / "market" / "service" / "web" / "client" / "index.js"
NOT_CALLED_BY_NAME = {("POST", "/v1/auth/nonce"), ("POST", "/v1/auth/verify"), ("GET", "/v1/events")}
"""Signing in is done by itself, and the stream is a method of its own."""


@pytest.fixture(scope="module")
def plays() -> dict[str, Play]:
    return small_market()


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory, plays: dict[str, Play]) -> Iterator[str]:
    with listening(tmp_path_factory.mktemp("client"), plays["measured"].scenery) as url:
        yield url


class Noting(Routes[Call]):
    """Gives back the request that a method would make."""

    def _ask(self, call: Call) -> Call:
        return call


def routes_of_the_service(url: str) -> set[tuple[str, str]]:
    with IndexClient(url) as market:
        described = market._ask(Call("GET", "/v1/openapi.json"))
    return {
        (method.upper(), re.sub(r"\{\w+\}", "x", path))
        for path, methods in described["paths"].items()
        for method in methods
        if path.startswith("/v1/")
    }


def test_the_python_client_has_a_method_for_every_route(url: str) -> None:
    made = set()
    for name, method in vars(Routes).items():
        if not name.startswith("_"):
            needed = [p for p in list(signature(method).parameters.values())[1:] if p.default is p.empty]
            values: list[Any] = [{} if p.name == "letter" else "x" for p in needed if p.kind is p.POSITIONAL_OR_KEYWORD]
            call = getattr(Noting(), name)(*values)
            made.add((call.method, call.path))
    assert made | NOT_CALLED_BY_NAME == routes_of_the_service(url)


def test_the_javascript_client_has_a_path_for_every_route(url: str) -> None:
    source = CLIENT.read_text()
    paths = {"/v1/" + re.sub(r"\$\{\w+\}", "x", path) for path in re.findall(r'["`]([a-z][a-z/${}]+)["`]', source)}
    assert {path for _, path in routes_of_the_service(url)} <= paths


def test_a_program_reads_the_market(url: str, plays: dict[str, Play]) -> None:
    with IndexClient(url) as market:
        assert {job["id"] for job in market.walk("jobs")} == {play.id for play in plays.values()}
        assert [job["id"] for job in market.walk("jobs", metric="rmse")] == [plays["lower"].id]
        assert market.job(plays["measured"].id)["outcome"] == "measured"
        assert len(list(market.walk("validators"))) == 8
        artifact = hexed(plays["measured"].artifact_of(0))
        assert market.chain(artifact)["chain"]["artifact"] == artifact


def test_a_job_taken_away_as_python_runs_and_tells_the_job(url: str, plays: dict[str, Play]) -> None:
    """The program of a job's page, as a reader would run it."""
    play = plays["measured"]
    program = httpx2.get(f"{url}/jobs/{play.id}.py", trust_env=False).text
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    told = run.stdout.splitlines()
    with IndexClient(url) as market:
        rows, lanes = market.money(play.id)["money"], market.job(play.id)["lanes"]
    assert told[0] == "settled measured"
    assert told[1 : 1 + len(lanes)] == [f"{lane['provider']} {lane['score']} {lane['payout']}" for lane in lanes]
    assert len(told) == 1 + len(lanes) + len(rows) and {line[:4] for line in told[1 + len(lanes) :]} == {"in  ", "out "}


def test_events_go_on_after_the_last_one_known(url: str, plays: dict[str, Play]) -> None:
    with IndexClient(url) as market:
        stream = market.events(job=plays["measured"].id)
        first = [next(stream) for _ in range(3)]
        assert first == market.job_events(plays["measured"].id)["events"][:3]
        assert next(market.events(job=plays["measured"].id, after=first[1]["id"])) == first[2]


def test_a_session_is_begun_when_it_is_needed_and_again_when_it_ended(url: str) -> None:
    with IndexClient(url, ALICE, CHAIN_ID) as market:
        assert market.mailbox() == {"letters": []}
        assert market.session()["address"] == ALICE.address
        market.sign_out()
        assert market.mailbox() == {"letters": []}
    with IndexClient(url) as market, pytest.raises(KeyProblem):
        market.mailbox()


def test_a_refusal_has_the_services_own_code(url: str) -> None:
    with IndexClient(url) as market:
        with pytest.raises(Refused) as refused:
            market.job("0x" + "00" * 32)
        assert (refused.value.code, refused.value.retryable) == ("not_found", True)
        with pytest.raises(Refused) as refused:
            market.jobs(cursor="x")
        assert refused.value.code == "bad_cursor"
    with IndexClient("http://127.0.0.1:9") as market, pytest.raises(ServiceProblem):
        market.network()
    with pytest.raises(BadInput):
        IndexClient("ftp://127.0.0.1")


def test_asyncio_has_it_all_too(url: str, plays: dict[str, Play]) -> None:
    async def read() -> tuple[Json, list[str], Json, str]:
        async with AsyncIndexClient(url, ALICE, CHAIN_ID) as market:
            job, box = await market.job(plays["open"].id), await market.mailbox()
            ids = [job["id"] async for job in market.walk("jobs", state="open")]
            async for event in market.events(job=plays["open"].id):
                return job, ids, box, event["name"]
            raise AssertionError("the stream ended")

    job, ids, box, first = asyncio.run(read())
    assert (job["state"], box, first) == ("open", {"letters": []}, "Posted")
    assert set(ids) == {plays["open"].id, plays["lower"].id}


SCRIPT = """
import { Heldout, HeldoutError } from %(client)s;
const market = new Heldout(%(url)s);
const ids = [];
for await (const job of market.walk("jobs", { state: "settled" })) ids.push(job.id);
let refused;
const none = "0x" + "00".repeat(32);
try { await market.job(none); } catch (error) { refused = [error instanceof HeldoutError, error.code]; }
const signed = await market.signIn(%(address)s, %(chain)d, () => "0x" + "11".repeat(65));
const box = await market.mailbox();
await market.signOut();
let after;
try { await market.mailbox(); } catch (error) { after = error.code; }
let event;
for await (const each of market.events({ job: ids[0] })) { event = each.name; break; }
console.log(JSON.stringify({ ids, refused, address: signed.address, box, after, event }));
process.exit(0);
"""


def test_the_javascript_client_does_the_same(url: str, plays: dict[str, Play], tmp_path: Path) -> None:
    words = {"client": json.dumps(CLIENT.as_uri()), "url": json.dumps(url), "chain": CHAIN_ID}
    script = tmp_path / "script.mjs"
    script.write_text(SCRIPT % {**words, "address": json.dumps(ALICE.address)})
    run = subprocess.run(["node", script], capture_output=True, text=True, timeout=60, check=False)
    assert run.returncode == 0, run.stderr
    said = json.loads(run.stdout)
    assert set(said["ids"]) == {plays[name].id for name in ("measured", "bad", "expired")}
    assert said["refused"] == [True, "not_found"]
    assert (said["address"], said["box"], said["after"]) == (ALICE.address, {"letters": []}, "sign_in")
    assert said["event"] == "Posted"
