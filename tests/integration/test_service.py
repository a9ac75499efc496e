"""`heldout market serve` as a process over a real chain: index, letters, stream, death and return (P8, P11e)."""

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx2
import pytest
from eth_account import Account
from sqlalchemy import Engine, text

from heldout.devnet.anvil import free_port
from heldout.devnet.devnet import Devnet
from heldout.market.artifacts import HttpStore
from heldout.market.carrier import Carrier
from heldout.market.errors import Refused
from heldout.market.mail import Mail
from heldout.market.messages import Bid, Kind, Letter, bid_letter, hexed
from heldout.market.money import ONE_TOKEN, Wei
from heldout.market.service.database import open_database
from heldout.market.service.indexer import Index
from heldout.market.service.reading import Reading
from tests.scripted_job import Party, ScriptedJob
from tests.servers import served

pytestmark = pytest.mark.integration

STRANGER = Account.from_key("0x" + "77" * 32)
PRICE = Wei(10 * ONE_TOKEN)


class Town:
    """A devnet with 24 seats, a provider with money, and a market service that a test can stop and start."""

    def __init__(self, net: Devnet) -> None:
        self.net = net
        self.url = net.network.service or ""
        self.database = net.state / "service.db"
        self.client = httpx2.Client(base_url=self.url, trust_env=False, timeout=10)
        self._service = ExitStack()

    def start_service(self, *options: str) -> None:
        self._service.enter_context(self.service(*options))

    def service(self, *options: str) -> AbstractContextManager[subprocess.Popen[bytes]]:
        files = ["--network", str(self.net.network_file), "--db", str(self.database)]
        words = ["market", "serve", *files, "--listen", self.url.partition("://")[2], *options]
        return served(words, self.url, self.net.state / "service.log")

    def stop_service(self) -> None:
        self._service.close()

    def rebuilt_hash(self, name: str) -> str:
        """Of an index that reads the chain for the first time now."""
        with opened(str(self.net.state / name)) as engine:
            index = Index(engine, self.net.chain())
            while not index.step().caught_up:
                pass
            return Reading(engine).state_hash()

    def get(self, path: str, **options: Any) -> Any:
        answer = self.client.get(f"/v1{path}", **options)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def until_indexed(self) -> None:
        """The index stands where the chain stands."""
        head = self.net.chain().head().number
        self.until(lambda: self.get("/network")["block"] >= head)

    def until(self, condition: Callable[[], Any], seconds: float = 20) -> Any:
        end = time.monotonic() + seconds
        while not (found := condition()):
            assert time.monotonic() < end, "it never happened"
            time.sleep(0.05)
        return found

    def state_hash(self) -> str:
        with opened(str(self.database)) as engine:
            return Reading(engine).state_hash()


@contextmanager
def opened(url: str) -> Iterator[Engine]:
    engine = open_database(url)
    yield engine
    engine.dispose()


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    with Devnet.up(tmp_path_factory.mktemp("devnet"), service=False) as net:
        for number in range(8):
            net.stake(number)
        net.deposit("provider-0", Wei(1_000 * ONE_TOKEN))
        town = Town(net)
        town.start_service()
        yield town
        town.stop_service()
        town.client.close()


@pytest.fixture
def job(town: Town) -> Iterator[ScriptedJob]:
    """A job that is posted, with nobody in it yet."""
    with ScriptedJob(town.net) as job:
        job.post()
        town.until_indexed()
        yield job


def send_bid(job: ScriptedJob, **options: Any) -> Party:
    """Provider 0 bids on the job."""
    provider = job.party("provider-0")
    now = job.chain.head().timestamp
    bid = Bid(job.bytes, provider.keys.address, PRICE, provider.keys.wrap_public, now + 600, time.monotonic_ns())
    digest = bid.digest(job.network.chain_id, job.network.market)
    provider.mail.send(bid_letter(bid, provider.keys.account.unsafe_sign_hash(digest).signature), **options)
    return provider


def letter(job: ScriptedJob, sender: str, receiver: str, text: str = "0x00") -> Letter:
    return Letter(job.id, Kind.HALF_B, sender, receiver, {"lane": 0, "envelope": text})  # type: ignore[arg-type]


def play(job: ScriptedJob) -> None:
    """From bid to payout."""
    provider = send_bid(job)
    job.accept()
    provider.send("submit", job.id, 0, os.urandom(32))
    job.net.mine(3)
    job.vote(800_000)
    job.net.warp(job.terms.challengeWindow + 1)
    job.requester.send("settle", job.terms.as_tuple())


