"""Who keeps what in a store, until when, on whose account; and that nothing of a live job is ever removed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from eth_account import Account
from hypothesis import given, settings
from hypothesis import strategies as st
from obstore.store import MemoryStore
from prometheus_client import CollectorRegistry
from starlette.testclient import TestClient

from heldout.market.artifacts import ArtifactId, DiskStore
from heldout.market.artifacts.allowance import Allowance
from heldout.market.artifacts.collecting import Collector
from heldout.market.artifacts.incoming import Incoming, Vault
from heldout.market.artifacts.keeping import NOBODY, Keeping
from heldout.market.artifacts.permit import ACCOUNT_HEADER, HEADER, write_account_permit, write_permit
from heldout.market.artifacts.s3 import S3Store
from heldout.market.artifacts.server import StoreSettings, create_app
from heldout.market.errors import ChainProblem, Refused
from heldout.market.lifecycle import ChainEvent
from heldout.market.terms import Address, BlockNumber, Timestamp

URL = "http://127.0.0.1:8460"
NOW = 1_800_000_000
KEEP = 1_000
QUOTA = 2_000
ALICE, BOB = Account.from_key("0x" + "01" * 32), Account.from_key("0x" + "02" * 32)
DATA = b"artifact " * 100
ID = ArtifactId(sha256(DATA).hexdigest())


class Clock:
    now = float(NOW)

    def __call__(self) -> float:
        return self.now


@dataclass
class Head:
    number: int


class Chain:
    """Events as a test writes them; may be down."""

    def __init__(self) -> None:
        self.told: list[ChainEvent] = []
        self.down = False

    def tell(self, name: str, job: int, at: float, **args: Any) -> None:
        args = {"job": job.to_bytes(32, "big"), **args}
        block = BlockNumber(len(self.told) + 1)
        self.told.append(ChainEvent(name, args, block, "0x", "0x", 0, Timestamp(int(at))))

    def head(self, confirmations: int = 0) -> Head:
        if self.down:
            raise ChainProblem("down")
        return Head(len(self.told))

    def events(self, first: int, last: int, *, names: Any = None) -> list[ChainEvent]:
        return [event for event in self.told if first <= event.block <= last and event.name in names]


class Place:
    """A store with its accounts, its collector and its server."""

    def __init__(self, folder: Path, vault: Vault) -> None:
        self.folder, self.vault, self.clock, self.chain = folder, vault, Clock(), Chain()
        self.open()

    def open(self) -> None:
        self.keeping = Keeping(self.folder / "pins.db", QUOTA, KEEP, self.clock)
        self.collector = Collector(self.keeping, self.vault, self.chain, CollectorRegistry(), self.clock)

    def put(self, data: bytes, account: Any = ALICE) -> ArtifactId:
        artifact = self.vault.put(data)
        self.keeping.pin(artifact, Address(account.address), len(data))
        return artifact


@pytest.fixture(params=["disk", "s3"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    vault: Vault = DiskStore(tmp_path / "store") if request.param == "disk" else S3Store(MemoryStore(), "b", tmp_path)
    place = Place(tmp_path, vault)
    yield place
    place.keeping.close()
    vault.close()


# --------------------------------------------------------------------------------------------------------- collecting


def test_what_nobody_keeps_any_more_is_removed(place: Place) -> None:
    kept, gone = place.put(DATA, BOB), place.put(b"old")
    place.clock.now += KEEP - 1
    place.put(DATA, BOB)
    assert place.collector.round() == 0
    place.clock.now += 2
    assert place.collector.round() == 1
    assert (place.vault.has(kept), place.vault.has(gone)) == (True, False)
    assert place.keeping.used(Address(ALICE.address)) == 0


def test_nothing_of_a_live_job_goes_whatever_its_parties_do(place: Place) -> None:
    """Requester and provider; dropped, long past its time, and after a restart."""
    place.chain.tell("Posted", 7, NOW, requester=ALICE.address)
    place.chain.tell("Accepted", 7, NOW, bids=[{"provider": BOB.address}])
    data, weights = place.put(DATA), place.put(b"weights", BOB)
    place.keeping.drop(data, Address(ALICE.address))
    place.clock.now += 100 * KEEP
    assert place.collector.round() == 0
    place.keeping.close()
    place.open()
    assert place.collector.round() == 0
    place.chain.tell("Settled", 7, place.clock.now)
    assert place.collector.round() == 1  # dropped, and no job of hers goes on
    assert (place.vault.has(data), place.vault.has(weights)) == (False, True)
    place.clock.now += KEEP + 1
    assert place.collector.round() == 1
    assert not place.vault.has(weights)


def test_without_the_chain_nothing_is_removed(place: Place) -> None:
    """Neither while it is down nor where none is followed."""
    artifact = place.put(DATA)
    place.clock.now += 10 * KEEP
    place.chain.down = True
    with pytest.raises(ChainProblem):
        place.collector.round()
    alone = Collector(place.keeping, place.vault, None, CollectorRegistry(), place.clock)
    assert alone.round() == 0
    assert place.vault.has(artifact)


def test_after_a_crash_bytes_and_pins_belong_together_again(place: Place) -> None:
    orphan = place.vault.put(b"of an older store")
    place.keeping.pin(ID, Address(ALICE.address), len(DATA))  # whose bytes never came
    place.collector.reconcile()
    assert [(pin.artifact, pin.address) for pin in place.keeping.pins()] == [(orphan, NOBODY)]
    place.clock.now += KEEP + 1
    assert place.collector.round() == 1


def test_who_pins_what_another_gives_up_keeps_it(place: Place) -> None:
    artifact = place.put(DATA)
    place.put(DATA, BOB)
    assert place.keeping.drop(artifact, Address(ALICE.address))
    assert place.collector.round() == 0
    assert place.keeping.drop(artifact, Address(BOB.address))
    assert place.collector.round() == 1


def test_no_address_fills_a_store_alone(place: Place) -> None:
    place.put(b"a" * 1_500)
    with pytest.raises(Refused) as refused:
        place.put(b"b" * 600)
    assert refused.value.code == "quota_used"
    place.put(b"b" * 600, BOB)
    place.put(b"a" * 1_500)  # for longer, not twice
    assert place.keeping.used(Address(ALICE.address)) == 1_500


def test_however_many_keep_an_artifact_one_whose_pin_stands_saves_it(place: Place) -> None:
    """Threat 79: pins are looked at in the order of addresses, and dead ones are anybody's to make."""
    artifact = place.put(DATA, BOB)
    for n in range(501):
        place.keeping.pin(artifact, Address(f"0x{n:040x}"), len(DATA))
        place.keeping.drop(artifact, Address(f"0x{n:040x}"))
    assert place.keeping.stands(artifact)


