"""Mail: the service while it answers, the chain when it does not, and each letter once (P2.5, P8)."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pytest
from eth_account import Account

from heldout.market.carrier import Carrier, ServiceProblem
from heldout.market.errors import BadInput, BadMessage, HeldoutError, Refused
from heldout.market.lifecycle import ChainEvent
from heldout.market.mail import REREAD, RESEND_S, TRIES, Mail
from heldout.market.messages import BULLETIN, Bid, Kind, Letter, bid_letter
from heldout.market.money import Wei
from heldout.market.settings import Network
from heldout.market.terms import Address, BlockNumber, JobId, Timestamp
from tests.builders import CHAIN_ID, JOB, JOB_BYTES, MARKET, digest

ALICE = Account.from_key("0x" + "01" * 32)
BOB = Address(Account.from_key("0x" + "02" * 32).address)
NETWORK = Network("test", CHAIN_ID, "0x0", (), MARKET, MARKET, 5, "0x0", ())
OTHER_JOB = JobId("0x" + "ab" * 32)


def letter(text: str = "sealed", **changes: Any) -> Letter:
    return replace(Letter(JOB, Kind.HALF_B, BOB, ALICE.address, {"lane": 0, "envelope": text}), **changes)


BID = bid_letter(Bid(JOB_BYTES, BOB, Wei(7), digest("wrap"), 2_000_000_000, 1), b"\x01" * 65)


class Office(Carrier):
    """The service's place taken by a list. `problems` are raised first, one a call."""

    def __init__(self, *problems: HeldoutError) -> None:
        self.problems = list(problems)
        self.kept: list[Letter] = []

    def _stumble(self) -> None:
        if self.problems:
            raise self.problems.pop(0)

    def post(self, letter: Letter) -> None:
        self._stumble()
        self.kept.append(letter)

    def bids(self, job: JobId) -> list[Letter]:
        self._stumble()
        return [letter for letter in self.kept if letter.receiver == BULLETIN and letter.job == job]

    def mail(self, after: int) -> Iterator[tuple[int, Letter]]:
        self._stumble()
        yield from list(enumerate(self.kept, 1))[after:]

    def calls(self, after: int) -> Iterator[tuple[int, Letter]]:
        yield from ((number, letter) for number, letter in self.mail(after) if letter.kind is Kind.CALL)


@dataclass
class Head:
    number: int


class Announced:
    """A chain with nothing but announcements."""

    def __init__(self) -> None:
        self.height = 10
        self.events_: list[ChainEvent] = []
        self.asked: list[tuple[int, int]] = []

    def announce(self, sender: str, message: bytes) -> None:
        self.height += 1
        args = {"from": sender, "message": message}
        self.events_.append(ChainEvent("Announced", args, BlockNumber(self.height), "0x", "0x", 0, Timestamp(0)))

    def head(self) -> Head:
        return Head(self.height)

    def events(self, first: int, last: int, *, names: Sequence[str]) -> list[ChainEvent]:
        self.asked.append((first, last))
        return [event for event in self.events_ if first <= event.block <= last and event.name in names]


class Outbox:
    def __init__(self) -> None:
        self.sent: list[tuple[str, str, bytes]] = []

    def send(self, intent: str, function: str, *args: Any) -> None:
        self.sent.append((intent, function, *args))


@pytest.fixture
def chain() -> Announced:
    return Announced()


@pytest.fixture
def outbox() -> Outbox:
    return Outbox()


def mail(office: Office | None, chain: Announced, outbox: Outbox | None = None, **parts: Any) -> Mail:
    return Mail(NETWORK, chain, parts.pop("account", ALICE), outbox, carrier=office, pause=lambda _: None, **parts)


# --------------------------------------------------------------------------------------------------------- sending


def test_a_letter_goes_to_the_service_and_costs_nothing(chain: Announced, outbox: Outbox) -> None:
    office = Office()
    mail(office, chain, outbox).send(letter(), fallback=True)
    assert (office.kept, outbox.sent) == ([letter()], [])


@pytest.mark.parametrize("problem", [ServiceProblem("down"), Refused("no")], ids=["down", "refusing"])
def test_with_no_service_a_letter_is_announced_once(chain: Announced, outbox: Outbox, problem: HeldoutError) -> None:
    """Threat 52."""
    post = mail(Office(problem), chain, outbox)
    for _ in range(3):
        post.send(letter(), fallback=True)
    ((intent, function, message),) = outbox.sent
    assert (intent.partition(":")[0], function, message) == ("announce", "announce", letter().encode())