# --------------------------------------------------------------------------------------------------------- reading


def test_a_jobs_whole_life_is_in_the_index_and_its_money_sums(town: Town, job: ScriptedJob) -> None:
    """P1.4, from the index alone; every row's transaction is one of the chain's."""
    play(job)
    town.until_indexed()
    shown = town.get(f"/jobs/{job.id}")
    assert (shown["state"], shown["outcome"]) == ("settled", "measured")
    assert shown["lanes"][0]["score"] == 800_000
    assert len(shown["rounds"][0]["votes"]) == 3
    money = town.get(f"/jobs/{job.id}/money")["money"]
    assert sum(int(row["amount"]) * (1 if row["incoming"] else -1) for row in money) == 0
    events = town.get(f"/jobs/{job.id}/events")["events"]
    on_chain = job.chain.events(0, job.chain.head().number, job=job.id)
    assert [(e["name"], e["id"], e["tx"]) for e in events] == [(e.name, e.id, e.tx) for e in on_chain]
    transactions = {event.tx for event in on_chain}
    assert {row["tx"] for row in (shown, *shown["lanes"], *shown["rounds"], *money)} <= transactions


def test_jobs_are_found_by_what_they_are(town: Town, job: ScriptedJob) -> None:
    assert town.get("/jobs")["jobs"][0]["id"] == job.id
    assert (
        town.get("/jobs", params={"state": "open", "requester": job.terms.requester.lower()})["jobs"][0]["id"] == job.id
    )
    assert town.get("/jobs", params={"requester": STRANGER.address})["jobs"] == []
    assert len(town.get("/seats")["seats"]) == 24
    hot = job.party("validator-3").keys.address
    assert [seat["hot"] for seat in town.get("/seats", params={"address": hot})["seats"]] == [hot] * 3


def test_a_person_with_a_browser_sees_the_jobs(town: Town, job: ScriptedJob) -> None:
    answer = town.client.get("/")
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert "unsafe" not in answer.headers["content-security-policy"]
    assert answer.headers["content-security-policy"].startswith("default-src 'none'")
    assert job.id in answer.text


def test_an_idle_service_is_small(town: Town) -> None:
    """90 MB resident, what any node may hold, with the chain read and the API asked; pages are made when first seen."""
    url = f"http://127.0.0.1:{free_port()}"
    files = ["--network", str(town.net.network_file), "--db", str(town.net.state / "idle.db")]
    words = ["market", "serve", *files, "--listen", url.partition("://")[2]]
    head = town.net.chain().head().number
    with served(words, url, town.net.state / "idle.log"):

        def ask(path: str) -> httpx2.Response:
            return town.client.get(url + path)

        town.until(lambda: (ask("/v1/network").json()["block"] or 0) >= head)
        assert ask("/v1/jobs").status_code == 200
        (held,) = re.findall(r"^process_resident_memory_bytes (\S+)$", ask("/metrics").text, re.MULTILINE)
        assert float(held) < 90e6
        assert "<h1" in ask("/").text


# ------------------------------------------------------------------------------------------------------- trustless


def command(town: Town, *words: str) -> tuple[int, dict[str, Any]]:
    """Exit code, and the last JSON object on stdout."""
    line = [sys.executable, "-m", "heldout", *words, "--network", str(town.net.network_file), "--json"]
    done = subprocess.run(line, capture_output=True, text=True, timeout=60, check=False)
    return done.returncode, json.loads(done.stdout.splitlines()[-1])


def test_the_command_line_reads_the_chain_alone_and_says_where_the_service_lies(town: Town, job: ScriptedJob) -> None:
    """Threat 54: an altered price, and an outcome that nobody measured."""
    play(job)
    town.until_indexed()
    code, shown = command(town, "job", "show", job.id, "--trustless")
    assert (code, shown["id"]) == (0, job.id)
    lies = (
        ("UPDATE lanes SET price = :new WHERE price = :old AND job = :job", str(PRICE), "1", "lanes.0.price"),
        ("UPDATE jobs SET outcome = :new WHERE outcome = :old AND id = :job", "measured", "agreed", "outcome"),
    )
    with opened(str(town.database)) as engine:
        for statement, old, new, what in lies:
            with engine.begin() as connection:
                connection.execute(text(statement), {"old": old, "new": new, "job": job.id})
            town.net.mine()  # answers are kept until the next block
            town.until_indexed()
            code, told = command(town, "job", "show", job.id, "--trustless")
            with engine.begin() as connection:
                connection.execute(text(statement), {"old": new, "new": old, "job": job.id})
            assert code == 5
            assert told["differences"] == [{"what": what, "chain": old, "service": new}]
    town.net.mine()
    town.until_indexed()
    assert command(town, "job", "list", "--trustless")[0] == 0