ACTS = ("put", "drop", "post", "settle", "wait", "round", "crash")
STEPS = st.lists(st.tuples(st.sampled_from(ACTS), st.integers(0, 3)), max_size=40)


class Whatever:
    """Two accounts, four artifacts (n is of account n % 2), four jobs (likewise), and what of them is live."""

    def __init__(self, folder: Path, vault: DiskStore) -> None:
        self.place, self.vault = Place(folder, vault), vault
        self.live: set[int] = set()
        self.over: set[int] = set()

    def put(self, n: int) -> None:
        self.place.put(f"blob {n}".encode(), (ALICE, BOB)[n % 2])

    def drop(self, n: int) -> None:
        self.place.keeping.drop(self.blob(n), Address((ALICE, BOB)[n % 2].address))

    def post(self, n: int) -> None:
        if n not in self.live | self.over:
            self.live.add(n)
            self.place.chain.tell("Posted", n, NOW, requester=(ALICE, BOB)[n % 2].address)

    def settle(self, n: int) -> None:
        if n in self.live:
            self.live.remove(n)
            self.over.add(n)
            self.place.chain.tell("Settled", n, self.place.clock.now)

    def wait(self, n: int) -> None:
        self.place.clock.now += n * KEEP

    def round(self, _: int) -> None:
        before = {n for n in range(4) if self.vault.has(self.blob(n))}
        self.place.collector.round()
        gone = {n for n in before if not self.vault.has(self.blob(n))}
        assert not {n % 2 for n in gone} & {n % 2 for n in self.live}

    def crash(self, _: int) -> None:
        self.place.keeping.close()
        self.place.open()
        self.place.collector.reconcile()

    @staticmethod
    def blob(n: int) -> ArtifactId:
        return ArtifactId(sha256(f"blob {n}".encode()).hexdigest())


@settings(max_examples=60, deadline=None)
@given(STEPS)
def test_whatever_happens_what_is_kept_is_there(tmp_path_factory: pytest.TempPathFactory, steps: list[Any]) -> None:
    """After any run of uploads, wishes, jobs, waits and crashes: no live job loses anything, and pins have bytes."""
    folder = tmp_path_factory.mktemp("any")
    with DiskStore(folder / "store") as vault:
        play = Whatever(folder, vault)
        for name, number in steps:
            getattr(play, name)(number)
            for pin in play.place.keeping.pins():
                if pin.until is None or pin.until > play.place.clock.now:
                    assert vault.has(pin.artifact)
        play.place.keeping.close()


# -------------------------------------------------------------------------------------------------------- over HTTP


@pytest.fixture
def client(place: Place) -> Iterator[TestClient]:
    allowance = Allowance(place.folder / "uploads.db", 1 << 30, place.clock)
    options = StoreSettings(URL, {"127.0.0.1:8460"}, 1_000, place.clock, lambda: 0.0, chain=place.chain)
    with TestClient(create_app(place.vault, allowance, place.keeping, options), base_url=URL) as client:
        yield client
    allowance.close()


def upload(client: TestClient, account: Any = ALICE, data: bytes = DATA) -> int:
    artifact = ArtifactId(sha256(data).hexdigest())
    headers = {HEADER: write_permit(account, URL, artifact, len(data), NOW + 60)}
    return client.put(f"/v1/blobs/{artifact}", content=data, headers=headers).status_code


def owner(action: str, account: Any = ALICE) -> dict[str, str]:
    return {ACCOUNT_HEADER: write_account_permit(account, URL, action, NOW + 60)}