def test_without_the_fallback_the_sender_hears_of_it(chain: Announced, outbox: Outbox) -> None:
    with pytest.raises(ServiceProblem):
        mail(Office(ServiceProblem("down")), chain, outbox).send(letter())
    with pytest.raises(ServiceProblem):
        mail(None, chain, outbox).send(letter())
    with pytest.raises(ServiceProblem):
        mail(None, chain).send(letter(), fallback=True)
    assert outbox.sent == []


def test_a_letter_that_is_wrong_is_announced_nowhere(chain: Announced, outbox: Outbox) -> None:
    with pytest.raises(BadMessage):
        mail(Office(BadMessage("not a letter")), chain, outbox).send(letter(), fallback=True)
    assert outbox.sent == []


def test_an_index_that_is_a_block_behind_is_given_time(chain: Announced, outbox: Outbox) -> None:
    office = Office(*[Refused("no such party", code="not_a_party")] * (TRIES - 1))
    mail(office, chain, outbox).send(letter(), fallback=True)
    assert (office.kept, outbox.sent) == ([letter()], [])
    stubborn = Office(*[Refused("no such party", code="not_a_party")] * TRIES)
    with pytest.raises(Refused):
        mail(stubborn, chain).send(letter())


def test_a_letter_sent_again_later_is_posted_again_but_never_announced_for_that(
    chain: Announced, outbox: Outbox
) -> None:
    """Threats 53 and 56: a service that lost its database gets the letters anew."""
    now = 0.0
    office = Office()
    post = mail(office, chain, outbox, ticks=lambda: now)
    post.send(letter(), fallback=True)
    now = RESEND_S - 1
    post.send(letter(), fallback=True)
    assert len(office.kept) == 1
    now = RESEND_S
    post.send(letter(), fallback=True)
    assert len(office.kept) == 2
    now = 2 * RESEND_S
    office.problems = [ServiceProblem("down")]
    post.send(letter(), fallback=True)
    assert outbox.sent == []


def test_a_letter_that_its_receiver_erased_has_come_and_costs_no_gas(chain: Announced, outbox: Outbox) -> None:
    """P8: after a restart the sender posts everything anew; who erases a mailbox does not make it announce."""
    mail(Office(Refused("erased at a party's wish", code="erased")), chain, outbox).send(letter(), fallback=True)
    mail(Office(Refused("erased at a party's wish", code="erased")), chain).send(letter())
    assert outbox.sent == []


# ------------------------------------------------------------------------------------------------------- receiving


def test_a_letter_that_comes_by_both_roads_is_one_letter(chain: Announced) -> None:
    """Threat 56."""
    office = Office()
    office.kept = [letter(), letter()]
    chain.announce(BOB, letter().encode())
    receiver = mail(office, chain)
    assert [*receiver.fetch()] == [letter()]
    assert [*receiver.fetch()] == []


def test_the_chain_carries_letters_when_the_service_is_gone(chain: Announced) -> None:
    """Threat 52."""
    receiver = mail(Office(*[ServiceProblem("down")] * 4), chain)
    chain.announce(BOB, letter("one").encode())
    chain.announce(BOB, BID.encode())
    assert [*receiver.fetch()] == [letter("one"), BID]
    assert receiver.bids(JOB) == [BID]


def test_nobody_announces_in_anothers_name_but_bids_may_be_relayed(chain: Announced) -> None:
    chain.announce(ALICE.address, letter().encode())
    chain.announce(ALICE.address, BID.encode())
    assert [*mail(None, chain).fetch()] == [BID]


def test_what_is_no_letter_or_for_somebody_else_is_passed_over(chain: Announced) -> None:
    for message in (b"", b"\xff", b"{}", b"[" * 9, letter(receiver=BOB).encode(), letter().encode() + b" "):
        chain.announce(BOB, message)
    assert [*mail(None, chain).fetch()] == []


def test_letters_of_other_jobs_wait(chain: Announced) -> None:
    office = Office()
    office.kept = [letter("here"), letter("there", job=OTHER_JOB)]
    receiver = mail(office, chain)
    assert [*receiver.fetch(JOB)] == [letter("here")]
    assert [*receiver.fetch()] == [letter("there", job=OTHER_JOB)]


def test_a_letter_that_could_not_be_kept_comes_again(chain: Announced) -> None:
    """Threat 46: whoever takes letters may find its disk full."""
    receiver = mail(Office(), chain)
    for text in ("one", "two", "three"):
        chain.announce(BOB, letter(text).encode())

    def keep_two() -> None:
        for number, _ in enumerate(receiver.fetch()):
            if number == 1:
                raise OSError("no space left on device")

    with pytest.raises(OSError, match="no space"):
        keep_two()
    assert [*receiver.fetch()] == [letter("two"), letter("three")]
    assert [*receiver.fetch()] == []