# --------------------------------------------------------------------------------------------------------- letters


def test_a_bid_and_a_letter_arrive(town: Town, job: ScriptedJob) -> None:
    provider = send_bid(job)
    (seen,) = job.requester.mail.bids(job.id)
    assert seen.body["price"] == str(PRICE)
    sent = letter(job, job.requester.keys.address, provider.keys.address)
    for _ in range(2):
        job.requester.mail.send(sent)
    assert job.letters(Kind.HALF_B, provider) == [sent]
    assert job.letters(Kind.HALF_B, provider) == []


def test_seats_that_are_drawn_can_write_before_anybody_pinned_them(town: Town, job: ScriptedJob) -> None:
    """P5.3: a submission goes to seats that no event has named yet."""
    provider = send_bid(job)
    job.accept()
    provider.send("submit", job.id, 0, os.urandom(32))
    job.net.mine(3)
    seat = job.seat(job.drawn()[0])
    sent = letter(job, provider.keys.address, seat.keys.address)
    provider.mail.send(sent)
    assert job.letters(Kind.HALF_B, seat) == [sent]


def test_a_stranger_can_neither_write_nor_be_written_to(town: Town, job: ScriptedJob) -> None:
    """Threat 79."""
    carrier = Carrier(town.url, job.network, STRANGER)
    with pytest.raises(Refused) as refused:
        carrier.post(letter(job, STRANGER.address, job.requester.keys.address))
    assert refused.value.code == "not_a_party"
    with pytest.raises(Refused) as refused:
        carrier.post(letter(job, job.requester.keys.address, STRANGER.address))
    assert refused.value.code == "sign_in"
    assert list(carrier.mail(0)) == []
    carrier.close()


def test_a_session_that_ended_is_renewed_by_itself(town: Town, job: ScriptedJob) -> None:
    mail = job.requester.mail
    assert mail.fetch() is not None
    carrier: Any = mail._carrier
    carrier._token = carrier._token[:-4] + "AAAA"
    provider = send_bid(job)
    job.requester.mail.send(letter(job, job.requester.keys.address, provider.keys.address))
    assert job.letters(Kind.HALF_B, provider) != []


@pytest.mark.parametrize("off_s", [-86_400, 86_400])
def test_a_party_whose_clock_is_a_day_off_signs_in_by_the_services_time(
    town: Town, job: ScriptedJob, off_s: float
) -> None:
    """Threat 55."""
    party = job.requester.keys.account
    carrier = Carrier(town.url, job.network, party, clock=lambda: time.time() + off_s)
    assert list(carrier.mail(1 << 40)) == []
    carrier.close()


# --------------------------------------------------------------------------------------------------------- privacy


def test_what_is_held_about_somebody_is_taken_along_and_erased(town: Town, job: ScriptedJob, tmp_path: Path) -> None:
    """At the service and at the store, by the commands that a person types."""
    send_bid(job)
    with closing(HttpStore(town.net.network.stores[0], town.net.keys("provider-0").account)) as store:
        artifact = store.put(b"sealed weights")
        store.pin(artifact)

        def account(*words: str) -> dict[str, Any]:
            keys = ["--home", str(town.net.home("provider-0")), "--password-file", str(town.net.password_file)]
            code, said = command(town, "account", *words, *keys)
            assert code == 0, said
            return said

        held = account("show")
        assert held["letters"] >= 1 and held["live"] >= 1
        file = tmp_path / "mine.jsonl"
        account("export", "--out", str(file))
        rows = [json.loads(line) for line in file.read_text().splitlines()]
        assert {row["kind"] for row in rows} >= {"letter", "artifact"}
        assert any(row["job"] == job.id for row in rows)
        assert account("erase", "--dry-run")["letters"] == held["letters"]
        assert account("erase", "-y")["kept"] == held["live"]
        assert [pin["dropped"] for pin in store.pins()] == [True]
        assert account("erase", "-y", "--live")["kept"] == 0
    assert job.requester.mail.bids(job.id) == []
    assert account("show")["letters"] == 0


# ---------------------------------------------------------------------------------------------------------- stream


