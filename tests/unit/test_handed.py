"""Keys that are handed to a keeper: what is taken in, what is refused, and that the letters are the requester's own."""

import os
from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import replace
from pathlib import Path

import pytest
from eth_account import Account

from heldout.market.errors import BadInput, BadMessage, Refused
from heldout.market.keeping.offered import OfferedKeeper
from heldout.market.keys import KeyRing
from heldout.requester_cli import handed
from heldout.requester_cli.handed import PATIENCE_S, Shelf
from heldout.requester_cli.letters import Writer
from heldout.requester_cli.loans import PREFIX, Loan, lend_keys
from tests.builders import TERMS, digest
from tests.unit.test_client_letters import KEYS, SPLIT, job

KEEPER = KeyRing(Account.from_key(digest("keeper")), digest("keeper's root"))


def line(salt: bytes = TERMS.salt, shards: int = TERMS.shards, to: KeyRing = KEEPER) -> str:
    return lend_keys(KEYS, to.wrap_public, salt, shards).line()


def _with_shards(count: bytes) -> str:
    body = line().removeprefix(PREFIX)
    told = urlsafe_b64decode(body + "=" * (-len(body) % 4))
    return PREFIX + urlsafe_b64encode(told.replace(b'"shards":%d' % TERMS.shards, b'"shards":' + count)).decode()


def test_a_keepers_letters_are_the_requesters_own_to_the_byte(tmp_path: Path) -> None:
    """Whoever takes over goes on with the same envelopes, so that a seed shown later fits whoever made them (P4.5)."""
    kept = Shelf(tmp_path, KEEPER).take(line())
    mine, theirs = Writer(KEYS, job(), SPLIT), Writer(kept, job(), SPLIT)
    assert theirs.training_keys(0) == mine.training_keys(0)
    assert theirs.held_out_keys_for_lane(0) == mine.held_out_keys_for_lane(0)


def test_what_is_kept_outlives_the_process_and_lies_there_sealed(tmp_path: Path) -> None:
    kept = Shelf(tmp_path, KEEPER).take(line())
    assert Shelf(tmp_path, KEEPER).find(KEYS.address, TERMS.salt) == kept
    (file,) = tmp_path.iterdir()
    assert not any(key.hex() in file.read_text() for key in kept.keys)


def test_the_same_keys_twice_are_one_and_others_never_replace_them(tmp_path: Path) -> None:
    """Threat 79: a stranger who knows a job's terms cannot exchange its keys."""
    shelf = Shelf(tmp_path, KEEPER)
    kept = shelf.take(line())
    assert shelf.take(line()) == kept
    other = KeyRing(KEYS.account, digest("another root"))
    with pytest.raises(Refused) as refused:
        shelf.take(lend_keys(other, KEEPER.wrap_public, TERMS.salt, TERMS.shards).line())
    assert refused.value.code == "kept_already"
    assert shelf.find(KEYS.address, TERMS.salt) == kept


def test_keys_are_good_for_their_own_data_only(tmp_path: Path) -> None:
    kept = Shelf(tmp_path, KEEPER).take(line())
    for wrong in (lambda: kept.shard_key(digest("other"), 0), lambda: kept.shard_key(TERMS.salt, TERMS.shards)):
        with pytest.raises(BadInput):
            wrong()


@pytest.mark.parametrize(
    "text",
    [
        "",
        PREFIX,
        PREFIX + "e30",
        PREFIX + "!!!!",
        PREFIX + "bnVsbA",
        line()[:-40],
        "x" * 5000,
        line().replace("A", "é"),
        _with_shards(b"1e999"),
    ],
)
def test_what_is_no_line_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(BadInput):
        Shelf(tmp_path, KEEPER).take(text)
    assert not list(tmp_path.iterdir())


def test_lines_for_others_or_with_another_name_on_them_are_refused(tmp_path: Path) -> None:
    loan = Loan.read(line())
    changed = (replace(loan, address=KEEPER.address), replace(loan, salt=digest("x")), replace(loan, shards=17))
    for text in (line(to=KEYS), line(shards=15), line(shards=65), *(each.line() for each in changed)):
        with pytest.raises(BadInput):
            Shelf(tmp_path, KEEPER).take(text)


def test_who_hands_over_keys_and_never_posts_takes_nobodys_place_for_long(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Threat 89."""
    now = [1000.0]
    shelf = Shelf(tmp_path, KEEPER, lambda: now[0])
    monkeypatch.setattr(handed, "MOST_WAITING", 2)
    shelf.take(line(digest("posted")))
    shelf.find(KEYS.address, digest("posted"))
    for salt in (digest("one"), digest("two")):
        shelf.take(line(salt))
    with pytest.raises(Refused) as refused:
        shelf.take(line(digest("three")))
    assert refused.value.code == "keeper_full"
    now[0] += PATIENCE_S + 1
    shelf.take(line(digest("three")))
    assert shelf.find(KEYS.address, digest("one")) is None
    assert shelf.find(KEYS.address, digest("posted")), "a job came for these"


def test_an_ended_jobs_keys_leave_the_disk(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path, KEEPER)
    shelf.forget(shelf.take(line()))
    assert os.listdir(tmp_path) == []


def test_an_offered_keeper_is_read_as_it_is_printed() -> None:
    offered = OfferedKeeper(KEEPER.address, KEEPER.wrap_public, "https://keeper.example:8470")
    assert OfferedKeeper.parse(str(offered)) == offered


@pytest.mark.parametrize(
    "text",
    ["", "x,y,z", f"{KEEPER.address},{'0' * 63},https://k", f"{KEEPER.address},{'0' * 64},ftp://k",
     f"{KEEPER.address},{'0' * 64},https://k;script-src *", f"0x12,{'0' * 64},https://k"],
)  # fmt: skip
def test_what_names_no_keeper_is_refused(text: str) -> None:
    """It would become part of the pages' policy."""
    with pytest.raises((BadInput, BadMessage)):
        OfferedKeeper.parse(text)
