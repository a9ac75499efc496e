"""Checkpoints outside the machine: what is taken, when, how much, and what is found again (issue 5 item 6)."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from builders import JOB, TERMS, digest
from eth_account import Account

from heldout.market.artifacts import ArtifactId, DiskStore, parse_id
from heldout.market.errors import StoreProblem
from heldout.market.journal import Journal
from heldout.market.keys import KeyRing
from heldout.market.messages import Kind, Letter
from heldout.market.sandbox.checkpoint import MOST_DEPTH, MOST_FILES, lay, pack
from heldout.market.sandbox.errors import OutputRefused
from heldout.provider.checkpoints import FILE, MOST_KEPT, MOST_TOTAL, Checkpoints
from heldout.provider.chores import Chores
from heldout.provider.deliveries import Deliveries

KEYS = KeyRing(Account.from_key(digest("provider")), digest("root"))
VIEW: Any = SimpleNamespace(job=SimpleNamespace(id=JOB, terms=replace(TERMS, workWindow=600)))


@dataclass
class Machine:
    """A node's own disk and what it runs: lost and bought anew at will. Store and mail outlive it."""

    folder: Path
    store: Any
    mailbox: list[Letter] = field(default_factory=list)
    content: bytes = b"state"
    now: float = 1000.0
    every: int = 10

    def __post_init__(self) -> None:
        self.folder.mkdir()
        self.journal, self.chores = Journal(self.folder / "journal"), Chores()
        materials = SimpleNamespace(folder=lambda job: self.folder)
        tools = SimpleNamespace(
            journal=self.journal,
            chores=self.chores,
            stores=self.store,
            materials=materials,
            training=SimpleNamespace(snapshot=self.snapshot),
            deliveries=Deliveries(KEYS, SimpleNamespace()),  # type: ignore[arg-type]
            mail=SimpleNamespace(send=self.mailbox.append),
            config=SimpleNamespace(checkpoint_s=self.every),
            clock=lambda: self.now,
            reach=lambda name: None,
        )
        self.checkpoints = Checkpoints(tools)  # type: ignore[arg-type]
        for letter in self.mailbox:
            self.checkpoints.receive(letter)

    def snapshot(self, job: str, target: Path, most_bytes: int) -> bool:
        target.write_bytes(self.content)
        return bool(self.content)

    def tend(self, content: bytes, after: float = 10.0) -> None:
        """One checkpoint's time goes by."""
        self.content, self.now = content, self.now + after
        _settle(lambda: self.checkpoints.tend(VIEW), self.chores)

    def restored(self) -> bytes | None:
        """What the next attempt would begin with."""
        give_up = time.monotonic() + 5
        while not self.checkpoints.found(JOB) and time.monotonic() < give_up:
            time.sleep(0.005)
        path = self.checkpoints.of(JOB)
        return path.read_bytes() if path else None

    def close(self) -> None:
        self.chores.close()
        self.journal.close()


def _settle(step: Callable[[], None], chores: Chores) -> None:
    step()
    give_up = time.monotonic() + 5
    while chores.busy and time.monotonic() < give_up:
        time.sleep(0.005)
        step()


@pytest.fixture
def store(tmp_path: Path) -> Iterator[DiskStore]:
    with DiskStore(tmp_path / "store") as store:
        yield store


@pytest.fixture
def machines(tmp_path: Path, store: DiskStore) -> Iterator[Callable[..., Machine]]:
    """A new machine each time; `mailbox` is what the service brings it."""
    made: list[Machine] = []

    def make(**settings: Any) -> Machine:
        made.append(Machine(tmp_path / f"machine-{len(made)}", **{"store": store, **settings}))
        return made[-1]

    yield make
    for machine in made:
        machine.close()


def test_another_machine_with_the_same_keys_goes_on_from_the_newest(machines: Callable[..., Machine]) -> None:
    first = machines()
    for content in (b"one", b"two", b"three"):
        first.tend(content)
    assert [letter.int_of("sequence") for letter in first.mailbox] == [1, 2, 3]
    second = machines(mailbox=[*reversed(first.mailbox)])
    assert second.restored() == b"three"
    second.tend(b"four")
    assert second.mailbox[-1].int_of("sequence") == 4


