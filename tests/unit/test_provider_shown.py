"""The record of what a sandbox was seen to hold: who may rely on it, and for how long. Issue 5 item 2."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import pytest
from eth_account import Account

from heldout.market.errors import BadInput, BadMessage
from heldout.market.sandbox import STANDARD, STRICT, EngineFacts
from heldout.market.sandbox.hostile import Outcome, held_layers, load_manifest
from heldout.provider.sandboxing import Verdict, machine_of, offered_tiers
from heldout.provider.shown import GOOD_FOR_S, Shown, keep, load

PROMISES = {STANDARD: ("network", "files"), STRICT: ("network", "files", "kernel")}
SHOWN = Shown("machine", "docker", 1000, {STANDARD: ("files", "network", "log"), STRICT: ("network", "files")})
FACTS = EngineFacts("docker", False, "1", 2, {STANDARD: "runc", STRICT: "runsc"}, versions={"runc": "1.1.5"})


def test_a_tier_is_offered_only_if_its_every_layer_was_seen_to_hold() -> None:
    assert SHOWN.offered(PROMISES) == {STANDARD}


def test_one_case_that_got_through_voids_its_layer_and_no_other() -> None:
    outcomes = [Outcome(case, case.held[0], STANDARD) for case in load_manifest().cases]
    assert held_layers(outcomes) == set(load_manifest().layers)
    bad = [replace(each, answer="allowed") if each.case.id == "18" else each for each in outcomes]
    assert set(load_manifest().layers) - held_layers(bad) == {"network"}
    lines = {layer: (ok, words) for layer, ok, words in Verdict(STANDARD, bad).lines()}
    assert lines["network"] == (False, "NOT SHOWN: opens a connection (allowed)") and lines["files"][0]


def test_a_layer_that_was_not_tried_is_not_shown() -> None:
    outcomes = [Outcome(case, case.held[0], STANDARD) for case in load_manifest().cases if case.layer != "image"]
    assert "image" not in held_layers(outcomes)
    assert {layer: ok for layer, ok, _ in Verdict(STANDARD, outcomes).lines()}["image"] is False


def test_a_record_is_good_for_its_machine_and_for_a_while() -> None:
    assert SHOWN.is_good("machine", 1000) and SHOWN.is_good("machine", 999 + GOOD_FOR_S)
    assert not SHOWN.is_good("machine", 1000 + GOOD_FOR_S)
    assert not SHOWN.is_good("machine", 999)  # made in the future: a clock is wrong
    assert not SHOWN.is_good("another", 1000)


def test_another_engine_is_another_machine() -> None:
    assert machine_of(FACTS) != machine_of(replace(FACTS, versions={"runc": "1.1.6"}))
    assert machine_of(FACTS) != machine_of(replace(FACTS, runtimes={STANDARD: "runc"}))


@pytest.mark.parametrize(("devnet", "offered"), [(True, {STANDARD}), (False, set())])
def test_what_was_never_shown_is_offered_on_a_devnet_alone(devnet: bool, offered: set[str]) -> None:
    assert offered_tiers(None, FACTS, devnet=devnet) == offered
    assert offered_tiers(SHOWN, FACTS, devnet=devnet) == offered  # another machine's record


def test_a_good_record_is_what_the_node_offers() -> None:
    layers = {tier: load_manifest().tiers[tier] for tier in (STANDARD, STRICT)}
    mine = replace(SHOWN, machine=machine_of(FACTS), made=int(time.time()), layers=layers)
    assert offered_tiers(mine, FACTS, devnet=False) == {STANDARD, STRICT}


def test_a_record_is_signed_by_its_node(tmp_path: Path) -> None:
    signed = SHOWN.signed_by(Account.create())
    signed.check()
    assert Shown.decode(signed.encode()) == signed
    with pytest.raises(BadMessage):
        replace(signed, layers={STRICT: ("kernel",)}).check()
    with pytest.raises(BadMessage):
        replace(signed, address=Account.create().address).check()


def test_a_record_is_kept_and_a_torn_one_is_named(tmp_path: Path) -> None:
    assert load(tmp_path) is None
    keep(tmp_path, SHOWN)
    assert load(tmp_path) == SHOWN
    (tmp_path / "sandbox.json").write_text('{"version": 2}')
    with pytest.raises(BadInput, match=r"sandbox\.json"):
        load(tmp_path)
