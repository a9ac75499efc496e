"""Threats 1 to 25, replayed one by one on the contract: the attempt, and what it cost who made it (docs/threats.md).

The replays are forge tests; here they are listed by row, run once, and each row answers for its own.
"""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

pytestmark = [pytest.mark.attack, pytest.mark.integration]

ROOT = Path(__file__).resolve().parents[2]
FOLDER = "contracts/test/attacks"
ROWS = {
    "01-reentrant-token": (
        "Tokens.t.sol::test_threat1_receiverThatReentersWithdraw_getsNothingTwice",
        "Tokens.t.sol::test_threat1_settlementOverATellingToken_callsNobody",
    ),
    "02-fee-on-transfer": ("Tokens.t.sol::test_threat2_tokenThatTakesAll_isRefusedAtTheDeposit",),
    "03-false-or-zero": (
        "Tokens.t.sol::test_threat3_tokenReturningFalseInMidJob_movesNoLedger",
        "Tokens.t.sol::test_threat3_tokenThatRefusesZero_carriesAWholeJob",
    ),
    "04-paused-token": ("Tokens.t.sol::test_threat4_tokenPausedInMidJob_jobEnds_andWithdrawalsWait",),
    "05-upgraded-token": (
        "Tokens.t.sol::test_threat5_tokenUpgradedInMidJob_harmsOnlyItsOwnMarket",
        "Tokens.t.sol::test_threat5_balancesThatGrow_creditNobody",
    ),
    "06-permit-used-first": ("Messages.t.sol::test_threat6_permitUsedByAnother_depositStillWorks",),
    "07-replayed-signature": ("Messages.t.sol::test_threat7_bidReplayedElsewhere_isRefused",),
    "08-twice": ("Messages.t.sol::test_threat8_settleRefundWithdrawTwice_payOnce",),
    "09-copied-commit": ("Seats.t.sol::test_threat9_copiedCommit_costs8f",),
    "10-no-reveal": ("Seats.t.sol::test_threat10_majorityWithholdsItsReveals_paysForTheNextRound",),
    "11-all-silent": ("Seats.t.sol::test_threat11_everySeatSilent_everybodyHasAllBack",),
    "12-last-revealer": ("Seats.t.sol::test_threat12_lastRevealerWithholds_changesNothing_andPays8f",),
    "13-stake-leaves": ("Seats.t.sol::test_threat13_seatThatLeavesAfterItsCommit_isStillSlashed",),
    "14-seats-change": ("Seats.t.sol::testFuzz_threat14_seatsThatChangeAfterAccept_areNotDrawn",),
    "15-lying-majority": ("Seats.t.sol::test_threat15_lyingMajority_losesHalfItsStake",),
    "16-out-of-range": (
        "Limits.t.sol::testFuzz_threat16_voteOutOfRange_costs8f",
        "Limits.t.sol::test_threat16_hugeArrays_areRefused",
    ),
    "17-gas-of-bids": (
        "Limits.t.sol::test_threat17_settlementGas_isFlatInTheNumberOfBids",
        "Surface.t.sol::test_dearestSettlement_fitsInATransaction",
    ),
    "18-dust": ("Limits.t.sol::test_threat18_dustJob_stillCostsFeesAndCollateral",),
    "19-front-run": ("Messages.t.sol::test_threat19_copiedSubmission_costsTheCopierItsCollateral",),
    "20-boundary": ("Limits.t.sol::testFuzz_threat20_atEverySecond_eitherActorOrMover",),
    "21-no-owner": ("Powers.t.sol::test_threat21_everyFunctionByEveryRole",),
    "22-sent-directly": ("Limits.t.sol::test_threat22_moneySentDirectly_isNobodys",),
    "23-rounding": ("Limits.t.sol::testFuzz_threat23_dustIsTheRequesters",),
    "24-steered-draw": ("Seats.t.sol::test_threat24_choosingBetweenTwoSeeds_lessThanDoublesTheChance",),
}
"""Row 25, a wrong line that no test sees, is test_mutants.py."""


@pytest.fixture(scope="module")
def replayed() -> dict[str, Any]:
    """What forge says of every test of the folder, by `File.t.sol::test`."""
    environment = os.environ | {"FORGE_SNAPSHOT_CHECK": "false", "FOUNDRY_SOLC": str(ROOT / "tools/solc-shim")}
    command = [ROOT / "node_modules/.bin/forge", "test", "--json", "--match-path", f"{FOLDER}/*"]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    suites = json.loads(done.stdout)
    return {
        f"{suite.split(':')[0].removeprefix(FOLDER + '/')}::{name.split('(')[0]}": result
        for suite, results in suites.items()
        for name, result in results["test_results"].items()
    }


@pytest.mark.parametrize("row", ROWS)
def test_the_attempt_gains_nothing(row: str, replayed: dict[str, Any]) -> None:
    for test in ROWS[row]:
        result = replayed[test]
        assert result["status"] == "Success", result["reason"]
        for line in result["decoded_logs"]:
            print(line)  # what it cost: pytest -s, or -rP


def test_every_replay_in_the_folder_is_listed_here(replayed: dict[str, Any]) -> None:
    listed = {test for tests in ROWS.values() for test in tests}
    assert {test for test in replayed if "_threat" in test} <= listed
    assert listed <= set(replayed)
    assert [row[:2] for row in ROWS] == [f"{number:02}" for number in range(1, 25)]