def test_what_leaves_is_sealed_for_this_provider_alone(machines: Callable[..., Machine], store: DiskStore) -> None:
    machine = machines()
    machine.tend(b"rows of the requester")
    (letter,) = machine.mailbox
    blob = store.get(parse_id(letter.bytes_of("sealedHash").hex()))
    assert b"rows" not in blob and letter.kind is Kind.CHECKPOINT and letter.sender == letter.receiver == KEYS.address
    others = Deliveries(KeyRing(Account.from_key(digest("other")), digest("other root")), SimpleNamespace())  # type: ignore[arg-type]
    with pytest.raises(Exception, match="does not open"):
        others.open_checkpoint(letter, blob)
    elsewhere = replace(letter, job=type(letter.job)("0x" + "ab" * 32))
    with pytest.raises(Exception, match="does not open"):
        machine.checkpoints._tools.deliveries.open_checkpoint(elsewhere, blob)


def test_the_letter_leaves_only_once_a_store_has_the_whole(machines: Callable[..., Machine]) -> None:
    """Until then the one before is the newest: a node that dies in between, or a store that is down, costs no more."""
    machine = machines()
    machine.tend(b"one")
    machine.checkpoints._tools.stores = SimpleNamespace(put=_down)  # type: ignore[misc]
    machine.tend(b"two")
    assert [letter.int_of("sequence") for letter in machine.mailbox if letter] == [1, 1]


def _down(source: object) -> None:
    raise StoreProblem("down")


def test_the_newest_that_is_whole_is_taken_whatever_the_carrier_says(
    machines: Callable[..., Machine], store: DiskStore
) -> None:
    first = machines()
    first.tend(b"one")
    (sound,) = first.mailbox
    forged = replace(sound, body={**sound.body, "sequence": 9, "sealedHash": "0x" + store.put(b"not sealed by me")})
    missing = replace(sound, body={**sound.body, "sequence": 8, "sealedHash": "0x" + "ab" * 32})
    broken = replace(sound, body={"sequence": "many"})
    assert machines(mailbox=[forged, missing, broken, sound]).restored() == b"one"
    assert machines(mailbox=[forged, missing, broken]).restored() is None


@pytest.mark.parametrize("sequence", ["9" * 4300, 2**63, 2**63 - 1, -1])
def test_no_forged_sequence_stops_checkpoints_or_hides_the_newest(
    machines: Callable[..., Machine], sequence: int | str
) -> None:
    """Threat 61, P8: the carrier may be anybody, and so may the letters that it brings."""
    body = {"sequence": sequence, "salt": "0x" + "00" * 32, "sealedHash": "0x" + "ab" * 32}
    forged = Letter(JOB, Kind.CHECKPOINT, KEYS.address, KEYS.address, body)
    first = machines(mailbox=[Letter.decode(forged.encode())])
    first.tend(b"one")
    first.tend(b"two")
    assert len(first.mailbox) == 3
    assert machines(mailbox=first.mailbox).restored() == b"two"


class Accounts(DiskStore):
    """A store that is told what nobody needs any longer."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.dropped: list[str] = []
        self.away = False

    def drop_pin(self, artifact: ArtifactId) -> bool:
        if self.away:
            raise StoreProblem("gone for lunch")
        self.dropped.append(artifact)
        return True


def test_each_is_given_up_once_the_next_is_there_and_the_last_with_the_job(
    machines: Callable[..., Machine], tmp_path: Path
) -> None:
    with Accounts(tmp_path / "accounts") as store:
        first = machines(store=store)
        first.tend(b"one")
        assert store.dropped == []
        first.tend(b"two")
        kept = [letter.bytes_of("sealedHash").hex() for letter in first.mailbox]
        assert store.dropped == kept[:1]
        first.checkpoints.forget(JOB)
        assert store.dropped == kept
        first.checkpoints.forget(JOB)
        assert store.dropped == kept


def test_a_store_that_cannot_be_told_holds_nothing_up(machines: Callable[..., Machine], tmp_path: Path) -> None:
    with Accounts(tmp_path / "accounts") as store:
        machine = machines(store=store)
        store.away = True
        machine.tend(b"one")
        machine.tend(b"two")
        assert len(machine.mailbox) == 2
        machine.checkpoints.forget(JOB)


def test_nothing_is_given_up_by_a_letter_of_the_carrier(machines: Callable[..., Machine], tmp_path: Path) -> None:
    """It could name the weights: their pin is not to go with a checkpoint's."""
    with Accounts(tmp_path / "accounts") as store:
        weights = store.put(b"sealed weights")
        body = {"sequence": 7, "salt": "0x" + "00" * 32, "sealedHash": "0x" + weights}
        forged = Letter(JOB, Kind.CHECKPOINT, KEYS.address, KEYS.address, body)
        machine = machines(store=store, mailbox=[forged])
        machine.tend(b"one")
        machine.checkpoints.receive(forged)
        machine.checkpoints.forget(JOB)
        assert weights not in store.dropped and len(store.dropped) == 1