def read_stream(town: Town, count: int, **options: Any) -> list[dict[str, Any]]:
    """The first events of the stream."""
    found: list[dict[str, Any]] = []
    with town.client.stream("GET", "/v1/events", timeout=20, **options) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        for line in answer.iter_lines():
            if line.startswith("data: "):
                found.append(json.loads(line[6:]))
            if len(found) == count:
                return found
    raise AssertionError("the stream ended")


def test_a_stream_goes_on_where_it_broke_off(town: Town, job: ScriptedJob) -> None:
    job.net.mine(job.network.confirmations + 1)
    town.until_indexed()
    whole = town.get(f"/jobs/{job.id}/events")["events"]
    assert read_stream(town, 3, params={"job": job.id}) == whole[:3]
    rest = read_stream(town, 1, params={"job": job.id}, headers={"Last-Event-ID": whole[1]["id"]})
    assert rest == [whole[2]]


def test_a_stream_tells_what_happens_once_it_is_deep_enough(town: Town, job: ScriptedJob) -> None:
    """An event that a reorg could still take back is not told: its id would then name another."""
    job.net.mine(5)
    town.until_indexed()
    last = town.get(f"/jobs/{job.id}/events")["events"][-1]["id"]
    job.requester.send("cancel", job.terms.as_tuple())
    town.until_indexed()
    names = {event["name"] for event in town.get(f"/jobs/{job.id}/events", params={"after": last})["events"]}
    assert "Settled" in names
    options = {"params": {"job": job.id}, "headers": {"Last-Event-ID": last}}
    with town.client.stream("GET", "/v1/events", timeout=1.5, **options) as answer, pytest.raises(httpx2.ReadTimeout):
        next(line for line in answer.iter_lines() if line.startswith("data: "))
    job.net.mine(job.network.confirmations)
    assert read_stream(town, 1, **options)[0]["name"] in names


# ----------------------------------------------------------------------------------------------- loss and recovery


def test_a_service_that_lost_its_database_comes_back_with_the_same_rows(town: Town, job: ScriptedJob) -> None:
    """Threat 53, P11e: and the job went on without it, over the chain alone (threat 52)."""
    town.stop_service()
    provider = send_bid(job, fallback=True)
    job.accept()
    sent = letter(job, job.requester.keys.address, provider.keys.address)
    job.requester.mail.send(sent, fallback=True)
    assert job.letters(Kind.HALF_B, provider) == [sent]
    town.start_service()
    town.until_indexed()
    lived = town.state_hash()
    town.stop_service()
    for file in town.database.parent.glob("service.db*"):
        file.unlink()
    town.start_service()
    town.until_indexed()
    assert town.state_hash() == lived
    town.stop_service()
    town.start_service("--rebuild")
    town.until_indexed()
    assert town.state_hash() == lived


def test_a_service_killed_at_any_moment_goes_on_where_it_was(town: Town, job: ScriptedJob) -> None:
    town.stop_service()
    with town.service() as process:
        send_bid(job)
        process.kill()
        process.wait()
    town.start_service()
    town.until_indexed()
    assert len(town.get(f"/jobs/{job.id}/bids")["letters"]) == 1
    assert town.rebuilt_hash("fresh.db") == town.state_hash()


def test_what_a_reorg_took_back_is_not_in_the_index(town: Town, job: ScriptedJob) -> None:
    """Threat 26."""
    job.net.mine(3)
    job.requester.send("cancel", job.terms.as_tuple())
    town.until_indexed()
    assert town.get(f"/jobs/{job.id}")["state"] == "settled"
    events = job.chain.events(0, job.chain.head().number, job=job.id)
    town.net.anvil.take_back(events[-1].block)
    town.until(lambda: town.get(f"/jobs/{job.id}")["state"] == "open")
    assert "heldout_market_rollbacks_total 0.0" not in town.client.get("/metrics").text
    town.until_indexed()
    assert town.rebuilt_hash("after-reorg.db") == town.state_hash()