def test_an_upload_is_on_its_signers_account_and_so_is_a_second_one(client: TestClient) -> None:
    assert (upload(client), upload(client, BOB)) == (201, 200)
    said = client.get(f"/v1/pins/{ID}").json()
    assert {pin["address"] for pin in said["pins"]} == {ALICE.address.lower(), BOB.address.lower()}
    assert {(pin["until"], pin["bytes"]) for pin in said["pins"]} == {(NOW + KEEP, len(DATA))}
    own = client.get("/v1/pins", headers=owner("list")).json()
    assert (own["used"], own["quota"], [pin["artifact"] for pin in own["pins"]]) == (len(DATA), QUOTA, [ID])


def test_anybody_may_keep_what_is_here_and_give_it_up(client: TestClient) -> None:
    upload(client)
    permit = {HEADER: write_permit(BOB, URL, ID, len(DATA), NOW + 60)}
    assert [client.put(f"/v1/pins/{ID}", headers=permit).status_code for _ in range(2)] == [201, 200]
    assert client.delete(f"/v1/pins/{ID}", headers=owner(f"drop {ID}", BOB)).json() == {"dropped": 1}
    assert client.delete("/v1/pins", headers=owner("drop all")).json() == {"dropped": 1}
    absent = {HEADER: write_permit(BOB, URL, ArtifactId("0" * 64), 1, NOW + 60)}
    assert client.put(f"/v1/pins/{'0' * 64}", headers=absent).status_code == 404
    assert client.get(f"/v1/pins/{'0' * 64}").status_code == 404


def test_an_upload_over_the_quota_or_broken_off_leaves_no_pin(client: TestClient, place: Place) -> None:
    assert upload(client, data=b"x" * 3_000) == 403
    headers = {HEADER: write_permit(ALICE, URL, ID, 5, NOW + 60)}
    assert client.put(f"/v1/blobs/{ID}", content=b"other", headers=headers).status_code == 422
    assert place.keeping.pins() == []


def claim(client: TestClient, data: bytes, account: Any = ALICE) -> int:
    """Upload one byte as if it were the whole."""
    artifact = ArtifactId(sha256(data).hexdigest())
    headers = {HEADER: write_permit(account, URL, artifact, 1, NOW + 60)}
    return client.put(f"/v1/blobs/{artifact}", content=b"z", headers=headers).status_code


def test_an_account_counts_what_is_kept_whatever_its_owner_says(client: TestClient) -> None:
    """Threat 80: a pin that says one byte would leave the quota free for the next artifact, and the next."""
    first, second = b"a" * 1_900, b"b" * 1_900
    assert (upload(client, data=first), claim(client, first)) == (201, 422)
    assert client.get("/v1/pins", headers=owner("list")).json()["used"] == len(first)
    assert upload(client, data=second) == 403
    assert claim(client, first, BOB) == 422
    assert client.get("/v1/pins", headers=owner("list", BOB)).json()["used"] == 0


def test_a_pin_counts_no_fewer_bytes_than_before(place: Place) -> None:
    """Threat 80: nor while its bytes are still on their way."""
    alice = Address(ALICE.address)
    place.keeping.pin(ID, alice, 1_500)
    assert not place.keeping.pin(ID, alice, 1)
    assert place.keeping.used(alice) == 1_500
    place.keeping.forget(ID)
    place.keeping.pin(ID, alice, 1)
    place.put(b"b" * 1_500)
    with pytest.raises(Refused):
        place.keeping.pin(ID, alice, 600)
    assert place.keeping.used(alice) == 1_501


def test_what_comes_in_over_the_quota_after_all_does_not_stay(
    client: TestClient, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Threat 80: a pin is forgotten by another try that failed, and its bytes on the account are used meanwhile."""
    finish = Incoming.finish

    def slow(incoming: Incoming, name: ArtifactId) -> None:
        finish(incoming, name)
        place.keeping.forget(name, Address(ALICE.address))
        place.keeping.pin(ArtifactId("0" * 64), Address(ALICE.address), QUOTA)

    monkeypatch.setattr(Incoming, "finish", slow)
    assert upload(client) == 403
    assert not place.vault.has(ID)


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {ACCOUNT_HEADER: "x"},
        owner("drop all"),
        {ACCOUNT_HEADER: write_account_permit(ALICE, "http://other", "list", NOW + 60)},
        {ACCOUNT_HEADER: write_account_permit(ALICE, URL, "list", NOW - 1)},
        {ACCOUNT_HEADER: write_account_permit(ALICE, URL, "list", NOW + 86_400)},
        {ACCOUNT_HEADER: write_permit(ALICE, URL, ID, 5, NOW + 60)},
        {ACCOUNT_HEADER: owner("list")[ACCOUNT_HEADER].replace(ALICE.address, BOB.address)},
    ],
    ids=["none", "nonsense", "other action", "other store", "expired", "too long", "an upload's", "somebody else's"],
)
def test_an_account_is_its_owners(client: TestClient, headers: dict[str, str]) -> None:
    assert client.get("/v1/pins", headers=headers).status_code in (403, 422)