def test_what_lies_on_this_disk_goes_before_the_stores(machines: Callable[..., Machine]) -> None:
    machine = machines()
    machine.tend(b"one")
    (machine.folder / FILE).write_bytes(b"newer")
    assert machine.restored() == b"newer"
    machine.checkpoints.reject(JOB)
    assert machine.restored() is None, "what could not be laid is not tried for ever"


def test_an_unchanged_checkpoint_is_not_kept_twice_and_none_before_its_time(machines: Callable[..., Machine]) -> None:
    machine = machines()
    machine.tend(b"one")
    machine.tend(b"one")
    machine.tend(b"two", after=9)
    assert {letter.int_of("sequence") for letter in machine.mailbox} == {1}
    assert machines(every=0).tend(b"one") is None


def test_number_and_sum_are_bounded_and_spread_over_the_work_window(machines: Callable[..., Machine]) -> None:
    machine = machines(every=1)
    due = machine.checkpoints._is_due
    noted = {"count": 1, "bytes": MOST_TOTAL // 4, "at": 0.0}
    assert not due(VIEW, noted, 149) and due(VIEW, noted, 150)
    noted = {"count": 1, "bytes": 1, "at": 0.0}
    assert not due(VIEW, noted, 2.9) and due(VIEW, noted, 600 / MOST_KEPT)
    assert not due(VIEW, {"count": MOST_KEPT, "bytes": 1, "at": 0.0}, 1e9)
    assert not due(VIEW, {"count": 1, "bytes": MOST_TOTAL, "at": 0.0}, 1e9)


# ------------------------------------------------------------------------------------------ archives


@pytest.fixture
def out(tmp_path: Path) -> Path:
    (tmp_path / "out" / "checkpoint" / "deep").mkdir(parents=True)
    (tmp_path / "out" / "checkpoint" / "deep" / "step").write_bytes(b"7")
    return tmp_path / "out"


def test_a_checkpoint_comes_back_as_it_was_and_never_over_another(out: Path, tmp_path: Path) -> None:
    (out / "weights.safetensors").write_bytes(b"not part of it")
    archive, place = tmp_path / "a.tar", tmp_path / "new"
    assert pack(out, archive, 100)
    place.mkdir()
    lay(archive, place)
    assert (place / "checkpoint/deep/step").read_bytes() == b"7" and sorted(os.listdir(place)) == ["checkpoint"]
    (place / "checkpoint/deep/step").write_bytes(b"8")
    lay(archive, place)
    assert (place / "checkpoint/deep/step").read_bytes() == b"8"
    assert not pack(tmp_path / "new" / "checkpoint", archive, 100), "there is none in there"


def _many(folder: Path) -> None:
    for number in range(MOST_FILES + 1):
        (folder / str(number)).touch()


def _deep(folder: Path) -> None:
    for _ in range(MOST_DEPTH + 1):
        folder = folder / "d"
        folder.mkdir()


def _sparse(folder: Path) -> None:
    with (folder / "sparse").open("wb") as file:
        file.truncate(1 << 40)


@pytest.mark.parametrize(
    "spoil",
    [
        _many,
        _deep,
        _sparse,
        lambda folder: (folder / "link").symlink_to("/etc/passwd"),
        lambda folder: os.mkfifo(folder / "pipe"),
        lambda folder: (folder.rename(folder.with_name("real")), folder.symlink_to("/etc")),
    ],
    ids=["many files", "deep folders", "a sparse terabyte", "a link", "a pipe", "a link itself"],
)
def test_whatever_else_a_job_leaves_there_refuses_the_whole(
    out: Path, tmp_path: Path, spoil: Callable[[Path], object]
) -> None:
    spoil(out / "checkpoint")
    with pytest.raises(OutputRefused):
        pack(out, tmp_path / "a.tar", 1 << 20)
    assert sorted(os.listdir(tmp_path)) == ["out"], "nothing half-made stays"


def test_an_archive_that_ends_too_soon_leaves_nothing(out: Path, tmp_path: Path) -> None:
    archive, place = tmp_path / "a.tar", tmp_path / "new"
    (out / "checkpoint" / "big").write_bytes(bytes(9000))
    pack(out, archive, 1 << 20)
    archive.write_bytes(archive.read_bytes()[:6000])
    place.mkdir()
    with pytest.raises(OutputRefused):
        lay(archive, place)
    assert os.listdir(place) == []