def test_bids_stay_on_the_board(chain: Announced) -> None:
    office = Office()
    office.kept = [BID]
    public = mail(office, chain, account=None)
    assert public.bids(JOB) == public.bids(JOB) == [BID]
    assert public.bids(OTHER_JOB) == []


def test_a_service_that_floods_drives_out_its_own_letters_alone(
    chain: Announced, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Threat 54: memory is bounded, the chain's letters stay, and what was driven out may come again by the chain."""
    monkeypatch.setattr("heldout.market.mail.MOST_WAITING", 3 * len(letter("1").encode()))
    office = Office()
    office.kept = [letter(str(number)) for number in range(5)]
    receiver = mail(office, chain)
    chain.announce(BOB, letter("x").encode())
    receiver.bids(JOB)  # reads the chain, and takes nothing out
    assert [*receiver.fetch()] == [letter("x"), letter("2"), letter("3"), letter("4")]
    chain.announce(BOB, letter("0").encode())
    assert [*receiver.fetch()] == [letter("0")]


def test_a_flood_of_bids_takes_bounded_room(chain: Announced, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("heldout.market.mail.MOST_WAITING", 2 * len(BID.encode()))
    office = Office()
    office.kept = [replace(BID, body={**BID.body, "nonce": str(number)}) for number in range(4)]
    public = mail(office, chain, account=None)
    assert public.bids(JOB) == office.kept[2:]


def call(until: Any = 1_000, job: JobId = JOB) -> Letter:
    return Letter(job, Kind.CALL, BOB, BULLETIN, {"terms": {}, "until": until, "signature": "0x"})


def called(reader: Mail, now: int = 900) -> list[Letter]:
    return list(reader.calls(now).values())


def test_calls_for_bids_come_by_either_road_and_are_one(chain: Announced) -> None:
    """P2.5, threat 52."""
    office = Office()
    office.kept = [call(), letter()]
    reader = mail(office, chain, account=None)
    assert called(reader, 900) == [call()]
    chain.announce(ALICE.address, call().encode())  # relayed by anybody: it proves itself
    chain.announce(ALICE.address, call(job=OTHER_JOB).encode())
    assert called(reader) == called(reader) == [call(), call(job=OTHER_JOB)]
    office.problems = [ServiceProblem("down")]
    office.kept.append(call(2_000))
    assert called(reader, 900) == [call(), call(job=OTHER_JOB)]
    assert called(reader, 900) == [call(), call(job=OTHER_JOB), call(2_000)]


@pytest.mark.parametrize("until", [899, -1, "soon", None, {}])
def test_calls_that_are_over_or_never_end_are_forgotten(chain: Announced, until: Any) -> None:
    chain.announce(BOB, call(until).encode())
    chain.announce(BOB, call(900, OTHER_JOB).encode())
    reader = mail(None, chain)
    assert called(reader, 900) == [call(900, OTHER_JOB)]
    assert called(reader, 901) == []


def test_a_call_is_in_nobodys_mailbox(chain: Announced) -> None:
    chain.announce(BOB, call().encode())
    reader = mail(None, chain)
    assert [*reader.fetch()] == []
    assert reader.bids(JOB) == []
    assert called(reader, 900) == [call()]


def test_a_flood_of_calls_takes_bounded_room_and_dropped_ones_make_room(
    chain: Announced, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("heldout.market.mail.MOST_CALLS", 3)
    for number in range(5):
        chain.announce(BOB, call(1_000 + number).encode())
    reader = mail(None, chain)
    assert called(reader) == [call(1_000), call(1_001), call(1_002)]
    reader.drop_call(next(iter(reader.calls(900))))
    assert called(reader) == [call(1_001), call(1_002), call(1_003)]


def test_blocks_are_read_once_and_the_newest_again_for_reorgs(chain: Announced) -> None:
    """Threat 26: an announcement that a reorg moved is found where it went."""
    receiver = mail(None, chain)
    chain.height = 1_000
    assert not [*receiver.fetch()]
    moved = letter("moved")
    chain.announce(BOB, moved.encode())
    chain.events_[0] = replace(chain.events_[0], block=BlockNumber(1_000 - REREAD))
    assert [*receiver.fetch()] == [moved]
    assert chain.asked == [(NETWORK.deploy_block, 1_000), (1_000 - REREAD, 1_001)]


@pytest.mark.parametrize("url", ["file:///x", "http://", "http://me@host", "ftp://host"])
def test_a_service_is_an_http_address(url: str) -> None:
    """Threat 71."""
    with pytest.raises(BadInput):
        Carrier(url, NETWORK, None)