# ------------------------------------------------------------------------------------------------ requests gone bad


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "code"),
    [
        ("GET", "/v1/jobs/0x12", None, 422, "bad_request"),
        ("GET", "/v1/jobs/0x" + "00" * 32, None, 404, "not_found"),
        ("GET", "/v1/jobs?limit=1000", None, 422, "bad_request"),
        ("GET", "/v1/jobs?cursor=x", None, 400, "bad_cursor"),
        ("GET", "/v1/jobs?requester=' OR 1=1", None, 422, "bad_request"),
        ("GET", "/v1/mailbox", None, 401, "sign_in"),
        ("GET", "/v1/mailbox?after=-1", None, 422, "bad_request"),
        ("GET", "/v1/mailbox?after=9999999999999999999999", None, 422, "bad_request"),
        ("GET", "/v1/nowhere", None, 404, "not_found"),
        ("DELETE", "/v1/jobs", None, 405, "method_not_allowed"),
        ("POST", "/v1/letters", b"{", 422, "bad_request"),
        ("POST", "/v1/letters", b"[]", 422, "bad_request"),
        ("POST", "/v1/letters", b"{}", 400, "bad_message"),
        ("POST", "/v1/letters", b'{"job": NaN}', 400, "bad_message"),
        ("POST", "/v1/letters", b"[" * 50_000, 400, "bad_request"),
        ("POST", "/v1/letters", b" " * 100_000, 413, "too_large"),
        ("POST", "/v1/auth/verify", b'{"message": "x", "signature": "0x"}', 422, "bad_request"),
        (
            "POST",
            "/v1/auth/verify",
            json.dumps({"message": "x", "signature": "0x" + "00" * 65}).encode(),
            400,
            "bad_sign_in",
        ),
        ("GET", "/v1/events?job=x", None, 422, "bad_request"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_every_bad_request_gets_problem_json(
    town: Town, method: str, path: str, body: bytes | None, status: int, code: str
) -> None:
    """RFC 9457, threats 72 and 80."""
    answer = town.client.request(method, path, content=body, headers={"Content-Type": "application/json"})
    assert (answer.status_code, answer.json().get("code")) == (status, code), answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert "Traceback" not in answer.text


def test_a_body_without_a_length_is_not_read(town: Town) -> None:
    """Threat 80."""
    answer = town.client.post("/v1/letters", content=iter([b"{}"]))
    assert (answer.status_code, answer.json()["code"]) == (411, "length_required")


@pytest.mark.attack
@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1", "localhost:1", ""])
def test_a_page_that_rebinds_its_name_is_sent_away(town: Town, host: str) -> None:
    """Threat 76."""
    answer = town.client.get("/v1/network", headers={"Host": host})
    assert (answer.status_code, answer.json()["code"]) == (421, "wrong_host")


@pytest.mark.attack
def test_another_pages_script_gets_no_leave_to_read(town: Town) -> None:
    """Threats 75 and 76: no CORS header is ever sent, and no cookie is set."""
    for method in ("GET", "OPTIONS"):
        answer = town.client.request(method, "/v1/network", headers={"Origin": "http://evil.example"})
        assert not [name for name in answer.headers if name.lower().startswith(("access-control", "set-cookie"))]


@pytest.mark.attack
def test_the_service_listens_on_loopback_alone(town: Town) -> None:
    """Threat 88."""
    port = int(town.url.rpartition(":")[2])
    listening = [
        line.split()[1] for line in Path("/proc/net/tcp").read_text().splitlines()[1:] if line.split()[3] == "0A"
    ]
    assert [address for address in listening if address.endswith(f":{port:04X}")] == [f"0100007F:{port:04X}"]


def test_the_api_describes_itself(town: Town) -> None:
    paths = town.get("/openapi.json")["paths"]
    assert {"/v1/jobs", "/v1/jobs/{job}", "/v1/letters", "/v1/mailbox", "/v1/events", "/v1/auth/verify"} <= paths.keys()


def test_a_service_of_another_chain_is_refused_at_once(town: Town, tmp_path: Path) -> None:
    """Threats 39 and 87."""
    altered = tmp_path / "network.json"
    altered.write_text(json.dumps({**json.loads(town.net.network_file.read_text()), "code_hash": hexed(bytes(32))}))
    words = [
        "market",
        "serve",
        "--network",
        str(altered),
        "--db",
        str(tmp_path / "db"),
        "--listen",
        "127.0.0.1:0",
        "--json",
    ]
    done = subprocess.run([sys.executable, "-m", "heldout", *words], capture_output=True, text=True, timeout=30)
    assert (done.returncode, json.loads(done.stderr.splitlines()[-1])["code"]) == (7, "wrong_network")


def test_mail_without_a_service_reads_the_chain(town: Town, job: ScriptedJob) -> None:
    """Threat 52."""
    lonely = replace(job.network, service=None)
    provider = job.party("provider-0")
    sent = letter(job, provider.keys.address, job.requester.keys.address)
    Mail(lonely, job.chain, provider.keys.account, provider.outbox).send(sent, fallback=True)
    assert sent in Mail(lonely, job.chain, job.requester.keys.account).fetch(job.id)
